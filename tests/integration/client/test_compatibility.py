"""Programs written for txthoonk 0.1 still import, connect and run."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import ReconnectingClientFactory
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support import Recorder, RedisTestCase, target
from txthoonk.client import (
    FeedDoesNotExist,
    FeedExists,
    Redis,
    RedisSubscriber,
    ThoonkPub,
    ThoonkPubFactory,
    ThoonkSub,
    ThoonkSubFactory,
)
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.types import Feed

Steps = Generator[Deferred[Any], Any, None]


class PlaceholderTests(SynchronousTestCase):
    def test_placeholders(self) -> None:
        """0.1's own tests make a publisher and a subscriber without a connection."""
        ThoonkPub(Redis())
        sub = ThoonkSub(Redis())  # type: ignore[arg-type]
        error = self.assertRaises(InvalidType, sub.makeConnection, StringTransport())
        self.assertIn("RedisSubscriber", str(error))


class OldProgramTests(RedisTestCase):
    """Programs in the style of 0.1's own tests, with inlineCallbacks."""

    @inlineCallbacks
    def setUp(self) -> Steps:
        yield Deferred.fromCoroutine(super().setUp())
        server = yield Deferred.fromCoroutine(target())
        endpoint = server.endpoint(reactor)
        arguments = self.arguments()
        self.pub_ = yield endpoint.connect(ThoonkPubFactory(**arguments))
        self.addCleanup(self.pub_.close)
        self.pub_.redis.flushdb()
        # Channels are not part of a database, so a subscriber needs none.
        del arguments["db"]
        self.sub_ = yield endpoint.connect(ThoonkSubFactory(**arguments))
        self.addCleanup(self.sub_.close)
        self._wrap()

    def _wrap(self) -> None:
        """Wrap messageReceived, as 0.1's tests do, to see every message."""
        original = self.sub_.redis.messageReceived
        self.seen: list[tuple[Any, ...]] = []
        self.received: Deferred[None] = Deferred()

        def wrapper(*args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            self.seen.append(args)
            received, self.received = self.received, Deferred()
            received.callback(None)

        self.sub_.redis.messageReceived = wrapper

    @inlineCallbacks
    def test_events_of_thoonk_py(self) -> Steps:
        """The events of thoonk.py have their channels; those of all feeds together have none."""
        heard = Recorder()
        for event in ("create_notice", "delete_notice", "config:a"):
            yield self.sub_.register_handler(event, heard.named(event))
        for event in ("publish", "publish_notice", "retract_notice", "position", "finish"):
            yield self.assertFailure(self.sub_.register_handler(event, heard), InvalidInput)
        for name in ("a", "b"):
            yield self.pub_.create_feed(name)
            yield self.pub_.set_config(name, {"max_length": 3})
        yield self.pub_.delete_feed("b")
        calls = yield heard.wait(4)
        self.assertEqual(
            [call[:2] for call in calls],
            [
                ("create_notice", "a"),
                ("config:a", "a"),
                ("create_notice", "b"),
                ("delete_notice", "b"),
            ],
        )

    @inlineCallbacks
    def test_ping(self) -> Steps:
        """``pub.redis`` has the commands of txredis, with its replies."""
        self.assertEqual((yield self.pub_.redis.ping()), "PONG")
        yield self.pub_.redis.sadd("s", "a")
        self.assertEqual((yield self.pub_.redis.smembers("s")), {"a"})
        yield self.pub_.redis.hset("h", "f", "v")
        self.assertEqual((yield self.pub_.redis.hget("h", "f")), {"f": "v"})
        self.assertEqual((yield self.pub_.redis.hgetall("h")), {"f": "v"})

    @inlineCallbacks
    def test_create_register_remove(self) -> Steps:
        """A create handler is called until it is removed; messageReceived gets each message."""
        heard = Recorder()
        id_ = yield self.sub_.register_handler("create", heard)
        yield self.sub_.register_handler("delete", lambda *args: None)
        received = self.received
        yield self.pub_.create_feed("feed1")
        yield received
        self.assertEqual([call[0] for call in heard.calls], ["feed1"])
        self.assertEqual(self.seen[0][0], "newfeed")
        self.assertEqual(self.seen[0][1].split("\0")[0], "feed1")
        yield self.assertFailure(self.pub_.create_feed("feed1"), FeedExists)
        self.sub_.remove_handler(id_)
        yield Deferred.fromCoroutine(self.numsub("newfeed", 0))
        yield self.pub_.create_feed("feed2")
        received = self.received
        yield self.pub_.delete_feed("feed2")
        yield received
        self.assertEqual([channel for channel, _ in self.seen], ["newfeed", "delfeed"])
        self.assertEqual(len(heard.calls), 1)
        names = yield self.pub_.get_feed_names()
        self.assertEqual(names, {"feed1"})

    @inlineCallbacks
    def test_wrapper_sees_everything(self) -> Steps:
        """Every message passes through sub.redis.messageReceived."""
        yield self.sub_.register_handler("feed.publish:x", lambda *args: None)
        feed = yield self.pub_.feed("x")
        for number in range(20):
            received = self.received
            yield feed.publish("i", str(number))
            yield received
        yield self.sub_.register_handler("feed.edit:x", lambda *args: None)
        received = self.received
        yield feed.publish("j", "0")
        yield received
        expected = [("feed.publish:x", f"{number}\0i") for number in range(20)]
        self.assertEqual(self.seen, [*expected, ("feed.edit:x", "0\0j")])

    @inlineCallbacks
    def test_config(self) -> Steps:
        """get_config fires the stored settings as text, with a type; a missing feed fails."""
        config = {"blow": "2", "blew": "1"}
        failed = self.pub_.set_config("x", config)
        yield self.assertFailure(failed, FeedDoesNotExist)
        yield self.pub_.create_feed("x")
        yield self.pub_.set_config("x", config)
        stored = {"type": "feed", **config}
        self.assertEqual((yield self.pub_.redis.hgetall("feed.config:x")), stored)
        self.assertEqual((yield self.pub_.get_config("x")), stored)

    @inlineCallbacks
    def test_feed_made_by_hand(self) -> Steps:
        """``Feed(pub=..., name=...)`` has 0.1's attributes and works."""
        yield self.pub_.create_feed("teste", {"type": "feed"})
        feed = Feed(pub=self.pub_, name="teste")
        self.assertIs(feed.pub, self.pub_)
        self.assertEqual(feed.name, "teste")
        self.assertEqual(feed.feed_ids, "feed.ids:teste")
        self.assertEqual(feed.feed_items, "feed.items:teste")
        self.assertEqual(feed.feed_publishes, "feed.publishes:teste")
        self.assertEqual(feed.feed_config, "feed.config:teste")
        self.assertEqual(feed.channel_retract, "feed.retract:teste")
        self.assertEqual(feed.channel_edit, "feed.edit:teste")
        self.assertEqual(feed.channel_publish, "feed.publish:teste")
        self.assertFalse((yield self.pub_.redis.get(feed.feed_publishes)))
        id_ = yield feed.publish("my beautiful item")
        self.assertEqual((yield self.pub_.redis.zrange(feed.feed_ids, 0, -1)), [id_])
        self.assertEqual((yield self.pub_.redis.get(feed.feed_publishes)), "1")
        found = yield self.pub_.redis.hget(feed.feed_items, id_)
        self.assertEqual(found, {id_: "my beautiful item"})
        self.assertEqual((yield feed.get_item(id_)), "my beautiful item")
        self.assertEqual((yield feed.get_all()), {id_: "my beautiful item"})
        yield feed.set_config({"max_length": "20"})
        self.assertEqual((yield feed.get_config()), {"type": "feed", "max_length": "20"})

    @inlineCallbacks
    def test_config_without_waiting(self) -> Steps:
        """Calls on one connection are executed in order, even without waiting for replies."""
        feed = yield self.pub_.feed("x")
        feed.set_config({"max_length": 20})
        for number in range(40):
            feed.publish("i", str(number))
        ids = yield feed.get_ids()
        self.assertEqual(ids, [str(number) for number in range(20, 40)])

    @inlineCallbacks
    def test_publish_channel(self) -> Steps:
        """A handler gets an application's message in its parts."""
        parts = ("a", "b", "abc", "", "1")
        heard = Recorder()
        yield self.sub_.register_handler("mychannel", heard)
        received = self.received
        self.assertEqual((yield self.pub_.publish_channel("mychannel", *parts)), 1)
        yield received
        self.assertEqual(heard.calls, [parts])

    @inlineCallbacks
    def test_ids_that_are_numbers(self) -> Steps:
        """A numeric id is published as text, as in 0.1, or refused."""
        feed = yield self.pub_.feed("x")
        published = yield feed.publish("i", 5).addErrback(lambda reason: reason.value)
        if isinstance(published, ValueError):
            self.assertEqual((yield feed.get_ids()), [])
        else:
            self.assertEqual((published, (yield feed.get_ids())), ("5", ["5"]))


class ObjectTests(RedisTestCase):
    """0.1's classes still work for programs that subclass or construct them."""

    async def test_factories(self) -> None:
        """0.1's factories are reconnecting factories that name what they build."""
        for factory, protocol, wrapper in (
            (ThoonkPubFactory, Redis, ThoonkPub),
            (ThoonkSubFactory, RedisSubscriber, ThoonkSub),
        ):
            self.assertTrue(issubclass(factory, ReconnectingClientFactory))
            self.assertIs(factory.protocol, protocol)
            self.assertIs(factory.protocol_wrapper, wrapper)
            built = factory(db=1).buildProtocol(None)
            self.assertIsInstance(built, wrapper)
            self.assertIsInstance(built.redis, protocol)
            self.assertTrue(verifyObject(IProtocol, built))

    async def test_own_classes(self) -> None:
        """A factory builds the ``protocol_wrapper`` that a program sets."""

        class OwnPub(ThoonkPub):
            pass

        class OwnFactory(ThoonkPubFactory):
            protocol_wrapper = OwnPub

        pub = await self.connect(OwnFactory(**self.arguments()))
        self.assertIsInstance(pub, OwnPub)
        self.assertEqual(await pub.get_feed_names(), set())

    async def test_made_by_hand(self) -> None:
        """ThoonkPub(Redis()) and ThoonkSub(RedisSubscriber()) are protocols to connect."""
        endpoint = self.target.endpoint(reactor)
        pub = await connectProtocol(endpoint, ThoonkPub(Redis(**self.arguments())))
        self.addCleanup(pub.close)
        sub = await connectProtocol(endpoint, ThoonkSub(RedisSubscriber(**self.arguments())))
        self.addCleanup(sub.close)
        heard = await self.record(sub, "create")
        await pub.create_feed("x")
        self.assertEqual((await heard.wait(1))[0][:2], ("create", "x"))

    async def test_positional_arguments(self) -> None:
        """The database may be the first positional argument, as in txredis."""
        credentials = self.arguments()
        pub = await self.connect(ThoonkPubFactory(credentials.pop("db"), **credentials))
        await pub.create_feed("x")
        self.assertEqual(await self.value("feeds"), {b"x"})

    async def test_separator(self) -> None:
        """``SEPARATOR`` is an attribute of both classes."""
        self.assertEqual((ThoonkPub.SEPARATOR, ThoonkSub.SEPARATOR), ("\0", "\0"))
