"""Whether a connection still answers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from txthoonk._redis import RedisProtocol, Waiting
from txthoonk.errors import ConnectionLost

__all__ = ["PONG_TIMEOUT", "Watch", "ping", "text_of"]

PONG_TIMEOUT = 10.0  # seconds, where no reply_timeout is set


def text_of(error: BaseException) -> str:
    """Give what an error says, its name if it says nothing."""
    return str(error) or type(error).__name__


def ping(redis: RedisProtocol, seconds: float, reactor: Any) -> Deferred[Any]:
    """Send PING; fails with ConnectionLost where *seconds* pass without an answer."""

    def silent(_: object, seconds: float) -> None:
        raise _silence(seconds)

    return redis.request((b"PING",)).addTimeout(seconds, reactor, silent)


def _silence(seconds: float) -> ConnectionLost:
    return ConnectionLost(f"no reply for {seconds:g} seconds")


class Watch:
    """Drops a connection that has gone silent; see :class:`txthoonk._connection.Connection`."""

    def __init__(
        self, redis: RedisProtocol, reactor: Any, health: float, reply_timeout: float | None
    ) -> None:
        self._redis = redis
        self._reactor = reactor
        self._reply_timeout = reply_timeout
        self._seen: tuple[weakref.ref[Waiting], int] | None = None
        self._times = 0
        self._loops: list[LoopingCall] = []
        if health:
            self._start(self._check_health, health)
        if reply_timeout:
            self._start(self._check_replies, reply_timeout / 2)

    def _start(self, check: Callable[[], None], interval: float) -> None:
        loop = LoopingCall(check)
        loop.clock = self._reactor
        loop.start(interval, now=False)
        self._loops.append(loop)

    def stop(self) -> None:
        for loop in self._loops:
            loop.stop()

    def _check_health(self) -> None:
        redis = self._redis
        if not redis.usable:
            # It was given up, but the peer does not take what must be written first.
            redis.abort()
        elif redis.oldest is None and not redis.transaction:  # EXEC would answer it
            seconds = self._reply_timeout or PONG_TIMEOUT
            ping(redis, seconds, self._reactor).addErrback(self._no_pong)

    def _no_pong(self, reason: Failure) -> None:
        # An error is an answer too.
        if reason.check(ConnectionLost):
            self._redis.abort(cast(BaseException, reason.value))

    def _check_replies(self) -> None:
        """Abort where the oldest call was the oldest two rounds ago."""
        oldest = self._redis.oldest
        # Weakly: its result may be big, and its error must be logged in time.
        seen = None if oldest is None else (weakref.ref(oldest), oldest.confirmations)
        self._times = self._times + 1 if seen and seen == self._seen else 0
        self._seen = seen
        if self._times == 2:
            self._redis.abort(_silence(cast(float, self._reply_timeout)))
