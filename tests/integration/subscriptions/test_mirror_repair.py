"""A mirror recovers from outages, deletions, recreations and foreign changes."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.mirror import MirrorTestCase, Watch
from tests.support.subscriptions import brief, change


class RepairTests(MirrorTestCase):
    async def test_stale_until_read(self) -> None:
        """A mirror keeps its old state and is not current until it has read missed changes."""
        thoonk, gate = await self.gated()
        feed = await self.feed("feed", 0)
        await feed.publish("1", "a")
        watch = Watch(await thoonk.mirror("x"))
        gate.shut("all")
        await feed.publish("2", "b")
        self.assertEqual(dict(watch.mirror), {"a": "1"})
        gate.open()
        await watch.event("resync")
        self.assertEqual((dict(watch.mirror), watch.mirror.current), ({"a": "1"}, False))
        await watch.event("snapshot")
        self.assertEqual((dict(watch.mirror), watch.mirror.current), ({"a": "1", "b": "2"}, True))
        self.assertEqual([(e.kind, e.item) for e in watch.events],
                         [("resync", None), ("snapshot", None)])  # fmt: skip

    async def test_current_while_away(self) -> None:
        """A mirror is not current without a connection, even if nothing may be missing."""
        for history in (0, 100):
            thoonk, gate = await self.gated()
            feed = await self.feed("feed", history)
            await feed.publish("1", "a")
            watch = Watch(await thoonk.mirror("x"))
            self.assertTrue(watch.mirror.current)
            lost: Deferred[None] = Deferred()
            thoonk._state_observers.append(
                lambda state, _, lost=lost: (  # type: ignore[misc]
                    lost.callback(None) if state == "disconnected" else None
                )
            )
            gate.shut("subscriber")
            await lost
            self.assertFalse(watch.mirror.current)
            gate.open()
            await thoonk.whenConnected()
            await feed.publish("2", "b")
            await watch.until([("a", "1"), ("b", "2")])
            await thoonk.close()
            await feed.delete_feed()

    async def test_deleted(self) -> None:
        """A mirror of a deleted feed is empty."""
        for history in (0, 100):
            feed = await self.feed("feed", history)
            await feed.publish("1", "a")
            watch = await self.mirrored("x")
            await feed.delete_feed()
            await watch.event("delete")
            self.assertEqual((dict(watch.mirror), watch.states[-1][1]), ({}, []))
            await watch.mirror.stop()

    async def test_recreated(self) -> None:
        """A mirror follows a feed that is recreated repeatedly, also as another type."""
        for history in (0, 100):
            feed = await self.feed("feed", history)
            await feed.publish("1", "b")
            watch = await self.mirrored("x")
            for _ in range(3):
                await feed.delete_feed()
                feed = await self.feed("sorted_feed", history)
                await feed.append("1")
                await feed.prepend("2")
                await watch.until([("2", "2"), ("1", "1")])
                await feed.delete_feed()
                feed = await self.feed("feed", history)
                await feed.publish("1", "b")
                await feed.publish("2", "a")
                await feed.publish("3", "b")
                await watch.until([("a", "2"), ("b", "3")])
                await feed.retract("b")
                await watch.until([("a", "2")])
            await watch.mirror.stop()
            await feed.delete_feed()

    async def test_recreated_at_once(self) -> None:
        """A mirror follows a feed that is deleted and created again without a pause."""
        for history in (0, 100):
            feed = await self.feed("feed", history)
            watch = await self.mirrored("x")
            for round_ in range(10):
                calls: list[Any] = [feed.delete_feed(), self.feed("feed", history)]
                calls = [calls[0], Deferred.fromCoroutine(calls[1])]
                calls += [feed.publish(f"{round_}", str(n)) for n in range(5)]
                await gatherResults(calls)
            await watch.until([(str(n), "9") for n in range(5)])
            await watch.mirror.stop()
            await feed.delete_feed()

    async def test_recreated_while_away(self) -> None:
        """A mirror follows a feed that was recreated during an outage, also as another type."""
        thoonk, gate = await self.gated()
        for history in (0, 100):
            feed = await self.feed("feed", history)
            await feed.publish("1", "b")
            watch = Watch(await thoonk.mirror("x"))
            gate.shut()
            await feed.delete_feed()
            feed = await self.feed("sorted_feed", history)
            for number in range(3):
                await feed.prepend(str(number))
            gate.open()
            await watch.until([("3", "2"), ("2", "1"), ("1", "0")])
            await feed.move_first("1")
            await feed.publish_before("2", "3")
            await watch.until([("1", "0"), ("3", "2"), ("4", "3"), ("2", "1")])
            await watch.mirror.stop()
            await feed.delete_feed()

    async def test_deleted_while_away(self) -> None:
        """A mirror is empty after an outage in which its feed was deleted."""
        thoonk, gate = await self.gated()
        for history in (0, 100):
            feed = await self.feed("feed", history)
            await feed.publish("1", "b")
            watch = Watch(await thoonk.mirror("x"))
            gate.shut()
            await feed.delete_feed()
            gate.open()
            await watch.until([])
            await watch.mirror.stop()

    async def test_foreign_writer(self) -> None:
        """A mirror follows a writer that keeps no history, on feeds with a history and without."""
        for history in (0, 100):
            feed = await self.feed("feed", history)
            await feed.publish("1", "a")
            watch = await self.mirrored("x")
            await self.foreign_publish("x", "b", "2")
            await watch.until([("a", "1"), ("b", "2")])
            await feed.publish("3", "c")
            await self.foreign_retract("x", "a")
            await watch.until([("b", "2"), ("c", "3")])
            await watch.mirror.stop()
            await feed.delete_feed()

    async def test_history_switched(self) -> None:
        """A mirror stays correct when the history is switched on and off at any moment."""
        random, feed = Random(2), await self.feed("feed", 0)
        watch = await self.mirrored("x")
        ids: list[str] = []
        for number in range(60):
            calls: list[Any] = [feed.set_config({"history": 0 if number % 2 else 100})]
            for _ in range(random.randrange(5)):
                calls.append(Deferred.fromCoroutine(change(feed, random, ids)))
            if number % 5:
                await gatherResults(calls)
        await feed.publish("last", "last")
        await watch.until(await self.contents(feed))

    async def test_slow_reader_of_events(self) -> None:
        """A mirror handles thousands of changes at once."""
        for history in (0, 100_000):
            feed = await self.feed("feed", history)
            watch = await self.mirrored("x")
            await gatherResults([feed.publish(str(n), str(n % 50)) for n in range(5000)])
            await watch.until(await self.contents(feed))
            self.assertEqual(brief(watch.events[-1])[1:], ("49", "4999"))
            await watch.mirror.stop()
            await feed.delete_feed()
