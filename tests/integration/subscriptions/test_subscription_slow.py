"""A slow subscriber uses bounded memory, and gets a resync where events were dropped."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.subscriptions import (
    Heard,
    SubscriptionTestCase,
    brief,
    briefs,
    replayed,
    take,
)
from txthoonk.events import Event
from txthoonk.subscriptions import Subscription


class SlowTests(SubscriptionTestCase):
    async def publish(self, feed: Any, first: int, last: int) -> None:
        await gatherResults([feed.publish(str(n), str(n)) for n in range(first, last)])

    async def arrived(self, feed: str = "x") -> None:
        """Wait for all messages to arrive, with the config event as a marker."""
        other = await self.thoonk.subscribe(feed)
        await self.told(other, feed)
        await other.stop()

    async def next(self, subscription: Subscription) -> Event:
        """Take the next event that is not a marker of :meth:`arrived`."""
        event = await subscription.next()
        while event.kind == "config":
            event = await subscription.next()
        return event

    def waiting(self, subscription: Subscription) -> int:
        return len(subscription._events)

    async def test_with_history(self) -> None:
        """A slow subscriber misses nothing of a history; it reads events when it has room."""
        feed = await self.writer.feed("x", {"history": 10_000})
        for limit in (1, 2, 5, 100):
            start = await feed.revision()
            subscription = await self.thoonk.subscribe("x", limit=limit)
            await self.publish(feed, 0, 500)
            await self.arrived()
            for revision in range(start + 1, start + 501):
                self.assertLessEqual(self.waiting(subscription), limit + 2)
                event = await self.next(subscription)
                self.assertEqual((event.kind != "resync", event.revision), (True, revision))
            await self.publish(feed, 500, 501)
            self.assertEqual((await self.next(subscription)).item, "500")
            await subscription.stop()

    async def test_slow_handler_with_history(self) -> None:
        """A slow handler misses nothing of a feed with a history."""
        feed = await self.writer.feed("x", {"history": 10_000})
        heard, gate = Heard(), Deferred[None]()

        def handler(event: Event) -> Any:
            heard(event)
            return gate if event.revision == 3 else None

        subscription = await self.thoonk.subscribe("x", handler, limit=10)
        await self.publish(feed, 0, 3000)
        await self.arrived()
        self.assertEqual(len(heard.calls), 3)
        self.assertLessEqual(self.waiting(subscription), 12)
        gate.callback(None)
        self.assertEqual((await heard.take(3000))[:3000], await feed.get_history())

    async def test_since(self) -> None:
        """A long replay waits for the subscriber."""
        feed = await self.writer.feed("x", {"history": 10_000})
        await self.publish(feed, 0, 3000)
        subscription = await self.thoonk.subscribe("x", since=0, limit=10)
        for revision in range(1, 3001):
            self.assertLessEqual(self.waiting(subscription), 12)
            self.assertEqual((await self.next(subscription)).revision, revision)

    async def test_too_slow_for_the_history(self) -> None:
        """A subscriber gets a resync if the history drops events before it has read them."""
        feed = await self.writer.feed("x", {"history": 1000})
        subscription = await self.thoonk.subscribe("x", limit=10)
        await self.publish(feed, 0, 50)
        await self.arrived()
        await self.raw.send("XTRIM", "feed.history:x", "MAXLEN", 10)
        events = [await self.next(subscription)]
        while events[-1].kind != "resync":
            events.append(await self.next(subscription))
        revisions = [event.revision for event in events[:-1]]
        self.assertEqual(revisions, list(range(1, len(events))))
        self.assertIn("not go back that far", events[-1].reason or "")
        await self.publish(feed, 50, 51)
        self.assertEqual((await self.next(subscription)).item, "50")

    async def test_without_history(self) -> None:
        """Without a history, a slow subscriber loses events and gets a resync in their place."""
        feed = await self.writer.feed("x")
        for limit in (1, 2, 5, 100):
            subscription = await self.thoonk.subscribe("x", limit=limit)
            await self.publish(feed, 0, 500)
            await self.arrived()
            self.assertLessEqual(self.waiting(subscription), limit + 2)
            heard = [await self.next(subscription)]
            while heard[-1].kind != "resync":
                heard.append(await self.next(subscription))
            self.assertIn("slow", heard[-1].reason or "")
            self.assertIsNone(heard[-1].cursor)
            # Events from here on must not be dropped.
            await feed.publish("last", "a")
            while brief(heard[-1])[1:] != ("a", "last"):
                heard.append(await self.next(subscription))
            await feed.retract("a")
            self.assertEqual(brief(await self.next(subscription)), ("retract", "a"))
            await subscription.stop()

    async def test_at_the_limit(self) -> None:
        """The full limit of events can wait without a resync."""
        feed = await self.writer.feed("x")
        subscription = await self.thoonk.subscribe("x", limit=50)
        await self.publish(feed, 0, 50)
        await self.arrived()
        events = [await self.next(subscription) for _ in range(50)]
        self.assertEqual(briefs(events), [("publish", str(n), str(n)) for n in range(50)])
        self.assertEqual(await self.told(subscription), [])

    async def test_with_snapshot(self) -> None:
        """With ``snapshot=True``, snapshots and changes of a slow subscriber make up the feed."""
        for history in (0, 100_000):
            feed = await self.writer.feed(f"x{history}", {"history": history})
            await self.publish(feed, 0, 5)
            subscription = await self.thoonk.subscribe(feed, snapshot=True, limit=10)
            for round_ in range(5):
                await self.publish(feed, round_ * 50, round_ * 50 + 60)
                await self.arrived(feed.name)
            events: list[Event] = []
            await feed.publish("last", "last")
            while True:
                events.append(await self.next(subscription))
                last = events[-1]
                state = replayed(events, False).items if not last.more else []
                if ("last", "last") in state:
                    break
            self.assertEqual(state, await self.contents(feed))
            kinds = [event.kind for event in events]
            self.assertEqual("resync" in kinds, not history)

    async def test_two_subscribers(self) -> None:
        """A fast subscriber misses nothing beside a slow one."""
        feed = await self.writer.feed("x")
        slow = await self.thoonk.subscribe("x", limit=3)
        heard = Heard()
        await self.thoonk.subscribe("x", heard, limit=3)
        await self.publish(feed, 0, 500)
        self.assertEqual(
            briefs(await heard.take(500)), [("publish", str(n), str(n)) for n in range(500)]
        )
        self.assertLessEqual(self.waiting(slow), 4)

    async def test_pattern(self) -> None:
        """A pattern subscription misses no event of a feed after the feed's last resync.

        A reader that reads the feed at each resync and applies the later events has the whole
        feed.
        """
        feeds = {name: await self.writer.feed(name) for name in ("x", "y", "z")}
        subscription = await self.thoonk.subscribe_pattern("?", limit=10)
        known: dict[str, dict[str, Any]] = {name: {} for name in feeds}
        for round_ in range(200):
            for name, feed in feeds.items():
                for number in range((round_ * (1 + ord(name))) % 5):
                    await feed.publish(str(round_), f"{number}")
            for _ in range(min(round_ % 7, self.waiting(subscription))):
                await self.follow(feeds, known, await subscription.next())
        await self.finish(feeds, known, subscription)
        for name, feed in feeds.items():
            self.assertEqual(known[name], await feed.get_all(), name)

    async def follow(
        self, feeds: dict[str, Any], known: dict[str, dict[str, Any]], event: Event
    ) -> None:
        if event.kind == "resync":
            known[event.feed] = await feeds[event.feed].get_all()
        elif event.id is not None:
            known[event.feed][event.id] = event.item

    async def finish(
        self, feeds: dict[str, Any], known: dict[str, dict[str, Any]], subscription: Subscription
    ) -> None:
        """Take the events that still wait."""
        await self.arrived()
        while self.waiting(subscription):
            await self.follow(feeds, known, await subscription.next())

    async def test_pattern_pause(self) -> None:
        """A pattern subscription misses no event of a feed after the feed's resync was taken."""
        feeds = {name: await self.writer.feed(name) for name in ("x", "y")}
        subscription = await self.thoonk.subscribe_pattern("?", limit=10)
        await self.publish(feeds["y"], 0, 10)
        await self.publish(feeds["x"], 0, 1)
        await self.arrived("other")
        # The resync of x waits after ten events of y, and more events of y follow it.
        await take(subscription, 3)
        await self.publish(feeds["y"], 10, 13)
        await self.arrived("other")
        resync = await self.next(subscription)
        while resync.kind != "resync":
            resync = await self.next(subscription)
        self.assertEqual(resync.feed, "x")
        self.assertEqual(await feeds["x"].get_ids(), ["0"])
        await feeds["x"].publish("unmissed", "u")
        await self.arrived("other")
        await self.raw.publish("conffeed", "x\0marker")
        got: list[Any] = []
        while not got or got[-1].kind != "config":
            got.append(await subscription.next())
        told = [brief(event) for event in got if event.feed == "x"]
        self.assertTrue({("publish", "u", "unmissed"), ("resync",)} & set(told), told)
