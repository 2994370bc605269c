"""Further connections to a publisher's Redis, on which commands can block.

A command that blocks delays all commands after it on its connection, so gets wait on connections
of their own.  A connection that is not needed any more is kept for the next wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, Union, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IAddress, ISSLTransport, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from txthoonk.connections._keepalive import ping
from txthoonk.connections.addresses._hosts import tcp_endpoint
from txthoonk.consumers._interfaces import Sender
from txthoonk.consumers._subscriber import ResultSub
from txthoonk.errors import (
    AuthenticationError,
    ConnectionError,
    ConnectionLost,
    ResponseError,
    ThoonkError,
    WrongServer,
)
from txthoonk.protocol import Redis
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._transient import passes, serves

__all__ = ["SPARE", "Pool", "WaitingConnection"]

SPARE = 4  # connections that are kept for the next wait
TRUSTED = 0.1  # seconds after its last use for which a spare one need not be checked
SPARE_TIMEOUT = 1.0  # seconds that a spare one has to answer: a new one costs little

Connection = TypeVar("Connection", "WaitingConnection", ResultSub)
Answer = TypeVar("Answer")
AnyConnection = Union[ResultSub, "WaitingConnection"]


class _Single(Factory):
    """Connects one protocol, without log lines."""

    noisy = False

    def __init__(self, protocol: AnyConnection) -> None:
        self._protocol: Any = protocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol."""
        return self._protocol


class WaitingConnection(Redis):
    """A connection for one blocking command at a time.

    :ivar client_id: the server's number for the connection, which CLIENT UNBLOCK needs; 0 if that
        command is forbidden: then the blocking command must end by itself.
    :ivar last_used: when it was given back, in seconds.
    """

    client_id = 0
    last_used = 0.0


class Pool:
    """The connections of one publisher.

    :param reactor: returns the reactor.
    :param endpoint: where the connections go; None: to the peer of the publisher's connection.
    :param timeout: seconds to wait for a connection and its first answers; None: no limit.
    :param check: checks the server of each new connection; a failure drops the connection.
    """

    def __init__(
        self,
        pub: Sender,
        reactor: Callable[[], Any],
        endpoint: IStreamClientEndpoint | None,
        timeout: float | None,
        check: Callable[[RedisProtocol], Awaitable[None]] | None,
    ) -> None:
        self._pub = pub
        self._reactor = reactor
        self._given_endpoint = endpoint
        self._timeout = timeout
        self._check = check
        self._open: list[AnyConnection] = []
        self._spare: list[WaitingConnection] = []

    # -- connections to wait on --------------------------------------------------------

    async def borrow(self) -> WaitingConnection:
        """Return a connection to wait on, until :meth:`give_back`."""
        while self._spare:
            redis = self._spare.pop()
            if redis.usable and redis.db == self._pub.redis.db and await self._is_alive(redis):
                return redis
            self.forget(redis)
        redis = await self.connect(WaitingConnection)
        try:
            redis.client_id = await self._number(redis)
        except BaseException:
            self.forget(redis)
            raise
        return redis

    async def _is_alive(self, redis: WaitingConnection) -> bool:
        """Return whether a spare connection still answers: a NAT may have forgotten it."""
        if 0 <= self._reactor().seconds() - redis.last_used < TRUSTED:
            return True
        try:
            await ping(redis, SPARE_TIMEOUT, self._reactor())
        except ResponseError as error:
            return serves(error)
        except ThoonkError:
            return False
        except BaseException:  # cancelled
            self.forget(redis)
            raise
        return True

    async def _number(self, redis: WaitingConnection) -> int:
        """Ask for a connection's number, and whether CLIENT UNBLOCK is allowed."""
        words: tuple[tuple[str | int, ...], ...] = (("CLIENT", "ID"), ("CLIENT", "UNBLOCK", 0))
        asked = [redis.request(command, TEXT) for command in words]
        try:
            number, _ = await self._in_time(gatherResults(asked, consumeErrors=True))
        except FirstError as first:
            error = cast(BaseException, first.subFailure.value)
            if passes(error) or isinstance(error, AuthenticationError):
                raise error from None
            return 0
        return cast(int, number)

    def give_back(self, redis: WaitingConnection) -> None:
        """Take back a connection on which nothing waits any more."""
        redis.last_used = self._reactor().seconds()
        if len(self._spare) < SPARE:
            self._spare.append(redis)
        else:
            self.forget(redis)

    # -- all connections ---------------------------------------------------------------

    async def connect(self, make: Callable[..., Connection]) -> Connection:
        """Open a connection with the credentials of the publisher's own one.

        :param make: makes the protocol; called with the credentials.
        """
        redis = self._pub.redis
        made = make(db=redis.db, password=redis.password, username=redis.username)
        try:
            await self._in_time(self._endpoint().connect(_Single(made)))
        except (CancelledError, ThoonkError):
            raise
        except Exception as error:
            raise ConnectionLost(f"no connection to wait on: {error}") from error
        self._open.append(made)
        if self._check is not None:
            try:
                await self._check(_redis_of(made))
            except BaseException:
                self.forget(made)
                raise
        return made

    def _in_time(self, answer: Deferred[Answer]) -> Deferred[Answer]:
        """Fail an answer that takes too long."""
        if self._timeout is not None:

            def silent(_: object, seconds: float) -> None:
                raise ConnectionLost(f"no connection to wait on: no reply for {seconds:g} seconds")

            answer.addTimeout(self._timeout, self._reactor(), silent)
        return answer

    def _endpoint(self) -> IStreamClientEndpoint:
        if self._given_endpoint is not None:
            return self._given_endpoint
        transport = cast(Redis, self._pub.redis).transport
        if transport is None:
            raise ConnectionLost("not connected to Redis yet")
        if ISSLTransport.providedBy(transport):
            raise ConnectionError(
                "waiting needs a connection of its own, and this one is encrypted: "
                "give the publisher's factory the endpoint to connect to (endpoint=...)"
            )
        peer: Any = transport.getPeer()
        if isinstance(peer, UNIXAddress):
            return UNIXClientEndpoint(self._reactor(), peer.name)
        return tcp_endpoint(self._reactor(), peer.host, peer.port)

    def forget(self, connection: AnyConnection) -> None:
        """Drop a connection that is no longer needed."""
        if connection in self._open:
            self._open.remove(connection)
            _redis_of(connection).abort()

    def move(self, differs: Callable[[RedisProtocol], bool]) -> None:
        """Drop the connections to another server than the publisher's.

        :param differs: returns whether a connection is one of these.
        """
        for connection in list(self._open):
            redis = _redis_of(connection)
            if differs(redis):
                if isinstance(connection, WaitingConnection):
                    connection.client_id = 0  # the present server has another client of that id
                redis.abort(WrongServer("the publisher's connection leads elsewhere"))
        for redis in [redis for redis in self._spare if differs(redis)]:
            self._spare.remove(redis)
            self.forget(redis)

    def drop(self) -> None:
        """Drop all connections."""
        self._spare.clear()
        while self._open:
            self.forget(self._open[-1])

    async def close(self) -> None:
        """Close all connections."""
        for closed in [connection.close() for connection in list(self._open)]:
            await closed


def _redis_of(connection: AnyConnection) -> RedisProtocol:
    return connection.redis if isinstance(connection, ResultSub) else connection
