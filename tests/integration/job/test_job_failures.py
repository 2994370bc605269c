"""Failed jobs: what is recorded, when a job stalls, and which claims expire."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.support import RedisTestCase
from tests.support.job_delay import LATE, timeless
from tests.support.waiting import until
from txthoonk.errors import (
    FeedDoesNotExist,
    ItemDoesNotExist,
    JobNotClaimed,
)
from txthoonk.job._job import timekeeper_of
from txthoonk.types import Claim, Job, JobFailure

HOUR = 3600


def raised(text: str) -> Failure:
    """Make a failure with a traceback."""
    try:
        raise ValueError(text)
    except ValueError:
        return Failure()


class FailureTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.job: Job = await self.pub_.job("x", {"max_failures": 3})
        self.spied = await self.spy()

    async def claimed(self, id_: str = "a") -> Claim:
        await self.job.put(f"item {id_}", id_=id_)
        return await self.job.get()

    async def failure(self, id_: str = "a") -> JobFailure:
        found = await self.job.get_failure(id_)
        assert found is not None
        return found


class FailTests(FailureTestCase):
    async def test_available(self) -> None:
        """A failed job goes to the end of the line, with one failure more and a record of it."""
        claim = await self.claimed()
        await claim.progress(1)
        await self.job.put("other", id_="b")
        before = timeless(await self.state(own=False))
        await self.spied.messages()
        self.assertEqual(await self.job.fail(claim, ValueError("no")), "available")
        after = timeless(await self.state())
        del before[b"feed.claimed:x"]
        changed = {
            b"feed.ids:x": [b"a", b"b"],
            b"feed.cancelled:x": {b"a": b"1"},
            b"feed.failures:x": {b"a"},
        }
        self.assertEqual(after, {**before, **changed})
        self.assertEqual(await self.spied.messages(own=True), [(b"feed.cancelled:x", b"a")])
        self.assertEqual(await self.job.get_failure_count("a"), 1)

    async def test_record(self) -> None:
        """The record has the error's type, message, traceback, count and time."""
        await self.claimed()
        earliest = await self.now() / 1000
        await self.job.fail("a", raised("no\nway \u00e4\0"))
        latest = await self.now() / 1000
        found = await self.failure()
        self.assertEqual(
            (found.id, found.type, found.message, found.count),
            ("a", "ValueError", "no\nway \u00e4\0", 1),
        )
        self.assertIn("in raised", found.traceback)
        self.assertTrue(earliest <= found.time <= latest)
        await self.job.get()
        await self.job.fail("a", KeyError("other"))
        found = await self.failure()
        self.assertEqual((found.type, found.message, found.count), ("KeyError", "'other'", 2))
        self.assertEqual(await self.job.get_failures(), [found])

    async def test_long_ones(self) -> None:
        """The record keeps the beginning of a long message and the end of a long traceback."""
        claim = await self.claimed()
        await self.job.fail(claim, raised("first" + "x" * 10**6))
        found = await self.failure()
        self.assertEqual(found.message, "first" + "x" * 1995)
        self.assertEqual(len(found.traceback), 10_000)

    async def test_stalled(self) -> None:
        """The failure that reaches max_failures stalls the job, even with a delay."""
        await self.claimed()
        states = [await self.job.fail("a", ValueError("1"))]
        await self.job.get()
        states.append(await self.job.fail("a", ValueError("2")))
        claim = await self.job.get()
        self.assertEqual(claim.cancelled, 2)
        await self.spied.messages()
        states.append(await self.job.fail(claim, ValueError("3"), delay=HOUR))
        self.assertEqual(states, ["available", "available", "stalled"])
        self.assertEqual(await self.spied.messages(own=True), [(b"feed.stalled:x", b"a")])
        found = await self.failure()
        self.assertEqual((found.message, found.count), ("3", 3))
        self.assertEqual(
            timeless(await self.state()),
            {
                b"feeds": {b"x"},
                b"feed.config:x": await self.value("feed.config:x"),
                b"feed.items:x": {b"a": b"item a"},
                b"feed.publishes:x": b"1",
                b"feed.stalled:x": {b"a"},
                b"feed.failures:x": {b"a"},
                b"feed.failed:x": [b"a"],
            },
        )

    async def test_no_limit(self) -> None:
        """Without max_failures, or with an invalid one, a job is retried for ever."""
        for value in ("0", "many", ""):
            await self.raw.send("HSET", "feed.config:x", "max_failures", value)
            await self.claimed()
            for count in range(5):
                self.assertEqual(await self.job.fail("a", ValueError(str(count))), "available")
                self.assertEqual((await self.job.get()).cancelled, count + 1)
            await self.job.finish("a")

    async def test_gone(self) -> None:
        """Finishing or retracting a job removes its failure record; retrying keeps it."""
        await self.claimed()
        await self.job.fail("a", ValueError("no"))
        await self.job.finish(await self.job.get())
        self.assertEqual(
            (await self.job.get_failure("a"), await self.job.get_failures()), (None, [])
        )
        await self.claimed()
        await self.job.fail("a", ValueError("no"))
        await self.job.retract("a")
        self.assertEqual(await self.value("feed.failures:x"), None)
        await self.claimed()
        await self.job.stall("a", "why")
        await self.job.retry("a")
        self.assertEqual((await self.failure()).message, "why")
        self.assertEqual(await self.value("feed.failed:x"), None)

    async def test_all(self) -> None:
        """get_failures fires the failures of all jobs, latest first."""
        for id_ in "abc":
            await self.claimed(id_)
            await self.job.stall(id_, f"why {id_}")
        self.assertEqual([one.id for one in await self.job.get_failures()], ["c", "b", "a"])

    async def test_unreadable(self) -> None:
        """Reading a failure record that another program wrote never fails."""
        stored = ("", "x", "1 2", "1 2 3", "1 2 []", "1 2 {", "x y {}", '1 5000 {"type": 5}')
        for number, text in enumerate(stored):
            await self.raw.send("HSET", "feed.failures:x", str(number), text)
        found = await self.job.get_failures()
        self.assertEqual(len(found), len(stored))
        last = await self.job.get_failure("7")
        self.assertEqual(last, JobFailure("7", "5", "", "", 1, 5.0))

    async def test_not_claimed(self) -> None:
        """fail() refuses a job that is not claimed and records nothing."""
        await self.job.put("item", id_="a")
        before = await self.state()
        for id_ in ("a", "b"):
            await self.assertFailure(self.job.fail(id_, ValueError("no")), JobNotClaimed)
        self.assertEqual(await self.state(), before)
        await self.job.delete_feed()
        await self.assertFailure(self.job.fail("a", ValueError("no")), FeedDoesNotExist)

    async def test_history(self) -> None:
        """The history records each failure with the same events as the contract's channels."""
        await self.job.set_config({"history": 100})
        await self.claimed()
        await self.job.fail("a", ValueError("1"), delay=HOUR)
        await self.raw.send("ZADD", "feed.delayed:x", 1, "a")
        await self.job.fail(await self.job.get(), ValueError("2"))
        await self.job.release(await self.job.get())
        await self.job.fail(await self.job.get(), ValueError("3"))
        kinds = [event.kind for event in await self.job.get_history()]
        self.assertEqual(
            kinds,
            [
                "put",
                "claim",
                "cancel",
                "retry",
                "claim",
                "cancel",
                "claim",
                "retry",
                "claim",
                "stall",
            ],
        )


class StallTests(FailureTestCase):
    async def test_reason(self) -> None:
        """stall() records its reason; without one, it keeps the previous failure."""
        await self.claimed()
        await self.job.fail("a", ValueError("before"))
        await self.job.get()
        await self.job.stall("a")
        self.assertEqual((await self.failure()).message, "before")
        await self.job.retry("a")
        await self.job.stall(await self.job.get(), "nobody can do that")
        found = await self.failure()
        self.assertEqual(
            (found.type, found.message, found.traceback), ("Stall", "nobody can do that", "")
        )
        await self.claimed("b")
        await self.job.stall("b")
        self.assertIsNone(await self.job.get_failure("b"))
        await self.job.stall(await self.claimed("c"), "")
        self.assertEqual((await self.failure("c")).message, "")

    async def test_repair(self) -> None:
        """A stalled job that is edited and retried is claimed with its new item."""
        await self.job.stall(await self.claimed(), "bad item")
        (found,) = await self.job.get_failures()
        await self.spied.messages()
        await self.job.edit(found.id, "good item")
        await self.job.retry(found.id)
        told = [(b"feed.edit:x", b"a\0good item"), (b"feed.retried:x", b"a")]
        self.assertEqual(await self.spied.messages(own=True), told)
        self.assertEqual(await self.job.get(), ("a", "good item", 0))


class EditTests(FailureTestCase):
    async def test_all_states(self) -> None:
        """edit() replaces the item in every state of the job and changes nothing else."""
        for id_ in ("stalled", "claimed"):
            await self.claimed(id_)
        await self.job.stall("stalled", "why")
        await self.job.put("item available", id_="available")
        for id_ in ("stalled", "claimed", "available"):
            before = await self.state()
            await self.spied.messages()
            await self.job.edit(id_, "new")
            items = {**before[b"feed.items:x"], id_.encode(): b"new"}
            self.assertEqual(await self.state(), {**before, b"feed.items:x": items})
            told = [(b"feed.edit:x", f"{id_}\0new".encode())]
            self.assertEqual(await self.spied.messages(own=True), told)
        await self.job.fail("claimed", ValueError("no"))
        self.assertEqual(
            (await self.job.get(), await self.job.get()),
            (("available", "new", 0), ("claimed", "new", 1)),
        )

    async def test_missing(self) -> None:
        """edit() fails for an id that has no job."""
        before = await self.state()
        await self.assertFailure(self.job.edit("a", "new"), ItemDoesNotExist)
        self.assertEqual((await self.state(), await self.spied.messages(own=True)), (before, []))

    async def test_nothing_is_left(self) -> None:
        """After the job is gone, an edit leaves no fields in the revision key."""
        await self.job.set_config({"history": 10})
        await self.claimed()
        await self.job.finish("a")
        fields = set(await self.value("feed.revision:x"))
        await self.claimed()
        await self.job.edit("a", "new")
        await self.job.finish("a")
        self.assertEqual(set(await self.value("feed.revision:x")), fields)


class TimeoutTests(FailureTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        await self.job.set_config({"timeout": 0.2, "max_failures": 2})
        self.age = 200.0  # milliseconds
        self.other = Job(await self.pub(), "x")

    async def lateness(self, claimed: float) -> float:
        """Return how many milliseconds too late a claim expired; it is due at 1.5 timeouts."""
        return 1000 * (await self.failure()).time - claimed - 1.5 * self.age

    async def test_on_time(self) -> None:
        """A waiting get expires old claims on time and records the timeout."""
        late = await self.claimed()
        since = float(late.token.rpartition(":")[2])
        claim = await self.other.get()
        self.assertEqual(claim, ("a", "item a", 1))
        lateness = await self.lateness(since)
        self.assertTrue(0 <= lateness < LATE, lateness)
        found = await self.failure()
        self.assertEqual((found.type, found.count), ("Timeout", 1))
        self.assertEqual(found.message, "the claim was not renewed for 0.2 seconds")
        await self.assertFailure(self.job.finish(late), JobNotClaimed)

    async def test_claimed_while_one_waits(self) -> None:
        """A waiting get expires claims made after it started, and stalls at max_failures."""
        gets: list[Deferred[Any]] = [self.other.get(), self.other.get()]
        await self.blocked()
        stalled: Deferred[str] = Deferred()
        sub = await self.sub()
        await sub.register_handler("feed.stalled:x", stalled.callback)
        await self.job.put("item a", id_="a")
        self.assertEqual((await gets[0]).cancelled, 0)
        self.assertEqual((await gets[1]).cancelled, 1)
        keeps_time = self.other.get()
        self.assertEqual(await stalled, "a")
        self.assertEqual((await self.failure()).count, 2)
        self.assertEqual(await self.job.get_ids("stalled"), ["a"])
        keeps_time.cancel()
        keeps_time.addErrback(lambda _: None)

    async def test_renewed(self) -> None:
        """A renewed claim does not expire; it expires on time after its last renewal."""
        self.age = 1500.0  # long enough to renew in time on a busy machine
        await self.job.set_config({"timeout": self.age / 1000})
        claim = await self.claimed()
        get = self.other.get()
        await self.blocked()
        renewed = 0.0
        while renewed < 1.2 * self.age:
            await self.job.renew(claim)
            score = await self.raw.send("ZSCORE", "feed.claimed:x", "a")
            renewed = float(score) - float(claim.token.rpartition(":")[2])
        self.assertNoResult(get)
        self.assertEqual((await get).cancelled, 1)
        lateness = await self.lateness(float(score))
        self.assertTrue(0 <= lateness < LATE, lateness)

    async def test_timeout_set_while_one_waits(self) -> None:
        """A timeout that is configured while a get waits takes effect at once."""
        await self.job.set_config({"timeout": 0})
        await self.claimed()
        first, second = self.other.get(), self.other.get(60)
        await self.blocked()
        await self.numsub("feed.delayed:x", 1)
        keeper = timekeeper_of(self.other)
        await self.job.put("b", id_="b", delay=0.05)
        self.assertEqual((await first).id, "b")
        await until(lambda: keeper._timer is None and keeper._looking is None)
        await self.job.set_config({"timeout": 0.01})
        self.assertEqual((await second).cancelled, 1)

    async def test_record_as_json(self) -> None:
        """The stored record is the count, the time in milliseconds, and JSON."""
        await self.claimed()
        await self.raw.send("ZADD", "feed.claimed:x", 1, "a")
        await self.looked()
        await self.job.maintenance()
        text = (await self.value("feed.failures:x"))[b"a"].decode()
        count, time, stored = text.split(" ", 2)
        self.assertEqual((count, json.loads(stored)["type"]), ("1", "Timeout"))
        self.assertLess(abs(float(time) - await self.now()), LATE)
