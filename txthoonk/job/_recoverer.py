"""One pass over a job feed: what a queue needs, and old claims, delayed jobs and records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from txthoonk._support._replies import parsing
from txthoonk.consumers._deadlines import MOST
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._recoverer import SLICE, Pass, numbers
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.job._keys import JobBase

__all__ = ["JobPass"]

_EXPIRE_CLAIMS = load("job/expire_claims")
_TRIM_STALLED = load("job/trim_stalled")
_TIDY = load("job/tidy")


class JobPass(Pass):
    """One pass over a job feed: old claims as well."""

    def __init__(self, feed: JobBase, restore: str) -> None:
        super().__init__(feed, restore)
        self._job = feed
        self._counts.update(cancelled=0, stalled=0, due=0, retracted=0)

    async def expire(self) -> int | None:
        """End the claims that are too old, and nothing else.

        :return: fires in how many milliseconds the next look can end claims, None if none is
            too old.
        """
        wait = await self._expire_claims()
        self._tell()
        return wait

    async def _steps(self) -> None:
        await self._expire_claims()
        await self._put_due()
        await self._trim_stalled()
        for records in (self._job.feed_claims, self._job.feed_failures, self._job.feed_progress):
            await self._tidy(records)
        await super()._steps()

    async def _put_due(self) -> None:
        moved = MOST
        while moved == MOST:
            due = await self._job._look_due()
            with parsing:
                moved = int(due[0])
            self._counts["due"] += moved

    async def _trim_stalled(self) -> None:
        job = self._job
        keys = (*job._keys, job.feed_stalled, job.feed_failed, job.feed_failures)
        command = (*_TRIM_STALLED.prefix(keys, *job._words), SLICE)
        looked = 1
        while looked:
            counts = numbers(await job.pub.redis.call(_TRIM_STALLED, command, TEXT))
            with parsing:
                looked, removed = counts
            self._counts["retracted"] += removed

    async def _tidy(self, records: str) -> None:
        job = self._job
        prefix = _TIDY.prefix((job.feed_items, job.feed_later, records))
        cursor = ""
        while cursor != "0":
            cursor = await job.pub.redis.call(_TIDY, (*prefix, cursor or "0", SLICE), TEXT)

    async def _expire_claims(self) -> int | None:
        job = self._job
        keys = (
            *job._keys,
            job.feed_ids,
            job.feed_published,
            job.feed_claimed,
            job.feed_cancelled,
            job.feed_stalled,
            job.feed_claims,
            job.feed_failures,
            job.feed_progress,
            job.feed_failed,
            job.feed_overdue,
        )
        words = (*job._words, job.channel_cancel, job.channel_stall, SLICE)
        command = (*_EXPIRE_CLAIMS.prefix(keys), *words)
        looked, wait = SLICE, None
        while looked == SLICE:
            reply = await job.pub.redis.call(_EXPIRE_CLAIMS, command, TEXT)
            with parsing:
                *counts, wait = reply
                looked, *done = numbers(counts)
                for kind, count in zip(("cancelled", "stalled", "dropped"), done, strict=True):
                    self._counts[kind] += count
                wait = None if wait is None else int(wait)
        return wait
