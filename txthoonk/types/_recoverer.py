"""One pass of maintenance over a queue or a job feed: restores what processes lost.

No step keeps Redis busy for long: each is a script over one slice, and other clients get their
turn between two slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from txthoonk._support._replies import parses, parsing
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import scan
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Recoverable

__all__ = ["SLICE", "Pass", "numbers"]

PATIENCE = 30_000  # milliseconds that an id may be in transit, or in no state
SLICE = 500  # ids in one call
LINE_SLICE = 5000  # ids to read from the line in one call

_DATE_TRANSIT = load("queue/date_transit")
_RESTORE = load("queue/restore")
_SCAN = load("queue/scan")
_DATE_LOST = load("queue/date_lost")


@parses
def numbers(reply: Any) -> list[int]:
    """Read a reply that consists of numbers."""
    return [int(number) for number in reply]


class Pass:
    """One pass over a feed.

    :param restore: where to put lost ids back: LPUSH for the end of the line, RPUSH for its front.
    """

    _log = Logger()

    def __init__(self, feed: Recoverable, restore: str) -> None:
        self._feed = feed
        self._restore_to = restore
        self._counts = {"dated": 0, "restored": 0, "dropped": 0}

    async def run(self) -> dict[str, int]:
        """Make the pass.

        :return: the number of ids for each kind of change.
        """
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
        """List the ids of items that seem to be in no state."""
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
        # Items that are put during the scan shift the others: it reads some twice, misses none.
        for first in range(0, 2 * length + LINE_SLICE, LINE_SLICE):
            command = ("LRANGE", feed.feed_ids, first, first + LINE_SLICE - 1)
            line = await feed.pub.redis.request(command, TEXT)
            with parsing:
                found.difference_update(line)
            if not line or not found:
                return found
        return set()  # the line grows faster than it can be read: the next pass tries again

    async def _date_lost(self, suspects: set[str]) -> None:
        with parsing:
            left = sorted(suspects)
        while left:
            counts = numbers(await self._call(_DATE_LOST, *left[:SLICE]))
            with parsing:
                looked, dated = counts
            self._counts["dated"] += dated
            del left[:looked]
