"""Endpoints of hosts, given by address or by name.

Twisted's ``HostnameEndpoint`` resolves names in the reactor's thread pool, and so has to wait for
a free thread, even for an address. It also refuses names that IDNA does not allow, such as names
with an underscore, which are common in container networks.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

__all__ = ["address_of", "tcp_endpoint"]


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is given by; None if it is given by a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def tcp_endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """Make the endpoint of a host.

    :param host: an address, or a name. A name with an underscore is resolved to IPv4 only.
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
