"""One pass of maintenance over a job feed: lost jobs, old claims, delayed jobs and records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._replies import parsing
from txthoonk.consumers._deadlines import MOST
from txthoonk.job._expiry import EXPIRED
from txthoonk.types._recoverer import SLICE, Pass, numbers
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._taken import TakenFeed

__all__ = ["JobPass"]

_EXPIRE_CLAIMS = load("job/expire_claims")
_EXPIRE = load("job/expire")
_TRIM_STALLED = load("job/trim_stalled")
_TIDY = load("job/tidy")


class JobPass(Pass):
    """One pass over a job feed.

    :param restore: LPUSH or RPUSH: where to put back lost jobs.
    :param look_due: moves delayed jobs that are due into the line; fires a list that begins with
        their number.
    """

    def __init__(
        self, feed: TakenFeed, restore: str, look_due: Callable[[], Deferred[list[Any]]]
    ) -> None:
        super().__init__(feed, restore)
        self._look_due = look_due
        self._counts.update(cancelled=0, stalled=0, due=0, retracted=0)

    async def expire(self) -> int | None:
        """End the claims that are too old, and do nothing else.

        :return: the milliseconds after which the next look can end claims; None if no claim is
            too old.
        """
        wait = await self._expire_claims()
        self._tell()
        return wait

    async def _steps(self) -> None:
        await self._expire_claims()
        await self._put_due()
        await self._expire_jobs()
        await self._trim_stalled()
        for part in ("claims", "failures", "progress", "options"):
            await self._tidy(part)
        await super()._steps()

    async def _put_due(self) -> None:
        moved = MOST
        while moved == MOST:
            due = await self._look_due()
            with parsing:
                moved = int(due[0])
            self._counts["due"] += moved

    async def _expire_jobs(self) -> None:
        """Stall expired jobs, as long as all that were checked had expired."""
        stalled = SLICE
        while stalled == SLICE:
            reply = await self._call(_EXPIRE, EXPIRED, SLICE)
            with parsing:
                stalled = int(reply)
            self._counts["stalled"] += stalled

    async def _trim_stalled(self) -> None:
        looked = 1
        while looked:
            counts = numbers(await self._call(_TRIM_STALLED, SLICE))
            with parsing:
                looked, removed = counts
            self._counts["retracted"] += removed

    async def _tidy(self, part: str) -> None:
        cursor = ""
        while cursor != "0":
            cursor = await self._call(_TIDY, cursor or "0", SLICE, part=part)

    async def _expire_claims(self) -> int | None:
        looked, wait = SLICE, None
        while looked == SLICE:
            reply = await self._call(_EXPIRE_CLAIMS, SLICE)
            with parsing:
                *counts, wait = reply
                looked, *done = numbers(counts)
                for kind, count in zip(("cancelled", "stalled", "dropped"), done, strict=True):
                    self._counts[kind] += count
                wait = None if wait is None else int(wait)
        return wait
