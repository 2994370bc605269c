"""The numbers of ``thoonk top``: rates, sums, an order, and workers (pure)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import attr

from txthoonk.monitoring._inspector import SILENT, Held, Overview

__all__ = [
    "TAKEN",
    "Before",
    "Counts",
    "Crew",
    "Rates",
    "Sums",
    "as_json",
    "busiest",
    "busy",
    "crews_of",
    "rates",
]

TAKEN = ("job", "queue", "pyqueue")  # types whose items are taken


class Sums(NamedTuple):
    """Totals over feeds; all but the first count queues and job feeds only."""

    feeds: int = 0
    available: int = 0
    claimed: int = 0
    stalled: int = 0

    def plus(self, feeds: Iterable[Overview]) -> Sums:
        """Add feeds."""
        sums = list(self)
        for feed in feeds:
            sums[0] += 1
            if feed.type in TAKEN:
                sums[1] += feed.available
                sums[2] += feed.claimed
                sums[3] += feed.stalled
        return Sums(*sums)


class Counts(NamedTuple):
    """The counters of a feed at one time, to compare with later ones."""

    time: float
    publishes: int
    finishes: int


Before = Mapping[str, Overview | Counts]


class Rates(NamedTuple):
    """Events per second since the last reading; None if that is unknown."""

    publishes: float | None = None
    finishes: float | None = None


def rates(now: Overview, before: Overview | Counts | None) -> Rates:
    """Compare two readings of a feed."""
    if before is None or before.time >= now.time or before.publishes > now.publishes:
        return Rates()
    seconds = now.time - before.time
    publishes = (now.publishes - before.publishes) / seconds
    if now.type != "job" or before.finishes > now.finishes:
        return Rates(publishes)
    return Rates(publishes, (now.finishes - before.finishes) / seconds)


def busy(feed: Overview, rate: Rates) -> tuple[Any, ...]:
    """Make the sort key of a feed; it is rough, so that lines do not jump about."""
    total = (rate.publishes or 0) + (rate.finishes or 0)
    waiting = feed.available + feed.delayed if feed.type in TAKEN else 0
    magnitude = math.frexp(total)[1] if total else -100
    return -magnitude, -feed.claimed.bit_length(), -waiting.bit_length(), feed.name


def busiest(feeds: Iterable[Overview], before: Before, most: int) -> list[Overview]:
    """Select at most this many feeds, the busiest first."""
    return heapq.nsmallest(
        most, feeds, lambda feed: busy(feed, rates(feed, before.get(feed.name)))
    )


@attr.define
class Crew:
    """A worker, or another client that has claims.

    :ivar running: its claims, each with the name of the feed.
    :ivar more: whether it can have claims that were not listed.
    """

    name: str
    concurrency: int | None = None
    seen: float = math.inf
    feeds: list[str] = attr.Factory(list)
    running: list[tuple[str, Held]] = attr.Factory(list)
    more: bool = False

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker."""
        return self.concurrency is not None

    @property
    def silent(self) -> bool:
        """Whether it is a worker that has not reported for a minute."""
        return self.is_worker and self.seen > SILENT


def crews_of(feeds: Iterable[Overview]) -> list[Crew]:
    """Find the workers of feeds and other clients that have claims, the busiest first."""
    crews: dict[tuple[str, str | None], Crew] = {}
    for feed in feeds:
        on_feed: dict[str, Crew] = {}
        for worker in feed.workers:
            named = Crew(worker.name or worker.owner, worker.concurrency, worker.seen)
            crew = on_feed[worker.owner] = crews.setdefault((worker.owner, worker.name), named)
            crew.seen = min(crew.seen, worker.seen)
            if feed.name not in crew.feeds:
                crew.feeds.append(feed.name)
        for held in feed.held:
            other = crews.get((held.owner, None)) or Crew(f"? {held.owner}".strip())
            crew = on_feed.get(held.owner) or crews.setdefault((held.owner, None), other)
            crew.running.append((feed.name, held))
            crew.more = crew.more or feed.claimed > len(feed.held)
    for crew in crews.values():
        crew.running.sort(key=lambda one: (one[0], -one[1].seconds, one[1].id))
    return sorted(crews.values(), key=lambda crew: (-len(crew.running), crew.name))


def as_json(
    feeds: Iterable[Overview], before: Before, failed: Mapping[str, Exception]
) -> dict[str, Any]:
    """Give everything that is known, for scripts; times are in seconds."""
    return {
        "feeds": [_feed_json(feed, before.get(feed.name)) for feed in feeds],
        "failed": {name: str(error) for name, error in sorted(failed.items())},
    }


def _feed_json(feed: Overview, before: Overview | Counts | None) -> dict[str, Any]:
    rate = rates(feed, before)
    return {
        **attr.asdict(feed),
        "publishes_per_second": rate.publishes,
        "finishes_per_second": rate.finishes,
    }
