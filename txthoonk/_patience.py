"""What waiting across an outage takes: which errors pass, which never do, and who has gone silent.

A connection on which BLMOVE waits says nothing for hours, and so does one whose peer has
vanished.  So the server is asked now and then to end the wait: where that is answered
on the publisher's connection, and not on the one that waits, nobody is there any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._connection import LAST_DELAY, back_off, level_of
from txthoonk._health import PONG_TIMEOUT
from txthoonk._limits import is_too_big
from txthoonk._redis import FULL, RedisProtocol
from txthoonk.errors import ConnectionLost, InvalidData, InvalidInput, ResponseError

if TYPE_CHECKING:
    from txthoonk._line import Line
    from txthoonk._results import Results
    from txthoonk._waiting import WaitingRoom

__all__ = ["Health", "Retry", "passes", "refused"]

# Of a server that has just been started, or is about to become a replica.
_CODES = ("LOADING", "UNBLOCKED")


def passes(reason: Failure) -> bool:
    """Tell whether what failed on a connection to wait on may succeed on the next one."""
    error = reason.value
    if isinstance(error, ResponseError):
        return error.code in _CODES or FULL in str(error)
    return isinstance(error, (ConnectionLost, CancelledError))


def refused(reason: Failure) -> bool:
    """Tell whether a call fails because of what it says, and so would fail again."""
    return isinstance(reason.value, (InvalidInput, InvalidData)) or is_too_big(reason.value)


class Retry:
    """When to try again to wait, after attempts that failed in a row.

    :param what: what is waited for, to be shown.
    :param again: tries again.
    :param most: seconds to the next attempt, at the most.
    """

    _log = Logger()

    def __init__(
        self, room: WaitingRoom, what: str, again: Callable[[], object], most: float = LAST_DELAY
    ) -> None:
        self._room = room
        self._what = what
        self._again = again
        self._most = most
        self._timer: IDelayedCall | None = None
        self.failures = 0

    @property
    def pending(self) -> bool:
        """Whether the time for the next attempt has not come yet."""
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
        """Try again some time after an attempt that failed, which several may tell."""
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
        """Begin to count anew."""
        self.failures = 0

    def stop(self) -> None:
        """Do not try again by itself."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


class Health:
    """Drops those connections of a room that have gone silent, while somebody waits on them.

    :ivar may_unblock: whether the server lets us end the waits.
    :ivar reply_timeout: seconds for an answer.

    :param interval: seconds from one check to the next; 0: nothing is checked.
    :param reply_timeout: seconds for an answer; None: 10.
    """

    _log = Logger()

    def __init__(self, room: WaitingRoom, interval: float, reply_timeout: float | None) -> None:
        self._room = room
        self._interval = interval
        self.reply_timeout = reply_timeout or PONG_TIMEOUT
        self._lines: set[Line] = set()
        self._results: set[Results] = set()
        self._suspects: dict[RedisProtocol, IDelayedCall] = {}
        self._timer: IDelayedCall | None = None
        self.may_unblock = True

    # -- who waits --------------------------------------------------------------

    def blocked(self, line: Line) -> None:
        """Learn that a line waits in BLMOVE."""
        self._lines.add(line)
        self._set_timer()

    def answered(self, line: Line, redis: RedisProtocol) -> None:
        """Learn that the BLMOVE of a line has ended, on a connection that is alive or gone."""
        self.clear(redis)
        self._lines.discard(line)
        self._stop_if_idle()

    def listening(self, results: Results) -> None:
        """Learn that somebody waits for a message on the subscriber."""
        self._results.add(results)
        self._set_timer()

    def silent(self, results: Results) -> None:
        """Learn that nobody does any more."""
        self._results.discard(results)
        self._stop_if_idle()

    def hears(self) -> None:
        """Learn that somebody else listens on the subscriber, or not any more."""
        if self._room.listening:
            self._set_timer()
        else:
            self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if not self._results and not self._lines and not self._room.listening:
            self.stop()

    def stop(self) -> None:
        """Forget them all, and leave nothing in the reactor."""
        self._lines.clear()
        self._results.clear()
        for redis in list(self._suspects):
            self.clear(redis)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- checks -----------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is None and self._interval:
            self._timer = self._room.reactor.callLater(self._interval, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._set_timer()
        self.check()

    def check(self) -> None:
        """Find out which connections are alive; see :class:`Health`."""
        if not self._interval:
            return
        for line in list(self._lines):
            line.check()
        subscriber = self._room.present_subscriber
        wanted = self._results or self._room.listening
        if wanted and subscriber is not None and subscriber not in self._suspects:
            self.suspect(subscriber)
            subscriber.request((b"PING",)).addBoth(self._pong, subscriber)

    def _pong(self, reply: Any, subscriber: RedisProtocol) -> None:
        # An error is an answer too.
        self.clear(subscriber)
        if not (isinstance(reply, Failure) and reply.check(ConnectionLost)):
            for results in self._results:
                results.alive()

    def cannot_unblock(self, reason: Failure) -> None:
        """Learn why a wait was not ended."""
        if reason.check(ResponseError) and self.may_unblock:
            self.may_unblock = False
            self._log.warn(
                "cannot see whether connections that wait are alive: {error}",
                error=reason.getErrorMessage(),
            )

    def suspect(self, redis: RedisProtocol) -> None:
        """Drop a connection, unless it is cleared in time."""
        if redis not in self._suspects:
            self._suspects[redis] = self._room.reactor.callLater(
                self.reply_timeout, self._drop, redis
            )

    def clear(self, redis: RedisProtocol) -> None:
        """Learn that a connection has answered."""
        timer = self._suspects.pop(redis, None)
        if timer is not None:
            timer.cancel()

    def _drop(self, redis: RedisProtocol) -> None:
        del self._suspects[redis]
        redis.abort(ConnectionLost(f"no reply for {self.reply_timeout:g} seconds"))
