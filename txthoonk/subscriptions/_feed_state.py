"""A feed's items in their order, kept up by its events (contract: Feed, Sorted Feed).

Both kinds take each event in constant time.  An event that does not fit, such as the
position of an item that is not there, is what a writer left that died between two
writes: it changes what it can.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

from txthoonk.events import Event

__all__ = ["MISSING", "FeedState", "SortedState", "State", "make_state"]

#: The item of an id that is not known yet.
MISSING: Any = object()


class State(Protocol):
    """What the two kinds of feeds have in common.

    :ivar items: id -> item, in no order.
    """

    items: dict[str, Any]

    def apply(self, event: Event) -> bool:
        """Take an event; whether the state is one that the feed really had."""

    def order(self) -> Iterator[str]:
        """Give the ids in their order."""


def make_state(type_: str | None, ids: list[str]) -> State:
    """Make the state of a feed: all ids, and no items yet."""
    return SortedState(ids) if type_ == "sorted_feed" else FeedState(ids)


class FeedState:
    """A plain feed: whatever is published or edited goes to the end."""

    def __init__(self, ids: list[str]) -> None:
        self.items: dict[str, Any] = dict.fromkeys(ids, MISSING)

    def apply(self, event: Event) -> bool:
        """Take an event."""
        items, id_ = self.items, event.id
        if id_ is None:
            return True
        if event.kind == "publish" or event.kind == "edit":
            items.pop(id_, None)
            items[id_] = event.item
        elif event.kind == "retract":
            items.pop(id_, None)
        return True

    def order(self) -> Iterator[str]:
        """Give the ids in their order."""
        return iter(self.items)


# Ends of the list: no id has NUL in it.
_HEAD, _TAIL = "\0head", "\0tail"


class SortedState:
    """A sorted feed: a list linked both ways."""

    def __init__(self, ids: list[str]) -> None:
        self.items: dict[str, Any] = dict.fromkeys(ids, MISSING)
        self._new: dict[str, Any] = {}  # published, and the position is to come
        chain = [_HEAD, *self.items, _TAIL]
        self._next = dict(pairwise(chain))
        self._previous = {after: before for before, after in self._next.items()}

    def apply(self, event: Event) -> bool:
        """Take an event; False for a new item until its position comes."""
        items, id_ = self.items, event.id
        if id_ is None:
            return not self._new
        if event.kind == "publish" or event.kind == "edit":
            if id_ in items:
                items[id_] = event.item
            else:
                self._new[id_] = event.item
        elif event.kind == "position":
            self._place(id_, event.position or "")
        elif event.kind == "retract":
            self._new.pop(id_, None)
            if id_ in items:
                del items[id_]
                self._unlink(id_)
        return not self._new

    def _place(self, id_: str, position: str) -> None:
        if id_ in self._new:
            self.items[id_] = self._new.pop(id_)
        elif id_ in self.items:
            self._unlink(id_)
        else:
            return
        self._link(self._behind(position), id_)

    def _behind(self, position: str) -> str:
        """Give the id behind which the position is."""
        if position == "begin:":
            return _HEAD
        if position != ":end" and position.startswith(":"):
            return self._previous.get(position[1:], self._previous[_TAIL])
        relative = position[:-1]
        if position == ":end" or relative not in self._next:
            return self._previous[_TAIL]
        return relative

    def _link(self, before: str, id_: str) -> None:
        after = self._next[before]
        self._next[before] = self._previous[after] = id_
        self._next[id_], self._previous[id_] = after, before

    def _unlink(self, id_: str) -> None:
        after, before = self._next.pop(id_), self._previous.pop(id_)
        self._next[before], self._previous[after] = after, before

    def order(self) -> Iterator[str]:
        """Give the ids in their order."""
        id_ = self._next[_HEAD]
        while id_ != _TAIL:
            yield id_
            id_ = self._next[id_]
