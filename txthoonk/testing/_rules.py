"""What must hold of a feed (docs/contract.rst): one function for each invariant.

Each gets the state of a feed and gives what is wrong with it, in words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from txthoonk.errors import InvalidInput, shown
from txthoonk.testing._feed_dump import PARTS, State
from txthoonk.wire._feed_config import config_fields
from txthoonk.wire._keys import FEEDS, kept_result_key

__all__ = ["OWNED", "Rule", "listed", "some"]

#: Gives what is wrong with a feed.
Rule = Callable[[State], Iterator[str]]

MOST = 5  # ids that one finding names

_BASIC = ("config", "ids", "items", "publishes", "revision", "history")
_TAKEN = (*_BASIC, "transit", "delivering", "maintained")

#: Type of a feed -> the keys that it may own.
OWNED: dict[str, tuple[str, ...]] = {
    "feed": _BASIC,
    "sorted_feed": (*_BASIC, "idincr"),
    "queue": _TAKEN,
    "pyqueue": _TAKEN,
    "job": tuple(part for part in PARTS if part != "idincr"),
}


def listed(ids: Iterable[str]) -> str:
    """Name some ids, and how many more there are."""
    all_ = list(ids)
    more = f" and {len(all_) - MOST} more" if len(all_) > MOST else ""
    return ", ".join(map(shown, all_[:MOST])) + more


def some(ids: Iterable[str], what: str) -> Iterator[str]:
    """Give one finding for ids, if there are any."""
    found = sorted(ids)
    if found:
        yield f"{what}: {listed(found)}"


# -- every feed -------------------------------------------------------------------


def nothing_left(state: State) -> Iterator[str]:
    """Nothing is there of a feed that does not exist.

    But who maintains it, who waits for results, and since when claims are too old: that expires.
    """
    expires = ("maintained", "listeners", "overdue")
    left = [state.key(part) for part in state.types if part not in expires]
    left += [kept_result_key(state.name, id_) for id_ in state.kept]
    yield from some(left, f"there is no {shown(state.name)} in {FEEDS}, but there is")


def right_types(state: State) -> Iterator[str]:
    """Each key is of the Redis type that it should be."""
    for part, found in state.types.items():
        expected = PARTS[part]
        if part == "ids" and state.type in OWNED:
            expected = ("zset",) if state.type == "feed" else ("list",)
        if found not in expected:
            yield f"{state.key(part)} is a {found}, not a {' or a '.join(expected)}"


def right_keys(state: State) -> Iterator[str]:
    """A feed has no keys that feeds of its type have no use for."""
    owned = OWNED.get(state.type, tuple(PARTS))
    left = [state.key(part) for part in state.types if part not in owned]
    if state.type in OWNED and state.type != "job":
        left += [kept_result_key(state.name, id_) for id_ in state.kept]
    yield from some(left, f"a feed of type {shown(state.type)} has no use for")


def counters(state: State) -> Iterator[str]:
    """Counters are numbers from 0."""
    for part in ("publishes", "idincr", "finishes"):
        text = state.values.get(part, "0")
        if not (text.isascii() and text.isdigit()):
            yield f"{state.key(part)} is not a number from 0: {shown(text)}"


def configured(state: State) -> Iterator[str]:
    """The configuration is one that txthoonk would store."""
    for field, value in state.config.items():
        try:
            config_fields({field: value})
        except InvalidInput as error:
            yield f"{state.key('config')}: {error}"


def no_id_twice(state: State) -> Iterator[str]:
    """An id is in the order once."""
    twice = [id_ for id_, count in Counter(state.ids).items() if count > 1]
    yield from some(twice, f"more than once in {state.key('ids')}")


# -- feeds whose items stay ---------------------------------------------------------


def whole_items(state: State) -> Iterator[str]:
    """What is in the order has an item, and what has an item is in the order."""
    ids, items = set(state.ids), set(state.items)
    yield from some(ids - items, f"in {state.key('ids')} without an item")
    yield from some(items - ids, f"in {state.key('items')}, but not in {state.key('ids')}")


def items_counted(state: State) -> Iterator[str]:
    """Every item was published, and that was counted."""
    count, items = state.count("publishes"), len(state.items)
    if count < items:
        yield f"{state.key('publishes')} is {count}, but there are {items} items"


def finite_scores(state: State) -> Iterator[str]:
    """Behind each item there is a place for another one."""
    infinite = [id_ for id_, score in state.scores("ids").items() if math.isinf(score)]
    yield from some(infinite, f"with an infinite score in {state.key('ids')}")


def strict_order(state: State) -> Iterator[str]:
    """No two items have one score: their order would be that of their ids."""
    scores = state.scores("ids")
    same = {right for left, right in pairwise(scores) if scores[left] == scores[right]}
    yield from some(same, f"with the score of another one in {state.key('ids')}")


def within_max_length(state: State) -> Iterator[str]:
    """There are max_length items at the most; after it was lowered, since the next publish."""
    text = state.config.get("max_length", "0")
    most = int(text) if text.isascii() and text.isdigit() else 0
    if 0 < most < len(state.ids):
        yield f"{len(state.ids)} items, where max_length is {most}: until the next publish"


def ids_counted(state: State) -> Iterator[str]:
    """The ids of a sorted feed come from its counter."""
    count = state.count("idincr")
    others = [id_ for id_ in state.ids if not (id_.isascii() and id_.isdigit())]
    yield from some(others, "ids that are no numbers")
    above = [id_ for id_ in state.ids if id_ not in others and int(id_) > count]
    yield from some(above, f"{state.key('idincr')} is {count}, but there are the ids")


# -- feeds whose items are taken ------------------------------------------------------


def _places(state: State) -> dict[str, set[str]]:
    """Give the places in which an id may be, and which ids are there."""
    places: dict[str, set[str]] = {
        "ids": set(state.ids),
        "transit": set(state.list("transit")),
        "delivering": set(state.scores("delivering")),
    }
    if state.type == "job":
        places |= {"claimed": set(state.scores("claimed")), "stalled": state.set("stalled")}
    return places


def one_place(state: State) -> Iterator[str]:
    """An id is in one place, not in several."""
    places = list(_places(state).items())
    for index, (place, ids) in enumerate(places):
        for other, others in places[index + 1 :]:
            if {place, other} not in _APART:
                yield from some(
                    ids & others, f"both in {state.key(place)} and in {state.key(other)}"
                )


#: What a rule of its own looks after.
_APART = ({"ids", "stalled"}, {"claimed", "stalled"})


def some_place(state: State) -> Iterator[str]:
    """An item is somewhere; if it is nowhere, maintenance puts it back."""
    somewhere = set().union(*_places(state).values())
    yield from some(set(state.items) - somewhere, "items that are in no state")


def items_there(state: State) -> Iterator[str]:
    """Ids have their items; one without is dropped as soon as it is met."""
    items = set(state.items)
    for place, ids in _places(state).items():
        if place != "stalled":  # a rule of its own
            yield from some(ids - items, f"in {state.key(place)} without an item")


def nothing_under_way(state: State) -> Iterator[str]:
    """No item is on its way to who takes it, nor observed by maintenance."""
    for place in ("transit", "delivering"):
        yield from some(_places(state)[place], f"on the way, in {state.key(place)}")
