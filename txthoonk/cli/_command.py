"""How to declare a command of ``thoonk``: click parses its words, and the reactor runs it later.

A command is a coroutine function whose first argument is the :class:`Session`::

    @command("thoonk items news")
    @click.argument("feed")
    @json_option
    async def items(session: Session, feed: str, as_json: bool) -> None:

Its docstring and the examples are its ``--help``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial, update_wrapper
from typing import Any, NoReturn, cast

import attr
import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txthoonk.client import ThoonkPub, ThoonkPubFactory
from txthoonk.connections._keepalive import ping
from txthoonk.connections.addresses._url import Target, parse_url, read_url
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.protocol import Redis
from txthoonk.service import Thoonk

__all__ = [
    "CONNECTION",
    "HELP_NAMES",
    "Call",
    "Session",
    "Where",
    "command",
    "id_option",
    "json_option",
    "seconds_option",
]

TIMEOUT = 10.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds; after that, the connection is dropped
DEFAULT_URL = "redis://localhost:6379/0"
URL_VARIABLE = "THOONK_URL"
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@attr.define
class Where:
    """The options of the connection; they can stand before the command and after it."""

    url: str | None = None
    url_file: str | None = None
    ca_file: str | None = None
    timeout: float = TIMEOUT

    def read(self) -> str:
        """Give the URL: of the command line, else of the environment, else the default."""
        if self.url_file is not None:
            return read_url(self.url_file)
        return self.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL


@attr.frozen
class Session:
    """What a command runs with.

    :ivar url: of the server, as the user wrote it.
    :ivar target: where that server listens.
    :ivar timeout: seconds that the server may take to answer.
    """

    reactor: Any
    url: str
    target: Target
    ca_file: str | None = None
    timeout: float = TIMEOUT

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[ThoonkPub]:
        """Connect, and close the connection at the end.

        A connection on which the server does not answer for :attr:`timeout` is dropped: calls
        fail with :class:`~txthoonk.errors.ConnectionLost`.
        """
        pub = await self._connect()
        checking = Deferred.fromCoroutine(self._check(pub.redis))
        checking.addErrback(self._drop, pub.redis)
        try:
            yield pub
        finally:
            checking.cancel()
            closing = pub.close()
            await closing.addTimeout(CLOSE_TIMEOUT, self.reactor, lambda *_: None)

    async def service(self, **options: Any) -> Thoonk:
        """Connect a service, which reconnects; the caller closes it.

        :param options: those of :class:`~txthoonk.service.Thoonk`.
        :raises ConnectionLost: if the server does not answer for :attr:`timeout`.
        """
        async with self.publisher() as pub:
            await pub.redis.ping()  # an error is final now; the service would try again
        given = parse_url(self.url)
        temporary = given.embedded and not given.path
        thoonk = Thoonk(
            self.target.text if temporary else self.url,
            self.reactor,
            ca_file=self.ca_file,
            reply_timeout=self.timeout,
            **options,
        )
        return await thoonk.connect(self.timeout)

    def _connect(self) -> Deferred[ThoonkPub]:
        endpoint = self.target.endpoint(self.reactor)
        factory = ThoonkPubFactory(
            **self.target.credentials, reactor=self.reactor, endpoint=endpoint
        )
        connecting = cast("Deferred[ThoonkPub]", endpoint.connect(factory))
        return connecting.addTimeout(self.timeout, self.reactor, self._silent)

    async def _check(self, redis: Redis) -> None:
        """Ask the server for a reply again and again; fail if there is none."""
        while True:
            with suppress(ResponseError):  # the command gets the same one
                await ping(redis, self.timeout, self.reactor)
            await deferLater(self.reactor, self.timeout / 2)

    def _drop(self, failure: Failure, redis: Redis) -> None:
        if failure.check(CancelledError) is None:
            redis.abort(self._silence() if failure.check(ConnectionLost) else failure.value)

    def _silent(self, *_: object) -> NoReturn:
        raise self._silence()

    def _silence(self) -> ConnectionLost:
        return ConnectionLost(
            f"{self.target.text} has not answered for {self.timeout:g} seconds "
            "(--timeout SECONDS waits longer)"
        )


Function = Callable[..., Coroutine[Any, Any, None]]


@attr.frozen
class Call:
    """A command and its arguments, ready to run.

    :ivar run: runs it on a session.
    :ivar endless: whether it runs until the user stops it.
    """

    run: Callable[[Session], Coroutine[Any, Any, None]]
    endless: bool = False


class _Command(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; an error names this command, so that its help is found."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it out if an option lacks its value
            raise


def command(*examples: str, endless: bool = False) -> Callable[[Function], click.Command]:
    """Make a coroutine function a command of the same name, without an underscore at its end.

    :param examples: command lines for ``--help``.
    :param endless: whether the command runs until the user stops it.
    """

    def declare(function: Function) -> click.Command:
        def bind(**arguments: Any) -> Call:
            return Call(partial(function, **arguments), endless)

        made: click.Command = click.command(
            function.__name__.removesuffix("_"),
            epilog="\n  ".join(["\b\nExamples:", *examples]),
            cls=_Command,
            context_settings=HELP_NAMES,
        )(update_wrapper(bind, function))
        own = {option.name for option in made.params}
        made.params += [option for option in CONNECTION if option.name not in own]
        return made

    return declare


# -- options that several commands have -----------------------------------------------------

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one value a line.")
id_option = partial(click.option, "--id", "id_", metavar="ID")
seconds_option = partial(click.option, type=float, metavar="SECONDS")


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is None:
        return
    if value == "":  # such as that of a variable that is not set, which must not mean the default
        raise click.UsageError(f"{option.opts[0]} is empty", context)
    where: Where = context.obj
    setattr(where, option.name, value)
    if where.url is not None and where.url_file is not None:
        raise click.UsageError("--url-file is not allowed with --url", context)


CONNECTION: list[click.Parameter] = [
    click.Option(
        ["--url"],
        metavar="URL",
        expose_value=False,
        callback=_keep,
        help="The server: redis://[user:password@]host:port/db, rediss:// for TLS, "
        "unix:///socket?db=N, a Twisted endpoint, or embedded:/folder, which starts a private "
        f"server that keeps its data in that folder.  [default: {URL_VARIABLE} in the "
        f"environment, or {DEFAULT_URL}]",
    ),
    click.Option(
        ["--url-file"],
        metavar="PATH",
        type=click.Path(),
        expose_value=False,
        callback=_keep,
        help="A file that contains the URL. Other users of the machine can see a password on the "
        f"command line, but not one in a file or in {URL_VARIABLE}.",
    ),
    click.Option(
        ["--ca-file"],
        metavar="PATH",
        type=click.Path(),
        expose_value=False,
        callback=_keep,
        help="Certificates (PEM) to trust with rediss://.  [default: those of the system]",
    ),
    click.Option(
        ["--timeout"],
        metavar="SECONDS",
        type=float,
        expose_value=False,
        callback=_keep,
        help=f"How long the server may take to answer.  [default: {TIMEOUT:g}]",
    ),
]
