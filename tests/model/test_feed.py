"""The plain feed and its model."""

from __future__ import annotations

from typing import Any

import attr
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from twisted.internet.defer import Deferred

from tests.model.clients import Cut
from tests.model.machine import Machine, ModelTestCase
from tests.model.ordered import EXPECTING, READS, Expecting, OrderedModel
from tests.model.steps import CLIENTS, CUTS, HISTORIES, NUMBERS, batches, weighted
from tests.model.verbs import Verb

IDS = "abcdef"
MAX_LENGTHS = st.sampled_from([0, 0, 1, 3, 4])


@attr.define
class FeedModel(OrderedModel):
    """Items in the order in which they are published."""

    def publish(self, item: str, id_: str, expected: int | None) -> str:
        self.expect(id_, expected)
        log, known = self.look(), id_ in self.order
        most = int(self.config.get("max_length", "0"))
        others = [one for one in self.order if one != id_]
        over = max(0, len(others) + 1 - most) if most else 0
        for gone in others[:over]:
            del self.items[gone]
        self.order = [*others[over:], id_]
        self.items[id_] = item
        self.publishes += 1
        events: list[Any] = [("retract", gone, None, True) for gone in others[:over]]
        self.tell(log, *events, ("edit" if known else "publish", id_, item, True))
        return id_

    def retract(self, id_: str, expected: int | None) -> bool:
        self.expect(id_, expected)
        if id_ not in self.items:
            return False
        log = self.look()
        del self.items[id_]
        self.order.remove(id_)
        self.tell(log, ("retract", id_, None, True))
        return True

    def unsettled(self, wrong: str) -> bool:
        # A smaller max_length takes effect at the next publish.
        most = int(self.config.get("max_length", "0"))
        return "max_length" in wrong and 0 < most < len(self.order)


@attr.frozen
class Publish(Verb):
    id: int
    expect: Expecting

    def bind(self, model: FeedModel) -> tuple[Any, ...]:
        id_ = IDS[self.id % len(IDS)]
        return model.new_item(), id_, self.expect.of(model, id_)

    def call(self, feed: Any, *args: Any) -> Deferred[str]:
        return feed.publish(*args)

    def apply(self, model: FeedModel, *args: Any) -> str:
        return model.publish(*args)


@attr.frozen
class Retract(Verb):
    id: int
    expect: Expecting

    def bind(self, model: FeedModel) -> tuple[Any, ...]:
        id_ = IDS[self.id % len(IDS)]
        return id_, self.expect.of(model, id_)

    def call(self, feed: Any, *args: Any) -> Deferred[bool]:
        return feed.retract(*args)

    def apply(self, model: FeedModel, *args: Any) -> bool:
        return model.retract(*args)


VERBS = weighted(
    (5, st.builds(Publish, NUMBERS, EXPECTING)),
    (2, st.builds(Retract, NUMBERS, EXPECTING)),
    (2, READS),
)
CONFIGS = st.one_of(
    st.builds(lambda most: {"max_length": most}, MAX_LENGTHS),
    st.builds(lambda history: {"history": history}, HISTORIES),
)


class FeedMachine(Machine):
    """The steps of a feed."""

    TYPE = "feed"
    EXAMPLES = 80
    MODEL = FeedModel

    @initialize(history=HISTORIES, most=MAX_LENGTHS)
    def create(self, history: int, most: int) -> None:
        self.begin({"history": history, "max_length": most})

    @rule(client=CLIENTS, verbs=batches(VERBS))
    def do(self, client: int, verbs: list[Verb]) -> None:
        self.act(client, verbs)

    @rule(client=CLIENTS, verbs=batches(VERBS), cut=CUTS)
    def be_cut_off(self, client: int, verbs: list[Verb], cut: Cut) -> None:
        self.act(client, verbs, cut)

    @rule(client=CLIENTS, config=CONFIGS)
    def change(self, client: int, config: dict[str, int]) -> None:
        self.configure(client, config)


class FeedTests(ModelTestCase):
    """Random verbs of several clients, some of which are cut off."""

    async def test_feed(self) -> None:
        """After each step, the feed and all published messages are as the model expects."""
        await self.explore(FeedMachine)
