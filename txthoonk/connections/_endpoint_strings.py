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

from txthoonk.connections._hosts import address_of
from txthoonk.errors import InvalidInput

__all__ = ["ENCRYPTED", "check", "endpoint", "is_known", "masked", "shown"]

ENCRYPTED = frozenset({"ssl", "tls"})
_OWN = frozenset({"tcp", "unix"}) | ENCRYPTED  # Twisted's: they do nothing until they connect

_SECRET = re.compile(r"(\w*(?:pass|pwd|secret|token|auth|cred)\w*=).*", re.IGNORECASE | re.DOTALL)
# Twisted would take the user for a part of the host, and name it in its errors.
_USER = re.compile(
    r"(?:tcp|ssl|tls):(?:(?:.*:)?host=)?(?:\\.|[^:=\\])*@", re.IGNORECASE | re.DOTALL
)

_PARTS = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)
_POSITIONAL = ("host", "port")
_TCP = ("host", "port", "timeout", "bindAddress")

# Stands for the reactor where a string is only checked.
_NO_REACTOR: Any = SimpleNamespace(nameResolver=None)
directlyProvides(_NO_REACTOR, IReactorPluggableNameResolver)


def masked(text: str) -> str:
    """Hide the value of what is called a password, and all behind it."""
    return _SECRET.sub(r"\1***", text)


def shown(string: str) -> str:
    """Give what may be shown of a string, right or wrong."""
    text = masked(string)
    _, at, place = text.rpartition("@")
    return f"***@{place}" if at and not text.lower().startswith("unix:/") else text


def is_known(kind: str) -> bool:
    """Whether Twisted, or a plugin of it, has endpoints that begin so."""
    kind = kind.lower()
    plugins = getPlugins(IStreamClientEndpointStringParserWithReactor)
    return kind in _OWN or any(plugin.prefix.lower() == kind for plugin in plugins)


def check(string: str) -> None:
    """Refuse what is wrong, as far as that can be told without a reactor.

    :raises InvalidInput: it names the string, but no password in it.
    """
    if _USER.match(string):
        raise InvalidInput(
            f"{shown(string)!r}: user and password are no part of an endpoint; "
            "give them as username= and password="
        )
    if string.partition(":")[0].lower() in _OWN:
        endpoint(string, _NO_REACTOR)


def endpoint(string: str, reactor: Any) -> IStreamClientEndpoint:
    """Make the endpoint; see :func:`check` for what it raises."""
    try:
        made: IStreamClientEndpoint = clientFromString(reactor, _without_lookup(string))
    except Exception as error:  # noqa: BLE001  (plugins raise what they like, Twisted too)
        text = shown(string)
        # The reason repeats a part of the string: the secret one, perhaps.
        reason = f": {str(error) or type(error).__name__}" if text == string else ""
        raise InvalidInput(f"not an endpoint of Twisted: {text!r}{reason}") from None
    return made


def _without_lookup(string: str) -> str:
    """Say how to connect where ``tls:`` names an address: Twisted would look that up.

    What connects is given as ``endpoint=``; the address is then used for the certificate only.
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
