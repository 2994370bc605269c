"""URLs that say where Redis is: ``redis://``, ``unix://`` and ``embedded:``."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import attr
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from txthoonk.errors import InvalidInput

__all__ = ["Target", "parse_url"]

DEFAULT_PORT = 6379


@attr.frozen
class Target:
    """A Redis server, one of its databases, and who asks.

    :ivar text: the URL without the password, to be shown.
    :ivar embedded: whether a private server is wanted.
    :ivar path: the Unix socket, or the private server's folder (empty: a temporary
        one).
    """

    text: str
    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = attr.field(default=None, repr=False)
    embedded: bool = False

    @property
    def credentials(self) -> dict[str, Any]:
        """The keyword arguments for :class:`~txthoonk.protocol.Redis`."""
        return {"db": self.db, "username": self.username, "password": self.password}

    def endpoint(self, reactor: Any) -> IStreamClientEndpoint:
        """Make the endpoint to connect to; not for an embedded server."""
        if self.path:
            return UNIXClientEndpoint(reactor, self.path)
        return HostnameEndpoint(reactor, self.host, self.port)


def parse_url(url: str) -> Target:
    """Take a URL apart.

    :param url: ``redis://[user:password@]host[:port][/db]``,
        ``unix://[user:password@]/path/to/socket[?db=N]``, ``embedded:`` or
        ``embedded:/folder``.
    :raises InvalidInput: for any other; the text does not show the password.
    """
    scheme, colon, rest = url.partition(":")
    if scheme == "embedded" and colon:
        return Target(url, path=rest.removeprefix("//"), embedded=True)
    parts = urlsplit(url)
    userinfo, _, place = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=f"***@{place}").geturl() if userinfo else url
    if scheme == "redis":
        db = parts.path.strip("/")
    elif scheme == "unix":
        db = parse_qs(parts.query).get("db", [""])[0]
    else:
        raise InvalidInput(
            f"not a URL of Redis: {shown!r} (known are redis://, unix:// and embedded:)"
        )
    user, _, password = userinfo.partition(":")
    try:
        return Target(
            shown,
            host=parts.hostname or "localhost",
            port=parts.port or DEFAULT_PORT,
            path=unquote(parts.path) if scheme == "unix" else "",
            db=_database(db),
            username=unquote(user) or None,
            password=unquote(password) if password else None,
        )
    except ValueError as error:
        raise InvalidInput(f"{shown!r}: {error}") from None


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the database must be a number, not {text!r}")
    return int(text)
