"""Servers that evict keys, and feeds that have lost their configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from tests.support import Recorder, RedisTestCase, server_url
from tests.support.logs import observe_log
from tests.support.server import ServerTestCase
from txthoonk import Thoonk
from txthoonk.errors import FeedNotConfigured
from txthoonk.testing import RedisServer

reactor: Any = installed_reactor
POLICY = "maxmemory-policy"


class EvictedTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.addCleanup(self.raw.send, "CONFIG", "SET", POLICY, "noeviction")

    async def lose(self, name: str) -> None:
        await self.raw.send("DEL", f"feed.config:{name}")

    async def refused(self, *calls: Callable[[], Deferred[Any]]) -> None:
        """Check that the calls fail and change nothing."""
        before = await self.state()
        for call in calls:
            error = await self.assertFailure(call(), FeedNotConfigured)
            self.assertIn("configuration of feed 'x' is gone", str(error))
        self.assertEqual(await self.state(), before)

    async def test_other_types(self) -> None:
        """A queue, job feed or sorted feed without a configuration refuses every verb."""
        queue = await self.pub_.queue("x", {"history": 5})
        await queue.put("item")
        await self.lose("x")
        await self.refused(queue.get, lambda: queue.put("y"), lambda: self.pub_.queue("x"))
        await self.pub_.delete_feed("x")
        job = await self.pub_.job("x", {"timeout": 5})
        await job.put("item", id_="a")
        claim = await job.get()
        await self.lose("x")
        await self.refused(job.get, lambda: job.put("y"), lambda: self.pub_.job("x"))
        await self.refused(lambda: job.finish(claim), lambda: job.put("y", delay=5))
        await self.pub_.delete_feed("x")
        sorted_ = await self.pub_.sorted_feed("x")
        one = await sorted_.append("item")
        await self.lose("x")
        await self.refused(
            lambda: sorted_.append("y"),
            lambda: sorted_.edit(one, "y"),
            lambda: sorted_.move_first(one),
            lambda: sorted_.retract(one),
            lambda: self.pub_.sorted_feed("x"),
        )

    async def test_history(self) -> None:
        """A feed with a history refuses every change without its configuration."""
        feed = await self.pub_.feed("x", {"history": 5})
        await feed.publish("item", "1")
        await self.lose("x")
        await self.refused(
            lambda: feed.publish("y"), lambda: feed.retract("1"), lambda: self.pub_.feed("x")
        )

    async def test_server_that_evicts(self) -> None:
        """A plain feed without a configuration refuses every verb if the server evicts keys."""
        feed = await self.pub_.feed("x", {"max_length": 2, "serializer": "json"})
        await feed.publish([1], "1")
        await self.raw.send("CONFIG", "SET", POLICY, "allkeys-lru")
        await feed.publish([2], "2")
        await self.lose("x")
        await self.refused(
            lambda: feed.publish([3]),
            lambda: feed.retract("1"),
            lambda: self.pub_.feed("x"),
            lambda: self.pub_.get_config("x"),
        )
        await self.pub_.set_config("x", {"type": "feed", "max_length": 2, "serializer": "json"})
        await feed.publish([3], "3")
        self.assertEqual(await feed.get_all(), {"2": [2], "3": [3]})

    async def test_subscription(self) -> None:
        """A subscription delivers a resync if the configuration is gone, and recovers with it."""
        thoonk = Thoonk(await server_url(), reactor)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        feed = await self.pub_.feed("x", {"history": 5})
        heard = Recorder()
        await thoonk.subscribe("x", heard)
        await self.lose("x")
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        ((event,),) = await heard.wait(1)
        self.assertEqual(event.kind, "resync")
        self.assertIn("configuration of feed 'x' is gone", event.reason)
        await self.assertFailure(thoonk.subscribe("x"), FeedNotConfigured)
        await self.pub_.set_config("x", {"type": "feed", "history": 5})
        await feed.publish("item", "1")
        while heard.calls[-1][0].kind != "publish":
            await heard.wait(len(heard.calls) + 1)
        self.assertEqual(heard.calls[-1][0].id, "1")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_feed_without_any(self) -> None:
        """A plain feed of txthoonk 0.1 works without a configuration."""
        await self.raw.send("SADD", "feeds", "x")
        feed = await self.pub_.feed("x")
        await feed.publish("item", "1")
        self.assertEqual(await feed.get_ids(), ["1"])


class ConnectTests(ServerTestCase):
    """The warnings of a service about its server."""

    async def said(self, server: RedisServer) -> list[str]:
        """Connect twice, and return the warnings."""
        warnings: list[str] = []

        def observe(event: Any) -> None:
            if event["log_level"] is LogLevel.warn:
                warnings.append(event["log_format"].format(**event))

        observe_log(self, observe)
        thoonk = Thoonk(server.url, reactor)
        self.addCleanup(thoonk.close)
        for _ in range(2):
            await thoonk.connect()
            await thoonk.close()
        return warnings

    async def test_policy(self) -> None:
        """A server whose policy evicts keys causes one warning."""
        options = ("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")
        (warning,) = await self.said(await self.server(arguments=options).start())
        self.assertIn("maxmemory-policy volatile-lru", warning)
        for more in (("--maxmemory", "100mb"), ("--maxmemory-policy", "allkeys-lru")):
            self.assertEqual(await self.said(await self.server(arguments=more).start()), [])

    async def test_replica(self) -> None:
        """A server that is a replica causes one warning."""
        options = ("--replicaof", "127.0.0.1", "1")
        (warning,) = await self.said(await self.server(arguments=options).start())
        self.assertIn("a read-only replica of 127.0.0.1:1", warning)
