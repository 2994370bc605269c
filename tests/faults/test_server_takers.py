"""Workers and consumers whose server refuses their reports for a while."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from tests.faults.server_case import ServerFaultTestCase
from tests.support.waiting import until, until_polled
from txthoonk import Worker
from txthoonk.consumers.gets import _patience
from txthoonk.errors import ResponseError

OLD = 1_000_000_000_000  # milliseconds


class TakerTestCase(ServerFaultTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        # A repeated call is sent without back-off.
        self.patch(_patience, "back_off", lambda failures: 0.0)

    async def refused_since(self, count: int) -> None:
        """Wait until the server's statistics show more than *count* refused commands."""
        await until_polled(
            partial(self.faulty.info, "total_error_replies"), lambda found: found > count
        )


class WorkerTests(TakerTestCase):
    async def begin(self) -> tuple[Worker, Deferred[Any]]:
        """Start a worker that works on job a; return it and the Deferred that ends the job."""
        self.service = await self.thoonk()
        job = await self.service.job("j", {"timeout": 600, "max_failures": 1})
        await job.put("work", id_="a")
        begun: Deferred[None] = Deferred()
        done: Deferred[str] = Deferred()

        def handler(claim: Any) -> Deferred[str]:
            begun.callback(None)
            return done

        worker = Worker(job, handler, maintenance=False)
        worker.startService()
        self.addCleanup(worker.stopService)
        await begun
        return worker, done

    async def test_renewals(self) -> None:
        """With full memory, the worker's claims are still renewed, as renew() does.

        Otherwise the job would be given to another worker, and counted as failed.
        """
        _, done = await self.begin()
        await self.raw.send("ZADD", "feed.claimed:j", OLD, "a")
        room: Any = self.service.waiting_room
        async with self.faulty.full_memory():
            room.renewal.renew()
            await until(lambda: room.renewal._calling is None)
            time = float(await self.raw.send("ZSCORE", "feed.claimed:j", "a"))
        self.flushLoggedErrors(ResponseError)  # the assertion below reports it
        done.callback("result")
        self.assertGreater(time, OLD)

    async def test_finish(self) -> None:
        """A finish that a replica or a full disk refuses is repeated until it succeeds, once."""
        spy = await self.spy()
        for fault in (self.faulty.replica, self.faulty.full_disk):
            worker, done = await self.begin()
            async with fault():
                refusals = await self.faulty.info("total_error_replies")
                done.callback("result")
                await self.refused_since(refusals)
                self.assertIsNone(await self.raw.send("GET", "feed.finishes:j"))
            await self.until_reply("GET", "feed.finishes:j")
            told = [channel for channel, _ in await spy.messages()]
            self.assertEqual(told.count(b"job.finish:j"), 1)
            self.assertEqual(await self.raw.send("GET", "feed.finishes:j"), b"1")
            self.flushLoggedErrors(ResponseError)
            await worker.stopService()
            await self.raw.send("FLUSHALL")


class ConsumerTests(TakerTestCase):
    async def test_waiting(self) -> None:
        """A get that waits goes on while the server is a replica, or its disk is full."""
        for fault in (self.faulty.replica, self.faulty.full_disk):
            for pub in (await self.thoonk(), await self.pub()):
                feeds: list[Any] = [await pub.queue("q"), await pub.job("j")]
                gets = [feed.get() for feed in feeds]
                await self.blocked(2)
                listed = (await self.raw.send("CLIENT", "LIST")).decode().splitlines()
                async with fault():
                    refusals = await self.faulty.info("total_error_replies")
                    for line in listed:
                        if " cmd=blmove " in line:
                            client = line.split()[0][3:]
                            await self.raw.send("CLIENT", "UNBLOCK", client, "ERROR")
                    await self.refused_since(refusals + 2)
                    for get in gets:
                        self.assertNoResult(get)
                for feed in feeds:
                    await feed.put("item")
                item, claim = [await get for get in gets]
                self.assertEqual((item, claim.item), ("item", "item"))
                await pub.close()
                await self.raw.send("FLUSHALL")

    async def test_waiting_while_loading(self) -> None:
        """A get that waits goes on when the server loads its data again."""
        pub = await self.pub()
        queue = await pub.queue("q")
        await self.faulty.fill()
        get = queue.get()
        await self.blocked(1)
        listed = (await self.raw.send("CLIENT", "LIST")).decode().splitlines()
        (client,) = (line.split()[0][3:] for line in listed if " cmd=blmove " in line)
        async with self.faulty.loading(1):
            await self.faulty.other.send("CLIENT", "UNBLOCK", client, "ERROR")
            self.assertNoResult(get)
        await queue.put("item")
        self.assertEqual(await get, "item")

    async def test_delivered(self) -> None:
        """An item whose deletion was refused is deleted later, and is not delivered again.

        The server becomes a replica just when the get has fired, and then a master again; the
        connection stays up all the time.
        """
        thoonk, other = await self.thoonk(), await self.pub()
        queue = await thoonk.queue("q")
        await queue.put("item")

        def demote(item: str) -> str:
            # Sent on the same connection, before the acknowledgement of the item.
            thoonk.redis.send("REPLICAOF", "127.0.0.1", "1")
            return item

        refusals = await self.faulty.info("total_error_replies")
        self.assertEqual(await queue.get().addCallback(demote), "item")
        await self.refused_since(refusals)
        await self.raw.send("REPLICAOF", "NO", "ONE")
        await self.until_reply("ZCARD", "feed.delivering:q", holds=lambda reply: not reply)
        line = await other.queue("q")
        await line.maintenance()
        self.assertEqual(await line.get_ids(), [])
