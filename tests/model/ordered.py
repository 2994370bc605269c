"""What the models of feeds and sorted feeds have in common: an order, reads, revisions."""

from __future__ import annotations

from typing import Any

import attr
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.model.model import Log, Model, Refused
from tests.model.steps import NUMBERS, weighted
from tests.model.verbs import Verb
from txthoonk.errors import NoHistory
from txthoonk.testing._feed_dump import State

__all__ = ["EXPECTING", "READS", "Expecting", "OrderedModel"]


@attr.define
class OrderedModel(Model):
    """Items in an order.

    :ivar order: the ids.
    """

    order: list[str] = attr.Factory(list)

    def deleted(self) -> None:
        super().deleted()
        self.order = []

    def expected(self) -> dict[str, Any]:
        return {**super().expected(), "ids": self.order}

    def found(self, state: State) -> dict[str, Any]:
        return {**super().found(state), "ids": state.ids}

    # -- reading --------------------------------------------------------------------

    def pick(self, number: int) -> str:
        """Return an id that a reader may ask for; some do not exist."""
        return "nobody" if number == 11 or not self.order else self.order[number % len(self.order)]

    def get_range(self, start: int, stop: int) -> list[tuple[str, str]]:
        count = len(self.order)
        first = max(0, start + count if start < 0 else start)
        last = stop + count if stop < 0 else stop
        return [(id_, self.items[id_]) for id_ in self.order[first : max(0, last + 1)]]

    def look_for_good(self) -> Log:
        """Look at the history, which makes it begin."""
        self.log = self.look()
        if self.log is None:
            raise Refused(NoHistory)
        return self.log


@attr.frozen
class Expecting:
    """Which revision a verb expects: ``any``, ``right``, ``none``, ``old`` or ``new``."""

    what: str

    def of(self, model: Model, id_: str) -> int | None:
        present = model.revision(id_)
        words = {"right": present, "none": 0, "old": max(0, present - 1), "new": present + 1}
        return words.get(self.what)


EXPECTING = st.builds(
    Expecting, st.sampled_from(["any", "any", "any", "right", "none", "old", "new"])
)


@attr.frozen
class Read(Verb):
    """Reads something of the feed."""

    what: str
    number: int

    def bind(self, model: OrderedModel) -> tuple[Any, ...]:
        return (model.pick(self.number), self.number)

    def call(self, feed: Any, id_: str, number: int) -> Deferred[Any]:
        calls: dict[str, Any] = {
            "ids": feed.get_ids,
            "all": lambda: feed.get_all().addCallback(lambda all_: list(all_.items())),
            "item": lambda: feed.get_item(id_),
            "with_revision": lambda: feed.get_item(id_, with_revision=True).addCallback(tuple),
            "range": lambda: feed.get_range(number % 5 - 2, number % 4 - 2),
            "has": lambda: feed.has_id(id_),
            "length": feed.length,
            "revision": feed.revision,
        }
        read: Deferred[Any] = calls[self.what]()
        return read

    def apply(self, model: OrderedModel, id_: str, number: int) -> Any:
        if self.what == "with_revision":
            model.look_for_good()
        calls: dict[str, Any] = {
            "ids": lambda: list(model.order),
            "all": lambda: model.get_range(0, -1),
            "item": lambda: model.items.get(id_),
            "with_revision": lambda: (model.items.get(id_), model.revision(id_)),
            "range": lambda: model.get_range(number % 5 - 2, number % 4 - 2),
            "has": lambda: id_ in model.items,
            "length": lambda: len(model.order),
            "revision": lambda: model.look_for_good().top,
        }
        return calls[self.what]()


@attr.frozen
class ReadHistory(Verb):
    """Reads the events in the history."""

    def bind(self, model: OrderedModel) -> tuple[Any, ...]:
        return ()

    def call(self, feed: Any) -> Deferred[Any]:
        read: Deferred[Any] = feed.get_history()
        return read.addCallback(_History)

    def apply(self, model: OrderedModel) -> Any:
        log = model.look_for_good()
        return _Expected(min(model.history, len(log.entries)), list(log.entries))


class _History(list[Any]):
    """The events that were read."""


@attr.frozen(eq=False)
class _Expected:
    """The events of a history, of which the oldest may be gone."""

    least: int
    entries: list[Any]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, _History)
        read = [
            (one.revision, one.kind, one.id, one.item or one.position, one.more) for one in other
        ]
        return len(read) >= self.least and read == self.entries[len(self.entries) - len(read) :]

    __hash__ = None  # type: ignore[assignment]


_WHAT = ["ids", "all", "item", "with_revision", "range", "has", "length", "revision"]

READS = weighted(
    (5, st.builds(Read, st.sampled_from(_WHAT), NUMBERS)), (1, st.builds(ReadHistory))
)
