"""The aims: ratios within one run that txthoonk should reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator

import attr
from growth import CURVES, SIZES, title_at
from jobs import KEPT_RESULTS, RESULTS
from peers.programs import MINIMAL, OURS, RAW, REDIS_BENCHMARK
from results import Line, Results, lines_of, shown

__all__ = ["Aim", "aims"]

PUT = ("publish", "queue: put", "job: put")
FROM_PYTHON = 3.0  # times faster than the fastest peer for Python
NOISE = 1.2  # times that a cost may grow more than that of the structure
HANDLERS = ("plain handler", "plain handler, of a burst")
BULK = "job: put, in bulk"


@attr.frozen
class Aim:
    """One aim.

    :ivar least: the lowest ratio that meets the aim.
    :ivar ratio: the measured ratio.
    :ivar detail: the figures, or the row.
    """

    text: str
    least: float
    ratio: float
    detail: str = ""

    @property
    def met(self) -> str:
        return "yes" if self.ratio >= self.least else "no"


#: The arguments of an Aim; without a ratio it was not measured.
_Found = tuple[str, float, "float | None", str]


def aims(results: Results) -> list[Aim]:
    """Compare the measured ratios with the aims."""
    found = (_of_the_limit, _of_another_row, _beside_peers, _beside_python, _growth)
    return [
        Aim(text, least, ratio, detail)
        for kind in found
        for text, least, ratio, detail in kind(results)
        if ratio is not None
    ]


def _ratio(results: Results, title: str, name: str, other: str = "") -> float | None:
    """Divide the median of txthoonk by that of a program, in another row if one is given."""
    ours, theirs = results.median(title, OURS), results.median(other or title, name)
    return ours / theirs if ours and theirs else None


def _figure(results: Results, title: str) -> str:
    return f"{shown(results.median(title, OURS))} a second"


def _of_the_limit(results: Results) -> Iterator[_Found]:
    for what in PUT:
        for how, least in (("100 in flight", 0.5), ("one at a time", 0.75)):
            title = f"{what}, {how}"
            ratio = _ratio(results, title, REDIS_BENCHMARK)
            yield (f"{title}, of redis-benchmark", least, ratio, _figure(results, title))


def _of_another_row(results: Results) -> Iterator[_Found]:
    ratio = _ratio(results, KEPT_RESULTS, OURS, RESULTS)
    text = f"{KEPT_RESULTS}, of those that are not kept"
    yield (text, 0.9, ratio, _figure(results, KEPT_RESULTS))


def _beside_peers(results: Results) -> Iterator[_Found]:
    for title in ("queue: put, in bulk", BULK):
        ratio = _ratio(results, title, "bee-queue", BULK)
        yield (f"{title}, of bee-queue's bulk", 1.5, ratio, _figure(results, title))
    for concurrency, peer in ((100, "bee-queue"), (1, "BullMQ")):
        title = f"worker: jobs, concurrency {concurrency}"
        yield (f"{title}, of {peer}", 1.0, _ratio(results, title, peer), _figure(results, title))
    for title in HANDLERS:
        ratio = _ratio(results, title, "node-redis")
        yield (f"fan-out to a {title}, of node-redis", 1.0, ratio, _figure(results, title))


def _beside_python(results: Results) -> Iterator[_Found]:
    for line in lines_of(results):
        peer = results.best_peer(line, for_python=True)
        if peer is not None and line.unit == "a second":
            text = f"{line.title}, of the fastest for Python"
            yield (text, FROM_PYTHON, results.better(line, peer), _at_most(results, line, peer))


def _at_most(results: Results, line: Line, peer: str) -> str:
    """Describe how many times faster than the peer the limits are."""
    theirs = results.median(line.title, peer)
    limits = [results.median(line.title, name) or 0.0 for name in (MINIMAL, REDIS_BENCHMARK)]
    return f"{peer}; the best limit {max(limits) / theirs:.2f}" if theirs and any(limits) else peer


def _growth(results: Results) -> Iterator[_Found]:
    for curve in CURVES:
        ours, raw = (_grown(results, curve.title, name) for name in (OURS, RAW))
        ratio = raw / ours if raw and ours else None
        text = f"{curve.title}: growth of its structures, of its own"
        yield (text, 1 / NOISE, ratio, f"{ours:.1f} and {raw:.1f} times" if ratio else "")


def _grown(results: Results, title: str, name: str) -> float | None:
    """Return how many times more a call costs in the biggest feed than in the smallest."""
    costs = [results.median(title_at(title, size), name) for size in (SIZES[0], SIZES[-1])]
    return costs[1] / costs[0] if costs[0] and costs[1] else None
