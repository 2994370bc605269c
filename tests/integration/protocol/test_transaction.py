"""Feeds on a connection with a transaction of the caller."""

from __future__ import annotations

from tests.support import RedisTestCase
from txthoonk.protocol import InvalidCommand


class TransactionTests(RedisTestCase):
    async def test_feeds_wait_for_the_end(self) -> None:
        """A feed's verbs fail between MULTI and EXEC, and queue nothing."""
        pub = await self.pub()
        feed = await pub.feed("x")
        await feed.publish("item", "1")
        for end in (pub.redis.execute, pub.redis.discard):
            await pub.redis.multi()
            queued = pub.redis.incr("counter")
            for call in (
                lambda: feed.publish("new"),
                lambda: feed.retract("1"),
                feed.get_ids,
                feed.get_all,
                lambda: feed.get_item("1"),
                feed.length,
                lambda: pub.feed("y"),
                lambda: pub.feed_exists("x"),
                pub.get_feed_names,
            ):
                error = await self.assertFailure(call(), InvalidCommand)
                self.assertIn("MULTI", str(error))
            self.assertEqual(await pub.publish_channel("channel", "part"), "QUEUED")
            self.assertEqual(await queued, "QUEUED")
            self.assertIn(await end(), ([1, 0], "OK"))
            self.assertEqual(await feed.get_all(), {"1": "item"})
        self.assertEqual(await pub.redis.get("counter"), "1")
