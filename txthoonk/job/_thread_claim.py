"""A claimed job, as the handlers of workers receive it in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txthoonk.job._job import Claim

__all__ = ["ThreadClaim"]


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
