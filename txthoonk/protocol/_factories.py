"""The factories of txredis."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ReconnectingClientFactory

from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._commands import Redis
from txthoonk.protocol._pubsub import RedisSubscriber

__all__ = ["RedisClientFactory", "RedisSubscriberFactory"]


class RedisClientFactory(ReconnectingClientFactory):
    """Connects, and connects again when the connection is lost, with txredis' interface.

    Each connection has a new client; the calls of the old one have failed.  A
    :class:`~txthoonk.service.Thoonk` keeps its objects instead, so use that in a new program.

    :ivar client: the client of the latest connection, None before the first one.
    :ivar deferred: fires the client of the next connection; another one takes its place then.
    """

    protocol: type[RedisProtocol] = Redis

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the factory; the arguments are those of :class:`Redis`."""
        self._args = args
        self._kwargs = kwargs
        self.client: Any = None
        self.deferred: Deferred[Any] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Build the client of a new connection."""
        self.resetDelay()  # type: ignore[no-untyped-call]
        client = self.client = self.protocol(*self._args, **self._kwargs)
        client.factory = self
        clock: Any = self.clock
        if clock is None:
            from twisted.internet import reactor as clock
        # The connection is made as soon as this function has returned.
        clock.callLater(0, self._connected, client)
        return client

    def _connected(self, client: RedisProtocol) -> None:
        waiting, self.deferred = self.deferred, Deferred()
        waiting.callback(client)


class RedisSubscriberFactory(RedisClientFactory):
    """The same for subscribers."""

    protocol = RedisSubscriber
