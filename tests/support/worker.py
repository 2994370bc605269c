"""Helpers for the integration tests of workers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, eventAsText

from tests.support import RedisTestCase, server_url
from tests.support.logs import observe_log
from tests.support.service import reactor, watched
from tests.support.waiting import until
from txthoonk.errors import ConnectionLost
from txthoonk.service import Thoonk
from txthoonk.types import Claim, Job, JobFailure
from txthoonk.worker import Worker

HOUR = 3600


class Doing:
    """A handler whose jobs run until the test ends them.

    :ivar claims: the claims of all jobs that were begun, in order.
    :ivar most: the largest number of jobs that ran at a time.
    """

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.going: dict[str, Deferred[Any]] = {}
        self.cancelled: list[str] = []
        self.most = 0

    def __call__(self, claim: Claim) -> Deferred[Any]:
        self.claims.append(claim)
        going = self.going[claim.id] = Deferred(lambda _: self._cancel(claim.id))
        self.most = max(self.most, len(self.going))
        return going

    def _cancel(self, id_: str) -> None:
        self.cancelled.append(id_)
        self.going.pop(id_, None)

    @property
    def ids(self) -> list[str]:
        """The ids of all jobs that were begun, in order."""
        return [claim.id for claim in self.claims]

    def end(self, *ids: str, result: Any = None) -> None:
        """Let handlers return; with no ids, all of them."""
        for id_ in ids or list(self.going):
            self.going.pop(id_).callback(result)

    async def begun(self, count: int) -> None:
        """Wait until *count* jobs have begun."""
        await until(lambda: len(self.claims) >= count)


class Calls:
    """Counts the script calls of a publisher, by script."""

    def __init__(self, test: WorkerTestCase, thoonk: Any) -> None:
        self.names: list[str] = []
        redis = thoonk.redis
        call = redis.call

        def counted(script: Any, command: Any, encoding: Any) -> Any:
            self.names.append(script.name)
            return call(script, command, encoding)

        test.patch(redis, "call", counted)

    def of(self, name: str) -> int:
        """Return the number of calls of a script."""
        return self.names.count(name)


class WorkerTestCase(RedisTestCase):
    """A service, a job feed x, and workers that leave nothing in the reactor."""

    CONFIG: dict[str, Any] = {"timeout": 60, "max_failures": 3}

    async def setUp(self) -> None:
        await super().setUp()
        self.url = await server_url()
        self.before = watched()
        self.addCleanup(self.nothing_left)  # the last cleanup but one
        self.logged: list[Any] = []
        observe_log(self, self.logged.append)
        self.ended: list[tuple[str, str]] = []
        self.thoonk = await self.service().connect()
        self.job: Job = await self.thoonk.job("x", self.CONFIG)

    def nothing_left(self) -> Deferred[None]:
        """Wait until the reactor has no more readers, writers and calls than before the test."""
        return Deferred.fromCoroutine(until(lambda: not watched() - self.before))

    def service(self, **arguments: Any) -> Thoonk:
        """Make a service that is stopped after the test."""
        thoonk = Thoonk(self.url, reactor, retry_policy=lambda _: 0.02, **arguments)
        self.addCleanup(thoonk.close)
        return thoonk

    def make(
        self, handler: Any, concurrency: int = 1, feeds: Any = None, **options: Any
    ) -> Worker:
        """Make a worker that is stopped after the test."""
        options = {"grace": 0.0, "maintenance": False, "back_off": lambda _: 0.0, **options}
        worker = Worker(self.job if feeds is None else feeds, handler, concurrency, **options)
        worker.ended.append(lambda name, outcome, _: self.ended.append((name, outcome)))
        self.addCleanup(worker.stopService)
        return worker

    def work(
        self, handler: Any, concurrency: int = 1, feeds: Any = None, **options: Any
    ) -> Worker:
        """Start a worker that is stopped after the test."""
        worker = self.make(handler, concurrency, feeds, **options)
        worker.startService()
        return worker

    async def put(self, *ids: str, job: Job | None = None, **options: Any) -> None:
        """Put jobs, in order."""
        for id_ in ids:
            await (job or self.job).put(f"item {id_}", id_=id_, **options)

    async def outcomes(self, count: int) -> list[str]:
        """Wait until *count* jobs have ended, and return their outcomes."""
        await until(lambda: len(self.ended) >= count)
        return [outcome for _, outcome in self.ended]

    async def stats(self, job: Job | None = None) -> tuple[int, ...]:
        """Return the numbers of available, claimed, stalled and finished jobs."""
        found = await (job or self.job).stats()
        return tuple(found[kind] for kind in ("available", "claimed", "stalled", "finishes"))

    async def comes_to(self, *stats: int, job: Job | None = None) -> None:
        """Wait for these numbers of available, claimed, stalled and finished jobs."""

        async def question() -> tuple[int, ...]:
            try:
                return await self.stats(job)
            except ConnectionLost:  # the test cut it
                return ()

        await self.until_answer(question, lambda found: found == stats, silent=True)

    async def rounds(self) -> None:
        """Wait for more round trips than a worker needs for its next steps."""
        for _ in range(20):
            await self.thoonk.redis.ping()
            await self.raw.send("PING")

    async def failure(self, id_: str) -> JobFailure:
        """Wait for the record of a failure."""
        failure = await self.until_answer(lambda: self.job.get_failure(id_))
        assert failure is not None
        return failure

    def texts(self, *levels: LogLevel) -> list[str]:
        """Return the messages that txthoonk logged."""
        return [
            eventAsText(event, includeTimestamp=False, includeSystem=False)
            for event in self.logged
            if event["log_level"] in (levels or (LogLevel.warn, LogLevel.error, LogLevel.critical))
            and event["log_namespace"].startswith("txthoonk")
        ]
