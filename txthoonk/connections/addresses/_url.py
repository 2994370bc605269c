"""URLs of Redis: ``redis://``, ``rediss://``, ``unix://``, ``embedded:``, and endpoint strings.

The password of a URL is never shown: not in the text of a target, and not in an error, however
wrong the URL is.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import attr
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from txthoonk.connections.addresses import _endpoint_strings
from txthoonk.connections.addresses._hosts import tcp_endpoint
from txthoonk.errors import InvalidInput, InvalidType, shown

__all__ = ["Target", "parse_url", "read_url", "without_passwords"]

DEFAULT_PORT = 6379
MOST_DATABASE = 2**31 - 1
MOST_OF_FILE = 10_000  # characters to read of a file with a URL

KNOWN = (
    "redis://, rediss://, unix://, embedded: and the strings of Twisted's client endpoints, "
    "such as tcp:localhost:6379"
)

# Characters that end the user and password of a URL (RFC 3986, 3.2.1), or are not ASCII.
_MUST_BE_QUOTED = re.compile(r"[/?#@\[\]]|[^\x21-\x7e]")

_USERINFO = re.compile(r"(\w+://)\S*@")

# More than a folder: a query, or a user before the first slash.
_NO_FOLDER = re.compile(r"\?|^[^/]*@|^[^/]*:.*@")


@attr.frozen
class Target:
    """A Redis server, one of its databases, and the credentials.

    :ivar text: the URL or endpoint string without the password, for messages.
    :ivar embedded: whether it is a private server.
    :ivar path: the Unix socket, or the private server's folder (empty: a temporary one).
    :ivar tls: whether the server must show a certificate for *host*.
    :ivar authorities: the accepted authorities, as certificates in PEM form; none: those that
        the system trusts.
    :ivar ca_file: the file that they were read from.
    :ivar endpoint_string: the string of a Twisted endpoint; empty for a URL.
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
        """Make the endpoint to connect to; not for a private server.

        :raises InvalidInput: for an endpoint string that Twisted does not accept.
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
    """Parse a URL.

    A string without ``://`` that does not begin with ``embedded:`` is an endpoint for
    :func:`~twisted.internet.endpoints.clientFromString`. For TLS, use ``tls:``, which checks the
    name of the server; ``ssl:`` does so only if its arguments ask for it.

    :param url: ``redis://[user:password@]host[:port][/db]``, the same with ``rediss://``
        for TLS, ``unix://[user:password@]/path/to/socket[?db=N]``, ``embedded:``,
        ``embedded:/folder`` (``~`` is your home), or an endpoint such as ``tcp:localhost:6379``.
    :param db: the database, if the URL names none.
    :param username: the user, if the URL names none.
    :param password: the password, if the URL has none.
    :param ca_file: a file with the certificates, in PEM form, of the authorities to accept for
        a ``rediss://`` URL; it is read now. None: those that the system trusts.
    :raises InvalidInput: for any other string, and if a keyword contradicts the URL. The error
        does not show the password.
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
            raise InvalidInput(f"{said['text']!r} has a {name}, and {name}= is a different one")
    return Target(**said, **_trust(said, ca_file))


def read_url(path: str) -> str:
    """Read a URL from a file, which keeps its password out of the command line.

    :raises InvalidInput: if the file cannot be read, or is not one line.
    """
    try:
        with open(path, encoding="utf-8") as file:
            url = file.read(MOST_OF_FILE).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(f"the URL cannot be read from {path!r}: {reason}") from None
    if not url or not url.isprintable():
        raise InvalidInput(f"{path!r} must contain one line, a URL")
    return url


def without_passwords(text: str) -> str:
    """Return a text with the passwords of all URLs in it hidden."""
    return _endpoint_strings.masked(_USERINFO.sub(r"\1***@", text))


def _given(db: int | None, username: str | None, password: str | None) -> dict[str, Any]:
    """Check the keyword arguments, and return those that were given."""
    given: dict[str, Any] = {}
    if db is not None:
        given["db"] = _checked_database(db)
    for name, value in (("username", username), ("password", password)):
        # The error must not show the value: it may be the secret.
        if value is not None and not isinstance(value, str):
            raise InvalidType(f"{name} must be a str, not {type(value).__name__}")
        if value:
            given[name] = _encodable(name, value)
    return given


def _checked_database(db: object) -> int:
    if not isinstance(db, int) or isinstance(db, bool):
        raise InvalidType(f"db must be an int, not {type(db).__name__}")
    if db < 0:
        raise InvalidInput(f"db must not be negative: {shown(db)}")
    if db > MOST_DATABASE:
        raise InvalidInput(f"db must be at most {MOST_DATABASE:,}: {shown(db)}")
    return db


def _encodable(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name} contains characters that UTF-8 cannot encode") from None
    return value


def _trust(said: dict[str, Any], ca_file: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Read the authorities, and check that the host can have a certificate."""
    text = said["text"]
    if not said.get("tls"):
        if ca_file is not None:
            raise InvalidInput(f"ca_file is for rediss:// only, not for {text!r}")
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
        from txthoonk.connections.addresses import _tls
    except ImportError as error:
        raise InvalidInput(f"TLS: run pip install 'txthoonk[tls]' first ({error})") from None
    return _tls


# -- each kind of URL, as the arguments of a Target ------------------------------


def _embedded(url: str, *user: str | None) -> dict[str, Any]:
    folder = url.removeprefix("embedded:").removeprefix("//")
    if _NO_FOLDER.search(folder):
        # It may contain a password, so it is not shown.
        raise InvalidInput(
            "'embedded:***' is a private server: only a folder may follow, without user, password "
            "or query. Pass the database as db=, and a folder with such a name as ./name"
        )
    if any(user):
        raise InvalidInput(f"{url!r} is a private server, which has no user and no password")
    return {"text": url, "path": os.path.expanduser(folder), "embedded": True}


def _endpoint(string: str) -> dict[str, Any]:
    text = _endpoint_strings.shown(string)
    kind, _, rest = string.partition(":")
    if not rest.strip(":") or not _endpoint_strings.is_known(kind):
        raise InvalidInput(f"not a URL of Redis: {text!r} (use {KNOWN})")
    if kind.lower() in _endpoint_strings.ENCRYPTED:
        _tls()
    _endpoint_strings.check(string)
    return {"text": text, "endpoint_string": string}


def _url(url: str) -> dict[str, Any]:
    scheme, _, rest = url.partition("://")
    # The last @: a password that is not quoted must not be shown either.
    userinfo, at, place = rest.rpartition("@")
    if scheme == "unix" and rest.startswith("/"):
        userinfo, at, place = "", "", rest  # the @ belongs to the path
    display = _endpoint_strings.masked(f"{scheme}://***@{place}" if at else url)
    if scheme not in ("redis", "rediss", "unix"):
        raise InvalidInput(f"not a URL of Redis: {display!r} (use {KNOWN})")
    if _MUST_BE_QUOTED.search(userinfo):
        raise InvalidInput(
            f"{display!r}: quote special characters in user and password (%2F for /, %40 for @)"
        )
    user, _, password = userinfo.partition(":")
    try:
        parts = urlsplit(f"{scheme}://{place}")
        where = _socket(parts) if scheme == "unix" else _host(parts)
    except ValueError as error:
        raise InvalidInput(f"{display!r}: {_endpoint_strings.masked(str(error))}") from None
    said = {"username": unquote(user), "password": unquote(password), **where}
    said = {name: value for name, value in said.items() if value not in (None, "")}
    return {"text": display, "tls": scheme == "rediss", **said}


def _host(parts: SplitResult) -> dict[str, Any]:
    if parts.query or parts.fragment:
        raise ValueError("put the database after the host, as in redis://host:6379/1")
    return {
        "host": parts.hostname or "localhost",
        "port": DEFAULT_PORT if parts.port is None else parts.port,
        "db": _database(parts.path.strip("/")),
    }


def _socket(parts: SplitResult) -> dict[str, Any]:
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.netloc or parts.path in ("", "/"):
        raise ValueError("give the whole path of the socket, as in unix:///run/redis.sock")
    if set(query) - {"db"} or parts.fragment:
        raise ValueError("put the database after the socket, as in unix:///run/redis.sock?db=1")
    return {"path": unquote(parts.path), "db": _database(query.get("db", [""])[-1])}


def _database(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the database must be a number, not {text!r}")
    return int(text)
