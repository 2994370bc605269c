"""Reads the state of feeds again and again: of all, or, if there are too many, of some in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from txthoonk.cli.top._model import Counts, Sums, busiest
from txthoonk.errors import ResponseError
from txthoonk.monitoring._inspector import FeedNames, Overview, read_overviews
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._keys import FEEDS

__all__ = ["MOST", "Rounds"]

MOST = 5000  # feeds in one reading, and up to a page more
PAGES = 50  # pages of feed names in one reading
KEPT = 500  # feeds that are in each reading, if there are too many for one
CLAIMS = 500  # claims to list of a feed, at most


class Rounds:
    """The state of feeds.

    With more than *most* feeds, a reading is a part of a round through all of them, and includes
    the busiest feeds found so far.

    :ivar feeds: the state of the feeds; of the busiest only, if there are too many.
    :ivar before: their state at the reading before.
    :ivar failed: the errors of feeds that cannot be read.
    :ivar sums: the totals over all feeds, as far as they are known; None: *feeds* are all.
    :ivar turn: how many feeds were met in this round, and how many there are; None: *feeds* are
        all.
    """

    def __init__(
        self,
        redis: Commands,
        wanted: Callable[[str], bool],
        names: Sequence[str] = (),
        most: int | None = MOST,
        looked: Callable[[int], object] = lambda count: None,
    ) -> None:
        """Prepare readings.

        :param wanted: whether to read a feed.
        :param names: the feeds to read, if they are known.
        :param most: about how many feeds to read in one reading; None: all.
        :param looked: is called during a reading with the number of feeds read so far.
        """
        self._redis = redis
        self._wanted = wanted
        self._given = names
        self._most = most
        self._looked = looked
        self._names = FeedNames(redis)
        self.feeds: dict[str, Overview] = {}
        self.before: Mapping[str, Overview | Counts] = {}
        self.failed: dict[str, ResponseError] = {}
        self.sums: Sums | None = None
        self.turn: tuple[int, int] | None = None
        self._last: dict[str, Counts] = {}
        self._last_sums: Sums | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        self._met = 0  # names in this round
        self._now: dict[str, Counts] = {}  # of the feeds read in it
        self._now_sums = Sums()

    async def look(self) -> None:
        """Read once.

        :raises ConnectionLost: if the connection is lost before all replies arrived.
        """
        begins = self._names.at_start
        if begins:
            self._begin_round()
        found: dict[str, Overview] = {}
        failed: dict[str, ResponseError] = {}
        if self._given:
            await self._read(await self._existing(self._given), found, failed)
        else:
            await self._read_pages(found, failed)
        if begins and self._names.at_start:
            self.before, self.sums, self.turn = self.feeds, None, None
        else:
            found = await self._busiest(found, failed)
        self.feeds, self.failed = found, failed

    async def _read_pages(
        self, found: dict[str, Overview], failed: dict[str, ResponseError]
    ) -> None:
        for page in itertools.count(1):
            names = await self._names.page()
            self._met += len(names)
            await self._read(filter(self._wanted, names), found, failed)
            full = self._most is not None and (len(found) >= self._most or page >= PAGES)
            if full or self._names.at_start:
                return

    async def _read(
        self,
        names: Iterable[str],
        found: dict[str, Overview],
        failed: dict[str, ResponseError],
    ) -> None:
        some, others = await read_overviews(self._redis, sorted(names), CLAIMS)
        found |= some
        failed |= others
        self._looked(len(found))

    async def _existing(self, names: Sequence[str]) -> list[str]:
        if not names:
            return []
        found = await self._redis.request(("SMISMEMBER", FEEDS, *names), TEXT)
        return [name for name, exists in zip(names, found, strict=True) if exists]

    async def _busiest(
        self, found: dict[str, Overview], failed: dict[str, ResponseError]
    ) -> dict[str, Overview]:
        """Add a part of a round; give the busiest of its feeds and of those before."""
        new = [one for one in found.values() if one.name not in self._now]
        self._now_sums = self._now_sums.plus(new)
        self._now |= {one.name: Counts(one.time, one.publishes, one.finishes) for one in new}
        last = {name: self._last[name] for name in found if name in self._last}
        self.before = {**last, **self.feeds}
        if self._names.at_start:
            self._last, self._last_sums = self._now, self._now_sums
        self.sums = self._last_sums or self._now_sums
        self.turn = self._met, await self._redis.request(("SCARD", FEEDS), TEXT)
        others = await self._existing([name for name in self.feeds if name not in found])
        await self._read(others, found, failed)
        return {one.name: one for one in busiest(found.values(), self.before, KEPT)}
