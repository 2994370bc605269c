"""What other implementations publish, as subscriptions and mirrors deliver it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.support.mirror import Watch
from tests.support.subscriptions import SubscriptionTestCase, briefs, next_of, take
from txthoonk.history._recovery import ELSEWHERE

# As thoonk.js 0.5.5 edits an item of a sorted feed.
JS_EDIT = """
redis.call('HSET', 'feed.items:' .. ARGV[1], ARGV[2], ARGV[3])
redis.call('INCR', 'feed.publishes:' .. ARGV[1])
redis.call('PUBLISH', 'feed.edit:' .. ARGV[1], ARGV[2] .. '\\0' .. ARGV[3])
"""
# As thoonk.py's move(":begin", id) and move("end:", id).
PY_MOVE = """
redis.call('LREM', 'feed.ids:' .. ARGV[1], 1, ARGV[2])
redis.call(ARGV[3] == ':begin' and 'LPUSH' or 'RPUSH', 'feed.ids:' .. ARGV[1], ARGV[2])
redis.call('PUBLISH', 'feed.position:' .. ARGV[1], ARGV[2] .. '\\0' .. ARGV[3])
"""


# As thoonk.py publishes a new item, with its time in seconds.
PY_PUBLISH = """
redis.call('ZADD', 'feed.ids:' .. ARGV[1], redis.call('TIME')[1], ARGV[2])
redis.call('HSET', 'feed.items:' .. ARGV[1], ARGV[2], ARGV[3])
redis.call('INCR', 'feed.publishes:' .. ARGV[1])
redis.call('PUBLISH', 'feed.publish:' .. ARGV[1], ARGV[2] .. '\\0' .. ARGV[3])
"""


class FeedTests(SubscriptionTestCase):
    async def test_seconds(self) -> None:
        """A mirror of a feed with a history has its order, whatever the scores of others."""
        feed = await self.writer.feed("x", {"history": 100})
        await feed.publish("1", "ours")
        watch = Watch(await self.thoonk.mirror("x"))
        await self.raw.send("EVAL", PY_PUBLISH, 0, "x", "theirs", "2")
        await watch.until([("theirs", "2"), ("ours", "1")])
        await feed.publish("3", "last")
        await watch.until([("theirs", "2"), ("ours", "1"), ("last", "3")])

    async def test_seconds_without_history(self) -> None:
        """Without a history, the next check finds that the order is another one."""
        feed = await self.writer.feed("x")
        await feed.publish("1", "ours")
        mirror, heard = await self.thoonk.mirror("x"), await self.thoonk.subscribe("x")
        watch = Watch(mirror)
        await feed.publish("2", "last")
        await watch.until([("ours", "1"), ("last", "2")])
        await self.thoonk._sources.check()
        self.assertEqual([event.kind for event in watch.events], ["publish"])
        await self.raw.send("EVAL", PY_PUBLISH, 0, "x", "theirs", "3")
        await watch.until([("ours", "1"), ("last", "2"), ("theirs", "3")])
        await self.thoonk._sources.check()
        await watch.until([("theirs", "3"), ("ours", "1"), ("last", "2")])
        self.assertIn(ELSEWHERE, [event.reason for event in watch.events])
        # A subscription that has no state does not depend on the order.
        self.assertEqual([event.kind for event in await take(heard, 2)], ["publish", "publish"])
        self.assertEqual(heard.backlog, 0)


class SortedFeedTests(SubscriptionTestCase):
    async def foreign(self, script: str, *words: str) -> None:
        await self.raw.send("EVAL", script, 0, "x", *words)

    async def three(self, history: int = 0) -> Any:
        feed = await self.writer.sorted_feed("x", {"history": history})
        for number in range(3):
            await feed.append(str(number))
        return feed

    async def test_edits(self) -> None:
        """An edit is an edit, with and without a history, by name, object and pattern."""
        for history in (0, 100):
            feed = await self.three(history)
            heard = [
                await self.thoonk.subscribe("x"),
                await self.thoonk.subscribe(feed),
                await self.thoonk.subscribe_pattern("x*"),
            ]
            await feed.edit("2", "edited")
            await feed.prepend("new")
            await gatherResults([feed.edit("2", "last"), feed.move_first("2")])
            for subscription in heard:
                self.assertEqual(
                    briefs(await take(subscription, 5)),
                    [
                        ("edit", "2", "edited"),
                        ("publish", "4", "new"),
                        ("position", "4", "begin:"),
                        ("edit", "2", "last"),
                        ("position", "2", "begin:"),
                    ],
                )
                subscription.stop()
            await feed.delete_feed()

    async def test_bare_subscriber(self) -> None:
        """A subscriber alone delivers edits if it has the feed's object."""
        feed = await self.three()
        sub = await self.sub()
        subscription = await sub.subscribe(feed)
        await feed.edit("1", "edited")
        await feed.append("new")
        await feed.edit("1", "last")
        self.assertEqual(
            [event.kind for event in await take(subscription, 4)],
            ["edit", "publish", "position", "edit"],
        )

    async def test_mirror(self) -> None:
        """A callback of a mirror gets edits as such."""
        feed = await self.three()
        watch = Watch(await self.thoonk.mirror("x"))
        await feed.edit("1", "edited")
        await watch.event("edit")
        self.assertEqual(watch.mirror["1"], "edited")

    async def test_edit_of_thoonk_js(self) -> None:
        """An edit of thoonk.js, on a channel of its own, arrives."""
        feed = await self.three()
        for subscribed in (feed, "x"):
            subscription = await self.thoonk.subscribe(subscribed)
            await self.foreign(JS_EDIT, "2", "edited")
            (event,) = await take(subscription, 1)
            self.assertEqual((event.kind, event.id, event.item), ("edit", "2", "edited"))
        await feed.set_config({"history": 10})
        subscription = await self.thoonk.subscribe(feed)
        await self.foreign(JS_EDIT, "2", "again")
        await next_of(subscription, "resync")

    async def test_moves_of_thoonk_py(self) -> None:
        """The malformed positions that thoonk.py publishes are those that it means."""
        feed = await self.three()
        subscription = await self.thoonk.subscribe(feed)
        watch = Watch(await self.thoonk.mirror("x"))
        await self.foreign(PY_MOVE, "3", ":begin")
        await self.foreign(PY_MOVE, "1", "end:")
        events = await take(subscription, 2)
        self.assertEqual([event.position for event in events], ["begin:", ":end"])
        await watch.until(await self.contents(feed))
        self.assertEqual(list(watch.mirror), ["3", "2", "1"])
