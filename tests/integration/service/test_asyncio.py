"""Programs that asyncio runs, with ``await``, ``async with`` and ``async for``."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.internet.utils import getProcessOutputAndValue

from tests.faults.rows_feeds import FEEDS, REGISTRY, SORTED
from tests.faults.rows_lines import JOBS, QUEUES
from tests.support import RedisTestCase
from tests.support.aio import run
from tests.support.worker import HOUR
from txthoonk import Claim, ConnectionLost, Event, JobStalled, Thoonk, Worker
from txthoonk._support._reactor import current_reactor
from txthoonk.errors import WrongThread


class AsyncioTestCase(RedisTestCase):
    """Tests that run a program of asyncio on this run's server."""

    def service(self, **options: Any) -> Thoonk:
        return Thoonk(self.target.text, **options)


class VerbTests(AsyncioTestCase):
    async def test_every_verb(self) -> None:
        """A task can await every public verb."""
        refused: list[str] = []

        async def call(thoonk: Thoonk, verb: Any) -> None:
            await thoonk.redis.flushdb()
            known = await verb.prepare(thoonk)
            calling = verb.call(thoonk, known)
            if verb.trigger is not None:
                await asyncio.sleep(0)
                await verb.trigger(thoonk, known)
            await calling

        async def main() -> None:
            async with self.service() as thoonk:
                for verb in (*REGISTRY, *FEEDS, *SORTED, *QUEUES, *JOBS):
                    try:
                        await asyncio.wait_for(call(thoonk, verb), 20)
                    except RuntimeError as error:
                        refused.append(f"{verb.name}: {error}")

        run(main())
        self.assertEqual("\n".join(refused), "")


class HandlerTests(AsyncioTestCase):
    """Handlers may be coroutines that await what asyncio has."""

    async def test_events(self) -> None:
        """A subscription's handler, a channel's, and ``async for`` get all events in order."""

        async def main() -> None:
            heard: list[Any] = []
            enough = asyncio.Event()

            async def handler(event: Event) -> None:
                await asyncio.sleep(0.001 if event.item == "0" else 0)
                heard.append(event.item)
                if len(heard) == 3:
                    enough.set()

            async def of_channel(id_: str, item: str) -> None:
                await asyncio.sleep(0)
                await seen.put(item)

            seen: asyncio.Queue[str] = asyncio.Queue()
            async with self.service() as thoonk:
                feed = await thoonk.feed("news")
                await thoonk.subscribe(feed, handler)
                await thoonk.register_handler("feed.publish:news", of_channel)
                subscription = await thoonk.subscribe(feed)
                for number in range(3):
                    await feed.publish(str(number))
                await enough.wait()
                self.assertEqual(heard, ["0", "1", "2"])
                self.assertEqual([await seen.get() for _ in range(3)], heard)
                items = []
                async for event in subscription:
                    items.append(event.item)
                    if len(items) == 3:
                        await subscription.stop()
                self.assertEqual(items, heard)

        run(main())

    async def test_followers(self) -> None:
        """Positions, patterns and mirrors work as under Twisted's reactor."""

        async def main() -> None:
            async with self.service() as thoonk:
                feed = await thoonk.feed("news", {"history": 10})
                await asyncio.gather(feed.publish("one", "1"), feed.publish("two", "2"))
                whole = await thoonk.subscribe(feed, snapshot=True)
                async for event in whole:
                    self.assertEqual(event.item, [("1", "one"), ("2", "two")])
                    break
                cursor = event.cursor
                await feed.retract("1")
                since = await thoonk.subscribe(feed, since=cursor)
                self.assertEqual((await since.next()).kind, "retract")
                pattern = await thoonk.subscribe_pattern("n*")
                mirror = await thoonk.mirror(feed)
                await feed.publish("three", "3")
                self.assertEqual((await pattern.next()).item, "three")
                async with asyncio.timeout(20):
                    while "3" not in mirror:
                        await asyncio.sleep(0.001)

        run(main())

    async def test_worker(self) -> None:
        """A worker's handler may await futures and Deferreds; what it raises is recorded."""

        async def handler(claim: Claim) -> str:
            await asyncio.sleep(0)
            await deferLater(current_reactor(), 0)
            if claim.item == "bad":
                raise SystemExit("of a handler")
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                progress = group.create_task(report(claim))
            return f"{claim.item}: {progress.result()}"

        async def report(claim: Claim) -> str:
            await claim.progress(1, 2)
            return "reported"

        async def main() -> None:
            async with self.service() as thoonk:
                job = await thoonk.job("job", {"timeout": 60, "max_failures": 1})
                Worker(job, handler).startService()
                self.assertEqual(await job.wait(await job.put("item")), "item: reported")
                bad = await job.put("bad")
                with self.assertRaises(JobStalled):
                    await job.wait(bad)
                failure = await job.get_failure(bad)
                self.assertEqual((failure.type, failure.message), ("SystemExit", "of a handler"))  # type: ignore[union-attr]

        run(main())

    async def test_stopped_worker(self) -> None:
        """Stopping a worker cancels its handler, and the job is available again."""
        ended: list[type[BaseException]] = []

        async def main() -> None:
            started = asyncio.Event()

            async def handler(claim: Claim) -> None:
                started.set()
                try:
                    await asyncio.sleep(HOUR)
                except asyncio.CancelledError as error:
                    ended.append(type(error))
                    raise

            async with self.service() as thoonk:
                job = await thoonk.job("job", {"timeout": 60})
                worker = Worker(job, handler, grace=0)
                worker.startService()
                await job.put("item")
                await started.wait()
                await worker.stopService()
                self.assertEqual((await job.stats())["available"], 1)

        run(main())
        self.assertEqual(ended, [asyncio.CancelledError])

    async def test_cancelled_get(self) -> None:
        """A get whose task is cancelled takes no item."""

        async def main() -> None:
            async with self.service() as thoonk:
                queue = await thoonk.queue("queue")
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(queue.get(), 0.01)
                await queue.put("item")
                self.assertEqual(await asyncio.wait_for(queue.get(), 10), "item")

        run(main())


class ReactorTests(AsyncioTestCase):
    """Without a reactor given, everything runs on the loop that runs."""

    async def test_one_for_each_loop(self) -> None:
        """A loop has one reactor, which ends with it, and leaves no thread and nothing open."""

        async def main() -> Any:
            reactor = current_reactor()
            async with self.service() as thoonk:
                self.assertIs(current_reactor(), reactor)
                await thoonk.redis.ping()
                await deferToThreadPool(reactor, reactor.getThreadPool(), int).asFuture(
                    asyncio.get_running_loop()
                )
            return reactor

        first = run(main())
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        self.assertIsNot(run(main()), first)
        self.assertEqual((len(os.listdir("/proc/self/fd")), threading.active_count()), before)
        self.assertFalse(first.running)

    async def test_refused(self) -> None:
        """The error of ``async with`` says why there is no connection."""

        async def main() -> None:
            thoonk = Thoonk("redis://localhost:1", retry_policy=lambda _: 0.01)
            with self.assertRaisesRegex(ConnectionLost, "localhost:1"):
                await thoonk.connect(timeout=0.2)
            self.assertEqual(thoonk.state, "stopped")

        run(main())

    async def test_other_thread(self) -> None:
        """A loop in another thread than the reactor's is refused, with the reason."""
        url = self.target.text

        async def main() -> None:
            with self.assertRaises(WrongThread):
                Thoonk(url)

        await deferToThread(run, main())


# The first program of the documentation, as asyncio runs it.
PROGRAM = """
import asyncio, sys
from txthoonk import Thoonk

async def main():
    async with Thoonk(sys.argv[1]) as thoonk:
        news = await thoonk.feed("news")
        await asyncio.gather(news.publish("one"), news.publish("two"))
        print(*(await news.get_all()).values())

{run}
"""


class ProgramTests(AsyncioTestCase):
    """A program of its own, in which no reactor is installed before."""

    async def program(self, run: str, url: str | None = None) -> None:
        words = ["-W", "error", "-c", PROGRAM.format(run=run), url or self.target.text]
        result = await getProcessOutputAndValue(sys.executable, words, os.environ)
        self.assertEqual(result, (b"one two\n", b"", 0))

    async def test_run(self) -> None:
        """``asyncio.run`` needs no preparation."""
        await self.program("asyncio.run(main())")

    async def test_private_server(self) -> None:
        """A private server starts, and its end is noticed."""
        await self.program("asyncio.run(main())", "embedded:")

    async def test_installed(self) -> None:
        """A reactor that was installed and runs is used."""
        await self.program(
            "from twisted.internet import asyncioreactor, defer, task\n"
            "asyncioreactor.install()\n"
            "async def start(reactor):\n"
            "    await defer.Deferred.fromFuture(asyncio.ensure_future(main()))\n"
            "task.react(start)"
        )
