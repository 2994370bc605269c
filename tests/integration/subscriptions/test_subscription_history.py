"""Subscriptions to feeds with a history: ``since``, and lost connections."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.subscriptions import (
    Heard,
    SubscriptionTestCase,
    brief,
    briefs,
    change,
    take,
)
from txthoonk.errors import InvalidInput
from txthoonk.events import Event


class SinceTests(SubscriptionTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.writer.feed("x", {"history": 1000})
        for number in range(5):
            await self.feed.publish(str(number), str(number))
        self.events = await self.feed.get_history()

    async def since(self, position: Any) -> list[Event]:
        subscription = await self.thoonk.subscribe("x", since=position)
        events = await self.told(subscription)
        await subscription.stop()
        return events

    async def test_cursor(self) -> None:
        """A subscription since an event's cursor delivers each later event, then the live ones."""
        for number, event in enumerate(self.events, 1):
            self.assertEqual(await self.since(event.cursor), self.events[number:])
        subscription = await self.thoonk.subscribe("x", since=self.events[2].cursor)
        await self.feed.publish("live", "a")
        events = await take(subscription, 3)
        self.assertEqual(events[:2], self.events[3:])
        self.assertEqual((brief(events[2]), events[2].revision), (("publish", "a", "live"), 6))

    async def test_revision(self) -> None:
        """``since`` accepts a bare revision as int or text; 0 is before the first event."""
        for number in range(6):
            self.assertEqual(await self.since(number), self.events[number:])
            self.assertEqual(await self.since(str(number)), self.events[number:])

    async def test_long_replay(self) -> None:
        """A replay of thousands of events is complete while the feed is being written."""
        feed = await self.writer.feed("long", {"history": 10_000})
        await gatherResults([feed.publish(str(n), str(n)) for n in range(3210)])
        subscribing = self.thoonk.subscribe("long", since=0, limit=10_000)
        await gatherResults([feed.publish(str(n), str(n)) for n in range(3210, 4000)])
        events = await take(await subscribing, 4000)
        self.assertEqual(events, await feed.get_history())
        self.assertEqual([event.revision for event in events], list(range(1, 4001)))

    async def test_trimmed(self) -> None:
        """A subscription since a trimmed revision delivers a resync, then live events."""
        await self.raw.send("XTRIM", "feed.history:x", "MAXLEN", 2)
        for position in (0, 2, self.events[1].cursor):
            subscription = await self.thoonk.subscribe("x", since=position)
            (resync,) = await self.told(subscription)
            self.assertEqual((resync.kind, resync.feed, resync.id), ("resync", "x", None))
            self.assertIn("not go back that far", resync.reason or "")
            self.assertEqual(resync.cursor, self.events[-1].cursor)
            await subscription.stop()
        self.assertEqual(await self.since(3), self.events[3:])
        subscription = await self.thoonk.subscribe("x", since=0)
        await self.feed.publish("live", "a")
        self.assertEqual(briefs(await take(subscription, 2))[1:], [("publish", "a", "live")])

    async def test_all_trimmed(self) -> None:
        """An empty history accepts only the feed's last revision as a position."""
        await self.raw.send("XTRIM", "feed.history:x", "MAXLEN", 0)
        self.assertEqual([event.kind for event in await self.since(4)], ["resync"])
        self.assertEqual(await self.since(5), [])

    async def test_old_epoch(self) -> None:
        """A cursor of a deleted feed gives a resync on a later feed of the same name."""
        cursors = [event.cursor for event in self.events]
        await self.feed.delete_feed()
        feed = await self.writer.feed("x", {"history": 1000})
        for number in range(7):
            await feed.publish(str(number), "a")
        for cursor in (cursors[0], cursors[-1]):
            (resync,) = await self.since(cursor)
            self.assertEqual(resync.kind, "resync")
            self.assertIn("again", resync.reason or "")
            self.assertEqual(resync.revision, 7)

    async def test_the_future(self) -> None:
        """A revision that the feed has not reached gives a resync, because events were lost."""
        cursor = (self.events[-1].cursor or "").replace(":5", ":6")
        for position in (6, 10**14, cursor):
            (resync,) = await self.since(position)
            self.assertEqual(resync.kind, "resync")
            self.assertIn("lost", resync.reason or "")
            self.assertEqual(resync.revision, 5)

    async def test_off(self) -> None:
        """A position gives a resync without a history, and at most a resync without a feed."""
        await self.writer.feed("off")
        for name in ("off", "none"):
            for position in (0, 3, self.events[0].cursor):
                subscription = await self.thoonk.subscribe(name, since=position)
                events = await self.told(subscription, name)
                if name == "off":
                    self.assertEqual([event.kind for event in events], ["resync"])
                    self.assertIn("no history", events[0].reason or "")
                    self.assertEqual(events[0].cursor, None)
                else:
                    self.assertEqual({event.kind for event in events} - {"resync"}, set())
                await subscription.stop()

    async def test_resync_cursor(self) -> None:
        """The cursor of a resync continues with the next event."""
        (resync,) = await self.since(77)
        await self.feed.publish("new", "a")
        (event,) = await self.since(resync.cursor)
        self.assertEqual(brief(event), ("publish", "a", "new"))

    async def test_bad(self) -> None:
        """``since`` rejects a value that is not a position."""
        before = await self.subscribed()
        bad: Any
        for bad in (
            -1,
            "x",
            "a:b",
            1.5,
            True,
            "1:",
            b"1",
            "",
            ":",
            "a:-1",
            "a b:1",
            [],
            "²",
            10**400,
        ):
            await self.assertFailure(self.thoonk.subscribe("x", since=bad), InvalidInput)
        self.assertEqual(await self.subscribed(), before)

    async def test_with_snapshot(self) -> None:
        """With ``since`` and ``snapshot``, the state arrives only if events are unavailable."""
        subscription = await self.thoonk.subscribe("x", since=3, snapshot=True)
        self.assertEqual(await self.told(subscription), self.events[3:])
        subscription = await self.thoonk.subscribe("x", since=99, snapshot=True)
        resync, snapshot = await take(subscription, 2)
        self.assertEqual((resync.kind, snapshot.kind), ("resync", "snapshot"))
        self.assertEqual(snapshot.item, [(str(n), str(n)) for n in range(5)])
        self.assertEqual(snapshot.cursor, self.events[-1].cursor)

    async def test_other_subscriber(self) -> None:
        """A live subscriber gets nothing of another subscription's replay."""
        other = await self.thoonk.subscribe("x")
        self.assertEqual(await self.since(0), self.events)
        self.assertEqual(await self.told(other), [])


class LossTests(SubscriptionTestCase):
    """Subscriptions recover from connections that are killed during writes."""

    async def written(self, type_: str, *whom: str, rounds: int = 15) -> None:
        """Write while connections are killed, and check that each event arrives exactly once."""
        random = Random(len(whom) + len(type_))
        bound = {"max_length": 20} if type_ == "feed" else {}
        feed = await getattr(self.writer, type_)("x", {"history": 100_000, **bound})
        heard, by_next = Heard(), await self.thoonk.subscribe("x", limit=20)
        await self.thoonk.subscribe("x", heard)
        pattern = Heard()
        await self.thoonk.subscribe_pattern("?", pattern)
        ids: list[str] = []
        for _ in range(rounds):
            for _ in range(random.randrange(30)):
                await change(feed, random, ids)
            killing = Deferred.fromCoroutine(self.kill(*whom))
            for _ in range(random.randrange(60)):
                await change(feed, random, ids)
            await killing
        history = await feed.get_history()
        self.assertEqual(await heard.take(len(history)), history)
        self.assertEqual(await take(by_next, len(history)), history)
        self.assertEqual(await pattern.take(len(history)), history)
        self.assertEqual(
            [event.revision for event in heard.events], list(range(1, len(history) + 1))
        )
        self.assertEqual(await self.told(by_next), [])
        for one in (heard, pattern):
            self.assertEqual((await one.take(len(history) + 1))[len(history)].kind, "config")

    async def test_subscriber(self) -> None:
        """A lost subscriber connection leaves no gap and no duplicate."""
        await self.written("feed", "subscriber")

    async def test_publisher(self) -> None:
        """A lost publisher connection leaves no gap and no duplicate."""
        await self.written("feed", "publisher")

    async def test_both(self) -> None:
        """Losing both connections leaves no gap and no duplicate."""
        await self.written("feed", "subscriber", "publisher")

    async def test_sorted_feed(self) -> None:
        """Losing both connections leaves no gap and no duplicate in a sorted feed."""
        await self.written("sorted_feed", "subscriber", "publisher")

    async def test_killed_again_at_once(self) -> None:
        """A subscription recovers from connections that are killed while it reads the history."""
        feed = await self.writer.feed("x", {"history": 100_000})
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        for _ in range(5):
            await gatherResults([feed.publish("i", str(n)) for n in range(700)])
            for _ in range(10):
                await self.kill("subscriber")
                await self.kill("publisher")
        history = await feed.get_history()
        self.assertEqual(await heard.take(3500), history)

    async def test_many_subscriptions(self) -> None:
        """Each of many subscriptions recovers from its own position."""
        feeds = [await self.writer.feed(f"x{n}", {"history": 1000}) for n in range(100)]
        heard = [Heard() for _ in feeds]
        for feed, one in zip(feeds, heard, strict=True):
            await self.thoonk.subscribe(feed, one)
        for _ in range(3):
            await gatherResults([feed.publish("before", "a") for feed in feeds])
            killing = Deferred.fromCoroutine(self.kill("subscriber"))
            await gatherResults([feed.publish("after", "b") for feed in feeds])
            await killing
        for feed, one in zip(feeds, heard, strict=True):
            self.assertEqual(await one.take(6), await feed.get_history())

    async def test_away(self) -> None:
        """A subscriber gets the events of a long outage in order."""
        thoonk, gate = await self.gated()
        feed = await self.writer.feed("x", {"history": 10_000})
        subscription = await thoonk.subscribe("x", limit=10)
        await feed.publish("0", "a")
        self.assertEqual(brief(await subscription.next()), ("publish", "a", "0"))
        for whom in ("subscriber", "all"):
            gate.shut(whom)
            await gatherResults([feed.publish(str(n), str(n)) for n in range(2500)])
            gate.open()
            events = await take(subscription, 2500)
            self.assertEqual(events, (await feed.get_history())[-2500:])
        await feed.publish("live", "a")
        self.assertEqual((await subscription.next()).item, "live")

    async def test_feed_created_while_away(self) -> None:
        """A subscriber gets the events of a feed that was created in an outage, or a resync."""
        thoonk, gate = await self.gated()
        subscription = await thoonk.subscribe("x")
        gate.shut()
        feed = await self.writer.feed("x", {"history": 100})
        await feed.publish("0", "a")
        gate.open()
        await self.numsub("feed.event:x", 1)
        await feed.publish("1", "b")
        event = await subscription.next()
        if event.kind == "create":
            event = await subscription.next()
        self.assertIn(event.kind, ("publish", "resync"))
        if event.kind == "publish":
            self.assertEqual(event.item, "0")

    async def test_without_history(self) -> None:
        """A feed without a history delivers one resync for each loss, before the next event."""
        feeds = {name: await self.writer.feed(name) for name in ("x", "y")}
        subscriptions = {name: await self.thoonk.subscribe(name) for name in feeds}
        for round_ in range(3):
            await self.kill("subscriber")
            for name in feeds:
                await self.numsub(f"feed.publish:{name}", 1)
                await self.numsub(f"feed.event:{name}", 1)
            for name, feed in feeds.items():
                resync = await subscriptions[name].next()
                self.assertEqual((resync.kind, resync.feed, resync.cursor), ("resync", name, None))
                self.assertIn("no history", resync.reason or "")
                await feed.publish("1", str(round_))
                got = await self.told(subscriptions[name], name)
                self.assertEqual(briefs(got), [("publish", str(round_), "1")])

    async def test_publisher_without_history(self) -> None:
        """Losing the publisher's connection has no effect on feeds without a history."""
        feed = await self.writer.feed("x")
        subscription = await self.thoonk.subscribe("x")
        await self.kill("publisher")
        await feed.publish("1", "a")
        await self.thoonk.get_feed_names()
        self.assertEqual(briefs(await self.told(subscription)), [("publish", "a", "1")])
