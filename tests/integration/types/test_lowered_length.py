"""A feed whose max_length is lowered far below its length drops items in bounded slices."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support import server_url
from tests.support.feed import PUBLISH, RETRACT, FeedTestCase
from txthoonk import Thoonk
from txthoonk.errors import ConnectionLost
from txthoonk.protocol._client import RedisProtocol
from txthoonk.testing import check_feed
from txthoonk.types import Feed

MANY = 1700
SLICE = 500
NAMES = ("feed/publish", "feed/trim")


class LoweredTests(FeedTestCase):
    config = {"history": 100}

    async def setUp(self) -> None:
        self.lengths: list[Deferred[int]] = []
        self.before: Callable[[Any, str], object] = lambda redis, name: None
        self.call = RedisProtocol._call
        self.patch(RedisProtocol, "_call", lambda *call: self.counted(*call))
        await super().setUp()
        self.ids = [str(number) for number in range(MANY)]
        for first in range(0, MANY, 100):
            await gatherResults([self.feed.publish("x", i) for i in self.ids[first : first + 100]])
        await self.feed.set_config({"max_length": 10})
        await self.spied.messages()
        self.lengths.clear()

    def counted(self, redis: Any, script: Any, *rest: Any) -> Any:
        """Make a call, then request the feed's length."""
        self.before(redis, script.name)
        called = self.call(redis, script, *rest)
        if script.name in NAMES:
            length = redis.send("ZCARD", "feed.ids:x")
            self.lengths.append(length.addErrback(lambda reason: reason.trap(ConnectionLost)))
        return called

    async def dropped(self) -> list[int]:
        """Return how many items each call dropped."""
        lengths = [MANY, *await gatherResults(self.lengths)]
        return [before - after for before, after in pairwise(lengths)]

    async def test_slices(self) -> None:
        """No call drops more than a slice, and the publish fires after the last drop."""
        await self.feed.publish("y", "new")
        self.assertEqual(await self.feed.get_ids(), [*self.ids[-9:], "new"])
        dropped = await self.dropped()
        self.assertEqual((sum(dropped), len(dropped)), (MANY - 10, 4))
        self.assertLessEqual(max(dropped), SLICE)
        told = await self.spied.messages()
        retracts = [message for channel, message in told if channel == RETRACT]
        self.assertEqual(retracts, [id_.encode() for id_ in self.ids[:-9]])
        self.assertEqual(told[SLICE + 1], (PUBLISH, b"new\0y"))
        self.assertEqual(await check_feed(self.pub_, "x"), [])

    async def test_several_at_once(self) -> None:
        """Publishes of one reactor turn share the trimming, and each fires its id."""
        new = [f"new {number}" for number in range(60)]
        self.assertEqual(await gatherResults([self.feed.publish("y", id_) for id_ in new]), new)
        self.assertEqual(await self.feed.get_ids(), new[-10:])
        self.assertLessEqual(max(await self.dropped()), SLICE)
        self.assertEqual(await check_feed(self.pub_, "x"), [])

    async def test_edit(self) -> None:
        """An edit makes the oldest item the newest, so it is not dropped."""
        await self.feed.publish("y", "0")
        self.assertEqual(await self.feed.get_ids(), [*self.ids[-9:], "0"])

    async def test_others_publish_meanwhile(self) -> None:
        """With several publishers, the feed ends at its max_length."""
        other = Feed(await self.pub(), "x")
        await gatherResults([feed.publish("y") for feed in (self.feed, other) for _ in range(30)])
        self.assertEqual(await self.feed.length(), 10)
        self.assertEqual(await check_feed(self.pub_, "x"), [])

    async def test_connection_lost(self) -> None:
        """A publish fires even if the connection is lost; the next one continues the trim."""

        def lose(redis: Any, name: str) -> None:
            if name == "feed/trim":
                redis.abort(ConnectionLost("cut"))

        self.before = lose
        self.assertEqual(await self.feed.publish("y", "new"), "new")
        again = Feed(await self.pub(), "x")
        self.assertEqual(await again.length(), MANY + 1 - SLICE - 1)
        self.before = lambda redis, name: None
        await again.publish("y", "newer")
        self.assertEqual(await again.get_ids(), [*self.ids[-8:], "new", "newer"])

    async def test_mirror(self) -> None:
        """A mirror ends with the items that the trimmed feed has."""
        thoonk = Thoonk(await server_url())
        self.addCleanup(thoonk.close)
        mirror = await (await thoonk.connect()).mirror("x")
        done: Deferred[None] = Deferred()
        mirror.on_change(
            lambda event: len(mirror) == 10 and not done.called and done.callback(None)
        )
        await self.feed.publish("y", "new")
        await done
        self.assertEqual(list(mirror), [*self.ids[-9:], "new"])
