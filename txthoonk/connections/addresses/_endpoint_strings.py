"""The strings of Twisted's client endpoints, such as ``tcp:localhost:6379``."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from twisted.internet.endpoints import clientFromString, quoteStringArgument
from twisted.internet.interfaces import (
    IReactorPluggableNameResolver,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.plugin import getPlugins
from zope.interface import directlyProvides

from txthoonk.connections.addresses._hosts import address_of
from txthoonk.errors import InvalidInput

__all__ = ["ENCRYPTED", "check", "endpoint", "is_known", "masked", "shown"]

ENCRYPTED = frozenset({"ssl", "tls"})
_OWN = frozenset({"tcp", "unix"}) | ENCRYPTED  # Twisted's own: no side effects before connect()

_SECRET = re.compile(r"(\w*(?:pass|pwd|secret|token|auth|cred)\w*=).*", re.IGNORECASE | re.DOTALL)
# Twisted would take the user for a part of the host, and show it in its errors.
_USER = re.compile(
    r"(?:tcp|ssl|tls):(?:(?:.*:)?host=)?(?:\\.|[^:=\\])*@", re.IGNORECASE | re.DOTALL
)

_PARTS = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)
_POSITIONAL = ("host", "port")
_TCP = ("host", "port", "timeout", "bindAddress")

# Takes the place of the reactor when a string is only checked.
_NO_REACTOR: Any = SimpleNamespace(nameResolver=None)
directlyProvides(_NO_REACTOR, IReactorPluggableNameResolver)


def masked(text: str) -> str:
    """Hide the value of anything named like a password, and the text after it."""
    return _SECRET.sub(r"\1***", text)


def shown(string: str) -> str:
    """Return what may be shown of a string, valid or not."""
    text = masked(string)
    _, at, place = text.rpartition("@")
    return f"***@{place}" if at and not text.lower().startswith("unix:/") else text


def is_known(kind: str) -> bool:
    """Return whether Twisted, or one of its plugins, has endpoints of a kind."""
    kind = kind.lower()
    plugins = getPlugins(IStreamClientEndpointStringParserWithReactor)
    return kind in _OWN or any(plugin.prefix.lower() == kind for plugin in plugins)


def check(string: str) -> None:
    """Check a string as far as possible without a reactor.

    :raises InvalidInput: if it is wrong. The error shows the string, without its password.
    """
    if _USER.match(string):
        raise InvalidInput(
            f"{shown(string)!r}: an endpoint has no user and password; "
            "pass them as username= and password="
        )
    if string.partition(":")[0].lower() in _OWN:
        endpoint(string, _NO_REACTOR)


def endpoint(string: str, reactor: Any) -> IStreamClientEndpoint:
    """Make the endpoint; see :func:`check` for what this raises."""
    try:
        made: IStreamClientEndpoint = clientFromString(reactor, _without_lookup(string))
    except Exception as error:  # noqa: BLE001  (plugins may raise anything, and so does Twisted)
        text = shown(string)
        # The reason repeats a part of the string, which may be the secret.
        reason = f": {str(error) or type(error).__name__}" if text == string else ""
        raise InvalidInput(f"not an endpoint of Twisted: {text!r}{reason}") from None
    return made


def _without_lookup(string: str) -> str:
    """Return a string that connects to an address directly, where ``tls:`` would resolve it.

    ``endpoint=`` says how to connect. Twisted then uses the address for the certificate only.
    """
    kind, *parts = _PARTS.findall(string)
    if kind.lower() != "tls":
        return string
    named: dict[str, str] = {}
    for position, part in enumerate(parts):
        name, equals, value = part.partition("=")
        if not equals and position < len(_POSITIONAL):
            name, value = _POSITIONAL[position], part
        named[name] = value
    host = named.get("host", "").replace("\\", "")
    if address_of(host) is None or "port" not in named or "endpoint" in named:
        return string
    tcp = ":".join(["tcp", *(f"{name}={named[name]}" for name in _TCP if name in named)])
    return f"{string}:endpoint={quoteStringArgument(tcp)}"
