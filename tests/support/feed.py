"""Helpers for the integration tests of feeds."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.support import RedisTestCase, Spy
from txthoonk.client import ThoonkPub
from txthoonk.types import Feed

PUBLISH, EDIT, RETRACT = b"feed.publish:x", b"feed.edit:x", b"feed.retract:x"


class FeedTestCase(RedisTestCase):
    """A feed ``x``, and an observer of all messages since its creation."""

    config: dict[str, Any] | None = None

    async def setUp(self) -> None:
        await super().setUp()
        self.pub_: ThoonkPub = await self.pub()
        self.feed: Feed = await self.pub_.feed("x", self.config)
        self.spied: Spy = await self.spy()

    async def fill(self, count: int) -> list[str]:
        """Publish items ``i0``, ... with the ids ``0``, ..., and discard the messages."""
        ids = [str(number) for number in range(count)]
        await gatherResults([self.feed.publish(f"i{id_}", id_) for id_ in ids])
        await self.spied.messages()
        return ids

    async def scores(self) -> list[float]:
        return [score for _, score in await self.value("feed.ids:x")]

    async def stored(self) -> list[str]:
        """Return the ids in order, after checking that each has an item."""
        ids = [id_ for id_, _ in await self.value("feed.ids:x") or []]
        items = await self.value("feed.items:x") or {}
        self.assertEqual(set(ids), set(items), "ids and items are out of step")
        return [id_.decode() for id_ in ids]
