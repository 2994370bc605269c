"""A replica refuses every change as a whole."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT, Recorder
from txthoonk import Feed, ThoonkPubFactory, ThoonkSubFactory
from txthoonk.protocol import Redis, ResponseError
from txthoonk.testing import RedisServer


class ReplicaTests(TestCase):
    timeout = TIMEOUT

    async def test_changes_and_publishes_nothing(self) -> None:
        """Each verb fails with READONLY, changes no key and publishes no event."""
        server = RedisServer()
        self.addCleanup(server.stop)
        await server.start()
        pub: Any = await server.endpoint().connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        sub: Any = await server.endpoint().connect(ThoonkSubFactory())
        self.addCleanup(sub.close)
        feed = await pub.feed("x", {"max_length": 2})
        for id_ in ("1", "2"):
            await feed.publish("item", id_)
        heard = Recorder()
        for event in ("create", "delete", "config", "end", *self.channels(feed)):
            await sub.register_handler(event, heard)
        before = await self.state(pub.redis)
        await pub.redis.slaveof("127.0.0.1", 1)  # the master does not exist, so the data stays
        for call in (
            lambda: feed.publish("new"),
            lambda: feed.publish("edited", "1"),
            lambda: feed.retract("1"),
            lambda: feed.set_config({"max_length": 1}),
            lambda: pub.feed("x", {"title": "t"}),
            lambda: pub.feed("y"),
            lambda: pub.create_feed("y"),
            lambda: pub.delete_feed("x"),
        ):
            error = await self.assertFailure(call(), ResponseError)
            self.assertIn("READONLY", f"{error.code} {error}")
        await pub.publish_channel("end")
        self.assertEqual(await heard.wait(1), [("",)])
        self.assertEqual(await self.state(pub.redis), before)

    def channels(self, feed: Feed) -> tuple[str, ...]:
        return feed.channel_publish, feed.channel_edit, feed.channel_retract

    async def state(self, redis: Redis) -> dict[bytes, bytes]:
        redis.set_encoding(None)
        keys = await redis.keys("*")
        state = {key: await redis.send("DUMP", key) for key in keys}
        redis.set_encoding("utf8")
        return state
