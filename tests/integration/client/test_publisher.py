"""ThoonkPub: feeds are created, found, configured and deleted, and everybody is told."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.publisher import PublisherTestCase
from txthoonk.client import ThoonkPub
from txthoonk.errors import FeedDoesNotExist, FeedExists, FeedTypeMismatch
from txthoonk.types import Feed


class CreateTests(PublisherTestCase):
    async def test_create_feed(self) -> None:
        """A feed is in the registry, has the type feed, and newfeed is published."""
        self.assertIsNone(await self.pub_.create_feed("x"))
        stored = {b"feeds": {b"x"}, b"feed.config:x": {b"type": b"feed"}}
        self.assertEqual(await self.state(own=False), stored)
        self.assertEqual(await self.told(), [("newfeed", "x")])

    async def test_create_feed_with_config(self) -> None:
        """The configuration is kept as text, whatever its names are."""
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
        """A second creation fails, and leaves the first as it is."""
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
        """Who hears of a new feed finds it complete."""
        sub = await self.sub()
        found: Deferred[Any] = Deferred()

        def created(name: str, *rest: str) -> None:
            self.raw.send("HGETALL", f"feed.config:{name}").chainDeferred(found)

        await sub.register_handler("create", created)
        await self.pub_.feed("x", {"max_length": 5})
        self.assertIn(b"max_length", await found)

    async def test_feed(self) -> None:
        """feed() creates what is missing, with its type."""
        feed = await self.pub_.feed("x")
        self.assertIsInstance(feed, Feed)
        self.assertEqual((feed.name, feed.pub), ("x", self.pub_))
        self.assertEqual(await self.pub_.get_config("x"), {"type": "feed"})
        self.assertEqual((await self.told())[0], ("newfeed", "x"))

    async def test_feed_with_config(self) -> None:
        """feed() configures what it creates, and tells newfeed once."""
        await self.pub_.feed("x", {"max_length": 5})
        self.assertEqual(await self.pub_.get_config("x"), {"type": "feed", "max_length": "5"})
        self.assertEqual((await self.told()).count(("newfeed", "x")), 1)

    async def test_feed_that_exists(self) -> None:
        """feed() opens what is there, and changes nothing."""
        await (await self.pub_.feed("x", {"max_length": 5})).publish("i", "1")
        await self.spied.messages()
        before = await self.state()
        feed = await self.pub_.feed("x")
        self.assertEqual(await feed.get_all(), {"1": "i"})
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_feed_that_exists_with_config(self) -> None:
        """feed() with a configuration adds it to what is there, and tells conffeed."""
        await self.pub_.feed("x", {"max_length": 5, "title": "old"})
        await self.told()
        await self.pub_.feed("x", {"title": "new", "more": "1"})
        config = {"type": "feed", "max_length": "5", "title": "new", "more": "1"}
        self.assertEqual(await self.pub_.get_config("x"), config)
        self.assertEqual(await self.told(), [("conffeed", "x")])

    async def test_feed_does_not_change_its_arguments(self) -> None:
        """The dict of the caller stays as it is."""
        config = {"max_length": 5}
        await self.pub_.feed("x", config)
        await self.pub_.feed("x", config)
        await self.pub_.set_config("x", config)
        self.assertEqual(config, {"max_length": 5})

    async def test_type_mismatch(self) -> None:
        """A feed of another type is not opened, configured, or changed."""
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
        """set_config does not turn a feed into another type; its own type is no change."""
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
        """Two publishers that open the same missing feeds at once: each is created once."""
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
        """Of two publishers that create a feed at once one gets FeedExists."""
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
        """A publisher has one instance uuid in all its notices; another has another."""
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
        """Given values are stored, others stay, and conffeed is told."""
        await self.pub_.create_feed("x", {"a": "1", "b": "2"})
        await self.told()
        self.assertIsNone(await self.pub_.set_config("x", {"b": "3", "max_length": 7}))
        config = {"type": "feed", "a": "1", "b": "3", "max_length": "7"}
        self.assertEqual(await self.pub_.get_config("x"), config)
        self.assertEqual(await self.told(), [("conffeed", "x")])

    async def test_config_of_a_feed_without_any(self) -> None:
        """No configuration is an empty one."""
        await self.raw.send("SADD", "feeds", "x")
        self.assertEqual(await self.pub_.get_config("x"), {})

    async def test_missing_feed(self) -> None:
        """Neither read nor set, and nothing is left behind."""
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
        """A configuration of other programs is read as text, whatever it holds."""
        await self.raw.send("SADD", "feeds", "x")
        await self.raw.send("HSET", "feed.config:x", "type", "feed", b"\xff", b"\xfe\0")
        config = await self.pub_.get_config("x")
        self.assertEqual(config, {"type": "feed", "\udcff": "\udcfe\0"})

    async def test_names(self) -> None:
        """feed_exists and get_feed_names know all feeds of all types and programs."""
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
        """Make every key of every feed type, as the contract names them."""
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
        """Deleting removes every key of every type; feeds of like names keep theirs."""
        others = ("xx", "x:x", "x*", "X", "", "x\n")
        for name in others:
            await self.seed(name)
        before = await self.state()
        await self.seed("x")
        self.assertIs(await self.pub_.delete_feed("x"), True)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.told(), [("delfeed", "x")])

    async def test_last_feed(self) -> None:
        """With the last feed the database is empty."""
        await self.seed("x")
        await self.pub_.delete_feed("x")
        self.assertEqual(await self.state(), {})

    async def test_kept_results(self) -> None:
        """The results of jobs that were kept, which are indexed by id, go with their feed."""
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
        """A deletion is one notice, not a retract for each item."""
        feed = await self.pub_.feed("x")
        await gatherResults([feed.publish("i") for _ in range(10)])
        await self.spied.messages()
        self.assertIs(await feed.delete_feed(), True)
        self.assertEqual(await self.told(), [("delfeed", "x")])

    async def test_concurrent(self) -> None:
        """Of two publishers that delete a feed at once one gets FeedDoesNotExist."""
        other = await self.pub()
        for _ in range(20):
            await self.pub_.feed("x")
            results = await self.outcomes(self.pub_.delete_feed("x"), other.delete_feed("x"))
            kinds = sorted(type(result).__name__ for result in results)
            self.assertEqual(kinds, ["FeedDoesNotExist", "bool"])
        self.assertEqual((await self.told()).count(("delfeed", "x")), 20)


class OwnFeed(Feed):
    """A feed type of an application."""


class FeedTypeTests(PublisherTestCase):
    async def test_registered(self) -> None:
        """A registered type is created and opened under its name."""
        self.assertIsNone(self.pub_.register_feedtype("own", OwnFeed))
        feed = await self.pub_.own("x", {"max_length": 1})  # type: ignore[attr-defined]
        self.assertIsInstance(feed, OwnFeed)
        self.assertEqual(await feed.get_config(), {"type": "own", "max_length": "1"})
        await feed.publish("i", "1")
        again = await self.pub_.own("x")  # type: ignore[attr-defined]
        self.assertEqual(await again.get_all(), {"1": "i"})
        await self.assertFailure(self.pub_.feed("x"), FeedTypeMismatch)

    async def test_not_known_elsewhere(self) -> None:
        """A type is registered with one publisher only."""
        self.pub_.register_feedtype("own", OwnFeed)
        self.assertFalse(hasattr(await self.pub(), "own"))
        self.assertFalse(hasattr(ThoonkPub, "own"))

    def test_bad_names(self) -> None:
        """A name that cannot be called, or that means something else, is refused at once."""
        publish_channel = self.pub_.publish_channel
        for name in ("", "a b", "a-b", "1a", "a\0b", "delete_feed", "publish_channel", "redis"):
            self.assertRaises(ValueError, self.pub_.register_feedtype, name, OwnFeed)
        other: Any
        for other in (None, 5, b"own"):
            self.assertRaises((ValueError, TypeError), self.pub_.register_feedtype, other, OwnFeed)
        self.assertEqual(self.pub_.publish_channel, publish_channel)


class ChannelTests(PublisherTestCase):
    async def test_publish_channel(self) -> None:
        """The parts are joined by NUL; the number of receivers is fired."""
        other = await self.subscriber()
        confirmed: Deferred[None] = Deferred()
        other.channelSubscribed = lambda *_: confirmed.callback(None)  # type: ignore
        other.subscribe("c")
        await confirmed
        self.assertEqual(await self.pub_.publish_channel("c", "a", "", b"\xff", "é\0"), 2)
        self.assertEqual(await self.pub_.publish_channel("d", "a"), 1)
        self.assertEqual(await self.pub_.publish_channel("é"), 1)
        expected = [(b"c", b"a\0\0\xff\0\xc3\xa9\0"), (b"d", b"a"), ("é".encode(), b"")]
        self.assertEqual(await self.spied.messages(), expected)
