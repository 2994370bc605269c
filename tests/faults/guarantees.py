"""What txthoonk guarantees for calls that make several requests, when a fault comes between them.

Each check receives the observation. It raises AssertionError if an item is lost or handled twice,
or if something is half done that must not be (``docs/guarantees.rst``, ``docs/jobs.rst``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.calls import MANY
from tests.faults.laboratory import age
from tests.faults.outcomes import Reference, plain
from tests.faults.states import FEED
from tests.support import looked
from txthoonk.types import Job, PythonQueue, Queue
from txthoonk.types._bulk import MOST_ITEMS

__all__ = ["Guarantee", "guarantee_of"]

#: A check receives the laboratory, the reference, the observation and the victim's kind. It
#: returns the events that name the outcome, or None for those observed.
Guarantee = Callable[[Any, Reference, Any, str], Awaitable[Any]]


def check(right: bool, *about: Any) -> None:
    if not right:
        raise AssertionError(" ".join(map(str, about)))


def without(state: Any, pattern: str) -> list[Any]:
    """Return the pairs of a state whose keys do not match a pattern."""
    return [pair for pair in plain(state) if not re.match(pattern.encode(), pair[0])]


async def left_in(lab: Any, line: Any) -> list[Any]:
    """Let maintenance put back what is in delivery, and return the items that are available."""
    await line.maintenance()
    await age(lab.raw, "delivering")
    if isinstance(line, Job):
        await lab.raw.send("HSET", f"feed.config:{FEED}", "max_failures", 100)
        await age(lab.raw, "claimed")
        await looked(lab.raw, FEED)
    await line.maintenance()
    for part in ("transit", "delivering"):
        check(not await lab.raw.exists(f"feed.{part}:{FEED}"), part, "is not empty")
    ids = await (line.get_ids("available") if isinstance(line, Job) else line.get_ids())
    items = [await line.get_item(id_) for id_ in ids]
    check(None not in items, "an id has no item", ids)
    return items


def delivered(cls: Any, items: list[Any], late: Any = None) -> Guarantee:
    """Each item was fired once, or is still available.

    A bare publisher whose connection is lost before it has acknowledged an item may leave an item
    that was already fired: it is delivered again (``docs``: only a process that dies in that
    instant).
    """

    async def guarantee(lab: Any, reference: Reference, seen: Any, kind: str) -> None:
        got = [seen.result] if seen.error is None else []
        expected = Counter(map(repr, items + ([late] if lab.triggered else [])))
        left = await left_in(lab, cls(lab.writer, FEED))
        found = Counter(map(repr, got + left))
        again = Counter(map(repr, got)) if kind == "pub" else Counter()
        check(not expected - found, "lost:", expected - found)
        check(not found - expected - again, "twice:", found - expected)
        check(not seen.events, "events", seen.events)

    return guarantee


async def claimed(lab: Any, reference: Reference, seen: Any, kind: str) -> None:
    """A job is claimed by the caller that got it, or is available; claims and events agree."""
    jobs = Job(lab.writer, FEED)
    ids = sorted(await jobs.get_ids())
    expected = ["a", "b"] if "there" in reference.verb.name else ["late"] * lab.triggered
    check(ids == expected, "jobs", ids, expected)
    held = await jobs.get_ids("claimed")
    told = Counter(channel.decode().partition(":")[0] for channel, _ in seen.events)
    balance = told["feed.claimed"] - told["feed.retried"] - told["feed.cancelled"]
    check(balance == len(held), "claims told", told, "and made", held)
    if seen.error is None:
        check(held == [seen.result.id], "claimed", held)
        check(await lab.raw.hlen(f"feed.claims:{FEED}") == 1, "claims")
        await jobs.finish(seen.result)  # The token of this claim is the valid one.
        expected = [id_ for id_ in expected if id_ != seen.result.id]
    left = await left_in(lab, jobs)
    check(len(left) == len(expected), "left", left)


async def put(lab: Any, reference: Reference, seen: Any, kind: str) -> None:
    """Each call of ``put_many`` is executed as a whole or not at all, without gaps between."""
    ids = reversed(seen.state[f"feed.ids:{FEED}".encode()])
    items = [seen.state[f"feed.items:{FEED}".encode()][id_].decode() for id_ in ids]
    put = [int(item.split()[1]) for item in items if item.startswith("item ")]
    slices = {number // MOST_ITEMS for number in put}
    whole = [n for n in range(MANY) if n // MOST_ITEMS in slices]
    check(put == whole, "slices", slices, len(put))
    check(sorted(slices) == list(range(len(slices))), "a slice is missing", slices)
    check(items[:2] == ["one", "two"], "the line began with", items[:2])


def repeatable(ignored: str = "feed.maintained:") -> Guarantee:
    """The next call does what was left undone; nothing is done twice."""

    async def guarantee(lab: Any, reference: Reference, seen: Any, kind: str) -> None:
        verb = reference.verb
        call = Job.maintenance if verb.name.startswith("Maintenance") else None
        if without(seen.state, ignored) != without_plain(reference.after, ignored):
            await (call(Job(lab.writer, FEED)) if call else verb.call(lab.writer, None))
        events = plain(seen.events + await lab.ear.messages(own=True))
        state = without(await lab.state(), ignored)
        check(state == without_plain(reference.after, ignored), "state", state)
        check(events == reference.events, "events", events)

    return guarantee


def without_plain(state: list[Any], pattern: str) -> list[Any]:
    return [pair for pair in state if not re.match(pattern.encode(), pair[0])]


#: Records of jobs, and of those waiting for them, that disappear by themselves.
PASSING = rb"feed\.(results|jobfinished|listeners):"


def ending(told: tuple[str, str] | None = None) -> Guarantee:
    """The state is that of before or after, except for records that disappear by themselves.

    Each remaining record must be as before or after, or expire. Everything else, and the events,
    must be exactly those of before or of after.

    :param told: an event of ``feed.ended`` that may or may not come when all is done, because it
        reaches the waiting client only while that is not subscribed.
    """
    direct = plain([told]) if told else []

    async def guarantee(lab: Any, reference: Reference, seen: Any, kind: str) -> Any:
        await check_passing(lab, reference, seen.state)
        state, events = without_passing(plain(seen.state)), plain(seen.events)
        for name in ("before", "after"):
            whole = getattr(reference, name)
            expected = [] if name == "before" else reference.events
            found = events
            if name == "after" and expected != events:
                expected, found = without_events(expected, direct), without_events(events, direct)
            if (state, found) == (without_passing(whole), expected):
                check(len(events) - len(found) <= 1, "told twice", events)
                break
        else:
            check(False, "state", state, "events", events)
        if seen.error is None:
            check(name == "after", "fired, and not done:", state)
            result = plain(seen.result)
            check(result == reference.result, "fired", result, "not", reference.result)
        return [] if name == "before" else reference.events

    return guarantee


def without_passing(state: list[Any]) -> list[Any]:
    """Leave out the records that disappear by themselves."""
    return [pair for pair in state if not re.match(PASSING, pair[0])]


def without_events(events: list[Any], some: list[Any]) -> list[Any]:
    """Leave out the given events."""
    return [event for event in events if event not in some]


async def check_passing(lab: Any, reference: Reference, state: Any) -> None:
    """Each remaining record that is neither as before nor as after disappears by itself."""
    for key, value in state.items():
        if not re.match(PASSING, key):
            continue
        ((pair,), known) = plain({key: value}), (*reference.before, *reference.after)
        if pair in known or await lab.raw.send("PTTL", key) != -1:
            continue
        # While the feed exists, its index of results exists too, and its entries expire one by
        # one.
        check(key.startswith(b"feed.results:"), key, "stays for ever")
        seconds, _ = await lab.raw.send("TIME")
        stays = [id_ for id_, until in value if not 0 < until / 1000 - int(seconds) < 24 * 3600]
        check(not stays, key, "has what ends never, or has ended", stays)


async def worked(lab: Any, reference: Reference, seen: Any, kind: str) -> None:
    """The worker gave the job to a handler once, and finished it once."""
    told = Counter(channel.decode().partition(":")[0] for channel, _ in seen.events)
    check(seen.result == ["a"], "given", seen.result)
    for channel in ("job.finish", "feed.finishes"):
        check(told[channel] == 1, channel, told)
    check(told["feed.claimed"] - told["feed.retried"] == 1, "claimed", told)
    stats = await Job(lab.writer, FEED).stats()
    check(stats["finishes"] == 1, stats)
    check(stats["available"] + stats["claimed"] + stats["stalled"] == 0, stats)


FINISHED = (f"feed.ended:{FEED}\0a", "a\0ONE")

_GUARANTEES: dict[str, Guarantee] = {
    "Queue.get (an item is there)": delivered(Queue, ["one", "two"]),
    "Queue.get (waits)": delivered(Queue, [], "late"),
    "PythonQueue.get (an item is there)": delivered(PythonQueue, [("one", 1), ("two", 2)]),
    "PythonQueue.get (waits)": delivered(PythonQueue, [], ("late", 1)),
    "Job.get (a job is there)": claimed,
    "Job.get (waits)": claimed,
    "Queue.put_many (several calls)": put,
    "Job.put_many (several calls)": put,
    "Job.drain": repeatable(),
    "Job.drain (delayed, too)": repeatable(),
    "Job.maintenance": repeatable(),
    "Maintenance (one pass)": repeatable(),
    "Queue.maintenance": repeatable(),
    "delete_feed (with results)": ending(),
    "Job.finish (an old result goes)": ending(),
    "Job.get_result (waits)": ending(FINISHED),
    "Job.wait": ending(FINISHED),
    "Worker (one job)": worked,
}


def guarantee_of(reference: Reference) -> Guarantee | None:
    """Return the check of a verb that makes several requests, or None for any other verb."""
    return _GUARANTEES.get(reference.verb.name)
