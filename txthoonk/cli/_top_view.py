"""What ``thoonk top`` shows: feeds and workers, made into lines or into JSON (pure)."""

from __future__ import annotations

import heapq
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import attr

from txthoonk.monitoring._inspector import SILENT, Held, Overview

__all__ = ["Counts", "Line", "Rates", "Sums", "as_json", "busiest", "fit", "rates", "render"]

UNLIMITED = 1_000_000  # columns or lines
NAME = 4  # columns that a name gets at least
# Columns of the terminal -> those for a worker's name, for the id of a job that it runs, and for
# the name of its feed.
WORK = ((UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED), (160, 40, 36, 40), (100, 28, 13, 24))
NARROW = (22, 9, 14)
SHORT = {"sorted_feed": "sorted"}
TAKEN = ("job", "queue", "pyqueue")

Thing = TypeVar("Thing")


class Line(NamedTuple):
    """A line of the terminal; printable, and no longer than it is wide."""

    text: str
    bold: bool = False


class Sums(NamedTuple):
    """What all feeds have together; those of queues and jobs, but for the first."""

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
    """What is remembered of a feed to compare it with later."""

    time: float
    publishes: int
    finishes: int


class Rates(NamedTuple):
    """How often something happened since the last look, each second; None if that is unknown."""

    publishes: float | None = None
    finishes: float | None = None


def rates(now: Overview, before: Overview | Counts | None) -> Rates:
    """Compare two looks at a feed."""
    if before is None or before.time >= now.time or before.publishes > now.publishes:
        return Rates()
    seconds = now.time - before.time
    publishes = (now.publishes - before.publishes) / seconds
    if now.type != "job" or before.finishes > now.finishes:
        return Rates(publishes)
    return Rates(publishes, (now.finishes - before.finishes) / seconds)


# -- texts --------------------------------------------------------------------------------


def _printable(text: str) -> str:
    """Give a text that others stored, so that it cannot steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _cells(text: str) -> int:
    """Give how many columns a printable text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def fit(text: str, room: int) -> str:
    """Make a text printable, and cut it in the middle if it takes more columns than there are."""
    if len(text) > 8 * room:  # whatever its characters are: so much is not needed
        text = text[: 4 * room] + text[-4 * room :]
    text = _printable(text)
    if _cells(text) <= room:
        return text
    tail = _first(reversed(text), (room - 1) // 2)
    return _first(text, room - 1 - _cells(tail)) + "~" * (room > 0) + tail[::-1]


def _first(characters: Iterable[str], room: int) -> str:
    """Give as many characters as have room."""
    taken = []
    for character in characters:
        room -= _width(character)
        if room < 0:
            break
        taken.append(character)
    return "".join(taken)


def _left(text: str, room: int) -> str:
    return text + " " * (room - _cells(text))


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


# -- feeds --------------------------------------------------------------------------------

_COLUMNS: tuple[tuple[str, int], ...] = (
    ("TYPE", -7),  # to the left
    ("PUT/S", 6),
    ("DONE/S", 6),
    ("AVAIL", 6),
    ("CLAIM", 6),
    ("DELAY", 6),
    ("STALL", 6),
    ("OLDEST", 6),
)
_FIXED = sum(abs(width) + 1 for _, width in _COLUMNS)


def _row(words: Iterable[str]) -> str:
    cells = zip(words, _COLUMNS, strict=True)
    return " ".join(
        f"{word:{'<' if width < 0 else '>'}{abs(width)}}" for word, (_, width) in cells
    )


def _feed_words(feed: Overview, rate: Rates) -> list[str]:
    """Give what the columns say of a feed; a hyphen where its type has no such thing."""
    job = feed.type == "job"
    return [
        _left(fit(SHORT.get(feed.type, feed.type), 7), 7),
        _number(rate.publishes, 1),
        _number(rate.finishes, 1),
        _number(feed.available),
        _number(feed.claimed if feed.type in TAKEN else None),
        _number(feed.delayed if job else None),
        _number(feed.stalled if job else None),
        _duration(feed.oldest),
    ]


def _feed_lines(
    feeds: Sequence[Overview], all_rates: Mapping[str, Rates], width: int
) -> list[Line]:
    marks = [" (paused)" if feed.paused else "" for feed in feeds]
    longest = max(
        (
            _cells(fit(feed.name, width)) + len(mark)
            for feed, mark in zip(feeds, marks, strict=True)
        ),
        default=0,
    )
    room = max(NAME, min(longest, width - _FIXED))
    lines = [Line(_left("FEED", room) + " " + _row(title for title, _ in _COLUMNS), True)]
    for feed, mark in zip(feeds, marks, strict=True):
        name = fit(feed.name, max(NAME, room - len(mark))) + mark
        lines.append(Line(f"{_left(name, room)} {_row(_feed_words(feed, all_rates[feed.name]))}"))
    return lines


def _busy(feed: Overview, rate: Rates) -> tuple[Any, ...]:
    """Give what to sort by; roughly, so that lines do not jump about."""
    total = (rate.publishes or 0) + (rate.finishes or 0)
    waiting = feed.available + feed.delayed if feed.type in TAKEN else 0
    magnitude = math.frexp(total)[1] if total else -100
    return -magnitude, -feed.claimed.bit_length(), -waiting.bit_length(), feed.name


def busiest(
    feeds: Iterable[Overview], before: Mapping[str, Overview | Counts], most: int
) -> list[Overview]:
    """Give so many feeds, the busiest first."""
    return heapq.nsmallest(
        most, feeds, lambda feed: _busy(feed, rates(feed, before.get(feed.name)))
    )


# -- workers ------------------------------------------------------------------------------


@attr.define
class _Crew:
    """A worker, or somebody else who has claims.

    :ivar running: the claims, each with the name of its feed.
    :ivar more: whether it may have others that were not listed.
    """

    name: str
    concurrency: int | None = None
    seen: float = math.inf
    feeds: list[str] = attr.Factory(list)
    running: list[tuple[str, Held]] = attr.Factory(list)
    more: bool = False

    @property
    def is_worker(self) -> bool:
        return self.concurrency is not None

    @property
    def silent(self) -> bool:
        return self.is_worker and self.seen > SILENT


def _crews(feeds: Iterable[Overview]) -> list[_Crew]:
    """Give those who work, the busiest first."""
    crews: dict[tuple[str, str | None], _Crew] = {}
    for feed in feeds:
        on_feed: dict[str, _Crew] = {}
        for worker in feed.workers:
            named = _Crew(worker.name or worker.owner, worker.concurrency, worker.seen)
            crew = on_feed[worker.owner] = crews.setdefault((worker.owner, worker.name), named)
            crew.seen = min(crew.seen, worker.seen)
            if feed.name not in crew.feeds:
                crew.feeds.append(feed.name)
        for held in feed.held:
            other = crews.get((held.owner, None)) or _Crew(f"? {held.owner}".strip())
            crew = on_feed.get(held.owner) or crews.setdefault((held.owner, None), other)
            crew.running.append((feed.name, held))
            crew.more = crew.more or feed.claimed > len(feed.held)
    for crew in crews.values():
        crew.running.sort(key=lambda one: (one[0], -one[1].seconds, one[1].id))
    return sorted(crews.values(), key=lambda crew: (-len(crew.running), crew.name))


def _crew_lines(crews: Iterable[_Crew], width: int) -> list[Line]:
    rooms = next((rooms for least, *rooms in WORK if width >= least), NARROW)
    names = {id(crew): fit(crew.name, rooms[0]) for crew in crews}
    room = max([len("WORKER"), *map(_cells, names.values())])
    lines = [Line(f"{_left('WORKER', room)} {'JOBS':>8} {'SEEN':>6} ON", True)]
    for crew in crews:
        jobs = f"{len(crew.running)}{'+' * crew.more}"
        if crew.is_worker:
            jobs += f"/{_number(crew.concurrency)}"
        seen = _duration(crew.seen if crew.is_worker else None)
        start = f"{_left(names[id(crew)], room)} {jobs:>8} {seen:>6} "
        what = "".join(_jobs(crew, width - _cells(start), rooms[1], rooms[2]))
        lines.append(Line(start + what, crew.silent))
    return lines


def _jobs(crew: _Crew, room: int, for_id: int, for_feed: int) -> Iterator[str]:
    """Give what somebody works on, in pieces, as far as there is room."""
    if crew.silent:
        room -= len("silent: ")
        yield "silent: "
    if not crew.running:
        yield fit("idle on " + ", ".join(crew.feeds), room)
        return
    last, left = "", len(crew.running)
    for feed, held in crew.running:
        piece = f"{fit(held.id, for_id)} {_duration(held.seconds)}"
        if feed == last:
            piece = f", {piece}"
        else:
            piece = f"{'; ' * bool(last)}{fit(feed, for_feed)} {piece}"
        end = f" +{left}"
        if _cells(piece) + len(end) * (left > 1) > room:
            yield end
            return
        yield piece
        room -= _cells(piece)
        last, left = feed, left - 1


# -- all of it ----------------------------------------------------------------------------


def render(
    feeds: Iterable[Overview],
    before: Mapping[str, Overview | Counts],
    size: tuple[int, int] = (UNLIMITED, UNLIMITED),
    *,
    about: str = "",
    problem: str = "",
    sums: Sums | None = None,
) -> list[Line]:
    """Make the lines of a view, as many as there is room for.

    :param before: what the feeds were like at the last look.
    :param size: columns and lines.
    :param about: what the first line says.
    :param problem: what is wrong, if anything is.
    :param sums: what all feeds have; None: *feeds* are all.
    """
    width, height = size
    feeds = list(feeds)
    all_rates = {feed.name: rates(feed, before.get(feed.name)) for feed in feeds}
    feeds.sort(key=lambda feed: _busy(feed, all_rates[feed.name]))
    crews = _crews(feeds)
    top = [
        Line(fit(about, width), True),
        Line(_summary(sums or Sums().plus(feeds), all_rates.values(), crews)),
        Line(fit(problem, width), True),
    ]
    # Beside these: two headings, and a line between.
    room = max(2, height - len(top) - (3 if crews else 1))
    for_crews = min(len(crews), max(room // 3, room - len(feeds)))
    some = _part(
        feeds, room - for_crews, "feeds", lambda part: _feed_lines(part, all_rates, width)
    )
    if crews:
        some.append(Line(""))
        some += _part(crews, for_crews, "workers", lambda part: _crew_lines(part, width))
    return [Line(_first(line.text, width), line.bold) for line in (top + some)[:height]]


def _part(
    things: list[Thing], room: int, what: str, lines: Callable[[list[Thing]], list[Line]]
) -> list[Line]:
    """Give the lines of as many things as there is room for, and how many there are more."""
    if len(things) <= room:
        return lines(things)
    shown = max(0, room - 1)
    return [*lines(things[:shown]), Line(f"... {len(things) - shown} more {what}")]


def _summary(sums: Sums, all_rates: Iterable[Rates], crews: list[_Crew]) -> str:
    known = list(all_rates)
    workers = sum(crew.is_worker and not crew.silent for crew in crews)
    parts = [
        f"{sums.feeds} feed{'s' * (sums.feeds != 1)}",
        f"{workers} worker{'s' * (workers != 1)}",
        f"{_total([rate.publishes for rate in known])} put/s",
        f"{_total([rate.finishes for rate in known])} done/s",
        f"{_number(sums.available)} available",
        f"{_number(sums.claimed)} claimed",
        f"{_number(sums.stalled)} stalled",
    ]
    return "  ".join(parts)


def _total(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _number(sum(known) if known else None, 1)


def as_json(
    feeds: Iterable[Overview],
    before: Mapping[str, Overview | Counts],
    failed: Mapping[str, Exception],
) -> dict[str, Any]:
    """Give all that is known, for a script; times in seconds."""
    return {
        "feeds": [_feed_json(feed, before.get(feed.name)) for feed in feeds],
        "failed": {name: str(error) for name, error in sorted(failed.items())},
    }


def _feed_json(feed: Overview, before: Overview | Counts | None) -> dict[str, Any]:
    rate = rates(feed, before)
    values = attr.asdict(feed)
    return {
        **values,
        "publishes_per_second": rate.publishes,
        "finishes_per_second": rate.finishes,
    }
