"""Gets wait, and take what comes, while the server has no memory for new data.

Some servers refuse BLMOVE only when it is sent, others also when an id ends its wait.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError

from tests.support import RedisTestCase, pairs, server_url
from txthoonk import Thoonk
from txthoonk.protocol._encoding import TEXT
from txthoonk.types import Job, Queue
from txthoonk.wire._scripts import load

reactor: Any = installed_reactor
_PUT_BACK = load("queue/put_back")


class FullTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        thoonk = Thoonk(await server_url(), reactor)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        self.queue: Queue = await thoonk.queue("q")
        self.job: Job = await thoonk.job("j")
        # Each with a feed of another publisher, which puts.
        self.feeds: list[tuple[Any, Any]] = [
            (self.queue, Queue(self.pub_, "q")),
            (self.job, Job(self.pub_, "j")),
            (Queue(self.pub_, "q"), Queue(self.pub_, "q")),
            (Job(self.pub_, "j"), Job(self.pub_, "j")),
        ]
        (_, self.limit), *_ = pairs(await self.raw.send("CONFIG", "GET", "maxmemory"))
        self.addCleanup(self.free)

    async def fill(self) -> None:
        await self.raw.send("CONFIG", "SET", "maxmemory", "1")

    async def free(self) -> None:
        await self.raw.send("CONFIG", "SET", "maxmemory", self.limit)

    async def hide(self, feed: Any, *items: str) -> list[str]:
        """Put items, and take their ids out of the line, as gets do that wait."""
        ids = [await feed.put(item) for item in items]
        for _ in items:
            await self.raw.send("LMOVE", feed.feed_ids, feed.feed_transit, "RIGHT", "LEFT")
        return ids

    async def show(self, feed: Any, id_: str) -> None:
        """Put an id back, which is possible without memory."""
        command = (*_PUT_BACK.bind(feed.name), id_, "")
        await feed.pub.redis.call(_PUT_BACK, command, TEXT)

    def item(self, got: Any) -> str:
        item: str = getattr(got, "item", got)
        return item

    async def ended(self, feed: Any) -> None:
        """Check that nothing is left."""
        if isinstance(feed, Job):
            for id_ in await feed.get_ids("claimed"):
                await feed.finish(id_)
        await feed.pub.redis.ping()
        self.assertEqual(await feed.length(), 0)
        await self.until_gone(feed.feed_transit)
        await self.until_gone(feed.feed_items)

    async def test_waited_before(self) -> None:
        """A get that waited before memory was full takes the item that comes."""
        for feed, other in self.feeds:
            (id_,) = await self.hide(other, "item")
            get = feed.get()
            await self.blocked(1)
            await self.fill()
            await self.show(other, id_)
            self.assertEqual(self.item(await get), "item")
            await self.free()
            await self.ended(feed)

    async def test_waits(self) -> None:
        """A get waits while memory is full, without a call from time to time."""
        for feed, other in self.feeds:
            ids = await self.hide(other, "first", "second")
            await self.fill()
            for id_, item in zip(ids, ("first", "second"), strict=True):
                get = feed.get()
                await self.blocked(1)
                self.assertIn(b" cmd=brpop ", await self.raw.send("CLIENT", "LIST"))
                self.assertNoResult(get)
                await self.give(feed, id_)
                self.assertEqual(self.item(await get), item)
            await self.free()
            await self.ended(feed)

    async def give(self, feed: Any, id_: str) -> None:
        """Put one id into the line."""
        script = "redis.call('LREM', KEYS[2], 1, ARGV[1]) redis.call('RPUSH', KEYS[1], ARGV[1])"
        await self.raw.send("EVAL", script, 2, feed.feed_ids, feed.feed_transit, id_)

    async def test_freed(self) -> None:
        """A get that began to wait without memory takes what is put when there is some again."""
        for feed, other in self.feeds:
            await self.fill()
            get = feed.get()
            await self.blocked(1)
            await self.free()
            await other.put("item")
            self.assertEqual(self.item(await get), "item")
            await self.ended(feed)

    async def test_cancelled(self) -> None:
        """An item that comes while a get is cancelled without memory stays in the line."""
        for feed, other in self.feeds:
            (id_,) = await self.hide(other, "item")
            await self.fill()
            get = feed.get()
            await self.blocked(1)
            await self.give(feed, id_)
            get.cancel()
            await self.assertFailure(get, CancelledError)
            await self.blocked(0)
            self.assertEqual(self.item(await feed.get(5)), "item")
            await self.free()
            await self.ended(feed)

    async def test_paused(self) -> None:
        """An id that BRPOP takes from a paused feed goes back."""
        for feed, other in self.feeds:
            (id_,) = await self.hide(other, "item")
            await self.fill()
            get = feed.get()
            await self.blocked(1)
            await self.free()
            await other.pause()
            await self.fill()
            await self.give(feed, id_)
            await self.blocked(0)
            await self.until_reply("LLEN", feed.feed_ids, holds=lambda reply: reply == 1)
            self.assertNoResult(get)
            await self.free()
            await other.resume()
            self.assertEqual(self.item(await get), "item")
            await self.ended(feed)

    async def test_put_back(self) -> None:
        """An id that BRPOP took goes back once, and not if it has a state."""
        for _, feed in self.feeds[:2]:
            id_ = await feed.put("item")
            await self.raw.send("RPOP", feed.feed_ids)
            command = (*_PUT_BACK.bind(feed.name), id_, "-")
            for _ in range(2):
                await feed.pub.redis.call(_PUT_BACK, command, TEXT)
                self.assertEqual(await self.value(feed.feed_ids), [id_.encode()])
            await feed.get()
            await feed.pub.redis.call(_PUT_BACK, command, TEXT)
            self.assertEqual(await feed.length(), 0)
            await self.ended(feed)
            await feed.pub.redis.call(_PUT_BACK, command, TEXT)
            self.assertEqual(await feed.length(), 0)
