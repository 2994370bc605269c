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
from contextlib import asynccontextmanager
from functools import partial, update_wrapper
from typing import Any, cast

import attr
import click

from txthoonk.client import ThoonkPub, ThoonkPubFactory
from txthoonk.connections._url import Target, read_url

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

DEFAULT_URL = "redis://localhost:6379/0"
URL_VARIABLE = "THOONK_URL"
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@attr.define
class Where:
    """The options that name the server; they can stand before the command and after it."""

    url: str | None = None
    url_file: str | None = None
    ca_file: str | None = None

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
    """

    reactor: Any
    url: str
    target: Target
    ca_file: str | None = None

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[ThoonkPub]:
        """Connect, and close the connection at the end."""
        factory = ThoonkPubFactory(**self.target.credentials)
        pub = cast(ThoonkPub, await self.target.endpoint(self.reactor).connect(factory))
        try:
            yield pub
        finally:
            await pub.close()


Function = Callable[..., Coroutine[Any, Any, None]]


@attr.frozen
class Call:
    """A command and its arguments, ready to run.

    :ivar run: runs it on a session.
    :ivar endless: whether it runs until the user stops it.
    """

    run: Callable[[Session], Coroutine[Any, Any, None]]
    endless: bool = False


def command(*examples: str, endless: bool = False) -> Callable[[Function], click.Command]:
    """Make a coroutine function a command of the same name.

    :param examples: command lines for ``--help``.
    :param endless: whether the command runs until the user stops it.
    """

    def declare(function: Function) -> click.Command:
        def bind(**arguments: Any) -> Call:
            return Call(partial(function, **arguments), endless)

        made: click.Command = click.command(
            function.__name__,
            epilog="\n  ".join(["\b\nExamples:", *examples]),
            context_settings=HELP_NAMES,
        )(update_wrapper(bind, function))
        made.params += CONNECTION
        return made

    return declare


# -- options that several commands have -----------------------------------------------------

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one value a line.")
id_option = partial(click.option, "--id", "id_", metavar="ID")
seconds_option = partial(click.option, type=float, metavar="SECONDS")


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is None:
        return
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
]
