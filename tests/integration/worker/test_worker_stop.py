"""A worker can be stopped whatever it is doing."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import attr
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support import Recorder
from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import Doing, WorkerTestCase
from txthoonk.types import Claim, Job
from txthoonk.worker import _worker as worker_module
from txthoonk.worker.running._handlers import SLICE

GRACE = 10.0  # seconds; more than any of these tests takes


class GraceTests(WorkerTestCase):
    async def test_finished_in_time(self) -> None:
        """A worker that stops claims no job; handlers that end within the grace finish theirs."""
        await self.put("a", "b", "c")
        doing = Doing()
        worker = self.work(doing, 2, grace=GRACE)
        await doing.begun(2)
        stopped = worker.stopService()
        await self.put("d")
        doing.end("a")
        await self.comes_to(2, 1, 0, 1)
        self.assertFalse(stopped.called)
        doing.end("b")
        self.assertIsNone(await stopped)
        self.assertEqual((await self.stats(), doing.ids), ((2, 0, 0, 2), ["a", "b"]))
        self.assertEqual(self.ended, [("x", "finished")] * 2)

    async def test_cancelled(self) -> None:
        """After the grace time handlers are cancelled; their jobs are available again at once."""
        await self.put("a", "b", "c", "d")
        before = await self.state()
        doing = Doing()
        worker = self.work(doing, 3)
        await doing.begun(3)
        spied = await self.spy()
        self.assertIsNone(await worker.stopService())
        self.assertEqual(await self.state(), before)
        told = [(b"feed.retried:x", id_) for id_ in (b"c", b"b", b"a")]
        self.assertEqual(await spied.messages(), told)
        self.assertEqual(doing.cancelled, ["a", "b", "c"])
        self.assertEqual(self.ended, [("x", "released")] * 3)
        self.assertEqual(worker.running_jobs, [])

    async def test_order(self) -> None:
        """Any number of jobs that go back keep their order."""
        ids = await self.job.put_many(["item"] * 450)
        doing = Doing()
        worker = self.work(doing, 350)
        await doing.begun(350)
        await worker.stopService()
        self.assertEqual((await self.job.get_ids("available"))[::-1], ids)

    async def test_under_way(self) -> None:
        """Claims that arrive while the worker stops go back after those that arrived before."""
        await self.put("a", "b")
        doing, held = Doing(), Recorder()
        worker = self.work(doing, 6)
        await doing.begun(2)
        (consumer,) = worker._consumers
        finish_many = consumer._jobs.finish_many

        def slow(*words: Any) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            held(finish_many(*words), answer)
            return answer

        self.patch(consumer, "_jobs", attr.evolve(consumer._jobs, finish_many=slow))
        await self.put("c", "d", "e")
        await held.wait(1)
        stopped = worker.stopService()
        for real, answer in held.calls:
            real.chainDeferred(answer)
        await stopped
        self.assertEqual((await self.job.get_ids("available"))[::-1], list("abcde"))

    async def test_by_a_handler(self) -> None:
        """When a handler stops the worker, no other handler begins, even if claims are pending."""
        ids = await self.job.put_many(["item"] * 20)
        begun: list[str] = []
        stops: list[Deferred[None]] = []

        def stop(claim: Claim) -> Deferred[None]:
            begun.append(claim.id)
            (consumer,) = worker._consumers
            consumer.call(5)
            stops.append(worker.stopService())
            return Deferred()

        worker = self.work(stop, 10)
        await until(lambda: bool(stops))
        await stops[0]
        self.assertEqual(begun, ids[:1])
        self.assertEqual((await self.job.get_ids("available"))[::-1], ids)
        self.assertEqual(await self.stats(), (20, 0, 0, 0))

    async def test_unbegun(self) -> None:
        """Jobs that were claimed but not begun go back in their order."""
        ids = await self.job.put_many(["item"] * 10)
        begun: list[str] = []

        def busy(claim: Claim) -> None:
            begun.append(claim.id)
            if len(begun) == 2:
                stops.append(worker.stopService())
            time.sleep(1.5 * SLICE)  # blocks the reactor, as a slow function does

        stops: list[Deferred[None]] = []
        worker = self.work(busy, 10, grace=GRACE)
        await until(lambda: bool(stops))
        await stops[0]
        self.assertEqual(begun, ids[:2])
        self.assertEqual((await self.job.get_ids("available"))[::-1], ids[2:])
        self.assertEqual(await self.stats(), (8, 0, 0, 2))

    async def test_thread(self) -> None:
        """A thread cannot be ended, but its result is dropped."""
        count = 3
        await self.job.put_many(["item"] * count)
        begun: list[str] = []
        over: list[str] = []
        let_go = threading.Event()
        self.addCleanup(let_go.set)

        def block(claim: Claim) -> str:
            begun.append(claim.id)
            let_go.wait(10)
            over.append(claim.id)
            return "late"

        worker = self.work(block, count, in_thread=True)
        await until(lambda: len(begun) == count)
        await worker.stopService()
        self.assertEqual(await self.stats(), (count, 0, 0, 0))
        let_go.set()
        await until(lambda: len(over) == count)
        await self.rounds()
        self.assertEqual((await self.stats(), len(begun)), ((count, 0, 0, 0), count))

    async def test_stubborn(self) -> None:
        """A handler that ignores its cancellation does not delay the stop."""
        await self.put("a")
        going: list[Deferred[Any]] = [Deferred(), Deferred()]

        async def handler(claim: Claim) -> str:
            for one in going:
                with contextlib.suppress(CancelledError):
                    await one
            return "late"

        worker = self.work(handler)
        await until(lambda: bool(worker.running_jobs))
        await worker.stopService()
        self.assertEqual(await self.stats(), (1, 0, 0, 0))
        going[1].callback(None)
        self.assertEqual((await self.stats(), worker.running_jobs), ((1, 0, 0, 0), []))

    async def test_canceller_raises(self) -> None:
        """An error in the canceller of a handler is logged, and does not delay the stop."""
        await self.put("a", "b")
        going: list[Deferred[Any]] = []

        def handler(claim: Claim) -> Deferred[Any]:
            going.append(Deferred(lambda _: 1 / 0))  # type: ignore[arg-type]
            return going[-1]

        worker = self.work(handler, 2)
        await until(lambda: len(going) == 2)
        stopped = worker.stopService()
        await self.comes_to(2, 0, 0, 0)
        for _ in range(50):
            await deferLater(reactor, 0)
        self.assertTrue(stopped.called)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIsNone(await self.value("feed.workers:x"))

    async def test_one_ends_another(self) -> None:
        """A job that ends because another one was cancelled is given back, and reported once."""
        await self.put("a", "b")
        other: Deferred[Any] = Deferred()
        going = [Deferred(lambda _: other.callback(None)), other]
        worker = self.work(lambda claim: going["ab".index(claim.id)], 2)
        await until(lambda: len(worker.running_jobs) == 2)
        await worker.stopService()
        self.assertEqual((await self.stats(), len(self.ended)), ((2, 0, 0, 0), 2))
        self.assertEqual(self.ended, [("x", "released")] * 2)


class LifeTests(WorkerTestCase):
    async def test_idle(self) -> None:
        """An idle worker that is stopped takes nothing, and can be started again, many times."""
        doing = Doing()
        worker = self.make(lambda claim: None)
        for turns in range(12):
            worker.startService()
            for _ in range(turns):
                await deferLater(reactor, 0)
            self.assertIsNone(await worker.stopService())
            await self.put(str(turns))
            self.assertEqual(await self.stats(), (1, 0, 0, turns))
            worker.startService()
            await self.comes_to(0, 0, 0, turns + 1)
            await worker.stopService()
        self.assertEqual((doing.ids, await self.value("feed.workers:x")), ([], None))

    async def test_twice(self) -> None:
        """Two stops wait for the same end; a worker that was never started stops at once."""
        self.assertIsNone(await self.make(print).stopService())
        await self.put("a")
        doing = Doing()
        worker = self.work(doing, grace=GRACE)
        worker.startService()
        await doing.begun(1)
        stops = [worker.stopService(), worker.stopService()]
        self.assertFalse(stops[1].called)
        doing.end()
        self.assertEqual(await gatherResults(stops), [None, None])
        self.assertIsNone(await worker.stopService())

    async def test_started_while_it_stops(self) -> None:
        """A worker that is started while it stops ends, and begins again."""
        await self.put("a", "b")
        doing = Doing()
        worker = self.work(doing, grace=GRACE)
        await doing.begun(1)
        stopped = worker.stopService()
        worker.startService()
        doing.end()
        self.assertIsNone(await stopped)
        await doing.begun(2)
        doing.end()
        await self.comes_to(0, 0, 0, 2)

    async def test_service_is_closed(self) -> None:
        """Thoonk.close() stops the workers first, with their grace, for any feeds argument."""
        for feeds, options in ((self.job, {}), ("x", {"thoonk": self.thoonk})):
            await self.put("a")
            doing = Doing()
            worker = self.work(doing, feeds=feeds, grace=GRACE, maintenance=True, **options)  # type: ignore[arg-type]
            await doing.begun(1)
            closed = self.thoonk.close()
            await deferLater(reactor, 0.05)
            self.assertEqual((closed.called, worker.running), (False, 0))
            doing.end()
            await closed
            await self.thoonk.connect()
            self.assertEqual(await self.stats(), (0, 0, 0, len(self.ended)))
            self.assertIsNone(await self.value("feed.workers:x"))

    async def test_opening(self) -> None:
        """Thoonk.close() also stops a worker that is opening its feeds."""
        for turns in range(10):
            thoonk = self.service()
            worker = self.work(print, feeds=["x", "new"], thoonk=thoonk)
            thoonk.startService()
            for _ in range(turns):
                await deferLater(reactor, 0)
            await thoonk.close()
            self.assertEqual((worker.running, thoonk._services), (0, set()))

    async def test_connecting(self) -> None:
        """A worker whose service never connects stops at once."""
        thoonk = self.service()
        worker = self.work(print, feeds="x", thoonk=thoonk)
        await until(lambda: bool(self.texts()))
        self.assertIsNone(await worker.stopService())
        self.assertIn("cannot work on feed 'x' yet", self.texts()[0])

    async def test_parents(self) -> None:
        """A worker and its service stop under one parent, in either order."""
        for first in (True, False):
            await self.put("a", "b")
            thoonk, parent, doing = self.service(), MultiService(), Doing()
            worker = self.make(doing, 2, "x", thoonk=thoonk)
            for service in (worker, thoonk) if first else (thoonk, worker):
                service.setServiceParent(parent)
            parent.startService()
            await doing.begun(2)
            doing.end("a")
            await parent.stopService()
            self.assertEqual((worker.running, thoonk.state), (0, "stopped"))
            self.assertEqual((await self.stats())[:2], (1, 0))
            self.assertIsNone(await self.value("feed.workers:x"))
            await self.job.drain()

    async def test_deleted_feed(self) -> None:
        """A worker whose feed was deleted stops, and leaves no keys."""
        await self.put("a", "b")
        doing = Doing()
        worker = self.work(doing, 2)
        await doing.begun(2)
        await self.thoonk.delete_feed("x")
        doing.end("a")
        await worker.stopService()
        self.assertEqual(await self.state(), {})

    async def test_failing_at_the_end(self) -> None:
        """A failure within the grace is recorded."""
        await self.put("a")
        doing = Doing()
        worker = self.work(doing, grace=GRACE)
        await doing.begun(1)
        stopped = worker.stopService()
        doing.going["a"].errback(ValueError("no"))
        await stopped
        self.assertEqual((await self.failure("a")).message, "no")
        self.assertEqual((await self.stats(), self.ended), ((1, 0, 0, 0), [("x", "failed")]))

    async def test_bare_publisher(self) -> None:
        """A worker whose bare publisher lost its connection stops, and leaves nothing pending."""
        self.patch(worker_module, "END_TIMEOUT", 0.2)
        pub = await self.pub()
        job: Job = await pub.job("x")
        await self.put("a", "b")
        doing = Doing()
        worker = self.work(doing, 3, job, maintenance=True)
        await doing.begun(2)
        pub.redis.abort()
        doing.end("a")
        await until(lambda: bool(self.texts()))
        await worker.stopService()
        self.assertEqual((doing.cancelled, worker.running_jobs), (["b"], []))
        self.assertEqual(await self.stats(), (0, 2, 0, 0))
