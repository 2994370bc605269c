"""A service that works on jobs."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attr
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._deferreds import begun
from txthoonk._support._restartable import StoppingService
from txthoonk.connections._back_off import back_off as growing
from txthoonk.consumers._heartbeat import renewal_of
from txthoonk.consumers._interfaces import HeldClaim
from txthoonk.errors import InvalidInput, InvalidType, ThoonkError, readable, shown
from txthoonk.job._claim import NO_RESULT, ThreadClaim
from txthoonk.service import Thoonk
from txthoonk.types import Claim, Job
from txthoonk.wire._checks import check_seconds, delay_from
from txthoonk.wire._job_records import dump_failure
from txthoonk.worker._feed_consumer import Pump
from txthoonk.worker._feeds import Feeds, open_feed, weighted
from txthoonk.worker._maintenance import Maintenance
from txthoonk.worker._schedule import Schedule
from txthoonk.worker._thread_pool import Pool

__all__ = ["BackOff", "Feeds", "Handler", "Retry", "Stall", "Worker"]

FIRST_DELAY = 1.0  # seconds until the first retry
LAST_DELAY = 600.0
SLICE = 0.02  # seconds after which others get their turn, while handlers are begun
END_TIMEOUT = 5.0  # seconds that stopping waits for answers, after the grace

#: What works on a job: gets the :class:`~txthoonk.types.Claim`, in a thread a
#: :class:`~txthoonk.types.ThreadClaim`, and gives the result.
Handler = Callable[[Claim], Any] | Callable[[ThreadClaim], Any]

#: Gives the seconds until a job is tried again, from how often it has failed.
BackOff = Callable[[int], float]


class Retry(ThoonkError):
    """What a handler raises to have its job tried again later; it counts as a failure.

    :param delay: seconds until then; None: as after other failures.
    :param reason: why, to be recorded.
    """

    def __init__(
        self, delay: float | None = None, reason: str = "the handler asked for it"
    ) -> None:
        super().__init__(reason)
        self.delay = None if delay is None else check_seconds(delay, "a delay")


class Stall(ThoonkError):
    """What a handler raises to have its job stalled, without further attempts.

    :param reason: why, to be recorded.
    """


def back_off(failures: int) -> float:
    """Give the seconds until the next attempt: from 1, doubling, to 600, half of it by chance."""
    return growing(failures, FIRST_DELAY, LAST_DELAY)


def is_async(handler: Any) -> bool:
    """Tell whether calling it makes a coroutine."""
    return any(map(inspect.iscoroutinefunction, (handler, type(handler).__call__)))


@attr.define(eq=False)
class _Run:
    """A job that is worked on.

    :ivar over: whether its end is not to be told: it was lost, or given back.
    """

    pump: Pump
    claim: Claim
    begun: float
    ending: Deferred[Any] | None = None
    over: bool = False


class Worker(StoppingService):
    """Works on jobs, some at a time, as long as it runs.

    A handler that returns finishes its job, with what it returns as the result (None: without
    one).  One that fails has the error recorded, and the job tried again after some time, until
    it has failed as often as the feed's ``max_failures`` says: then it is stalled.  It may
    raise :class:`Retry` and :class:`Stall`, too.

    Claims are renewed while their handlers run.  Where one is lost nevertheless, because this
    process was stopped for too long, the handler is cancelled, and whatever comes of it is
    dropped: a job is worked on at least once, and finished once.

    :ivar concurrency: how many jobs are worked on at a time.
    :ivar about: what others are told of this worker.
    :ivar ended: functions that are called with the feed's name, what became of a job
        (``finished``, ``failed``, ``stalled``, ``lost``, ``released``), and the seconds that
        it took.  They are called when the handler has ended, before Redis has answered.
    """

    _log = Logger()

    def __init__(
        self,
        feeds: Feeds,
        handler: Handler,
        concurrency: int = 1,
        *,
        thoonk: Thoonk | None = None,
        in_thread: bool = False,
        grace: float = 10.0,
        back_off: BackOff = back_off,
        maintenance: bool = True,
        name: str | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        """Make the worker; it begins when it is started.

        :param feeds: a job feed, or the name of one, or several, or a mapping of them to
            weights: where all have jobs, each gets its share.  A feed that does not exist is
            created, with a ``timeout`` of 60 seconds and ``max_failures`` 10.
        :param handler: gets a :class:`~txthoonk.types.Claim`, and returns the result, or a
            Deferred or a coroutine of it.
        :param concurrency: how many jobs are worked on at a time, from 1.
        :param thoonk: where the feeds are that are given by name.
        :param in_thread: run the handler, a plain function, in a thread of the worker's own,
            of which there are *concurrency*.  Its claim is a
            :class:`~txthoonk.types.ThreadClaim`, whose methods block.
        :param grace: seconds that handlers may go on when the worker is stopped; then they are
            cancelled, and their jobs are available again.
        :param back_off: gives the seconds until a job is tried again, from how often it has
            failed.
        :param maintenance: whether to run :class:`~txthoonk.Maintenance` for the feeds.
        :param name: what others are shown; None: host and process.
        :param reactor: for timeouts; *in_thread* needs all that a reactor has.  None: that of
            the feeds' publisher.
        :raises InvalidInput: for options that cannot be used.
        """
        self._feeds = weighted(feeds, thoonk)
        for what, function in (("a handler", handler), ("back_off", back_off)):
            if not callable(function):
                raise InvalidType(f"{what} must be callable: {shown(function)}")
        if in_thread and is_async(handler):
            raise InvalidInput(
                f"a coroutine does not run in a thread: {shown(handler)} needs in_thread=False"
            )
        if name is not None and not isinstance(name, str):
            raise InvalidType(f"a worker's name must be a str: {shown(name)}")
        if type(concurrency) is not int or concurrency < 1:
            raise InvalidInput(f"concurrency must be a whole number from 1: {shown(concurrency)}")
        self.concurrency = concurrency
        self._thoonk = thoonk
        self._grace = check_seconds(grace, "grace")
        self._back_off = back_off
        self._given_reactor = reactor
        self._handler: Callable[[Any], Any] = handler
        self._in_thread = in_thread
        self._pool: Pool | None = None
        host = socket.gethostname()
        self.about = {
            "name": name or f"{host}:{os.getpid()}",
            "host": host,
            "pid": os.getpid(),
            "concurrency": concurrency,
        }
        self.ended: list[Callable[[str, str, float], object]] = []
        self._maintained = maintenance
        self._maintenance: list[Maintenance] = []
        self._runs: dict[_Run, None] = {}
        self._pumps: list[Pump] = []
        self._schedule: Schedule | None = None
        self._opening: list[Deferred[Any]] = []
        self._scheduled: Any = None
        self._idle: Deferred[None] | None = None
        self._dealing = False

    @property
    def running_jobs(self) -> list[Claim]:
        """The jobs that are worked on at present."""
        return [run.claim for run in self._runs]

    @property
    def _reactor(self) -> Any:
        if self._given_reactor is None:
            first = next(iter(self._feeds))
            pub: Any = self._thoonk if isinstance(first, str) else first.pub
            self._given_reactor = pub.waiting_room.reactor
        return self._given_reactor

    # -- the service ------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to work, as soon as there is a connection."""
        super().startService()

    def _begin(self) -> None:
        if self._thoonk is not None:
            self._thoonk.attach(self)
        if self._in_thread:
            name = f"worker {self.about['name']}"
            self._pool = Pool(self._reactor, self.concurrency, name, self._soon)
        self._schedule = Schedule(
            self.concurrency, len(self._feeds) > 1, self._reactor, self._soon, self._in_threads
        )
        for feed, weight in self._feeds.items():
            opening = Deferred.fromCoroutine(open_feed(feed, self._thoonk, self._reactor))
            self._opening.append(opening)
            opening.addCallbacks(
                self._opened, self._not_opened, callbackArgs=(self._schedule, weight)
            )

    def _opened(self, job: Job, schedule: Schedule, weight: float) -> None:
        pump = Pump(self, schedule, job, weight)
        self._pumps.append(pump)
        job.pub.attach(self)
        renewal_of(job.pub, self._reactor).add(pump)
        if self._maintained:
            maintenance = Maintenance(job.pub, [job.name], reactor=self._reactor)
            self._maintenance.append(maintenance)
            maintenance.startService()
        pump.start()
        self._soon()

    def _not_opened(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("a feed cannot be worked on", reason)

    def stopService(self) -> Deferred[None]:
        """Claim no more, and end: handlers get the grace time, then they are cancelled.

        Jobs whose handlers did not end are available again at once, and not counted as failed.

        :return: fires None once all is said; never fails.
        """
        return super().stopService()

    async def _end(self) -> None:
        opening, self._opening = self._opening, []
        for one in opening:
            one.cancel()
        if self._schedule is not None:
            self._schedule.stop()
        for pump in self._pumps:
            pump.stop()
        self._soon()
        await self._end_runs()
        if self._pool is not None:
            self._pool.stop()
        for ended in [Deferred.fromCoroutine(self._end_pump(pump)) for pump in self._pumps]:
            await ended
        self._cancel_scheduled()
        self._pumps.clear()
        self._runs.clear()
        if self._thoonk is not None:
            self._thoonk.detach(self)
        maintenance, self._maintenance = self._maintenance, []
        for service in maintenance:
            await service.stopService()

    async def _end_runs(self) -> None:
        """Give the handlers their time; give back what they do not finish."""
        if self._runs:
            idle = self._idle = Deferred()
            with self._log.failuresHandled("error while handlers end"):
                try:
                    await idle.addTimeout(self._grace, self._reactor)
                except TimeoutError:
                    self._log.info(
                        "{count} handlers did not end within {grace:g} seconds: cancelled",
                        count=len(self._runs),
                        grace=self._grace,
                    )
        self._idle = None
        for pump in self._pumps:
            left = [run for run in pump.runs if not run.over]
            pump.give_back([run.claim for run in left])
            # The end of one may be the end of another.
            for run in left:
                run.over = True
            for run in left:
                self._give_up(run, "released")

    async def _end_pump(self, pump: Pump) -> None:
        """Let a feed say what it has to say."""
        timeout = END_TIMEOUT
        try:
            await pump.settled().addTimeout(END_TIMEOUT, self._reactor)
        except TimeoutError:
            self._log.warn(
                "not all was said of jobs of {name!r} before the end: they stay claimed until "
                "the feed's timeout",
                name=pump.job.name,
            )
            timeout = 0.0
        pump.end()
        pump.job.pub.detach(self)
        ended = renewal_of(pump.job.pub, self._reactor).remove(pump)
        with suppress(ThoonkError, TimeoutError):  # it is forgotten soon by itself
            await ended.addTimeout(timeout, self._reactor)

    # -- which jobs ----------------------------------------------------------------------

    def _soon(self) -> None:
        """Say what there is to say, and claim, at the end of this turn of the reactor."""
        if self._scheduled is None and not self._dealing:
            self._scheduled = self._reactor.callLater(0, self._later)

    def _work(self) -> None:
        """Begin what was claimed, then say at once what came of that, and claim more.

        Plain functions may take their time: others get their turn in between.
        """
        schedule = self._schedule
        if self._dealing or schedule is None:
            return
        self._dealing = True
        seconds = self._reactor.seconds
        now = seconds()
        until = now + SLICE
        try:
            while schedule.unbegun and now <= until and self._stopping is None:
                pump = next(iter(schedule.unbegun))
                self._start(pump, schedule.begin(pump), now)
                now = seconds()
        finally:
            self._dealing = False
        schedule.fill()
        if self._stopping is None and schedule.unbegun:
            self._soon()

    def _later(self) -> None:
        self._scheduled = None
        self._work()

    def _cancel_scheduled(self) -> None:
        scheduled, self._scheduled = self._scheduled, None
        if scheduled is not None:
            scheduled.cancel()

    def _in_threads(self) -> int:
        return 0 if self._pool is None else self._pool.busy

    # -- one job ----------------------------------------------------------------------

    def _start(self, pump: Pump, claim: Claim, now: float) -> None:
        run = _Run(pump, claim, now)
        self._runs[run] = pump.runs[run] = None
        pump.schedule.working += 1
        try:
            result = self._call(claim)
        except BaseException:  # noqa: BLE001  (recorded with the job, as a Deferred would)
            self._failed(Failure(), run)
            return
        ending = run.ending = begun(result)
        if ending is None:
            self._succeeded(result, run)
            return
        ending.addCallbacks(self._succeeded, self._failed, (run,), {}, (run,), {})

    def _call(self, claim: Claim) -> Any:
        if self._pool is None:
            return self._handler(claim)
        return self._pool.run(self._handler, ThreadClaim.of(claim, self._pool.call))

    def _succeeded(self, result: Any, run: _Run) -> None:
        if run.over:
            self._leave(run)
            return
        pump, claim = run.pump, run.claim
        try:
            given = NO_RESULT if result is None else result
            words = pump.job._to_finish(claim.id, claim.token, given)
        except BaseException:  # noqa: BLE001  (recorded with the job)
            self._failed(Failure(), run)
            return
        pump.finish(words, claim)
        self._tell(run, "finished")
        self._leave(run)

    def _failed(self, reason: Failure, run: _Run) -> None:
        if not run.over:
            self._tell(run, self._record_failure(run.pump, run.claim, reason))
        elif not reason.check(CancelledError):
            self._log.failure("a handler that was cancelled failed", reason)
        self._leave(run)

    def _record_failure(self, pump: Pump, claim: Claim, reason: Failure) -> str:
        """Give a job back because it failed; give what becomes of it."""
        job, error = pump.job, reason.value
        self._log.info(
            "job {id} of feed {name!r} failed: {type}: {error}",
            id=shown(claim.id),
            name=job.name,
            type=reason.type.__name__ if reason.type else "error",
            error=readable(reason.getErrorMessage()),
        )
        if isinstance(error, Stall):
            why = dump_failure(reason)
            pump.tell(lambda: job._end_stalled(claim.id, claim.token, why))
            return "stalled"
        delay = error.delay if isinstance(error, Retry) else None
        if delay is None:
            delay = self._delay(claim.cancelled + 1)
        pump.tell(lambda: job.fail(claim, reason, delay))
        return "failed"

    def _delay(self, failures: int) -> float:
        return delay_from(self._back_off, failures, "back_off", back_off)

    def _leave(self, run: _Run) -> None:
        if run in self._runs:
            del self._runs[run], run.pump.runs[run]
            run.pump.schedule.working -= 1
        if not self._runs and self._idle is not None and not self._idle.called:
            self._idle.callback(None)
        self._soon()

    def _tell(self, run: _Run, outcome: str) -> None:
        if self.ended:
            seconds = self._reactor.seconds() - run.begun
            for ended in self.ended:
                with self._log.failuresHandled("error in what is called when a job has ended"):
                    ended(run.pump.job.name, outcome, seconds)

    def _give_up(self, run: _Run, outcome: str) -> None:
        run.over = True
        self._tell(run, outcome)
        if run.ending is not None:
            try:
                run.ending.cancel()
            except BaseException:  # noqa: BLE001  (of a canceller; its Deferred will not end)
                self._log.failure("error while a handler was cancelled")
                self._leave(run)

    def _lost(self, pump: Pump, claim: HeldClaim) -> None:
        for run in list(pump.runs):
            if run.claim is claim and not run.over:
                self._log.warn(
                    "the claim on job {id!r} of feed {name!r} was lost: its handler is cancelled",
                    id=claim.id,
                    name=pump.job.name,
                )
                claim.job._claims.lost(claim.id, claim.token)
                self._give_up(run, "lost")
