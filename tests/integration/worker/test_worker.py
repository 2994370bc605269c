"""A worker's handlers, its concurrency, and the number of its calls."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.defer import inlineCallbacks, succeed
from twisted.internet.task import deferLater

from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import HOUR, Calls, Doing, WorkerTestCase
from txthoonk.consumers import _heartbeat
from txthoonk.job._job import timekeeper_of
from txthoonk.types import Claim
from txthoonk.worker import _feed_consumer


class HandlerTests(WorkerTestCase):
    async def result(self, handler: Any, **options: Any) -> Any:
        """Let a handler work on one job; return what a wait for the job returns."""
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
            return claim.item.upper()

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
        """With in_thread a plain function may block, because it runs in another thread."""
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
        """With the result None the job is finished, and no result is published."""
        spied = await self.spy()
        for handler in (lambda _: None, lambda _: succeed(None)):
            self.assertIsNone(await self.result(handler))
        kinds = [channel for channel, _ in await spied.messages()]
        once = [b"feed.publishes:x", b"feed.claimed:x", b"feed.finishes:x"]
        self.assertEqual(kinds, once * 2)

    async def test_state(self) -> None:
        """A finished job leaves nothing, and its claim has the id, the item and the job."""
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
        """A worker accepts the feed of a bare publisher."""
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
        """A worker claims as many jobs as its concurrency allows."""
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
        """Jobs that end at once make room for others, within the concurrency."""
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
        """When jobs arrive in two idle feeds and one handler is free, one job begins."""
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
        """With concurrency 1, a backlog takes one finish call for each job, and one more."""
        await self.job.put_many(["item"] * 50)
        calls = Calls(self, self.thoonk)
        self.work(lambda claim: deferLater(reactor, 0))
        await self.outcomes(50)
        await self.comes_to(0, 0, 0, 50)
        self.assertEqual(calls.of("job/finish"), 51)

    async def test_one_turn(self) -> None:
        """Jobs that are finished in one turn of the reactor share one call, which claims more."""
        await self.job.put_many(["item"] * 40)
        doing = Doing()
        self.work(doing, 20)
        await doing.begun(20)
        calls = Calls(self, self.thoonk)
        doing.end(*doing.ids[:15])
        await doing.begun(35)
        self.assertEqual((await self.stats(), calls.of("job/finish")), ((5, 20, 0, 15), 1))

    async def test_idle(self) -> None:
        """An idle worker sends no calls except the renewal."""
        self.patch(_heartbeat, "LONGEST", HOUR)
        self.work(lambda claim: None, 5)
        await self.blocked()
        await self.numsub("feed.delayed:x", 1)
        await self.rounds()
        keeper = timekeeper_of(self.job)
        # The timekeeper looks when it begins, and when it is subscribed.
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
