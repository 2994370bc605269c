"""Finishes that may be why calls are refused, or connections are lost: each is sent by itself.

A result that is too big for the server takes the other finishes of its call with it: the call is
refused or, where the size limit is not known, the connection is lost, again and again.  So the
finishes of such a call are sent one by one.  One that is refused by itself, or loses several
connections that worked until then, is to blame: its job fails, and the reason is recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txthoonk.consumers.gets._patience import Retry
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedTypeMismatch,
    NotSent,
    ThoonkError,
)
from txthoonk.protocol._transient import refused

if TYPE_CHECKING:
    from txthoonk.job.claims._job_calls import JobCalls
    from txthoonk.types import Claim, Job
    from txthoonk.worker._interfaces import Run

__all__ = ["Suspects"]

MOST_LOSSES = 3  # connections that one finish may lose


class Suspects:
    """The finishes of one feed that are sent one by one.

    :param calls: what to call on the feed.
    :param answered: called with each finish that has a reply, and the reply.
    :param blame: called with each finish that is to blame, and the reason.
    :param idle: called when a round has ended.
    """

    def __init__(
        self,
        job: Job,
        calls: JobCalls[Claim],
        answered: Callable[[Run, Any], object],
        blame: Callable[[Run, Failure], object],
        idle: Callable[[], object],
    ) -> None:
        self._calls = calls
        self._answered = answered
        self._blame = blame
        self._idle = idle
        self._left: deque[Run] = deque()
        self._losses = 0  # connections that the first finish has lost
        self._sending: Deferred[None] | None = None
        self._retry = Retry(job.pub.waiting_room, f"an end of a job of {job.name!r}", self._send)

    @property
    def left(self) -> bool:
        """Whether any finishes are left."""
        return bool(self._left)

    def add(self, runs: list[Run]) -> None:
        """Take the finishes of a call that failed."""
        self._left += runs
        if self._sending is None and not self._retry.pending:
            self._send()

    def end(self) -> None:
        """Send no more."""
        self._retry.stop()
        self._left.clear()
        if self._sending is not None:
            self._sending.cancel()

    def _send(self) -> None:
        sending = self._sending = Deferred.fromCoroutine(self._send_all())
        sending.addErrback(self._not_sent).addBoth(self._sent)

    def _sent(self, _: object) -> None:
        self._sending = None
        if self._left and not self._retry.pending:
            self._send()
        self._idle()

    async def _send_all(self) -> None:
        finish_many = self._calls.finish_many
        while self._left:
            run = self._left[0]
            # The finish is to blame only if the connection works without it.
            await finish_many([], 0)
            try:
                reply = await finish_many([run.words], 0)
            except ThoonkError as error:
                if not self._is_to_blame(error):
                    raise
                self._blame(run, Failure())
            else:
                self._retry.succeeded()
                self._answered(run, reply)
            self._left.popleft()
            self._losses = 0

    def _is_to_blame(self, error: ThoonkError) -> bool:
        if isinstance(error, ConnectionLost) and not isinstance(error, NotSent):
            self._losses += 1
        return refused(error) or self._losses >= MOST_LOSSES

    def _not_sent(self, reason: Failure) -> None:
        if reason.check(FeedDoesNotExist, FeedTypeMismatch):
            for run in self._left:
                self._calls.ended(run.claim.id, run.claim.token)
            self._left.clear()
        elif not reason.check(CancelledError):
            self._retry.later(reason)
