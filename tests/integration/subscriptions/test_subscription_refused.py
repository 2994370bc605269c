"""Subscriptions that Redis refuses, and feeds that cannot be read."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import DeferredQueue

from tests.support import RedisTestCase, server_url
from tests.support.subscriptions import next_of
from tests.support.waiting import until
from txthoonk import Event, Subscription, Thoonk
from txthoonk.errors import ResponseError
from txthoonk.events import ITEM_KINDS, item_channel

ALL = ("&newfeed", "&delfeed", "&conffeed", "&feed.*", "&job.finish:*")
# Redis compares a PSUBSCRIBE pattern with the user's patterns literally.
PATTERNS = [f"&{item_channel(kind, 'x*')}" for kind in ITEM_KINDS] + ["&feed.event:x*"]


class RefusedTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "limited")

    async def limited(self, *channels: str) -> Thoonk:
        """Connect as a user with access to all keys and commands, but only to these channels."""
        user = ("ACL", "SETUSER", "limited", "reset", "on", ">secret", "allkeys", "allcommands")
        await self.raw.send(*user, "resetchannels", *channels)
        url = await server_url()
        self.thoonk = Thoonk(url, installed_reactor, username="limited", password="secret")
        self.addCleanup(self.thoonk.close)
        return await self.thoonk.connect()

    async def refused(self, subscribing: Any) -> None:
        error = await self.assertFailure(subscribing, ResponseError)
        self.assertEqual(error.code, "NOPERM")
        self.assertEqual(self.thoonk._subscribing.made, {})
        sources = self.thoonk._sources
        self.assertEqual((sources._literal, sources._by_feed, sources._patterns), ({}, {}, {}))

    async def test_one_channel(self) -> None:
        """A subscription fails if the user may not read one of the feed's channels."""
        thoonk = await self.limited(*ALL[:3], "&feed.publish:*", "&feed.edit:*", "&feed.mark:*")
        await self.refused(thoonk.subscribe("x"))
        await self.refused(thoonk.mirror("x"))

    async def test_pattern(self) -> None:
        """A pattern subscription fails if the user may not read one of its channels."""
        thoonk = await self.limited(*ALL[:3], "&feed.publish:*", "&feed.mark:*")
        await self.refused(thoonk.subscribe_pattern("x*"))

    async def test_channels_of_all_feeds(self) -> None:
        """A subscription fails if the user may not read the channels that announce feeds."""
        thoonk = await self.limited("&feed.*", "&job.finish:*")
        await self.refused(thoonk.subscribe("x"))
        await self.refused(thoonk.subscribe_pattern("x*"))

    async def test_allowed(self) -> None:
        """A user with exactly these channels can subscribe to a feed and to a pattern."""
        thoonk = await self.limited(*ALL, *PATTERNS)
        for made in (await thoonk.subscribe("x"), await thoonk.subscribe_pattern("x*")):
            await made.stop()

    async def test_second_of_the_same_feed(self) -> None:
        """A second subscription to a feed that became forbidden fails instead of waiting."""
        thoonk = await self.limited(*ALL)
        first = await thoonk.subscribe("x")
        await self.allow(*ALL[:3], "&feed.mark:*")
        event = await first.next()
        while "cannot be followed" not in (event.reason or ""):
            event = await first.next()
        for feed in ("x", "y"):
            await self.assertFailure(thoonk.subscribe(feed), ResponseError)
        await first.stop()

    async def test_of_all_feeds_for_a_while(self) -> None:
        """Subscriptions and mirrors recover when the feed announcements are allowed again."""
        thoonk = await self.limited(*ALL)
        feed = await thoonk.feed("x")
        subscription, mirror = await thoonk.subscribe("x"), await thoonk.mirror("x")
        await self.allow("&feed.*", "&job.finish:*")
        event = await subscription.next()
        while "cannot be followed" not in (event.reason or ""):
            event = await subscription.next()
        await self.allow(*ALL)
        await self.numsub("conffeed", 1)
        await feed.set_config({"max_length": 3})
        await next_of(subscription, "config")
        await feed.publish("1", "a")
        await until(lambda: mirror.current and dict(mirror) == {"a": "1"})
        await feed.delete_feed()
        await next_of(subscription, "delete")
        self.assertEqual(await self.raw.send("PUBSUB", "NUMSUB", "newfeed"), [b"newfeed", 1])

    async def allow(self, *channels: str) -> None:
        """Allow the user these channels, from the next connection on."""
        await self.raw.send("ACL", "SETUSER", "limited", "resetchannels", *channels)
        await self.raw.send("CLIENT", "KILL", "USER", "limited", "TYPE", "pubsub")

    async def test_taken_away(self) -> None:
        """A subscriber gets a resync that says so when its rights are taken away."""
        for pattern in (False, True):
            thoonk = await self.limited(*ALL, *PATTERNS)
            feed = await thoonk.feed("x")
            subscribing = thoonk.subscribe_pattern("x*") if pattern else thoonk.subscribe("x")
            subscription = await subscribing
            await feed.publish("1")
            self.assertEqual((await subscription.next()).kind, "publish")
            await self.raw.send("ACL", "SETUSER", "limited", "resetchannels", *ALL[:3])
            await self.raw.send("CLIENT", "KILL", "USER", "limited", "TYPE", "pubsub")
            event = await subscription.next()
            while "cannot be followed" not in (event.reason or ""):
                event = await subscription.next()
            self.assertEqual((event.kind, event.feed), ("resync", "x"))
            await thoonk.close()


class UnreadableTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = await Thoonk(await server_url(), installed_reactor).connect()
        self.addCleanup(self.thoonk.close)
        self.good = await self.thoonk.feed("good", {"history": 10})
        await self.thoonk.feed("bad", {"history": 10})
        await self.raw.set("feed.history:bad", "foreign")

    async def test_one_feed(self) -> None:
        """A subscription fails if a foreign key replaces the feed's history."""
        for call in (self.thoonk.subscribe("bad"), self.thoonk.subscribe("bad", snapshot=True)):
            error = await self.assertFailure(call, ResponseError)
            self.assertIn("WRONGTYPE", f"{error.code} {error}")

    async def test_pattern(self) -> None:
        """A pattern delivers a resync for an unreadable feed, and follows it once readable."""
        subscription = await self.thoonk.subscribe_pattern("*")
        event = await subscription.next()
        self.assertEqual((event.kind, event.feed), ("resync", "bad"))
        self.assertIn("cannot be read", event.reason or "")
        await self.good.publish("1", "a")
        event = await subscription.next()
        self.assertEqual((event.feed, event.revision), ("good", 1))
        await self.raw.delete("feed.history:bad")
        bad = await self.thoonk.feed("bad")
        await self.followed("bad", subscription)
        await bad.publish("1", "a")
        event = await subscription.next()
        self.assertEqual((event.kind, event.feed, event.revision), ("publish", "bad", 1))

    async def followed(self, feed: str, subscription: Subscription) -> None:
        """Wait until the events of a feed are live; no event announces that."""
        (pattern,) = self.thoonk._sources._patterns
        (follower,) = pattern.sources[feed].followers
        await until(lambda: follower.is_live)  # type: ignore[attr-defined]

    async def test_mirror(self) -> None:
        """A mirror that cannot be read for a time is complete again afterwards."""
        mirror = await self.thoonk.mirror("good")
        await self.raw.set("feed.revision:good", "foreign")
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        told: DeferredQueue[Event] = DeferredQueue()
        mirror.on_change(told.put)
        self.assertEqual((await told.get()).kind, "resync")
        self.assertFalse(mirror.current)
        await self.raw.delete("feed.revision:good")
        await self.good.publish("1", "a")
        event = await told.get()
        while event.kind != "snapshot":
            event = await told.get()
        self.assertTrue(mirror.current)
        self.assertEqual(dict(mirror), {"a": "1"})

    async def test_later(self) -> None:
        """A feed that is unreadable after a lost connection delivers a resync that says so."""
        subscription = await self.thoonk.subscribe("good")
        await self.raw.set("feed.revision:good", "foreign")
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        event = await subscription.next()
        self.assertEqual(event.kind, "resync")
        self.assertIn("cannot be read", event.reason or "")
