"""What the ``twist`` plugins share: options, and the services that every plugin starts.

The text of an option comes from the command line, else from its environment variable, else it is
the default. A ``UsageError`` about it begins with its source.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import attr
from twisted.application.service import IService, MultiService
from twisted.internet.error import CannotListenError
from twisted.python.usage import Options, UsageError

from txthoonk import __version__
from txthoonk.connections.addresses._url import read_url
from txthoonk.service import Thoonk
from txthoonk.tap._json_log import json_observer
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._keys import check_name
from txthoonk.worker import Worker

if TYPE_CHECKING:
    from txthoonk.metrics import MetricsService

__all__ = ["ServiceOptions", "Setting", "feed_name", "seconds", "whole_number", "yes_or_no"]

YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")


@attr.frozen
class Setting:
    """An option.

    :ivar name: its name on the command line, without hyphens in front.
    :ivar doc: its help.
    :ivar convert: turns the text into the value; raises ``ValueError`` if it cannot.
    :ivar default: the text if there is none; None: the option then has no value.
    :ivar many: whether the option can be repeated; the value is then a list.
    :ivar flag: whether the option takes no value; it is then True or False.
    :ivar variables: its environment variables, of which the first that is set counts; empty: the
        one that follows from its name.
    """

    name: str
    doc: str
    convert: Callable[[str], Any] = str
    default: str | None = None
    many: bool = False
    flag: bool = False
    variables: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Its first environment variable."""
        return next(iter(self.variables), f"THOONK_{self.name.replace('-', '_').upper()}")

    @property
    def help(self) -> str:
        """Its text in ``--help``."""
        default = "" if self.default is None else f"; default: {self.default}"
        names = " or ".join(self.variables or (self.variable,))
        return f"{self.doc} [{names}{default}]"

    def value(self, given: Any) -> Any:
        """Convert a text, or a list of texts."""
        if self.many:
            several = re.split(r"[,\s]+", given) if isinstance(given, str) else given or []
            return [self.convert(text) for text in several]
        if given is None:
            return False if self.flag else None
        return self.convert(str(given))


# -- texts into values ------------------------------------------------------------------


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Make a converter for whole numbers between two bounds."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is not a whole number from {least:,} to {most:,}")
        return int(text)

    return convert


def seconds(text: str) -> float:
    """Convert a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None
    return check_seconds(number, "the time")


def feed_name(text: str) -> str:
    """Convert the name of a feed."""
    if not text:
        raise ValueError("the name of the feed is missing")
    return check_name(text)


def yes_or_no(text: str) -> bool:
    """Convert the text of a flag."""
    if text.lower() not in YES + NO:
        raise ValueError(f"{text!r} is neither yes ({', '.join(YES)}) nor no ({', '.join(NO)})")
    return text.lower() in YES


# -- options --------------------------------------------------------------------------------

COMMON = (
    Setting(
        "redis",
        "The Redis server: redis://[user:password@]host:port/db, rediss:// for TLS, "
        "unix:///socket?db=N, a Twisted endpoint, or embedded:/folder, which starts a private "
        "server. Put a password into the environment or a file: other users of the machine can "
        "see it on the command line.",
        default="redis://localhost:6379/0",
        variables=("THOONK_REDIS", "THOONK_URL"),
    ),
    Setting("redis-file", "A file that contains the URL of the Redis server."),
    Setting(
        "ca-file",
        "A PEM file with the certificates to trust with rediss://, instead of the system's.",
    ),
    Setting("log-json", "Write the log as JSON, one object a line.", yes_or_no, flag=True),
    Setting(
        "metrics-port",
        "Serve Prometheus metrics on this port; 0 selects a free port. Requires "
        "txthoonk[metrics].",
        whole_number(0, 65535),
    ),
    Setting("metrics-host", "The address to serve metrics on.", default="127.0.0.1"),
)


class ServiceOptions(Options):
    """The options of a service that uses a :class:`~txthoonk.Thoonk`.

    :cvar settings: the options of the plugin; :data:`COMMON` is added.
    :ivar thoonk: the service for the Redis server, made after parsing.
    """

    settings: ClassVar[tuple[Setting, ...]] = ()
    optFlags: ClassVar[list[list[str | None]]]
    optParameters: ClassVar[list[list[str | None]]]
    thoonk: Thoonk

    longdesc = (
        "You can also set each option with the environment variable in brackets; the command line "
        "wins. Separate several feeds in one variable by commas or spaces. For an option without "
        "a value, set the variable to 1. See docs/deployment.rst for workers in production."
    )

    def __init_subclass__(cls) -> None:
        cls.settings += COMMON
        plain = [one for one in cls.settings if not (one.flag or one.many)]
        cls.optFlags = [[one.name, None, one.help] for one in cls.settings if one.flag]
        cls.optParameters = [[one.name, None, None, one.help] for one in plain]
        for one in cls.settings:
            if one.many:
                setattr(cls, f"opt_{one.name}", _collector(one))

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Prepare the options.

        :param environment: the environment variables; None: those of the process.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._environment = os.environ if environment is None else environment
        self._sources: dict[str, str] = {}

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the words of a command line.

        :raises UsageError: if they are wrong and the caller is not ``twist`` or ``twistd``, which
            would print all options after the error. For these, end the process.
        """
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except UsageError as error:
            if self.parent is None:
                raise
            _exit(self.parent, f"{error} (--help lists the options)", os.EX_USAGE)

    def opt_version(self) -> None:
        """Show the version of txthoonk and exit."""
        print("txthoonk", __version__)
        sys.exit(0)

    def postOptions(self) -> None:
        """Convert all texts, and make the service for Redis."""
        self._url_is_given = self.get("redis") is not None
        for setting in self.settings:
            given = self._given(setting)
            with self.blaming(setting.name):
                self[setting.name] = setting.value(given)
        if self["redis-file"] is not None:
            self._read_url()
        with self.blaming("redis"):
            self.thoonk = Thoonk(self["redis"])
        if self["ca-file"] is not None:
            with self.blaming("ca-file"):
                self.thoonk = Thoonk(self["redis"], ca_file=self["ca-file"])
        if self["metrics-port"] is not None:
            self._metrics_service()
        if self["log-json"]:
            self._log_json()

    def _given(self, setting: Setting) -> Any:
        """Give the text of an option, and remember its source."""
        given, self._sources[setting.name] = self.get(setting.name), f"--{setting.name}"
        if given or given == "":
            return given
        for variable in setting.variables or (setting.variable,):
            text = self._environment.get(variable, "").strip(" \t\r\n,")
            if text:
                self._sources[setting.name] = variable
                return text
        return setting.default

    def _read_url(self) -> None:
        """Read the URL from the file of ``--redis-file``."""
        if self._sources["redis-file"] == "--redis-file" and self._url_is_given:
            raise UsageError("--redis and --redis-file: give only one of them")
        if not self._url_is_given:
            with self.blaming("redis-file"):
                self["redis"] = read_url(self["redis-file"])
            self._sources["redis"] = self._sources["redis-file"]

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Turn a ``ValueError`` into a ``UsageError`` that names the source of the text."""
        try:
            yield
        except ValueError as error:
            raise UsageError(f"{self._sources[name]}: {error}") from None

    def need(self, name: str) -> None:
        """Refuse to start without an option.

        :raises UsageError: if the option has no value.
        """
        setting = next(one for one in self.settings if one.name == name)
        if self[name] in (None, []):
            raise UsageError(f"--{name} is missing; give it, or set {setting.variable}")

    def _log_json(self) -> None:
        if self.parent is not None and "fileLogObserverFactory" not in self.parent:
            raise UsageError(
                f"{self._sources['log-json']}: works with twist only, not with twistd"
            )
        if self.parent is not None:
            self.parent["fileLogObserverFactory"] = json_observer

    def _metrics_service(self) -> type[MetricsService]:
        try:
            from txthoonk.metrics import MetricsService
        except ImportError as error:  # the message says what to install
            raise UsageError(f"{self._sources['metrics-port']}: {error}") from None
        return MetricsService

    def together(self, service: IService, workers: tuple[Worker, ...] = ()) -> MultiService:
        """Combine all services in the order in which they start.

        :param service: the service that uses :attr:`thoonk`.
        :param workers: the workers to report in the metrics.
        """
        services = [self.thoonk, service]
        if self["metrics-port"] is not None:
            where = {"port": self["metrics-port"], "interface": self["metrics-host"]}
            services.append(self._metrics_service()(self.thoonk, workers, **where))
        every = _Services(self.parent)
        for one in services:
            one.setServiceParent(every)
        return every


class _Services(MultiService):
    """All services of a plugin.

    :param parent: the options of ``twist``, which would show an error at the start as a
        traceback; None: another program starts the services.
    """

    def __init__(self, parent: Options | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._parent = parent

    def startService(self) -> None:
        try:
            super().startService()  # type: ignore[no-untyped-call]
        except CannotListenError as error:
            if self._parent is None:
                raise
            _exit(self._parent, f"--metrics-port: {error}", 1)


def _exit(parent: Options, message: str, status: int) -> NoReturn:
    """End the process with a line on standard error that names the plugin."""
    print(f"{parent.subCommand}: {message}", file=sys.stderr)
    sys.exit(status)


def _collector(setting: Setting) -> Callable[[ServiceOptions, str], None]:
    """Make the ``opt_`` method of an option that can be repeated."""

    def add(self: ServiceOptions, text: str) -> None:
        self.setdefault(setting.name, []).append(text)

    add.__doc__ = setting.help
    return add
