"""Retention: which results and stalled jobs are kept, also across a server restart."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import gatherResults

from tests.support import RedisTestCase
from tests.support.job_delay import timeless
from tests.support.maintenance import NO_JOB
from tests.support.server import ask
from tests.support.service_outage import OutageTestCase
from tests.support.waiting import until
from txthoonk.errors import Empty, InvalidInput
from txthoonk.types import Job

HOUR = 3600


def kept_key(id_: str) -> bytes:
    return b"feed.jobfinished:x\0" + id_.encode()


class RetentionTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.job: Job = await self.pub_.job("x")

    async def claimed(self, *ids: str) -> None:
        for id_ in ids:
            await self.job.put(f"item {id_}", id_=id_)
            await self.job.get()


class ResultTests(RetentionTestCase):
    async def finished(self, *ids: str, timeout: float | None = None) -> None:
        """Finish jobs one after the other, each with a result."""
        await self.claimed(*ids)
        for id_ in ids:
            await self.job.finish(id_, f"result {id_}", timeout)
        await self.pub_.redis.ping()

    async def kept(self) -> list[str]:
        """Return the ids of kept results, oldest first; check the index against the keys."""
        keys = await self.raw.send("KEYS", "feed.jobfinished:*")
        index = [id_.decode() for id_, _ in await self.value("feed.results:x") or []]
        self.assertEqual({kept_key(id_) for id_ in index}, set(keys))
        return index

    async def test_for(self) -> None:
        """keep_results_for keeps every result for that many seconds."""
        await self.job.set_config({"keep_results_for": 1.5})
        await self.finished("a", "b")
        self.assertEqual(await self.kept(), ["a", "b"])
        for id_ in "ab":
            self.assertEqual(
                await self.value(kept_key(id_)), [f"result {id_}".encode(), f"item {id_}".encode()]
            )
            left = await self.raw.send("PTTL", kept_key(id_))
            self.assertTrue(1000 < left <= 1500, left)
        self.assertEqual(await self.job.get_result("a"), ("item a", "result a"))
        self.assertEqual(await self.job.wait("b"), "result b")

    async def test_how_many(self) -> None:
        """keep_results keeps that many of the latest results, with a long expiry."""
        await self.job.set_config({"keep_results": 3})
        for id_, kept in (
            ("a", ["a"]),
            ("b", ["a", "b"]),
            ("c", ["a", "b", "c"]),
            ("d", ["b", "c", "d"]),
            ("e", ["c", "d", "e"]),
        ):
            await self.finished(id_)
            self.assertEqual(await self.kept(), kept)
        await self.assertFailure(self.job.get_result("a"), Empty)
        self.assertGreater(await self.raw.send("PTTL", kept_key("e")), 10**10)
        await self.job.set_config({"keep_results": 1})
        await self.finished("f")
        self.assertEqual(await self.kept(), ["f"])

    async def test_both(self) -> None:
        """With both settings, a result is removed by the one that is reached first."""
        await self.job.set_config({"keep_results": 2, "keep_results_for": HOUR})
        await self.finished("a", "b", "c")
        self.assertEqual(await self.kept(), ["b", "c"])
        self.assertLessEqual(await self.raw.send("PTTL", kept_key("c")), 1000 * HOUR)

    async def test_own_time(self) -> None:
        """The timeout of finish() overrides the configuration; 0 keeps nothing."""
        await self.job.set_config({"keep_results_for": HOUR})
        await self.finished("a", timeout=0)
        self.assertEqual(await self.kept(), [])
        await self.finished("b", timeout=10 * HOUR)
        self.assertGreater(await self.raw.send("PTTL", kept_key("b")), 9000 * HOUR)

    async def test_no_result(self) -> None:
        """A finish without a result removes the kept result of an earlier job."""
        await self.job.set_config({"keep_results_for": HOUR})
        await self.finished("a")
        await self.claimed("a")
        await self.job.finish("a")
        self.assertEqual(await self.kept(), [])

    async def test_many_at_once(self) -> None:
        """Workers that finish jobs at once keep exactly keep_results results."""
        await self.job.set_config({"keep_results": 10})
        ids = [str(number) for number in range(300)]
        await self.claimed(*ids)
        jobs = [self.job, *[Job(await self.pub(), "x") for _ in range(2)]]
        done = [jobs[n % 3].finish(id_, "result") for n, id_ in enumerate(ids)]
        await gatherResults(done)
        for job in jobs:
            await job.pub.redis.ping()
        self.assertEqual(len(await self.kept()), 10)

    async def test_forgetting_is_bounded(self) -> None:
        """Removing the excess results of hundreds of finishes takes fewer than 30 calls."""
        await self.job.set_config({"keep_results": 10})
        ids = [str(number) for number in range(600)]
        await self.claimed(*ids)
        jobs = [self.job, *[Job(await self.pub(), "x") for _ in range(2)]]
        await self.raw.send("CONFIG", "RESETSTAT")
        await gatherResults([jobs[n % 3].finish(id_, "result") for n, id_ in enumerate(ids)])
        await until(lambda: not any(job._finishing.forgetting._busy for job in jobs))
        stats = await self.raw.send("INFO", "commandstats")
        calls = int(re.search(r"cmdstat_evalsha:calls=(\d+)", stats.decode())[1])  # type: ignore[index]
        self.assertLess(calls - len(ids), 30)
        self.assertEqual(len(await self.kept()), 10)

    async def test_wanted_results_do_not_count(self) -> None:
        """A result that a caller waits for does not count towards keep_results."""
        await self.job.set_config({"keep_results": 1, "keep_results_for": 5})
        await self.claimed("a", "b")
        # get_result stores this note until it listens: the result is wanted for 10 s.
        seconds, _ = await self.raw.send("TIME")
        await self.raw.send("ZADD", "feed.results:x", (int(seconds) + 10) * 1000, "a")
        await self.job.finish("b", "result b")
        await self.pub_.redis.ping()
        self.assertEqual(await self.job.get_result("b"), ("item b", "result b"))

    async def test_wanted_still(self) -> None:
        """A result stays while a caller that does not listen yet wants it."""
        await self.job.set_config({"keep_results": 1})
        await self.claimed("a", "b", "c")
        seconds, _ = await self.raw.send("TIME")
        await self.raw.send("ZADD", "feed.results:x", (int(seconds) + 10) * 1000, "a")
        for id_ in "abc":
            await self.job.finish(id_, f"result {id_}")
        await self.pub_.redis.ping()
        self.assertEqual(await self.job.get_result("a"), ("item a", "result a"))
        self.assertEqual(await self.job.get_result("c"), ("item c", "result c"))
        await self.assertFailure(self.job.get_result("b"), Empty)

    async def test_popped(self) -> None:
        """What another program leaves of a kept result, after it has popped one part, is none."""
        for pop in ("LPOP", "RPOP"):
            await self.finished("a", timeout=HOUR)
            self.assertEqual(await self.job.get_result("a"), ("item a", "result a"))
            await self.raw.send(pop, kept_key("a"))
            await self.assertFailure(self.job.get_result("a"), Empty)

    async def test_result_alone(self) -> None:
        """Older implementations keep the result alone, even if a publisher waits for it."""
        await self.raw.send("LPUSH", kept_key("a"), "result")
        await self.raw.send("EXPIRE", kept_key("a"), HOUR)
        for wanted in (True, False):
            if wanted:
                await self.raw.send("ZADD", "feed.results:x", await self.now() + 5000, "a")
            else:
                await self.raw.send("DEL", "feed.results:x")
            self.assertEqual(await self.job.get_result("a"), (None, "result"))

    async def test_turned_off(self) -> None:
        """Setting both to 0 keeps no new results; those already kept stay."""
        await self.job.set_config({"keep_results_for": HOUR, "keep_results": 5})
        await self.finished("a")
        await self.job.set_config({"keep_results_for": 0, "keep_results": 0})
        await self.finished("b")
        self.assertEqual(await self.kept(), ["a"])

    async def test_deleted_feed(self) -> None:
        """Deleting a feed removes its kept results."""
        await self.job.set_config({"keep_results": 5})
        await self.finished("a", "b")
        await self.job.delete_feed()
        self.assertEqual(await self.state(), {})


class StalledTests(RetentionTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        await self.claimed("waits")
        await self.job.release("waits")
        self.before = await self.state()

    async def stalled(self, *ids: str) -> None:
        for id_ in ids:
            await self.job.put(f"item {id_}", Job.HIGH, id_)
            await self.job.stall(await self.job.get(), "why")

    async def age(self, id_: str, seconds: float) -> None:
        await self.raw.send("ZINCRBY", "feed.failed:x", -1000 * seconds, id_)

    async def maintained(self, retracted: int = 0) -> None:
        self.assertEqual(await self.job.maintenance(), {**NO_JOB, "retracted": retracted})

    async def assertOnly(self, *ids: str) -> None:
        """Check that exactly these jobs are stalled, with all their records."""
        encoded = [id_.encode() for id_ in ids]
        self.assertEqual(await self.value("feed.stalled:x"), set(encoded) or None)
        self.assertEqual(set(await self.value("feed.items:x")), {b"waits", *encoded})
        failed = [id_ for id_, _ in await self.value("feed.failed:x") or []]
        self.assertEqual(set(failed), set(encoded))
        self.assertEqual({one.id for one in await self.job.get_failures()}, set(ids))

    async def test_all(self) -> None:
        """Without settings, every stalled job stays."""
        await self.stalled("a", "b")
        await self.age("a", 10**9)
        await self.maintained()
        await self.assertOnly("a", "b")

    async def test_for(self) -> None:
        """keep_stalled_for lets maintenance remove jobs that have been stalled for longer."""
        await self.job.set_config({"keep_stalled_for": HOUR})
        await self.stalled("old", "young")
        await self.age("old", HOUR + 1)
        await self.age("young", HOUR - 10)
        spied = await self.spy()
        await self.maintained(1)
        await self.assertOnly("young")
        self.assertEqual(await spied.messages(own=True), [])

    async def test_how_many(self) -> None:
        """keep_stalled lets maintenance remove the oldest stalled jobs above that number."""
        await self.job.set_config({"keep_stalled": 2})
        await self.stalled(*"abcd")
        await self.age("c", 100)
        await self.maintained(2)
        await self.assertOnly("b", "d")
        await self.maintained()

    async def test_both(self) -> None:
        """With both settings, a job is removed by the one that is reached first."""
        await self.job.set_config({"keep_stalled": 3, "keep_stalled_for": HOUR})
        await self.stalled(*"abcde")
        await self.age("e", HOUR + 1)
        await self.maintained(2)
        await self.assertOnly("b", "c", "d")
        await self.age("b", HOUR + 1)
        await self.age("c", HOUR + 1)
        await self.maintained(2)
        await self.assertOnly("d")

    async def test_nothing_is_left(self) -> None:
        """Removing stalled jobs leaves nothing of them in any key."""
        counted = {b"feed.publishes:x": b"4"}
        await self.stalled(*"abc")
        await self.job.set_config({"keep_stalled_for": 0.001})
        for id_ in "abc":
            await self.age(id_, 1)
        await self.maintained(3)
        await self.raw.send("HDEL", "feed.config:x", "keep_stalled_for")
        self.assertEqual(timeless(await self.state()), timeless({**self.before, **counted}))

    async def test_many(self) -> None:
        """Several maintenance passes at once remove any number of jobs, each once."""
        await self.job.set_config({"keep_stalled": 7})
        await self.raw.send(
            "EVAL",
            "for n = 1, 2000 do local id = 'n' .. n redis.call('HSET', 'feed.items:x', id, 'i')"
            " redis.call('SADD', 'feed.stalled:x', id)"
            " redis.call('ZADD', 'feed.failed:x', n, id) end",
            0,
        )
        others = [Job(await self.pub(), "x") for _ in range(2)]
        done = await gatherResults([job.maintenance() for job in (self.job, *others)])
        self.assertEqual(sum(counts["retracted"] for counts in done), 1993)
        expected = {f"n{n}" for n in range(1994, 2001)}
        self.assertEqual(set(await self.job.get_ids("stalled")), expected)

    async def test_history(self) -> None:
        """The history records the removal of a stalled job as a retract."""
        await self.stalled("a", "b")
        await self.job.set_config({"keep_stalled": 1, "history": 10})
        await self.maintained(1)
        told = [(event.kind, event.id) for event in await self.job.get_history()]
        self.assertEqual(told, [("retract", "a")])

    async def test_others_stall(self) -> None:
        """A job that another implementation stalled ages from when it is first seen."""
        await self.job.set_config({"keep_stalled_for": HOUR})
        await self.claimed("a")
        await self.raw.send("ZREM", "feed.claimed:x", "a")
        await self.raw.send("SADD", "feed.stalled:x", "a")
        await self.maintained()
        await self.age("a", HOUR + 1)
        await self.maintained(1)
        self.assertEqual(await self.job.get_ids("stalled"), [])

    async def test_others_retry(self) -> None:
        """A job that another implementation retried is never removed as stalled."""
        await self.job.set_config({"keep_stalled_for": HOUR, "keep_stalled": 1})
        await self.stalled("a", "b", "c")
        for id_ in ("a", "b"):
            await self.age(id_, HOUR + 1)
            # thoonk.py retries a job with these two commands.
            await self.raw.send("SREM", "feed.stalled:x", id_)
            await self.raw.send("LPUSH", "feed.ids:x", id_)
        await self.maintained()
        self.assertEqual(await self.job.get_ids("stalled"), ["c"])
        self.assertEqual(await self.job.get_item("a"), "item a")
        got = [(await self.job.get(1)).id for _ in range(3)]
        self.assertEqual(got, ["waits", "a", "b"])

    async def test_others_retry_and_others_stay(self) -> None:
        """A job that another implementation retried does not count towards keep_stalled."""
        await self.job.set_config({"keep_stalled": 2})
        await self.stalled("a", "b", "c")
        await self.raw.send("SREM", "feed.stalled:x", "c")
        await self.raw.send("LPUSH", "feed.ids:x", "c")
        await self.maintained()
        self.assertEqual(set(await self.job.get_ids("stalled")), {"a", "b"})


class RestartTests(OutageTestCase):
    async def restarted(self) -> None:
        await self.redis_server.stop()
        await self.restart()

    async def test_kept(self) -> None:
        """Delayed jobs survive a restart of the server unchanged."""
        job = await (await self.begin()).job("x")
        await job.put("item", Job.HIGH, "a", delay=HOUR)
        await job.put("item", id_="failed")
        await job.fail(await job.get(), ValueError("no"), delay=2 * HOUR)
        commands = ("ZRANGE feed.delayed:x 0 -1 WITHSCORES", "HGETALL feed.later:x")
        before = [await ask(self.redis_server, *command.split()) for command in commands]
        await self.restarted()
        after = [await ask(self.redis_server, *command.split()) for command in commands]
        self.assertEqual((before, len(before[0])), (after, 4))
        await ask(self.redis_server, "ZADD", "feed.delayed:x", "1", "a", "2", "failed")
        self.assertEqual(await job.get(), ("a", "item", 0))
        self.assertEqual(await job.get(), ("failed", "item", 1))

    async def test_get_that_waits(self) -> None:
        """A get that waits across a server restart receives jobs due during it and after it."""
        job = await (await self.begin()).job("x")
        gets = [job.get(), job.get()]
        await self.blocked(1)
        await job.put("item", id_="soon", delay=0.2)
        await job.put("item", id_="later", delay=HOUR)
        await self.restarted()
        self.assertEqual((await gets[0]).id, "soon")
        await job.put("item", id_="new", delay=0.05)
        self.assertEqual((await gets[1]).id, "new")
        self.assertEqual(await job.get_ids("delayed"), ["later"])


class BadInputTests(RetentionTestCase):
    async def test_config(self) -> None:
        """Retention settings accept only whole numbers, or numbers of seconds."""
        before, bad = await self.state(), ("-1", "many", "nan", "1_0", "")
        values: dict[str, tuple[Any, ...]] = {
            "keep_results": (*bad, 1.5),
            "keep_stalled": (*bad, 1.5),
            "keep_results_for": bad,
            "keep_stalled_for": bad,
        }
        for field, wrong in values.items():
            for value in wrong:
                error = await self.assertFailure(self.job.set_config({field: value}), InvalidInput)
                self.assertIn(field, str(error))
        self.assertEqual(await self.state(), before)
