"""The rules of a job feed, in addition to :mod:`txthoonk.testing._rules` (contract: Job)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator

from txthoonk.testing._feed_dump import State
from txthoonk.testing._rules import some
from txthoonk.wire._keys import SEPARATOR, kept_result_key
from txthoonk.wire._settings import limit_from

__all__ = [
    "claims",
    "delayed",
    "failures_counted",
    "finishes_counted",
    "published",
    "records",
    "records_of_jobs",
    "results_bounded",
    "results_expire",
    "results_indexed",
    "stalled_apart",
    "stalled_have_items",
    "stalled_since",
]

SLACK = 1000  # milliseconds between the end of a result and the end of its entry in the index


def _jobs(state: State) -> set[str]:
    """Return the ids of all jobs, including the delayed ones."""
    return set(state.items) | set(state.hash("later"))


# -- at any time ------------------------------------------------------------------------


def stalled_apart(state: State) -> Iterator[str]:
    """A stalled job is neither in line nor claimed."""
    stalled = state.set("stalled")
    for place, ids in (("ids", set(state.ids)), ("claimed", set(state.scores("claimed")))):
        yield from some(ids & stalled, f"both in {state.key(place)} and in {state.key('stalled')}")


def stalled_have_items(state: State) -> Iterator[str]:
    """A stalled job has its item."""
    without = state.set("stalled") - set(state.items)
    yield from some(without, f"in {state.key('stalled')} without an item")


def published(state: State) -> Iterator[str]:
    """Exactly the jobs that are not stalled have a time at which they were put."""
    dated, items, key = set(state.scores("published")), set(state.items), state.key("published")
    stalled = state.set("stalled")
    yield from some(items - stalled - dated, f"jobs that are not in {key}")
    yield from some(dated - items, f"in {key}, but no job")
    yield from some(dated & stalled, f"in {key}, but stalled")


def failures_counted(state: State) -> Iterator[str]:
    """Only jobs that exist and are not stalled have a count of failures, from 1."""
    counts, key = state.hash("cancelled"), state.key("cancelled")
    yield from some(set(counts) - _jobs(state), f"in {key}, but no job")
    yield from some(set(counts) & state.set("stalled"), f"in {key}, but stalled")
    wrong = [id_ for id_, count in counts.items() if not _counts(count)]
    yield from some(wrong, f"in {key} with a value that is no count")


def _counts(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def delayed(state: State) -> Iterator[str]:
    """A delayed job has a time and an item in ``feed.later``, and nothing else."""
    due, aside = set(state.scores("delayed")), state.hash("later")
    times, items = state.key("delayed"), state.key("later")
    yield from some(due - set(aside), f"in {times}, but not in {items}")
    yield from some(set(aside) - due, f"in {items}, but not in {times}")
    odd = [id_ for id_, item in aside.items() if item[:1] not in ("L", "R")]
    yield from some(odd, f"in {items} without L or R before the item")
    yield from some(due & set(state.items), f"both in {times} and in {state.key('items')}")


def finishes_counted(state: State) -> Iterator[str]:
    """The counter of puts includes every job that exists or was finished."""
    failed = set(state.hash("cancelled")) & set(state.hash("later"))
    there, finishes = len(set(state.items) | failed), state.count("finishes")
    count = state.count("publishes")
    if count < there + finishes:
        yield (
            f"{state.key('publishes')} is {count}, but there are {there} jobs "
            f"and {finishes} were finished"
        )


def records(state: State) -> Iterator[str]:
    """The records of jobs and workers can be parsed."""
    readers: dict[str, Callable[[str], object]] = {
        "claims": _read_claim,
        "failures": _read_failure,
        "progress": lambda text: json.loads(text)["done"],
        "options": _read_options,
        "workers": _read_worker,
    }
    for part, read in readers.items():
        wrong = [id_ for id_, text in state.hash(part).items() if not _reads(read, text)]
        yield from some(wrong, f"in {state.key(part)} with a value that cannot be read")


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
    return True


def _read_claim(text: str) -> tuple[str, float]:
    """Return the token and the score of a claim."""
    token, score = text.split(" ")
    owner, colon, time = token.rpartition(":")
    if not (owner and colon and math.isfinite(float(time))):
        raise ValueError(token)
    return token, float(score)


def _read_failure(text: str) -> None:
    count, time, stored = text.split(" ", 2)
    if not _counts(count) or not math.isfinite(float(time)):
        raise ValueError(text)
    json.loads(stored)["type"]


def _read_options(text: str) -> None:
    expires, most, words = text.split(" ", 2)
    if not (expires.isdigit() and (most == "-" or most.isdigit())):
        raise ValueError(text)
    json.loads(words).items()


def _read_worker(text: str) -> None:
    time, _, stored = text.partition(" ")
    float(time)
    json.loads(stored)["name"]


def results_expire(state: State) -> Iterator[str]:
    """A kept result is a list of one or two elements, and expires."""
    wrong = [id_ for id_, kept in state.kept.items() if len(kept.parts or ()) not in (1, 2)]
    yield from some(_kept_keys(state, wrong), "not a result and its item")
    for_ever = [id_ for id_, kept in state.kept.items() if kept.ttl < 0]
    yield from some(_kept_keys(state, for_ever), "kept forever")


def _kept_keys(state: State, ids: list[str]) -> list[str]:
    return [kept_result_key(state.name, id_) for id_ in ids]


# -- when no call is under way, and only txthoonk writes -----------------------------------


def claims(state: State) -> Iterator[str]:
    """Exactly the claimed jobs have an entry that names the owner of the claim."""
    scores, entries = state.scores("claimed"), state.hash("claims")
    yield from some(set(scores) - set(entries), f"claimed, but not in {state.key('claims')}")
    yield from some(set(entries) - set(scores), f"in {state.key('claims')}, but not claimed")
    both = {id_: text for id_, text in entries.items() if id_ in scores}
    sound = {id_: _read_claim(text)[1] for id_, text in both.items() if _reads(_read_claim, text)}
    other = [id_ for id_, time in sound.items() if scores[id_] != time]
    yield from some(other, f"claimed at another time than {state.key('claims')} says")


def records_of_jobs(state: State) -> Iterator[str]:
    """Only claimed jobs have a progress; only jobs that exist a last failure and options."""
    claimed = set(state.scores("claimed"))
    stale = set(state.hash("progress")) - claimed
    yield from some(stale, f"in {state.key('progress')}, but not claimed")
    for part in ("failures", "options"):
        gone = set(state.hash(part)) - _jobs(state)
        yield from some(gone, f"in {state.key(part)}, but no job")


def stalled_since(state: State) -> Iterator[str]:
    """Exactly the stalled jobs have a time at which they were stalled."""
    stalled, since = state.set("stalled"), set(state.scores("failed"))
    yield from some(stalled - since, f"stalled, but not in {state.key('failed')}")
    yield from some(since - stalled, f"in {state.key('failed')}, but not stalled")


def results_indexed(state: State) -> Iterator[str]:
    """The index has exactly the kept results."""
    index, key = state.scores("results"), state.key("results")
    unknown = _kept_keys(state, [id_ for id_ in state.kept if id_ not in index])
    yield from some(unknown, f"kept, but not in {key}")
    gone = [id_ for id_ in _finished(state) if id_ not in state.kept]
    yield from some(gone, f"in {key}, but not kept")


def _finished(state: State) -> list[str]:
    """Return the ids of the results in the index that are not about to expire."""
    return [
        id_
        for id_, until in state.scores("results").items()
        if until > state.time + SLACK and not id_.endswith(SEPARATOR) and id_ not in _jobs(state)
    ]


def results_bounded(state: State) -> Iterator[str]:
    """There are at most keep_results results, not counting those that a waiter still wants."""
    most = limit_from(state.config, "keep_results")
    index = state.scores("results")
    count = sum(index.get(id_ + SEPARATOR, 0) <= state.time for id_ in _finished(state))
    if 0 < most < count:
        yield f"{count} results, but keep_results is {most}"
