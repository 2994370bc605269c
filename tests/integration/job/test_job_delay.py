"""Delayed jobs: hidden until they are due, then available in order and on time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.support import RedisTestCase, pairs, server_url
from tests.support.job_delay import LATE, timeless
from tests.support.logs import observe_log
from txthoonk.errors import FeedDoesNotExist, JobExists, ResponseError
from txthoonk.service import Thoonk
from txthoonk.types import Job

reactor: Any = installed_reactor
HOUR = 3600


class DelayTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.job: Job = await self.pub_.job("x", {"max_failures": 3})
        self.spied = await self.spy()

    async def let_due(self, *ids: str, hours: int = 2) -> None:
        """Let time pass for delayed jobs."""
        for id_ in ids:
            await self.raw.send("ZINCRBY", "feed.delayed:x", -1000 * HOUR * hours, id_)

    async def later(self, id_: str, delay: float, **arguments: Any) -> float:
        """Put a delayed job; return when it is due, or its earliest time if already taken."""
        earliest = await self.now() + 1000 * delay
        await self.job.put(f"item {id_}", id_=id_, delay=delay, **arguments)
        due = await self.raw.send("ZSCORE", "feed.delayed:x", id_)
        return earliest if due is None else float(due)

    async def served(self, get: Deferred[Any], due: float) -> str:
        """Check that a get is served on time; return the job's id."""
        claim = await get
        lateness = float(await self.raw.send("ZSCORE", "feed.claimed:x", claim.id)) - due
        self.assertTrue(0 <= lateness < LATE, lateness)
        return str(claim.id)

    async def waiting(self) -> None:
        """Wait until a get blocks and listens for delayed jobs."""
        await self.blocked()
        await self.numsub("feed.delayed:x", 1)


class AsideTests(DelayTestCase):
    async def test_unseen(self) -> None:
        """A delayed job appears in no key and on no channel of the contract."""
        before = await self.state()
        earliest = await self.now() + 1000 * HOUR
        for priority, id_ in ((Job.NORMAL, "a"), (Job.HIGH, "b")):
            self.assertEqual(await self.job.put("item", priority, id_, delay=HOUR), id_)
        delayed = await self.value("feed.delayed:x")
        for (_, due), member in zip(delayed, (b"a", b"b"), strict=True):
            self.assertTrue(earliest <= due < earliest + LATE, member)
        own = {b"feed.delayed:x": delayed, b"feed.later:x": {b"a": b"Litem", b"b": b"Ritem"}}
        self.assertEqual(await self.state(), {**before, **own})
        self.assertEqual(await self.spied.messages(), [])

    async def test_told_to_those_who_wait(self) -> None:
        """A job that is due before all others is announced with its delay; a later one is not."""
        for id_, delay in (("a", 10), ("later", 11), ("b", 0.0015)):
            await self.job.put("item", id_=id_, delay=delay)
        told = [(b"feed.delayed:x", b"a\x0010000"), (b"feed.delayed:x", b"b\x002")]
        self.assertEqual(await self.spied.messages(own=True), told)

    async def test_at(self) -> None:
        """``at`` is in seconds since 1970 by the server's clock, or an aware datetime."""
        for id_, at, due in (
            ("a", 4_000_000_000, 4e12),
            ("b", 4_000_000_000.0005, 4e12 + 1),
            ("c", datetime(2096, 10, 2, 7, 6, 40, tzinfo=UTC), 4e12),
        ):
            await self.job.put("item", id_=id_, at=at)
            self.assertEqual(float(await self.raw.send("ZSCORE", "feed.delayed:x", id_)), due)

    async def test_read(self) -> None:
        """A delayed job can be read like any other, and is in no other state."""
        await self.job.put("now", id_="now")
        for id_, delay in (("second", 2 * HOUR), ("first", HOUR), ("third", 3 * HOUR)):
            await self.job.put(f"item {id_}", id_=id_, delay=delay)
        self.assertEqual(await self.job.get_item("first"), "item first")
        self.assertEqual(
            (await self.job.has_id("first"), await self.job.has_id("x")), (True, False)
        )
        self.assertEqual(await self.job.get_ids("delayed"), ["first", "second", "third"])
        self.assertEqual(await self.job.get_ids("available"), ["now"])
        self.assertEqual(set(await self.job.get_ids()), {"first", "second", "third", "now"})
        self.assertEqual(await self.job.length(), 1)
        stats = {"available": 1, "claimed": 0, "stalled": 0, "delayed": 3}
        stats.update(publishes=1, finishes=0)
        self.assertEqual(await self.job.stats(), stats)

    async def test_items(self) -> None:
        """An item of any bytes comes out of a delayed job unchanged."""
        job = await self.pub_.job("x", {"serializer": "bytes"})
        for id_, item in (("a", b""), ("b", b"\0L\xff\r\n"), ("c", b"R" * 100_000)):
            await job.put(item, id_=id_, delay=HOUR)
            self.assertEqual(await job.get_item(id_), item)
            await self.let_due(id_)
            await job.maintenance()
            self.assertEqual(await job.get(), (id_, item, 0))

    async def test_edit_and_retract(self) -> None:
        """A delayed job can be edited and retracted; nothing is published or left."""
        before = await self.state()
        await self.job.put("item", Job.HIGH, "a", delay=HOUR)
        await self.spied.messages(own=True)
        await self.job.edit("a", "other")
        self.assertEqual(await self.job.get_item("a"), "other")
        self.assertEqual(await self.value("feed.later:x"), {b"a": b"Rother"})
        self.assertTrue(await self.job.retract("a"))
        self.assertFalse(await self.job.retract("a"))
        self.assertEqual(await self.spied.messages(own=True), [])
        self.assertEqual(await self.state(), before)

    async def test_exists(self) -> None:
        """put() refuses the id of a job in any state, including delayed jobs."""
        for id_ in ("stalled", "claimed"):
            await self.job.put("item", id_=id_)
            await self.job.get()
        await self.job.stall("stalled")
        await self.job.put("item", id_="available")
        await self.job.put("item", id_="delayed", delay=HOUR)
        before = await self.state()
        await self.spied.messages()
        for id_ in ("stalled", "claimed", "available", "delayed"):
            for call in (
                self.job.put("new", id_=id_, delay=1),
                self.job.put("new", id_=id_, delay=0),
                self.job.put("new", id_=id_, at=0),
                self.job.put("new", id_=id_),
                self.job.put_many(["new"], ids=[id_]),
            ):
                await self.assertFailure(call, JobExists)
        self.assertEqual((await self.state(), await self.spied.messages(own=True)), (before, []))

    async def test_deleted_feed(self) -> None:
        """Deleting a feed removes its delayed jobs, and no more can be put."""
        await self.job.put("item", delay=HOUR)
        await self.job.delete_feed()
        await self.assertFailure(self.job.put("item", delay=HOUR), FeedDoesNotExist)
        self.assertEqual(await self.state(), {})


class DueTests(DelayTestCase):
    async def test_due(self) -> None:
        """A delayed job that is due looks like any other in the contract's keys and channels."""
        await self.job.put("item", id_="a")
        wanted, heard = timeless(await self.state()), await self.spied.messages()
        await self.job.retract("a")
        await self.raw.send("DEL", "feed.publishes:x")
        await self.job.put("item", id_="a", delay=HOUR)
        await self.let_due("a")
        before = await self.now()
        self.assertEqual((await self.job.maintenance())["due"], 1)
        self.assertEqual(timeless(await self.state()), wanted)
        self.assertEqual(await self.spied.messages(), heard)
        ((_, published),) = await self.value("feed.published:x")
        self.assertGreaterEqual(published, before)
        self.assertEqual((await self.job.maintenance())["due"], 0)
        self.assertEqual(await self.job.get(), ("a", "item", 0))

    async def test_order(self) -> None:
        """Due jobs enter the line in the order of their times, at its end or its front."""
        await self.job.put("item", id_="there")
        for id_, hours in (("c", 3), ("a", 1), ("d", 4), ("b", 2), ("not yet", 9)):
            await self.later(id_, hours * HOUR)
        await self.later("high", 4.5 * HOUR, priority=Job.HIGH)
        await self.let_due(*"abcd", "high", "not yet", hours=5)
        self.assertEqual((await self.job.maintenance())["due"], 5)
        line = [(await self.job.get()).id for _ in range(6)]
        self.assertEqual(line, ["high", "there", "a", "b", "c", "d"])
        self.assertEqual(await self.job.get_ids("delayed"), ["not yet"])

    async def test_many(self) -> None:
        """Any number of jobs due at once become available, each once and in order."""
        count = 1234
        puts = [self.job.put(str(n), id_=str(n), delay=HOUR + n) for n in range(count)]
        await gatherResults(puts)
        await self.let_due(*map(str, range(count)))
        others = [Job(await self.pub(), "x") for _ in range(2)]
        done = await gatherResults([job.maintenance() for job in (self.job, *others)])
        self.assertEqual(sum(counts["due"] for counts in done), count)
        claims = await gatherResults([self.job.get() for _ in range(count)])
        self.assertEqual([claim.id for claim in claims], [str(n) for n in range(count)])

    async def test_due_already(self) -> None:
        """A job that is already due is in the line when the put fires."""
        for id_, words in (("a", {"delay": 0}), ("b", {"at": 0}), ("c", {"at": 1.5e9})):
            await self.job.put("item", id_=id_, **words)
        self.assertEqual(await self.job.get_ids("available"), ["c", "b", "a"])
        self.assertEqual(await self.job.get_ids("delayed"), [])
        puts = [(b"feed.publishes:x", id_ + b"\0item") for id_ in (b"a", b"b", b"c")]
        self.assertEqual(await self.spied.messages(), puts)

    async def test_others_see_it(self) -> None:
        """A worker of another implementation gets a delayed job once it is due."""
        await self.later("a", HOUR)
        taken = (await self.redis()).send("BRPOP", "feed.ids:x", 0)
        await self.let_due("a")
        await self.job.maintenance()
        self.assertEqual(await taken, ["feed.ids:x", "a"])
        self.assertEqual(await self.value("feed.items:x"), {b"a": b"item a"})

    async def test_history(self) -> None:
        """The history records a delayed job when it is due, not before."""
        await self.job.set_config({"history": 10})
        await self.later("a", HOUR)
        self.assertEqual(await self.job.revision(), 0)
        await self.let_due("a")
        await self.job.maintenance()
        (event,) = await self.job.get_history()
        self.assertEqual((event.kind, event.id, event.item), ("put", "a", "item a"))


class OnTimeTests(DelayTestCase):
    async def test_same_publisher(self) -> None:
        """A waiting get is served on time on the publisher that put the job."""
        due = await self.later("a", 0.05)
        self.assertEqual(await self.served(self.job.get(), due), "a")
        get = self.job.get()
        await self.waiting()
        due = await self.later("b", 0.05)
        self.assertEqual(await self.served(get, due), "b")

    async def test_other_publisher(self) -> None:
        """A get of another publisher is served on time, started before or after the put."""
        other = Job(await self.pub(), "x")
        due = await self.later("a", 0.05)
        self.assertEqual(await self.served(other.get(), due), "a")
        get = other.get()
        await self.waiting()
        due = await self.later("b", 0.05)
        self.assertEqual(await self.served(get, due), "b")

    async def test_earlier_one_put_later(self) -> None:
        """A job that is put later but due earlier than the known ones is served on time."""
        other = Job(await self.pub(), "x")
        await self.later("hour", HOUR)
        gets = [other.get(), other.get()]
        await self.waiting()
        await self.later("minute", 60)
        second = await self.later("second", 1.5)
        first = await self.later("first", 0.05)
        self.assertEqual(await self.served(gets[0], first), "first")
        self.assertEqual(await self.served(gets[1], second), "second")
        self.assertEqual(await self.job.get_ids("delayed"), ["minute", "hour"])

    async def test_many_who_wait(self) -> None:
        """Each due job goes to exactly one waiting get."""
        others = [Job(await self.pub(), "x") for _ in range(3)]
        gets = [other.get() for other in others for _ in range(10)]
        puts = [self.job.put("item", id_=str(n), delay=0.05 + n / 1000) for n in range(30)]
        await gatherResults(puts)
        claims = await gatherResults(gets)
        self.assertEqual({claim.id for claim in claims}, {str(n) for n in range(30)})

    async def test_subscriber_lost(self) -> None:
        """A job put while the subscriber is disconnected is still served."""
        thoonk = Thoonk(await server_url(), reactor, retry_policy=lambda _: 0.01)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        other = await thoonk.job("x")
        get = other.get()
        await self.waiting()
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
        await self.job.put("item a", id_="a", delay=0.05)
        self.assertEqual((await get).id, "a")


class RetryTests(DelayTestCase):
    async def test_retry_later(self) -> None:
        """A job that fails with a delay is delayed until then, with its count and record."""
        await self.job.put("item", id_="a")
        claim = await self.job.get()
        contract = timeless(await self.state(own=False))
        await self.spied.messages()
        state = await self.job.fail(claim, ValueError("no"), delay=HOUR)
        self.assertEqual(state, "delayed")
        gone = (b"feed.items:x", b"feed.claimed:x", b"feed.published:x")
        left = {key: value for key, value in contract.items() if key not in gone}
        self.assertEqual(
            timeless(await self.state(own=False)), {**left, b"feed.cancelled:x": {b"a": b"1"}}
        )
        self.assertEqual(await self.job.get_ids("delayed"), ["a"])
        self.assertEqual(await self.job.get_item("a"), "item")
        self.assertEqual((await self.job.get_failure("a")).count, 1)  # type: ignore[union-attr]
        await self.let_due("a")
        await self.job.maintenance()
        told = [(b"feed.cancelled:x", b"a"), (b"feed.retried:x", b"a")]
        self.assertEqual(await self.spied.messages(), told)
        self.assertEqual((await self.job.stats())["publishes"], 1)
        self.assertEqual(await self.job.get(), ("a", "item", 1))

    async def test_on_time(self) -> None:
        """A waiting get receives a delayed retry on time."""
        await self.job.put("item", id_="a")
        await self.job.fail(await self.job.get(), ValueError("no"), delay=0.05)
        due = float(await self.raw.send("ZSCORE", "feed.delayed:x", "a"))
        self.assertEqual(await self.served(self.job.get(), due), "a")


class RefusedTests(DelayTestCase):
    async def no_memory(self) -> None:
        (_, limit), *_ = pairs(await self.raw.send("CONFIG", "GET", "maxmemory"))
        self.addCleanup(self.raw.send, "CONFIG", "SET", "maxmemory", limit)
        await self.raw.send("CONFIG", "SET", "maxmemory", "1")

    async def test_no_memory(self) -> None:
        """Without memory, no delayed job can be put, but due jobs still become available."""
        await self.later("a", HOUR)
        await self.let_due("a")
        await self.no_memory()
        before = await self.state()
        await self.spied.messages()
        await self.assertFailure(self.job.put("item", id_="b", delay=HOUR), ResponseError)
        self.assertEqual((await self.state(), await self.spied.messages()), (before, []))
        self.assertEqual((await self.job.maintenance())["due"], 1)
        self.assertEqual(await self.spied.messages(), [(b"feed.publishes:x", b"a\0item a")])
        self.assertEqual(await self.job.get(), ("a", "item a", 0))

    async def test_no_memory_while_one_waits(self) -> None:
        """Without memory, a get that waits on a Thoonk receives a due job on time."""
        thoonk = Thoonk(await server_url(), reactor)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        get = (await thoonk.job("x")).get()
        await self.waiting()
        due = await self.later("a", 0.3)
        await self.no_memory()
        self.assertEqual(await self.served(get, due), "a")

    async def test_no_memory_while_a_bare_publisher_waits(self) -> None:
        """Without memory, a get that waits on a bare publisher receives a due job on time.

        Redis from 7.4 on and Valkey refuse the get when an item ends its wait.
        """
        get = self.job.get()
        await self.waiting()
        due = await self.later("a", 0.3)
        await self.no_memory()
        self.assertEqual(await self.served(get, due), "a")

    async def test_refused_while_one_waits(self) -> None:
        """A due job that the user may not publish stays delayed until it is allowed."""
        user = (
            "ACL",
            "SETUSER",
            "mute",
            "on",
            ">secret",
            "allkeys",
            "allcommands",
            "resetchannels",
        )
        heard = ("&feed.delayed:x", "&conffeed", "&newfeed")
        await self.raw.send(*user, *heard, "&feed.claimed:x")
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        get = Job(await self.pub(username="mute", password="secret"), "x").get()
        await self.waiting()
        tried: Deferred[None] = Deferred()

        def look(event: Any) -> None:
            if "delayed jobs of" in str(event.get("what", "")) and not tried.called:
                tried.callback(None)

        observe_log(self, look)
        await self.later("a", 0.05)
        await tried
        self.assertEqual(await self.job.get_ids("delayed"), ["a"])
        await self.raw.send("ACL", "SETUSER", "mute", "allchannels")
        self.assertEqual((await get).id, "a")

    async def test_replica(self) -> None:
        """A replica refuses to make due jobs available and to take delayed jobs."""
        await self.later("a", HOUR)
        await self.let_due("a")
        before = await self.state()
        await self.spied.messages()
        await self.raw.send("REPLICAOF", "127.0.0.1", "1")
        try:
            await self.assertFailure(self.job.maintenance(), ResponseError)
            await self.assertFailure(self.job.put("item", delay=HOUR), ResponseError)
            self.assertEqual((await self.state(), await self.spied.messages()), (before, []))
        finally:
            await self.raw.send("REPLICAOF", "NO", "ONE")
        self.assertEqual((await self.job.maintenance())["due"], 1)
