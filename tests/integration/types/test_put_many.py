"""put_many stores many items in few calls, with the same result as single puts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support import RedisTestCase
from tests.support.job_delay import timeless
from txthoonk.errors import (
    FeedDoesNotExist,
    InvalidInput,
    InvalidType,
    JobExists,
    ResponseError,
)
from txthoonk.types import Job, Queue, _bulk

reactor: Any = installed_reactor
MANY = 1234  # items: several calls, the last of them not full
HOUR = 3600


class PutManyTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.queue: Queue = await self.pub_.queue("q")
        self.job: Job = await self.pub_.job("x")
        self.feeds: tuple[Any, ...] = (self.queue, self.job)
        self.items = [f"item {number}" for number in range(MANY)]
        self.ids = [f"id {number}" for number in range(MANY)]

    async def got(self, feed: Any, count: int) -> list[str]:
        """Take *count* items, and return their values in order."""
        taken = await gatherResults([feed.get(5) for _ in range(count)])
        return [one.item if feed is self.job else one for one in taken]


class OrderTests(PutManyTestCase):
    async def test_order(self) -> None:
        """Items are taken in the order given, after the items that were already in the line."""
        for feed in self.feeds:
            await feed.put("before")
            ids = await feed.put_many(self.items)
            await feed.put("behind")
            self.assertEqual(len(set(ids)), MANY)
            self.assertEqual(
                (await feed.get_ids())[1:-1][::-1]
                if feed is self.queue
                else (await feed.get_ids("available"))[1:-1][::-1],
                ids,
            )
            self.assertEqual(await self.got(feed, MANY + 2), ["before", *self.items, "behind"])

    async def test_high(self) -> None:
        """High-priority items go to the front of the line and keep their order."""
        for count in (3, 500, 501, MANY):
            for feed in self.feeds:
                await feed.put("there")
                await feed.put_many(self.items[:count], feed.HIGH)
                got = await self.got(feed, count + 1)
                self.assertEqual(got, [*self.items[:count], "there"], (feed, count))

    async def test_same_as_put(self) -> None:
        """put_many leaves the same state and sends the same messages as single puts."""
        await gatherResults(
            [self.job.put(item, id_=id_) for item, id_ in zip(self.items, self.ids, strict=True)]
        )
        spied = await self.spy()
        wanted = timeless(await self.state())
        await self.job.delete_feed()
        self.job = await self.pub_.job("x")
        await spied.messages()
        self.assertEqual(await self.job.put_many(self.items, ids=self.ids), self.ids)
        state = timeless(await self.state())
        self.assertEqual(set(state.pop(b"feed.published:x")), set(wanted.pop(b"feed.published:x")))
        self.assertEqual(state, wanted)
        puts = [f"{id_}\0{item}".encode() for id_, item in zip(self.ids, self.items, strict=True)]
        self.assertEqual(await spied.messages(own=True), [(b"feed.publishes:x", p) for p in puts])

    async def test_nothing(self) -> None:
        """put_many with no items changes nothing."""
        before = await self.state()
        for feed in self.feeds:
            self.assertEqual(await feed.put_many([]), [])
        self.assertEqual(await self.job.put_many(iter(()), ids=[]), [])
        self.assertEqual(await self.state(), before)

    async def test_history(self) -> None:
        """Each item gets its own revision."""
        for feed in self.feeds:
            await feed.set_config({"history": 10_000})
            ids = await feed.put_many(self.items)
            events = await feed.get_history()
            self.assertEqual([event.revision for event in events], list(range(1, MANY + 1)))
            told = [(event.kind, event.id, event.item) for event in events]
            self.assertEqual(told, [("put", *both) for both in zip(ids, self.items, strict=True)])

    async def test_waiting_gets(self) -> None:
        """Waiting gets receive the items in the order of their calls."""
        for feed in self.feeds:
            gets = [feed.get() for _ in range(200)]
            await feed.put_many(self.items[:200])
            got = await gatherResults(gets)
            items = [one.item if feed is self.job else one for one in got]
            self.assertEqual(items, self.items[:200])

    async def test_serializers(self) -> None:
        """put_many encodes items with the feed's serializer, and sends big items in more calls."""
        job = await self.pub_.job("json", {"serializer": "json"})
        await job.put_many([{"a": 1}, None, [1, 2]])
        self.assertEqual([(await job.get()).item for _ in range(3)], [{"a": 1}, None, [1, 2]])
        queue = await self.pub_.queue("bytes", {"serializer": "bytes"})
        items = [bytes([n]) * 200_000 for n in range(20)]
        progress: list[int] = []
        await queue.put_many(items, progress=progress.append)
        self.assertGreater(len(progress), 5)
        self.assertEqual([await queue.get() for _ in items], items)
        pyqueue = await self.pub_.pyqueue("py")
        await pyqueue.put_many([1, {2}, None])
        self.assertEqual([await pyqueue.get() for _ in range(3)], [1, {2}, None])


class SourceTests(PutManyTestCase):
    async def test_iterables(self) -> None:
        """Items can come from a generator, an asynchronous generator, a tuple or a set."""

        async def slowly() -> AsyncIterator[str]:
            for item in self.items:
                if item.endswith("00"):
                    await deferLater(reactor, 0)
                yield item

        for feed in self.feeds:
            for source in ((item for item in self.items), slowly(), tuple(self.items)):
                await feed.put_many(source)
                self.assertEqual(await self.got(feed, MANY), self.items)
            await feed.put_many({"one"})
            self.assertEqual(await self.got(feed, 1), ["one"])

    async def test_ids_of_an_iterator(self) -> None:
        """Ids can come from an iterator, even when the items are asynchronous."""

        async def source() -> AsyncIterator[str]:
            for item in self.items:
                yield item

        self.assertEqual(await self.job.put_many(source(), ids=iter(self.ids)), self.ids)
        self.assertEqual(await self.job.get_item("id 1000"), "item 1000")

    async def test_progress(self) -> None:
        """``progress`` receives the number of items stored so far, after each call."""
        for feed in self.feeds:
            progress: list[int] = []
            await feed.put_many(self.items, progress=progress.append)
            self.assertEqual(progress, [500, 1000, MANY])

    async def test_bounded(self) -> None:
        """put_many reads ahead no more items than fit in the calls in flight."""
        read, ahead = 0, []

        def source() -> Iterator[str]:
            nonlocal read
            for _ in range(10_000):
                read += 1
                yield "item"

        await self.queue.put_many(source(), progress=lambda done: ahead.append(read - done))
        most = _bulk.MOST_ITEMS * _bulk.IN_FLIGHT
        self.assertLessEqual(max(ahead), most)
        self.assertEqual(len(ahead), 20)


class EndTests(PutManyTestCase):
    async def whole_calls(self, feed: Any, most: int) -> int:
        """Check that each call was executed entirely or not at all; return the number of items."""
        await feed.pub.redis.ping()
        count: int = await feed.length()
        self.assertLessEqual(count, most)
        self.assertEqual(await self.got(feed, count), self.items[:count])
        self.assertIn(count, (0, 500, 1000, MANY))
        return count

    async def test_source_fails(self) -> None:
        """An error of the source fails put_many with that error; items already stored stay."""
        closed = []

        def broken() -> Iterator[str]:
            yield from self.items[:700]
            raise RuntimeError("no more")

        async def broken_later() -> AsyncIterator[str]:
            try:
                for item in broken():
                    yield item
            finally:
                closed.append(True)

        for feed in self.feeds:
            for source in (broken(), broken_later()):
                error = await self.assertFailure(feed.put_many(source), RuntimeError)
                self.assertEqual(str(error), "no more")
                await self.whole_calls(feed, 700)
        self.assertEqual(len(closed), 2)

    async def test_bad_item(self) -> None:
        """An item that the serializer cannot encode fails put_many; the error names the item."""
        for feed in self.feeds:
            error = await self.assertFailure(
                feed.put_many([*self.items[:600], 5, "more"]), InvalidType
            )
            self.assertIn("5", str(error))
            await self.whole_calls(feed, 600)

    async def test_progress_fails(self) -> None:
        """An error of ``progress`` fails put_many with that error."""

        def tell(done: int) -> None:
            raise RuntimeError(str(done))

        error = await self.assertFailure(
            self.queue.put_many(self.items, progress=tell), RuntimeError
        )
        self.assertEqual(str(error), "500")
        await self.whole_calls(self.queue, MANY)

    async def test_exists(self) -> None:
        """A call with an id that already exists, or that occurs twice, stores nothing."""
        await self.job.put("item", id_="there")
        await self.job.put("item", id_="delayed", delay=HOUR)
        before, spied = await self.state(), await self.spy()
        for ids in (["a", "there"], ["a", "delayed"], ["a", "b", "a"]):
            error = await self.assertFailure(
                self.job.put_many(["item"] * len(ids), ids=ids), JobExists
            )
            self.assertIn(repr(ids[-1]), str(error))
        self.assertEqual((await self.state(), await spied.messages(own=True)), (before, []))

    async def test_cancelled(self) -> None:
        """Cancelling put_many stops further calls; calls already sent are executed as a whole."""
        for feed in self.feeds:
            blocked: Deferred[None] = Deferred()

            async def source(blocked: Deferred[None] = blocked) -> AsyncIterator[str]:
                for item in self.items[:600]:
                    yield item
                await blocked

            putting = feed.put_many(source())
            await self.until_reply("LLEN", feed.feed_ids)
            putting.cancel()
            await self.assertFailure(putting, CancelledError)
            self.assertEqual(await self.whole_calls(feed, 600), 500)
            at_once = feed.put_many(self.items)
            at_once.cancel()
            await self.assertFailure(at_once, CancelledError)
            await self.whole_calls(feed, MANY)

    async def test_missing_feed(self) -> None:
        """put_many on a feed that does not exist fails and stores nothing."""
        await self.raw.flushdb()
        for feed in self.feeds:
            await self.assertFailure(feed.put_many(self.items), FeedDoesNotExist)
        self.assertEqual(await self.state(), {})

    async def test_refused(self) -> None:
        """put_many fails if the server refuses a call, and that call changes nothing."""
        before, spied = await self.state(), await self.spy()
        await self.raw.send("REPLICAOF", "127.0.0.1", "1")
        try:
            for feed in self.feeds:
                await self.assertFailure(feed.put_many(self.items), ResponseError)
            self.assertEqual((await self.state(), await spied.messages(own=True)), (before, []))
        finally:
            await self.raw.send("REPLICAOF", "NO", "ONE")

    async def test_bad_input(self) -> None:
        """Invalid arguments fail put_many before it stores anything."""
        queue: Any = self.queue
        job: Any = self.job
        before, complaints = await self.state(), []
        for call, value, kind in (
            (lambda: queue.put_many("text"), "'text'", InvalidType),
            (lambda: queue.put_many(b"text"), "b'text'", InvalidType),
            (lambda: queue.put_many(None), "None", InvalidType),
            (lambda: queue.put_many(5), "5", InvalidType),
            (lambda: queue.put_many([5]), "5", InvalidType),
            (lambda: queue.put_many(["a"], "high"), "'high'", InvalidInput),
            (lambda: job.put_many(["a"], 2), "2", InvalidInput),
            (lambda: job.put_many(["a"], ids=["a\0"]), r"'a\x00'", InvalidInput),
            (lambda: job.put_many(["a"], ids=[None]), "None", InvalidType),
            (lambda: job.put_many(["a"], ids=5), "5", InvalidType),
            (lambda: job.put_many(["a"], ids="a"), "'a'", InvalidType),
            (lambda: job.put_many(["a", "b"], ids=["a"]), "more items", InvalidInput),
            (lambda: job.put_many(["a"], ids=["a", "b"]), "more ids", InvalidInput),
            (lambda: job.put_many(["a"], progress=5), "5", InvalidType),
        ):
            (error,) = await call().addBoth(lambda result: [getattr(result, "value", result)])
            if not isinstance(error, kind) or value not in str(error):
                complaints.append((value, error))
        self.assertEqual(complaints, [])
        self.assertEqual(await self.state(), before)
