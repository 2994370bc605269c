"""The sorted feed and its model."""

from __future__ import annotations

from typing import Any

import attr
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from twisted.internet.defer import Deferred

from tests.model.clients import Cut
from tests.model.machine import Machine, ModelTestCase
from tests.model.model import Refused
from tests.model.ordered import EXPECTING, READS, Expecting, OrderedModel
from tests.model.steps import CLIENTS, CUTS, HISTORIES, NUMBERS, batches, weighted
from tests.model.verbs import Verb
from txthoonk.errors import ItemDoesNotExist
from txthoonk.testing._feed_dump import State


@attr.define
class SortedModel(OrderedModel):
    """Items in an order that the users choose.

    :ivar last: the last id.
    """

    last: int = 0

    def publish(self, position: str, item: str) -> str:
        index = self._place(position)
        log = self.look()
        self.last += 1
        id_ = str(self.last)
        self.order.insert(index, id_)
        self.items[id_] = item
        self.publishes += 1
        self.tell(log, ("publish", id_, item, True), ("position", id_, position, True))
        return id_

    def _place(self, position: str) -> int:
        """Return the index of a position."""
        if position in ("begin:", ":end"):
            return 0 if position == "begin:" else len(self.order)
        relative = position.strip(":")
        self._there(relative)
        return self.order.index(relative) + position.endswith(":")

    def _there(self, id_: str) -> None:
        if id_ not in self.items:
            raise Refused(ItemDoesNotExist)

    def edit(self, id_: str, item: str, expected: int | None) -> None:
        self.expect(id_, expected)
        self._there(id_)
        log = self.look()
        self.items[id_] = item
        self.publishes += 1
        # The contract publishes edits on the channel of publishes.
        self.tell(log, ("edit", id_, item, True))

    def public(self, kind: str) -> str:
        return "publish" if kind == "edit" else kind

    def move(self, position: str, id_: str) -> None:
        self._there(id_)
        self._place(position)
        if position.strip(":") == id_:
            return
        log = self.look()
        self.order.remove(id_)
        self.order.insert(self._place(position), id_)
        self.tell(log, ("position", id_, position, True))

    def retract(self, id_: str, expected: int | None) -> bool:
        self.expect(id_, expected)
        if id_ not in self.items:
            return False
        log = self.look()
        del self.items[id_]
        self.order.remove(id_)
        self.tell(log, ("retract", id_, None, True))
        return True

    def deleted(self) -> None:
        super().deleted()
        self.last = 0

    def expected(self) -> dict[str, Any]:
        return {**super().expected(), "last": self.last}

    def found(self, state: State) -> dict[str, Any]:
        return {**super().found(state), "last": state.count("idincr")}


@attr.frozen
class Publish(Verb):
    """Publishes at a place: at the beginning, at the end, or next to another item."""

    where: str
    number: int

    def bind(self, model: SortedModel) -> tuple[Any, ...]:
        return self.where, model.pick(self.number), model.new_item()

    def call(self, feed: Any, where: str, relative: str, item: str) -> Deferred[str]:
        calls: dict[str, Any] = {
            "begin": lambda: feed.prepend(item),
            "end": lambda: feed.append(item),
            "before": lambda: feed.publish_before(relative, item),
            "after": lambda: feed.publish_after(relative, item),
        }
        published: Deferred[str] = calls[where]()
        return published

    def apply(self, model: SortedModel, where: str, relative: str, item: str) -> str:
        return model.publish(_position(where, relative), item)


def _position(where: str, relative: str) -> str:
    places = {"begin": "begin:", "end": ":end", "before": f":{relative}", "after": f"{relative}:"}
    return places[where]


@attr.frozen
class Move(Verb):
    where: str
    relative: int
    number: int

    def bind(self, model: SortedModel) -> tuple[Any, ...]:
        return _position(self.where, model.pick(self.relative)), model.pick(self.number)

    def call(self, feed: Any, *args: Any) -> Deferred[None]:
        moved: Deferred[None] = feed.move(*args)
        return moved

    def apply(self, model: SortedModel, *args: Any) -> None:
        model.move(*args)


@attr.frozen
class Edit(Verb):
    number: int
    expect: Expecting

    def bind(self, model: SortedModel) -> tuple[Any, ...]:
        id_ = model.pick(self.number)
        return id_, model.new_item(), self.expect.of(model, id_)

    def call(self, feed: Any, *args: Any) -> Deferred[None]:
        edited: Deferred[None] = feed.edit(*args)
        return edited

    def apply(self, model: SortedModel, *args: Any) -> None:
        model.edit(*args)


@attr.frozen
class Retract(Verb):
    number: int
    expect: Expecting

    def bind(self, model: SortedModel) -> tuple[Any, ...]:
        id_ = model.pick(self.number)
        return id_, self.expect.of(model, id_)

    def call(self, feed: Any, *args: Any) -> Deferred[bool]:
        retracted: Deferred[bool] = feed.retract(*args)
        return retracted

    def apply(self, model: SortedModel, *args: Any) -> bool:
        return model.retract(*args)


PLACES = st.sampled_from(["end", "begin", "before", "after"])
VERBS = weighted(
    (4, st.builds(Publish, PLACES, NUMBERS)),
    (3, st.builds(Move, PLACES, NUMBERS, NUMBERS)),
    (2, st.builds(Edit, NUMBERS, EXPECTING)),
    (2, st.builds(Retract, NUMBERS, EXPECTING)),
    (2, READS),
)


class SortedFeedMachine(Machine):
    """The steps of a sorted feed."""

    TYPE = "sorted_feed"
    EXAMPLES = 80
    MODEL = SortedModel

    @initialize(history=HISTORIES)
    def create(self, history: int) -> None:
        self.begin({"history": history})

    @rule(client=CLIENTS, verbs=batches(VERBS))
    def do(self, client: int, verbs: list[Verb]) -> None:
        self.act(client, verbs)

    @rule(client=CLIENTS, verbs=batches(VERBS), cut=CUTS)
    def be_cut_off(self, client: int, verbs: list[Verb], cut: Cut) -> None:
        self.act(client, verbs, cut)

    @rule(client=CLIENTS, history=HISTORIES)
    def change(self, client: int, history: int) -> None:
        self.configure(client, {"history": history})


class SortedFeedTests(ModelTestCase):
    """Random verbs of several clients, some of which are cut off."""

    async def test_sorted_feed(self) -> None:
        """After each step, the sorted feed and all messages are as the model expects."""
        await self.explore(SortedFeedMachine)
