"""Applies the rules of a feed's type to everything that Redis has of the feed."""

from __future__ import annotations

from collections.abc import Iterator

from txthoonk.testing import _history_rules as history
from txthoonk.testing import _job_rules as jobs
from txthoonk.testing import _rules as rules
from txthoonk.testing._feed_dump import State
from txthoonk.testing._rules import Rule

__all__ = ["ALWAYS", "SETTLED", "findings"]

_EVERY = (rules.counters, history.dense, history.positions, history.eras, history.revisions)
_ORDERED = (
    rules.whole_items,
    rules.items_counted,
    rules.no_id_twice,
    history.newest_revisions,
    history.newest_items,
)

#: Type of a feed -> the rules that must hold at any time.
ALWAYS: dict[str, tuple[Rule, ...]] = {
    "feed": (*_EVERY, *_ORDERED, rules.finite_scores, history.newest_order),
    "sorted_feed": (*_EVERY, *_ORDERED, history.places),
    "queue": (*_EVERY, rules.no_id_twice),
    "pyqueue": (*_EVERY, rules.no_id_twice),
    "job": (
        *_EVERY,
        rules.no_id_twice,
        jobs.stalled_apart,
        jobs.stalled_have_items,
        jobs.published,
        jobs.failures_counted,
        jobs.delayed,
        jobs.finishes_counted,
        jobs.records,
        jobs.results_expire,
    ),
}

_ALL = (rules.configured, history.in_step, history.switched_off)
_TAKEN = (rules.one_place, rules.some_place, rules.items_there, rules.nothing_under_way)

#: Type of a feed -> the rules that hold in addition when no call is under way, if only txthoonk
#: has written to the feed.
SETTLED: dict[str, tuple[Rule, ...]] = {
    "feed": (*_ALL, rules.strict_order, rules.within_max_length),
    "sorted_feed": (*_ALL, rules.ids_counted),
    "queue": (*_ALL, *_TAKEN),
    "pyqueue": (*_ALL, *_TAKEN),
    "job": (
        *_ALL,
        *_TAKEN,
        jobs.claims,
        jobs.records_of_jobs,
        jobs.stalled_since,
        jobs.results_indexed,
        jobs.results_bounded,
    ),
}


def findings(state: State, settled: bool) -> Iterator[tuple[Rule, str]]:
    """Yield each broken rule of a feed, with a description."""
    if not state.registered:
        applied: tuple[Rule, ...] = (rules.nothing_left,)
    else:
        applied = (rules.right_types, rules.right_keys)
    wrong = _apply(applied, state)
    yield from wrong
    # If a key has the wrong type, the other rules would only repeat that.
    if state.registered and not wrong:
        yield from _apply(ALWAYS.get(state.type, _EVERY), state)
        if settled:
            yield from _apply(SETTLED.get(state.type, _ALL), state)


def _apply(applied: tuple[Rule, ...], state: State) -> list[tuple[Rule, str]]:
    return [(rule, wrong) for rule in applied for wrong in rule(state)]
