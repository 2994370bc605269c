"""The tables of ``thoonk top``, made with rich: feeds and workers, one line each.

Names come from other programs, so they are escaped before rich gets them, and are never read as
markup.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import attr
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from txthoonk.cli._output import printable
from txthoonk.cli.top._model import TAKEN, Before, Crew, Rates, Sums, busy, crews_of, rates
from txthoonk.monitoring._inspector import Held, Overview

__all__ = ["UNLIMITED", "as_lines", "fit", "render"]

UNLIMITED = 1_000_000  # columns or lines
NAME = 4  # columns that a name gets at least
# Columns of the terminal -> columns for a worker's name, for the id of a job that it runs, and
# for the name of its feed.
WORK = ((UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED), (160, 40, 36, 40), (100, 28, 13, 24))
NARROW = (22, 9, 14)
SHORT = {"sorted_feed": "sorted"}
# What follows the names has fixed widths. rich gets it as one column, which takes it a fifth of
# the time.
NUMBERS = "TYPE     PUT/S DONE/S  AVAIL  CLAIM  DELAY  STALL OLDEST"
JOBS = "    JOBS   SEEN"

Thing = TypeVar("Thing")


# -- texts --------------------------------------------------------------------------------


def fit(text: str, room: int) -> str:
    """Make a text printable, and cut it in the middle if it takes more columns than *room*."""
    if len(text) > 8 * room:  # the rest is not shown in any case
        text = text[: 4 * room] + text[-4 * room :]
    text = printable(text)
    if cell_len(text) <= room:
        return text
    if room <= 0:
        return ""
    tail = text[-((room - 1) // 2) :] if room > 2 else ""
    while cell_len(tail) > (room - 1) // 2:
        tail = tail[1:]
    return set_cell_size(text, room - 1 - cell_len(tail)) + "~" + tail


def _number(value: float | None, digits: int = 0) -> str:
    """Write a number in five columns."""
    if value is None:
        return "-"
    if not value:
        return "0"
    if value < 9.95:
        return f"{value:.{digits}f}"
    if value < 99_999.5:
        return f"{value:.0f}"
    for unit in "kMGT":
        value /= 1000
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5:
            return f"{value:.0f}{unit}"
    return "many"


def _duration(seconds: float | None) -> str:
    """Write a time in six columns."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    hours = whole // 3600
    if hours < 48:
        return f"{hours}h{whole % 3600 // 60:02}m"
    days = hours // 24
    return f"{days}d{hours % 24:02}h" if days < 100 else f"{min(days, 99999)}d"


@attr.frozen
class _Line:
    """A line of text that is cut in the middle if it does not fit; its mark is not cut."""

    text: str
    style: str = ""
    mark: str = ""

    def _cut(self, room: int) -> str:
        return fit(self.text, max(NAME, room - len(self.mark))) + self.mark

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self._cut(options.max_width), console.get_style(self.style))
        yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = cell_len(self._cut(options.max_width))
        return Measurement(min(NAME, width), width)


def _table(width: int, least: int) -> Table:
    """Start a table; on a terminal narrower than *least* it is cropped, not squeezed."""
    narrow = least if width < least else None
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", width=narrow)


# -- feeds --------------------------------------------------------------------------------


def _feed_table(rows: Iterable[tuple[Overview, Rates]], width: int) -> Table:
    table = _table(width, NAME + 1 + len(NUMBERS))
    table.add_column("FEED")
    table.add_column(NUMBERS, no_wrap=True)
    for feed, rate in rows:
        mark = " (paused)" if feed.paused else ""
        table.add_row(_Line(feed.name, mark=mark), _Line(_numbers(feed, rate)))
    return table


def _numbers(feed: Overview, rate: Rates) -> str:
    """Write the columns after the name; a hyphen where the type has no such number."""
    job = feed.type == "job"
    words = (
        _number(rate.publishes, 1),
        _number(rate.finishes, 1),
        _number(feed.available),
        _number(feed.claimed if feed.type in TAKEN else None),
        _number(feed.delayed if job else None),
        _number(feed.stalled if job else None),
        _duration(feed.oldest),
    )
    type_ = set_cell_size(fit(SHORT.get(feed.type, feed.type), 7), 7)
    return " ".join([type_, *(f"{word:>6}" for word in words)])


# -- workers ------------------------------------------------------------------------------


def _crew_table(crews: Iterable[Crew], width: int) -> Table:
    for_name, for_id, for_feed = next((rooms for least, *rooms in WORK if width >= least), NARROW)
    table = _table(width, NARROW[0] + len(JOBS) + NAME + 2)
    table.add_column("WORKER", no_wrap=True)
    table.add_column(JOBS, no_wrap=True)
    table.add_column("ON")
    for crew in crews:
        jobs = f"{len(crew.running)}{'+' * crew.more}"
        if crew.is_worker:
            jobs += f"/{_number(crew.concurrency)}"
        seen = _duration(crew.seen if crew.is_worker else None)
        table.add_row(
            _Line(fit(crew.name, for_name)),
            _Line(f"{jobs:>8} {seen:>6}"),
            _Work(crew, for_id, for_feed),
            style="bold" if crew.silent else "",
        )
    return table


@attr.frozen
class _Work:
    """The jobs that a worker runs, as many as fit."""

    crew: Crew
    for_id: int
    for_feed: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _Line("".join(self._pieces(options.max_width)))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = cell_len("".join(self._pieces(options.max_width)))
        return Measurement(min(NAME, width), width)

    def _pieces(self, room: int) -> Iterator[str]:
        if self.crew.silent:
            room -= len("silent: ")
            yield "silent: "
        if not self.crew.running:
            yield fit("idle on " + ", ".join(self.crew.feeds), room)
            return
        last, left = "", len(self.crew.running)
        for feed, held in self.crew.running:
            piece = self._piece(feed, held, last)
            end = f" +{left}"
            if cell_len(piece) + len(end) * (left > 1) > room:
                yield end
                return
            yield piece
            room -= cell_len(piece)
            last, left = feed, left - 1

    def _piece(self, feed: str, held: Held, last: str) -> str:
        text = f"{fit(held.id, self.for_id)} {_duration(held.seconds)}"
        if feed == last:
            return f", {text}"
        return f"{'; ' * bool(last)}{fit(feed, self.for_feed)} {text}"


# -- the whole ----------------------------------------------------------------------------


def render(
    feeds: Iterable[Overview],
    before: Before,
    size: tuple[int, int] = (UNLIMITED, UNLIMITED),
    *,
    about: str = "",
    problem: str = "",
    sums: Sums | None = None,
) -> Group:
    """Lay out a view, with as many feeds and workers as there are lines for.

    :param before: the feeds at the last reading.
    :param size: columns and lines.
    :param about: the first line.
    :param problem: the warning above the feeds, if there is one.
    :param sums: the totals over all feeds; None: *feeds* are all.
    """
    width, height = size
    rows = [(feed, rates(feed, before.get(feed.name))) for feed in feeds]
    rows.sort(key=lambda row: busy(*row))
    crews = crews_of(feed for feed, _ in rows)
    summary = _summary(sums or Sums().plus(feed for feed, _ in rows), rows, crews)
    parts: list[RenderableType] = [
        _Line(about, "bold"),
        Text(summary, no_wrap=True, overflow="crop"),
        _Line(problem, "bold"),
    ]
    # The rest of the height, without two headings and an empty line between the tables.
    room = max(2, height - len(parts) - (3 if crews else 1))
    for_crews = min(len(crews), max(room // 3, room - len(rows)))
    parts += _part(rows, room - for_crews, "feeds", lambda some: _feed_table(some, width))
    if crews:
        parts.append(_Line(""))
        parts += _part(crews, for_crews, "workers", lambda some: _crew_table(some, width))
    return Group(*parts)


def _part(
    things: Sequence[Thing],
    room: int,
    what: str,
    table: Callable[[Sequence[Thing]], Table],
) -> list[RenderableType]:
    """Give a table of as many things as fit, and a line that counts the others."""
    if len(things) <= room:
        return [table(things)]
    shown = max(0, room - 1)
    return [table(things[:shown]), _Line(f"... {len(things) - shown} more {what}")]


def _summary(sums: Sums, rows: Sequence[tuple[Overview, Rates]], crews: Sequence[Crew]) -> str:
    workers = sum(crew.is_worker and not crew.silent for crew in crews)
    parts = [
        f"{sums.feeds} feed{'s' * (sums.feeds != 1)}",
        f"{workers} worker{'s' * (workers != 1)}",
        f"{_total(rate.publishes for _, rate in rows)} put/s",
        f"{_total(rate.finishes for _, rate in rows)} done/s",
        f"{_number(sums.available)} available",
        f"{_number(sums.claimed)} claimed",
        f"{_number(sums.stalled)} stalled",
    ]
    return "  ".join(parts)


def _total(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _number(sum(known) if known else None, 1)


def as_lines(view: RenderableType, columns: int) -> list[str]:
    """Write a view as lines of plain text."""
    console = Console(file=io.StringIO(), width=columns)
    lines = console.render_lines(view, pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]
