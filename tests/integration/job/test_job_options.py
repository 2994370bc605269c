"""Jobs with options of their own: expiry, max_failures, back-off and time limits."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import until
from tests.support.worker import HOUR, Doing, WorkerTestCase
from txthoonk.errors import Empty, InvalidInput, InvalidType, JobStalled
from txthoonk.testing import check_feed
from txthoonk.types import Claim, JobOptions
from txthoonk.wire._keys import feed_key

# The commands of a put, a get and a finish, those in their scripts included.
PLAIN = 47

OPTIONS = feed_key("options", "x")


class OptionsTestCase(WorkerTestCase):
    async def options(self) -> dict[str, str]:
        """Read all options."""
        flat = await self.thoonk.redis.send("HGETALL", OPTIONS)
        return {flat[at]: flat[at + 1] for at in range(0, len(flat), 2)}

    async def expire(self, id_: str) -> None:
        """Let a job expire."""
        words = (await self.options())[id_].split(" ", 1)[1]
        await self.thoonk.redis.send("HSET", OPTIONS, id_, f"1 {words}")

    async def checked(self) -> None:
        """Check the feed."""
        self.assertEqual(await check_feed(self.thoonk, "x"), [])


class PutTests(OptionsTestCase):
    async def test_claim(self) -> None:
        """A claim has the options of its job, and None without options."""
        await self.job.put("a", id_="a")
        await self.job.put("b", id_="b", expires=60, max_failures=2, back_off=5, time_limit=1.5)
        await self.job.put("c", id_="c", delay=0, back_off=[1, 2], soft_time_limit=1)
        await self.checked()
        claims = [await self.job.get() for _ in "abc"]
        self.assertEqual(
            [claim.options for claim in claims],
            [
                None,
                JobOptions(False, 2, (5,), 1.5, None),
                JobOptions(False, None, (1, 2), None, 1),
            ],
        )
        for claim in claims:
            await claim.finish()
        self.assertEqual(await self.options(), {})

    async def test_many(self) -> None:
        """Many jobs are put with the same options."""
        ids = await self.job.put_many(["a", "b"], expires=60)
        self.assertEqual(set(await self.options()), set(ids))

    async def test_plain(self) -> None:
        """A job without options writes none; it does not get those of an earlier one."""
        await self.job.put("a", id_="a")
        self.assertEqual(await self.thoonk.redis.send("EXISTS", OPTIONS), 0)
        await self.job.retract("a")
        await self.thoonk.redis.send(
            "HSET", OPTIONS, "a", "1 1 {}"
        )  # another program ended the job
        await self.job.put("a", id_="a")
        await self.thoonk.redis.send("HSET", OPTIONS, "b", "1 1 {}")
        await self.job.put("b", id_="b", delay=HOUR)
        self.assertEqual(await self.options(), {})

    async def test_removed(self) -> None:
        """The options go with the job, however it ends."""
        for id_ in "abcd":
            await self.job.put(id_, id_=id_, max_failures=1, delay=HOUR if id_ == "d" else None)
        await self.job.finish(await self.job.get())
        await self.job.retract("b")
        await self.job.drain(delayed=True)
        self.assertEqual(await self.options(), {})
        await self.thoonk.redis.send("HSET", OPTIONS, "gone", "0 - {}")
        await self.job.maintenance()
        self.assertEqual(await self.options(), {})

    async def test_stalled_removed(self) -> None:
        """Options of stalled jobs are kept, until maintenance retracts the jobs."""
        await self.job.put("a", id_="a", max_failures=1)
        await self.job.fail(await self.job.get(), "no")
        self.assertEqual(set(await self.options()), {"a"})
        await self.thoonk.set_config("x", {"keep_stalled_for": 0.001})
        await self.thoonk.redis.send("ZADD", feed_key("failed", "x"), "1", "a")
        await self.job.maintenance()
        self.assertEqual((await self.options(), await self.job.get_ids()), ({}, []))

    async def test_bad(self) -> None:
        """Options that cannot be used are refused before anything is written."""
        bad: list[tuple[type[Exception], dict[str, Any]]] = [
            (InvalidInput, {"expires": 0}),
            (InvalidInput, {"expires": 5, "delay": 5}),
            (InvalidType, {"expires": "5"}),
            (InvalidType, {"max_failures": 1.5}),
            (InvalidType, {"max_failures": True}),
            (InvalidInput, {"max_failures": -1}),
            (InvalidInput, {"back_off": -1}),
            (InvalidInput, {"back_off": []}),
            (InvalidType, {"back_off": "12"}),
            (InvalidInput, {"time_limit": 0}),
            (InvalidInput, {"time_limit": 1, "soft_time_limit": 2}),
            (TypeError, {"expire": 5}),
        ]
        for error, options in bad:
            with self.assertRaises(error, msg=options):
                await self.job.put("a", **options)
            if "delay" not in options:
                with self.assertRaises(error, msg=options):
                    await self.job.put_many(["a"], **options)
        with self.assertRaisesRegex(TypeError, "a job has no option 'expire': it has expires, "):
            await self.job.put("a", expire=5)  # type: ignore[call-arg]
        self.assertEqual(await self.job.get_ids(), [])

    async def test_stored_nonsense(self) -> None:
        """Options that cannot be read do not stop a job."""
        words = ["", "1", "x y z", "0 - [", "0 - []", '0 - {"back_off": "x"}', "-1 -1 {}"]
        words.append('0 x {"time_limit": -5}')
        for number, text in enumerate(words):
            await self.put(str(number), max_failures=5)
            await self.thoonk.redis.send("HSET", OPTIONS, str(number), text)
        self.work(lambda _: None, 3)
        await self.comes_to(0, 0, 0, len(words))


class ExpiryTests(OptionsTestCase):
    async def test_get(self) -> None:
        """A get does not receive a job that has expired: it is stalled, with the reason."""
        await self.put("a", "b", expires=60)
        await self.put("c")
        await self.expire("a")
        waiting = self.job.wait("a")
        self.assertEqual((await self.job.get()).id, "b")
        with self.assertRaises(JobStalled) as caught:
            await waiting
        failure = caught.exception.failure
        assert failure is not None
        self.assertEqual(failure.type, "Expired")
        self.assertEqual(failure.message, "no worker claimed the job before it expired")
        self.assertEqual(await self.stats(), (1, 1, 1, 0))
        await self.checked()

    async def test_maintenance(self) -> None:
        """Maintenance stalls expired jobs at the front of the line, if no process gets them."""
        await self.put("a", "b", expires=60)
        await self.put("c")
        await self.put("d", expires=60)
        for id_ in "ad":
            await self.expire(id_)
        waiting = self.job.wait("d")
        self.assertEqual((await self.job.maintenance())["stalled"], 2)
        with self.assertRaisesRegex(JobStalled, "Expired: no worker claimed the job"):
            await waiting
        self.assertEqual(await self.job.get_ids("available"), ["c", "b"])
        self.assertEqual((await self.job.maintenance())["stalled"], 0)
        await self.checked()

    async def test_waits_on(self) -> None:
        """A get goes on to wait, as long as it has to, after a job that has expired."""
        await self.put("a", expires=60)
        await self.expire("a")
        with self.assertRaises(Empty):
            await self.job.get(timeout=0.05)
        self.assertEqual(await self.stats(), (0, 0, 1, 0))

    async def test_worker(self) -> None:
        """A worker does not start expired jobs; once retried, they do not expire again."""
        doing = Doing()
        await self.put("a", "b", "c", expires=60)
        await self.expire("a")
        await self.expire("c")
        self.work(doing, 3)
        await self.comes_to(0, 1, 2, 0)
        self.assertEqual(doing.ids, ["b"])
        self.assertEqual((await self.failure("a")).type, "Expired")
        await self.job.retry("a")
        await doing.begun(2)
        self.assertEqual(doing.ids, ["b", "a"])
        doing.end()
        await self.comes_to(0, 0, 1, 2)

    async def test_time(self) -> None:
        """The server's clock decides: an hour from the put, and not before."""
        await self.put("a", expires=HOUR)
        seconds, _ = await self.thoonk.redis.send("TIME")
        until_ = int((await self.options())["a"].split(" ")[0]) / 1000
        self.assertLess(abs(until_ - int(seconds) - HOUR), 60)
        self.assertEqual((await self.job.get()).id, "a")


class FailureTests(OptionsTestCase):
    async def test_max_failures(self) -> None:
        """The own max_failures of a job counts, not that of the feed, also for old claims."""
        most: dict[str, int | None] = {"a": 1, "b": 0, "c": None}
        states = {"a": ["stalled"], "b": ["available"] * 5, "c": ["available"] * 2 + ["stalled"]}
        for id_, expected in states.items():
            await self.put(id_, max_failures=most[id_])
            found = [await self.job.fail(await self.job.get(), "no") for _ in expected]
            self.assertEqual(found, expected)
            await self.job.retract(id_)

    async def test_expired_claim(self) -> None:
        """A claim that is not renewed counts against the own max_failures."""
        await self.put("a", max_failures=1)
        await self.put("b")
        for _ in "ab":
            await self.job.get()
        for id_ in "ab":
            await self.thoonk.redis.send("ZADD", feed_key("claimed", "x"), "1", id_)
        run_id = (await self.thoonk.redis.send("INFO", "server")).split("run_id:")[1].split()[0]
        await self.thoonk.redis.send("SET", feed_key("overdue", "x"), f"100000 {run_id}")
        await self.job.maintenance()
        self.assertEqual(await self.stats(), (1, 0, 1, 0))
        self.assertEqual(await self.job.get_ids("stalled"), ["a"])

    async def test_back_off(self) -> None:
        """The own back-off of a job counts, not that of the worker; Retry(delay=) comes first."""
        asked: list[int] = []

        def handler(claim: Claim) -> None:
            raise ValueError(claim.id)

        def wait(failures: int) -> float:
            asked.append(failures)
            return HOUR

        await self.put("a", back_off=[0, 0, HOUR], max_failures=4)
        self.work(handler, back_off=wait)
        await until(lambda: len(self.ended) >= 3)
        await self.until_answer(lambda: self.job.get_ids("delayed"))
        self.assertEqual((await self.failure("a")).count, 3)
        self.assertEqual(asked, [])

    async def test_time_limits(self) -> None:
        """The own time limits of a job count, for a worker with others and for one without."""
        doing = Doing()
        await self.put("a", time_limit=0.02, max_failures=1)
        await self.put("b", soft_time_limit=0.02, max_failures=1)
        self.work(doing, 2)
        self.assertEqual(sorted(await self.outcomes(2)), ["failed", "failed"])
        self.assertEqual((await self.failure("a")).type, "TimeLimitExceeded")
        self.assertEqual((await self.failure("b")).type, "SoftTimeLimitExceeded")

    async def test_longer(self) -> None:
        """A job can have a longer time limit than those of its worker."""
        doing = Doing()
        await self.put("a", time_limit=HOUR)
        await self.put("b", max_failures=1)
        self.work(doing, 2, time_limit=0.02)
        self.assertEqual(await self.outcomes(1), ["failed"])
        self.assertEqual(doing.cancelled, ["b"])
        doing.end("a")
        await self.comes_to(0, 0, 1, 1)


class CostTests(OptionsTestCase):
    async def test_plain(self) -> None:
        """A plain job costs Redis no more commands than before there were options."""
        await self.put("a")
        await self.thoonk.redis.send("CONFIG", "RESETSTAT")
        await self.put("b")
        await self.job.finish(await self.job.get())
        stats = await self.thoonk.redis.send("INFO", "commandstats")
        calls = [
            int(line.split("calls=")[1].split(",")[0])
            for line in stats.split()
            if "calls=" in line
        ]
        self.assertLessEqual(sum(calls), PLAIN)
