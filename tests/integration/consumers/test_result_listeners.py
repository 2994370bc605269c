"""Many publishers wait for results: a few hear of all jobs, the others of their own."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support import RedisTestCase
from tests.support.waiting import until
from txthoonk.consumers.results._result_waiters import LISTENERS
from txthoonk.types import Job

PUBLISHERS = 8
ALL = "job.finish:j"


class ListenersTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.worker: Job = await (await self.pub()).job("j")
        self.jobs = [Job(await self.pub(), "j") for _ in range(PUBLISHERS)]
        self.ids = [str(number) for number in range(PUBLISHERS)]
        for id_ in self.ids:
            await self.worker.put(f"item {id_}", id_=id_)
            await self.worker.get()

    async def waiting(self, job: Job, id_: str, end: bool = False) -> Deferred[Any]:
        """Begin to wait, and return when the wait is subscribed."""
        waiting = job.wait(id_) if end else job.get_result(id_)
        (wait,) = [one for one in job._results._waits[id_] if one.sub is None][:1]
        await until(lambda: wait.sub is not None or wait.called)
        return waiting

    async def all_wait(self, end: bool = False) -> list[Deferred[Any]]:
        """Make each publisher wait for a job."""
        all_ = [await self.waiting(*both, end) for both in zip(self.jobs, self.ids, strict=True)]
        self.addCleanup(self.leave, list(all_))
        return all_

    def leave(self, waiting: list[Deferred[Any]]) -> None:
        for one in waiting:
            one.addErrback(lambda _: None).cancel()

    async def finish_as_others(self, id_: str, result: str) -> None:
        """Finish a job as thoonk.js does."""
        for words in (
            ("MULTI",),
            ("ZREM", "feed.claimed:j", id_),
            ("HDEL", "feed.cancelled:j", id_),
            ("ZREM", "feed.published:j", id_),
            ("INCR", "feed.finishes:j"),
            ("PUBLISH", ALL, f"{id_}\0{result}"),
            ("HDEL", "feed.items:j", id_),
            ("EXEC",),
        ):
            await self.raw.send(*words)

    async def test_each_its_own(self) -> None:
        """A few publishers hear of all results, the others of their own, even if one has a NUL."""
        waiting = await self.all_wait()
        await self.numsub(ALL, LISTENERS)
        for id_ in self.ids:
            await self.worker.finish(id_, f"the\0result {id_}")
        self.assertEqual(
            await gatherResults(waiting), [(f"item {n}", f"the\0result {n}") for n in self.ids]
        )

    async def test_no_result(self) -> None:
        """A finish without a result ends the waits."""
        waiting = await self.all_wait(end=True)
        for id_ in self.ids:
            await self.worker.finish(id_)
        self.assertEqual(await gatherResults(waiting), [None] * PUBLISHERS)

    async def test_others(self) -> None:
        """The few pass on messages of other implementations, even when they wait no more."""
        waiting = await self.all_wait()
        for id_ in self.ids:  # the ids of the few come first
            await self.finish_as_others(id_, f"result {id_}")
            found = await waiting.pop(0)
            self.assertEqual(found, (f"item {id_}", f"result {id_}"))
        await self.numsub(ALL, 1)

    async def test_taken_over(self) -> None:
        """When a listener of all jobs is gone, another publisher takes its place."""
        waiting = await self.all_wait()
        first: Any = self.jobs[0].pub
        await first.close()
        await self.assertFailure(waiting.pop(0), Exception)
        await self.raw.send("ZREM", "feed.listeners:j", first.uuid)
        self.jobs[-1]._results._ask_again()
        await self.numsub(ALL, LISTENERS)
        await self.finish_as_others("4", "x")
        self.assertEqual(await waiting[3], ("item 4", "x"))

    async def test_not_told(self) -> None:
        """A result whose message was missed is found by the next call."""
        waiting = await self.all_wait()
        for id_ in self.ids[-2:]:
            (wait,) = self.jobs[int(id_)]._results._waits[id_]
            assert wait.handler is not None
            sub, handler = wait.handler
            sub.remove_handler(handler)
            await self.worker.finish(id_, "done")
            self.jobs[int(id_)]._results._ask_again()
            self.assertEqual(await waiting[int(id_)], (f"item {id_}", "done"))

    async def test_same_job(self) -> None:
        """Of several waits for one job, one that is cancelled does not affect the others."""
        waiting = [await self.waiting(job, "0") for job in self.jobs]
        left = waiting.pop()
        left.cancel()
        await self.assertFailure(left, CancelledError)
        await self.worker.finish("0", "done")
        self.assertEqual(await gatherResults(waiting), [("item 0", "done")] * (PUBLISHERS - 1))

    async def test_few(self) -> None:
        """When the last wait ends, no subscription and no key is left."""
        waiting = await self.waiting(self.jobs[0], "0")
        await self.numsub(ALL, 1)
        await self.worker.finish("0", "done")
        await waiting
        await self.numsub(ALL, 0)
        await self.jobs[0].pub.redis.ping()
        self.assertFalse(await self.raw.send("EXISTS", "feed.listeners:j", "feed.results:j"))
