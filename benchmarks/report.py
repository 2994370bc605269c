"""The report: the figures compared with limits and peers, and the aims."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from aims import Aim, aims
from growth import CURVES, SIZES, WALL, title_at
from peers.programs import MINIMAL, OURS, PROGRAMS, RAW, REDIS_BENCHMARK
from results import Line, Results, lines_of, shown
from tables import Table, markdown, plain, rest

__all__ = ["text", "write"]

TITLE = "How fast txthoonk is"
PLOTS = {
    "rates": "Calls, items, jobs and events a second, of all programs",
    "growth": "The cost of a call in Redis, by the number of items in the feed",
}
LIMITS = (MINIMAL, REDIS_BENCHMARK, RAW)
TITLES = {
    "publish": "Publishing",
    "history": "Publishing with a history",
    "edit": "Publishing under a known id",
    "trim": "Publishing to a full feed",
    "reads": "Reading",
    "sorted": "Sorted feeds",
    "queue": "Queues",
    "job": "Jobs",
    "worker": "Workers",
    "fanout": "Listening",
    "latency": "From publish to the handler, µs",
    "processes": "Several processes",
    "memory": "Memory, MB",
    "idle": "Workers that wait",
}
RATES = (
    "Items, jobs, events or calls per second: the median of the rounds, the lowest and the "
    "highest. The other columns show how many times better txthoonk is, with the name of the best "
    "peer."
)
COSTS = (
    "Less is better: the median of the rounds, the lowest and the highest. The other columns show "
    "how many times better txthoonk is, with the name of the best peer."
)
GROWTH = (
    "Microseconds of a call by the number of items in the feed: what Redis spends on it and, in "
    "brackets, on the same change of the bare structures; then from the call to its answer, one "
    "at a time."
)

AGAIN = (
    "Medians of txthoonk in the two runs, and how many times better it was, in each of them, than "
    "the best limit and the best peer of that run."
)


def text(results: Results, before: Results | None) -> str:
    """Write the report for a terminal."""
    return _join(results.about, [*_tables(results), *_both(before, results)], plain)


def write(results: Results, before: Results | None, folder: Path) -> None:
    """Write the report, its plots and the bare figures to a folder.

    ``results.md`` is a complete page; ``results.inc`` is reST for a page of the folder to include;
    ``both.inc`` is for any page, and is written only if there is an earlier run to compare.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = [f"![{text}]({name}.svg)" for name, text in PLOTS.items()]
    report = _join(results.about, _tables(results), markdown)
    _save(folder / "results.md", f"# {TITLE}", *images, report)
    images = [f".. image:: {name}.svg\n   :alt: {text}" for name, text in PLOTS.items()]
    _save(folder / "results.inc", *images, _join(results.about, _tables(results), rest))
    if before:
        _save(folder / "both.inc", _join([], _both(before, results), rest))
    results.save(folder / "results.json")
    try:
        from plots import draw
    except ImportError as error:
        print(f"no plots: {error}", file=sys.stderr)
    else:
        draw(results, folder)


def _save(file: Path, *parts: str) -> None:
    file.write_text("\n\n".join(parts) + "\n")


def _join(about: list[str], tables: list[Table], layout: Callable[[Table], str]) -> str:
    return "\n\n".join([*about, *(layout(table) for table in tables if table.rows)])


def _tables(results: Results) -> list[Table]:
    problems = [[what, " ".join(text.split())[:100]] for what, text in results.problems.items()]
    return [
        aims_of(results),
        *(group(results, name) for name in TITLES),
        growth(results),
        everything(results),
        Table("What failed", ["program, row", ""], problems),
    ]


def _both(before: Results | None, results: Results) -> list[Table]:
    return [aims_of_both(before, results), rows_of_both(before, results)] if before else []


def aims_of(results: Results) -> Table:
    rows = [
        [aim.text, f"{aim.least:.2f}", shown(aim.ratio), aim.met, aim.detail]
        for aim in aims(results)
    ]
    return Table("Aims", ["", "wanted", "measured", "met", ""], rows)


def group(results: Results, name: str) -> Table:
    """Make the table of a group, with limits and peers."""
    lines = [line for line in lines_of(results) if line.group == name]
    limits = [limit for limit in LIMITS if any(_has(results, line, limit) for line in lines)]
    head = ["", OURS, "from", "to", *limits, "best peer", "", "best for Python", ""]
    rows = [[line.title, *_beside(results, line, limits)] for line in lines]
    if not any(results.best_peer(line) for line in lines):
        head, rows = head[:-4], [row[:-4] for row in rows]
    rates = all(line.higher_is_better for line in lines)
    return Table(TITLES[name], head, rows, RATES if rates else COSTS)


def _has(results: Results, line: Line, name: str) -> bool:
    return results.median(line.title, name) is not None


def _beside(results: Results, line: Line, limits: list[str]) -> list[str]:
    low, high = results.spread(line.title, OURS) or (None, None)
    cells = [shown(figure) for figure in (results.median(line.title, OURS), low, high)]
    cells += [times(results.better(line, limit)) for limit in limits]
    for for_python in (False, True):
        peer = results.best_peer(line, for_python)
        cells += [peer or "-", times(results.better(line, peer))]
    return cells


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def growth(results: Results) -> Table:
    """Make the table of costs by the size of the feed."""
    head = ["", *(f"{size:,}" for size in SIZES)]
    rows = []
    for curve in CURVES:
        titles = [title_at(curve.title, size) for size in SIZES]
        if any(title in results.figures for title in titles):
            costs = [
                [shown(results.median(title, name)) for title in titles] for name in (OURS, RAW)
            ]
            rows.append(
                [curve.title, *(f"{own} ({raw})" for own, raw in zip(*costs, strict=True))]
            )
            walls = [shown(results.median(title + WALL, OURS)) for title in titles]
            rows.append([curve.title + WALL, *walls])
    return Table("Cost by size", head, rows, GROWTH)


def everything(results: Results) -> Table:
    """Make the table of the medians of all programs."""
    lines = [line for line in lines_of(results) if line.group != "growth"]
    names = [p.name for p in PROGRAMS if any(_has(results, line, p.name) for line in lines)]
    rows = [[line.title, *(shown(results.median(line.title, n)) for n in names)] for line in lines]
    return Table("All medians", ["", *names], rows)


def aims_of_both(first: Results, second: Results) -> Table:
    """Make the table of the aims in two runs."""
    again = {aim.text: aim for aim in aims(second)}
    rows = [
        [aim.text, f"{aim.least:.2f}", *(f"{one.ratio:.2f}" for one in pair), _met(*pair)]
        for aim in aims(first)
        if aim.text in again
        for pair in [(aim, again[aim.text])]
    ]
    return Table("Aims in both runs", ["", "wanted", "first", "second", "met"], rows)


def _met(*pair: Aim) -> str:
    return pair[0].met if pair[0].met == pair[1].met else "once"


def rows_of_both(first: Results, second: Results) -> Table:
    """Make the table of the rows in two runs."""
    runs = (first, second)
    rows = [
        [
            line.title,
            *(shown(run.median(line.title, OURS)) for run in runs),
            *(cell for run in runs for cell in _best_limit(run, line)),
            *(cell for run in runs for cell in _best_peer(run, line)),
        ]
        for line in lines_of(second)
        if line.title in first.figures
    ]
    head = ["", "first", "second", *["limit", "first", "limit", "second"]]
    head += ["best peer", "first", "best peer", "second"]
    return Table("All rows in both runs", head, rows, AGAIN)


def _best_limit(results: Results, line: Line) -> list[str]:
    ratios = {name: results.better(line, name) for name in LIMITS}
    known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    name = min(known, key=lambda name: known[name], default=None)
    return [name or "-", times(known[name] if name else None)]


def _best_peer(results: Results, line: Line) -> list[str]:
    peer = results.best_peer(line)
    return [peer or "-", times(results.better(line, peer))]
