"""Pausing queues and job feeds, and draining job feeds."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, gatherResults

from tests.support import RedisTestCase, server_url
from tests.support.job_delay import timeless
from txthoonk.errors import Empty
from txthoonk.service import Thoonk
from txthoonk.testing import check_feed
from txthoonk.types import Job, Queue

reactor: Any = installed_reactor
HOUR = 3600


class PauseTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.queue: Queue = await self.pub_.queue("q")
        self.job: Job = await self.pub_.job("j")
        self.feeds: tuple[Any, ...] = (self.queue, self.job)
        other = await self.pub()
        self.others: tuple[Any, ...] = (Queue(other, "q"), Job(other, "j"))

    async def nothing_taken(self, feed: Any, *ids: str) -> None:
        """Check that the line holds exactly *ids*, and that nothing is in delivery or claimed."""
        await feed.pub.redis.ping()
        line = [id_.decode() for id_ in await self.value(feed.feed_ids) or []]
        self.assertEqual(line, list(ids))
        for key in (feed.feed_transit, feed.feed_delivering, feed.feed_claimed):
            self.assertEqual(await self.value(key), None)

    def items(self, got: list[Any]) -> list[str]:
        return [getattr(one, "item", one) for one in got]


class PauseTests(PauseTestCase):
    async def test_config(self) -> None:
        """pause and resume change the setting ``paused``, and announce it on ``conffeed``."""
        spied = await self.spy()
        for feed in self.feeds:
            self.assertFalse(await feed.is_paused())
            await feed.pause()
            self.assertTrue(await feed.is_paused())
            self.assertEqual((await feed.get_config())["paused"], "1")
            await feed.resume()
            self.assertFalse(await feed.is_paused())
            told = [
                (channel, message.split(b"\0")[0]) for channel, message in await spied.messages()
            ]
            self.assertEqual(told, [(b"conffeed", feed.name.encode())] * 2)

    async def test_nothing_is_taken(self) -> None:
        """A paused feed delivers nothing to any publisher, and keeps new items in the line."""
        for feed, other in zip(self.feeds, self.others, strict=True):
            await feed.put("before")
            await feed.pause()
            gets = [feed.get(), feed.get(), other.get()]
            await feed.put("behind")
            await feed.put("first", feed.HIGH)
            ids = await feed.get_ids() if feed is self.queue else await feed.get_ids("available")
            await other.pub.redis.ping()
            await self.nothing_taken(feed, *ids)
            for get in gets:
                self.assertNoResult(get)
            await other.resume()
            got = self.items(await gatherResults(gets))
            self.assertEqual(set(got), {"first", "before", "behind"})
            self.assertLess(got.index(got[0]), got.index(got[1]))

    async def test_order(self) -> None:
        """After a resume, waiting gets are served in the order of their calls."""
        for feed, other in zip(self.feeds, self.others, strict=True):
            await feed.pause()
            await other.put_many([str(number) for number in range(10)])
            gets = [feed.get() for _ in range(10)]
            await feed.pub.redis.ping()
            await other.resume()
            got = self.items(await gatherResults(gets))
            self.assertEqual(got, [str(number) for number in range(10)])

    async def test_gets_that_wait_already(self) -> None:
        """A get that already waits when the feed is paused receives nothing until the resume."""
        for feed, other in zip(self.feeds, self.others, strict=True):
            for _ in range(5):
                get = feed.get()
                await self.blocked(1)
                await other.pause()
                await other.put("item")
                await self.blocked(0)
                await feed.pub.redis.ping()
                await self.until_gone(feed.feed_transit)
                self.assertNoResult(get)
                self.assertEqual(await other.length(), 1)
                await other.resume()
                self.assertEqual(self.items([await get]), ["item"])
                if feed is self.job:
                    await feed.finish((await feed.get_ids())[0])
            await self.nothing_taken(feed)

    async def test_priority(self) -> None:
        """High priority goes first after a resume, although a waiting get had moved the item."""
        for feed, other in zip(self.feeds, self.others, strict=True):
            for _ in range(5):
                get = feed.get()
                await self.blocked(1)
                await other.pause()
                await gatherResults([other.put("low"), other.put("high", other.HIGH)])
                await self.blocked(0)
                await feed.pub.redis.ping()
                await self.until_gone(feed.feed_transit)
                await other.resume()
                self.assertEqual(self.items([await get, await feed.get()]), ["high", "low"])
                if feed is self.job:
                    for id_ in await feed.get_ids():
                        await feed.finish(id_)
            await self.nothing_taken(feed)

    async def test_several_that_wait(self) -> None:
        """Items taken by several blocked gets of a paused feed return in their order."""
        for feed, other in zip(self.feeds, self.others, strict=True):
            gets = [feed.get(), other.get()]
            await self.blocked(2)
            await feed.pause()
            await feed.put("second")
            await feed.put("third")
            await feed.put("first", feed.HIGH)
            await self.blocked(0)
            await self.until_reply("LLEN", feed.feed_ids, holds=lambda reply: reply == 3)
            await self.until_gone(feed.feed_transit)
            for get in gets:
                get.cancel()
                await self.assertFailure(get, CancelledError)
            await feed.resume()
            got = self.items([await feed.get() for _ in range(3)])
            self.assertEqual(got, ["first", "second", "third"])

    async def test_timeout_and_cancelling(self) -> None:
        """A get on a paused feed can time out or be cancelled, and takes nothing."""
        for feed in self.feeds:
            await feed.pause()
            await feed.put("item")
            await self.assertFailure(feed.get(0.05), Empty)
            get = feed.get()
            await feed.pub.redis.ping()
            get.cancel()
            await self.assertFailure(get, CancelledError)
            await self.numsub("conffeed", 0)
            await feed.resume()
            self.assertEqual(self.items([await feed.get()]), ["item"])

    async def test_paused_again(self) -> None:
        """Repeated pausing and resuming neither loses an item nor delivers one twice."""
        for feed, other in zip(self.feeds, self.others, strict=True):
            gets = [one.get() for _ in range(100) for one in (feed, other)]
            for number in range(200):
                await feed.put(str(number))
                if number % 10 == 3:
                    await other.pause()
                if number % 10 == 7:
                    await feed.resume()
            await feed.resume()
            got = self.items(await gatherResults(gets))
            self.assertEqual(sorted(got, key=int), [str(number) for number in range(200)])

    async def test_subscriber_lost(self) -> None:
        """A get continues after a resume, even if its connection was lost at the announcement."""
        thoonk = Thoonk(await server_url(), reactor, retry_policy=lambda _: 0.01)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        for feed, other in (
            (await thoonk.queue("q"), self.queue),
            (await thoonk.job("j"), self.job),
        ):
            await other.pause()
            await other.put("item")
            get = feed.get()
            await self.until_reply(
                "PUBSUB", "NUMSUB", "conffeed", holds=lambda reply: reply[1] >= 1
            )
            await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
            await other.resume()
            self.assertEqual(self.items([await get]), ["item"])

    async def test_others_go_on(self) -> None:
        """Other implementations ignore the pause, and can still take items."""
        for feed in self.feeds:
            await feed.pause()
            id_ = await feed.put("item")
            taken = await self.raw.send("BRPOP", feed.feed_ids, 0)
            self.assertEqual(taken[1].decode(), id_)

    async def test_jobs_in_hand(self) -> None:
        """While a job feed is paused, claims can be ended, and delayed jobs join the line."""
        await self.job.put_many(["1", "2"], ids=["a", "b"])
        claims = [await self.job.get(), await self.job.get()]
        await self.job.put("later", id_="c", delay=HOUR)
        await self.job.pause()
        await self.job.finish(claims[0])
        await self.job.fail(claims[1], ValueError("no"))
        await self.raw.send("ZADD", "feed.delayed:j", 1, "c")
        await self.job.maintenance()
        self.assertEqual(await self.job.get_ids("available"), ["c", "b"])
        await self.job.resume()
        self.assertEqual([(await self.job.get()).id for _ in range(2)], ["b", "c"])

    async def test_delayed_while_paused(self) -> None:
        """After a resume, a get that waited receives a delayed job on time."""
        await self.job.pause()
        get = self.job.get()
        await self.job.put("later", id_="c", delay=0.05)
        await self.others[1].resume()
        self.assertEqual((await get).id, "c")


class DrainTests(PauseTestCase):
    async def seed(self) -> None:
        """Make a stalled and a claimed job."""
        for id_ in ("stalled", "claimed"):
            await self.job.put("item", id_=id_)
            await self.job.get()
        await self.job.stall("stalled", "why")

    async def fill(self) -> None:
        """Add available jobs, one of which has failed before."""
        await self.job.put_many(["item"] * 1234)
        await self.job.put("item", self.job.HIGH, "failed")
        await self.job.fail(await self.job.get(), ValueError("no"))

    async def test_available(self) -> None:
        """drain removes all available jobs with their records, and nothing else."""
        await self.seed()
        await self.job.put("item", id_="delayed", delay=HOUR)
        before = await self.state()
        await self.fill()
        spied = await self.spy()
        self.assertEqual(await self.job.drain(), 1235)
        after = await self.state()
        after[b"feed.publishes:j"] = before[b"feed.publishes:j"]
        self.assertEqual(after, before)
        self.assertEqual(await spied.messages(own=True), [])
        self.assertEqual(await self.job.drain(), 0)

    async def test_delayed(self) -> None:
        """drain(delayed=True) also removes delayed jobs."""
        await self.seed()
        before = await self.state()
        await self.fill()
        for number in range(700):
            await self.job.put("item", delay=HOUR + number)
        await self.job.put("item", self.job.HIGH, "failed later")
        await self.job.fail(await self.job.get(), ValueError("no"), HOUR)
        self.assertEqual(await self.job.drain(delayed=True), 1936)
        after = await self.state()
        after[b"feed.publishes:j"] = before[b"feed.publishes:j"]
        self.assertEqual(after, before)

    async def test_history(self) -> None:
        """The history records a retract for each drained job."""
        await self.job.set_config({"history": 10})
        await self.job.put_many(["1", "2"], ids=["a", "b"])
        await self.job.put("3", id_="c", delay=HOUR)
        self.assertEqual(await self.job.drain(True), 3)
        told = [(event.kind, event.id) for event in await self.job.get_history()]
        self.assertEqual(told[:2], [("put", "a"), ("put", "b")])
        self.assertEqual(sorted(told[2:]), [("retract", id_) for id_ in "abc"])

    async def test_foreign_entries(self) -> None:
        """drain copes with line entries that have no job, occur twice, or belong to a claim."""
        await self.seed()
        await self.job.put("item", id_="a")
        await self.raw.send("RPUSH", "feed.ids:j", "ghost", "a", "claimed")
        self.assertEqual(await self.job.drain(), 1)
        self.assertEqual(await self.job.get_ids("available"), [])
        self.assertEqual(set(await self.job.get_ids()), {"stalled", "claimed"})

    async def test_what_is_put_meanwhile(self) -> None:
        """Each job is drained or stays, and only jobs put while drain runs can stay."""
        await self.job.put_many(["item"] * 5000)
        draining = self.job.drain()
        puts = [self.others[1].put("new") for _ in range(5)]
        ids = await gatherResults(puts)
        total = await draining
        left = await self.job.get_ids("available")
        self.assertEqual(total + len(left), 5005)
        self.assertLessEqual(set(left), set(ids))
        # What was drained has no records left, and what stays is whole.
        self.assertEqual(sorted(await self.job.get_ids()), sorted(left))
        self.assertEqual([await self.job.get_item(id_) for id_ in left], ["new"] * len(left))
        self.assertEqual(await check_feed(self.pub_, "j"), [])

    async def test_empty_line(self) -> None:
        """A job that is put into an empty line right after a drain is not drained."""
        for _ in range(50):
            # Both use one connection, so the put is executed after the drain.
            await gatherResults([self.job.drain(), self.job.put("new", id_="new")])  # type: ignore[arg-type]
            self.assertEqual(await self.job.get_ids("available"), ["new"])
            await self.job.retract("new")

    async def test_cancelled(self) -> None:
        """Cancelling drain stops it, and the remaining jobs keep all their records."""
        await self.job.put_many(["item"] * 5000)
        draining = self.job.drain()
        await self.until_reply("LLEN", "feed.ids:j", holds=lambda reply: reply != 5000)
        draining.cancel()
        await self.assertFailure(draining, CancelledError)
        await self.pub_.redis.ping()
        state = timeless(await self.state())
        self.assertEqual(set(state[b"feed.ids:j"]), set(state[b"feed.items:j"]))
        self.assertEqual(set(state[b"feed.ids:j"]), set(state[b"feed.published:j"]))
        self.assertGreater(len(state[b"feed.ids:j"]), 0)
