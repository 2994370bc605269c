"""What goes back to the front of a line keeps its place, although other items came meanwhile.

``LMOVE`` does here what BLMOVE does for a get that waits: from then on the id is in
``feed.transit``, until a script of that get takes it or puts it back.
"""

from __future__ import annotations

from typing import Any

from tests.support import RedisTestCase
from txthoonk.protocol._encoding import TEXT
from txthoonk.types import Job, Queue
from txthoonk.wire._scripts import load

_PUT_BACK = load("queue/put_back")


class PlaceTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        pub = await self.pub()
        self.queue: Queue = await pub.queue("q")
        self.job: Job = await pub.job("j")
        self.feeds: tuple[Any, ...] = (self.queue, self.job)

    async def move(self, feed: Any) -> str:
        """Move the next id to transit."""
        words = (feed.feed_ids, feed.feed_transit, "RIGHT", "LEFT")
        id_: bytes = await self.raw.send("LMOVE", *words)
        return id_.decode()

    async def put_back(self, feed: Any, id_: str) -> int:
        """Put an id back as a get does that was cancelled meanwhile."""
        command = (*_PUT_BACK.bind(feed.name), id_, "")
        count: int = await feed.pub.redis.call(_PUT_BACK, command, TEXT)
        return count

    async def taken(self, feed: Any, *items: str) -> None:
        """Check the order in which items are taken, and that nothing else is left."""
        got = [await feed.get(1) for _ in items]
        self.assertEqual([getattr(one, "item", one) for one in got], list(items))
        self.assertEqual(await feed.length(), 0)
        self.assertEqual(await self.value(feed.feed_transit), None)
        if feed is self.job:
            for claim in got:
                await feed.finish(claim)

    async def test_cancelled(self) -> None:
        """The id of a get that was cancelled goes behind high priority that was put meanwhile."""
        for feed in self.feeds:
            await feed.put("low")
            id_ = await self.move(feed)
            await feed.put("later")
            await feed.put("high", feed.HIGH)
            await self.put_back(feed, id_)
            await self.put_back(feed, id_)  # as after a lost connection
            await self.taken(feed, "high", "low", "later")

    async def test_two_cancelled(self) -> None:
        """The ids of two gets keep their order, whichever goes back first."""
        for feed in self.feeds:
            for first in (0, 1):
                await feed.put("1")
                await feed.put("2")
                ids = [await self.move(feed), await self.move(feed)]
                self.assertEqual(await self.put_back(feed, ids[first]), 1)
                self.assertEqual(await self.put_back(feed, ids[1 - first]), 0)
                await self.taken(feed, "1", "2")

    async def test_not_cancelled(self) -> None:
        """A get that waited takes high priority that was put before its script ran."""
        for feed in self.feeds:
            await feed.put("low")
            id_ = await self.move(feed)
            await feed.put("high", feed.HIGH)
            script, words = feed._scripts().get
            command = (*words, 1, id_)
            reply = await feed.pub.redis.call(script, command, TEXT)
            self.assertEqual(reply[3], "high")
            self.assertEqual(await feed.length(), 1)
            self.assertEqual(await self.value(feed.feed_transit), None)

    async def test_many(self) -> None:
        """Many items with high priority, put in one call, go before an id in transit."""
        for feed in self.feeds:
            await feed.put("low")
            await self.move(feed)
            await feed.put_many(["high 1", "high 2"], feed.HIGH)
            await self.taken(feed, "high 1", "high 2", "low")

    async def test_released(self) -> None:
        """A released job goes before an id that another get had moved meanwhile."""
        await self.job.put("1")
        await self.job.put("2")
        claim = await self.job.get()
        await self.move(self.job)
        await self.job.release(claim)
        await self.taken(self.job, "1", "2")

    async def test_delayed(self) -> None:
        """A delayed job with high priority goes before an id in transit when it is due."""
        await self.job.put("low")
        await self.move(self.job)
        await self.job.put("high", self.job.HIGH, delay=3600, id_="a")
        await self.raw.send("ZADD", "feed.delayed:j", 1, "a")
        await self.job.maintenance()
        await self.taken(self.job, "high", "low")

    async def test_restored(self) -> None:
        """An item that maintenance restores to a queue goes before an id in transit."""
        await self.queue.put("1")
        await self.queue.put("2")
        lost = await self.raw.send("RPOP", self.queue.feed_ids)
        await self.raw.send("ZADD", self.queue.feed_delivering, 1, lost)
        await self.move(self.queue)
        await self.queue.maintenance()
        await self.raw.send("DEL", self.queue.feed_delivering)
        self.assertEqual(await self.queue.get(1), "1")

    async def test_refused(self) -> None:
        """A put that fails leaves the ids in transit where they were."""
        for feed in self.feeds:
            await feed.put("low")
            await self.move(feed)
            await self.raw.send("DEL", feed.feed_items)
            await self.raw.send("SET", feed.feed_items, "nonsense")
            before = await self.state()
            await self.assertFailure(feed.put("high", feed.HIGH), Exception)
            self.assertEqual(await self.state(), before)
