"""A call that fails does not affect the other calls of its reactor turn."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support import RedisTestCase
from tests.support.together import each
from txthoonk import register_serializer, serializers
from txthoonk.errors import (
    InvalidData,
    InvalidInput,
    InvalidType,
    ResponseError,
)
from txthoonk.testing import check_feed
from txthoonk.types import Feed


class Lax:
    """A serializer that stores its input unchanged."""

    binary = False

    def dumps(self, item: Any) -> Any:
        return item

    def loads(self, data: str) -> str:
        return data


class TroubleTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()

    def busy(self) -> None:
        """Start a call, so that the next ones form a batch."""
        self.pub_.redis.get("x")

    async def turn(self) -> None:
        """Continue in another turn of the reactor, outside a reply's callback."""
        await deferLater(reactor, 0, lambda: None)

    async def forget_scripts(self) -> None:
        await self.raw.send("SCRIPT", "FLUSH")
        self.pub_.redis._loaded.clear()
        await self.turn()

    async def test_script_to_load(self) -> None:
        """Calls stay in order when their script has to be loaded first."""
        for feed in (await self.pub_.queue("q"), await self.pub_.job("j")):
            await self.forget_scripts()
            self.busy()
            await gatherResults([feed.put("1"), feed.put_many(["2", "3"]), feed.put("4")])  # type: ignore[arg-type]
            got = await gatherResults([feed.get() for _ in range(4)])
            self.assertEqual([getattr(one, "item", one) for one in got], list("1234"))

    async def test_multi(self) -> None:
        """A call before MULTI is executed before the transaction, and is not part of it."""
        feed = await self.pub_.feed("news")
        redis = self.pub_.redis
        await self.forget_scripts()
        self.busy()
        published = feed.publish("item", "a")
        redis.multi()
        redis.send("HGET", "feed.items:news", "a")
        self.assertEqual(await redis.execute(), ["item"])
        self.assertEqual(await published, "a")

    async def test_multi_behind_what_cannot_be_sent(self) -> None:
        """Calls before MULTI, and the transaction, succeed if another call cannot be sent."""
        feed = await self.pub_.feed("news")
        self.busy()
        calls = [feed.publish("1", "a"), feed.publish("\ud800", "b"), feed.publish("3", "c")]
        self.pub_.redis.multi()
        self.pub_.redis.set("k", "v")
        self.assertEqual(await self.pub_.redis.execute(), ["OK"])
        fired = await each(calls)
        self.assertEqual(fired[::2], ["a", "c"])
        self.assertIsInstance(fired[1], InvalidData)
        self.assertEqual(await feed.get_ids(), ["a", "c"])

    async def test_told_of_what_cannot_be_sent(self) -> None:
        """A call from the errback of a call that cannot be sent follows the calls made before."""
        feed: Feed = await self.pub_.feed("news")
        await feed.publish("its script is loaded")
        await self.turn()
        self.busy()
        late: list[Deferred[str]] = []
        bad = feed.publish("\ud800", "bad")
        bad.addErrback(lambda _: late.append(feed.publish("late", "x")))
        await gatherResults([bad, feed.publish("first", "a"), feed.publish("second", "x")])
        await late[0]
        self.assertEqual(await feed.get_item("x"), "late")

    async def test_serializer(self) -> None:
        """An item whose serialized form cannot be stored fails only its own call."""
        register_serializer("lax", Lax())
        self.addCleanup(serializers._registry.pop, "lax")
        feed = await self.pub_.feed("news", {"serializer": "lax"})
        job = await self.pub_.job("work", {"serializer": "lax"})
        for put in (feed.publish, lambda item, id_: job.put(item, id_=id_)):
            self.busy()
            calls = [put("A", "a"), put(7, "b"), put(bytearray(b"C"), "c"), put(None, "d")]
            fired = await each(calls)
            self.assertEqual([fired[0], fired[2]], ["a", "c"])
            await self.turn()
            for error in (fired[1], fired[3], *await each([put(7, "b")])):
                self.assertIsInstance(error, InvalidType)
                self.assertIn("'lax'", str(error))
        self.assertEqual(await feed.get_all(), {"a": "A", "c": "C"})
        self.assertEqual(sorted(await job.get_ids()), ["a", "c"])

    async def test_too_big(self) -> None:
        """An item that is too big for the server fails its own call; the others succeed."""
        before = await self.raw.send("CONFIG", "GET", "proto-max-bulk-len")
        await self.raw.send("CONFIG", "SET", "proto-max-bulk-len", 1024 * 1024)
        self.addCleanup(self.raw.send, "CONFIG", "SET", *before)
        feed = await self.pub_.feed("news")
        self.busy()
        calls = [
            feed.publish("1", "a"),
            feed.publish("2", "b"),
            feed.publish("x" * 2 * 1024 * 1024, "big"),
            feed.publish("3", "c"),
        ]
        fired = await each(calls)
        self.assertIsInstance(fired.pop(2), InvalidInput)
        self.assertEqual(fired, ["a", "b", "c"])
        other = await (await self.pub()).feed("news")
        self.assertEqual(await other.get_ids(), ["a", "b", "c"])

    async def test_channel_refused_behind_one_that_was_told(self) -> None:
        """An edit that was published and then refused gives its subscribers a resync."""
        channels = ("&feed.event:*", "&feed.publish:*", "&newfeed", "&conffeed")
        user = ("ACL", "SETUSER", "limited", "on", ">p", "~*", "+@all", "resetchannels")
        await self.raw.send(*user, *channels)
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "limited")
        feed = await self.pub_.feed("news", {"history": 100})
        await feed.publish("one", "1")
        subscription = await (await self.sub()).subscribe("news")
        pub = await self.pub(username="limited", password="p")
        limited = await pub.feed("news")
        pub.redis.get("x")
        fired = await each([limited.publish("ONE", "1"), limited.publish("two", "2")])
        self.assertIsInstance(fired[0], ResponseError)
        self.assertEqual(fired[1], "2")
        kinds: list[str] = []
        while kinds[-1:] != ["publish"]:
            kinds.append((await subscription.next()).kind)
        self.assertEqual(kinds, ["edit", "resync", "publish"])
        self.assertEqual(await check_feed(self.pub_, "news"), [])
        self.assertEqual(await feed.get_all(), {"1": "one", "2": "two"})

    async def test_empty_id(self) -> None:
        """A job's id must not be empty, because ``get`` could not return it."""
        job = await self.pub_.job("work")
        for call in (job.put("item", id_=""), job.put_many(["item"], ids=[""])):
            error = await self.assertFailure(call, InvalidInput)
            self.assertIn("empty", str(error))
        self.assertEqual(await job.get_ids(), [])

    async def test_errors_of_others(self) -> None:
        """An error in the caller's own items or progress function is raised unchanged."""
        queue = await self.pub_.queue("q")

        def items() -> Any:
            yield "1"
            int("x")

        def progress(done: int) -> None:
            raise KeyError(done)

        await self.assertFailure(queue.put_many(items()), ValueError)
        await self.assertFailure(queue.put_many(["a"], progress=progress), KeyError)
