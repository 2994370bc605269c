"""Waiting across an outage: when to try again, and which connections have gone silent.

A connection on which BLMOVE waits is silent for hours, and so is one whose peer has vanished.  So
the publisher regularly asks the server to end the wait.  If the publisher's connection gets
the answer, and the waiting one does not, the waiting one is dead.  Where CLIENT UNBLOCK is
forbidden, BLMOVE waits for some seconds only, each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.connections._back_off import LAST_DELAY, back_off, level_of
from txthoonk.connections._keepalive import PONG_TIMEOUT, Silence, check_pong, silence
from txthoonk.consumers._interfaces import BlockedGets, Room, WaitingResults
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._transient import serves

__all__ = ["CheckedRoom", "Health", "Retry"]

MOST_CHECKS = 200  # lines in one turn of the reactor


class Retry:
    """Decides when to try again, after attempts that failed in a row.

    :param what: what the attempts wait for, for log lines.
    :param again: tries again.
    :param most: the longest time to the next attempt, in seconds.
    """

    _log = Logger()

    def __init__(
        self, room: Room, what: str, again: Callable[[], object], most: float = LAST_DELAY
    ) -> None:
        self._room = room
        self._what = what
        self._again = again
        self._most = most
        self._timer: IDelayedCall | None = None
        self.failures = 0

    @property
    def pending(self) -> bool:
        """Whether the next attempt is due later."""
        return self._timer is not None

    def failed(self, reason: Failure) -> None:
        """Count an attempt that failed."""
        self.failures += 1
        self._log.emit(
            level_of(self.failures),
            "cannot wait for {what}: {error}",
            what=self._what,
            error=reason.getErrorMessage(),
        )

    def later(self, reason: Failure) -> None:
        """Try again some time after a failed attempt; several calls may report the same one."""
        if self._timer is None:
            self.failed(reason)
            delay = min(back_off(self.failures), self._most)
            self._timer = self._room.reactor.callLater(delay, self._now)

    def now(self) -> None:
        """Try again at once."""
        self.stop()
        self._again()

    def _now(self) -> None:
        self._timer = None
        self._again()

    def succeeded(self) -> None:
        """Count failures from 0 again."""
        self.failures = 0

    def stop(self) -> None:
        """Cancel the next attempt."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


class Health:
    """Drops connections of a room that have gone silent, while calls wait on them.

    :ivar reply_timeout: seconds for an answer.

    :param interval: seconds from one check to the next; 0: nothing is checked.
    :param reply_timeout: seconds for an answer; None: 10.
    """

    def __init__(self, room: Room, interval: float, reply_timeout: float | None) -> None:
        self._room = room
        self._interval = interval
        self.reply_timeout = reply_timeout or PONG_TIMEOUT
        self._lines: set[BlockedGets] = set()
        self._results: set[WaitingResults] = set()
        self._suspects: dict[RedisProtocol, Silence] = {}
        self._timer: IDelayedCall | None = None
        self._unchecked: list[BlockedGets] = []
        self._going_on: IDelayedCall | None = None

    # -- waiting calls ----------------------------------------------------------

    def blocked(self, line: BlockedGets) -> None:
        """Record that a line waits in BLMOVE."""
        self._lines.add(line)
        self._set_timer()

    def answered(self, line: BlockedGets, redis: RedisProtocol) -> None:
        """Record that the BLMOVE of a line has ended, on a connection that is alive or gone."""
        self.clear(redis)
        self._lines.discard(line)
        self._stop_if_idle()

    def listening(self, results: WaitingResults) -> None:
        """Record that calls wait for a message on the subscriber."""
        self._results.add(results)
        self._set_timer()

    def silent(self, results: WaitingResults) -> None:
        """Record that no call waits for a message on the subscriber any more."""
        self._results.discard(results)
        self._stop_if_idle()

    def hears(self) -> None:
        """Start or stop checks, after other objects began or ceased to listen."""
        if self._room.subscriber.listening:
            self._set_timer()
        else:
            self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if not self._results and not self._lines and not self._room.subscriber.listening:
            self.stop()

    def stop(self) -> None:
        """Forget all waiting calls, and leave no timer in the reactor."""
        self._lines.clear()
        self._results.clear()
        for redis in list(self._suspects):
            self.clear(redis)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._going_on is not None:
            self._going_on.cancel()
            self._going_on = None

    # -- checks -----------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is None and self._interval:
            self._timer = self._room.reactor.callLater(self._interval, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._set_timer()
        self.check()

    def check(self) -> None:
        """Find out which connections are alive."""
        if not self._interval:
            return
        self._unchecked = list(self._lines)
        if self._going_on is None:
            self._check_lines()
        sub = self._room.subscriber.sub
        subscriber = None if sub is None else sub.redis
        wanted = self._results or self._room.subscriber.listening
        if wanted and subscriber is not None and subscriber not in self._suspects:
            self.suspect(subscriber)
            asked = subscriber.request((b"PING",)).addCallback(check_pong)
            asked.addBoth(self._pong, subscriber)

    def _check_lines(self) -> None:
        """Check some lines, and the others in later turns of the reactor."""
        self._going_on = None
        some, self._unchecked = self._unchecked[:MOST_CHECKS], self._unchecked[MOST_CHECKS:]
        for line in some:
            if line in self._lines:
                line.check()
        if self._unchecked and self._lines:
            self._going_on = self._room.reactor.callLater(0, self._check_lines)

    def _pong(self, reply: Any, subscriber: RedisProtocol) -> None:
        self.clear(subscriber)
        if isinstance(reply, Failure) and not serves(error := cast(BaseException, reply.value)):
            subscriber.abort(error)
            return
        for results in self._results:
            results.alive()

    def suspect(self, redis: RedisProtocol) -> None:
        """Drop a connection, unless it is cleared in time."""
        if redis not in self._suspects:
            self._suspects[redis] = Silence(
                redis, self.reply_timeout, self._room.reactor, lambda: self._drop(redis)
            )

    def clear(self, redis: RedisProtocol) -> None:
        """Record that a connection has answered."""
        silent = self._suspects.pop(redis, None)
        if silent is not None:
            silent.stop()

    def _drop(self, redis: RedisProtocol) -> None:
        del self._suspects[redis]
        redis.abort(silence(self.reply_timeout))


class CheckedRoom(Room, Protocol):
    """A waiting room whose connections may be checked.

    :ivar health: drops connections that have gone silent; None if the room is not patient.
    """

    health: Health | None
