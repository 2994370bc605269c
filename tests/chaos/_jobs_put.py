"""Puts the jobs of ``_jobs.py``, whatever happens to the connection."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from txthoonk import ConnectionLost, Job, JobExists

__all__ = ["NOTHING", "Putting"]

#: Stands for the end of a job that has not ended.
NOTHING = object()

#: The item, which selects what a worker does -> its relative frequency.
KINDS = {
    "soon": 30,
    "now": 25,
    "deferred": 15,
    "progress": 6,
    "long": 10,
    "sometimes": 8,
    "again": 5,
    "never": 2,
    "stall": 3,
    "odd": 2,
}
DELAYED = 0.1  # of the jobs
LONGEST_DELAY = 1.5  # seconds
HIGH = 0.1  # of the jobs
AWAITED = 0.1  # of the jobs: the test waits for their end
PUTTERS = 4


class Putting:
    """Puts jobs into feeds at random.

    :param seconds: the time in which to put them.
    :param count: the number of jobs.
    :ivar put: feed -> id -> item.
    :ivar told: feed -> id -> how the job ended, for the jobs that were waited for.
    """

    def __init__(self, reactor: Any, chance: random.Random, seconds: float, count: int) -> None:
        self.put: dict[str, dict[str, str]] = {}
        self.told: dict[str, dict[str, Any]] = {}
        self._reactor = reactor
        self._random = chance
        self._each = count // PUTTERS
        self._apart = seconds / self._each

    def put_all(self, feeds: dict[str, Job]) -> Deferred[Any]:
        """Put all jobs; the Deferred fires when all are put."""
        for name in feeds:
            self.put[name], self.told[name] = {}, {}
        jobs = list(feeds.values())
        return gatherResults(
            [Deferred.fromCoroutine(self._put_some(jobs)) for _ in range(PUTTERS)]
        )

    async def _put_some(self, jobs: list[Job]) -> None:
        begun = self._reactor.seconds()
        for number in range(self._each):
            kind = self._random.choices(list(KINDS), list(KINDS.values()))[0]
            await self._put_one(self._random.choice(jobs), kind)
            due = begun + number * self._apart
            await deferLater(self._reactor, max(0, due - self._reactor.seconds()))

    async def _put_one(self, job: Job, kind: str) -> None:
        """Put a job, and repeat until Redis has it."""
        put = self.put[job.name]
        id_ = f"{kind}-{len(put)}"
        put[id_] = kind
        options: dict[str, Any] = {"id_": id_}
        if self._random.random() < HIGH:
            options["priority"] = job.HIGH
        if self._random.random() < DELAYED:
            options["delay"] = self._random.uniform(0, LONGEST_DELAY)
        is_put = False
        while not is_put:
            is_put = await self._is_put(job, kind, options)
        if self._random.random() < AWAITED:
            self._await_end(job, id_)

    async def _is_put(self, job: Job, item: str, options: dict[str, Any]) -> bool:
        """Put a job; return whether it was put."""
        try:
            await job.put(item, **options)
        except JobExists:
            pass
        except ConnectionLost:
            return await self._is_there(job, options["id_"])
        return True

    async def _is_there(self, job: Job, id_: str) -> bool:
        """Return whether a job was put that no other call puts."""
        while True:
            try:
                # A job that is gone between the two questions is finished.
                key = f"feed.jobfinished:{job.name}\0{id_}"
                return await job.has_id(id_) or bool(await job.pub.redis.send("EXISTS", key))
            except ConnectionLost:
                pass

    def _await_end(self, job: Job, id_: str) -> None:
        """Record how the wait for the end of a job ends."""
        told = self.told[job.name]
        told[id_] = NOTHING
        job.wait(id_).addBoth(lambda end: told.__setitem__(id_, end))
