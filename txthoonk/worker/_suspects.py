"""Ends of jobs that may be why calls fail, or connections are lost: each is said by itself.

A result that is too big for the server takes others of its call with it: it is refused, or,
where the size is not known, the connection is lost, again and again.  So what was in such a
call is said one by one.  What is refused by itself, or loses several connections that have
worked until then, is to blame: its job fails, with the reason.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txthoonk.consumers._patience import Retry
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedTypeMismatch,
    NotSent,
    ThoonkError,
)
from txthoonk.protocol._transient import refused

if TYPE_CHECKING:
    from txthoonk.worker._feed_consumer import Finish, Pump

__all__ = ["Suspects"]

MOST_LOSSES = 3  # connections that one may lose by itself


class Suspects:
    """The ends of jobs of one feed that are said one by one."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._left: deque[Finish] = deque()
        self._losses = 0  # of the first
        self._saying: Deferred[None] | None = None
        room = pump.job.pub.waiting_room
        self._retry = Retry(room, f"an end of a job of {pump.job.name!r}", self._say)

    @property
    def left(self) -> bool:
        """Whether there are any."""
        return bool(self._left)

    def add(self, finishes: list[Finish]) -> None:
        """Take what was in a call that failed."""
        self._left += finishes
        if self._saying is None and not self._retry.pending:
            self._say()

    def end(self) -> None:
        """Say no more."""
        self._retry.stop()
        self._left.clear()
        if self._saying is not None:
            self._saying.cancel()

    def _say(self) -> None:
        saying = self._saying = Deferred.fromCoroutine(self._say_all())
        saying.addErrback(self._not_said).addBoth(self._said)

    def _said(self, _: object) -> None:
        self._saying = None
        if self._left and not self._retry.pending:
            self._say()
        self._pump._check_settled()

    async def _say_all(self) -> None:
        finish_many = self._pump.job._finish_many
        while self._left:
            words, _ = finish = self._left[0]
            # That it is to blame is known only where the connection works without it.
            await finish_many([], 0)
            try:
                reply = await finish_many([words], 0)
            except ThoonkError as error:
                if not self._is_to_blame(error):
                    raise
                self._pump.blame(finish, Failure())
            else:
                self._retry.succeeded()
                self._pump._finished(words, self._pump._understood(reply, 1)[2][0])
            self._left.popleft()
            self._losses = 0

    def _is_to_blame(self, error: ThoonkError) -> bool:
        if isinstance(error, ConnectionLost) and not isinstance(error, NotSent):
            self._losses += 1
        return refused(error) or self._losses >= MOST_LOSSES

    def _not_said(self, reason: Failure) -> None:
        if reason.check(FeedDoesNotExist, FeedTypeMismatch):
            for words, _ in self._left:
                self._pump.job._claims.ended(words[0], words[1])
            self._left.clear()
        elif not reason.check(CancelledError):
            self._retry.later(reason)
