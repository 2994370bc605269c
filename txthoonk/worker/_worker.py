"""A service that works on jobs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._restartable import StoppingService
from txthoonk.consumers._heartbeat import renewal_of
from txthoonk.errors import InvalidInput, InvalidType, ThoonkError, shown
from txthoonk.job.claims._thread_claim import ThreadClaim
from txthoonk.service import Thoonk
from txthoonk.types import Claim, Job
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._feed_config import Config
from txthoonk.worker._feed_consumer import FeedConsumer
from txthoonk.worker._feeds import Feeds, configs_of, open_feed, weighted
from txthoonk.worker._maintenance import Maintenance
from txthoonk.worker._schedule import Schedule
from txthoonk.worker.running._by_name import ByName, Key, check_handler
from txthoonk.worker.running._handlers import BackOff, Ended, Handlers, back_off
from txthoonk.worker.running._thread_pool import Pool
from txthoonk.worker.running._time_limits import TimeLimits

__all__ = ["Handler", "Worker"]

END_TIMEOUT = 5.0  # seconds that stopping waits for answers, after the grace

#: Works on a job: gets the :class:`~txthoonk.types.Claim`, in a thread a
#: :class:`~txthoonk.types.ThreadClaim`, and returns the result.
Handler = Callable[[Claim], Any] | Callable[[ThreadClaim], Any]


class Worker(StoppingService):
    """Works on jobs, some at a time, as long as it runs.

    When a handler returns, its job is finished; what it returns is the result (None: no
    result).  When it fails, the error is recorded, and the job is tried again after some time.
    After ``max_failures`` failures, as configured in the feed, the job is stalled.  A handler can
    also raise :class:`Retry` and :class:`Stall`.

    Claims are renewed while their handlers run.  If a claim is lost nevertheless, because this
    process was stopped for too long, the handler is cancelled and its result is dropped: a job
    is worked on at least once, and finished once.

    :ivar concurrency: the number of jobs that are worked on at a time.
    :ivar about: the description of this worker that other programs can read.
    :ivar ended: functions to call when a handler has ended, before Redis has answered, with the
        feed's name, the outcome (``finished``, ``failed``, ``stalled``, ``lost``, ``released``),
        and the seconds that the handler took.
    """

    _log = Logger()

    def __init__(
        self,
        feeds: Feeds,
        handler: Handler | None = None,
        concurrency: int = 1,
        *,
        handlers: Mapping[str, Handler] | None = None,
        key: Key = "task",
        config: Config | Mapping[str, Config] | None = None,
        thoonk: Thoonk | None = None,
        in_thread: bool = False,
        grace: float = 10.0,
        back_off: BackOff = back_off,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        maintenance: bool = True,
        name: str | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        """Make the worker; it begins when it is started.

        :param feeds: a job feed or its name, several of them, or a mapping of them to weights.
            While several feeds have jobs, each gets its share.
        :param handler: gets a :class:`~txthoonk.types.Claim`, and returns the result, or a
            Deferred or a coroutine of it.
        :param handlers: instead of one handler, a mapping of names to handlers.  A job without
            one of these names is stalled.
        :param key: where a job has the name of its handler: a field of the item, or a function
            that gets the claim and returns the name.
        :param concurrency: the number of jobs that are worked on at a time, from 1.
        :param config: creates a feed that does not exist with this configuration, at the start
            and when it has vanished, for example because Redis has lost its data.  Where you do
            not say otherwise, it has a ``timeout`` of 60 seconds and ``max_failures`` 10.  For
            several feeds it can be a mapping of their names to their configurations.  An existing
            feed keeps its configuration.  Without it, the worker waits until another program
            creates the feed.
        :param thoonk: opens the feeds that are given by name.
        :param in_thread: run the handler, a plain function, in one of the worker's own threads;
            it has *concurrency* of them.  The handler's claim is a
            :class:`~txthoonk.types.ThreadClaim`, whose methods block.
        :param grace: seconds that handlers may go on when the worker is stopped; then they are
            cancelled, and their jobs are available again.
        :param back_off: returns the seconds until a job is tried again, given its number of
            failures.
        :param time_limit: seconds that a handler may take; None for no limit.  Then the job
            fails, its claim is no longer renewed, and the handler is cancelled; what it returns
            later is dropped.  A function in a thread cannot be ended and keeps its thread.
        :param soft_time_limit: seconds until a handler is cancelled with
            :class:`SoftTimeLimitExceeded`, so that it can clean up; None for no limit.  A job can
            have time limits of its own, which :meth:`txthoonk.types.Job.put` sets.
        :param maintenance: whether to run :class:`~txthoonk.Maintenance` for the feeds.
        :param name: the name that other programs see; None for host and process id.
        :param reactor: for timeouts; with *in_thread* it must also support threads.  None for
            the reactor of the feeds' publisher.
        :raises InvalidInput: for options that cannot be used.
        """
        self._feeds = weighted(feeds, thoonk)
        self._configs = configs_of(config, self.feed_names)
        if (handler is None) == (handlers is None):
            raise InvalidType("a worker needs a handler, or handlers by name: one of the two")
        if not callable(back_off):
            raise InvalidType(f"back_off must be callable: {shown(back_off)}")
        if in_thread and soft_time_limit is not None:
            raise InvalidInput(
                "a function in a thread cannot be interrupted: give it a time_limit, not a "
                "soft_time_limit"
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
        self._handler: Callable[[Any], Any] = (
            check_handler(handler, in_thread)
            if handlers is None
            else ByName(handlers, key, in_thread)
        )
        self._limits = TimeLimits(time_limit, soft_time_limit, interrupts=not in_thread)
        self._in_thread = in_thread
        self._pool: Pool | None = None
        host = socket.gethostname()
        self.about = {
            "name": name or f"{host}:{os.getpid()}",
            "host": host,
            "pid": os.getpid(),
            "concurrency": concurrency,
        }
        self.ended: list[Ended] = []
        self._maintained = maintenance
        self._maintenance: list[Maintenance] = []
        self._consumers: list[FeedConsumer] = []
        self._handlers: Handlers | None = None
        self._opening: list[Deferred[Any]] = []
        self._error: BaseException | None = None
        self._failing: list[Deferred[BaseException]] = []

    @property
    def feed_names(self) -> list[str]:
        """The names of its feeds."""
        return [feed if isinstance(feed, str) else feed.name for feed in self._feeds]

    @property
    def running_jobs(self) -> list[Claim]:
        """The jobs that are worked on at present."""
        return [run.claim for consumer in self._consumers for run in consumer.runs]

    @property
    def lost_threads(self) -> int:
        """The number of its threads that still run a function whose job it has given up."""
        return self._pool.lost if self._pool is not None else 0

    @property
    def _reactor(self) -> Any:
        if self._given_reactor is None:
            first = next(iter(self._feeds))
            pub: Any = self._thoonk if isinstance(first, str) else first.pub
            self._given_reactor = pub.waiting_room.reactor
        return self._given_reactor

    # -- start ------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to work, as soon as there is a connection."""
        super().startService()

    def _begin(self) -> None:
        self._error = None
        if self._thoonk is not None:
            self._thoonk.attach(self)
        handlers = self._handlers = self._make_handlers()
        for feed, weight in self._feeds.items():
            pub: Any = self._thoonk if isinstance(feed, str) else feed.pub
            config = self._configs.get(feed if isinstance(feed, str) else feed.name)
            opening = Deferred.fromCoroutine(open_feed(feed, pub, self._reactor, config))
            self._opening.append(opening)
            opening.addCallbacks(self._opened, self._not_opened, callbackArgs=(handlers, weight))

    def _make_handlers(self) -> Handlers:
        call, busy = self._handler, None
        if self._in_thread:
            pool = self._pool = Pool(
                self._reactor, self.concurrency, f"worker {self.about['name']}", self._soon
            )

            def call(claim: Claim) -> Any:
                return pool.run(self._handler, ThreadClaim.of(claim, pool.call))

            def busy() -> int:
                return pool.busy

        several = len(self._feeds) > 1
        schedule: Schedule[FeedConsumer] = Schedule(
            self.concurrency, several, self._reactor, self._soon, busy
        )
        return Handlers(
            call, schedule, self._back_off, self.ended, self.about, self._reactor, self._limits
        )

    def _soon(self) -> None:
        if self._handlers is not None:
            self._handlers.soon()

    def _opened(self, job: Job, handlers: Handlers, weight: float) -> None:
        config = self._configs.get(job.name)
        consumer = FeedConsumer(handlers, handlers.schedule, job, weight, config, self._cannot)
        self._consumers.append(consumer)
        job.pub.attach(self)
        renewal_of(job.pub, self._reactor).add(consumer)
        if self._maintained:
            maintenance = Maintenance(job.pub, [job.name], reactor=self._reactor)
            self._maintenance.append(maintenance)
            maintenance.startService()
        consumer.start()
        handlers.soon()

    def _not_opened(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._cannot(reason)

    def _cannot(self, reason: Failure) -> None:
        """Stop, because a feed can never be worked on."""
        if not self.running or self._error is not None:
            return
        self._error = error = cast(BaseException, reason.value)
        if isinstance(error, ThoonkError):
            self._log.critical(
                "worker {name!r} stops: {error}", name=self.about["name"], error=error
            )
        else:
            self._log.failure("a worker stops", reason)
        stopped = self.stopService()
        stopped.addCallback(self._has_failed, error)

    def _has_failed(self, _: None, error: BaseException) -> None:
        waiting, self._failing = self._failing, []
        for one in waiting:
            one.callback(error)

    def when_failed(self) -> Deferred[BaseException]:
        """Wait until the worker stops by itself, because it cannot work on one of its feeds.

        The reason is in the feed: it is of another type, its configuration cannot be read, or its
        serializer is unknown.

        :return: fires the error once the worker has stopped; never fires if that does not happen.
        """
        failing: Deferred[BaseException] = Deferred(self._forget_failing)
        self._failing.append(failing)
        return failing

    def _forget_failing(self, failing: Deferred[BaseException]) -> None:
        if failing in self._failing:
            self._failing.remove(failing)

    # -- stop -------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Claim no more, and end: handlers get the grace time, then they are cancelled.

        Jobs whose handlers did not end are available again at once, and not counted as failed.

        :return: fires None once Redis has answered all calls, or after a time limit; never fails.
        """
        return super().stopService()

    async def _end(self) -> None:
        opening, self._opening = self._opening, []
        for one in opening:
            one.cancel()
        if self._handlers is not None:
            await self._end_work(self._handlers)
        self._consumers.clear()
        if self._thoonk is not None:
            self._thoonk.detach(self)
        maintenance, self._maintenance = self._maintenance, []
        for service in maintenance:
            await service.stopService()

    async def _end_work(self, handlers: Handlers) -> None:
        handlers.stop()
        for consumer in self._consumers:
            consumer.stop()
        handlers.soon()
        await handlers.end(self._consumers, self._grace)
        if self._pool is not None:
            self._pool.stop()
        for ended in [Deferred.fromCoroutine(self._end_feed(one)) for one in self._consumers]:
            await ended
        handlers.cancel_soon()

    async def _end_feed(self, consumer: FeedConsumer) -> None:
        """Wait until all calls of a feed are answered."""
        timeout = END_TIMEOUT
        try:
            await consumer.settled().addTimeout(END_TIMEOUT, self._reactor)
        except TimeoutError:
            self._log.warn(
                "Redis did not confirm the end of some jobs of {name!r} in time: they may stay "
                "claimed until the feed's timeout",
                name=consumer.job.name,
            )
            timeout = 0.0
        consumer.end()
        consumer.job.pub.detach(self)
        ended = renewal_of(consumer.job.pub, self._reactor).remove(consumer)
        with suppress(ThoonkError, TimeoutError):  # the record of this worker soon expires
            await ended.addTimeout(timeout, self._reactor)
