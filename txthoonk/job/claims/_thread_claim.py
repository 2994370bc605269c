"""A claimed job, as the handlers of workers receive it in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.python.failure import Failure

from txthoonk.job._job import Claim
from txthoonk.job._no_result import NO_RESULT
from txthoonk.job._putting import NewJob
from txthoonk.job.claims._endings import Ending

__all__ = ["ThreadClaim"]


class ThreadClaim(Claim):
    """The claim that a handler gets in a thread (``in_thread=True``): its methods block.

    They run in the reactor's thread, and return what the Deferred of the :class:`Claim` fires.
    In the reactor's thread they return that Deferred.  Without a connection, they wait for one as
    long as other calls do.  Each raises the errors of the :class:`Claim`, and

    - :class:`~txthoonk.errors.JobNotClaimed` if the claim was lost: stop working on the job;
    - ``twisted.internet.defer.CancelledError`` if the worker was stopped and has given the job
      back;
    - :class:`~txthoonk.errors.ConnectionLost` if the call may not have arrived.

    You cannot call anything else of txthoonk in a thread: the methods of ``claim.job``, for
    example, raise :class:`~txthoonk.errors.WrongThread`.  Use
    ``twisted.internet.threads.blockingCallFromThread``.
    """

    _claim: Claim
    _call: Callable[..., Any]

    @classmethod
    def of(cls, claim: Claim, call: Callable[..., Any]) -> ThreadClaim:
        """Create it from a claim.

        :param call: calls a function in the reactor's thread, and waits for its Deferred.
        """
        made = cls(*claim)
        made.token, made.job, made.options = claim.token, claim.job, claim.options
        made._claim, made._call = claim, call
        return made

    @property
    def ending(self) -> Ending | None:
        """How the claim is being ended by its methods."""
        return self._claim.ending

    @ending.setter
    def ending(self, ending: Ending | None) -> None:
        self._claim.ending = ending

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> Any:
        """Report the progress of the job, and wait until Redis has answered."""
        return self._call(super().progress, done, total, note)

    def finish(
        self,
        result: Any = NO_RESULT,
        timeout: float | None = None,
        *,
        then: Iterable[NewJob] = (),
    ) -> Any:
        """Finish the job, and wait until Redis has answered."""
        return self._call(partial(super().finish, result, timeout, then=then))

    def fail(self, error: BaseException | Failure | str, delay: float = 0) -> Any:
        """Give the job back because it failed, and wait until Redis has answered."""
        return self._call(super().fail, error, delay)

    def release(self) -> Any:
        """Give the job back as if it had not been claimed, and wait until Redis has answered."""
        return self._call(super().release)
