"""What says where Redis is: ``redis://``, ``rediss://``, ``unix://``, ``embedded:``, endpoints.

What a URL has of a password is shown to nobody: not in the text of a target, and not in
the errors, however wrong the URL is.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import attr
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from txthoonk.connections import _endpoint_strings
from txthoonk.connections._hosts import tcp_endpoint
from txthoonk.errors import InvalidInput, InvalidType

__all__ = ["Target", "parse_url", "read_url", "without_passwords"]

DEFAULT_PORT = 6379
MOST_OF_FILE = 10_000  # characters that are read of a file with a URL

KNOWN = (
    "redis://, rediss://, unix://, embedded: and the strings of Twisted's client endpoints, "
    "such as tcp:localhost:6379"
)

# What would end the user and password of a URL (RFC 3986, 3.2.1), or is not ASCII.
_MUST_BE_QUOTED = re.compile(r"[/?#@\[\]]|[^\x21-\x7e]")

_USERINFO = re.compile(r"(\w+://)\S*@")

# What is meant as more than a folder: a query, or a user before the first slash.
_NO_FOLDER = re.compile(r"\?|^[^/]*@|^[^/]*:.*@")


@attr.frozen
class Target:
    """A Redis server, one of its databases, and who asks.

    :ivar text: the URL or endpoint string without the password, to be shown.
    :ivar embedded: whether a private server is wanted.
    :ivar path: the Unix socket, or the private server's folder (empty: a temporary
        one).
    :ivar tls: whether the server must show a certificate for *host*.
    :ivar authorities: whose certificates are accepted, in PEM form; none: the system's
        choice.
    :ivar ca_file: where they were read from.
    :ivar endpoint_string: the endpoint, where Twisted is to find it.
    """

    text: str
    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = attr.field(default=None, repr=False)
    embedded: bool = False
    tls: bool = False
    authorities: tuple[bytes, ...] = attr.field(default=(), repr=False)
    ca_file: str = ""
    endpoint_string: str = attr.field(default="", repr=False)

    @property
    def credentials(self) -> dict[str, Any]:
        """The keyword arguments for :class:`~txthoonk.protocol.Redis`."""
        return {"db": self.db, "username": self.username, "password": self.password}

    def endpoint(self, reactor: Any) -> IStreamClientEndpoint:
        """Make the endpoint to connect to; not for an embedded server.

        :raises InvalidInput: for an endpoint string that Twisted does not take.
        """
        if self.endpoint_string:
            return _endpoint_strings.endpoint(self.endpoint_string, reactor)
        if self.path:
            return UNIXClientEndpoint(reactor, self.path)
        endpoint = tcp_endpoint(reactor, self.host, self.port)
        if not self.tls:
            return endpoint
        host = f"[{self.host}]" if ":" in self.host else self.host
        secured: IStreamClientEndpoint = _tls().Secured(
            endpoint,
            self.host,
            self.authorities,
            place=f"{host}:{self.port}",
            ca_file=self.ca_file,
        )
        return secured


def parse_url(
    url: str,
    *,
    db: int | None = None,
    username: str | None = None,
    password: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
) -> Target:
    """Take a URL apart.

    Whatever has no ``://`` in it, and is not ``embedded:``, is an endpoint for
    :func:`~twisted.internet.endpoints.clientFromString`.  Of those with TLS take
    ``tls:``, which checks the name of the server; ``ssl:`` does so only if it is told to.

    :param url: ``redis://[user:password@]host[:port][/db]``, the same with ``rediss://``
        for TLS, ``unix://[user:password@]/path/to/socket[?db=N]``, ``embedded:``,
        ``embedded:/folder`` (``~`` is your home), or an endpoint such as ``tcp:localhost:6379``.
    :param db: the database, where the URL names none.
    :param username: the user, where the URL names none.
    :param password: the password, where the URL has none.
    :param ca_file: the certificates, in PEM form, of those who may vouch for the server
        of a ``rediss://`` URL; it is read now.  None: whom the system trusts.
    :raises InvalidInput: for any other, and where a keyword is not what the URL says;
        the text does not show the password.
    """
    if not isinstance(url, str):
        raise InvalidType(f"the URL must be a str, not {type(url).__name__}")
    if url.startswith("embedded:"):
        said = _embedded(url, username, password)
    elif "://" in url:
        said = _url(url)
    else:
        said = _endpoint(url)
    for name, value in _given(db, username, password).items():
        if said.setdefault(name, value) != value:
            raise InvalidInput(f"{said['text']!r} has a {name}, and {name}= is another one")
    return Target(**said, **_trust(said, ca_file))


def read_url(path: str) -> str:
    """Read a URL from a file, so that no command line has its password.

    :raises InvalidInput: if it is not one line.
    """
    try:
        with open(path, encoding="utf-8") as file:
            url = file.read(MOST_OF_FILE).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(f"the URL cannot be read from {path!r}: {reason}") from None
    if not url or not url.isprintable():
        raise InvalidInput(f"{path!r} must have one line, a URL")
    return url


def without_passwords(text: str) -> str:
    """Give a text of a user's with the passwords of all URLs in it hidden."""
    return _endpoint_strings.masked(_USERINFO.sub(r"\1***@", text))


def _given(db: int | None, username: str | None, password: str | None) -> dict[str, Any]:
    """Give the keywords that say something."""
    given: dict[str, Any] = {}
    if db is not None:
        given["db"] = _checked_database(db)
    for name, value in (("username", username), ("password", password)):
        # What it is must not be shown: it may be the secret.
        if value is not None and not isinstance(value, str):
            raise InvalidType(f"{name} must be a str, not {type(value).__name__}")
        if value:
            given[name] = _encodable(name, value)
    return given


def _checked_database(db: object) -> int:
    if not isinstance(db, int) or isinstance(db, bool):
        raise InvalidType(f"db must be an int, not {type(db).__name__}")
    if db < 0:
        raise InvalidInput(f"db must not be negative, as {db} is")
    return db


def _encodable(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name} has characters that UTF-8 does not have") from None
    return value


def _trust(said: dict[str, Any], ca_file: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Read whom to trust, and see whether the host can have a certificate at all."""
    text = said["text"]
    if not said.get("tls"):
        if ca_file is not None:
            raise InvalidInput(f"ca_file goes with rediss:// only, not with {text!r}")
        return {}
    tls = _tls()
    trust: dict[str, Any] = {}
    if ca_file is not None:
        trust = {"authorities": tls.read_authorities(ca_file), "ca_file": os.fspath(ca_file)}
    try:
        tls.options(said["host"], trust.get("authorities", ()))
    except UnicodeError as error:
        raise InvalidInput(f"{text!r}: not the name of a host: {error}") from None
    return trust


def _tls() -> Any:
    try:
        from txthoonk.connections import _tls
    except ImportError as error:
        raise InvalidInput(f"TLS needs 'pip install txthoonk[tls]': {error}") from None
    return _tls


# -- the forms, each as the arguments of a Target --------------------------------


def _embedded(url: str, *user: str | None) -> dict[str, Any]:
    folder = url.removeprefix("embedded:").removeprefix("//")
    if _NO_FOLDER.search(folder):
        # What it says may be a password: it is not shown.
        raise InvalidInput(
            "'embedded:***' is a private server: a folder may follow, and no user, password or "
            "query; the database is given as db=, and a folder with such a name as ./name"
        )
    if any(user):
        raise InvalidInput(f"{url!r} is a private server: it knows no user and no password")
    return {"text": url, "path": os.path.expanduser(folder), "embedded": True}


def _endpoint(string: str) -> dict[str, Any]:
    text = _endpoint_strings.shown(string)
    kind, _, rest = string.partition(":")
    if not rest.strip(":") or not _endpoint_strings.is_known(kind):
        raise InvalidInput(f"not a URL of Redis: {text!r} (known are {KNOWN})")
    if kind.lower() in _endpoint_strings.ENCRYPTED:
        _tls()
    _endpoint_strings.check(string)
    return {"text": text, "endpoint_string": string}


def _url(url: str) -> dict[str, Any]:
    scheme, _, rest = url.partition("://")
    # The last @ of all: a password that is not quoted must not be shown either.
    userinfo, at, place = rest.rpartition("@")
    if scheme == "unix" and rest.startswith("/"):
        userinfo, at, place = "", "", rest  # it belongs to the path
    shown = _endpoint_strings.masked(f"{scheme}://***@{place}" if at else url)
    if scheme not in ("redis", "rediss", "unix"):
        raise InvalidInput(f"not a URL of Redis: {shown!r} (known are {KNOWN})")
    if _MUST_BE_QUOTED.search(userinfo):
        raise InvalidInput(
            f"{shown!r}: quote the special characters of user and password (/ is %2F, @ is %40)"
        )
    user, _, password = userinfo.partition(":")
    try:
        parts = urlsplit(f"{scheme}://{place}")
        where = _socket(parts) if scheme == "unix" else _host(parts)
    except ValueError as error:
        raise InvalidInput(f"{shown!r}: {_endpoint_strings.masked(str(error))}") from None
    said = {"username": unquote(user), "password": unquote(password), **where}
    said = {name: value for name, value in said.items() if value not in (None, "")}
    return {"text": shown, "tls": scheme == "rediss", **said}


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


def _database(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the database must be a number, not {text!r}")
    return int(text)
