"""What the ``twist`` plugins share: options, from the environment too, and their services.

An option's text comes from the command line, or else from its variable, or else is its default.
What is wrong with it is a ``UsageError``, which begins with where the text came from.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import attr
from twisted.application.service import IService, MultiService
from twisted.python.usage import Options, UsageError

from txthoonk import __version__
from txthoonk.connections._url import read_url
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

    :ivar name: as on the command line.
    :ivar doc: what it is.
    :ivar convert: makes the value of a text; raises ``ValueError`` with what is wrong.
    :ivar default: the text where none is given; None: then there is no value.
    :ivar many: whether it may be given more than once; then the value is a list.
    :ivar flag: whether it stands alone; then the value is True or False.
    :ivar variables: its names in the environment, the first that is set counts; none: the one
        that follows from its name.
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
        """Its first name in the environment."""
        return next(iter(self.variables), f"THOONK_{self.name.replace('-', '_').upper()}")

    @property
    def help(self) -> str:
        """What ``--help`` says of it."""
        default = "" if self.default is None else f"; default: {self.default}"
        names = " or ".join(self.variables or (self.variable,))
        return f"{self.doc} [{names}{default}]"

    def value(self, given: Any) -> Any:
        """Make the value of what was given, a text or a list of texts."""
        if self.many:
            several = re.split(r"[,\s]+", given) if isinstance(given, str) else given or []
            return [self.convert(text) for text in several]
        if given is None:
            return False if self.flag else None
        return self.convert(str(given))


# -- texts into values ------------------------------------------------------------------


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Make what takes a whole number between bounds."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is not a whole number from {least:,} to {most:,}")
        return int(text)

    return convert


def seconds(text: str) -> float:
    """Take a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None
    return check_seconds(number, "the time")


def feed_name(text: str) -> str:
    """Take the name of a feed."""
    if not text:
        raise ValueError("the name of the feed is missing")
    return check_name(text)


def yes_or_no(text: str) -> bool:
    """Take what a flag is set to."""
    if text.lower() not in YES + NO:
        raise ValueError(f"{text!r} is neither yes ({', '.join(YES)}) nor no ({', '.join(NO)})")
    return text.lower() in YES


# -- options --------------------------------------------------------------------------------

COMMON = (
    Setting(
        "redis",
        "Where Redis is: redis://[user:password@]host:port/db, rediss:// for TLS, "
        "unix:///socket?db=N, or an endpoint of Twisted. A password belongs in the "
        "environment or a file, because all users of a machine can see its command lines.",
        default="redis://localhost:6379/0",
        variables=("THOONK_REDIS", "THOONK_URL"),
    ),
    Setting("redis-file", "A file with that URL."),
    Setting(
        "ca-file", "Who may vouch for a rediss:// server, a PEM file; else whom the system trusts."
    ),
    Setting("log-json", "Log one JSON object a line.", yes_or_no, flag=True),
    Setting(
        "metrics-port",
        "Where Prometheus finds metrics; 0 for any free port. Needs txthoonk[metrics].",
        whole_number(0, 65535),
    ),
    Setting("metrics-host", "The address of that port.", default="127.0.0.1"),
)


class ServiceOptions(Options):
    """The options of a service that works on a :class:`~txthoonk.Thoonk`.

    :cvar settings: what there is; :data:`COMMON` is added.
    :ivar thoonk: where Redis is, made when all is parsed.
    """

    settings: ClassVar[tuple[Setting, ...]] = ()
    optFlags: ClassVar[list[list[str | None]]]
    optParameters: ClassVar[list[list[str | None]]]
    thoonk: Thoonk

    longdesc = (
        "Each option may be set in the environment, by the name in brackets; the command line "
        "wins. Several feeds in one variable are separated by commas or spaces; 1 switches "
        "an option on that takes no value. See docs/deployment.rst for workers in production."
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
        """Make the options.

        :param environment: the variables; None: those of the process.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._environment = os.environ if environment is None else environment
        self._sources: dict[str, str] = {}

    def opt_version(self) -> None:
        """Show the version of txthoonk and exit."""
        print("txthoonk", __version__)
        sys.exit(0)

    def postOptions(self) -> None:
        """Turn texts into values."""
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
        """Give what somebody said, and remember where."""
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
        """Take the URL out of the file that was named."""
        if self._sources["redis-file"] == "--redis-file" and self._url_is_given:
            raise UsageError("--redis and --redis-file: give one of them")
        if not self._url_is_given:
            with self.blaming("redis-file"):
                self["redis"] = read_url(self["redis-file"])
            self._sources["redis"] = self._sources["redis-file"]

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Tell where a text came from that cannot be used."""
        try:
            yield
        except ValueError as error:
            raise UsageError(f"{self._sources[name]}: {error}") from None

    def need(self, name: str) -> None:
        """Complain where an option is missing."""
        setting = next(one for one in self.settings if one.name == name)
        if self[name] in (None, []):
            raise UsageError(f"--{name} is missing (or {setting.variable} in the environment)")

    def _log_json(self) -> None:
        if self.parent is not None and "fileLogObserverFactory" not in self.parent:
            raise UsageError(f"{self._sources['log-json']}: goes with twist only, not with twistd")
        if self.parent is not None:
            self.parent["fileLogObserverFactory"] = json_observer

    def _metrics_service(self) -> type[MetricsService]:
        try:
            from txthoonk.metrics import MetricsService
        except ImportError as error:  # it says what to install
            raise UsageError(f"{self._sources['metrics-port']}: {error}") from None
        return MetricsService

    def together(self, service: IService, workers: tuple[Worker, ...] = ()) -> MultiService:
        """Give all services in one, in the order in which they start.

        :param service: what works on :attr:`thoonk`.
        :param workers: what metrics tell of.
        """
        services = [self.thoonk, service]
        if self["metrics-port"] is not None:
            where = {"port": self["metrics-port"], "interface": self["metrics-host"]}
            services.append(self._metrics_service()(self.thoonk, workers, **where))
        every = MultiService()
        for one in services:
            one.setServiceParent(every)
        return every


def _collector(setting: Setting) -> Callable[[ServiceOptions, str], None]:
    """Make the method for an option that may be given more than once."""

    def add(self: ServiceOptions, text: str) -> None:
        self.setdefault(setting.name, []).append(text)

    add.__doc__ = setting.help
    return add
