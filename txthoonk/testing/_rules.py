"""The rules of all feeds (docs/contract.rst): one function for each invariant.

Each takes the state of a feed and yields its findings in words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from txthoonk.errors import InvalidInput, shown
from txthoonk.testing._feed_dump import EXPIRING, PARTS, State
from txthoonk.wire._feed_config import check_value
from txthoonk.wire._keys import FEEDS, kept_result_key
from txthoonk.wire._settings import limit_from

__all__ = ["OWNED", "Rule", "listed", "some"]

#: Yields what is wrong with a feed.
Rule = Callable[[State], Iterator[str]]

MOST = 5  # ids that one finding names

_BASIC = ("config", "ids", "items", "publishes", "revision", "history")
_TAKEN = (*_BASIC, "transit", "delivering", "maintained")

#: Type of a feed -> the parts of the keys that it may own.
OWNED: dict[str, tuple[str, ...]] = {
    "feed": _BASIC,
    "sorted_feed": (*_BASIC, "idincr"),
    "queue": _TAKEN,
    "pyqueue": _TAKEN,
    "job": tuple(part for part in PARTS if part != "idincr"),
}


def listed(ids: Iterable[str]) -> str:
    """Return the first ids as text, and the number of the others."""
    all_ = list(ids)
    more = f" and {len(all_) - MOST} more" if len(all_) > MOST else ""
    return ", ".join(map(shown, all_[:MOST])) + more


def some(ids: Iterable[str], what: str) -> Iterator[str]:
    """Yield one finding for some ids, if there are any."""
    found = sorted(ids)
    if found:
        yield f"{what}: {listed(found)}"


# -- every feed -------------------------------------------------------------------


def nothing_left(state: State) -> Iterator[str]:
    """A feed that does not exist has no keys.

    The exceptions are keys of maintenance and of processes that wait for results: they expire.
    """
    allowed = set(EXPIRING) - state.lasting
    left = [state.key(part) for part in state.types if part not in allowed]
    left += [kept_result_key(state.name, id_) for id_ in state.kept]
    yield from some(left, f"{shown(state.name)} is not in {FEEDS}, but has")


def right_types(state: State) -> Iterator[str]:
    """Each key has the right Redis type."""
    for part, found in state.types.items():
        expected = PARTS[part]
        if part == "ids" and state.type in OWNED:
            expected = ("zset",) if state.type == "feed" else ("list",)
        if found not in expected:
            yield f"{state.key(part)} is a {found}, not a {' or a '.join(expected)}"


def right_keys(state: State) -> Iterator[str]:
    """A feed has only keys that feeds of its type use."""
    owned = OWNED.get(state.type, tuple(PARTS))
    left = [state.key(part) for part in state.types if part not in owned]
    if state.type in OWNED and state.type != "job":
        left += [kept_result_key(state.name, id_) for id_ in state.kept]
    yield from some(left, f"a feed of type {shown(state.type)} does not use")


def counters(state: State) -> Iterator[str]:
    """Counters are whole numbers from 0."""
    for part in ("publishes", "idincr", "finishes"):
        text = state.values.get(part, "0")
        if not (text.isascii() and text.isdigit()):
            yield f"{state.key(part)} is not a whole number from 0: {shown(text)}"


def configured(state: State) -> Iterator[str]:
    """txthoonk would accept the configuration."""
    for field, value in state.config.items():
        try:
            check_value(field, value)
        except InvalidInput as error:
            yield f"{state.key('config')}: {error}"


def no_id_twice(state: State) -> Iterator[str]:
    """An id is in the order only once."""
    twice = [id_ for id_, count in Counter(state.ids).items() if count > 1]
    yield from some(twice, f"more than once in {state.key('ids')}")


# -- feeds whose items stay ---------------------------------------------------------


def whole_items(state: State) -> Iterator[str]:
    """Exactly the ids that have an item are in the order."""
    ids, items = set(state.ids), set(state.items)
    yield from some(ids - items, f"in {state.key('ids')} without an item")
    yield from some(items - ids, f"in {state.key('items')}, but not in {state.key('ids')}")


def items_counted(state: State) -> Iterator[str]:
    """The counter of publishes includes every item."""
    count, items = state.count("publishes"), len(state.items)
    if count < items:
        yield f"{state.key('publishes')} is {count}, but there are {items} items"


def finite_scores(state: State) -> Iterator[str]:
    """No score is infinite, so that an item can be placed after each."""
    infinite = [id_ for id_, score in state.scores("ids").items() if math.isinf(score)]
    yield from some(infinite, f"with an infinite score in {state.key('ids')}")


def strict_order(state: State) -> Iterator[str]:
    """No two items have the same score, which would order them by their ids."""
    scores = state.scores("ids")
    same = {right for left, right in pairwise(scores) if scores[left] == scores[right]}
    yield from some(same, f"with the score of another item in {state.key('ids')}")


def within_max_length(state: State) -> Iterator[str]:
    """There are at most max_length items; after it is lowered, from the next publish on."""
    most = limit_from(state.config, "max_length")
    if 0 < most < len(state.ids):
        yield f"{len(state.ids)} items, but max_length is {most}: the next publish removes some"


def ids_counted(state: State) -> Iterator[str]:
    """The ids of a sorted feed come from its counter."""
    count = state.count("idincr")
    others = [id_ for id_ in state.ids if not (id_.isascii() and id_.isdigit())]
    yield from some(others, "ids that are not numbers")
    above = [id_ for id_ in state.ids if id_ not in others and int(id_) > count]
    yield from some(above, f"{state.key('idincr')} is {count}, but these ids are higher")


# -- feeds whose items are taken ------------------------------------------------------


def _places(state: State) -> dict[str, set[str]]:
    """Return the places in which an id can be -> the ids in each."""
    places: dict[str, set[str]] = {
        "ids": set(state.ids),
        "transit": set(state.list("transit")),
        "delivering": set(state.scores("delivering")),
    }
    if state.type == "job":
        places |= {"claimed": set(state.scores("claimed")), "stalled": state.set("stalled")}
    return places


def one_place(state: State) -> Iterator[str]:
    """An id is in only one place."""
    places = list(_places(state).items())
    for index, (place, ids) in enumerate(places):
        for other, others in places[index + 1 :]:
            if {place, other} not in _APART:
                yield from some(
                    ids & others, f"both in {state.key(place)} and in {state.key(other)}"
                )


#: Pairs of places that have their own rules.
_APART = ({"ids", "stalled"}, {"claimed", "stalled"})


def some_place(state: State) -> Iterator[str]:
    """An item's id is in some place; if not, maintenance puts it back into the line."""
    somewhere = set().union(*_places(state).values())
    yield from some(set(state.items) - somewhere, "items that are in no state")


def items_there(state: State) -> Iterator[str]:
    """Every id has an item; a consumer that meets one without drops it."""
    items = set(state.items)
    for place, ids in _places(state).items():
        if place != "stalled":  # stalled_have_items checks these
            yield from some(ids - items, f"in {state.key(place)} without an item")


def nothing_under_way(state: State) -> Iterator[str]:
    """No item is on its way to a consumer, and maintenance observes none."""
    for place in ("transit", "delivering"):
        yield from some(_places(state)[place], f"on its way, in {state.key(place)}")
