"""The state of a feed, kept up to date by events, compared with plain lists."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fuzzing import QUICK
from txthoonk.events import Event
from txthoonk.subscriptions._feed_state import (
    MISSING,
    FeedState,
    SortedState,
    State,
    make_state,
    slices,
)


def event(kind: str, id_: str | None = None, value: Any = None) -> Event:
    where = {"position": value} if kind == "position" else {"item": value}
    return Event(kind, "news", id_, **where)


def apply(state: State, *events: tuple[Any, ...]) -> list[bool]:
    return [state.apply(event(*one)) for one in events]


def whole(state: State) -> list[tuple[str, Any]]:
    """Return all items of a state, and check that order and items have the same ids."""
    order = list(state.order())
    assert sorted(order) == sorted(state.items)
    return [(id_, state.items[id_]) for id_ in order]


class Plain:
    """A plain feed as a list."""

    def __init__(self, ids: list[str]) -> None:
        self.pairs: list[tuple[str, Any]] = [(id_, MISSING) for id_ in ids]

    def apply(self, kind: str, id_: str, value: str) -> bool:
        if kind in ("publish", "edit", "retract"):
            self.pairs = [pair for pair in self.pairs if pair[0] != id_]
        if kind in ("publish", "edit"):
            self.pairs.append((id_, value))
        return True


class Sorted:
    """A sorted feed as a list: a position next to an unknown id is the end."""

    def __init__(self, ids: list[str]) -> None:
        self.order = list(ids)
        self.items: dict[str, Any] = dict.fromkeys(ids, MISSING)
        self.new: dict[str, Any] = {}

    @property
    def pairs(self) -> list[tuple[str, Any]]:
        return [(id_, self.items[id_]) for id_ in self.order]

    def apply(self, kind: str, id_: str, value: str) -> bool:
        if kind in ("publish", "edit"):
            (self.items if id_ in self.items else self.new)[id_] = value
        elif kind == "retract":
            self.new.pop(id_, None)
            if self.items.pop(id_, None) is not None:
                self.order.remove(id_)
        elif kind == "position" and (id_ in self.items or id_ in self.new):
            self.place(id_, value)
        return not self.new

    def place(self, id_: str, position: str) -> None:
        if id_ in self.new:
            self.items[id_] = self.new.pop(id_)
        else:
            self.order.remove(id_)
        before, after = position.split(":")
        if position == "begin:":
            index = 0
        elif position != ":end" and after in self.order:
            index = self.order.index(after)
        elif before in self.order:
            index = self.order.index(before) + 1
        else:
            index = len(self.order)
        self.order.insert(index, id_)


IDS = st.sampled_from("12345")
START = st.lists(IDS, unique=True)
ITEMS = st.sampled_from("xyz")
PLACES = st.sampled_from(["begin:", ":end"]) | IDS.map(":{}".format) | IDS.map("{}:".format)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["publish", "edit"]), IDS, ITEMS)
    | st.tuples(st.just("position"), IDS, PLACES)
    | st.tuples(st.just("retract"), IDS, st.none()),
    max_size=30,
)


class ModelTests(SynchronousTestCase):
    def compare(self, state: State, model: Plain | Sorted, changes: list[Any]) -> None:
        self.assertEqual(whole(state), model.pairs)
        for change in changes:
            settled = model.apply(*change)
            self.assertEqual(state.apply(event(*change)), settled)
            self.assertEqual(whole(state), model.pairs)

    @QUICK
    @given(START, CHANGES)
    def test_feed(self, ids: list[str], changes: list[Any]) -> None:
        """After any events, a plain feed is equal to a list."""
        self.compare(FeedState(ids), Plain(ids), changes)

    @QUICK
    @given(START, CHANGES)
    def test_sorted_feed(self, ids: list[str], changes: list[Any]) -> None:
        """After any events, a sorted feed is equal to a list."""
        self.compare(SortedState(ids), Sorted(ids), changes)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["new", "move", "edit", "retract", "read"]),
        st.integers(0, 20),
        st.integers(0, 20),
    ),
    max_size=40,
)


class PartialTests(SynchronousTestCase):
    """The order of a sorted feed that is read in parts, while the feed changes."""

    def begin(self, count: int) -> None:
        """Store some items, and read the first two."""
        self.server = Sorted([str(number) for number in range(count)])
        self.state = SortedState()
        self.state.is_partial = True
        self.last_id = count
        self.known: set[str] = set()
        self.read(0, 0)

    def change(self, *event: Any) -> None:
        self.server.apply(*event)
        apply(self.state, event)

    def beside(self, at: int, place: int) -> str:
        """Choose a position."""
        if not self.server.order or place < 4:
            return ("begin:", ":end")[place % 2]
        return (":{}", "{}:")[place % 2].format(self.server.order[at])

    def read(self, at: int, _: int) -> None:
        known = len(self.state.items)
        some = self.server.order[known : known + 2]
        self.known.update(some)
        self.state.extend(dict.fromkeys(some, MISSING))

    def new(self, at: int, place: int) -> None:
        self.last_id += 1
        self.change("publish", str(self.last_id), "new")
        self.change("position", str(self.last_id), self.beside(at, place))

    def move(self, at: int, place: int) -> None:
        id_ = self.server.order[at]
        position = self.beside(place % len(self.server.order), place)
        if id_ not in position:
            self.change("position", id_, position)

    def edit(self, at: int, value: int) -> None:
        kind = ("publish", "edit")[value % 2]
        self.change(kind, self.server.order[at], f"edited {value}")

    def retract(self, at: int, _: int) -> None:
        self.change("retract", self.server.order[at], None)

    @QUICK
    @given(st.integers(0, 12), OPERATIONS)
    def test_any(self, count: int, operations: list[Any]) -> None:
        """The state always has the first items; when all are read, it is complete."""
        self.begin(count)
        for name, at, value in operations:
            if self.server.order:
                getattr(self, name)(at % len(self.server.order), value)
            known = len(self.state.items)
            self.assertEqual(list(self.state.order()), self.server.order[:known])
        while len(self.state.items) < len(self.server.order):
            self.read(0, 0)
        self.known.update(self.state.complete())
        self.assertEqual(list(self.state.order()), self.server.order)
        for id_, item in whole(self.state):
            if item is MISSING:
                self.assertIn(id_, self.known)
            else:
                self.assertEqual(item, self.server.items[id_])
        self.new(0, 1)
        self.assertEqual(list(self.state.order()), self.server.order)


class SlicesTests(SynchronousTestCase):
    def test_slices(self) -> None:
        """All slices but the last say that another one follows; unknown items are left out."""
        for count, expected in (
            (0, [("", False)]),
            (2, [("01", False)]),
            (3, [("01", True), ("2", False)]),
        ):
            state = make_state("feed")
            state.extend({str(number): "x" for number in range(count)})
            state.extend({"none": MISSING})
            found = [("".join(id_ for id_, _ in some), more) for some, more in slices(state, 2)]
            self.assertEqual(found, expected)


class FeedStateTests(SynchronousTestCase):
    def test_types(self) -> None:
        """Only sorted feeds have positions; a feed without a type is a plain one."""
        for type_, kind in (("sorted_feed", SortedState), ("feed", FeedState), (None, FeedState)):
            state = make_state(type_)
            state.extend(dict.fromkeys(["2", "1"], MISSING))
            self.assertIsInstance(state, kind)
            self.assertEqual(whole(state), [("2", MISSING), ("1", MISSING)])

    def test_order(self) -> None:
        """An item that is published or edited goes to the end."""
        state = FeedState(["1", "2", "3"])
        apply(state, ("edit", "1", "x"), ("publish", "4", "y"), ("publish", "2", "z"))
        self.assertEqual(whole(state), [("3", MISSING), ("1", "x"), ("4", "y"), ("2", "z")])

    def test_retract(self) -> None:
        """A retracted item is removed, and the retract of an unknown id changes nothing."""
        state = FeedState(["1", "2"])
        self.assertEqual(apply(state, ("retract", "1"), ("retract", "9")), [True, True])
        self.assertEqual(whole(state), [("2", MISSING)])

    def test_other_events(self) -> None:
        """Events without an item, or of other types of feeds, change nothing."""
        state = FeedState(["1"])
        self.assertEqual(
            apply(state, ("create",), ("position", "1", ":end"), ("claim", "1")), [True] * 3
        )
        self.assertEqual(whole(state), [("1", MISSING)])


class SortedStateTests(SynchronousTestCase):
    def ordered(self, *events: tuple[Any, ...]) -> str:
        state = SortedState(list("123"))
        apply(state, *events)
        return "".join(id_ for id_, _ in whole(state))

    def test_new_item(self) -> None:
        """A new item is added when its position arrives, and the state is incomplete before."""
        state = SortedState(["1"])
        self.assertEqual(apply(state, ("publish", "2", "x")), [False])
        self.assertEqual(whole(state), [("1", MISSING)])
        self.assertEqual(apply(state, ("config",), ("position", "2", "begin:")), [False, True])
        self.assertEqual(whole(state), [("2", "x"), ("1", MISSING)])
        self.assertEqual(apply(state, ("config",)), [True])

    def test_two_new_items(self) -> None:
        """The positions of new items of two writers may arrive in any order."""
        state = SortedState([])
        settled = apply(
            state,
            ("publish", "1", "x"),
            ("publish", "2", "y"),
            ("position", "2", ":end"),
            ("position", "1", ":2"),
        )
        self.assertEqual(settled, [False, False, False, True])
        self.assertEqual(whole(state), [("1", "x"), ("2", "y")])

    def test_edit(self) -> None:
        """A known item keeps its place when it is edited or published."""
        state = SortedState(["1", "2"])
        self.assertEqual(apply(state, ("publish", "1", "x"), ("edit", "2", "y")), [True, True])
        self.assertEqual(whole(state), [("1", "x"), ("2", "y")])

    def test_edit_before_the_position(self) -> None:
        """A new item that is edited before its position arrives has the edited value."""
        state = SortedState([])
        settled = apply(
            state, ("publish", "1", "x"), ("edit", "1", "y"), ("position", "1", ":end")
        )
        self.assertEqual((settled, whole(state)), ([False, False, True], [("1", "y")]))

    def test_retract(self) -> None:
        """A retracted item is removed, even a new one without a position."""
        state = SortedState(list("123"))
        settled = apply(
            state, ("retract", "2"), ("publish", "4", "x"), ("retract", "4"), ("retract", "9")
        )
        self.assertEqual(settled, [True, False, True, True])
        self.assertEqual(whole(state), [("1", MISSING), ("3", MISSING)])

    def test_places(self) -> None:
        """The colon stands where the item goes: before or after an id, or at an end."""
        for id_, position, order in (
            ("3", "begin:", "312"),
            ("1", ":end", "231"),
            ("3", ":1", "312"),
            ("3", ":2", "132"),
            ("1", "2:", "213"),
            ("1", "3:", "231"),
            ("2", "1:", "123"),
            ("2", ":3", "123"),
        ):
            self.assertEqual(self.ordered(("position", id_, position)), order)

    def test_unknown_places(self) -> None:
        """A position next to an unknown id, or to the item itself, is the end."""
        for position in (":9", "9:", ":1", "1:", "", ":", ":begin", "end:"):
            self.assertEqual(self.ordered(("position", "1", position)), "231")

    def test_unknown_item(self) -> None:
        """The position of an unknown item changes nothing."""
        self.assertEqual(self.ordered(("position", "9", "begin:")), "123")

    def test_other_events(self) -> None:
        """Other events change nothing."""
        self.assertEqual(self.ordered(("claim", "1"), ("delete",)), "123")
