"""Waiting gets on a real server: many at once, with other consumers, and with cut connections."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support import RedisTestCase
from tests.support.waiting import until, until_polled
from txthoonk.errors import ConnectionLost, FeedDoesNotExist
from txthoonk.protocol import Redis

GETS = 50


class TakingTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.queue = await self.pub_.queue("q")

    async def clients(self) -> list[int]:
        """Return the ids of the clients that wait in BLMOVE."""
        listed = (await self.raw.send("CLIENT", "LIST")).decode().splitlines()
        return [int(line.split()[0][3:]) for line in listed if " cmd=blmove " in line]

    async def waiting(self, count: int = 1) -> list[int]:
        """Wait until that many clients are blocked."""
        await self.blocked(count)
        return await self.clients()

    async def put_raw(self, id_: str, item: str) -> None:
        """Put an item as other implementations do."""
        self.raw.multi()
        self.raw.send("LPUSH", "feed.ids:q", id_)
        self.raw.send("HSET", "feed.items:q", id_, item)
        self.raw.send("INCR", "feed.publishes:q")
        await self.raw.execute()

    async def left(self, *others: Any) -> dict[bytes, Any]:
        """Return what is left of the queue, once all deliveries are acknowledged.

        :param others: further publishers that received items.
        """
        for pub in (self.pub_, *others):
            await pub.redis.ping()
            outages = pub.waiting_room.outages
            await until(lambda outages=outages: not outages.under_way)  # type: ignore[misc]
        state = await self.state()
        return {key: state[key] for key in state if key.split(b":")[0] in LEFT}


LEFT = (b"feed.ids", b"feed.items", b"feed.transit", b"feed.delivering")


class ManyTests(TakingTestCase):
    async def test_one_connection(self) -> None:
        """Fifty gets wait on one connection, and are served in the order of their calls."""
        other = await self.pub_.queue("q")
        gets = [(other if number % 2 else self.queue).get() for number in range(GETS)]
        self.assertEqual(len(await self.waiting()), 1)
        await gatherResults([self.queue.put(str(number)) for number in range(GETS)])
        self.assertEqual(await gatherResults(gets), [str(number) for number in range(GETS)])
        self.assertEqual(await self.left(), {})

    async def test_cancelled(self) -> None:
        """Cancelling any of fifty gets loses nothing: the items go to the others."""
        for which in range(0, GETS, 7):
            gets = [self.queue.get() for _ in range(GETS)]
            await self.waiting()
            gets[which].cancel()
            await self.assertFailure(gets.pop(which), CancelledError)
            await gatherResults([self.queue.put(str(number)) for number in range(GETS)])
            self.assertEqual(await gatherResults(gets), [str(n) for n in range(GETS - 1)])
            self.assertEqual(await self.queue.get(), str(GETS - 1))
        self.assertEqual(await self.left(), {})

    async def test_cancelled_while_items_come(self) -> None:
        """Cancelling gets while items are on their way keeps the order of the items."""
        for cancelled in range(0, 10):
            gets = [self.queue.get() for _ in range(10)]
            await self.waiting()
            puts = gatherResults([self.queue.put(str(number)) for number in range(10)])
            for get in gets[10 - cancelled :]:
                get.cancel()
                await self.assertFailure(get, CancelledError)
            await puts
            got = await gatherResults(gets[: 10 - cancelled])
            rest = [await self.queue.get() for _ in range(cancelled)]
            self.assertEqual(got + rest, [str(number) for number in range(10)])
        self.assertEqual(await self.left(), {})

    async def test_all_cancelled(self) -> None:
        """When all gets are cancelled, no client is blocked, and an item stays."""
        gets = [self.queue.get() for _ in range(GETS)]
        await self.waiting()
        for get in gets:
            get.cancel()
            await self.assertFailure(get, CancelledError)
        await self.waiting(0)
        id_ = await self.queue.put("it")
        items = {id_.encode(): b"it"}
        self.assertEqual(
            await self.left(), {b"feed.ids:q": [id_.encode()], b"feed.items:q": items}
        )

    async def test_publishers(self) -> None:
        """Several publishers share the items; each item goes to one of them."""
        queues = [await (await self.pub()).queue("q") for _ in range(4)]
        gets = [queue.get() for _ in range(25) for queue in queues]
        await self.waiting(4)
        await gatherResults([self.queue.put(str(number)) for number in range(100)])
        self.assertEqual(
            sorted(map(int, await gatherResults(gets))), [number for number in range(100)]
        )
        self.assertEqual(await self.left(*[queue.pub for queue in queues]), {})

    async def test_closed(self) -> None:
        """close() closes all connections, and fails the calls that wait on them."""
        job = await self.pub_.job("j")
        await job.put("x", id_="a")
        gets = [self.queue.get(), job.get(), job.get(), job.get_result("a")]
        self.assertEqual((await gets[1]).id, "a")
        await self.waiting(2)
        closed = self.pub_.close()
        for get in (gets[0], gets[2], gets[3]):
            await self.assertFailure(get, ConnectionLost)
        await closed
        mine = await self.raw.send("CLIENT", "ID")
        listed = await until_polled(
            lambda: self.raw.send("CLIENT", "LIST"), lambda listed: len(listed.splitlines()) == 1
        )
        self.assertTrue(listed.startswith(b"id=%d " % mine))

    async def test_missing_feed(self) -> None:
        """Gets of a deleted feed fail; gets that wait already wait on."""
        waits = self.queue.get()
        await self.waiting()
        await self.pub_.delete_feed("q")
        self.assertNoResult(waits)
        other = await (await self.pub()).queue("other")
        await self.pub_.delete_feed("other")
        await self.assertFailure(other.get(), FeedDoesNotExist)
        await self.pub_.queue("q")
        await self.queue.put("again")
        self.assertEqual(await waits, "again")


class OthersTests(TakingTestCase):
    async def test_raw_producer(self) -> None:
        """Items of other implementations reach gets that wait and gets that come later."""
        get = self.queue.get()
        await self.waiting()
        await self.put_raw("1", "one")
        self.assertEqual(await get, "one")
        await self.put_raw("2", "two")
        self.assertEqual(await self.queue.get(), "two")
        self.assertEqual(await self.left(), {})

    async def test_raw_consumer(self) -> None:
        """BRPOP takes items that txthoonk puts, whether it waits or not."""
        other = await self.redis()
        for before in (True, False):
            if before:
                popped = other.send("BRPOP", "feed.ids:q", 0)
                await self.waiting()
                id_ = await self.queue.put("it")
            else:
                id_ = await self.queue.put("it")
                popped = other.send("BRPOP", "feed.ids:q", 0)
            self.assertEqual(await popped, ["feed.ids:q", id_])
            self.assertEqual(await other.send("HGET", "feed.items:q", id_), "it")
            await other.send("HDEL", "feed.items:q", id_)
        self.assertEqual(await self.left(), {})

    async def test_mixed_consumers(self) -> None:
        """With consumers of another kind on the same list, each item goes to one consumer."""
        got: Counter[str] = Counter()

        async def raw(redis: Redis) -> None:
            while (popped := await redis.send("BRPOP", "feed.ids:q", 0))[1] != "end":
                item = await redis.send("HGET", "feed.items:q", popped[1])
                await redis.send("HDEL", "feed.items:q", popped[1])
                got[item] += 1

        async def ours(queue: Any) -> None:
            while (item := await queue.get()) != "end":
                got[item] += 1

        kinds = [raw(await self.redis()) for _ in range(3)]
        kinds += [ours(await (await self.pub()).queue("q")) for _ in range(3)]
        consuming = [Deferred.fromCoroutine(kind) for kind in kinds]
        await self.waiting(6)
        for number in range(300):
            if number % 2:
                await self.put_raw(str(number), str(number))
            else:
                await self.queue.put(str(number))
        await until(lambda: sum(got.values()) >= 300)
        self.assertEqual(got, Counter(map(str, range(300))))
        while not all(each.called for each in consuming):
            await self.raw.send("HSET", "feed.items:q", "end", "end")
            await self.raw.send("RPUSH", "feed.ids:q", "end")
        await gatherResults(consuming)

    async def test_raw_worker(self) -> None:
        """A job that another worker has claimed can be finished, cancelled or stalled here."""
        job = await self.pub_.job("j")
        for verb in (job.finish, job.cancel, job.stall):
            await self.pub_.delete_feed("j")
            await self.pub_.job("j")
            await job.put("work", id_="a")
            self.assertEqual(await self.raw.send("BRPOP", "feed.ids:j", 0), [b"feed.ids:j", b"a"])
            await self.raw.send("ZADD", "feed.claimed:j", 1600000000000, "a")
            await verb("a")
            self.assertEqual(await self.value("feed.claimed:j"), None)
        self.assertEqual(await job.get_ids("stalled"), ["a"])

    async def test_raw_finish(self) -> None:
        """When another implementation finishes a job, the wait for its result ends."""
        job = await self.pub_.job("j")
        await job.put("work", id_="a")
        claim = await job.get()
        result = job.get_result("a")
        await self.numsub("feed.finishes:j", 1)
        self.raw.multi()
        self.raw.send("ZREM", "feed.claimed:j", claim.id)
        self.raw.send("HDEL", "feed.cancelled:j", claim.id)
        self.raw.send("ZREM", "feed.published:j", claim.id)
        self.raw.send("INCR", "feed.finishes:j")
        self.raw.send("PUBLISH", "job.finish:j", "a\0done")
        self.raw.send("HDEL", "feed.items:j", claim.id)
        await self.raw.execute()
        self.assertEqual(await result, ("work", "done"))
        self.assertEqual(await job.get_ids(), [])


class CutTests(TakingTestCase):
    async def test_waiting_connection(self) -> None:
        """Cutting the waiting connection fails its get; a later item is not lost."""
        get = self.queue.get()
        (client,) = await self.waiting()
        await self.raw.send("CLIENT", "KILL", "ID", client)
        await self.assertFailure(get, ConnectionLost)
        await self.queue.put("it")
        self.assertEqual(await self.queue.get(), "it")
        self.assertEqual(await self.left(), {})

    async def test_main_connection(self) -> None:
        """Cutting the publisher's own connection closes its waiting connections."""
        get = self.queue.get()
        await self.waiting()
        await self.raw.send("CLIENT", "KILL", "ID", await self.pub_.redis.send("CLIENT", "ID"))
        await self.assertFailure(get, ConnectionLost)
        await self.waiting(0)

    async def test_in_transit(self) -> None:
        """Maintenance puts back an id in transit whose consumer is gone, dated when first seen."""
        await self.put_raw("1", "one")
        await self.raw.send("LMOVE", "feed.ids:q", "feed.transit:q", "RIGHT", "LEFT")
        self.assertEqual(await self.queue.maintenance(), {"dated": 1, "restored": 0, "dropped": 0})
        ((_, time),) = await self.value("feed.delivering:q")
        seconds, _ = await self.raw.send("TIME")
        self.assertLess(abs(time / 1000 - int(seconds)), 60)
        self.assertEqual(await self.queue.maintenance(), {"dated": 0, "restored": 0, "dropped": 0})
        await self.raw.send("ZADD", "feed.delivering:q", time - 30_001, "1")
        self.assertEqual(await self.queue.maintenance(), {"dated": 0, "restored": 1, "dropped": 0})
        self.assertEqual(await self.queue.get(), "one")
        self.assertEqual(await self.left(), {})
