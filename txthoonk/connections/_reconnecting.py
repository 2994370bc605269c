"""A connection that comes back: with back-off, and also where one has gone silent."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, cast

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk.connections._keepalive import (
    HEALTH,
    PONG_TIMEOUT,
    REPLY_TIMEOUT,
    Watch,
    ping,
    text_of,
)
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._transient import answers_all_the_same
from txthoonk.wire._checks import delay_from

__all__ = ["Connection", "back_off"]

P = TypeVar("P", bound=RedisProtocol)

FIRST_DELAY = 0.1  # seconds, at most
LAST_DELAY = 30.0  # seconds, at most
CLOSE_TIMEOUT = 5.0  # seconds that stop() gives the peer to take what was written
LEAVE_TIMEOUT = 2.0  # seconds that leave() gives it to answer what was sent
LASTING = 60.0  # seconds after which a connection counts as a success

# ClientService counts from 1.
_growing = backoffPolicy(FIRST_DELAY / 2, LAST_DELAY, factor=2, jitter=lambda: 0.0)


def back_off(attempt: int) -> float:
    """Give the seconds to wait before the next attempt.

    Half of it is chance: clients that lost one server do not come back as one.

    :param attempt: how many failed in a row, from 1.
    """
    return _growing(attempt) * random.uniform(0.5, 1)


def level_of(failures: int) -> Any:
    """Give the level to log a failure at.

    One may last for days: the 1st, 2nd, 4th, 8th ... tell enough.

    :param failures: how many there were in a row, from 1.
    """
    repeated = failures & (failures - 1)
    return LogLevel.debug if repeated else LogLevel.warn


class _Link(Protocol, Generic[P]):
    """A TCP connection with Redis' protocol on it.

    :ivar lease: what ClientService takes for the connection, once it is up.
    """

    transport: Any
    lease: IProtocol | None = None
    closing = False
    watch: Watch | None = None

    def __init__(self, redis: P, lost: Callable[[_Link[P], Failure], None]) -> None:
        self.redis = redis
        self.dataReceived = redis.dataReceived  # type: ignore[method-assign]
        self._lost = lost

    def connectionMade(self) -> None:
        self.redis.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost(self, reason)


@implementer(IStreamClientEndpoint)
class _Prepared:
    """The endpoint that ClientService gets: what it connects has answered PING.

    Its own prepareConnection cannot be used: a connection that ends while it is
    prepared, or after that has failed, is an input that its states do not know
    (Twisted 24.7 to 26), and might end the next connection in its place.
    """

    def __init__(
        self, name: str, connect: Callable[[IProtocolFactory], Deferred[IProtocol]]
    ) -> None:
        self._name = name
        self._connect = connect

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._connect(protocolFactory)

    def __repr__(self) -> str:
        return self._name  # ClientService logs it


class Connection(Generic[P]):
    """One connection to Redis, which comes back when it is lost.

    A new connection is up when its PING was answered, which the protocol sends behind
    AUTH and SELECT.  A connection that went silent is aborted, and its calls fail:

    - where the oldest call has waited for *reply_timeout*, and nothing has come meanwhile, a
      part of its answer neither.  The time of a call is not noted; we look now and then which
      is the oldest.  So it takes up to 1.5 times as long, and a call counts from when it has
      become the oldest.  Commands that block for longer have no place on such a connection.
    - where nothing was under way, and a PING is not answered within that time, or with
      something else, or with LOADING or MASTERDOWN.  Any other error is an answer.

    :ivar failures: how many attempts in a row have failed.
    :ivar last_error: why the last attempt failed or the last connection was lost.

    :param make: makes the protocol of a new connection.
    :param name: the place, to be shown: without a password.
    :param up: is called with each connection that is up.
    :param down: is called when a connection that was up is lost or closed, before the
        calls that wait on it fail.
    :param health: seconds from PING to PING; 0 for none.
    :param reply_timeout: in seconds; None: a call may take any time (and a PING 10 s).
    :param policy: gives the seconds before the next attempt, see :func:`back_off`.
    :param attempt_failed: is called with the reason of each attempt that failed.
    :param check: looks at each connection that has answered PING; where that fails, the
        attempt has failed.
    """

    _log = Logger()

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        make: Callable[[], P],
        *,
        reactor: Any,
        name: str,
        up: Callable[[P], object],
        down: Callable[[ConnectionLost], object],
        health: float = HEALTH,
        reply_timeout: float | None = REPLY_TIMEOUT,
        policy: Callable[[int], float] | None = None,
        attempt_failed: Callable[[Exception], object] | None = None,
        check: Callable[[P], Awaitable[object]] | None = None,
    ) -> None:
        self.failures = 0
        self.last_error: Exception | None = None
        self._endpoint = endpoint
        self._reactor = reactor
        self._name = name
        self._up = up
        self._down = down
        self._attempt_failed = attempt_failed or (lambda _: None)
        self._look = check
        self._health = health
        self._reply_timeout = reply_timeout
        self._policy = policy or back_off
        self._delay = 0.0
        self._left = 0  # how many connections in a row were left soon
        self._since = 0.0  # when the present one came up
        self._stopped = False
        self._factory = Factory.forProtocol(lambda: _Link(make(), self._lost))
        self._factory.noisy = False
        self._present: _Link[P] | None = None
        self._links: list[_Link[P]] = []
        self._waiters: list[Deferred[P]] = []
        self._service = ClientService(
            _Prepared(name, self._connect),
            Factory.forProtocol(Protocol),
            retryPolicy=self._next_delay,
            clock=reactor,
        )

    def start(self) -> None:
        """Connect, and from now on connect again."""
        self._stopped = False
        if not self._service.running:
            self.failures = 0
            self._service.startService()

    def stop(self) -> Deferred[None]:
        """Close the connection, and do not connect again before :meth:`start`.

        :return: fires None once all is closed; never fails.
        """
        self._stopped = True
        if self._present is not None:
            self._present.closing = True
        stopped = self._service.stopService()
        links = list(self._links)
        # A peer that takes nothing more would hold us up for minutes.
        abort = self._reactor.callLater(CLOSE_TIMEOUT, _abort_all, links)
        closed = gatherResults([stopped, *[link.redis.close() for link in links]])
        self._tell(Failure(self._was_stopped()))
        return closed.addBoth(lambda _: abort.cancel() if abort.active() else None)

    @property
    def answers(self) -> bool:
        """Whether there is a connection, and it has answered when it was last checked."""
        link = self._present
        return link is not None and link.watch is not None and link.watch.answers

    def when_connected(self) -> Deferred[P]:
        """Wait for the connection.

        :return: fires the present connection's protocol, or the next one's; fails with
            :class:`~txthoonk.errors.ConnectionLost` if it is stopped before.
        """
        if self._stopped:
            return fail(self._was_stopped())
        link = self._present
        if link is not None and link.redis.usable and not link.closing:
            return succeed(link.redis)
        waiter: Deferred[P] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        return waiter

    def leave(self, error: ConnectionLost) -> None:
        """Give the present connection up, because it leads to the wrong place.

        What was sent on it is answered first, if that does not take long.  The more are left
        soon after they came up, the longer it takes until the next attempt.
        """
        link = self._present
        if link is not None:
            self._left += 1
            link.redis._last_words = error
            self._went_down(link, Failure(error))
            if link.redis.oldest is None:
                link.redis.abort()
            else:
                answered = ping(link.redis, LEAVE_TIMEOUT, self._reactor)
                answered.addBoth(lambda _: link.redis.abort())

    def _tell(self, result: P | Failure) -> None:
        for waiter in list(self._waiters):
            if waiter in self._waiters:  # one that was told may cancel another
                self._waiters.remove(waiter)
                waiter.callback(result)

    def _was_stopped(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._name} was stopped")

    # -- attempts -----------------------------------------------------------

    def _next_delay(self, _: int) -> float:
        attempt = max(1, self.failures + self._left)
        self._delay = delay_from(self._policy, attempt, "retry_policy", back_off)
        return self._delay

    def _connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Make one attempt, for ClientService."""
        attempt = Deferred.fromCoroutine(self._prepare())
        leased: Deferred[IProtocol] = Deferred(lambda _: attempt.cancel())
        attempt.addCallbacks(
            self._came_up, self._failed, callbackArgs=(factory, leased), errbackArgs=(leased,)
        )
        return leased

    async def _prepare(self) -> _Link[P]:
        # ClientService cannot be stopped from within its call of connect().
        await deferLater(self._reactor, 0)
        link = cast("_Link[P]", await self._endpoint.connect(self._factory))
        self._links.append(link)
        try:
            await self._check(link.redis)
        except BaseException:
            link.redis.abort()
            raise
        return link

    async def _check(self, redis: P) -> None:
        try:
            await ping(redis, self._reply_timeout or PONG_TIMEOUT, self._reactor)
        except ResponseError as error:
            if not (answers_all_the_same(error) and redis.usable):
                raise
        if self._look is not None:
            await self._look(redis)

    def _came_up(
        self, link: _Link[P], factory: IProtocolFactory, leased: Deferred[IProtocol]
    ) -> None:
        lease = link.lease = cast(IProtocol, factory.buildProtocol(cast(Any, None)))
        lease.makeConnection(link.transport)
        self._present = link
        self._since = self._reactor.seconds()
        self.failures = 0
        leased.callback(lease)
        link.watch = Watch(link.redis, self._reactor, self._health, self._reply_timeout)
        self._log.info("connected to {name}", name=self._name)
        self._guarded(self._up, link.redis)
        if self._present is link:
            self._tell(link.redis)

    def _failed(self, reason: Failure, leased: Deferred[IProtocol]) -> None:
        if not self._service.running:  # that is why
            leased.errback(reason)
            return
        error = cast(Exception, reason.value)
        new = self.last_error is None or text_of(self.last_error) != text_of(error)
        self.failures += 1
        self.last_error = error
        leased.errback(reason)
        self._log.emit(
            LogLevel.warn if new else level_of(self.failures),
            "attempt {number} to connect to {name} failed: {error} (the next in {delay:.1f} s)",
            number=self.failures,
            name=self._name,
            error=text_of(error),
            delay=self._delay,
        )
        self._guarded(self._attempt_failed, error)

    # -- the end of a connection --------------------------------------------

    def _lost(self, link: _Link[P], reason: Failure) -> None:
        if link in self._links:
            self._links.remove(link)
        if link is self._present:
            self._went_down(link, reason)
        # Behind down(): what is called when these calls fail is meant for the next one.
        link.redis.connectionLost(reason)
        if link.lease is not None:
            link.lease.connectionLost(reason)

    def _went_down(self, link: _Link[P], reason: Failure) -> None:
        self._present = None
        if self._reactor.seconds() - self._since > LASTING:
            self._left = 0
        if link.watch is not None:
            link.watch.stop()
        if link.closing:
            error = self._was_stopped()
        else:
            why = text_of(link.redis._last_words or cast(BaseException, reason.value))
            error = ConnectionLost(f"the connection to {self._name} was lost: {why}")
            self.last_error = error
            self._log.warn("{error}", error=text_of(error))
        self._guarded(self._down, error)

    def _guarded(self, call: Callable[[Any], object], argument: object) -> None:
        # An owner's mistake must not end the reconnecting.
        with self._log.failuresHandled("error in {call!r}", call=call):
            call(argument)


def _abort_all(links: list[_Link[P]]) -> None:
    for link in links:
        link.redis.abort()
