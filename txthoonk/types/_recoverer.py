"""One pass over a queue or a job feed that puts right what others left behind.

Redis does nothing for a long time at once: every step is a script over one slice, and
between two of them others get their turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from txthoonk._support._replies import parses, parsing
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._slices import scan
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.types._taken import TakenFeed

__all__ = ["SLICE", "Pass", "numbers"]

PATIENCE = 30_000  # milliseconds that an id may be on its way, or in no state
SLICE = 500  # ids in one call
LINE_SLICE = 5000  # ids in one reading of the line

_DATE_TRANSIT = load("queue/date_transit")
_RESTORE = load("queue/restore")
_SCAN = load("queue/scan")
_DATE_LOST = load("queue/date_lost")


@parses
def numbers(reply: Any) -> list[int]:
    """Check that a reply is numbers."""
    return [int(number) for number in reply]


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

    async def _call(self, script: Script, *words: str | int, **names: str) -> Any:
        feed = self._feed
        command = (*script.bind(feed.name, **names), *words)
        return await feed.pub.redis.call(script, command, TEXT)

    async def _date_transit(self) -> None:
        dated = SLICE
        while dated == SLICE:
            (dated,) = numbers([await self._call(_DATE_TRANSIT, SLICE)])
            self._counts["dated"] += dated

    async def _restore(self) -> None:
        looked = 1
        while looked:
            counts = numbers(await self._call(_RESTORE, PATIENCE, self._restore_to))
            with parsing:
                looked, restored, dropped = counts
            self._counts["restored"] += restored
            self._counts["dropped"] += dropped

    async def _suspects(self) -> set[str]:
        """List the ids of items that are in no state, as far as slices can tell."""
        feed = self._feed
        found: set[str] = set()

        async def step(cursor: str, count: int) -> tuple[str, int]:
            reply = await self._call(_SCAN, cursor, count)
            with parsing:
                cursor, size, ids = reply
                found.update(ids)
            return cursor, size

        await scan(step)
        (length,) = numbers([await feed.length()])
        # What is put meanwhile moves the others on: we see some twice, but miss none.
        for first in range(0, 2 * length + LINE_SLICE, LINE_SLICE):
            command = ("LRANGE", feed.feed_ids, first, first + LINE_SLICE - 1)
            line = await feed.pub.redis.request(command, TEXT)
            with parsing:
                found.difference_update(line)
            if not line or not found:
                return found
        return set()  # the line grows faster than it can be read: another time

    async def _date_lost(self, suspects: set[str]) -> None:
        with parsing:
            left = sorted(suspects)
        while left:
            counts = numbers(await self._call(_DATE_LOST, *left[:SLICE]))
            with parsing:
                looked, dated = counts
            self._counts["dated"] += dated
            del left[:looked]
