"""An object of a deleted feed does no harm when the feed is created again as another type."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support import RedisTestCase
from txthoonk import FeedTypeMismatch
from txthoonk.testing import check_feed
from txthoonk.types import Job, Queue, SortedFeed


class AnotherTypeTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.other = await self.pub()

    async def check(self, old: str, new: str, *calls: Any) -> None:
        """Recreate a feed as another type; check that calls on the old object change nothing."""
        feed = await getattr(self.pub_, old)("x")
        await self.other.delete_feed("x")
        made = await getattr(self.other, new)("x")
        for item in ("1", "2"):
            await made.publish(item)
        before = await self.state()
        for call in calls:
            error = await self.assertFailure(call(feed), FeedTypeMismatch)
            self.assertIn(repr(new), str(error))
        self.assertEqual(await self.state(), before)
        self.assertEqual(await check_feed(self.other, "x", settled=True), [])
        await self.other.delete_feed("x")

    async def test_queue(self) -> None:
        """A queue object neither takes from a feed of another type nor puts into it."""
        for new in ("job", "sorted_feed"):
            await self.check("queue", new, lambda q: q.get(1), lambda q: q.put("3"))
            await self.check("pyqueue", new, lambda q: q.get(1), lambda q: q.put("3"))

    async def test_job(self) -> None:
        """A job feed object neither takes from a feed of another type nor puts into it."""
        for new in ("queue", "sorted_feed"):
            await self.check(
                "job",
                new,
                lambda jobs: jobs.get(1),
                lambda jobs: jobs.put("3"),
                lambda jobs: jobs.put("3", delay=10),
                lambda jobs: jobs.put_many(["3", "4"]),
            )

    async def test_sorted_feed(self) -> None:
        """A sorted feed object does not change a feed of another type."""
        for new in ("queue", "job"):
            await self.check(
                "sorted_feed",
                new,
                lambda feed: feed.append("3"),
                lambda feed: feed.edit("1", "3"),
                lambda feed: feed.move_first("1"),
                lambda feed: feed.retract("1"),
            )

    async def test_waiting_get(self) -> None:
        """A waiting get that takes an item of a feed of another type puts it back and fails."""
        queue: Queue = await self.pub_.queue("x")
        got: Deferred[Any] = queue.get()
        await self.waits()
        await self.other.delete_feed("x")
        job = await self.other.job("x")
        id_ = await job.put("item")
        await self.assertFailure(got, FeedTypeMismatch)
        claim = await job.get(5)
        self.assertEqual((claim.id, claim.item), (id_, "item"))
        await job.finish(claim)
        self.assertEqual(await check_feed(self.other, "x", settled=True), [])

    async def waits(self) -> None:
        """Wait until the server has a blocked client."""
        await self.until_reply(
            "INFO", "clients", holds=lambda reply: b"blocked_clients:0" not in reply
        )

    async def test_type_of_ones_own(self) -> None:
        """A custom feed type works like the class that it extends."""
        for base, put in ((Queue, "put"), (Job, "put"), (SortedFeed, "append")):
            name = f"own{base.__name__.lower()}"
            own: Any = type(name, (base,), {})
            self.pub_.register_feedtype(name, own)
            feed = await getattr(self.pub_, name)(name)
            await getattr(feed, put)("item")
            if hasattr(feed, "get"):
                got = await feed.get(1)
                self.assertEqual(getattr(got, "item", got), "item")
            else:
                self.assertEqual(await feed.get_ids(), ["1"])
