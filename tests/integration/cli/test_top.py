"""``thoonk top``, printed once and live on a terminal, and the data that it reads."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import termios
from typing import Any

import attr
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from tests.support import RedisTestCase
from tests.support.cli import Child, CommandTestCase
from tests.support.waiting import until
from txthoonk import Thoonk, Worker
from txthoonk.errors import ConnectionLost
from txthoonk.monitoring._inspector import Held, Overview, read_overview, read_overviews
from txthoonk.types import Claim

reactor: Any = installed_reactor
ENTER, LEAVE = "\x1b[?1049h\x1b[H\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HEADING = "FEED TYPE     PUT/S DONE/S  AVAIL  CLAIM  DELAY  STALL OLDEST"


class OverviewTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()

    async def seen(self, name: str, most: int = 100) -> Overview:
        return await read_overview(self.pub_.redis, name, most)

    async def age(self, name: str, id_: str, seconds: float) -> None:
        """Age a job by this many seconds."""
        await self.raw.send("ZINCRBY", f"feed.published:{name}", -1000 * seconds, id_)

    async def check_oldest(self, seconds: float) -> None:
        """Check that the oldest job has this age, within a minute."""
        oldest = (await self.seen("x")).oldest
        self.assertTrue(oldest is not None and 0 <= oldest - seconds < 60, oldest)

    async def test_job(self) -> None:
        """The overview of a job feed counts all states, and lists its claims with their owners."""
        job = await self.pub_.job("x")
        await job.put_many(["item"] * 7)
        await job.put("item", delay=60)
        first, second, third = [await job.get() for _ in range(3)]
        await job.finish(first)
        await job.stall(second)
        await job.pause()
        seen = await self.seen("x")
        (held,) = seen.held
        self.assertEqual((held.id, held.owner), (third.id, self.pub_.uuid))
        self.assertTrue(0 <= held.seconds < 50 and 0 <= (seen.oldest or 0.0) < 50)
        self.assertEqual(
            attr.evolve(seen, held=[], oldest=None, time=0),
            Overview("x", 0, "job", True, 4, 1, 1, 1, 7, 1, None, [], []),
        )
        server = await self.raw.send("TIME")
        self.assertTrue(abs(int(server[0]) - seen.time) < 50)

    async def test_other_types(self) -> None:
        """An overview counts a feed's items, and a queue's available and pending ones."""
        feed = await self.pub_.feed("f")
        await feed.publish("item", "id")
        await feed.publish("new", "id")
        sorted_feed = await self.pub_.sorted_feed("s")
        await sorted_feed.publish("item")
        queue = await self.pub_.queue("q")
        await queue.put_many(["item"] * 3)
        await self.raw.send("ZADD", "feed.delivering:q", 1, "id")
        for name, type_, available, claimed, publishes in (
            ("f", "feed", 1, 0, 2),
            ("s", "sorted_feed", 1, 0, 1),
            ("q", "queue", 3, 1, 3),
            ("nothing", "feed", 0, 0, 0),
        ):
            self.assertEqual(
                attr.evolve(await self.seen(name), time=0),
                Overview(
                    name, 0, type_, False, available, claimed, 0, 0, publishes, 0, None, [], []
                ),
            )

    async def test_most(self) -> None:
        """Up to ``most`` claims are listed, the least recently renewed first; 0 lists none."""
        job = await self.pub_.job("x")
        await job.put_many(["item"] * 3)
        claims = [await job.get() for _ in range(3)]
        await job.renew(claims[0])
        for most, expected in ((0, []), (1, [1]), (2, [1, 2]), (9, [1, 2, 0])):
            held = (await self.seen("x", most)).held
            self.assertEqual([one.id for one in held], [claims[at].id for at in expected])

    async def test_foreign_claim(self) -> None:
        """A job that another implementation has claimed since is listed without an owner."""
        job = await self.pub_.job("x")
        await job.put("item", id_="a")
        await job.get()
        await self.raw.send("ZINCRBY", "feed.claimed:x", 100_000, "a")
        self.assertEqual((await self.seen("x")).held, [Held("a", "", 0.0)])

    async def test_oldest_is_behind(self) -> None:
        """The oldest available job counts, even if others precede it; claimed jobs do not."""
        job = await self.pub_.job("x")
        for id_ in ("claimed", "old", "new"):
            await job.put("item", id_=id_)
        await job.get()
        for id_, seconds in (("claimed", 5000), ("old", 1000), ("new", 100)):
            await self.age("x", id_, seconds)
        await job.put("item", job.HIGH, "high")
        await self.check_oldest(1000)
        await job.retract("old")
        await self.check_oldest(100)
        await job.retract("new")
        await self.check_oldest(0)
        await job.retract("high")
        self.assertIsNone((await self.seen("x")).oldest)

    async def test_oldest_with_many_claims(self) -> None:
        """With too many claims to examine, the job at the front counts as the oldest."""
        job = await self.pub_.job("x")
        await job.put_many(["item"] * 1001)
        ids = await self.value("feed.ids:x")
        await self.raw.send("LTRIM", "feed.ids:x", 0, -1002)
        claims = [word for id_ in ids for word in (1, id_)]
        await self.raw.send("ZADD", "feed.claimed:x", *claims)
        for id_, seconds in (("front", 100), ("behind", 1000)):
            await job.put("item", id_=id_)
            await self.age("x", id_, seconds)
        await self.raw.send("ZADD", "feed.published:x", *claims)
        await self.check_oldest(100)
        await self.raw.send("ZREM", "feed.claimed:x", ids[0])
        await self.raw.send("ZREM", "feed.published:x", ids[0])
        await self.check_oldest(1000)

    async def test_left_behind(self) -> None:
        """Traces of jobs that no longer exist do not count as the oldest job."""
        job = await self.pub_.job("x")
        await self.raw.send("ZADD", "feed.published:x", 1, "gone")
        self.assertIsNone((await self.seen("x")).oldest)
        await job.put("item")
        await self.check_oldest(0)
        await self.raw.send("LPUSH", "feed.ids:x", "unknown")
        await self.check_oldest(0)

    async def test_nonsense(self) -> None:
        """Counters that are not numbers count as 0; a key of another type is an error."""
        await self.pub_.job("x")
        await self.pub_.job("y")
        await self.pub_.job("z")
        await self.raw.send("SET", "feed.publishes:x", "many")
        await self.raw.send("SET", "feed.finishes:x", "many")
        await self.raw.send("SET", "feed.config:z", '{"type": "job"}')
        await self.raw.send("SET", "feed.claimed:y", "text")
        found, failed = await read_overviews(self.pub_.redis, ["x", "y", "z"])
        self.assertEqual((found["x"].publishes, found["x"].finishes), (0, 0))
        self.assertEqual(found["z"].type, "feed")
        self.assertEqual(list(failed), ["y"])
        self.assertIn("WRONGTYPE", str(failed["y"]))

    async def test_many(self) -> None:
        """The overviews of many feeds are read 16 at a time."""
        names = [f"feed {n}" for n in range(100)]
        most = 0
        under_way: set[Deferred[Any]] = set()
        redis = self.pub_.redis
        call = redis.call

        def counted(*words: Any) -> Deferred[Any]:
            nonlocal most
            called = call(*words)
            under_way.add(called)
            most = max(most, len(under_way))
            return called.addBoth(lambda result: under_way.discard(called) or result)  # type: ignore[call-overload]

        self.patch(redis, "call", counted)
        found, failed = await read_overviews(redis, names)
        self.assertEqual((sorted(found), failed, most), (sorted(names), {}, 16))
        self.assertEqual(await read_overviews(redis, []), ({}, {}))

    async def test_lost(self) -> None:
        """A lost connection fails the whole read once."""
        reading = Deferred.fromCoroutine(read_overviews(self.pub_.redis, map(str, range(100))))
        self.pub_.redis.abort()
        await self.assertFailure(reading, ConnectionLost)

    async def test_cancelled(self) -> None:
        """Cancelling a read of many feeds cancels all its calls."""
        reading = Deferred.fromCoroutine(read_overviews(self.pub_.redis, map(str, range(100))))
        reading.addErrback(lambda _: "cancelled").cancel()
        self.assertEqual(await reading, "cancelled")
        self.assertEqual((await self.seen("x")).name, "x")


class OnceTests(CommandTestCase):
    async def test_text(self) -> None:
        """``--once`` prints the state as text and ends; no text is cut."""
        name = "a long name " * 9
        job = await self.publisher.job(name)
        await job.put_many(["item", "item"], ids=["a", "b"])
        await job.get()
        await self.raw.send("ZINCRBY", f"feed.claimed:{name}", -3_600_000, "a")
        status, out, err = await self.thoonk("top", "--once")
        self.assertEqual((status, err), (0, ""))
        lines = [line.rstrip() for line in out.splitlines()]
        self.assertEqual(len(lines), 8)
        self.assertRegex(lines[0], rf"\Athoonk top  {re.escape(self.url)}  \d\d:\d\d:\d\d\Z")
        summary = "1 feed  0 workers  - put/s  - done/s  1 available  1 claimed  0 stalled"
        self.assertEqual(lines[1:3], [summary, ""])
        self.assertEqual(lines[3], f"{'FEED':108}{HEADING[4:]}")
        self.assertRegex(lines[4], name + r" job          -      -      1      1      0      0")
        self.assertRegex(lines[7], rf"\A\? {self.publisher.uuid} +1 +- {name} a \d\.\ds\Z")

    async def test_json(self) -> None:
        """``--once --json`` prints one object, for the feeds that match the arguments."""
        job = await self.publisher.job("jobs")
        await job.put("item")
        for other in ("job one", "jot", "other"):
            await self.publisher.feed(other)
        status, out, err = await self.thoonk("top", "--once", "--json", "job?", "jo[abt]")
        self.assertEqual((status, err, out.count("\n")), (0, "", 1))
        told = json.loads(out)
        self.assertEqual([feed["name"] for feed in told["feeds"]], ["jobs", "jot"])
        jobs = told["feeds"][0]
        self.assertTrue(0 <= jobs.pop("oldest") < 50)
        self.assertTrue(jobs.pop("time") > 1.7e9)
        self.assertEqual(
            jobs,
            {
                "name": "jobs",
                "type": "job",
                "paused": False,
                "available": 1,
                "claimed": 0,
                "stalled": 0,
                "delayed": 0,
                "publishes": 1,
                "finishes": 0,
                "workers": [],
                "held": [],
                "publishes_per_second": None,
                "finishes_per_second": None,
            },
        )
        self.assertEqual(told["failed"], {})

    async def test_rates(self) -> None:
        """``--once`` with an interval reads twice, and prints the rates between the reads."""
        await self.publisher.job("jobs")
        status, out, _ = await self.thoonk("top", "--once", "--json", "--interval", "0.01")
        (feed,) = json.loads(out)["feeds"]
        self.assertEqual((status, feed["publishes_per_second"]), (0, 0.0))

    async def test_errors(self) -> None:
        """A missing feed or a bad option is an error; a pattern without matches is not."""
        await self.publisher.feed("news")
        for words, text in (
            (("--once", "news", "nope"), "feed 'nope' does not exist"),
            (("--once", "--interval", "0"), "--interval must be above 0"),
            (("--interval", "-1"), "--interval must be 0 to"),
            ((), "standard output is not a terminal; use --once to print the state once"),
        ):
            status, out, err = await self.thoonk("top", *words)
            self.assertEqual((status, out), (1, ""), words)
            self.assertIn(text, err)
        status, out, err = await self.thoonk("top", "--once", "n*e")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("0 feeds", out)

    async def test_failed(self) -> None:
        """Feeds that cannot be read are reported, and the others are shown."""
        await self.publisher.job("bad\n")
        await self.publisher.job("good")
        await self.raw.send("SET", "feed.claimed:bad\n", "text")
        _, out, _ = await self.thoonk("top", "--once")
        lines = out.splitlines()
        self.assertRegex(lines[2], r"\A1 cannot be read, such as 'bad\\n': .*WRONGTYPE")
        self.assertEqual([line[:4] for line in lines[3:]], ["FEED", "good"])
        status, out, _ = await self.thoonk("top", "--once", "--json", "bad\n")
        told = json.loads(out)
        self.assertEqual((status, told["feeds"], list(told["failed"])), (0, [], ["bad\n"]))


class LiveTests(CommandTestCase):
    """``thoonk top`` in a terminal of its own."""

    def frame(self, child: Child) -> list[str]:
        """Return the lines of the newest frame."""
        newest = child.out.rpartition("\x1b[H")[2].partition(LEAVE)[0]
        plain = re.sub(r"\x1b\[[\d;]*[a-zA-Z]", "", newest)
        return [line.rstrip() for line in plain.split("\n")]

    def resize(self, child: Child, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(child.transport.fd, termios.TIOCSWINSZ, size)

    def echoes(self, child: Child) -> bool:
        return bool(termios.tcgetattr(child.transport.fd)[3] & termios.ECHO)

    async def test_live(self) -> None:
        """``top`` shows changes and rates; q ends it and restores the terminal."""
        news = await self.publisher.feed("news")
        child = self.child("top", "--interval", "0.05", terminal=True)
        await child.seen("news feed")
        self.assertTrue(child.out.startswith(ENTER))
        self.assertIn("every 0.05 s, q ends it", self.frame(child)[0])
        self.assertFalse(self.echoes(child))
        await news.publish("item")
        await until(lambda: bool(re.search(r"news feed +[1-9]\S* +- +1 ", child.out)))
        child.transport.write(b"xyz")
        child.transport.write(b"q")
        self.assertEqual(await child.ended, 0)
        self.assertTrue(child.out.endswith(LEAVE))
        self.assertNotIn("xyz", child.out)

    async def test_interrupted(self) -> None:
        """Ctrl-C and SIGTERM end ``top``, too."""
        for end, status in ((b"\x03", 0), ("TERM", 143)):
            child = self.child("top", terminal=True)
            await child.seen(HEADING[5:])
            if isinstance(end, bytes):
                child.transport.write(end)
            else:
                child.transport.signalProcess(end)
            self.assertEqual(await child.ended, status)
            self.assertTrue(child.out.endswith(LEAVE))

    async def test_size(self) -> None:
        """``top`` fills the terminal exactly, and follows a change of its size at once."""
        for n in range(50):
            await self.publisher.feed(f"a feed with a name of some length {n:03}")
        child = self.child("top", "--interval", "60", terminal=True)
        await child.seen("... 31 more feeds")  # 24 lines if the size is unknown
        for columns, lines in ((60, 12), (100, 40)):
            self.resize(child, columns, lines)
            await child.seen(f"... {50 - lines + 5} more feeds")
            frame = self.frame(child)
            self.assertEqual(len(frame), lines)
            self.assertLessEqual(max(map(len, frame)), columns)
        child.transport.write(b"\x04")
        self.assertEqual(await child.ended, 0)

    async def test_ascii(self) -> None:
        """A character that the terminal cannot show is a question mark of width one."""
        self.patch(os, "environ", {**os.environ, "PYTHONIOENCODING": "ascii"})
        await self.publisher.feed("\u65e5\u672c\u8a9e" * 3)
        child = self.child("top", terminal=True)
        await child.seen("?" * 9)
        self.assertLessEqual(max(map(len, self.frame(child))), 80)
        child.transport.write(b"q")
        self.assertEqual(await child.ended, 0)

    async def test_workers(self) -> None:
        """``top`` shows workers and the jobs that they run."""
        thoonk = Thoonk(self.url, reactor)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        begun: Deferred[Claim] = Deferred()
        endless: Deferred[None] = Deferred()

        def handler(claim: Claim) -> Deferred[None]:
            begun.callback(claim)
            return endless

        worker = Worker("mail", handler, 3, thoonk=thoonk, name="a\x1b[2Jb")
        worker.startService()
        job = await self.publisher.job("mail")
        await job.put("item", id_="it")
        await begun
        child = self.child("top", "mail", terminal=True)
        await until(lambda: "mail it" in child.out)
        line = [line for line in self.frame(child) if line][-1]
        self.assertRegex(line, r"\Aa\\x1b\[2Jb +1/3 +\d+\.\ds mail it \d+\.\ds\Z")
        child.transport.write(b"q")
        await child.ended
        endless.callback(None)

    async def test_connection_lost(self) -> None:
        """``top`` reports a lost connection, and continues when it is connected again."""
        await self.publisher.feed("news")
        child = self.child("top", "--interval", "0.05", terminal=True)
        await child.seen("news feed")
        most = await self.raw.send("CONFIG", "GET", "maxclients")
        self.addCleanup(lambda: self.raw.send("CONFIG", "SET", *most))
        await self.raw.send("CONFIG", "SET", "maxclients", "1")
        await self.raw.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await child.seen("; trying again")
        self.assertIn("news feed", "\n".join(self.frame(child)))
        await self.raw.send("CONFIG", "SET", *most)
        await until(lambda: self.frame(child)[2] == "")
        child.transport.write(b"q")
        self.assertEqual(await child.ended, 0)

    async def test_json(self) -> None:
        """``top --json`` prints one line for each read."""
        await self.publisher.feed("news")
        child = self.child("top", "--json", "--interval", "0.05")
        await until(lambda: child.out.count("\n") > 1)
        child.transport.signalProcess("INT")
        self.assertEqual((await child.ended, child.err), (0, ""))
        first, second = child.out.splitlines()[:2]
        for line, rate in ((first, None), (second, 0.0)):
            (feed,) = json.loads(line)["feeds"]
            self.assertEqual((feed["name"], feed["publishes_per_second"]), ("news", rate))
