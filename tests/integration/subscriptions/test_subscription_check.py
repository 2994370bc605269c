"""A periodic check compares the positions of subscriptions with the server's."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.support import RedisTestCase, server_url
from tests.support.subscriptions import next_of, next_where
from txthoonk import Event, Thoonk
from txthoonk.mirror import Mirror
from txthoonk.service._thoonk import CHECK_INTERVAL
from txthoonk.subscriptions._checking import COMPARED


class CheckTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = await Thoonk(await server_url(), reactor).connect()
        self.addCleanup(self.thoonk.close)
        self.sources = self.thoonk._sources
        self.feed = await self.thoonk.feed("x", {"history": 100})
        self.subscription = await self.thoonk.subscribe(self.feed)

    def starve(self) -> None:
        """Drop every message that the subscriber's connection receives, but not the replies."""
        self.thoonk._sub._dispatcher.routes.clear()

    async def take(self, count: int) -> list[Event]:
        return [await self.subscription.next() for _ in range(count)]

    async def test_starved(self) -> None:
        """The check reads events that the connection did not deliver from the history."""
        await self.feed.publish("1", "a")
        first = await self.take(1)
        self.starve()
        for number in (2, 3):
            await self.feed.publish(str(number), "a")
        await self.sources.check()
        self.assertEqual(first + await self.take(2), await self.feed.get_history())

    async def test_every_so_often(self) -> None:
        """The service runs the check every 25 seconds."""
        clock: Any = Clock()
        checking = self.sources.checking(clock)
        checking.start(CHECK_INTERVAL, now=False)
        self.addCleanup(checking.stop)
        self.assertEqual(self.thoonk._checking.interval, CHECK_INTERVAL)
        self.starve()
        await self.feed.publish("1", "a")
        clock.advance(25)
        self.assertEqual(await self.take(1), await self.feed.get_history())

    async def test_all_is_well(self) -> None:
        """The check delivers nothing and reads only the position if nothing is missing."""
        await self.feed.publish("1", "a")
        await self.take(1)
        await self.raw.send("CONFIG", "RESETSTAT")
        await self.sources.check()
        stats = await self.raw.send("INFO", "commandstats")
        self.assertNotIn(b"cmdstat_xrange", stats)
        self.assertNotIn(b"cmdstat_ping", stats)
        await self.feed.publish("2", "a")
        (event,) = await self.take(1)
        self.assertEqual((event.kind, event.revision), ("edit", 2))

    async def test_changed_in_silence(self) -> None:
        """The check detects a change without history or message by the feed's counters."""
        await self.feed.publish("1", "a")
        await self.take(1)
        await self.raw.hdel("feed.items:x", "a")
        await self.sources.check()
        (event,) = await self.take(1)
        self.assertEqual(event.kind, "resync")
        self.assertIn("keeps no history", event.reason or "")

    async def test_gone_in_silence(self) -> None:
        """The check detects a feed that is gone, or whose history is switched off."""
        for gone in (
            lambda: self.raw.hset("feed.config:x", "history", "0"),
            lambda: self.raw.flushdb(),
        ):
            await self.feed.set_config({"history": 100})
            await self.feed.publish("1", "a")
            await next_where(self.subscription, lambda event: event.revision is not None)
            await gone()
            await self.sources.check()
            (event,) = await self.take(1)
            self.assertEqual(event.kind, "resync")
            self.assertIn("gone", event.reason or "")

    async def test_one_that_cannot_be_checked(self) -> None:
        """A foreign key that replaces one history does not keep the check from other feeds."""
        other = await self.thoonk.feed("y", {"history": 100})
        subscription = await self.thoonk.subscribe(other)
        await self.feed.publish("1", "a")
        await other.publish("1", "a")
        await self.take(1)
        await subscription.next()
        await self.raw.set("feed.revision:x", "foreign")
        self.starve()
        await other.publish("2", "a")
        await self.sources.check()
        self.assertEqual((await subscription.next()).revision, 2)


class CheckWithoutHistoryTests(RedisTestCase):
    """For a feed without a history, the check compares the registry and the feed's counter."""

    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = await Thoonk(await server_url(), reactor).connect()
        self.addCleanup(self.thoonk.close)
        self.sources = self.thoonk._sources
        self.feed = await self.thoonk.feed("x")
        await self.feed.publish("1", "a")
        self.mirror = await self.thoonk.mirror("x")
        self.events: list[str] = []
        self.mirror.on_change(lambda event: self.events.append(event.kind))

    async def heard(self, kind: str) -> None:
        """Wait for an event of the mirror."""
        told: Deferred[None] = Deferred()
        remove = self.mirror.on_change(
            lambda event: told.callback(None) if event.kind == kind else None
        )
        await told
        remove()

    async def read_again(self) -> None:
        """Run the check, and wait until it has read the mirror again."""
        self.events.clear()
        heard = Deferred.fromCoroutine(self.heard("snapshot"))
        await self.sources.check()
        await heard
        self.assertEqual((self.events, self.mirror.current), (["resync", "snapshot"], True))

    async def assert_well(self, mirror: Mirror) -> None:
        """Run the check, and assert that it changes nothing."""
        self.events.clear()
        for _ in range(2):
            await self.sources.check()
            self.assertTrue(mirror.current)
        self.assertEqual(self.events, [])

    async def test_flushed(self) -> None:
        """A mirror is read again once if its server was flushed."""
        await self.assert_well(self.mirror)
        await self.raw.flushdb()
        await self.read_again()
        self.assertEqual(dict(self.mirror), {})
        await self.assert_well(self.mirror)
        heard = Deferred.fromCoroutine(self.heard("snapshot"))
        feed = await self.thoonk.feed("x")
        await heard
        heard = Deferred.fromCoroutine(self.heard("publish"))
        await feed.publish("2", "b")
        await heard
        self.assertEqual(dict(self.mirror), {"b": "2"})
        await self.assert_well(self.mirror)

    async def test_older_data(self) -> None:
        """A mirror is read again if its feed has older data than was published."""
        heard = Deferred.fromCoroutine(self.heard("publish"))
        await self.feed.publish("2", "b")
        await heard
        await self.assert_well(self.mirror)
        await self.raw.set("feed.publishes:x", "1")
        await self.raw.hdel("feed.items:x", "b")
        await self.raw.zrem("feed.ids:x", "b")
        await self.read_again()
        self.assertEqual(dict(self.mirror), {"a": "1"})
        await self.assert_well(self.mirror)

    async def test_deleted(self) -> None:
        """The check changes nothing if the deletion of the feed was published."""
        heard = Deferred.fromCoroutine(self.heard("delete"))
        await self.feed.delete_feed()
        await heard
        await self.assert_well(self.mirror)
        heard = Deferred.fromCoroutine(self.heard("snapshot"))
        await self.thoonk.feed("x")
        await heard
        await self.assert_well(self.mirror)

    async def test_not_there(self) -> None:
        """The check changes nothing if the mirrored feed does not exist yet."""
        await self.assert_well(await self.thoonk.mirror("missing"))

    async def test_pattern(self) -> None:
        """A pattern no longer follows feeds that are gone."""
        for snapshot in (False, True):
            await self.thoonk.feed("x")
            subscription = await self.thoonk.subscribe_pattern("?", snapshot=snapshot)
            (pattern,) = self.sources._patterns
            self.assertEqual(list(pattern.sources), ["x"])
            await self.raw.flushdb()
            await self.sources.check()
            await next_of(subscription, "resync")
            if snapshot:
                self.assertEqual((await subscription.next()).item, [])
            await self.thoonk.redis.ping()  # the call that it belongs to has ended
            self.assertEqual(pattern.sources, {})
            await subscription.stop()

    async def test_few_calls(self) -> None:
        """The check of many feeds takes few calls, and reads nothing more of feeds that agree."""
        await self.mirror.stop()
        for number in range(COMPARED + 1):
            await self.thoonk.feed(f"many:{number}", {"history": 10 * (number % 2)})
        await self.thoonk.subscribe_pattern("many:*")
        await self.raw.send("CONFIG", "RESETSTAT")
        await self.sources.check()
        stats = await self.raw.send("INFO", "commandstats")
        self.assertIn(b"cmdstat_evalsha:calls=2,", stats)
