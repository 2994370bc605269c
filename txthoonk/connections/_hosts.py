"""Endpoints of hosts, given by address or by name.

Twisted's ``HostnameEndpoint`` resolves whatever it is given in the reactor's thread pool, where
that waits for a free thread, addresses included.  It also refuses names that IDNA does not
have, such as those with an underscore, which container networks are full of.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

__all__ = ["address_of", "tcp_endpoint"]


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Give the address that a host is named by; None if that is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def tcp_endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """Make the endpoint of a host.

    :param host: an address, or a name; one with an underscore is looked up as IPv4 only.
    """
    address = address_of(host)
    made: IStreamClientEndpoint
    if address is not None:
        kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
        made = kind(reactor, host, port)
    elif "_" in host:
        made = TCP4ClientEndpoint(reactor, host, port)
    else:
        made = HostnameEndpoint(reactor, host, port)
    return made
