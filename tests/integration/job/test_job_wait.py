"""wait(): how it ends, for each way that a job can end, on any publisher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support import RedisTestCase
from tests.support.job_delay import timeless
from txthoonk.consumers.results import _second_looks
from txthoonk.errors import Empty, JobStalled
from txthoonk.types import Job

HOUR = 3600
OWN = (b"feed.results:x", b"feed.jobfinished:x\0a")


class WaitTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job: Job = await (await self.pub()).job("x", {"max_failures": 1})
        self.worker = Job(await self.pub(), "x")

    async def claimed(self) -> None:
        await self.job.put("item", id_="a")
        await self.worker.get()

    async def waiting(self, job: Job, timeout: float = 0) -> Deferred[Any]:
        """Start a wait, and return once the publisher is listening."""
        waiting = job.wait("a", timeout)
        await self.numsub("feed.finishes:x", 1)
        await self.until_reply("ZSCORE", "feed.results:x", "a", holds=lambda reply: reply is None)
        await job.pub.redis.ping()
        return waiting

    async def nothing_left(self) -> None:
        """Check that nothing is stored and that no publisher listens."""
        await self.numsub("feed.finishes:x", 0)
        await self.job.pub.redis.ping()
        self.assertEqual([key for key in await self.state() if key in OWN], [])


class EndTests(WaitTestCase):
    async def ends(self, end: Callable[[Job], Deferred[Any]], **outcome: Any) -> None:
        """Check how a wait ends, on the publisher that ends the job and on another."""
        for job, ender in ((self.job, self.worker), (self.worker, self.worker)):
            for listening in (True, False):
                await self.claimed()
                if not listening and job is not ender:
                    asked = await self.command_seen("ZADD", "feed.results:x")
                    waiting = job.wait("a", 20)
                    await asked  # the publisher need not listen yet
                else:
                    waiting = await self.waiting(job) if listening else job.wait("a", 20)
                await end(ender)
                if "result" in outcome:
                    self.assertEqual(await waiting, outcome["result"])
                else:
                    error = await self.assertFailure(waiting, outcome["error"])
                    self.assertIn("'a'", str(error))
                await self.job.retract("a")
                await self.nothing_left()

    async def test_result(self) -> None:
        """wait() fires the result."""
        await self.ends(lambda job: job.finish("a", "done"), result="done")

    async def test_no_result(self) -> None:
        """wait() fires None if the job is finished without a result."""
        await self.ends(lambda job: job.finish("a"), result=None)

    async def test_stalled(self) -> None:
        """wait() fails with JobStalled if the job is stalled."""
        await self.ends(lambda job: job.stall("a", "why"), error=JobStalled)

    async def test_failed_for_the_last_time(self) -> None:
        """wait() fails with JobStalled if the last failure stalls the job."""
        await self.ends(lambda job: job.fail("a", ValueError("no")), error=JobStalled)

    async def test_failure(self) -> None:
        """JobStalled carries the failure and describes it; without a record, it has None."""
        await self.claimed()
        waiting = await self.waiting(self.job)
        await self.worker.fail("a", ValueError("no"))
        error = await self.assertFailure(waiting, JobStalled)
        self.assertEqual((error.failure.type, error.failure.message), ("ValueError", "no"))
        self.assertIn("ValueError: no", str(error))
        await self.job.retry("a")
        await self.worker.get()
        await self.raw.send("DEL", "feed.failures:x")
        await self.worker.stall("a")
        error = await self.assertFailure(self.job.wait("a"), JobStalled)
        self.assertIsNone(error.failure)

    async def test_stalled_already(self) -> None:
        """wait() fails at once if the job is already stalled."""
        await self.claimed()
        await self.worker.stall("a", "why")
        error = await self.assertFailure(self.job.wait("a"), JobStalled)
        self.assertEqual(error.failure.message, "why")
        await self.nothing_left()

    async def test_timed_out_claims(self) -> None:
        """wait() fails with JobStalled if the last allowed claim expires."""
        await self.job.set_config({"timeout": 60})
        await self.claimed()
        waiting = await self.waiting(self.job)
        await self.raw.send("ZADD", "feed.claimed:x", 1, "a")
        await self.looked()
        await self.worker.maintenance()
        error = await self.assertFailure(waiting, JobStalled)
        self.assertEqual(error.failure.type, "Timeout")

    async def test_gone(self) -> None:
        """wait() fails with Empty at once if the job does not exist and left no result."""
        error = await self.assertFailure(self.job.wait("a"), Empty)
        self.assertIn("'a'", str(error))
        await self.claimed()
        await self.worker.finish("a", "done")
        await self.assertFailure(self.job.wait("a"), Empty)

    async def test_kept_result(self) -> None:
        """wait() fires a kept result at once, any number of times."""
        await self.claimed()
        await self.worker.finish("a", "done", 60)
        self.assertEqual(await gatherResults([self.job.wait("a") for _ in range(3)]), ["done"] * 3)

    async def test_retracted(self) -> None:
        """wait() fires None if the same publisher retracts the job."""
        await self.job.put("item", id_="a")
        waiting = await self.waiting(self.job, 5)
        await self.job.retract("a")
        self.assertIsNone(await waiting)

    async def test_drained(self) -> None:
        """wait() fires None if the same publisher drains the feed."""
        await self.job.put("item", id_="a")
        waiting = await self.waiting(self.job, 3)
        await self.job.drain()
        self.assertIsNone(await waiting)

    async def test_retracted_elsewhere(self) -> None:
        """wait() notices that another publisher retracts the job, although no event says so."""
        self.patch(_second_looks, "FIRST", 0.05)
        await self.claimed()
        waiting = await self.waiting(self.job)
        await self.worker.retract("a")
        self.assertIsNone(await waiting)

    async def foreign(self, end: str) -> None:
        """End a claimed job as thoonk.py does."""
        words = {
            "finish": (
                ("ZREM", "feed.claimed:x", "a"),
                ("HDEL", "feed.cancelled:x", "a"),
                ("ZREM", "feed.published:x", "a"),
                ("INCR", "feed.finishes:x"),
                ("HDEL", "feed.items:x", "a"),
            ),
            "retract": (
                ("HDEL", "feed.items:x", "a"),
                ("HDEL", "feed.cancelled:x", "a"),
                ("ZREM", "feed.published:x", "a"),
                ("SREM", "feed.stalled:x", "a"),
                ("ZREM", "feed.claimed:x", "a"),
                ("LREM", "feed.ids:x", 1, "a"),
            ),
            "stall": (
                ("ZREM", "feed.claimed:x", "a"),
                ("HDEL", "feed.cancelled:x", "a"),
                ("SADD", "feed.stalled:x", "a"),
                ("ZREM", "feed.published:x", "a"),
            ),
        }
        await self.raw.send("MULTI")
        for command in words[end]:
            await self.raw.send(*command)
        await self.raw.send("EXEC")

    async def test_other_implementations(self) -> None:
        """wait() and get_result() notice each end of a job that thoonk.py does not announce."""
        self.patch(_second_looks, "FIRST", 0.05)
        for end, gone in (("finish", True), ("retract", True), ("stall", False)):
            await self.claimed()
            waiting = await self.waiting(self.job)
            result = self.job.get_result("a")
            await self.job.pub.redis.ping()
            await self.foreign(end)
            if gone:
                self.assertIsNone(await waiting)
                await self.assertFailure(result, Empty)
            else:
                await self.assertFailure(waiting, JobStalled)
                self.assertNoResult(result)
                result.cancel()
                await self.assertFailure(result, CancelledError)
            await self.job.retract("a")
            await self.nothing_left()

    async def test_result_from_elsewhere(self) -> None:
        """A look does not get ahead of a result that thoonk.py publishes."""
        self.patch(_second_looks, "FIRST", 0.001)
        for _ in range(20):
            await self.claimed()
            waiting = await self.waiting(self.job)
            await self.raw.send("MULTI")
            await self.raw.send("HDEL", "feed.items:x", "a")
            await self.raw.send("ZREM", "feed.claimed:x", "a")
            await self.raw.send("ZREM", "feed.published:x", "a")
            await self.raw.send("PUBLISH", "job.finish:x", "a\0done")
            await self.raw.send("EXEC")
            self.assertEqual(await waiting, "done")


class WaitTests(WaitTestCase):
    async def test_all_its_life(self) -> None:
        """wait() survives delay, failure, release and retry, and ends with the finish."""
        await self.job.set_config({"max_failures": 9})
        await self.job.put("item", id_="a", delay=HOUR)
        waiting = await self.waiting(self.job)
        await self.raw.send("ZADD", "feed.delayed:x", 1, "a")
        for end in (
            lambda: self.worker.fail("a", ValueError("no")),
            lambda: self.worker.cancel("a"),
            lambda: self.worker.release("a"),
            lambda: self.worker.fail("a", ValueError("no"), 0.01),
        ):
            await self.worker.get()
            await end()
        await self.worker.get()
        await self.job.edit("a", "new")
        self.assertNoResult(waiting)
        await self.worker.finish("a", "done")
        self.assertEqual(await waiting, "done")
        await self.nothing_left()

    async def test_timeout(self) -> None:
        """wait() fails after its timeout and leaves nothing."""
        await self.claimed()
        before = timeless(await self.state())
        error = await self.assertFailure(self.job.wait("a", 0.05), Empty)
        self.assertIn("0.05 seconds", str(error))
        await self.nothing_left()
        self.assertEqual(timeless(await self.state()), before)

    async def test_cancelled(self) -> None:
        """Cancelling one wait leaves nothing and does not affect the others."""
        await self.claimed()
        stays = await self.waiting(self.job)
        waiting = [self.job.wait("a"), await self.waiting(self.job)]
        for one in waiting:
            one.cancel()
            await self.assertFailure(one, CancelledError)
        await self.worker.finish("a", "done")
        self.assertEqual(await stays, "done")
        await self.nothing_left()

    async def test_many(self) -> None:
        """Every wait and every get_result for a job fires when it is finished."""
        await self.claimed()
        others = [self.job, self.worker, Job(await self.pub(), "x")]
        asked = await self.command_seen("ZADD", "feed.results:x")
        waiting = [job.wait("a") for job in others for _ in range(5)]
        results = [job.get_result("a") for job in others]
        await asked
        for job in others:
            await job.pub.redis.ping()
        await self.worker.finish("a", "done")
        self.assertEqual(await gatherResults(waiting), ["done"] * 15)
        self.assertEqual(await gatherResults(results), [("item", "done")] * 3)

    async def test_get_result_of_a_stalled_job(self) -> None:
        """get_result() keeps waiting for a stalled job, which may be retried."""
        await self.claimed()
        result = self.job.get_result("a")
        waiting = await self.waiting(self.job)
        await self.worker.stall("a", "why")
        await self.assertFailure(waiting, JobStalled)
        self.assertNoResult(result)
        await self.worker.retry("a")
        await self.worker.get()
        await self.worker.finish("a", "done")
        self.assertEqual(await result, ("item", "done"))

    async def test_each_finish(self) -> None:
        """wait() fires however the finish and the start of the wait interleave."""
        for number in range(100):
            await self.claimed()
            asked = await self.command_seen("ZADD", "feed.results:x") if number % 2 else None
            waiting = self.job.wait("a", 10)
            await (asked or self.job.pub.redis.ping())
            if number % 3:
                await self.worker.finish("a", "done")
            else:
                await self.worker.finish("a")
            self.assertEqual(await waiting, "done" if number % 3 else None)
        await self.nothing_left()

    async def test_serializer(self) -> None:
        """wait() decodes the result with the feed's serializer."""
        pub: Any = self.job.pub
        job = await pub.job("json", {"serializer": "json"})
        await job.put(1, id_="a")
        waiting = job.wait("a")
        await job.finish(await job.get(), {"n": None})
        self.assertEqual(await waiting, {"n": None})
