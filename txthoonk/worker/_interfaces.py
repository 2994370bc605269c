"""What the parts of a worker need of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attr
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import HeldClaim, Named
    from txthoonk.types import Claim
    from txthoonk.worker.running._time_limits import Limited

__all__ = ["Consumer", "Run", "WorkerCalls"]


class Consumer(Protocol):
    """What the handlers of a worker call on the feed consumer of a job.

    :ivar runs: the jobs whose handler has started and not ended.
    """

    runs: dict[Run, None]

    @property
    def job(self) -> Named:
        """The feed."""

    @property
    def words(self) -> Callable[[str, str, Any], tuple[Any, ...]]:
        """Builds the arguments of ``job/finish`` from id, token and result."""

    def finish(self, run: Run) -> None:
        """Finish a job with the next call."""

    def fail(self, claim: Claim, reason: Failure, delay: float) -> None:
        """Make a job available again after *delay* seconds, and record why."""

    def stall(self, id_: str, token: str, reason: Failure) -> None:
        """Stall a job, and record why."""

    def release(self, claim: Claim) -> None:
        """Give a job back as if it had not been claimed."""

    def forget(self, claim: HeldClaim) -> None:
        """Forget a claim that was lost."""


@attr.define(eq=False)
class Run:
    """One job that a handler works on, or whose finish is not answered yet.

    :ivar consumer: the feed consumer that claimed it.
    :ivar begun: when the handler started, in seconds.
    :ivar words: the arguments of ``job/finish`` for it; empty before the handler has ended.
    :ivar ending: fires when the handler has ended; None if it ended at once.
    :ivar over: whether to ignore how it ends, because the claim was lost, released or failed.
    :ivar limited: its time limits, if it has any.
    :ivar if_not_ended: what to do if the handler's own call that ends the claim fails; None while
        its answer need not be waited for.
    """

    consumer: Consumer
    claim: Claim
    begun: float
    words: tuple[Any, ...] = ()
    ending: Deferred[Any] | None = None
    over: bool = False
    limited: Limited | None = None
    if_not_ended: Callable[[Failure], object] | None = None


class WorkerCalls(Protocol):
    """What a feed consumer calls on its worker's handlers.

    :ivar about: the description of the worker that other programs can read.
    """

    about: Mapping[str, object]

    def work(self) -> None:
        """Start handlers for the claimed jobs, finish the jobs that are done, and claim more."""

    def soon(self) -> None:
        """Call :meth:`work` at the end of this turn of the reactor."""

    def record_failure(self, consumer: Consumer, claim: Claim, reason: Failure) -> str:
        """Record that a job failed.

        :return: the outcome: ``failed`` or ``stalled``.
        """

    def claim_lost(self, consumer: Consumer, claim: HeldClaim) -> None:
        """Cancel the handler of a job whose claim was lost."""
