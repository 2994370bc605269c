"""Subscriptions in trouble: overload, misbehaving writers, and an absent publisher."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support.subscriptions import SubscriptionTestCase
from txthoonk import NotSent, Thoonk
from txthoonk.serializers import _registry, register_serializer
from txthoonk.subscriptions import _snapshot

BIG = "x" * 600_000


class TroubleTests(SubscriptionTestCase):
    async def test_many_feeds_behind_one_subscriber(self) -> None:
        """No more events than the limit wait, however many feeds have missed events."""
        names = [f"f{number}" for number in range(30)]
        feeds = [await self.writer.feed(name, {"history": 1000}) for name in names]
        subscription = await self.thoonk.subscribe_pattern("f*", limit=50)
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        for number in range(20):
            await gatherResults([feed.publish(str(number), "a") for feed in feeds])
        most, seen = 0, dict.fromkeys(names, 0)
        while sum(seen.values()) < 20 * len(names):
            event = await subscription.next()
            most = max(most, len(subscription._events))
            self.assertEqual(event.revision, seen[event.feed] + 1)
            seen[event.feed] += 1
        self.assertLessEqual(most, 50)

    async def test_big_items(self) -> None:
        """A history and a snapshot of big items are read in parts."""
        feed = await self.writer.feed("x", {"history": 100})
        for number in range(6):
            await feed.publish(f"{number}{BIG}", str(number))
        events = await feed.get_history()
        self.assertEqual([event.revision for event in events], list(range(1, 7)))
        replayed = await self.thoonk.subscribe("x", since=0)
        self.assertEqual([await replayed.next() for _ in range(6)], events)
        mirror = await self.thoonk.mirror("x")
        self.assertEqual([item[0] for item in mirror.values()], list("012345"))

    def at_the_mark(self, *messages: str) -> None:
        """Deliver messages during each read of the state."""
        reader: Any = self.thoonk._sources.reader
        mark = reader.mark

        def marking(passed: Any) -> Any:
            def then() -> None:
                passed()
                for message in messages:
                    self.thoonk._sub._dispatcher.routes["feed.publish:x"](message)

            return mark(then)

        reader.mark = marking

    async def test_half_a_change(self) -> None:
        """A mirror shows a published item once its position has arrived."""
        feed = await self.writer.sorted_feed("x")
        await feed.append("one")
        self.at_the_mark("7\0late")
        mirror = await self.thoonk.mirror("x")
        self.assertEqual(dict(mirror), {"1": "one"})
        told: Deferred[Any] = Deferred()
        mirror.on_change(lambda event: told.callback(event) if event.position else None)
        self.thoonk._sub._dispatcher.routes["feed.position:x"]("7\0begin:")
        await told
        self.assertEqual(list(mirror.items()), [("7", "late"), ("1", "one")])

    async def test_writer_without_history_who_never_rests(self) -> None:
        """A mirror is complete although a writer without history keeps writing during the read."""
        self.patch(_snapshot, "ATTEMPTS", 0)
        self.patch(_snapshot, "SLICE", 2)
        feed = await self.writer.feed("x", {"history": 100})
        for number in range(5):
            await feed.publish(str(number), str(number))
        subscribing = self.thoonk.mirror("x")
        reads = 0
        original = _snapshot.read_items  # type: ignore[attr-defined]

        def read_items(*words: Any) -> Any:
            nonlocal reads
            reads += 1
            self.thoonk._sub._dispatcher.routes["feed.publish:x"](f"foreign{reads}\0item")
            return original(*words)

        self.patch(_snapshot, "read_items", read_items)
        mirror = await subscribing
        items = [str(number) for number in range(5)]
        foreign = [f"foreign{number}" for number in (2, 3)]
        self.assertEqual(list(mirror), [*items, *foreign])
        self.assertEqual(reads, 3)

    async def test_stopped_in_a_pause(self) -> None:
        """A subscription that is cancelled between two attempts leaves no delayed call."""
        self.patch(_snapshot, "ATTEMPTS", 1000)
        self.patch(_snapshot, "PAUSE", 1000.0)
        self.patch(_snapshot, "LONGEST_PAUSE", 1000.0)
        feed = await self.writer.feed("x", {"history": 100})
        await feed.publish("1", "a")
        reader: Any = self.thoonk._sources.reader
        paused: Deferred[None] = Deferred()
        later = reader.later

        def pausing(seconds: float) -> Any:
            installed_reactor.callLater(0, paused.callback, None)
            return later(seconds)

        def mark(passed: Any) -> Any:
            installed_reactor.callLater(0, self.break_in)
            return original(passed)

        original, reader.mark, reader.later = reader.mark, mark, pausing
        subscribing = self.thoonk.subscribe("x", snapshot=True)
        await paused
        subscribing.cancel()
        await self.assertFailure(subscribing, CancelledError)
        # Trial fails the test if the delayed call is left.

    def break_in(self) -> None:
        """Deliver the message of a change by a writer that keeps no history."""
        route = self.thoonk._sub._dispatcher.routes.get("feed.publish:x")
        if route is not None:
            route("foreign\0item")

    async def test_only_the_publisher_is_away(self) -> None:
        """A new subscription fails in time if the publisher's connection is down."""
        thoonk = Thoonk(self.thoonk.url, installed_reactor, wait=0.1)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        await thoonk._connections.publisher.stop()
        calls: list[Any] = [
            thoonk.subscribe("x"),
            thoonk.subscribe("x", snapshot=True),
            thoonk.subscribe_pattern("x*"),
            thoonk.mirror("x"),
        ]
        for call in calls:
            await self.assertFailure(call, NotSent)

    async def test_serializer_that_fails(self) -> None:
        """Any exception of a serializer becomes the event's item, and no event is lost."""

        class Poison:
            binary = False

            def dumps(self, item: str) -> str:
                return item

            def loads(self, data: str) -> str:
                return {"good": "good"}[data]

        register_serializer("poison", Poison())
        self.addCleanup(_registry.pop, "poison")
        feed = await self.writer.feed("x", {"serializer": "poison"})
        subscription = await self.thoonk.subscribe("x")
        for item in ("good", "bad", "good"):
            await feed.publish(item)
        items = [str((await subscription.next()).item) for _ in range(3)]
        self.assertEqual((items[0], items[2]), ("good", "good"))
        self.assertIn("cannot be read", items[1])
