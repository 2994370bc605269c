"""The liveness check: whether a connection still answers.

A connection whose peer has vanished is silent for hours, and so is a healthy one with nothing to
say. So the server is asked for a reply from time to time, and a connection that stays silent is
dropped. :class:`Silence`, :func:`ping` and :func:`silence` also serve the connections that wait.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk.errors import ConnectionLost, InvalidResponse, shown
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._transient import serves
from txthoonk.protocol._waiting import Waiting

__all__ = [
    "HEALTH",
    "PONG_TIMEOUT",
    "REPLY_TIMEOUT",
    "Silence",
    "Watch",
    "check_pong",
    "ping",
    "silence",
    "text_of",
]

# A silent connection is noticed within both of these together.
HEALTH = 5.0  # seconds between two checks of an idle connection
REPLY_TIMEOUT = 10.0  # seconds that a connection may be silent while a call waits for its reply
PONG_TIMEOUT = 10.0  # the same for PING, if no reply_timeout is set


def text_of(error: BaseException) -> str:
    """Return the text of an error, or its name if it has none."""
    return str(error) or type(error).__name__


class Silence:
    """Calls *late* once a connection has been silent for some seconds.

    A reactor that was blocked runs its timers before it reads. So the connection is judged one
    turn after the timer, when what was in the socket has been read.
    """

    def __init__(
        self, redis: RedisProtocol, seconds: float, reactor: Any, late: Callable[[], object]
    ) -> None:
        self._redis = redis
        self._seconds = seconds
        self._reactor = reactor
        self._late = late
        self._begin()

    def _begin(self) -> None:
        self._heard = self._redis.heard
        self._timer: IDelayedCall | None = self._reactor.callLater(self._seconds, self._read)

    def _read(self) -> None:
        self._timer = self._reactor.callLater(0, self._judge)

    def _judge(self) -> None:
        if self._redis.heard != self._heard:
            self._begin()
            return
        self._timer = None
        self._late()

    def stop(self) -> None:
        """Cancel: *late* is not called any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def silence(seconds: float) -> ConnectionLost:
    """Make the error of a connection that has been silent for too long."""
    return ConnectionLost(f"no reply for {seconds:g} seconds")


def ping(redis: RedisProtocol, seconds: float, reactor: Any) -> Deferred[Any]:
    """Send PING, and wait for the reply.

    :param seconds: how long the connection may be silent.
    :return: fires the reply; fails with :class:`~txthoonk.errors.ConnectionLost` if the
        connection is silent for too long, and with
        :class:`~txthoonk.errors.InvalidResponse` if the reply is not one to PING.
    """

    def late() -> None:
        answered.errback(silence(seconds))
        asked.cancel()

    def fire(reply: Any) -> None:
        waiting.stop()
        if not answered.called:
            answered.callback(reply)

    asked = redis.request((b"PING",))
    answered: Deferred[Any] = Deferred(lambda _: asked.cancel())
    waiting = Silence(redis, seconds, reactor, late)
    asked.addBoth(fire)
    return answered.addCallback(check_pong)


def check_pong(reply: Any) -> Any:
    """Check that a reply is one to PING, and return it.

    :raises InvalidResponse: if not: it belongs to another command.
    """
    # A connection with subscriptions replies with a list.
    word = reply[0] if type(reply) is list and reply else reply
    if word not in ("PONG", b"PONG", "pong", b"pong"):
        raise InvalidResponse(f"PING was answered with {shown(reply)}")
    return reply


class Watch:
    """Drops a connection that has gone silent.

    See :class:`txthoonk.connections._reconnecting.Connection`.

    :param health: seconds between two PINGs; 0: none.
    :param reply_timeout: seconds; None: calls may take any time.
    """

    def __init__(
        self, redis: RedisProtocol, reactor: Any, health: float, reply_timeout: float | None
    ) -> None:
        self._redis = redis
        self._reactor = reactor
        self._reply_timeout = reply_timeout
        self._seen: tuple[weakref.ref[Waiting], int] | None = None
        self._times = 0
        self._expecting: int | None = None
        self._missed: int | None = None
        self._timers: dict[Callable[[], None], IDelayedCall] = {}
        if health:
            self._every(health, self._check_health)
        if reply_timeout:
            self._every(reply_timeout / 2, self._check_replies)

    @property
    def answers(self) -> bool:
        """Whether the last check got a reply, or anything has arrived since."""
        return self._missed != self._redis.heard

    def _every(self, interval: float, check: Callable[[], None]) -> None:
        def due() -> None:
            # As in Silence: read what is in the socket first.
            self._timers[check] = self._reactor.callLater(0, now)

        def now() -> None:
            self._every(interval, check)
            check()

        self._timers[check] = self._reactor.callLater(interval, due)

    def stop(self) -> None:
        """End the checks."""
        for timer in self._timers.values():
            timer.cancel()

    def _check_health(self) -> None:
        redis = self._redis
        if not redis.usable:
            # It was given up, but the peer does not read what must be written first.
            redis.abort()
            return
        heard = redis.heard
        if redis.oldest is not None:
            if self._expecting == heard:
                self._missed = heard
            self._expecting = heard
        elif not redis.transaction:  # else EXEC would reply to it
            self._expecting = heard
            seconds = self._reply_timeout or PONG_TIMEOUT
            ping(redis, seconds, self._reactor).addErrback(self._no_pong)

    def _no_pong(self, reason: Failure) -> None:
        error = cast(BaseException, reason.value)
        if not serves(error):
            self._redis.abort(error)

    def _check_replies(self) -> None:
        """Abort if the oldest call was the oldest two rounds ago, and nothing came since."""
        oldest = self._redis.oldest
        # A weak reference: its result may be big, and its error must be logged in time.
        seen = None if oldest is None else (weakref.ref(oldest), self._redis.heard)
        self._times = self._times + 1 if seen and seen == self._seen else 0
        self._seen = seen
        if self._times == 2:
            self._redis.abort(silence(cast(float, self._reply_timeout)))
