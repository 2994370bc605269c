"""The queue and its model."""

from __future__ import annotations

from typing import Any

import attr
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from twisted.internet.defer import Deferred

from tests.model.clients import Cut
from tests.model.machine import ModelTestCase
from tests.model.model import Model
from tests.model.steps import CLIENTS, CUTS, HISTORIES, NUMBERS, batches, weighted
from tests.model.taking import Get, TakingMachine
from tests.model.verbs import Verb
from txthoonk import Queue
from txthoonk.testing._feed_dump import State


@attr.define
class QueueModel(Model):
    """A line of items.  Clients make the ids, so the model uses the items as ids.

    :ivar line: the items in the line; the last one is delivered next.
    :ivar delivering: items taken by a consumer that was cut off, and whether they are old enough
        for maintenance to put them back.
    :ivar given: the last item that was taken, which its consumer may have received.
    """

    line: list[str] = attr.Factory(list)
    delivering: dict[str, bool] = attr.Factory(dict)
    given: str | None = None

    COUNTS = False
    LOOSE = ("put",)

    # -- verbs ------------------------------------------------------------------------

    def put(self, items: list[str], priority: int) -> None:
        log = self.look()
        if priority == Queue.HIGH:
            # The first item is put last, to be delivered next.
            items = items[::-1]
            self.line += items
        else:
            self.line = [*reversed(items), *self.line]
        self.publishes += len(items)
        if log is not None:
            self.tell(log, *[("put", item, item, False) for item in items])

    def get(self) -> str:
        item = self.line.pop()
        self.delivering[item] = False
        self.given = item
        return item

    def delivered(self, item: str) -> None:
        self.delivering.pop(item, None)

    def taken_again(self, hungry: bool) -> str | None:
        """Note that a get was cut off; what it took waits for maintenance."""
        return self.get() if hungry and self.line else None

    def maintain(self) -> dict[str, int]:
        old = [item for item, old in self.delivering.items() if old]
        for item in reversed(old):
            del self.delivering[item]
            self.line.append(item)
        return {"dated": 0, "restored": len(old), "dropped": 0}

    def age(self) -> list[str]:
        """Let time pass; return the items whose delivery is now too old."""
        self.delivering = dict.fromkeys(self.delivering, True)
        return list(self.delivering)

    def deleted(self) -> None:
        super().deleted()
        self.line, self.delivering = [], {}

    def settle(self) -> None:
        self.given = None

    # -- beside the real thing ----------------------------------------------------------

    def expected(self) -> dict[str, Any]:
        every = sorted([*self.line, *self.delivering])
        parts = {"items": every, "line": self.line, "delivering": sorted(self.delivering)}
        return {**super().expected(), **parts, "transit": []}

    def found(self, state: State) -> dict[str, Any]:
        def items(ids: Any) -> list[str]:
            return [state.items.get(id_, f"no item of {id_}") for id_ in ids]

        found = super().found(state)
        found["items"] = sorted(state.items.values())
        found["line"] = items(state.ids)
        found["delivering"] = sorted(items(state.scores("delivering")))
        found["transit"] = items(state.list("transit"))
        return found

    def as_told(self, channel: str, message: str) -> tuple[str, str]:
        channel, message = super().as_told(channel, message)
        if channel.startswith("feed.event:"):
            revision, kind, _, item = message.split("\0", 3)
            message = "\0".join((revision, kind, item, item))
        return channel, message

    def as_event(
        self, kind: str, id_: str, rest: Any, revision: int | None, more: bool
    ) -> tuple[Any, ...]:
        return super().as_event(kind, rest, rest, revision, more)

    def variants(self) -> list[Model]:
        """Return this model, and one in which the last item taken was delivered."""
        if self.given is None:
            return [self]
        other = attr.evolve(self, delivering=dict(self.delivering))
        other.delivered(self.given)
        return [self, other]

    def unsettled(self, wrong: str) -> bool:
        return wrong.startswith("on its way") and bool(self.delivering)


@attr.frozen
class Put(Verb):
    high: bool

    def bind(self, model: QueueModel) -> tuple[Any, ...]:
        return model.new_item(), int(self.high)

    def call(self, feed: Queue, item: str, priority: int) -> Deferred[Any]:
        return feed.put(item, priority).addCallback(lambda id_: None)

    def apply(self, model: QueueModel, item: str, priority: int) -> None:
        model.put([item], priority)


@attr.frozen
class PutMany(Verb):
    count: int
    high: bool

    def bind(self, model: QueueModel) -> tuple[Any, ...]:
        return [model.new_item() for _ in range(1 + self.count % 3)], int(self.high)

    def call(self, feed: Queue, items: list[str], priority: int) -> Deferred[Any]:
        return feed.put_many(items, priority).addCallback(len)

    def apply(self, model: QueueModel, items: list[str], priority: int) -> int:
        model.put(items, priority)
        return len(items)


@attr.frozen
class Read(Verb):
    what: str

    def bind(self, model: QueueModel) -> tuple[Any, ...]:
        return ()

    def call(self, feed: Queue) -> Deferred[Any]:
        calls: dict[str, Any] = {
            "length": feed.length,
            "ids": lambda: feed.get_ids().addCallback(len),
            "paused": feed.is_paused,
        }
        read: Deferred[Any] = calls[self.what]()
        return read

    def apply(self, model: QueueModel) -> Any:
        return model.paused if self.what == "paused" else len(model.line)


VERBS = weighted(
    (3, st.builds(Put, st.booleans())),
    (2, st.builds(PutMany, NUMBERS, st.booleans())),
    (3, st.just(Get())),
    (1, st.builds(Read, st.sampled_from(["length", "ids", "paused"]))),
)


class QueueMachine(TakingMachine):
    """The steps of a queue."""

    TYPE = "queue"
    EXAMPLES = 110
    MODEL = QueueModel

    @initialize(history=HISTORIES)
    def create(self, history: int) -> None:
        self.begin({"history": history})

    @rule(client=CLIENTS, verbs=batches(VERBS))
    def do(self, client: int, verbs: list[Verb]) -> None:
        self.act(client, verbs)

    @rule(client=CLIENTS, verbs=batches(VERBS), cut=CUTS)
    def be_cut_off(self, client: int, verbs: list[Verb], cut: Cut) -> None:
        self.act(client, verbs, cut)

    @rule(client=CLIENTS, count=NUMBERS, cut=CUTS)
    def be_cut_off_taking(self, client: int, count: int, cut: Cut) -> None:
        self.act(client, [PutMany(count, False), Get()], cut)

    async def put_one(self, feed: Queue) -> None:
        item = self.model.new_item()
        self.model.put([item], Queue.NORMAL)
        await feed.put(item)


class QueueTests(ModelTestCase):
    """Random verbs of several clients, some of which are cut off."""

    async def test_queue(self) -> None:
        """After each step, the queue is as the model expects; no item is lost or duplicated."""
        await self.explore(QueueMachine)
