"""A worker with several feeds, paused feeds and delayed jobs; and its arguments."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from typing import Any

from twisted.internet.task import deferLater

from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import Doing, WorkerTestCase
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.types import Claim, Job
from txthoonk.worker._worker import Worker
from txthoonk.worker.running._handlers import SLICE

LATE = 15.0  # seconds: far more than a job takes, and less than the time to the next maintenance
CLOCKS = 0.01  # seconds by which the clocks of the test and the server may differ
SOON = 200  # jobs of another feed that may begin before one's own


class FeedsTestCase(WorkerTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.other: Job = await self.thoonk.job("y")
        self.names: list[str] = []

    def brief(self, claim: Claim) -> Any:
        """Work for a moment."""
        self.names.append(claim.job.name)
        return deferLater(reactor, 0.001)

    async def soon(self) -> None:
        """Put a job into the other feed, and check that it begins soon."""
        await self.other.put("item")
        before = len(self.names)
        await until(lambda: "y" in self.names)
        self.assertTrue(self.names.index("y") - before < SOON, (self.names.index("y"), before))


class ShareTests(FeedsTestCase):
    async def test_weights(self) -> None:
        """When all feeds have jobs, each gets its weight's share, at any concurrency."""
        for concurrency in (1, 2, 5, 30):
            self.names.clear()
            for job in (self.job, self.other):
                await job.put_many(["item"] * 1500)
            worker = self.work(self.brief, concurrency, {self.job: 3, self.other: 1})
            await until(lambda: len(self.names) >= 1000)
            counts = Counter(self.names[:1000])
            self.assertTrue(690 <= counts["x"] <= 810, (concurrency, counts))
            await worker.stopService()
            for job in (self.job, self.other):
                await job.drain()

    async def test_none_starves(self) -> None:
        """A job begins soon despite another feed's backlog, whatever the weights."""
        for concurrency, weights in ((1, (1, 1)), (4, (1, 1)), (1, (9, 1)), (1, (1, 9))):
            self.names.clear()
            await self.job.put_many(["item"] * 3000)
            feeds = {self.job: weights[0], self.other: weights[1]}
            worker = self.work(self.brief, concurrency, feeds)
            await until(lambda: len(self.names) > 50)
            await self.soon()
            await worker.stopService()
            await self.job.drain()

    async def test_at_once(self) -> None:
        """A job begins soon when the handlers of the backlog return at once."""
        await self.job.put_many(["item"] * 20_000)
        self.work(lambda claim: self.names.append(claim.job.name), 1, [self.job, self.other])
        await until(lambda: len(self.names) > 500)
        await self.soon()

    async def test_slow(self) -> None:
        """A job begins soon when the handlers of the backlog block; the reactor runs between."""
        await self.job.put_many(["item"] * 200)
        await self.other.put("item")
        turns: list[int] = []

        def handler(claim: Claim) -> None:
            self.names.append(claim.job.name)
            reactor.callLater(0, lambda: turns.append(len(self.names)))
            time.sleep(1.5 * SLICE)  # blocks the reactor, as a slow function does

        self.work(handler, 4, [self.job, self.other])
        await until(lambda: "y" in self.names)
        await until(lambda: len(self.names) > 20)
        self.assertTrue(self.names.index("y") < 12, self.names)
        self.assertTrue(turns[0] <= 2, turns)

    async def test_busy(self) -> None:
        """Jobs of either feed begin as soon as a handler is free, in the order of the turns."""
        doing = Doing()
        self.work(doing, 1, [self.job, self.other])
        await self.blocked(2)  # both are watched: a feed that is not is checked 20 ms later
        await self.put("a")
        await doing.begun(1)
        await self.put("b", "c")
        await self.put("1", job=self.other)
        await self.rounds()  # the worker receives their events
        for count in (2, 3, 4):
            doing.end()
            await doing.begun(count)
        self.assertEqual((sorted(doing.ids), doing.most), (["1", "a", "b", "c"], 1))
        self.assertIn("1", doing.ids[:3])

    async def test_names(self) -> None:
        """A worker accepts names, also of missing feeds, and feeds of another service."""
        other = await self.service().connect()
        third: Job = await other.job("z")
        feeds = {"x": 1, "new": 2.5, third: 1}
        worker = self.work(self.brief, 3, feeds, thoonk=self.thoonk, config={})
        await self.put("a")
        await third.put("item")
        await self.until_answer(lambda: self.thoonk.feed_exists("new"))
        await (await self.thoonk.job("new")).put("item")
        await until(lambda: sorted(self.names) == ["new", "x", "z"])
        await other.close()
        self.assertEqual(worker.running, 0)

    async def test_two_workers(self) -> None:
        """Two workers of one process on one feed have separate entries."""
        workers = [self.work(self.brief, 1, name=name) for name in "ab"]
        await self.until_reply("HLEN", "feed.workers:x", holds=lambda reply: reply == 2)
        await workers[0].stopService()
        entries = list((await self.value("feed.workers:x")).values())
        self.assertEqual([json.loads(one.partition(b" ")[2])["name"] for one in entries], ["b"])


class PauseTests(FeedsTestCase):
    async def test_working(self) -> None:
        """While a feed is paused no job begins; jobs that have begun are finished."""
        await self.put("a", "b", "c")
        doing = Doing()
        self.work(doing, 1)
        await doing.begun(1)
        await self.job.pause()
        doing.end()
        await self.comes_to(2, 0, 0, 1)
        await self.rounds()
        self.assertEqual(await self.stats(), (2, 0, 0, 1))
        await self.job.resume()
        await doing.begun(2)
        doing.end()
        await doing.begun(3)
        self.assertEqual(doing.ids, ["a", "b", "c"])

    async def test_idle(self) -> None:
        """No job of a paused feed begins in a worker that was waiting, or that starts then."""
        doing = Doing()
        self.work(doing, 2)
        await self.blocked()
        await self.job.pause()
        self.work(doing, 2)
        await self.put("a", "b", "c")
        await self.rounds()
        self.assertEqual((await self.stats(), doing.ids), ((3, 0, 0, 0), []))
        await self.job.resume()
        await doing.begun(3)

    async def test_other_feed(self) -> None:
        """The pause of one feed does not affect the worker's other feeds."""
        await self.job.pause()
        await self.put("a")
        await self.put("b", job=self.other)
        doing = Doing()
        worker = self.work(doing, 1, [self.job, self.other])
        await doing.begun(1)
        doing.end()
        await self.comes_to(0, 0, 0, 1, job=self.other)
        await worker.stopService()
        self.assertEqual((await self.stats(), doing.ids), ((1, 0, 0, 0), ["b"]))


class DelayTests(FeedsTestCase):
    async def begins(self, doing: Doing, count: int, due: float) -> None:
        """Wait for a job, and check that it is on time.

        :param due: the earliest time, in seconds.
        """
        await doing.begun(count)
        self.assertTrue(-CLOCKS < reactor.seconds() - due < LATE, reactor.seconds() - due)

    async def test_idle(self) -> None:
        """A delayed job begins on time in an idle worker, even without maintenance."""
        for maintenance in (True, False):
            doing = Doing()
            worker = self.work(doing, 1, maintenance=maintenance)
            due = reactor.seconds() + 0.2
            await self.put("a", delay=0.2)
            await self.begins(doing, 1, due)
            doing.end()
            await self.comes_to(0, 0, 0, 2 - maintenance)
            await worker.stopService()

    async def test_busy(self) -> None:
        """A delayed job begins on time while the worker has a backlog."""
        await self.job.put_many(["item"] * 3000)
        begun: list[str] = []

        def handler(claim: Claim) -> Any:
            begun.append(claim.id)
            return deferLater(reactor, 0.001)

        self.work(handler, 2, maintenance=True)
        await until(lambda: len(begun) > 10)
        due = reactor.seconds() + 0.2
        await self.put("a", delay=0.2, priority=Job.HIGH)
        await until(lambda: "a" in begun)
        self.assertTrue(-CLOCKS < reactor.seconds() - due < LATE, reactor.seconds() - due)
        self.assertTrue(await self.job.length() > 0)

    async def test_full(self) -> None:
        """A delayed job enters the line on time while the worker is full, and begins later."""
        await self.put("a")
        doing = Doing()
        self.work(doing, 1, maintenance=True)
        await doing.begun(1)
        await self.put("b", delay=0.05)
        await self.until_answer(lambda: self.job.get_ids("available"), lambda ids: ids == ["b"])
        doing.end()
        await doing.begun(2)

    async def test_failed(self) -> None:
        """A failed job is tried again on time."""
        times: list[float] = []

        def handler(claim: Claim) -> None:
            times.append(reactor.seconds())
            if not claim.cancelled:
                raise ValueError("no")

        self.work(handler, back_off=lambda _: 0.2)
        await self.put("a")
        await self.comes_to(0, 0, 0, 1)
        self.assertTrue(0.19 < times[1] - times[0] < 0.2 + LATE, times)


class InputTests(WorkerTestCase):
    async def test_feeds(self) -> None:
        """A worker needs job feeds, or names and a Thoonk, and valid weights."""
        queue = await self.thoonk.queue("q")
        bad: list[Any] = [5, None, [5], [queue], queue, b"x", {5: 1}, [["x"]], {self.job: "1"}]
        for feeds in [*bad, {self.job: True}, {self.job: None}]:
            self.assertRaises(InvalidType, Worker, feeds, print)
        weights: list[Any] = [{self.job: weight} for weight in (0, -1, float("nan"), float("inf"))]
        for feeds in [[], {}, "x", ["x"], *weights]:
            self.assertRaises(InvalidInput, self.make, print, 1, feeds)
        for name in ("", "a\0b"):
            self.assertRaises(InvalidInput, self.make, print, 1, name, thoonk=self.thoonk)

    async def test_others(self) -> None:
        """The other arguments are checked when the worker is created."""
        self.assertRaises(InvalidType, self.make, None)
        self.assertRaises(InvalidType, self.make, "print")
        for concurrency in (0, -1, True, 1.0, "1", None):
            self.assertRaises(InvalidInput, self.make, print, concurrency)
        for grace in (-1, float("nan"), float("inf")):
            self.assertRaises(InvalidInput, self.make, print, grace=grace)
        for options in ({"grace": "1"}, {"grace": None}, {"back_off": 5}, {"back_off": "f"}):
            self.assertRaises(InvalidType, self.make, print, **options)
        for name in (5, b"name", ["name"]):
            self.assertRaises(InvalidType, self.make, print, name=name)

    async def test_coroutine_in_thread(self) -> None:
        """A coroutine function is refused with in_thread."""

        async def handler(claim: Claim) -> None:
            """Do nothing."""

        class Handler:
            async def __call__(self, claim: Any) -> None:
                pass

        for one in (handler, Handler()):
            self.assertRaises(InvalidInput, self.make, one, in_thread=True)

    async def test_about(self) -> None:
        """A worker has an entry in feed.workers while it runs, and not after."""
        worker = self.work(print, 7, name="it")
        await self.until_reply("EXISTS", "feed.workers:x")
        ((owner, text),) = (await self.value("feed.workers:x")).items()
        host = socket.gethostname()
        about = {"name": "it", "host": host, "pid": os.getpid(), "concurrency": 7}
        self.assertEqual(json.loads(text.partition(b" ")[2]), about)
        self.assertEqual(owner.decode().partition(":")[0], self.thoonk.uuid)
        await worker.stopService()
        self.assertIsNone(await self.value("feed.workers:x"))
