"""A job that was claimed, and what can be said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from txthoonk.job._job import Job

__all__ = ["NO_RESULT", "Claim", "ThreadClaim"]


class _NoResult:
    def __repr__(self) -> str:
        return "NO_RESULT"


#: What a job is finished with that has no result.
NO_RESULT = _NoResult()


class _Claimed(NamedTuple):
    id: str
    item: Any
    cancelled: int


class Claim(_Claimed):
    """A job that this process has claimed; it unpacks as (id, item, cancelled).

    Give it to :meth:`Job.finish` and the others in place of the id: they do nothing then if
    the claim was lost meanwhile, by a timeout or otherwise.

    :ivar id: the job's id.
    :ivar item: what was put.
    :ivar cancelled: how often the job was cancelled before.
    :ivar token: what tells this claim from others of the same job.
    :ivar job: the feed.
    """

    token: str = ""
    job: Job

    def progress(
        self, done: float, total: float | None = None, note: str | None = None
    ) -> Deferred[None]:
        """Tell how far the job is, to all who follow the feed.

        :param done: how much is done, from 0.
        :param total: of how much; None: not known.
        :param note: what is being done, in words.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed` if the claim was lost,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.job._progressed(self, done, total, note)


class ThreadClaim(Claim):
    """The claim that a handler gets in a thread (``in_thread=True``): its methods block.

    They are called in the reactor's thread, and return what the Deferred of the
    :class:`Claim` fires.  Called in the reactor's thread, they give that Deferred.

    Nothing else of txthoonk can be called in a thread: ``claim.job``, for example, raises
    :class:`~txthoonk.errors.WrongThread`.  Use
    ``twisted.internet.threads.blockingCallFromThread``.
    """

    _call: Callable[..., Any]

    @classmethod
    def of(cls, claim: Claim, call: Callable[..., Any]) -> ThreadClaim:
        """Make it of a claim.

        :param call: calls a function in the reactor's thread, and waits for what it fires.
        """
        made = cls(*claim)
        made.token, made.job, made._call = claim.token, claim.job, call
        return made

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> Any:
        """Tell how far the job is, and wait until Redis has answered.

        While there is no connection that takes as long as other calls wait for one.

        :raises JobNotClaimed: if the claim was lost: give up.
        :raises twisted.internet.defer.CancelledError: if the worker was stopped, and the job
            given back.
        :raises ConnectionLost: if it may not have been done.
        """
        return self._call(super().progress, done, total, note)
