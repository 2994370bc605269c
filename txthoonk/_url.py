"""URLs that say where Redis is: ``redis://``, ``unix://`` and ``embedded:``."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import attr
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from txthoonk.errors import InvalidInput

__all__ = ["Target", "parse_url"]

DEFAULT_PORT = 6379

# What would end the user and password of a URL (RFC 3986, 3.2.1), or is not ASCII.
_MUST_BE_QUOTED = re.compile(r"[/?#@\[\]]|[^\x21-\x7e]")


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
    # The last @ of all: a password that is not quoted must not be shown either.
    secret, at, place = rest.rpartition("@") if not rest.startswith("///") else ("", "", rest)
    shown = f"{scheme}://***@{place}" if at else url
    if scheme not in ("redis", "unix") or not colon:
        raise InvalidInput(
            f"not a URL of Redis: {shown!r} (known are redis://, unix:// and embedded:)"
        )
    userinfo = secret.removeprefix("//")
    if _MUST_BE_QUOTED.search(userinfo):
        raise InvalidInput(
            f"{shown!r}: quote the special characters of user and password (/ is %2F, @ is %40)"
        )
    user, _, password = userinfo.partition(":")
    try:
        parts = urlsplit(f"{scheme}://{place}" if at else url)
        where = _socket(parts) if scheme == "unix" else _host(parts)
    except ValueError as error:
        raise InvalidInput(f"{shown!r}: {error}") from None
    return Target(
        shown,
        username=unquote(user) or None,
        password=unquote(password) or None,
        **where,
    )


def _host(parts: SplitResult) -> dict[str, Any]:
    if parts.query or parts.fragment:
        raise ValueError("the database goes behind the host, as in redis://host:6379/1")
    return {
        "host": parts.hostname or "localhost",
        "port": DEFAULT_PORT if parts.port is None else parts.port,
        "db": _database(parts.path.strip("/")),
    }


def _socket(parts: SplitResult) -> dict[str, Any]:
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.netloc or parts.path in ("", "/"):
        raise ValueError("the socket is named by its whole path, as in unix:///run/redis.sock")
    if set(query) - {"db"} or parts.fragment:
        raise ValueError("the database goes behind the socket, as in unix:///run/redis.sock?db=1")
    return {"path": unquote(parts.path), "db": _database(query.get("db", [""])[-1])}


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the database must be a number, not {text!r}")
    return int(text)
