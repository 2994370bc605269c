"""Results reach every caller that asked before the finish; others are not kept."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, gatherResults

from tests.support import RedisTestCase
from txthoonk.errors import Empty
from txthoonk.types import Job

KEPT = b"feed.jobfinished:x\0a"


class WantedTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job: Job = await (await self.pub()).job("x")
        self.worker = Job(await self.pub(), "x")

    async def claimed(self) -> None:
        await self.job.put("item", id_="a")
        await self.worker.get()

    async def left(self) -> dict[bytes, Any]:
        """Return the stored keys that belong to results."""
        state = await self.state()
        return {key: state[key] for key in state if key in (KEPT, b"feed.results:x")}

    async def test_finished_at_the_same_time(self) -> None:
        """A caller that asks before the finish gets the result, even if it listens only later."""
        for _ in range(100):
            await self.claimed()
            asked = await self.command_seen("ZADD", "feed.results:x")
            result = self.job.get_result("a")
            # The note that the result is wanted is in Redis, but get_result may not listen yet.
            await asked
            await gatherResults([self.worker.finish("a", "done"), result])  # type: ignore[arg-type]
            self.assertEqual(await result, ("item", "done"))
            await self.assertFailure(self.job.get_result("a"), Empty)
            self.assertEqual(await self.left(), {})

    async def test_finished_by_the_same_publisher(self) -> None:
        """get_result and finish, sent back to back on one connection, fire the result."""
        await self.claimed()
        result = self.job.get_result("a")
        finished = self.job.finish("a", "done")
        self.assertEqual(await result, ("item", "done"))
        await finished
        self.assertEqual(await self.left(), {})
        await self.assertFailure(self.job.get_result("a"), Empty)

    async def test_several(self) -> None:
        """Every get_result fires, on several publishers and several times on one."""
        others = [Job(await self.pub(), "x") for _ in range(3)]
        for _ in range(20):
            await self.claimed()
            asked = await self.command_seen("ZADD", "feed.results:x")
            waiting = [job.get_result("a") for job in (*others, *others)]
            await asked
            await self.worker.renew("a")
            for job in others:
                await job.pub.redis.ping()
            await self.worker.finish("a", "done")
            self.assertEqual(await gatherResults(waiting), [("item", "done")] * 6)

    async def test_kept_for_long(self) -> None:
        """A kept result stays after a waiting get_result has fired it."""
        await self.claimed()
        asked = await self.command_seen("ZADD", "feed.results:x")
        result = self.job.get_result("a")
        await asked
        await self.worker.finish("a", "done", 60)
        self.assertEqual(await result, ("item", "done"))
        self.assertEqual((await self.value(KEPT)), [b"done", b"item"])
        self.assertGreater(await self.raw.send("PTTL", KEPT), 50_000)
        self.assertEqual(await self.job.get_result("a"), ("item", "done"))

    async def test_nobody_wants_it(self) -> None:
        """A result without a waiting caller is not kept."""
        await self.claimed()
        await self.worker.finish("a", "done")
        self.assertEqual(await self.left(), {})

    async def test_without_a_result(self) -> None:
        """A finish without a result ends the wait with Empty and leaves nothing."""
        await self.claimed()
        asked = await self.command_seen("ZADD", "feed.results:x")
        result = self.job.get_result("a")
        await asked
        await self.worker.finish("a")
        await self.assertFailure(result, Empty)
        self.assertEqual(await self.left(), {})

    async def test_result_of_an_earlier_job(self) -> None:
        """get_result waits for a job that was put again, and the old result is removed."""
        await self.claimed()
        await self.worker.finish("a", "old", 60)
        await self.claimed()
        result = self.job.get_result("a")
        await self.until_gone(KEPT)
        await self.worker.finish("a", "new")
        self.assertEqual(await result, ("item", "new"))
        self.assertEqual(await self.left(), {})

    async def test_old_result_that_nobody_asked_for(self) -> None:
        """A finish that keeps no result removes the kept result of an earlier job."""
        await self.claimed()
        await self.worker.finish("a", "old", 60)
        await self.claimed()
        await self.worker.finish("a", "new")
        self.assertEqual(await self.left(), {})

    async def test_note_that_nobody_took_back(self) -> None:
        """The note of a dead process that a result is wanted expires."""
        await self.claimed()
        await self.raw.send("ZADD", "feed.results:x", 1, "a")
        await self.worker.finish("a", "done")
        self.assertEqual(await self.left(), {})

    async def test_left_before(self) -> None:
        """Cancelling get_result withdraws the note that the result is wanted."""
        await self.claimed()
        asked = await self.command_seen("ZADD", "feed.results:x")
        result = self.job.get_result("a")
        await asked
        result.cancel()
        await self.assertFailure(result, CancelledError)
        await self.job.pub.redis.ping()
        self.assertEqual(await self.left(), {})
        await self.worker.finish("a", "done")
        self.assertEqual(await self.left(), {})
