"""ThoonkPub creates, finds, configures and deletes feeds, and publishes each change."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.publisher import PublisherTestCase
from txthoonk.client import ThoonkPub
from txthoonk.errors import FeedDoesNotExist, FeedExists, FeedTypeMismatch
from txthoonk.types import Feed


class CreateTests(PublisherTestCase):
    async def test_create_feed(self) -> None:
        """create_feed adds the feed to the registry, stores its type and publishes newfeed."""
        self.assertIsNone(await self.pub_.create_feed("x"))
        stored = {b"feeds": {b"x"}, b"feed.config:x": {b"type": b"feed"}}
        self.assertEqual(await self.state(own=False), stored)
        self.assertEqual(await self.told(), [("newfeed", "x")])

    async def test_create_feed_with_config(self) -> None:
        """create_feed stores every setting as text, whatever its name."""
        config: Any = {"type": "feed", "max_length": 5, "title": "é\0\n", "anything": "1"}
        await self.pub_.create_feed("x", config)
        stored = {
            b"type": b"feed",
            b"max_length": b"5",
            b"title": "é\0\n".encode(),
            b"anything": b"1",
        }
        state = await self.state(own=False)
        self.assertEqual(state, {b"feeds": {b"x"}, b"feed.config:x": stored})
        self.assertEqual((await self.told())[0], ("newfeed", "x"))
        self.assertEqual(await self.pub_.get_config("x"), {**config, "max_length": "5"})

    async def test_create_feed_that_exists(self) -> None:
        """A second create_feed of the same name fails and changes nothing."""
        await self.pub_.create_feed("x", {"title": "first"})
        await self.spied.messages()
        before = await self.state()
        error = await self.assertFailure(
            self.pub_.create_feed("x", {"title": "second"}), FeedExists
        )
        self.assertIn("x", str(error))
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_config_is_there_when_newfeed_is_told(self) -> None:
        """When newfeed is published, the feed's configuration is already stored."""
        sub = await self.sub()
        found: Deferred[Any] = Deferred()

        def created(name: str, *rest: str) -> None:
            self.raw.send("HGETALL", f"feed.config:{name}").chainDeferred(found)

        await sub.register_handler("create", created)
        await self.pub_.feed("x", {"max_length": 5})
        self.assertIn(b"max_length", await found)

    async def test_feed(self) -> None:
        """feed() creates a missing feed with its type."""
        feed = await self.pub_.feed("x")
        self.assertIsInstance(feed, Feed)
        self.assertEqual((feed.name, feed.pub), ("x", self.pub_))
        self.assertEqual(await self.pub_.get_config("x"), {"type": "feed"})
        self.assertEqual((await self.told())[0], ("newfeed", "x"))

    async def test_feed_with_config(self) -> None:
        """feed() configures a feed that it creates, and publishes newfeed once."""
        await self.pub_.feed("x", {"max_length": 5})
        self.assertEqual(await self.pub_.get_config("x"), {"type": "feed", "max_length": "5"})
        self.assertEqual((await self.told()).count(("newfeed", "x")), 1)

    async def test_feed_that_exists(self) -> None:
        """feed() opens an existing feed and changes nothing."""
        await (await self.pub_.feed("x", {"max_length": 5})).publish("i", "1")
        await self.spied.messages()
        before = await self.state()
        feed = await self.pub_.feed("x")
        self.assertEqual(await feed.get_all(), {"1": "i"})
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_feed_that_exists_with_config(self) -> None:
        """feed() adds the given settings to an existing feed and publishes conffeed."""
        await self.pub_.feed("x", {"max_length": 5, "title": "old"})
        await self.told()
        await self.pub_.feed("x", {"title": "new", "more": "1"})
        config = {"type": "feed", "max_length": "5", "title": "new", "more": "1"}
        self.assertEqual(await self.pub_.get_config("x"), config)
        self.assertEqual(await self.told(), [("conffeed", "x")])

    async def test_feed_does_not_change_its_arguments(self) -> None:
        """feed() and set_config() do not change the caller's dict."""
        config = {"max_length": 5}
        await self.pub_.feed("x", config)
        await self.pub_.feed("x", config)
        await self.pub_.set_config("x", config)
        self.assertEqual(config, {"max_length": 5})

    async def test_type_mismatch(self) -> None:
        """feed() fails for a feed of another type and changes nothing."""
        for type_ in ("queue", "job", "sorted_feed", "own"):
            await self.raw.flushdb()
            await self.pub_.create_feed("x", {"type": type_}, force=True)
            await self.spied.messages()
            before = await self.state()
            for config in (None, {"max_length": 5}):
                error = await self.assertFailure(self.pub_.feed("x", config), FeedTypeMismatch)
                self.assertIn(type_, str(error))
            self.assertEqual(await self.state(), before)
            self.assertEqual(await self.spied.messages(own=True), [])

    async def test_type_may_not_change(self) -> None:
        """set_config refuses another type, and accepts the feed's own."""
        feed = await self.pub_.feed("x")
        await self.spied.messages()
        before = await self.state()
        for call in (self.pub_.set_config("x", {"type": "job"}), feed.set_config({"type": "job"})):
            await self.assertFailure(call, FeedTypeMismatch)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])
        await feed.set_config({"type": "feed", "title": "t"})
        self.assertEqual(await feed.get_config(), {"type": "feed", "title": "t"})

    async def test_concurrent_feed(self) -> None:
        """Two publishers that open the same missing feeds at once create each feed once."""
        other = await self.pub()
        names = [f"f{number}" for number in range(50)]
        calls = []
        for name in names:
            calls += [self.pub_.feed(name, {"a": "1"}), other.feed(name, {"b": "2"})]
        for feed in await gatherResults(calls):
            self.assertIsInstance(feed, Feed)
        told = await self.told()
        self.assertEqual(sorted(n for c, n in told if c == "newfeed"), sorted(names))
        for name in names:
            config = await self.pub_.get_config(name)
            self.assertEqual(config, {"type": "feed", "a": "1", "b": "2"})

    async def test_concurrent_create_feed(self) -> None:
        """When two publishers create the same feed at once, one of them gets FeedExists."""
        other = await self.pub()
        for number in range(50):
            name = f"f{number}"
            results = await self.outcomes(
                self.pub_.create_feed(name, {"by": "1"}), other.create_feed(name, {"by": "2"})
            )
            kinds = sorted(type(result).__name__ for result in results)
            self.assertEqual(kinds, ["FeedExists", "NoneType"])
            winner = "1" if results[0] is None else "2"
            self.assertEqual(await self.pub_.get_config(name), {"type": "feed", "by": winner})
            self.assertEqual((await self.told()).count(("newfeed", name)), 1)

    async def test_instance(self) -> None:
        """Each publisher has its own instance UUID, the same in all its notices."""
        other = await self.pub()
        for pub in (self.pub_, other):
            await pub.feed("x")
            await pub.set_config("x", {"title": "t"})
            await pub.delete_feed("x")
        messages = [message for _, message in await self.spied.messages()]
        instances = [message.split(b"\0")[1] for message in messages]
        half = len(instances) // 2
        self.assertEqual((len(set(instances[:half])), len(set(instances[half:]))), (1, 1))
        self.assertEqual(len(set(instances)), 2)


class ConfigTests(PublisherTestCase):
    async def test_set_config(self) -> None:
        """set_config stores the given values, keeps the others and publishes conffeed."""
        await self.pub_.create_feed("x", {"a": "1", "b": "2"})
        await self.told()
        self.assertIsNone(await self.pub_.set_config("x", {"b": "3", "max_length": 7}))
        config = {"type": "feed", "a": "1", "b": "3", "max_length": "7"}
        self.assertEqual(await self.pub_.get_config("x"), config)
        self.assertEqual(await self.told(), [("conffeed", "x")])

    async def test_config_of_a_feed_without_any(self) -> None:
        """get_config fires an empty dict for a feed without a configuration."""
        await self.raw.send("SADD", "feeds", "x")
        self.assertEqual(await self.pub_.get_config("x"), {})

    async def test_missing_feed(self) -> None:
        """Reading, configuring or deleting a missing feed fails and writes nothing."""
        for call in (
            self.pub_.get_config("x"),
            self.pub_.set_config("x", {"a": "1"}),
            self.pub_.delete_feed("x"),
        ):
            error = await self.assertFailure(call, FeedDoesNotExist)
            self.assertIn("x", str(error))
        self.assertEqual(await self.state(), {})
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_config_of_others(self) -> None:
        """get_config reads any bytes that another program stored, as text."""
        await self.raw.send("SADD", "feeds", "x")
        await self.raw.send("HSET", "feed.config:x", "type", "feed", b"\xff", b"\xfe\0")
        config = await self.pub_.get_config("x")
        self.assertEqual(config, {"type": "feed", "\udcff": "\udcfe\0"})

    async def test_names(self) -> None:
        """feed_exists and get_feed_names include feeds of all types and of all programs."""
        self.assertEqual(await self.pub_.get_feed_names(), set())
        self.assertIs(await self.pub_.feed_exists("x"), False)
        await self.pub_.create_feed("x", {"type": "job"})
        await self.raw.send("SADD", "feeds", "é")
        self.assertEqual(await self.pub_.get_feed_names(), {"x", "é"})
        self.assertIs(await self.pub_.feed_exists("x"), True)
        self.assertIs(await self.pub_.feed_exists("é"), True)
        self.assertIs(await self.pub_.feed_exists("X"), False)


class DeleteTests(PublisherTestCase):
    async def seed(self, name: str) -> None:
        """Make every key of every feed type, with the contract's names."""
        send = self.raw.send
        await send("SADD", "feeds", name)
        await send("HSET", f"feed.config:{name}", "type", "feed")
        for key in ("items", "cancelled"):
            await send("HSET", f"feed.{key}:{name}", "1", "i")
        for key in ("publishes", "finishes", "idincr", "revision"):
            await send("SET", f"feed.{key}:{name}", "1")
        for key in ("ids", "published", "claimed", "delivering"):
            await send("ZADD", f"feed.{key}:{name}", "1", "1")
        await send("SADD", f"feed.stalled:{name}", "1")
        await send("RPUSH", f"feed.transit:{name}", "1")
        await send("XADD", f"feed.history:{name}", "1-0", "kind", "publish")

    async def test_no_key_is_left(self) -> None:
        """delete_feed removes every key of the feed, and no key of feeds with similar names."""
        others = ("xx", "x:x", "x*", "X", "", "x\n")
        for name in others:
            await self.seed(name)
        before = await self.state()
        await self.seed("x")
        self.assertIs(await self.pub_.delete_feed("x"), True)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.told(), [("delfeed", "x")])

    async def test_last_feed(self) -> None:
        """Deleting the last feed leaves the database empty."""
        await self.seed("x")
        await self.pub_.delete_feed("x")
        self.assertEqual(await self.state(), {})

    async def test_kept_results(self) -> None:
        """delete_feed removes the kept results of the feed's jobs, each in its own key."""
        for name in ("x", "y"):
            await self.seed(name)
            for id_ in ("r1", "r\n2"):
                key = f"feed.jobfinished:{name}\0{id_}"
                await self.raw.send("RPUSH", key, "result", "query")
                await self.raw.send("ZADD", f"feed.results:{name}", "9999999999999", id_)
        await self.pub_.delete_feed("x")
        left = [key for key in await self.state() if b":x" in key]
        self.assertEqual(left, [])
        self.assertIsNotNone(await self.value("feed.jobfinished:y\0r1"))

    async def test_items_are_not_told(self) -> None:
        """delete_feed publishes one notice, and no retract for each item."""
        feed = await self.pub_.feed("x")
        await gatherResults([feed.publish("i") for _ in range(10)])
        await self.spied.messages()
        self.assertIs(await feed.delete_feed(), True)
        self.assertEqual(await self.told(), [("delfeed", "x")])

    async def test_concurrent(self) -> None:
        """When two publishers delete a feed at once, one of them gets FeedDoesNotExist."""
        other = await self.pub()
        for _ in range(20):
            await self.pub_.feed("x")
            results = await self.outcomes(self.pub_.delete_feed("x"), other.delete_feed("x"))
            kinds = sorted(type(result).__name__ for result in results)
            self.assertEqual(kinds, ["FeedDoesNotExist", "bool"])
        self.assertEqual((await self.told()).count(("delfeed", "x")), 20)


class OwnFeed(Feed):
    """A feed type that an application defines."""


class FeedTypeTests(PublisherTestCase):
    async def test_registered(self) -> None:
        """The method of a registered type creates and opens feeds of that type."""
        self.assertIsNone(self.pub_.register_feedtype("own", OwnFeed))
        feed = await self.pub_.own("x", {"max_length": 1})  # type: ignore[attr-defined]
        self.assertIsInstance(feed, OwnFeed)
        self.assertEqual(await feed.get_config(), {"type": "own", "max_length": "1"})
        await feed.publish("i", "1")
        again = await self.pub_.own("x")  # type: ignore[attr-defined]
        self.assertEqual(await again.get_all(), {"1": "i"})
        await self.assertFailure(self.pub_.feed("x"), FeedTypeMismatch)

    async def test_not_known_elsewhere(self) -> None:
        """register_feedtype affects one publisher only."""
        self.pub_.register_feedtype("own", OwnFeed)
        self.assertFalse(hasattr(await self.pub(), "own"))
        self.assertFalse(hasattr(ThoonkPub, "own"))

    def test_bad_names(self) -> None:
        """register_feedtype refuses names that are not identifiers or already attributes."""
        publish_channel = self.pub_.publish_channel
        for name in ("", "a b", "a-b", "1a", "a\0b", "delete_feed", "publish_channel", "redis"):
            self.assertRaises(ValueError, self.pub_.register_feedtype, name, OwnFeed)
        other: Any
        for other in (None, 5, b"own"):
            self.assertRaises((ValueError, TypeError), self.pub_.register_feedtype, other, OwnFeed)
        self.assertEqual(self.pub_.publish_channel, publish_channel)


class ChannelTests(PublisherTestCase):
    async def test_publish_channel(self) -> None:
        """publish_channel joins the parts with NUL and fires the number of receivers."""
        other = await self.subscriber()
        confirmed: Deferred[None] = Deferred()
        self.patch(other, "channelSubscribed", lambda *_: confirmed.callback(None))
        other.subscribe("c")
        await confirmed
        self.assertEqual(await self.pub_.publish_channel("c", "a", "", b"\xff", "é\0"), 2)
        self.assertEqual(await self.pub_.publish_channel("d", "a"), 1)
        self.assertEqual(await self.pub_.publish_channel("é"), 1)
        expected = [(b"c", b"a\0\0\xff\0\xc3\xa9\0"), (b"d", b"a"), ("é".encode(), b"")]
        self.assertEqual(await self.spied.messages(), expected)
