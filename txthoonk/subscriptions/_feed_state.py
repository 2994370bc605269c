"""A feed's items in their order, kept up to date by its events (contract: Feed, Sorted Feed).

Both classes apply each event in constant time. An event that does not fit, such as the position of
an item that does not exist, comes from a writer that died between two writes. It changes what it
can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

from txthoonk.events import Event

__all__ = ["MISSING", "FeedState", "SortedState", "State", "make_state", "slices"]

#: Stands for an item that is not known yet.
MISSING: Any = object()


class State(Protocol):
    """The items of a feed of either type.

    :ivar items: id -> item, in no particular order.
    """

    items: dict[str, Any]

    def extend(self, items: dict[str, Any]) -> None:
        """Add items at the end. The value :data:`MISSING` stands for one that is not known yet."""

    def apply(self, event: Event) -> bool:
        """Apply an event. Return whether the feed really had the state that results."""

    def order(self) -> Iterator[str]:
        """Return the ids in their order."""


def make_state(type_: str | None) -> State:
    """Make the state of an empty feed."""
    return SortedState() if type_ == "sorted_feed" else FeedState()


def slices(state: State, most: int) -> Iterator[tuple[list[tuple[str, Any]], bool]]:
    """Split a state that changes no more.

    :param most: how many items are in a slice.
    :return: the items of each slice, in order, and whether another one follows. An empty state has
        one empty slice.
    """
    items = state.items
    pairs = ((id_, items[id_]) for id_ in state.order() if items[id_] is not MISSING)
    some, more = list(islice(pairs, most)), True
    while more:
        following = list(islice(pairs, most))
        more = bool(following)
        yield some, more
        some = following


class FeedState:
    """A plain feed: an item that is published or edited goes to the end."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.items: dict[str, Any] = dict.fromkeys(ids, MISSING)

    def extend(self, items: dict[str, Any]) -> None:
        """Add items at the end."""
        self.items.update(items)

    def apply(self, event: Event) -> bool:
        """Apply an event."""
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
        """Return the ids in their order."""
        return iter(self.items)


# The ends of the list. No id contains NUL.
_HEAD, _TAIL = "\0head", "\0tail"


class SortedState:
    """A sorted feed: a doubly linked list.

    :ivar is_partial: whether it has only the first items of the feed so far. Then an item that
        moves behind the last of them leaves the state, and :meth:`extend` adds it later.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.items: dict[str, Any] = {}
        self.is_partial = False
        self._moved_in: list[str] = []
        self._new: dict[str, Any] = {}  # items whose position has not come yet
        self._next = {_HEAD: _TAIL}
        self._previous = {_TAIL: _HEAD}
        self.extend(dict.fromkeys(ids, MISSING))

    def extend(self, items: dict[str, Any]) -> None:
        """Add items at the end, except those that it has."""
        last = self._previous[_TAIL]
        for id_, item in items.items():
            if id_ not in self.items:
                self.items[id_] = item
                self._next[last], self._previous[id_] = id_, last
                last = id_
        self._next[last], self._previous[_TAIL] = _TAIL, last

    def apply(self, event: Event) -> bool:
        """Apply an event. Return False while a new item waits for its position."""
        items, id_ = self.items, event.id
        if id_ is None:
            return not self._new
        if self.is_partial and event.kind != "position":
            self._new.clear()  # it was the edit of an item that is not known yet
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
        elif not self.is_partial:
            return
        before = self._previous_of(position)
        if before is not None:
            if id_ not in self.items:
                self.items[id_] = MISSING
                self._moved_in.append(id_)
            self._link(before, id_)
        elif self.is_partial:
            self.items.pop(id_, None)
        else:
            self._link(self._previous[_TAIL], id_)

    def _previous_of(self, position: str) -> str | None:
        """Return the id after which the position is; None: after the last, or an unknown one."""
        if position == "begin:":
            return _HEAD
        if position == ":end":
            return None
        if position.startswith(":"):
            return self._previous.get(position[1:])
        return position[:-1] if position[:-1] in self._next else None

    def complete(self) -> list[str]:
        """Learn that all items of the feed are known.

        :return: ids that :meth:`extend` did not add, because they moved among the first items.
        """
        self.is_partial = False
        self._new.clear()
        moved_in, self._moved_in = self._moved_in, []
        return moved_in

    def _link(self, before: str, id_: str) -> None:
        after = self._next[before]
        self._next[before] = self._previous[after] = id_
        self._next[id_], self._previous[id_] = after, before

    def _unlink(self, id_: str) -> None:
        after, before = self._next.pop(id_), self._previous.pop(id_)
        self._next[before], self._previous[after] = after, before

    def order(self) -> Iterator[str]:
        """Return the ids in their order."""
        id_ = self._next[_HEAD]
        while id_ != _TAIL:
            yield id_
            id_ = self._next[id_]
