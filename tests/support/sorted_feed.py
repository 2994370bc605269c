"""Helpers for the integration tests of sorted feeds."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support import RedisTestCase, Spy
from txthoonk.client import ThoonkPub
from txthoonk.errors import InvalidInput, ItemDoesNotExist
from txthoonk.types import SortedFeed

PUBLISH, POSITION, RETRACT = b"feed.publish:x", b"feed.position:x", b"feed.retract:x"
Message = tuple[bytes, bytes]


class Model:
    """A model of a sorted feed: the same verbs on a list and a dict.

    :ivar order: the ids, as in ``feed.ids``.
    :ivar items: id -> item.
    :ivar told: the messages.
    """

    def __init__(self) -> None:
        self.order: list[str] = []
        self.items: dict[str, str] = {}
        self.told: list[Message] = []
        self.publishes = self.last_id = 0

    def state(self, config: dict[bytes, bytes]) -> dict[bytes, Any]:
        """Return the expected state of the whole database."""
        keys: dict[bytes, Any] = {b"feeds": {b"x"}, b"feed.config:x": config}
        keys[b"feed.ids:x"] = [id_.encode() for id_ in self.order]
        keys[b"feed.items:x"] = {id_.encode(): i.encode() for id_, i in self.items.items()}
        for key, count in ((b"publishes", self.publishes), (b"idincr", self.last_id)):
            keys[b"feed.%s:x" % key] = b"%d" % count if count else None
        return {key: value for key, value in keys.items() if value}

    def call(self, verb: str, *arguments: str) -> Any:
        """Return what the verb fires, or the class of its error."""
        try:
            return getattr(self, verb)(*arguments)
        except KeyError:
            return ItemDoesNotExist
        except ValueError:
            return InvalidInput

    def tell(self, channel: bytes, *parts: str) -> None:
        self.told.append((channel, "\0".join(parts).encode()))

    def relative(self, position: str) -> str:
        """Return what a position is relative to; raise ValueError if it is malformed."""
        first, last = position.startswith(":"), position.endswith(":")
        if first == last or position in (":begin", "end:"):
            raise ValueError(position)
        return position[1:] if first else position[:-1]

    def place(self, position: str, id_: str) -> None:
        """Put an id at *position*; raise KeyError if the position names an unknown id."""
        relative = self.relative(position)
        if position not in ("begin:", ":end") and relative not in self.order:
            raise KeyError(relative)
        if relative == id_:
            return
        if id_ in self.order:
            self.order.remove(id_)
        places = {"begin:": 0, ":end": len(self.order)}
        if position not in places:
            places[position] = self.order.index(relative) + (position[0] != ":")
        self.order.insert(places[position], id_)
        self.tell(POSITION, id_, position)

    def publish_at(self, position: str, item: str) -> str:
        told, self.told = self.told, []
        id_ = str(self.last_id + 1)
        try:
            self.place(position, id_)
        finally:
            placed, self.told = self.told, told
        self.last_id += 1
        self.publishes += 1
        self.items[id_] = item
        self.tell(PUBLISH, id_, item)
        self.told += placed
        return id_

    def append(self, item: str) -> str:
        return self.publish_at(":end", item)

    publish = append

    def prepend(self, item: str) -> str:
        return self.publish_at("begin:", item)

    def publish_before(self, id_: str, item: str) -> str:
        return self.publish_at(f":{id_}", item)

    def publish_after(self, id_: str, item: str) -> str:
        return self.publish_at(f"{id_}:", item)

    def edit(self, id_: str, item: str) -> None:
        self.items[id_]  # KeyError
        self.items[id_] = item
        self.publishes += 1
        self.tell(PUBLISH, id_, item)

    def move(self, position: str, id_: str) -> None:
        self.relative(position)  # ValueError
        self.items[id_]  # KeyError
        self.place(position, id_)

    def move_before(self, relative: str, id_: str) -> None:
        self.move(f":{relative}", id_)

    def move_after(self, relative: str, id_: str) -> None:
        self.move(f"{relative}:", id_)

    def move_first(self, id_: str) -> None:
        self.move("begin:", id_)

    def move_last(self, id_: str) -> None:
        self.move(":end", id_)

    def retract(self, id_: str) -> bool:
        if self.items.pop(id_, None) is None:
            return False
        self.order.remove(id_)
        self.tell(RETRACT, id_)
        return True


class SortedFeedTestCase(RedisTestCase):
    """A sorted feed ``x``, its model, and an observer of all messages."""

    config: dict[str, Any] | None = None

    async def setUp(self) -> None:
        await super().setUp()
        self.pub_: ThoonkPub = await self.pub()
        self.feed: SortedFeed = await self.pub_.sorted_feed("x", self.config)
        self.stored_config = await self.value("feed.config:x")
        self.spied: Spy = await self.spy()
        self.model = Model()

    async def fill(self, count: int) -> list[str]:
        """Append items ``i1``, ..., which get the ids ``1``, ..., and discard the messages."""
        ids = [self.model.append(f"i{number + 1}") for number in range(count)]
        appended = [self.feed.append(f"i{id_}") for id_ in ids]
        self.assertEqual(await gatherResults(appended), ids)
        await self.told()
        return ids

    async def told(self) -> list[Message]:
        """Return the messages since the last call, after comparing them with the model's."""
        expected, self.model.told = self.model.told, []
        told = await self.spied.messages()
        self.assertEqual(told, expected)
        return told

    async def assertAsModel(self) -> None:
        """The whole database and all messages equal those of the model."""
        self.assertEqual(await self.state(own=False), self.model.state(self.stored_config))
        await self.told()

    async def outcome(self, verb: Deferred[Any]) -> Any:
        """Return what a verb fires, or the class of its error."""
        return await verb.addErrback(lambda reason: type(reason.value))

    async def same(self, verb: str, *arguments: str) -> Any:
        """Call a verb on the feed and on the model: both fire, store and publish the same."""
        fired = await self.outcome(getattr(self.feed, verb)(*arguments))
        self.assertEqual(fired, self.model.call(verb, *arguments), (verb, arguments))
        await self.assertAsModel()
        return fired


VERBS: tuple[tuple[str, ...], ...] = (
    ("append", "item"),
    ("publish", "item"),
    ("prepend", "item"),
    ("publish_before", "1", "item"),
    ("publish_after", "1", "item"),
    ("edit", "1", "item"),
    ("move", "begin:", "2"),
    ("move_before", "1", "2"),
    ("move_after", "2", "1"),
    ("move_first", "2"),
    ("move_last", "1"),
    ("retract", "1"),
)
