"""The maintenance service: its feeds, its times, and several services together."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock, deferLater

from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import WorkerTestCase
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.job._job import timekeeper_of
from txthoonk.types import Job, Queue
from txthoonk.types._taken import TakenFeed
from txthoonk.worker._maintenance import JITTER, Maintenance

INTERVAL = 30.0


class MaintenanceTestCase(WorkerTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.clock = Clock()
        self.passes: list[tuple[str, str]] = []
        for type_ in (Job, Queue):  # PythonQueue is a subclass of Queue
            self.patch(type_, "maintenance", self.noted(type_.maintenance))

    def noted(self, maintenance: Any) -> Any:
        def note(feed: TakenFeed) -> Any:
            self.passes.append((type(feed).__name__, feed.name))
            return maintenance(feed)

        return note

    def maintain(self, feeds: Any = None, reactor: Any = None, **arguments: Any) -> Maintenance:
        """Start the service; it is stopped after the test."""
        clock = reactor or self.clock
        service = Maintenance(arguments.pop("thoonk", self.thoonk), feeds, INTERVAL, clock)
        self.addCleanup(service.stopService)
        service.startService()
        if clock is self.clock:
            self.clock.advance(0)
        return service

    async def passed(self, service: Maintenance) -> None:
        """Wait for the end of the current pass."""
        await until(lambda: service._pass is None)

    async def next_pass(self, *services: Maintenance) -> None:
        """Delete the locks of earlier passes, and advance by an interval."""
        for key in await self.raw.send("KEYS", "feed.maintained:*"):
            await self.raw.send("DEL", key)
        self.clock.advance(INTERVAL * (1 + JITTER))
        for service in services:
            await self.passed(service)


class FeedsTests(MaintenanceTestCase):
    async def test_all(self) -> None:
        """All queues and job feeds are maintained, including later ones, and no others."""
        await self.thoonk.queue("q")
        await self.thoonk.pyqueue("p")
        await self.thoonk.feed("f")
        await self.thoonk.sorted_feed("s")
        service = self.maintain()
        await self.passed(service)
        first = [("PythonQueue", "p"), ("Queue", "q"), ("Job", "x")]
        self.assertEqual(self.passes, first)
        self.passes.clear()
        await self.thoonk.job("new")
        await self.thoonk.delete_feed("q")
        await self.next_pass(service)
        self.assertEqual(self.passes, [("Job", "new"), ("PythonQueue", "p"), ("Job", "x")])
        self.assertEqual(self.texts(), [])

    async def test_given(self) -> None:
        """Feeds that are given, as objects or names, are maintained, and no others."""
        queue = await self.thoonk.queue("q")
        await self.thoonk.job("y")
        for feeds in ("x", self.job, ["x"], iter([self.job])):
            self.passes.clear()
            await self.raw.send("DEL", "feed.maintained:x")
            service = self.maintain(feeds)
            await self.passed(service)
            self.assertEqual(self.passes, [("Job", "x")])
            await service.stopService()
        service = self.maintain([queue, "y"])
        await self.passed(service)
        self.assertEqual(self.passes[1:], [("Queue", "q"), ("Job", "y")])

    async def test_bare_publisher(self) -> None:
        """The feeds may belong to a bare publisher."""
        pub = await self.pub()
        service = self.maintain(thoonk=pub)
        await self.passed(service)
        self.assertEqual(self.passes, [("Job", "x")])
        await service.stopService()

    async def test_missing(self) -> None:
        """A given feed that does not exist is left out until it exists."""
        service = self.maintain(["y", "x"])
        await self.passed(service)
        self.assertEqual((self.passes, self.texts()), ([("Job", "x")], []))
        await self.thoonk.job("y")
        await self.next_pass(service)
        self.assertEqual(self.passes[1:], [("Job", "y"), ("Job", "x")])

    async def test_errors(self) -> None:
        """An error of one feed is logged, and does not stop the others."""
        await self.thoonk.feed("f")
        await self.thoonk.job("broken")
        await self.raw.send("SET", "feed.ids:broken", "text")
        service = self.maintain(["f", "broken", "x"])
        await self.passed(service)
        self.assertEqual(self.passes, [("Job", "broken"), ("Job", "x")])
        texts = self.texts()
        self.assertEqual(len([text for text in texts if "maintenance failed" in text]), 2, texts)
        self.assertIn("feed 'f' is of type 'feed', which needs no maintenance", texts[0])

    async def test_created_again(self) -> None:
        """A feed that is created again with another type is soon maintained as that type."""
        service = self.maintain()
        await self.passed(service)
        await self.thoonk.delete_feed("x")
        await self.thoonk.queue("x")
        await self.next_pass(service)
        await self.next_pass(service)
        self.assertEqual(self.passes[-1:], [("Queue", "x")])
        self.assertEqual((service._attended, timekeeper_of(self.job)._attending), ({}, 0))

    async def test_deleted_job(self) -> None:
        """A job feed that was deleted leaves no key when its maintenance finds that."""
        service = self.maintain(self.job)
        await self.passed(service)
        await self.thoonk.delete_feed("x")
        await self.next_pass(service)
        self.assertEqual(await self.state(), {})


class TimeTests(MaintenanceTestCase):
    async def test_jitter(self) -> None:
        """The time between passes is the interval, a quarter more or less at random."""
        service = self.maintain()
        waits = []
        for _ in range(60):
            await self.passed(service)
            (call,) = self.clock.getDelayedCalls()
            waits.append(call.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
        self.assertTrue(INTERVAL * 0.75 <= min(waits) < INTERVAL * 0.85, waits)
        self.assertTrue(INTERVAL * 1.15 < max(waits) <= INTERVAL * 1.25, waits)

    async def test_exclusive(self) -> None:
        """One service makes the pass over a feed; another takes over when that one stops."""
        first = self.maintain()
        await self.passed(first)
        other = self.maintain(thoonk=await self.service().connect())
        await self.passed(other)
        self.assertEqual(len(self.passes), 1)
        ttl = await self.raw.send("PTTL", "feed.maintained:x")
        self.assertTrue(0 < ttl <= 0.6 * INTERVAL * 1000)
        await first.stopService()
        await self.next_pass(other)
        self.assertEqual(len(self.passes), 2)

    async def test_timekeeping(self) -> None:
        """Without a worker, delayed jobs become available and old claims end on time."""
        await self.thoonk.set_config("x", {"timeout": 0.3})
        self.maintain(reactor=reactor)
        await until(lambda: bool(self.passes))
        other: Job = await (await self.pub()).job("x")
        await self.put("a")
        await other.get()
        await self.put("b", delay=0.1)
        await self.until_answer(
            lambda: self.job.get_ids("available"), lambda ids: sorted(ids) == ["a", "b"]
        )
        self.assertEqual((await self.failure("a")).type, "Timeout")
        self.assertEqual(len(self.passes), 1)


class LifeTests(MaintenanceTestCase):
    async def test_stopped(self) -> None:
        """A service that is stopped during a pass, after any number of turns, leaves nothing."""
        await self.thoonk.queue("q")
        for turns in range(25):
            service = self.maintain(reactor=reactor)
            for _ in range(turns):
                await deferLater(reactor, 0)
            self.assertIsNone(await service.stopService())
            self.assertIsNone(await service.stopService())
            self.assertEqual(
                (self.thoonk._services, timekeeper_of(self.job)._attending), (set(), 0)
            )
        self.assertEqual((self.texts(), self.flushLoggedErrors()), ([], []))

    async def test_again(self) -> None:
        """The service can be started again; starting it twice starts it once."""
        service = self.maintain()
        service.startService()
        await self.passed(service)
        await service.stopService()
        await self.raw.send("DEL", "feed.maintained:x")
        service.startService()
        self.clock.advance(0)
        await self.passed(service)
        self.assertEqual(len(self.passes), 2)

    async def test_service_is_closed(self) -> None:
        """Thoonk.close() stops the service."""
        service = self.maintain(reactor=reactor)
        await until(lambda: bool(self.passes))
        await self.thoonk.close()
        self.assertEqual((service.running, self.thoonk._services), (0, set()))

    async def test_outage(self) -> None:
        """A pass that fails with the connection is followed by others."""
        service = self.maintain()
        await self.passed(service)
        await self.thoonk.close()
        service.startService()
        self.clock.advance(0)
        await self.passed(service)
        self.assertIn("no maintenance: ", self.texts()[-1])
        await self.thoonk.connect()
        await self.next_pass(service)
        self.assertEqual(len(self.passes), 2)

    def test_input(self) -> None:
        """Feeds and interval are checked when the service is created."""
        feeds: Any
        for feeds in (5, [5], b"x", [None], {5: 1}):
            self.assertRaises(InvalidType, Maintenance, self.thoonk, feeds)
        for feeds in ("", ["a\0b"]):
            self.assertRaises(InvalidInput, Maintenance, self.thoonk, feeds)
        for interval in (0, -1, float("nan"), float("inf")):
            self.assertRaises(InvalidInput, Maintenance, self.thoonk, None, interval)
        for bad in ("1", None, True):
            self.assertRaises(InvalidType, Maintenance, self.thoonk, None, bad)
