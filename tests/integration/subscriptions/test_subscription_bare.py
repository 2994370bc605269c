"""A subscription of a bare ThoonkSub delivers live events only."""

from __future__ import annotations

from typing import Any

from tests.support.reconnect import ReconnectTestCase
from tests.support.subscriptions import Heard, briefs, take
from txthoonk.client import ThoonkSub
from txthoonk.errors import ConnectionLost, InvalidInput
from txthoonk.subscriptions import Subscription


class BareTests(ReconnectTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.bare = await self.sub()
        self.kept_feed = await self.pub_.feed("h", {"history": 100})

    async def told(self, subscription: Subscription, feed: str = "x") -> list[Any]:
        await self.raw.publish("conffeed", f"{feed}\0marker")
        events = [await subscription.next()]
        while events[-1].kind != "config":
            events.append(await subscription.next())
        return events[:-1]

    async def both(self, sub: ThoonkSub, feed: str) -> list[Subscription]:
        return [await sub.subscribe(feed), await sub.subscribe_pattern(f"{feed}*")]

    async def test_live(self) -> None:
        """A bare subscription delivers live events, with revisions if the feed has a history."""
        for feed in (self.feed, self.kept_feed):
            subscriptions = await self.both(self.bare, feed.name)
            heard = Heard()
            await self.bare.subscribe(feed, heard)
            await feed.publish("1", "a")
            await feed.publish("2", "a")
            await feed.retract("a")
            for subscription in subscriptions:
                events = await take(subscription, 3)
                self.assertEqual(
                    briefs(events), [("publish", "a", "1"), ("edit", "a", "2"), ("retract", "a")]
                )
                revisions = [1, 2, 3] if feed is self.kept_feed else [None] * 3
                self.assertEqual([event.revision for event in events], revisions)
                self.assertEqual(await self.told(subscription, feed.name), [])
            self.assertEqual((await heard.take(3))[:3], events)

    async def test_no_past(self) -> None:
        """A bare subscription refuses ``since`` and ``snapshot``, which need a publisher."""
        for options in ({"since": 0}, {"since": "a:1"}, {"snapshot": True}):
            await self.assertFailure(self.bare.subscribe("h", **options), InvalidInput)
        await self.assertFailure(self.bare.subscribe_pattern("h", snapshot=True), InvalidInput)
        self.assertEqual(await self.raw.send("PUBSUB", "CHANNELS"), [])

    async def test_reconnected(self) -> None:
        """A subscription delivers a resync, then live events, after its factory reconnects."""
        sub = await self.kept_sub()
        subscriptions = await self.both(sub, "x") + await self.both(sub, "h")
        await self.feed.publish("0", "a")
        await self.kept_feed.publish("0", "a")
        for subscription in subscriptions:
            self.assertEqual(briefs(await take(subscription, 1)), [("publish", "a", "0")])
        for round_ in range(3):
            await self.kill()
            await self.feed.publish("lost", "a")
            await self.kept_feed.publish("lost", "a")
            for subscription in subscriptions:
                event = await subscription.next()
                while event.kind == "edit" and event.item == "lost":
                    event = await subscription.next()
                self.assertEqual(event.kind, "resync")
                self.assertTrue(event.reason)
            await self.feed.publish(str(round_), "a")
            await self.kept_feed.publish(str(round_), "a")
            for subscription in subscriptions:
                event = await subscription.next()
                while event.item == "lost":
                    event = await subscription.next()
                self.assertEqual((event.kind, event.item), ("edit", str(round_)))

    async def test_foreign_writer(self) -> None:
        """A foreign change to a feed with a history gives its own event or a resync."""
        subscription = await self.bare.subscribe("h")
        await self.kept_feed.publish("1", "a")
        await self.raw.publish("feed.publish:h", "b\0foreign")
        await self.kept_feed.publish("2", "c")
        kinds = briefs(await self.told(subscription, "h"))
        self.assertEqual((kinds[0], kinds[-1]), (("publish", "a", "1"), ("publish", "c", "2")))
        self.assertTrue({("resync",), ("publish", "b", "foreign")} & set(kinds))

    async def test_slow(self) -> None:
        """A slow bare subscription gets a resync."""
        subscription = await self.bare.subscribe("x", limit=3)
        for number in range(20):
            await self.feed.publish(str(number), "a")
        marker = await self.bare.subscribe("y")
        await self.told(marker, "y")
        kinds = [(await subscription.next()).kind]
        while kinds[-1] != "resync":
            kinds.append((await subscription.next()).kind)
        self.assertLessEqual(len(kinds), 4)

    async def test_not_connected(self) -> None:
        """A subscription without a connection fails at once; an existing one stops quietly."""
        subscription = await self.bare.subscribe("x")
        await self.bare.close()
        await self.assertFailure(self.bare.subscribe("x"), ConnectionLost)
        await self.assertFailure(self.bare.subscribe_pattern("x"), ConnectionLost)
        await subscription.stop()

    async def test_stop(self) -> None:
        """``stop`` unsubscribes from all channels and patterns."""
        for subscription in await self.both(self.bare, "x"):
            await subscription.stop()
        for question in ("CHANNELS", "NUMPAT"):
            await self.until_reply("PUBSUB", question, holds=lambda reply: not reply, silent=True)
