"""Whether a connection still answers."""

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

# What is silent is noticed within both of these together.
HEALTH = 5.0  # seconds from one check of an idle connection to the next
REPLY_TIMEOUT = 10.0  # seconds without a sign of life, while an answer is waited for
PONG_TIMEOUT = 10.0  # the same, where no reply_timeout is set


def text_of(error: BaseException) -> str:
    """Give what an error says, its name if it says nothing."""
    return str(error) or type(error).__name__


class Silence:
    """Calls *late* once a connection has said nothing at all for so many seconds.

    A reactor that was held up runs its timers before it reads.  So what is in the socket is
    read first, and only then is the connection judged.
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
        """Call nothing any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def silence(seconds: float) -> ConnectionLost:
    """Make the error of a connection that says nothing."""
    return ConnectionLost(f"no reply for {seconds:g} seconds")


def ping(redis: RedisProtocol, seconds: float, reactor: Any) -> Deferred[Any]:
    """Send PING, and wait for its answer.

    :return: fails with ConnectionLost where nothing is heard for *seconds*, and with
        InvalidResponse where the answer is that of another command.
    """

    def late() -> None:
        answered.errback(silence(seconds))
        asked.cancel()

    def tell(reply: Any) -> None:
        waiting.stop()
        if not answered.called:
            answered.callback(reply)

    asked = redis.request((b"PING",))
    answered: Deferred[Any] = Deferred(lambda _: asked.cancel())
    waiting = Silence(redis, seconds, reactor, late)
    asked.addBoth(tell)
    return answered.addCallback(check_pong)


def check_pong(reply: Any) -> Any:
    """Check the answer to PING, so that it is not that of another command."""
    # A connection with subscriptions answers with a list.
    word = reply[0] if type(reply) is list and reply else reply
    if word not in ("PONG", b"PONG", "pong", b"pong"):
        raise InvalidResponse(f"PING was answered with {shown(reply)}")
    return reply


class Watch:
    """Drops a connection that has gone silent.

    See :class:`txthoonk.connections._reconnecting.Connection`.
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
        """Whether the last check was answered, or anything was heard since."""
        return self._missed != self._redis.heard

    def _every(self, interval: float, check: Callable[[], None]) -> None:
        def due() -> None:
            # As in Silence: what is in the socket is read first.
            self._timers[check] = self._reactor.callLater(0, now)

        def now() -> None:
            self._every(interval, check)
            check()

        self._timers[check] = self._reactor.callLater(interval, due)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _check_health(self) -> None:
        redis = self._redis
        if not redis.usable:
            # It was given up, but the peer does not take what must be written first.
            redis.abort()
            return
        heard = redis.heard
        if redis.oldest is not None:
            if self._expecting == heard:
                self._missed = heard
            self._expecting = heard
        elif not redis.transaction:  # EXEC would answer it
            self._expecting = heard
            seconds = self._reply_timeout or PONG_TIMEOUT
            ping(redis, seconds, self._reactor).addErrback(self._no_pong)

    def _no_pong(self, reason: Failure) -> None:
        error = cast(BaseException, reason.value)
        if not serves(error):
            self._redis.abort(error)

    def _check_replies(self) -> None:
        """Abort where the oldest call was the oldest two rounds ago, and nothing came since."""
        oldest = self._redis.oldest
        # Weakly: its result may be big, and its error must be logged in time.
        seen = None if oldest is None else (weakref.ref(oldest), self._redis.heard)
        self._times = self._times + 1 if seen and seen == self._seen else 0
        self._seen = seen
        if self._times == 2:
            self._redis.abort(silence(cast(float, self._reply_timeout)))
