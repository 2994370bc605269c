"""A worker: handlers of all kinds, how many jobs at a time, and with how many calls."""

# Trial's TestCase is typed in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import threading
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, eventAsText, globalLogPublisher

from tests.integration.test_service import reactor, watched
from tests.server_support import until
from tests.support import RedisTestCase, server_url
from txthoonk.consumers import _heartbeat
from txthoonk.errors import ConnectionLost
from txthoonk.service import Thoonk
from txthoonk.types import Claim, Job, JobFailure
from txthoonk.worker import Worker, _feed_consumer

HOUR = 3600


class Doing:
    """A handler whose jobs go on until the test ends them.

    :ivar claims: of all jobs that were begun, in their order.
    :ivar most: how many were under way at a time.
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
        """The ids of all jobs that were begun, in their order."""
        return [claim.id for claim in self.claims]

    def end(self, *ids: str, result: Any = None) -> None:
        """Let handlers return; all if none is named."""
        for id_ in ids or list(self.going):
            self.going.pop(id_).callback(result)

    async def begun(self, count: int) -> None:
        """Wait until so many jobs were begun."""
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
        """Give how many there were of a script."""
        return self.names.count(name)


class WorkerTestCase(RedisTestCase):
    """A test with a service, a job feed x, and workers that leave nothing in the reactor."""

    CONFIG: dict[str, Any] = {"timeout": 60, "max_failures": 3}

    async def setUp(self) -> None:
        await super().setUp()
        self.url = await server_url()
        self.before = watched()
        self.addCleanup(self.nothing_left)  # the last of all but one
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.ended: list[tuple[str, str]] = []
        self.thoonk = await self.service().connect()
        self.job: Job = await self.thoonk.job("x", self.CONFIG)

    def nothing_left(self) -> Deferred[None]:
        """Wait until the reactor has no more to do than before the test."""
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
        """Put jobs, in their order."""
        for id_ in ids:
            await (job or self.job).put(f"item {id_}", id_=id_, **options)

    async def outcomes(self, count: int) -> list[str]:
        """Wait until so many jobs have ended; what became of them."""
        await until(lambda: len(self.ended) >= count)
        return [outcome for _, outcome in self.ended]

    async def stats(self, job: Job | None = None) -> tuple[int, ...]:
        """Count the jobs that are available, claimed, stalled and finished."""
        found = await (job or self.job).stats()
        return tuple(found[kind] for kind in ("available", "claimed", "stalled", "finishes"))

    async def comes_to(self, *stats: int, job: Job | None = None) -> None:
        """Wait until as many jobs are available, claimed, stalled and finished."""
        found: tuple[int, ...] = ()
        while found != stats:
            with contextlib.suppress(ConnectionLost):  # where the test has cut it
                found = await self.stats(job)
            await deferLater(reactor, 0.01)

    async def rounds(self) -> None:
        """Let pass what a worker that is about to do something needs for it, more than once."""
        for _ in range(20):
            await self.thoonk.redis.ping()
            await self.raw.send("PING")

    async def failure(self, id_: str) -> JobFailure:
        """Wait for the record of a failure."""
        while (found := await self.job.get_failure(id_)) is None:
            await deferLater(reactor, 0.01)
        return found

    def texts(self, *levels: LogLevel) -> list[str]:
        """Give what was logged, by txthoonk."""
        return [
            eventAsText(event, includeTimestamp=False, includeSystem=False)
            for event in self.logged
            if event["log_level"] in (levels or (LogLevel.warn, LogLevel.error, LogLevel.critical))
            and event["log_namespace"].startswith("txthoonk")
        ]


class HandlerTests(WorkerTestCase):
    async def result(self, handler: Any, **options: Any) -> Any:
        """Let a handler work on one job; what whoever waits for it gets."""
        waiting = self.job.wait(await self.job.put("item"))
        worker = self.work(handler, **options)
        try:
            return await waiting
        finally:
            await worker.stopService()

    async def test_kinds(self) -> None:
        """A handler returns its result, or a Deferred or a coroutine of it."""

        async def coroutine(claim: Claim) -> str:
            await deferLater(reactor, 0)
            return claim.item.upper()  # type: ignore[no-any-return]

        @inlineCallbacks
        def generator(claim: Claim) -> Any:
            yield deferLater(reactor, 0)
            return claim.item.upper()

        handlers = [
            lambda claim: claim.item.upper(),
            lambda claim: succeed(claim.item.upper()),
            lambda claim: deferLater(reactor, 0, claim.item.upper),
            coroutine,
            generator,
        ]
        self.assertEqual([await self.result(one) for one in handlers], ["ITEM"] * 5)
        self.assertEqual(self.ended, [("x", "finished")] * 5)
        self.assertEqual(self.texts(), [])

    async def test_thread(self) -> None:
        """With in_thread a plain function may block: it runs in another thread."""
        seen: list[Any] = []
        let_go = threading.Event()

        def block(claim: Claim) -> str:
            seen.append(threading.current_thread())
            let_go.wait(10)
            return str(claim.item)

        reactor.callLater(0.05, let_go.set)
        self.assertEqual(await self.result(block, in_thread=True), "item")
        self.assertIsNot(seen[0], threading.current_thread())

    async def test_no_result(self) -> None:
        """None is no result: the job is finished, and nothing is published for it."""
        spied = await self.spy()
        for handler in (lambda _: None, lambda _: succeed(None)):
            self.assertIsNone(await self.result(handler))
        kinds = [channel for channel, _ in await spied.messages()]
        once = [b"feed.publishes:x", b"feed.claimed:x", b"feed.finishes:x"]
        self.assertEqual(kinds, once * 2)

    async def test_state(self) -> None:
        """A finished job leaves nothing, and the claim says what it was."""
        await self.put("a")
        doing = Doing()
        worker = self.work(doing)
        await doing.begun(1)
        (claim,) = doing.claims
        self.assertEqual((tuple(claim), claim.job), (("a", "item a", 0), self.job))
        self.assertEqual(worker.running_jobs, [claim])
        self.assertEqual(await self.job.get_ids("claimed"), ["a"])
        doing.end(result="done")
        await self.comes_to(0, 0, 0, 1)
        self.assertEqual(worker.running_jobs, [])
        await worker.stopService()
        state = await self.state()
        self.assertEqual(
            {key: state[key] for key in state if key != b"feed.config:x"},
            {b"feeds": {b"x"}, b"feed.publishes:x": b"1", b"feed.finishes:x": b"1"},
        )

    async def test_bare_publisher(self) -> None:
        """The feed may be that of a bare publisher."""
        pub = await self.pub()
        job = await pub.job("x")
        worker = self.work(lambda claim: claim.item, 3, job)
        for id_ in "abc":
            await self.put(id_)
        await self.comes_to(0, 0, 0, 3)
        await worker.stopService()
        self.assertIsNone(await self.value("feed.workers:x"))

    async def test_ended_fails(self) -> None:
        """A function in Worker.ended that raises is logged, and stops nothing."""
        worker = self.make(lambda claim: None)
        seen: list[float] = []
        worker.ended[:0] = [lambda *_: 1 / 0, lambda name, outcome, took: seen.append(took)]
        worker.startService()
        await self.put("a", "b")
        self.assertEqual(await self.outcomes(2), ["finished"] * 2)
        self.assertTrue(all(0 <= took < 60 for took in seen))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class ConcurrencyTests(WorkerTestCase):
    async def test_never_more(self) -> None:
        """No more jobs are claimed than may be worked on at a time, and no fewer."""
        await self.job.put_many(["item"] * 20)
        doing = Doing()
        worker = self.work(doing, 4)
        done = 0
        while done < 20:
            await doing.begun(min(done + 4, 20))
            self.assertTrue((await self.stats())[1] <= 4)
            self.assertEqual(len(worker.running_jobs), len(doing.going))
            doing.end(*list(doing.going)[: 1 + done % 3])
            done = len(doing.claims) - len(doing.going)
        await self.comes_to(0, 0, 0, 20)
        self.assertEqual(doing.most, 4)

    async def test_some_end_at_once(self) -> None:
        """Jobs that end at once bring others, but never more than have room beside the rest."""
        ids = await self.job.put_many(["item"] * 40)
        doing = Doing()
        at_once = set(ids[:7])
        worker = self.work(lambda claim: None if claim.id in at_once else doing(claim), 10)
        await doing.begun(10)
        for _ in range(20):
            self.assertTrue(len(worker.running_jobs) <= 10, len(worker.running_jobs))
            self.assertTrue((await self.stats())[1] <= 10)
        self.assertEqual(doing.most, 10)

    async def test_two_at_once(self) -> None:
        """Where one slot is free, and jobs come into two idle feeds, one is worked on."""
        other = await self.thoonk.job("y")
        doing = Doing()
        self.work(doing, 1, [self.job, other])
        puts = [self.job.put("item", id_="a"), other.put("item", id_="b")]
        for put in puts:
            await put
        await doing.begun(1)
        doing.end()
        await doing.begun(2)
        doing.end()
        await self.comes_to(0, 0, 0, 1)
        await self.comes_to(0, 0, 0, 1, job=other)
        self.assertEqual((sorted(doing.ids), doing.most), (["a", "b"], 1))


class CallTests(WorkerTestCase):
    async def test_one_call_per_job(self) -> None:
        """With concurrency 1 a backlog costs one call for each job, and two for its ends."""
        await self.job.put_many(["item"] * 50)
        calls = Calls(self, self.thoonk)
        self.work(lambda claim: deferLater(reactor, 0))
        await self.outcomes(50)
        await self.comes_to(0, 0, 0, 50)
        self.assertEqual(calls.of("job/finish"), 51)

    async def test_one_turn(self) -> None:
        """What is finished in one turn of the reactor is said in one call, which brings more."""
        await self.job.put_many(["item"] * 40)
        doing = Doing()
        self.work(doing, 20)
        await doing.begun(20)
        calls = Calls(self, self.thoonk)
        doing.end(*doing.ids[:15])
        await doing.begun(35)
        self.assertEqual((await self.stats(), calls.of("job/finish")), ((5, 20, 0, 15), 1))

    async def test_idle(self) -> None:
        """A worker that has nothing to do asks nothing, but for the renewal."""
        self.patch(_heartbeat, "LONGEST", HOUR)
        self.work(lambda claim: None, 5)
        await self.blocked()
        await self.numsub("feed.delayed:x", 1)
        await self.rounds()
        keeper = self.job._timekeeper
        # It looks for delayed jobs when it begins, and when it hears of them.
        await until(
            lambda: (
                keeper._looking is None
                and (keeper._timer is None or keeper._timer.getTime() > reactor.seconds() + 9)
            )
        )
        calls = Calls(self, self.thoonk)
        await deferLater(reactor, 0.2)
        self.assertEqual([name for name in calls.names if name != "worker/renew"], [])

    async def test_many(self) -> None:
        """No call finishes or claims more than a hundred jobs."""
        await self.job.put_many(["item"] * 350)
        doing = Doing()
        self.work(doing, 1000)
        await doing.begun(350)
        spied = await self.spy()
        calls = Calls(self, self.thoonk)
        doing.end()
        await self.comes_to(0, 0, 0, 350)
        self.assertEqual(len(await spied.messages()), 350)
        self.assertTrue(350 / _feed_consumer.MOST <= calls.of("job/finish") <= 6, calls.names)
