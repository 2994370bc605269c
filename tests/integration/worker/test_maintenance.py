"""Maintenance: what it repairs, when, and what it leaves alone."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, gatherResults
from twisted.logger import LogLevel

from tests.support import RedisTestCase
from tests.support.logs import observe_log
from tests.support.maintenance import NO_JOB, NOTHING
from txthoonk.errors import FeedDoesNotExist, JobNotClaimed
from txthoonk.monitoring._inspector import read_overview
from txthoonk.types import Job, Queue

BIG = 20_000


class MaintenanceTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.job = await self.pub_.job("x", {"timeout": 60, "max_failures": 3})

    async def claimed(self, *ids: str) -> None:
        for id_ in ids:
            await self.job.put(f"item {id_}", id_=id_)
            await self.job.get()

    async def age(self, key: str, id_: str, seconds: float) -> None:
        """Make an entry older."""
        await self.raw.send("ZINCRBY", key, -1000 * seconds, id_)

    async def states(self) -> dict[str, Any]:
        keys = ("ids", "claimed", "stalled", "cancelled", "delivering", "transit")
        found = {key: await self.value(f"feed.{key}:x") for key in keys}
        return {
            key: [pair[0] for pair in value] if key in ("claimed", "delivering") else value
            for key, value in found.items()
            if value
        }


class ClaimTests(MaintenanceTestCase):
    async def test_old_claims(self) -> None:
        """A claim older than the timeout is cancelled and goes to the end of the line."""
        await self.job.put("waits", id_="first")
        await self.raw.send("RPOPLPUSH", "feed.ids:x", "feed.ids:x")
        first = await self.job.get()
        self.assertEqual(first.id, "first")
        await self.claimed("old", "new")
        await self.age("feed.claimed:x", "old", 91.1)
        await self.age("feed.claimed:x", "new", 90)
        await self.looked()
        spied = await self.spy()
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "cancelled": 1})
        self.assertEqual(
            await self.states(),
            {"ids": [b"old"], "claimed": [b"new", b"first"], "cancelled": {b"old": b"1"}},
        )
        self.assertEqual(await spied.messages(), [(b"feed.cancelled:x", b"old")])
        self.assertEqual(await self.job.get(), ("old", "item old", 1))

    async def test_max_failures(self) -> None:
        """The cancellation that reaches max_failures stalls the job instead."""
        await self.job.put("item", id_="a")
        spied = await self.spy()
        for failures in range(3):
            self.assertEqual((await self.job.get()).cancelled, failures)
            await self.age("feed.claimed:x", "a", 92)
            await self.looked()
            counts = await self.job.maintenance()
        self.assertEqual(counts, {**NO_JOB, "stalled": 1})
        self.assertEqual(await self.states(), {"stalled": {b"a"}})
        self.assertEqual(await self.value("feed.published:x"), None)
        told = [channel.split(b".")[1] for channel, _ in await spied.messages()]
        again = [b"claimed:x", b"cancelled:x"] * 2
        self.assertEqual(told, [*again, b"claimed:x", b"stalled:x"])

    async def test_renewed(self) -> None:
        """The age of a claim counts from its last renewal."""
        await self.claimed("a")
        await self.age("feed.claimed:x", "a", 1000)
        await self.job.renew("a")
        await self.looked()
        self.assertEqual(await self.job.maintenance(), NO_JOB)

    async def test_no_timeout(self) -> None:
        """Claims last for ever without a timeout, and with a timeout that is no number."""
        await self.claimed("a")
        await self.age("feed.claimed:x", "a", 10**9)
        await self.looked()
        for value in ("0", "soon", ""):
            await self.raw.send("HSET", "feed.config:x", "timeout", value)
            self.assertEqual(await self.job.maintenance(), NO_JOB)
        await self.raw.send("HDEL", "feed.config:x", "timeout")
        self.assertEqual(await self.job.maintenance(), NO_JOB)

    async def test_fraction(self) -> None:
        """A timeout may be a fraction of a second."""
        await self.job.set_config({"timeout": 0.5})
        await self.claimed("a")
        await self.age("feed.claimed:x", "a", 31.6)
        await self.looked()
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "cancelled": 1})

    async def test_without_item(self) -> None:
        """An old claim without a job is dropped."""
        await self.raw.send("ZADD", "feed.claimed:x", 1, "ghost")
        await self.raw.send("HSET", "feed.cancelled:x", "ghost", 1)
        await self.looked()
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "dropped": 1})
        self.assertEqual(await self.states(), {})

    async def test_several_at_once(self) -> None:
        """With several maintainers, each claim is cancelled once."""
        await gatherResults([self.job.put("item", id_=str(n)) for n in range(1000)])
        await gatherResults([self.job.get() for _ in range(1000)])
        for number in range(1000):
            await self.age("feed.claimed:x", str(number), 92)
        await self.looked()
        pubs = [await self.pub() for _ in range(3)]
        done = await gatherResults([Job(pub, "x").maintenance() for pub in pubs])
        self.assertEqual(sum(counts["cancelled"] for counts in done), 1000)
        self.assertEqual(len(set(await self.job.get_ids("available"))), 1000)
        self.assertEqual(await self.job.length(), 1000)


class UnitTests(MaintenanceTestCase):
    """Other programs claim and put in seconds or in microseconds."""

    async def setUp(self) -> None:
        await super().setUp()
        self.second = await self.now() / 1000

    async def claim(self, id_: str, score: float) -> None:
        """Claim a job as another program does."""
        await self.job.put("item", id_=id_)
        await self.raw.send("LREM", "feed.ids:x", 1, id_)
        await self.raw.send("ZADD", "feed.claimed:x", f"{score:.17g}", id_)

    async def test_claims(self) -> None:
        """Claims in any unit are ended when they are too old, and not before."""
        for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
            await self.claim(f"new {unit}", self.second * scale)
            await self.claim(f"old {unit}", (self.second - 1000) * scale)
        await self.looked()
        self.assertEqual((await self.job.maintenance())["cancelled"], 3)
        left = (await self.states())["claimed"]
        self.assertEqual(sorted(left), [b"new ms", b"new s", b"new us"])
        overview = await read_overview(self.pub_.redis, "x")
        self.assertTrue(all(held.seconds < 900 for held in overview.held), overview)

    async def test_nothing_old(self) -> None:
        """Claims in seconds that are not too old do not make maintenance look again."""
        await self.claim("a", self.second)
        await self.job.maintenance()
        self.assertEqual(await self.raw.exists("feed.overdue:x"), 0)

    async def test_taken_over(self) -> None:
        """A claim is lost when another program claims the job later, in seconds."""
        await self.job.put("item", id_="a")
        claim = await self.job.get()
        await self.raw.send("ZADD", "feed.claimed:x", f"{self.second + 10:.17g}", "a")
        await self.assertFailure(self.job.finish(claim), JobNotClaimed)

    async def test_waiting(self) -> None:
        """The age of the oldest job in line is right in any unit."""
        for scale in (1, 1e3, 1e6):
            await self.job.put("item", id_="a")
            put = (self.second - 100) * scale
            await self.raw.send("ZADD", "feed.published:x", f"{put:.17g}", "a")
            oldest = (await read_overview(self.pub_.redis, "x")).oldest
            self.assertTrue(oldest is not None and 100 <= oldest < 1000, oldest)
            await self.job.retract("a")


class TwoLooksTests(MaintenanceTestCase):
    """After an outage all claims are too old, so a claim is ended only at the second look."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.claimed("a", "b")
        for id_ in "ab":
            await self.age("feed.claimed:x", id_, 1000)

    async def maintained(self, **expected: int) -> None:
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, **expected})

    async def look_is_older(self, seconds: float) -> None:
        """Make the record of the first look older."""
        seen, run_id = (await self.value("feed.overdue:x")).split()
        seen = f"{float(seen) - 1000 * seconds:.3f} {run_id.decode()}"
        await self.raw.send("SET", "feed.overdue:x", seen)

    async def test_first_look(self) -> None:
        """The first look after an outage ends nothing, and neither does one soon after."""
        await self.maintained()
        noted = await self.value("feed.overdue:x")
        await self.maintained()
        self.assertEqual(await self.value("feed.overdue:x"), noted)
        await self.look_is_older(29)
        await self.maintained()
        self.assertEqual(await self.states(), {"claimed": [b"a", b"b"]})

    async def test_second_look(self) -> None:
        """Half a timeout after the first look, claims without renewal end; no record remains."""
        await self.maintained()
        await self.look_is_older(30)
        await self.job.renew("b")
        await self.maintained(cancelled=1)
        states = await self.states()
        self.assertEqual((states["claimed"], states["ids"]), ([b"b"], [b"a"]))
        self.assertIsNone(await self.value("feed.overdue:x"))

    async def test_new_since(self) -> None:
        """A claim that became too old after the first look waits for another one."""
        await self.maintained()
        await self.job.renew("b")
        await self.age("feed.claimed:x", "b", 61)
        await self.look_is_older(30)
        await self.maintained(cancelled=1)
        await self.maintained()
        await self.age("feed.claimed:x", "b", 30)
        await self.look_is_older(30)
        await self.maintained(cancelled=1)

    async def test_renewed(self) -> None:
        """If all claims are renewed after the first look, nothing ends, and no record remains."""
        await self.maintained()
        for id_ in "ab":
            await self.job.renew(id_)
        await self.look_is_older(30)
        await self.maintained()
        self.assertIsNone(await self.value("feed.overdue:x"))

    async def test_other_server(self) -> None:
        """A look before the server was started or promoted does not count."""
        await self.maintained()
        await self.look_is_older(1000)
        seen = (await self.value("feed.overdue:x")).split()[0].decode()
        await self.raw.send("SET", "feed.overdue:x", f"{seen} {'0' * 40}")
        await self.maintained()

    async def test_clock_has_stepped_back(self) -> None:
        """A look with a time in the future does not count."""
        await self.maintained()
        await self.look_is_older(-1000)
        await self.maintained()
        self.assertLess(float((await self.value("feed.overdue:x")).split()[0]), await self.now())

    async def test_nonsense(self) -> None:
        """A malformed record does not count as a look."""
        for command in (("SET", "1"), ("SET", "1e400 0"), ("SET", "nan 0"), ("RPUSH", "x")):
            await self.raw.send("DEL", "feed.overdue:x")
            await self.raw.send(command[0], "feed.overdue:x", command[1])
            await self.maintained()
            self.assertRegex(await self.value("feed.overdue:x"), rb"\A\d+\.?\d* [0-9a-f]{40}\Z")

    async def test_many(self) -> None:
        """Any number of old claims end at the second look."""
        await self.raw.send(
            "EVAL",
            "for n = 1, 1200 do redis.call('ZADD', 'feed.claimed:x', 1, 'n' .. n)"
            " redis.call('HSET', 'feed.items:x', 'n' .. n, 'item') end",
            0,
        )
        await self.maintained()
        await self.look_is_older(30)
        await self.maintained(cancelled=1202)


class RecordTests(MaintenanceTestCase):
    async def test_ended_by_others(self) -> None:
        """Records of jobs that another implementation has ended are deleted."""
        for id_ in ("gone", "there"):
            await self.job.put("item", id_=id_)
            await self.job.get()
            await self.job.fail(id_, ValueError(id_))
            await (await self.job.get()).progress(1)
        before = await self.state()
        for key in ("claimed", "cancelled", "published"):
            command = "HDEL" if key == "cancelled" else "ZREM"
            await self.raw.send(command, f"feed.{key}:{self.job.name}", "gone")
        await self.raw.send("HDEL", self.job.feed_items, "gone")
        await self.job.maintenance()
        self.assertEqual([failure.id for failure in await self.job.get_failures()], ["there"])
        after = await self.state()
        for key in (self.job.feed_claims, self.job.feed_failures, self.job.feed_progress):
            del before[key.encode()][b"gone"]
            self.assertEqual(after[key.encode()], before[key.encode()])


class LostTests(MaintenanceTestCase):
    async def test_no_state(self) -> None:
        """An id in no state is dated, and put back at the end of the line 30 s later."""
        await self.job.put("lost", id_="lost")
        await self.raw.send("BRPOP", "feed.ids:x", 0)
        await self.job.put("waits", id_="waits")
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "dated": 1})
        self.assertEqual(await self.job.maintenance(), NO_JOB)
        await self.age("feed.delivering:x", "lost", 29)
        self.assertEqual(await self.job.maintenance(), NO_JOB)
        self.assertEqual(await self.states(), {"ids": [b"waits"], "delivering": [b"lost"]})
        await self.age("feed.delivering:x", "lost", 1.1)
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "restored": 1})
        self.assertEqual(await self.states(), {"ids": [b"lost", b"waits"]})

    async def test_slow_worker(self) -> None:
        """A worker of another implementation may take its time between BRPOP and ZADD."""
        await self.job.put("item", id_="a")
        await self.raw.send("BRPOP", "feed.ids:x", 0)
        await self.job.maintenance()
        seconds, _ = await self.raw.send("TIME")
        await self.raw.send("ZADD", "feed.claimed:x", int(seconds) * 1000, "a")
        await self.age("feed.delivering:x", "a", 31)
        self.assertEqual(await self.job.maintenance(), NO_JOB)
        self.assertEqual(await self.states(), {"claimed": [b"a"]})
        await self.job.finish("a")

    async def test_finished_meanwhile(self) -> None:
        """A dated id whose job was finished since is forgotten."""
        await self.raw.send("ZADD", "feed.delivering:x", 1, "a")
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "dropped": 1})
        self.assertEqual(await self.states(), {})

    async def test_in_line_already(self) -> None:
        """An id that is back in the line is not put back once more."""
        await self.job.put("item", id_="a")
        await self.raw.send("ZADD", "feed.delivering:x", 1, "a")
        self.assertEqual(await self.job.maintenance(), NO_JOB)
        self.assertEqual(await self.states(), {"ids": [b"a"]})

    async def test_late_claim(self) -> None:
        """A claim that arrives after maintenance has dated the id finds the job."""
        pub = await self.pub()
        job = Job(pub, "x")
        get = job.get()
        await self.blocked()
        transport: Any = pub.redis.transport
        transport.pauseProducing()  # its claim is sent, but the answer waits
        await self.job.put("item", id_="a")
        while await self.value("feed.claimed:x") is None:
            await self.job.maintenance()
        transport.resumeProducing()
        self.assertEqual(await get, ("a", "item", 0))
        self.assertEqual(await self.states(), {"claimed": [b"a"]})

    async def test_queue(self) -> None:
        """Items of a queue go back to the front, the oldest first."""
        queue = await self.pub_.queue("q")
        await queue.put("waits")
        for number, id_ in enumerate(("first", "second")):
            await self.raw.send("HSET", "feed.items:q", id_, id_)
            await self.raw.send("ZADD", "feed.delivering:q", number + 1, id_)
        self.assertEqual(await queue.maintenance(), {**NOTHING, "restored": 2})
        got = [await queue.get() for _ in range(3)]
        self.assertEqual(got, ["first", "second", "waits"])

    async def test_several_at_once(self) -> None:
        """With several maintainers, each id is put back once."""
        await self.pub_.queue("q")
        for number in range(1000):
            await self.raw.send("HSET", "feed.items:q", str(number), "item")
            await self.raw.send("ZADD", "feed.delivering:q", number + 1, str(number))
        pubs = [await self.pub() for _ in range(3)]
        done = await gatherResults([Queue(pub, "q").maintenance() for pub in pubs])
        self.assertEqual(sum(counts["restored"] for counts in done), 1000)
        ids = await Queue(self.pub_, "q").get_ids()
        self.assertEqual((len(ids), len(set(ids))), (1000, 1000))


class PassTests(MaintenanceTestCase):
    async def test_nothing_to_do(self) -> None:
        """If there is nothing to repair, nothing is changed, published or logged."""
        await self.claimed("b", "c")
        await self.job.stall("c")
        await self.job.put("item", id_="a")
        before, spied, logged = await self.state(), await self.spy(), list[Any]()
        observe_log(self, logged.append)
        self.assertEqual(await self.job.maintenance(), NO_JOB)
        self.assertEqual((await self.state(), await spied.messages(own=True)), (before, []))
        self.assertEqual([one for one in logged if "maintenance" in str(one)], [])
        await self.raw.send("HSET", "feed.items:x", "lost", "item")
        await self.job.maintenance()
        (event,) = (one for one in logged if "counts" in one)
        self.assertEqual((event["log_level"], event["name"]), (LogLevel.info, "x"))
        self.assertEqual(event["counts"], {**NO_JOB, "dated": 1})

    async def test_missing_feed(self) -> None:
        """Maintenance of a feed that does not exist fails with FeedDoesNotExist."""
        await self.assertFailure(Queue(self.pub_, "nothing").maintenance(), FeedDoesNotExist)

    async def test_big_feed(self) -> None:
        """A big feed is processed in slices, and other calls are served in between."""
        queue = await self.pub_.queue("q")
        await gatherResults([queue.put("item") for _ in range(BIG)])
        lost = {f"lost {number}" for number in range(100)}
        for id_ in lost:
            await self.raw.send("HSET", "feed.items:q", id_, "item")
        done = queue.maintenance()
        pings = 0
        while not done.called:
            await self.raw.send("PING")
            pings += 1
        self.assertEqual(await done, {**NOTHING, "dated": 100})
        self.assertGreater(pings, BIG // 1000)
        self.assertEqual({id_.decode() for id_, _ in await self.value("feed.delivering:q")}, lost)

    async def test_busy_feed(self) -> None:
        """Items that come and go during a pass are left alone."""
        queue = await self.pub_.queue("q")
        await gatherResults([queue.put("item") for _ in range(5000)])
        other = await (await self.pub()).queue("q")
        done = queue.maintenance()
        got = 0
        while not done.called:
            await gatherResults([other.put("item"), other.get()])
            got += 1
        counts = await done
        self.assertEqual(counts, NOTHING)
        self.assertEqual(await queue.length(), 5000)

    async def test_cancelled(self) -> None:
        """A cancelled pass stops; the next one does the rest."""
        queue = await self.pub_.queue("q")
        await gatherResults([queue.put("item") for _ in range(5000)])
        await self.raw.send("HSET", "feed.items:q", "lost", "item")
        done = queue.maintenance()
        await self.raw.send("PING")
        done.cancel()
        await self.assertFailure(done, CancelledError)
        self.assertEqual(await queue.maintenance(), {**NOTHING, "dated": 1})
