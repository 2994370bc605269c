"""The objects of 0.1: each wraps one connection, and a factory reconnects it."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, ITransport
from twisted.internet.protocol import ReconnectingClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk._support._threads import check_thread
from txthoonk.protocol._client import RedisProtocol
from txthoonk.wire._keys import SEPARATOR

__all__ = ["ThoonkBase", "ThoonkFactory"]

AnyRedis = TypeVar("AnyRedis", bound=RedisProtocol)


@implementer(IProtocol)
class ThoonkBase(Generic[AnyRedis]):
    """One connection to Redis, and the object around it, which outlives the connection.

    :ivar redis: the protocol of the present connection, or of the last one.
    """

    SEPARATOR: ClassVar[str] = SEPARATOR

    def __init__(self, redis: AnyRedis) -> None:
        self.uuid = uuid.uuid4().hex
        self._closed = False
        self.factory: ThoonkFactory | None = None
        self.transport: ITransport | None = None
        self.set_redis(redis)

    def set_redis(self, redis: AnyRedis) -> None:
        """Use *redis* from now on; a factory calls this when it reconnects."""
        self.redis = redis

    def makeConnection(self, transport: ITransport) -> None:
        """Take the transport of a new connection."""
        self.transport = transport  # ClientService of Twisted 24 closes it by this name
        self.redis.makeConnection(transport)  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """Begin: the connection is made."""
        self.redis.connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the connection."""
        self.redis.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Fail all calls that wait for a reply: the connection is lost."""
        self.redis.connectionLost(reason)
        if self.factory is not None and not self._closed:
            self.factory.lost(self)

    def close(self) -> Deferred[None]:
        """Close the connection for good: the factory does not reconnect it.

        Calls that wait for a reply fail with :class:`~txthoonk.errors.ConnectionLost`.

        :return: fires None once the connection is closed. Cancelling it drops the connection
            without waiting for the server.
        """
        check_thread()
        self._stop_reconnecting()
        return self.redis.close()

    def _stop_reconnecting(self) -> None:
        self._closed = True
        if self.factory is not None:
            self.factory.stopTrying()  # type: ignore[no-untyped-call]


class ThoonkFactory(ReconnectingClientFactory):
    """Builds an object for a new connection, or reconnects an object that lost its own."""

    protocol: Callable[..., Any]
    protocol_wrapper: Callable[..., Any]

    def __init__(
        self,
        db: int | None = None,
        password: str | None = None,
        charset: str | None = "utf8",
        errors: str = "strict",
        username: str | None = None,
    ) -> None:
        """Take the arguments of :class:`~txthoonk.protocol.Redis`."""
        self._arguments = (db, password, charset, errors, username)
        self._options: dict[str, Any] = {}
        self._lost: deque[ThoonkBase[Any]] = deque()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Build the protocol for a new connection.

        An object that lost its connection, and was not closed, gets the new one. Its feeds and
        handlers keep working, in the database that it has selected.
        """
        self.resetDelay()  # type: ignore[no-untyped-call]
        db, password, charset, errors, username = self._arguments
        if self._lost:
            wrapper = self._lost.popleft()
            last = wrapper.redis
            redis = self.protocol(last.db, last.password, charset, errors, last.username)
            redis.limits = last.limits
            wrapper.set_redis(redis)
        else:
            redis = self.protocol(db, password, charset, errors, username)
            wrapper = self.protocol_wrapper(redis, **self._options)
            wrapper.factory = self
        return wrapper

    def lost(self, wrapper: ThoonkBase[Any]) -> None:
        """Remember an object that needs a new connection."""
        self._lost.append(wrapper)
