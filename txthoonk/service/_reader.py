"""How the subscriptions of a service read: on the publisher's connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from txthoonk.protocol._commands import Commands
from txthoonk.service._connections import Connections
from txthoonk.subscriptions._router import Sources

__all__ = ["ServiceReader"]


class ServiceReader:
    """See :class:`txthoonk.subscriptions._interfaces.Reader`.

    :param redis: sends on the present connection of the publisher.
    """

    def __init__(
        self,
        redis: Commands,
        connections: Connections,
        sources: Sources,
        reactor: Any,
    ) -> None:
        self.redis = redis
        self.mark_channel = sources.mark_channel
        self.mark = sources.mark
        self.ping = sources.ping
        self._connections = connections
        self._reactor = reactor

    def hears(self) -> bool:
        """Return whether the subscriber's connection answers."""
        return self._connections.subscriber.answers

    def available(self) -> Deferred[Any]:
        """Wait for the publisher's connection."""
        return self._connections.publisher.when_connected()

    def seconds(self) -> float:
        """Return the reactor's time."""
        return float(self._reactor.seconds())

    def later(self, seconds: float) -> Deferred[Any]:
        """Wait for some seconds."""
        return deferLater(self._reactor, seconds)
