"""The rules of a feed's history (docs/subscriptions.rst)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from txthoonk.errors import shown
from txthoonk.testing._feed_dump import State
from txthoonk.testing._rules import some
from txthoonk.wire._keys import SEPARATOR
from txthoonk.wire._settings import setting_from

__all__ = [
    "dense",
    "eras",
    "in_step",
    "newest_items",
    "newest_order",
    "newest_revisions",
    "places",
    "positions",
    "revisions",
    "switched_off",
]

_ERA = re.compile(r"([0-9a-f]+):(\d+) ")

#: Type of a feed -> the kinds of events that its history may have.
_KINDS: dict[str, set[str]] = {
    "feed": {"publish", "edit", "retract"},
    "sorted_feed": {"publish", "position", "edit", "retract"},
    "queue": {"put"},
    "pyqueue": {"put"},
    "job": {
        *("put", "claim", "cancel", "stall", "retry"),
        *("edit", "progress", "finish", "finished", "retract"),
    },
}


def _own(state: State, field: str) -> str:
    """Return one of the history's own fields."""
    return state.hash("revision").get(SEPARATOR + field, "")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _is_void(state: State) -> bool:
    """Return whether nothing is known: after a first event, the next one was refused."""
    return not _own(state, "revision") and not _own(state, "epoch")


def _entries(state: State) -> list[tuple[int, dict[str, str]]]:
    """Return the entries of the stream whose ids are revisions."""
    found: list[tuple[int, dict[str, str]]] = []
    for id_, fields in state.list("history"):
        number = _number(id_.removesuffix("-0"))
        if number is not None:
            found.append((number, fields))
    return found


def _is_in_step(state: State) -> bool:
    """Return whether all changes are recorded, by the counters."""
    length = 0 if state.type in ("queue", "pyqueue") else len(state.items)
    return (
        _own(state, "epoch") != ""
        and _own(state, "publishes") == str(state.count("publishes"))
        and _own(state, "length") == str(length)
    )


# -- at any time ------------------------------------------------------------------------


def dense(state: State) -> Iterator[str]:
    """The revisions have no gaps, the last change is complete, and all kinds are known."""
    key, entries = state.key("history"), _entries(state)
    odd = [id_ for id_, _ in state.list("history") if _number(id_.removesuffix("-0")) is None]
    yield from some(odd, f"entries of {key} whose id is no revision")
    for (before, _), (after, _) in pairwise(entries):
        if after != before + 1:
            yield f"{key} has revision {after} after {before}"
    if entries and "more" in entries[-1][1]:
        yield f"{key} ends within a change, at revision {entries[-1][0]}"
    kinds: dict[Any, None] = dict.fromkeys(fields.get("kind") for _, fields in entries)
    for kind in kinds:
        if state.type in _KINDS and kind not in _KINDS[state.type]:
            yield f"{key} has events of the kind {shown(kind)}"


def positions(state: State) -> Iterator[str]:
    """The last revision is that of the last entry, and a feed with a history has one."""
    entries, key = _entries(state), state.key("revision")
    if _is_void(state):
        if entries:
            yield f"{state.key('history')} exists, but {key} does not"
        return
    top, base = _number(_own(state, "revision")), _number(_own(state, "base"))
    if top is None or base is None:
        yield f"{key} lacks the first or the last revision"
        return
    last = entries[-1][0] if entries else base
    if last != top:
        yield f"{key} says {top} is the last revision, but {state.key('history')} has {last}"
    if base > top or (entries and entries[0][0] <= base):
        yield f"{key} says that nothing exists up to revision {base}, but it does"


def eras(state: State) -> Iterator[str]:
    """The epochs begin in order, and the present one is the last."""
    if _is_void(state):
        return
    text, epoch = _own(state, "eras"), _own(state, "epoch")
    found = _ERA.findall(text)
    starts = [int(start) for _, start in found]
    if "".join(f"{era}:{start} " for era, start in found) != text or not found:
        yield f"{state.key('revision')} has epochs that cannot be read: {shown(text)}"
    elif starts != sorted(starts) or starts[-1] > (_number(_own(state, "revision")) or 0):
        yield f"{state.key('revision')} has epochs that begin out of order: {shown(text)}"
    elif epoch not in ("", found[-1][0]):
        yield f"{state.key('revision')} has the epoch {shown(epoch)}, not the last one: {text}"


def revisions(state: State) -> Iterator[str]:
    """An item's revision lies between the first and the last of the history."""
    top, base = _number(_own(state, "revision")), _number(_own(state, "base"))
    if top is None or base is None:
        return
    own = {id_: text for id_, text in state.hash("revision").items() if id_[:1] != SEPARATOR}
    odd = [id_ for id_, text in own.items() if not base < (_number(text) or 0) <= top]
    yield from some(odd, f"in {state.key('revision')} with a revision that never existed")
    if _is_in_step(state):
        gone = set(own) - set(state.items) - set(state.hash("later"))
        yield from some(gone, f"in {state.key('revision')}, but without an item")


def _newest(state: State) -> dict[str, tuple[int, dict[str, str]]]:
    """Return id -> revision and fields of the item's last publish or edit."""
    last: dict[str, tuple[int, dict[str, str]]] = {}
    for number, fields in _entries(state) if _is_in_step(state) else ():
        if fields.get("kind") in ("publish", "edit"):
            last[fields.get("id", "")] = number, fields
        elif fields.get("kind") == "retract":
            last.pop(fields.get("id", ""), None)
    return last


def newest_revisions(state: State) -> Iterator[str]:
    """An item has the revision of its last publish or edit."""
    own = state.hash("revision")
    wrong = [id_ for id_, (number, _) in _newest(state).items() if own.get(id_) != str(number)]
    yield from some(wrong, "with another revision than their last publish or edit")


def newest_items(state: State) -> Iterator[str]:
    """An item is that of its last publish or edit."""
    wrong = [
        id_
        for id_, (_, fields) in _newest(state).items()
        if state.items.get(id_) != fields.get("item")
    ]
    yield from some(wrong, f"with another item than in {state.key('history')}")


def newest_order(state: State) -> Iterator[str]:
    """A feed's order is that of the last publish or edit of its items."""
    newest = {id_: number for id_, (number, _) in _newest(state).items()}
    known = [id_ for id_ in state.ids if id_ in newest]
    late = [right for left, right in pairwise(known) if newest[left] > newest[right]]
    yield from some(late, f"in {state.key('ids')} after items that were published later")


def _is_place(text: str) -> bool:
    before, after = text.startswith(":"), text.endswith(":")
    return before is not after and len(text) > 1 and text not in (":begin", "end:")


def places(state: State) -> Iterator[str]:
    """A position of a sorted feed is at an end, or next to an item."""
    kinds = [fields for _, fields in _entries(state) if fields.get("kind") == "position"]
    odd = [shown(one.get("position")) for one in kinds if not _is_place(one.get("position", ""))]
    yield from some(odd, f"in {state.key('history')} as a position")


# -- when no call is under way, and only txthoonk writes -----------------------------------


def in_step(state: State) -> Iterator[str]:
    """All changes are recorded."""
    if not _is_void(state) and not _is_in_step(state):
        yield f"{state.key('history')} lacks changes: another program wrote without a history"


def switched_off(state: State) -> Iterator[str]:
    """A feed that keeps no history has no keys of one."""
    limit = _number(setting_from(state.config, "history"))
    left = [state.key(part) for part in ("revision", "history") if part in state.types]
    if limit == 0:
        yield from some(left, "the feed keeps no history, but has")
