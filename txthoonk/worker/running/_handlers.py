"""Calls the handler for each job, and records how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._deferreds import begun
from txthoonk.connections._back_off import back_off as growing
from txthoonk.consumers._interfaces import HeldClaim
from txthoonk.errors import JobNotClaimed, readable, shown
from txthoonk.job._no_result import NO_RESULT
from txthoonk.types import Claim
from txthoonk.wire._checks import delay_from
from txthoonk.worker._errors import Retry, Stall, TimeLimitExceeded
from txthoonk.worker._feed_consumer import FeedConsumer
from txthoonk.worker._interfaces import Consumer, Run
from txthoonk.worker._schedule import Schedule
from txthoonk.worker.running._time_limits import Limited, TimeLimits

__all__ = ["BackOff", "Ended", "Handlers", "back_off"]

FIRST_DELAY = 1.0  # seconds until the first retry
LAST_DELAY = 600.0
SLICE = 0.02  # seconds after which starting handlers lets the reactor do other work

#: Returns the seconds until a job is tried again, given its number of failures.
BackOff = Callable[[int], float]

#: Called when a handler has ended, with the feed's name, the outcome, and the seconds it took.
Ended = Callable[[str, str, float], object]


def back_off(failures: int) -> float:
    """Return the seconds until the next attempt: they double from 1 to 600, and half is random."""
    return growing(failures, FIRST_DELAY, LAST_DELAY)


class Handlers:
    """Starts the handlers of one worker, and records how they end.

    :ivar about: the description of the worker that other programs can read.
    :ivar schedule: decides which feeds to ask for jobs.

    :param call: calls the handler with a claim; returns its result, a Deferred or a coroutine.
    :param back_off: returns the seconds until a failed job is tried again.
    :param ended: the functions to call when a handler has ended.
    :param limits: the time limits of all handlers.
    """

    _log = Logger()

    def __init__(
        self,
        call: Callable[[Claim], Any],
        schedule: Schedule[FeedConsumer],
        back_off: BackOff,
        ended: Sequence[Ended],
        about: Mapping[str, object],
        reactor: Any,
        limits: TimeLimits,
    ) -> None:
        self._call = call
        self.schedule = schedule
        self._back_off = back_off
        self._hooks = ended
        self.about = about
        self._reactor = reactor
        self._limits = limits
        self._stopped = False
        self._working = False  # whether the loop of work() runs
        self._scheduled: IDelayedCall | None = None
        self._idle: Deferred[None] | None = None

    # -- starting handlers ---------------------------------------------------------------

    def soon(self) -> None:
        """Call :meth:`work` at the end of this turn of the reactor."""
        if self._scheduled is None and not self._working:
            self._scheduled = self._reactor.callLater(0, self._later)

    def work(self) -> None:
        """Start handlers for the claimed jobs, finish the jobs that are done, and claim more.

        A handler that is a plain function may take long: after some time the other jobs wait for
        the next turn of the reactor.
        """
        if self._working:
            return
        schedule = self.schedule
        unbegun = schedule.unbegun
        if unbegun and not self._stopped:
            self._working = True
            seconds = self._reactor.seconds
            now = seconds()
            until = now + SLICE
            try:
                while unbegun and now <= until and not self._stopped:
                    consumer = next(iter(unbegun))
                    self._start(consumer, schedule.begin(consumer), now)
                    now = seconds()
            finally:
                self._working = False
        schedule.fill()
        if unbegun and not self._stopped:
            self.soon()

    def _later(self) -> None:
        self._scheduled = None
        self.work()

    def cancel_soon(self) -> None:
        """Do not call :meth:`work` at the end of this turn."""
        scheduled, self._scheduled = self._scheduled, None
        if scheduled is not None:
            scheduled.cancel()

    def stop(self) -> None:
        """Start no more handlers."""
        self._stopped = True
        self.schedule.stop()

    async def end(self, consumers: Iterable[FeedConsumer], grace: float) -> None:
        """Give running handlers some seconds, then cancel them and release their jobs."""
        if self.schedule.working:
            idle = self._idle = Deferred()
            with self._log.failuresHandled("error while handlers end"):
                try:
                    await idle.addTimeout(grace, self._reactor)
                except TimeoutError:
                    self._log.info(
                        "{count} handlers did not end within {grace:g} seconds: cancelled",
                        count=self.schedule.working,
                        grace=grace,
                    )
        self._idle = None
        for consumer in consumers:
            self._release_all(consumer)

    def _release_all(self, consumer: FeedConsumer) -> None:
        left = [run for run in consumer.runs if not run.over]
        consumer.give_back([run.claim for run in left if run.claim.ending is None])
        # Cancelling one handler may end another one.
        for run in left:
            run.over = True
        for run in left:
            if run.claim.ending is None:
                self._cancel(run, "released")
            else:
                self._when_ended(run, partial(self._release, run))
                if not self._cancel_handler(run):
                    self._leave(run)

    def _release(self, run: Run, _: Failure) -> None:
        run.consumer.release(run.claim)
        self._report(run, "released")

    # -- one job -------------------------------------------------------------------------

    def _start(self, consumer: FeedConsumer, claim: Claim, now: float) -> None:
        run = Run(consumer, claim, now)
        consumer.runs[run] = None
        self.schedule.working += 1
        try:
            result = self._call(claim)
        except BaseException:  # noqa: BLE001  (recorded with the job, as a Deferred would)
            self._failed(Failure(), run)
            return
        if self._limits.any or claim.options is not None:
            result = self._limit(run, result)
        ending = run.ending = begun(result)
        if ending is None:
            self._succeeded(result, run)
        else:
            ending.addCallbacks(self._succeeded, self._failed, (run,), {}, (run,), {})

    def _succeeded(self, result: Any, run: Run) -> None:
        if run.over:
            self._leave(run)
            return
        consumer, claim = run.consumer, run.claim
        if claim.ending is not None:
            if result is not None:
                self._log.warn(
                    "the handler of job {id!r} of feed {name!r} returned a result after it had "
                    "ended the job: the result is dropped",
                    id=claim.id,
                    name=consumer.job.name,
                )
            self._when_ended(run, partial(self._failed, run=run))
            return
        try:
            given = NO_RESULT if result is None else result
            run.words = consumer.words(claim.id, claim.token, given)
        except BaseException:  # noqa: BLE001  (recorded with the job)
            self._failed(Failure(), run)
            return
        consumer.finish(run)
        if self._hooks:
            self._report(run, "finished")
        self._leave(run)

    def _failed(self, reason: Failure, run: Run) -> None:
        if run.limited is not None:
            reason = run.limited.explain(reason)
        if run.claim.ending is not None and not run.over:
            self._log.failure(
                "the handler of job {id!r} of feed {name!r} failed after it had ended the job",
                reason,
                id=run.claim.id,
                name=run.consumer.job.name,
            )
            self._when_ended(run, partial(self._failed, run=run))
            return
        if not run.over:
            self._report(run, self.record_failure(run.consumer, run.claim, reason))
        elif not reason.check(CancelledError):
            self._log.failure("a handler that was cancelled failed", reason)
        self._leave(run)

    def _when_ended(self, run: Run, if_not: Callable[[Failure], object]) -> None:
        """Wait for the answer to the handler's own call that ends the claim."""
        if run.limited is not None:
            run.limited.stop()
        waits, run.if_not_ended = run.if_not_ended is not None, if_not
        if not waits:
            self._wait_for_end(run)

    def _wait_for_end(self, run: Run) -> None:
        ending = run.claim.ending
        if ending is not None:
            ending.when_answered(partial(self._ended_by_handler, run, ending.outcome))

    def _ended_by_handler(self, run: Run, outcome: str, reason: Failure | None) -> None:
        if reason is not None and run.claim.ending is not None:  # another of its calls ends it
            self._wait_for_end(run)
            return
        if reason is not None and not reason.check(JobNotClaimed):
            if_not, run.if_not_ended = run.if_not_ended, None
            if if_not is not None:
                if_not(reason)
        else:
            self._report(run, "lost" if reason is not None else outcome)
        self._leave(run)

    # -- time limits -----------------------------------------------------------------------

    def _limit(self, run: Run, result: Any) -> Any:
        """Begin the time limits of a handler that has returned a Deferred or a coroutine."""
        hard, soft = self._limits.of(run.claim.options)
        limited = run.limited = Limited(
            self._reactor, hard, soft, partial(self._interrupt, run), partial(self._give_up, run)
        )
        return limited.wrap(result)

    def _interrupt(self, run: Run) -> None:
        self._log.warn(
            "the handler of job {id!r} of feed {name!r} runs longer than its soft_time_limit: it "
            "is cancelled",
            id=run.claim.id,
            name=run.consumer.job.name,
        )
        self._cancel_handler(run)

    def _give_up(self, run: Run, seconds: float) -> None:
        """Fail the claim of a handler that runs longer than its hard limit."""
        if run.over:
            return
        run.over = True
        words = f"the handler ran longer than its time_limit of {seconds:g} seconds"
        reason = Failure(TimeLimitExceeded(words))
        if run.claim.ending is None:
            self._out_of_time(run, reason)
        else:
            # If the call has not been sent, cancelling the handler withdraws it.
            self._when_ended(run, lambda _: self._out_of_time(run, reason))
        self._cancel_handler(run)
        if not self._limits.interrupts:
            self._log.warn(
                "the function of job {id!r} of feed {name!r} ran longer than its time_limit, and "
                "goes on: its thread is lost until it returns",
                id=run.claim.id,
                name=run.consumer.job.name,
            )
        elif run in run.consumer.runs and run.limited is not None:
            self._leave(run)
            run.limited.linger(partial(self._goes_on, run))

    def _out_of_time(self, run: Run, reason: Failure) -> None:
        self._report(run, self.record_failure(run.consumer, run.claim, reason))

    def _goes_on(self, run: Run) -> None:
        self._log.warn(
            "the handler of job {id!r} of feed {name!r} goes on after it was cancelled: what it "
            "returns is dropped",
            id=run.claim.id,
            name=run.consumer.job.name,
        )

    # -- failures, and lost claims ---------------------------------------------------------

    def record_failure(self, consumer: Consumer, claim: Claim, reason: Failure) -> str:
        """Record that a job failed.

        :return: the outcome: ``failed`` or ``stalled``.
        """
        error = reason.value
        self._log.info(
            "job {id} of feed {name!r} failed: {type}: {error}",
            id=shown(claim.id),
            name=consumer.job.name,
            type=reason.type.__name__ if reason.type else "error",
            error=readable(reason.getErrorMessage()),
        )
        if isinstance(error, Stall):
            consumer.stall(claim.id, claim.token, reason)
            return "stalled"
        delay = error.delay if isinstance(error, Retry) else None
        if delay is None and claim.options is not None:
            delay = claim.options.delay(claim.cancelled + 1)
        if delay is None:
            delay = delay_from(self._back_off, claim.cancelled + 1, "back_off", back_off)
        consumer.fail(claim, reason, delay)
        return "failed"

    def _leave(self, run: Run) -> None:
        if run.limited is not None:
            run.limited.stop()
        if run in run.consumer.runs:
            del run.consumer.runs[run]
            self.schedule.working -= 1
            if not self.schedule.working and self._idle is not None and not self._idle.called:
                self._idle.callback(None)
        self.soon()

    def _report(self, run: Run, outcome: str) -> None:
        seconds = self._reactor.seconds() - run.begun
        for ended in self._hooks:
            with self._log.failuresHandled("error in what is called when a job has ended"):
                ended(run.consumer.job.name, outcome, seconds)

    def claim_lost(self, consumer: Consumer, claim: HeldClaim) -> None:
        """Cancel the handler of a job whose claim was lost."""
        for run in list(consumer.runs):
            if run.claim is claim and not run.over and run.claim.ending is None:
                self._log.warn(
                    "the claim on job {id!r} of feed {name!r} was lost: its handler is cancelled",
                    id=claim.id,
                    name=consumer.job.name,
                )
                consumer.forget(run.claim)
                self._cancel(run, "lost")

    def _cancel(self, run: Run, outcome: str) -> None:
        run.over = True
        if run.limited is not None:
            run.limited.stop()
        self._report(run, outcome)
        if not self._cancel_handler(run):
            self._leave(run)

    def _cancel_handler(self, run: Run) -> bool:
        """Cancel a handler; return whether that worked."""
        if run.ending is not None:
            try:
                run.ending.cancel()
            except BaseException:  # noqa: BLE001  (a canceller raised; its Deferred will not fire)
                self._log.failure("error while a handler was cancelled")
                return False
        return True
