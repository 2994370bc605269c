"""ThoonkPub when the server loses its scripts, or the connection is lost or closed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.publisher import PublisherTestCase
from txthoonk.errors import ConnectionLost
from txthoonk.types import Feed


class ScriptTests(PublisherTestCase):
    async def test_scripts_forgotten(self) -> None:
        """Every verb loads its script again after the server has lost it."""
        for _ in range(2):
            for call in (
                lambda: self.pub_.feed("x", {"max_length": 5}),
                lambda: self.pub_.set_config("x", {"title": "t"}),
                lambda: self.pub_.get_config("x"),
                lambda: Feed(self.pub_, "x").publish("i", "1"),
                lambda: Feed(self.pub_, "x").get_range(0, -1),
                lambda: Feed(self.pub_, "x").retract("1"),
                lambda: self.pub_.delete_feed("x"),
                lambda: self.pub_.create_feed("x"),
            ):
                await self.raw.send("SCRIPT", "FLUSH")
                await call()

    async def test_scripts_forgotten_in_a_burst(self) -> None:
        """Publishes in flight while the server loses its scripts are each executed once."""
        feed = await self.pub_.feed("x")
        ids = [str(number) for number in range(2000)]
        calls = [feed.publish("i", id_) for id_ in ids[:1000]]
        await self.raw.send("SCRIPT", "FLUSH")
        calls += [feed.publish("i", id_) for id_ in ids[1000:]]
        await self.raw.send("SCRIPT", "FLUSH")
        self.assertEqual(await gatherResults(calls), ids)
        told = await self.spied.messages()
        published = [message for channel, message in told if channel == b"feed.publish:x"]
        self.assertEqual(sorted(published), sorted(id_.encode() + b"\0i" for id_ in ids))
        self.assertEqual(len(told), 1 + len(ids))
        self.assertEqual(await self.value("feed.publishes:x"), b"2000")


class LossTests(PublisherTestCase):
    async def test_killed(self) -> None:
        """Every call that waits for a reply fails when the connection is lost."""
        feed = await self.pub_.feed("x")
        number = await self.pub_.redis.send("CLIENT", "ID")
        await self.raw.send("CLIENT", "PAUSE", "30000", "WRITE")
        try:
            calls: list[Deferred[Any]] = [feed.publish("i") for _ in range(100)]
            calls += [feed.retract("1"), feed.get_ids(), feed.get_all(), feed.length()]
            calls += [self.pub_.feed("y"), self.pub_.create_feed("z"), self.pub_.delete_feed("x")]
            calls += [self.pub_.get_config("x"), self.pub_.set_config("x", {"a": "1"})]
            calls += [self.pub_.get_feed_names(), self.pub_.publish_channel("c", "m")]
            await self.raw.send("CLIENT", "KILL", "ID", str(number))
            for call in calls:
                await self.assertFailure(call, ConnectionLost)
        finally:
            await self.raw.send("CLIENT", "UNPAUSE")
        for call in (feed.publish("i"), feed.get_ids(), self.pub_.feed("y")):
            await self.assertFailure(call, ConnectionLost)

    async def test_close(self) -> None:
        """close() fires when the connection is closed; calls in flight and later ones fail."""
        feed = await self.pub_.feed("x")
        number = await self.pub_.redis.send("CLIENT", "ID")
        calls: list[Deferred[Any]] = [feed.publish("i") for _ in range(10)]
        closed = self.pub_.close()
        results = await self.outcomes(*calls)
        for result in results:
            self.assertIsInstance(result, (str, ConnectionLost))
        self.assertIsNone(await closed)
        await self.assertFailure(feed.publish("i"), ConnectionLost)
        self.assertIsNone(await self.pub_.close())
        gone = f"id={number} ".encode()
        await self.until_reply(
            "CLIENT", "LIST", holds=lambda reply: gone not in reply, silent=True
        )
