"""A mirror is a copy of a feed, and always shows a state that the feed had."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support.mirror import Items, MirrorTestCase, Watch
from tests.support.subscriptions import Model, briefs, change
from txthoonk.errors import ConnectionLost, FeedTypeMismatch, InvalidInput, InvalidItem
from txthoonk.events import Event


class MirrorTests(MirrorTestCase):
    async def test_mapping(self) -> None:
        """A mirror maps ids to items, in the feed's order."""
        for history in (0, 100):
            feed = await self.feed("sorted_feed", history, serializer="json")
            for number in range(3):
                await feed.prepend([number])
            mirror = await self.thoonk.mirror("x")
            self.assertEqual(list(mirror), ["3", "2", "1"])
            self.assertEqual(list(mirror.items()), [("3", [2]), ("2", [1]), ("1", [0])])
            self.assertEqual((len(mirror), mirror["2"], mirror.get("9")), (3, [1], None))
            self.assertTrue("1" in mirror and "9" not in mirror)
            self.assertRaises(KeyError, lambda mirror=mirror: mirror["9"])
            self.assertEqual(mirror.revision, 6 if history else None)
            self.assertTrue(mirror.current)
            self.assertIn("x", repr(mirror))
            await mirror.stop()
            await feed.delete_feed()

    async def test_feed_object(self) -> None:
        """``mirror`` accepts a feed object, and a feed of the service has the same method."""
        feed = await self.thoonk.feed("x")
        await feed.publish("1", "a")
        mirrors = [await self.thoonk.mirror(feed), await feed.mirror()]
        for mirror in mirrors:
            self.assertEqual(dict(mirror), {"a": "1"})

    async def test_empty(self) -> None:
        """An empty feed, or a missing one, has an empty mirror."""
        mirror = await self.thoonk.mirror("none")
        self.assertEqual((dict(mirror), mirror.current), ({}, True))
        watch = Watch(mirror)
        feed = await self.writer.sorted_feed("none")
        await feed.append("1")
        await feed.prepend("2")
        await watch.until([("2", "2"), ("1", "1")])

    async def test_large(self) -> None:
        """A mirror of a large feed is complete when it fires."""
        feed = await self.feed("feed", 0)
        await gatherResults([feed.publish(str(n), str(n)) for n in range(3500)])
        mirror = await self.thoonk.mirror("x")
        self.assertEqual(list(mirror.items()), await self.contents(feed))

    async def test_events(self) -> None:
        """A callback gets each event after the mirror has applied it."""
        feed = await self.feed("feed", 0)
        await feed.publish("1", "a")
        watch = await self.mirrored("x")
        await feed.publish("2", "b")
        await feed.publish("3", "a")
        await feed.retract("b")
        await watch.event("retract")
        self.assertEqual(
            briefs(watch.events), [("publish", "b", "2"), ("edit", "a", "3"), ("retract", "b")]
        )
        self.assertEqual(
            [state for _, state in watch.states],
            [[("a", "1"), ("b", "2")], [("b", "2"), ("a", "3")], [("a", "3")]],
        )

    async def test_revision(self) -> None:
        """A mirror's revision is that of the feed, whichever event arrived last."""
        feed = await self.feed("feed", 10)
        watch = await self.mirrored(feed)
        await feed.publish("1", "a")
        await feed.set_config({"max_length": 5})
        await watch.event("config")
        self.assertEqual(watch.mirror.revision, 1)
        await feed.publish("2", "b")
        await watch.event("publish")
        self.assertEqual(watch.mirror.revision, 2)

    async def test_removed_callback(self) -> None:
        """A callback that was removed is not called, even for the present event."""
        feed = await self.feed("feed", 10)
        mirror = await self.thoonk.mirror(feed)
        calls: list[Any] = []
        removes: list[Any] = []

        def first(event: Event) -> None:
            calls.append(("first", event.id))
            for remove in removes:
                remove()
                remove()

        mirror.on_change(first)
        removes.append(mirror.on_change(lambda event: calls.append(("second", event.id))))
        watch = Watch(mirror)
        await feed.publish("1", "a")
        await feed.publish("2", "b")
        await watch.until([("a", "1"), ("b", "2")])
        self.assertEqual(calls, [("first", "a"), ("first", "b")])

    async def test_failing_callback(self) -> None:
        """A callback that raises is logged, and the others are called."""
        feed = await self.feed("feed", 10)
        mirror = await self.thoonk.mirror(feed)

        def failing(event: Event) -> None:
            raise ZeroDivisionError

        mirror.on_change(failing)
        watch = Watch(mirror)
        await feed.publish("1", "a")
        await watch.until([("a", "1")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_undecodable(self) -> None:
        """An item that cannot be decoded is an InvalidItem in the mirror."""
        feed = await self.feed("feed", 0, serializer="json")
        await self.foreign_publish("x", "a", "{")
        watch = await self.mirrored("x")
        self.assertIsInstance(watch.mirror["a"], InvalidItem)
        await self.foreign_publish("x", "b", "{")
        await watch.event("publish")
        self.assertIsInstance(watch.mirror["b"], InvalidItem)
        await feed.publish(1, "a")
        await watch.event("edit")
        self.assertEqual(watch.mirror["a"], 1)

    async def test_no_order(self) -> None:
        """``mirror`` fails for queues, job feeds and bad names, and on a closed service."""
        before = await self.subscribed()
        await self.writer.queue("q")
        await self.writer.job("j")
        for name in ("q", "j", "", "a\0b"):
            await self.assertFailure(self.thoonk.mirror(name), FeedTypeMismatch, InvalidInput)
        await self.unsubscribed_to(before)
        await self.thoonk.close()
        await self.assertFailure(self.thoonk.mirror("x"), ConnectionLost)

    async def test_stop(self) -> None:
        """A stopped mirror keeps its items, and unsubscribes from all channels."""
        feed = await self.feed("feed", 10)
        await feed.publish("1", "a")
        before = await self.subscribed()
        watch = await self.mirrored("x")
        await watch.mirror.stop()
        await watch.mirror.stop()
        await feed.publish("2", "b")
        await self.unsubscribed_to(before)
        self.assertEqual((dict(watch.mirror), watch.events), ({"a": "1"}, []))
        self.assertFalse(watch.mirror.current)

    async def test_stop_from_within(self) -> None:
        """A callback may stop the mirror, which then changes no more."""
        feed = await self.feed("feed", 10)
        before = await self.subscribed()
        watch = await self.mirrored("x")
        watch.mirror.on_change(lambda _: watch.mirror.stop())
        for number in range(3):
            await feed.publish(str(number), str(number))
        await self.unsubscribed_to(before)
        self.assertEqual((dict(watch.mirror), len(watch.events)), ({"0": "0"}, 1))

    async def test_cancelled(self) -> None:
        """A mirror that is cancelled while it is made leaves no channel subscribed."""
        feed = await self.feed("feed", 10)
        await gatherResults([feed.publish(str(n), str(n)) for n in range(1500)])
        before = await self.subscribed()
        making = self.thoonk.mirror("x")
        making.cancel()
        await self.assertFailure(making, CancelledError)
        await self.unsubscribed_to(before)


class TruthTests(MirrorTestCase):
    """A mirror shows only states that the feed had, under random changes."""

    async def history_states(self, feed: Any, sorted_: bool) -> dict[int, Items]:
        """Read every state that the feed has had, by its revision."""
        states: dict[int, Items] = {0: []}
        model = Model(sorted_)
        for event in await feed.get_history():
            model.take(event)
            if not event.more:
                states[event.revision] = list(model.items)
        return states

    async def with_history(self, type_: str, kills: bool, **config: Any) -> None:
        random = Random(len(config) + 2 * kills)
        feed = await self.feed(type_, 100_000, **config)
        ids: list[str] = []
        for _ in range(50):
            await change(feed, random, ids)
        watch = await self.mirrored("x")
        for round_ in range(30):
            for _ in range(10):
                await change(feed, random, ids)
            if kills and round_ % 3 == 0:
                await self.kill("subscriber", *["publisher"] * (round_ % 2))
        await watch.until(await self.contents(feed))
        states = await self.history_states(feed, type_ == "sorted_feed")
        self.assertEqual(watch.mirror.revision, await feed.revision())
        for revision, state in watch.states:
            self.assertEqual(state, states.get(revision or 0), revision)
        seen = [event.revision or 0 for event in watch.events]
        self.assertEqual(seen, list(range(min(seen or [0]), max(seen or [0]) + 1)))

    async def test_feed(self) -> None:
        """A mirror of a feed with a history shows every state of its revisions."""
        await self.with_history("feed", kills=False)

    async def test_bounded_feed(self) -> None:
        """A mirror of a bounded feed never shows a state between a drop and its publish."""
        await self.with_history("feed", kills=False, max_length=10)

    async def test_sorted_feed(self) -> None:
        """A mirror of a sorted feed never shows a state between a publish and its position."""
        await self.with_history("sorted_feed", kills=False)

    async def test_killed(self) -> None:
        """A mirror of a bounded feed shows every state despite lost connections."""
        await self.with_history("feed", kills=True, max_length=10)

    async def test_killed_sorted_feed(self) -> None:
        """A mirror of a sorted feed shows every state despite lost connections."""
        await self.with_history("sorted_feed", kills=True)

    async def without_history(self, type_: str, kills: bool) -> None:
        random = Random(5)
        feed = await self.feed(type_, 0)
        ids: list[str] = []
        states: list[Items] = [[]]
        watch = await self.mirrored("x")
        for round_ in range(30):
            for _ in range(10):
                await change(feed, random, ids)
                contents = await self.contents(feed)
                if contents != states[-1]:
                    states.append(contents)
            if kills and round_ % 3 == 0:
                await self.kill("subscriber", *["publisher"] * (round_ % 2))
        await watch.until(states[-1])
        position = 0
        for _, state in watch.states:
            # The states appear in their original order.
            self.assertIn(state, states[position:])
            position = states.index(state, position)
        self.assertEqual("resync" in [event.kind for event in watch.events], kills)

    async def test_feed_without_history(self) -> None:
        """A mirror of a feed without a history shows states that the feed had, in order."""
        await self.without_history("feed", kills=False)

    async def test_sorted_feed_without_history(self) -> None:
        """A mirror of a sorted feed without a history shows states that the feed had, in order."""
        await self.without_history("sorted_feed", kills=False)

    async def test_killed_without_history(self) -> None:
        """A mirror without history keeps its items after a loss until it has read the feed."""
        await self.without_history("feed", kills=True)

    async def test_killed_sorted_feed_without_history(self) -> None:
        """A mirror of a sorted feed without a history recovers from lost connections."""
        await self.without_history("sorted_feed", kills=True)

    async def test_several_writers(self) -> None:
        """A mirror follows several concurrent writers, with and without a history or a bound."""
        for history in (0, 100_000):
            for config in ({}, {"max_length": 7}):
                name = f"m{history}{len(config)}"
                await self.writer.feed(name, {"history": history, **config})
                watch = await self.mirrored(name)
                writers = [await (await self.pub()).feed(name) for _ in range(4)]
                ids: list[str] = []
                await gatherResults([
                    Deferred.fromCoroutine(self.write(feed, Random(n), ids))
                    for n, feed in enumerate(writers)
                ])  # fmt: skip
                await watch.until(await self.contents(writers[0]))

    async def write(self, feed: Any, random: Random, ids: list[str]) -> None:
        for _ in range(100):
            await change(feed, random, ids)
