"""Whether a feed is sound: the rules of its type, applied to all that Redis holds of it."""

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

#: Type of a feed -> what must hold at any time.
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

#: Type of a feed -> what holds beside that once nothing is under way, if nobody but txthoonk
#: has written to it.
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
    """Find what is wrong with a feed: which rule is broken, and how."""
    if not state.registered:
        applied: tuple[Rule, ...] = (rules.nothing_left,)
    else:
        applied = (rules.right_types, rules.right_keys)
    wrong = _apply(applied, state)
    yield from wrong
    # Where a key is not what it should be, the rest says nothing new.
    if state.registered and not wrong:
        yield from _apply(ALWAYS.get(state.type, _EVERY), state)
        if settled:
            yield from _apply(SETTLED.get(state.type, _ALL), state)


def _apply(applied: tuple[Rule, ...], state: State) -> list[tuple[Rule, str]]:
    return [(rule, wrong) for rule in applied for wrong in rule(state)]
