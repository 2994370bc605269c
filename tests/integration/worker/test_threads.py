"""Handlers in threads: the calls they may make, and the error of every other call."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import blockingCallFromThread, deferToThread

from tests.support import Recorder, server_url
from tests.support.proxy import Proxy
from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import WorkerTestCase
from txthoonk.consumers._heartbeat import renewal_of
from txthoonk.errors import JobNotClaimed, WrongThread
from txthoonk.protocol import Redis
from txthoonk.service import Thoonk
from txthoonk.types import Claim, ThreadClaim


class ProgressTests(WorkerTestCase):
    """The claim that a handler receives in a thread."""

    async def works(self, handler: Callable[[Any], Any], **options: Any) -> Any:
        """Let a handler work on one job in a thread, and return the job's result."""
        waiting = self.job.wait(await self.job.put("item", id_="a"))
        self.work(handler, in_thread=True, **options)
        return await waiting

    async def test_in_step(self) -> None:
        """Calls of one connection get their own answers while threads report progress."""
        feed = await self.thoonk.feed("news")
        for number in range(50):
            await feed.publish(f"item {number}", str(number))

        def handler(claim: ThreadClaim) -> None:
            for number in range(50):
                claim.progress(number, 50)

        ids = await self.job.put_many(["x"] * 8)
        self.work(handler, 4, in_thread=True)
        got = []
        while len(self.ended) < len(ids):
            got += [(number, await feed.get_item(str(number))) for number in range(50)]
        self.assertEqual([one for one in got if one[1] != f"item {one[0]}"], [])
        self.assertEqual(self.ended, [("x", "finished")] * len(ids))

    async def test_blocks(self) -> None:
        """When progress() returns, Redis has it."""
        seen: list[Any] = []

        def handler(claim: ThreadClaim) -> str:
            seen.append(claim.progress(1, 2, "half"))
            read: Any = blockingCallFromThread(reactor, self.job.get_progress, claim.id)  # type: ignore[arg-type]
            seen.append(tuple(read))
            return f"{claim.item} {claim.cancelled} {tuple(claim) == tuple(self.claim)}"

        self.claim = Claim("a", "item", 0)
        self.assertEqual(await self.works(handler), "item 0 True")
        self.assertEqual(seen, [None, (1, 2, "half")])

    async def test_errors(self) -> None:
        """Invalid input and a lost claim raise their errors in the thread."""
        raised: list[type[BaseException]] = []

        def handler(claim: ThreadClaim) -> None:
            try:
                claim.progress(-1)
            except ValueError as error:
                raised.append(type(error))
            blockingCallFromThread(reactor, self.job.cancel, claim.id)  # type: ignore[arg-type]
            try:
                claim.progress(1)
            except JobNotClaimed as error:
                raised.append(type(error))
                blockingCallFromThread(reactor, self.job.retract, claim.id)  # type: ignore[arg-type]

        await self.job.put("item", id_="a")
        self.work(handler, in_thread=True)
        await until(lambda: len(raised) == 2)
        self.assertEqual([one.__name__ for one in raised], ["InvalidInput", "JobNotClaimed"])

    async def test_in_reactor_thread(self) -> None:
        """In the reactor's thread, which must not block, progress() returns a Deferred."""
        told: list[Any] = []

        def handler(claim: ThreadClaim) -> Any:
            return blockingCallFromThread(
                reactor, lambda: told.append(claim.progress(1)) or told[0]
            )

        await self.works(handler)
        self.assertIsInstance(told[0], Deferred)

    async def test_stopped(self) -> None:
        """A thread that waits in progress() is released when the worker stops."""
        asked: list[Any] = []
        raised: list[BaseException] = []

        def never(*arguments: Any) -> Deferred[None]:
            asked.append(arguments)
            return Deferred()

        self.patch(self.job, "_progressed", never)

        def handler(claim: ThreadClaim) -> None:
            for _ in range(2):  # one that waits, and one that comes too late
                try:
                    claim.progress(1)
                except CancelledError as error:
                    raised.append(error)

        await self.put("a")
        worker = self.work(handler, in_thread=True)
        await until(lambda: bool(asked))
        await worker.stopService()
        await until(lambda: len(raised) == 2)
        self.assertEqual((len(asked), await self.stats()), (1, (1, 0, 0, 0)))

    async def test_reactor_stops(self) -> None:
        """A process ends if its reactor stops while a thread waits for it."""
        program = PROGRAM.format(url=await server_url())
        await self.put("a")
        process = await deferToThread(
            subprocess.run, [sys.executable, "-c", program], capture_output=True, timeout=60
        )
        self.assertEqual((process.stdout, process.stderr), (b"CancelledError\n", b""))

    async def test_lost(self) -> None:
        """A function whose claim was lost keeps its thread; no job is claimed for that thread."""
        let_go, begun = threading.Event(), Recorder()
        self.addCleanup(let_go.set)

        def handler(claim: ThreadClaim) -> None:
            reactor.callFromThread(begun, claim.id)
            let_go.wait(60)

        await self.put("a", "b", "c")
        worker = self.work(handler, 2, in_thread=True)
        await begun.wait(2)
        await self.job.cancel("a")
        renewal_of(self.thoonk, reactor).renew()
        await until(lambda: len(worker.running_jobs) == 1)
        await self.rounds()
        self.assertEqual(await self.stats(), (2, 1, 0, 0))
        self.assertEqual(self.ended, [("x", "lost")])
        let_go.set()
        await self.comes_to(0, 0, 0, 3)


class PoolTests(WorkerTestCase):
    """The threads belong to the worker."""

    async def test_reconnects(self) -> None:
        """A connection to a host name is restored while all handlers block."""
        proxy = Proxy(reactor, self.target.endpoint(reactor))
        await proxy.start()
        self.addCleanup(proxy.stop)
        url = f"redis://localhost:{proxy.port}/{self.target.db}"
        thoonk = Thoonk(url, reactor, retry_policy=lambda _: 0.02)
        self.addCleanup(thoonk.close)
        job = await (await thoonk.connect()).job("x")
        let_go, begun = threading.Event(), Recorder()
        self.addCleanup(let_go.set)

        def handler(claim: ThreadClaim) -> None:
            reactor.callFromThread(begun, threading.current_thread().name)
            let_go.wait(60)

        count = 2 * reactor.getThreadPool().max
        self.work(handler, count, feeds=job, in_thread=True, name="it")
        await job.put_many(["x"] * count)
        await begun.wait(count)
        self.assertEqual({name.partition("_")[0] for (name,) in begun.calls}, {"worker it"})
        for link in list(proxy.links):
            link.abort()
        await until(lambda: thoonk.state == "disconnected")
        await thoonk.whenConnected()
        self.assertEqual(await self.stats(), (0, count, 0, 0))
        let_go.set()
        await self.comes_to(0, 0, 0, count)

    async def test_ends(self) -> None:
        """The threads of a stopped worker end; a worker that is started again has others."""
        worker = self.make(lambda claim: None, 2, in_thread=True, name="once")
        for id_ in ("a", "b"):
            await self.put(id_)
            worker.startService()
            await self.comes_to(0, 0, 0, 1 if id_ == "a" else 2)
            await worker.stopService()
            await until(lambda: not any("once" in each.name for each in threading.enumerate()))


PROGRAM = """
from twisted.internet import defer, reactor
from txthoonk import Thoonk, Worker

def handler(claim):
    try:
        claim.job._progressed = lambda *_: reactor.stop() or defer.Deferred()
        claim.progress(1)
    except defer.CancelledError as error:
        print(type(error).__name__)

worker = Worker("x", handler, in_thread=True, thoonk=Thoonk({url!r}), maintenance=False)
worker._thoonk.startService()
worker.startService()
reactor.run()
"""


class WrongThreadTests(WorkerTestCase):
    """Every call in another thread fails at once, and changes nothing."""

    async def refused(self, calls: dict[str, Callable[[], Any]]) -> None:
        """Check that each call raises in a thread."""

        def call(function: Callable[[], Any]) -> Any:
            try:
                result = function()
            except WrongThread as error:
                return str(error)
            if isinstance(result, Deferred):
                result.addErrback(lambda _: None)
            return result

        for name, function in calls.items():
            text = await deferToThread(call, function)
            self.assertIsInstance(text, str, name)
            self.assertIn("PoolThread", text)
            self.assertIn("blockingCallFromThread(reactor, method, ...)", text)

    async def test_everything(self) -> None:
        """Each kind of object refuses, and every later call gets its own answer."""
        thoonk, job = self.thoonk, self.job
        feed, queue = await thoonk.feed("f"), await thoonk.queue("q")
        sorted_feed = await thoonk.sorted_feed("s")
        subscription = await thoonk.subscribe("f")
        mirror = await thoonk.mirror("f")
        subscriber = await self.subscriber()
        handler = await thoonk.register_handler("newfeed", print)
        worker = self.make(print)
        await self.put("a")
        claim = await job.get()
        before = await self.state()
        await self.refused(
            {
                "feed": lambda: thoonk.feed("new"),
                "create_feed": lambda: thoonk.create_feed("new"),
                "delete_feed": lambda: thoonk.delete_feed("f"),
                "get_feed_names": thoonk.get_feed_names,
                "set_config": lambda: feed.set_config({"max_length": 1}),
                "publish": lambda: feed.publish("item"),
                "get_item": lambda: feed.get_item("id"),
                "get_ids": feed.get_ids,
                "get_all": feed.get_all,
                "get_history": feed.get_history,
                "append": lambda: sorted_feed.append("item"),
                "queue.put": lambda: queue.put("item"),
                "queue.put_many": lambda: queue.put_many(["item"]),
                "queue.get": queue.get,
                "queue.maintenance": queue.maintenance,
                "put": lambda: job.put("item"),
                "put_many": lambda: job.put_many(["item"]),
                "get": job.get,
                "finish": lambda: job.finish("a"),
                "progress": lambda: claim.progress(1),
                "get_result": lambda: job.get_result("a"),
                "wait": lambda: job.wait("a"),
                "redis.get": lambda: thoonk.redis.get("key"),
                "redis.send": lambda: thoonk.redis.send("PING"),
                "raw": lambda: self.raw.get("key"),
                "raw.close": self.raw.close,
                "subscribe": lambda: thoonk.subscribe("f"),
                "subscribe_pattern": lambda: thoonk.subscribe_pattern("*"),
                "register_handler": lambda: thoonk.register_handler("newfeed", print),
                "remove_handler": lambda: thoonk.remove_handler(handler),
                "next": subscription.next,
                "subscription.stop": subscription.stop,
                "mirror": lambda: thoonk.mirror("f"),
                "mirror.stop": mirror.stop,
                "subscriber": lambda: subscriber.subscribe("channel"),
                "connect": thoonk.connect,
                "close": thoonk.close,
                "startService": worker.startService,
            }
        )
        self.assertEqual(await self.state(), before)
        self.assertEqual((thoonk.running, worker.running, mirror.current), (True, False, True))
        self.assertEqual(await feed.publish("item", "id"), "id")
        self.assertEqual((await subscription.next()).item, "item")

    async def test_without_connection(self) -> None:
        """A call in another thread does not enter the offline queue."""
        thoonk = self.service()
        thoonk.startService()
        await self.refused({"get": lambda: thoonk.redis.get("key")})
        self.assertEqual(thoonk.redis.waiting, 0)

    async def test_own_thread(self) -> None:
        """A connection belongs to the thread that made it, wherever its object was created."""
        redis = await deferToThread(lambda: Redis(**self.arguments()))
        await self.connect(Factory.forProtocol(lambda: redis))
        self.assertEqual(await redis.send("PING"), "PONG")

    async def test_handler_fails(self) -> None:
        """A handler that calls from its thread fails with WrongThread, which is recorded."""
        await self.put("a")
        self.work(lambda claim: claim.job.put("more"), in_thread=True, back_off=lambda _: 3600)
        failure = await self.failure("a")
        self.assertEqual(failure.type, "WrongThread")
        self.assertEqual(await self.stats(), (0, 0, 0, 0))
