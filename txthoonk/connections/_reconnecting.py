"""A connection that reconnects.

:mod:`txthoonk.connections._states` has its states and transitions. Here is what it does in them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.connections._back_off import back_off
from txthoonk.connections._interfaces import Listener
from txthoonk.connections._keepalive import (
    HEALTH,
    PONG_TIMEOUT,
    REPLY_TIMEOUT,
    Watch,
    ping,
    text_of,
)
from txthoonk.connections._reports import Reports
from txthoonk.connections._states import Input, State, States
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._transient import answers_all_the_same, is_final
from txthoonk.wire._checks import delay_from

__all__ = ["Connection"]

P = TypeVar("P", bound=RedisProtocol)

CLOSE_TIMEOUT = 5.0  # seconds that stop() gives the peer to take what was written
LEAVE_TIMEOUT = 2.0  # seconds that leave() gives the server to reply to what was sent
LASTING = 60.0  # seconds after which a connection counts as a success


class _Link(Protocol, Generic[P]):
    """A TCP connection with Redis' protocol on it.

    :ivar left_for: why the connection was left; None if it was not.
    """

    transport: Any
    watch: Watch | None = None
    left_for: ConnectionLost | None = None

    def __init__(self, redis: P, lost: Callable[[_Link[P], Failure], None]) -> None:
        self.redis = redis
        self.dataReceived = redis.dataReceived  # type: ignore[method-assign]
        self._lost = lost

    def connectionMade(self) -> None:
        self.redis.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost(self, reason)


class Connection(Generic[P]):
    """One connection to Redis, which reconnects when it is lost.

    It is the one object that knows whether there is a connection. Everything else observes it
    as a :class:`~txthoonk.connections._interfaces.Listener`.

    A new connection is up once the server has replied to PING, which the protocol sends after
    AUTH and SELECT. A connection that has gone silent is aborted, and its calls fail:

    - if the oldest call has waited for *reply_timeout* and nothing has arrived meanwhile, not
      even a part of its reply. Calls have no timestamps; a timer checks which one is the oldest.
      So it takes up to 1.5 times as long, and a call counts from when it becomes the oldest. Do
      not send commands that block for longer on such a connection.
    - if nothing is under way, and a PING gets no reply within that time, a reply that is not
      PONG, or LOADING or MASTERDOWN. Any other error counts as a reply.

    :ivar failures: how many attempts in a row have failed.
    :ivar last_error: why the last attempt failed or the last connection was lost; None if
        neither has happened.

    :param make: makes the protocol of a new connection.
    :param name: the server, for messages: without a password.
    :param listeners: learn what happens, in this order.
    :param health: seconds between two PINGs; 0: none.
    :param reply_timeout: in seconds; None: a call may take any time, and a PING 10 s.
    :param policy: returns the seconds before the next attempt, see
        :func:`~txthoonk.connections._back_off.back_off`.
    :param check: is called with each connection that has replied to PING. If it fails, the
        attempt has failed.
    :param reports: logs what happens; None: one of its own.
    """

    _log = Logger()

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        make: Callable[[], P],
        *,
        reactor: Any,
        name: str,
        listeners: Sequence[Listener[P]] = (),
        health: float = HEALTH,
        reply_timeout: float | None = REPLY_TIMEOUT,
        policy: Callable[[int], float] | None = None,
        check: Callable[[P], Awaitable[object]] | None = None,
        reports: Reports | None = None,
    ) -> None:
        self.failures = 0
        self.last_error: Exception | None = None
        self._endpoint = endpoint
        self._reactor = reactor
        self._name = name
        self._listeners = listeners
        self._check_server = check
        self._health = health
        self._reply_timeout = reply_timeout
        self._policy = policy or back_off
        self._reports = reports or Reports(name)
        self._left = 0  # how many connections in a row were left soon
        self._since = 0.0  # when the present one came up
        self._factory = Factory.forProtocol(lambda: _Link(make(), self._lost))
        self._factory.noisy = False
        self._states = States()
        self._timer: IDelayedCall | None = None  # while waiting
        self._attempt: Deferred[_Link[P]] | None = None  # while connecting
        self._link: _Link[P] | None = None  # from when it is up until it is lost
        self._links: list[_Link[P]] = []  # all that are not closed yet
        self._waiters: dict[Deferred[P], bool] = {}  # and whether they are refusable

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._states.up

    @property
    def answers(self) -> bool:
        """Whether there is a connection, and it passed its last check."""
        link = self._link
        return self.up and link is not None and link.watch is not None and link.watch.answers

    # -- what the owner does ------------------------------------------------------------

    def start(self) -> None:
        """Connect, and reconnect from now on."""
        before = self._states.take(Input.START)
        if before in (State.NEW, State.STOPPED, State.CLOSING):
            self.failures = 0
            self.last_error = None
        if before in (State.NEW, State.STOPPED):
            self._wait(0)

    def stop(self) -> Deferred[None]:
        """Close the connection, and do not reconnect before :meth:`start`.

        :return: fires None once everything is closed; never fails.
        """
        before = self._states.take(Input.STOP)
        self._cancel_attempt()
        if before is State.LEAVING:
            self._link = None
        links = list(self._links)
        # A peer that reads nothing more would delay this for minutes.
        abort = self._reactor.callLater(CLOSE_TIMEOUT, _abort_all, links)
        closed = gatherResults([link.redis.close() for link in links])
        self._fire_waiters(Failure(self._was_stopped()))
        return closed.addBoth(lambda _: abort.cancel() if abort.active() else None)

    def _cancel_attempt(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def leave(self, error: ConnectionLost) -> None:
        """Give up the present connection, because it leads to the wrong server.

        The server may reply to what was sent on it, if that does not take long. The more
        connections are left soon after they came up, the longer the delay before the next one.

        :param error: why.
        """
        link = self._link
        if link is None or self._states.now is not State.CONNECTED:
            return
        self._states.take(Input.LEAVE)
        self._left += 1
        link.left_for = error
        self._went_down(link, self._was_lost(error))
        if link.redis.oldest is None:
            link.redis.abort(error)
        else:
            replied = ping(link.redis, LEAVE_TIMEOUT, self._reactor)
            replied.addBoth(lambda _: link.redis.abort(error))

    def when_connected(self, refusable: bool = False) -> Deferred[P]:
        """Wait for the connection.

        :param refusable: whether to fail as soon as Redis refuses the connection for good.
        :return: fires the protocol of the present connection, or of the next one; fails with
            :class:`~txthoonk.errors.ConnectionLost` if this object is stopped first.
        """
        if self._states.stopped:
            return fail(self._was_stopped())
        link = self._link
        if link is not None and self._states.now is State.CONNECTED and link.redis.usable:
            return succeed(link.redis)
        waiter: Deferred[P] = AwaitableDeferred(self._forget_waiter)
        self._waiters[waiter] = refusable
        return waiter

    def _forget_waiter(self, waiter: Deferred[P]) -> None:
        del self._waiters[waiter]

    def _fire_waiters(self, result: P | Failure, refused: bool = False) -> None:
        for waiter, refusable in list(self._waiters.items()):
            # One that has fired may cancel another.
            if waiter in self._waiters and (refusable or not refused):
                del self._waiters[waiter]
                waiter.callback(result)

    # -- attempts -----------------------------------------------------------------------

    def _wait(self, delay: float) -> None:
        """Schedule the next attempt, unless a listener or the policy has stopped us."""
        if self._states.now is State.WAITING and self._timer is None:
            self._timer = self._reactor.callLater(delay, self._connect)

    def _next_delay(self) -> float:
        attempt = max(1, self.failures + self._left)
        return delay_from(self._policy, attempt, "retry_policy", back_off)

    def _connect(self) -> None:
        self._timer = None
        self._states.take(Input.DUE)
        attempt = self._attempt = Deferred.fromCoroutine(self._prepare())
        attempt.addCallbacks(
            self._came_up, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,)
        )
        if self._attempt is attempt and self._states.now is not State.CONNECTING:
            self._attempt = None  # the endpoint's connect() has stopped us
            attempt.cancel()

    async def _prepare(self) -> _Link[P]:
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
        if self._check_server is not None:
            await self._check_server(redis)

    def _came_up(self, link: _Link[P], attempt: Deferred[_Link[P]]) -> None:
        if attempt is not self._attempt:  # it was cancelled
            link.redis.abort()
            return
        self._attempt = None
        self._states.take(Input.UP)
        self._link = link
        self._since = self._reactor.seconds()
        self.failures = 0
        link.watch = Watch(link.redis, self._reactor, self._health, self._reply_timeout)
        self._reports.connected(self)
        for listener in self._listeners:
            if self._link is link and self.up:  # no listener before it has left the server
                self._guarded(listener.connected, link.redis)
        if self._link is link and self.up:
            self._fire_waiters(link.redis)

    def _failed(self, reason: Failure, attempt: Deferred[_Link[P]]) -> None:
        if attempt is not self._attempt:  # it was cancelled
            return
        self._attempt = None
        error = cast(Exception, reason.value)
        new = self.last_error is None or text_of(self.last_error) != text_of(error)
        self.failures += 1
        self.last_error = error
        self._states.take(Input.FAILED)
        delay = self._next_delay()
        self._wait(delay)
        self._reports.failed(self.failures, text_of(error), delay, new)
        for listener in self._listeners:
            self._guarded(listener.attempt_failed, error)
        if is_final(error):
            self._fire_waiters(reason, refused=True)

    # -- the end of a connection --------------------------------------------------------

    def _lost(self, link: _Link[P], reason: Failure) -> None:
        if link in self._links:
            self._links.remove(link)
        if link is self._link:
            self._link_lost(link, reason)
        # After the listeners: what they call when these calls fail is meant for the next one.
        link.redis.connectionLost(Failure(link.left_for) if link.left_for else reason)

    def _link_lost(self, link: _Link[P], reason: Failure) -> None:
        self._link = None
        before = self._states.take(Input.LOST)
        if before in (State.CLOSING, State.RESTARTING):
            self._went_down(link, self._was_stopped())
        elif before is State.CONNECTED:
            why = link.redis.last_error or cast(BaseException, reason.value)
            self._went_down(link, self._was_lost(why))
        if self._states.now is State.WAITING:
            self._wait(0 if before is State.RESTARTING else self._next_delay())

    def _went_down(self, link: _Link[P], error: ConnectionLost) -> None:
        if self._reactor.seconds() - self._since > LASTING:
            self._left = 0
        if link.watch is not None:
            link.watch.stop()
        self._reports.stopped(self)
        for listener in self._listeners:
            self._guarded(listener.disconnected, error)

    def _was_lost(self, why: BaseException) -> ConnectionLost:
        self.last_error = ConnectionLost(
            f"the connection to {self._name} was lost: {text_of(why)}"
        )
        self._reports.lost(text_of(self.last_error))
        return self.last_error

    def _was_stopped(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._name} was stopped")

    def _guarded(self, call: Callable[[Any], object], argument: object) -> None:
        # A listener's mistake must not end the reconnecting.
        with self._log.failuresHandled("error in {call!r}", call=call):
            call(argument)


def _abort_all(links: list[_Link[Any]]) -> None:
    for link in links:
        link.redis.abort()
