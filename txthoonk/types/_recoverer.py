"""One pass over a queue or a job feed that puts right what others left behind.

Redis does nothing for a long time at once: every step is a script over one slice, and
between two of them others get their turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from txthoonk.consumers._deadlines import MOST
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._slices import scan
from txthoonk.wire._keys import FEEDS
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.job._keys import JobBase
    from txthoonk.types._taken import TakenFeed

__all__ = ["JobPass", "Pass"]

PATIENCE = 30_000  # milliseconds that an id may be on its way, or in no state
SLICE = 500  # ids in one call
LINE_SLICE = 5000  # ids in one reading of the line

_DATE_TRANSIT = load("queue/date_transit")
_RESTORE = load("queue/restore")
_SCAN = load("queue/scan")
_DATE_LOST = load("queue/date_lost")
_EXPIRE_CLAIMS = load("job/expire_claims")
_TRIM_STALLED = load("job/trim_stalled")
_TIDY = load("job/tidy")


class Pass:
    """One pass over a feed.

    :param restore: LPUSH or RPUSH: where to put back what was lost.
    """

    _log = Logger()

    def __init__(self, feed: TakenFeed, restore: str) -> None:
        self._feed = feed
        self._restore_to = restore
        self._counts = {"dated": 0, "restored": 0, "dropped": 0}

    async def run(self) -> dict[str, int]:
        """Make the pass; what was done, by kind."""
        await self._feed.get_config()  # fails if there is no such feed
        await self._steps()
        self._tell()
        return self._counts

    def _tell(self) -> None:
        if any(self._counts.values()):
            self._log.info(
                "maintenance of feed {name!r}: {counts}", name=self._feed.name, counts=self._counts
            )

    async def _steps(self) -> None:
        await self._date_transit()
        await self._restore()
        await self._date_lost(await self._suspects())

    async def _call(self, script: Script, keys: tuple[str, ...], *words: str | int) -> list[int]:
        redis = self._feed.pub.redis
        reply: list[int] = await redis.call(script, (*script.prefix(keys), *words), TEXT)
        return reply

    def _keys(self) -> tuple[str, ...]:
        feed = self._feed
        return (
            feed.feed_ids,
            feed.feed_items,
            feed.feed_transit,
            feed.feed_delivering,
            feed.feed_claimed,
            feed.feed_stalled,
        )

    async def _date_transit(self) -> None:
        keys = (self._feed.feed_transit, self._feed.feed_delivering)
        dated = SLICE
        while dated == SLICE:
            command = (*_DATE_TRANSIT.prefix(keys), SLICE)
            dated = await self._feed.pub.redis.call(_DATE_TRANSIT, command, TEXT)
            self._counts["dated"] += dated

    async def _restore(self) -> None:
        looked = 1
        while looked:
            looked, restored, dropped = await self._call(
                _RESTORE, self._keys(), PATIENCE, self._restore_to
            )
            self._counts["restored"] += restored
            self._counts["dropped"] += dropped

    async def _suspects(self) -> set[str]:
        """List the ids of items that are in no state, as far as slices can tell."""
        feed = self._feed
        keys = (feed.feed_items, feed.feed_delivering, feed.feed_claimed, feed.feed_stalled)
        found: set[str] = set()

        async def step(cursor: str, count: int) -> tuple[str, int]:
            command = (*_SCAN.prefix(keys), cursor, count)
            cursor, size, ids = await feed.pub.redis.call(_SCAN, command, TEXT)
            found.update(ids)
            return cursor, size

        await scan(step)
        length = await feed.length()
        # What is put meanwhile moves the others on: we see some twice, but miss none.
        for first in range(0, 2 * length + LINE_SLICE, LINE_SLICE):
            command = ("LRANGE", feed.feed_ids, first, first + LINE_SLICE - 1)
            line = await feed.pub.redis.request(command, TEXT)
            found.difference_update(line)
            if not line or not found:
                return found
        return set()  # the line grows faster than it can be read: another time

    async def _date_lost(self, suspects: set[str]) -> None:
        left = sorted(suspects)
        while left:
            looked, dated = await self._call(_DATE_LOST, (FEEDS, *self._keys()), *left[:SLICE])
            self._counts["dated"] += dated
            del left[:looked]


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
            moved = (await self._job._look_due())[0]
            self._counts["due"] += moved

    async def _trim_stalled(self) -> None:
        job = self._job
        keys = (*job._keys, job.feed_stalled, job.feed_failed, job.feed_failures)
        command = (*_TRIM_STALLED.prefix(keys, *job._words), SLICE)
        looked = 1
        while looked:
            looked, removed = await job.pub.redis.call(_TRIM_STALLED, command, TEXT)
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
            looked, *done, wait = await job.pub.redis.call(_EXPIRE_CLAIMS, command, TEXT)
            for kind, count in zip(("cancelled", "stalled", "dropped"), done, strict=True):
                self._counts[kind] += count
        return None if wait is None else int(wait)
