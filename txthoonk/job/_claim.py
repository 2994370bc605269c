"""A claimed job, as ``get`` and the handlers of workers receive it."""

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


#: The result of a job that is finished without one.
NO_RESULT = _NoResult()


class _Claimed(NamedTuple):
    id: str
    item: Any
    cancelled: int


class Claim(_Claimed):
    """A job that this process has claimed; it unpacks as (id, item, cancelled).

    Pass it to :meth:`Job.finish` and the other verbs instead of the id.  They then fail, and
    change nothing, if the claim was lost, by a timeout or otherwise.

    :ivar id: the id of the job.
    :ivar item: the item that was put.
    :ivar cancelled: how often claims on the job were cancelled before.
    :ivar token: identifies this claim among all claims on the job.
    :ivar job: the feed.
    """

    token: str = ""
    job: Job

    def progress(
        self, done: float, total: float | None = None, note: str | None = None
    ) -> Deferred[None]:
        """Report the progress of the job to all subscribers of the feed.

        :param done: the amount done, from 0.
        :param total: the amount to do; None if it is not known.
        :param note: a description in words.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed` if the claim was lost,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.job._progressed(self, done, total, note)


class ThreadClaim(Claim):
    """The claim that a handler gets in a thread (``in_thread=True``): its methods block.

    They run in the reactor's thread, and return what the Deferred of the :class:`Claim` fires.
    In the reactor's thread they return that Deferred.

    You cannot call anything else of txthoonk in a thread: the methods of ``claim.job``, for
    example, raise :class:`~txthoonk.errors.WrongThread`.  Use
    ``twisted.internet.threads.blockingCallFromThread``.
    """

    _call: Callable[..., Any]

    @classmethod
    def of(cls, claim: Claim, call: Callable[..., Any]) -> ThreadClaim:
        """Create it from a claim.

        :param call: calls a function in the reactor's thread, and waits for its Deferred.
        """
        made = cls(*claim)
        made.token, made.job, made._call = claim.token, claim.job, call
        return made

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> Any:
        """Report the progress of the job, and wait until Redis has answered.

        Without a connection, it waits for one as long as other calls do.

        :raises JobNotClaimed: if the claim was lost: stop working on the job.
        :raises twisted.internet.defer.CancelledError: if the worker was stopped and has given
            the job back.
        :raises ConnectionLost: if the report may not have arrived.
        """
        return self._call(super().progress, done, total, note)
