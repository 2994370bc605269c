"""A subscription delivers a resync, with its reason, where a feed's history has a gap."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.support.subscriptions import Gate, Heard, SubscriptionTestCase, brief, briefs, take
from txthoonk.events import Event
from txthoonk.service import Thoonk
from txthoonk.subscriptions import Subscription

KEYS = ("revision", "history", "items", "ids", "publishes")


class ResyncTestCase(SubscriptionTestCase):
    thoonk_: Thoonk
    gate: Gate
    subscription: Subscription

    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.writer.feed("x", {"history": 1000})

    async def subscribe(self, **options: Any) -> None:
        """Subscribe through a gate and take three events."""
        self.thoonk_, self.gate = await self.gated()
        self.subscription = await self.thoonk_.subscribe("x", **options)
        await self.publish("1", "2", "3")
        await take(self.subscription, 3)

    async def publish(self, *items: str) -> None:
        for item in items:
            await self.feed.publish(item, "a")

    async def assertResync(self, reason: str) -> Event:
        """Check for a resync next, and that live events and ``since`` continue from it."""
        resync = await self.subscription.next()
        self.assertEqual((resync.kind, resync.feed, resync.id), ("resync", "x", None))
        self.assertIn(reason, resync.reason or "")
        top = await self.feed.revision()
        self.assertEqual(resync.revision, top)
        await self.publish("later", "still later")
        events = await take(self.subscription, 2)
        self.assertEqual([event.item for event in events], ["later", "still later"])
        self.assertEqual([event.revision for event in events], [top + 1, top + 2])
        self.assertEqual({event.epoch for event in events}, {resync.epoch})
        again = await self.thoonk.subscribe("x", since=resync.cursor)
        self.assertEqual(await take(again, 2), events)
        self.assertEqual(await self.told(self.subscription), [])
        return resync

    async def live(self, heard: Heard) -> list[Event]:
        """Publish until the handler gets the item; return all events except those of the
        configuration.

        A resync may cover items that are published while the history is read.
        """
        known = len(heard.calls)
        while "live" not in [event.item for event in heard.events[known:]]:
            await self.publish("live")
            # The marker follows that item on the same connection.
            other = await self.thoonk.subscribe("y")
            await self.told(other, "y")
            await other.stop()
        return [event for event in heard.events if event.kind != "config"]


class AwayTests(ResyncTestCase):
    """A subscriber that reconnects recovers, or gets a resync with its reason."""

    async def test_nothing_happened(self) -> None:
        """A subscriber that reconnects gets no extra event if nothing changed."""
        await self.subscribe()
        self.gate.shut("all")
        self.gate.open()
        await self.thoonk_.whenConnected()
        await self.publish("4")
        self.assertEqual(briefs(await take(self.subscription, 1)), [("edit", "a", "4")])

    async def test_trimmed(self) -> None:
        """A subscriber gets a resync if it missed more events than the history keeps."""
        await self.subscribe()
        self.gate.shut()
        await self.publish("4", "5", "6")
        await self.raw.send("XTRIM", "feed.history:x", "MAXLEN", 2)
        self.gate.open()
        await self.assertResync("not go back that far")

    async def test_trimmed_by_writing(self) -> None:
        """A snapshot follows the resync if the feed's own bound has trimmed the missed events."""
        await self.subscribe(snapshot=True)
        # The first of the three events is the empty snapshot.
        self.assertEqual(brief(await self.subscription.next()), ("edit", "a", "3"))
        self.gate.shut()
        await self.feed.set_config({"history": 10})
        await gatherResults([self.feed.publish(str(n), str(n)) for n in range(1000)])
        self.gate.open()
        resync, snapshot = await take(self.subscription, 2)
        self.assertEqual((resync.kind, snapshot.kind, snapshot.more), ("resync", "snapshot", True))
        (rest,) = await take(self.subscription, 1)
        state = await self.contents(self.feed)
        self.assertEqual((snapshot.item + rest.item, rest.more), (state, False))
        self.assertEqual(snapshot.revision, 1003)

    async def test_recreated(self) -> None:
        """A subscriber gets a resync if the feed was created again, even at a higher revision."""
        await self.subscribe()
        self.gate.shut()
        await self.feed.delete_feed()
        await self.writer.feed("x", {"history": 1000})
        await self.publish("1", "2", "3", "4", "5")
        self.gate.open()
        await self.assertResync("again")

    async def test_deleted(self) -> None:
        """A subscriber that missed the deletion of its feed gets a resync or a delete event."""
        await self.subscribe()
        self.gate.shut()
        await self.feed.delete_feed()
        self.gate.open()
        await self.numsub("feed.event:x", 1)
        event = await self.subscription.next()
        self.assertIn(event.kind, ("resync", "delete"))

    async def test_foreign_publish(self) -> None:
        """A subscriber gets a resync if a writer that keeps no history published an item."""
        await self.subscribe()
        self.gate.shut()
        await self.foreign_publish("x", "f", "foreign")
        self.gate.open()
        await self.assertResync("keeps no history changed")

    async def test_foreign_edit(self) -> None:
        """A subscriber gets a resync if a writer that keeps no history edited an item."""
        await self.subscribe()
        self.gate.shut()
        await self.foreign_publish("x", "a", "foreign")
        await self.publish("4")
        self.gate.open()
        await self.assertResync("keeps no history changed")

    async def test_foreign_retract(self) -> None:
        """A subscriber gets a resync if a writer that keeps no history retracted an item."""
        await self.subscribe()
        self.gate.shut()
        await self.foreign_retract("x", "a")
        self.gate.open()
        await self.assertResync("keeps no history changed")

    async def test_switched_off_and_on(self) -> None:
        """A subscriber gets a resync if the history was switched off and on again."""
        await self.subscribe()
        self.gate.shut()
        await self.feed.set_config({"history": 0})
        await self.publish("unseen")
        await self.feed.set_config({"history": 1000})
        await self.publish("4", "5", "6", "7")
        self.gate.open()
        await self.assertResync("again")

    async def test_switched_off(self) -> None:
        """A subscriber gets a resync without a cursor if the history was switched off."""
        await self.subscribe()
        self.gate.shut()
        await self.feed.set_config({"history": 0})
        await self.publish("unseen")
        self.gate.open()
        resync = await self.subscription.next()
        self.assertEqual((resync.kind, resync.cursor), ("resync", None))
        self.assertIn("no history", resync.reason or "")
        await self.publish("4")
        self.assertEqual(briefs(await self.told(self.subscription)), [("edit", "a", "4")])


class LostDataTests(ResyncTestCase):
    """A subscriber recovers from a server that returns with older data."""

    async def kept(self) -> dict[str, Any]:
        names = [f"feed.{key}:x" for key in KEYS]
        return {name: await self.raw.send("DUMP", name) for name in names}

    async def restore(self, kept: dict[str, Any]) -> None:
        """Restore an older state, as on a server that lost the later writes."""
        for name, value in kept.items():
            await self.raw.send("RESTORE", name, 0, value, "REPLACE")
        await self.raw.hset("feed.revision:x", "\0server", "another server")

    async def test_lost(self) -> None:
        """A subscriber gets a resync if the server has lost events that it received."""
        await self.subscribe()
        kept = await self.kept()
        await self.publish("4", "5")
        await take(self.subscription, 2)
        self.gate.shut()
        await self.restore(kept)
        self.gate.open()
        await self.assertResync("lost")

    async def test_lost_and_written_again(self) -> None:
        """A subscriber gets a resync if lost revisions were assigned to other events."""
        await self.subscribe()
        kept = await self.kept()
        await self.publish("4", "5")
        await take(self.subscription, 2)
        self.gate.shut()
        await self.restore(kept)
        await self.publish("other 4", "other 5", "other 6")
        self.gate.open()
        await self.assertResync("lost")

    async def test_nothing_lost(self) -> None:
        """A subscriber continues without a gap on another server that has all delivered events."""
        await self.subscribe()
        kept = await self.kept()
        self.gate.shut()
        await self.restore(kept)
        await self.publish("4", "5")
        self.gate.open()
        events = await take(self.subscription, 2)
        self.assertEqual(briefs(events), [("edit", "a", "4"), ("edit", "a", "5")])
        self.assertEqual([event.revision for event in events], [4, 5])

    async def test_lost_unheard(self) -> None:
        """A subscriber gets no resync if the server lost only events it had not received."""
        await self.subscribe()
        kept = await self.kept()
        self.gate.shut()
        await self.publish("4", "5")
        await self.restore(kept)
        await self.publish("other 4")
        self.gate.open()
        (event,) = await take(self.subscription, 1)
        self.assertEqual((brief(event), event.revision), (("edit", "a", "other 4"), 4))

    async def test_since(self) -> None:
        """A cursor of a lost event gives a resync; a cursor from before the loss stays valid."""
        await self.publish("1", "2", "3")
        kept = await self.kept()
        await self.publish("4")
        *_, three, four = await self.feed.get_history()
        await self.restore(kept)
        await self.publish("other 4")
        lost = await self.thoonk.subscribe("x", since=four.cursor)
        (resync,) = await self.told(lost)
        self.assertEqual(resync.kind, "resync")
        self.assertIn("lost", resync.reason or "")
        good = await self.thoonk.subscribe("x", since=three.cursor)
        self.assertEqual(briefs(await self.told(good)), [("edit", "a", "other 4")])

    async def test_twice(self) -> None:
        """A subscriber detects each of several losses."""
        await self.subscribe()
        for _ in range(3):
            kept = await self.kept()
            await self.publish("more")
            await take(self.subscription, 1)
            self.gate.shut()
            await self.restore(kept)
            await self.publish("other", "one more")
            self.gate.open()
            await self.assertResync("lost")

    async def test_all_lost(self) -> None:
        """A subscriber gets a resync if the database was flushed and the feed recreated."""
        await self.subscribe()
        self.gate.shut()
        await self.raw.flushdb()
        self.feed = await self.writer.feed("x", {"history": 1000})
        await self.publish("1", "2", "3", "4")
        self.gate.open()
        await self.assertResync("again")


class LiveTests(ResyncTestCase):
    """A subscriber that is connected detects the same changes."""

    async def test_foreign_publish(self) -> None:
        """A live subscriber gets a resync when a writer without history publishes an item."""
        await self.subscribe()
        await self.foreign_publish("x", "f", "foreign")
        await self.assertResync("keeps no history changed")

    async def test_foreign_retract(self) -> None:
        """A live subscriber gets a resync when a writer without history retracts an item."""
        await self.subscribe()
        await self.foreign_retract("x", "a")
        await self.assertResync("keeps no history changed")

    async def test_foreign_move(self) -> None:
        """A live subscriber gets a resync when a writer without history moves an item.

        No counter shows the move.
        """
        feed = await self.writer.sorted_feed("s", {"history": 100})
        for item in "abc":
            await feed.append(item)
        subscription = await self.thoonk.subscribe("s")
        await self.raw.send("LREM", "feed.ids:s", 1, "1")
        await self.raw.send("RPUSH", "feed.ids:s", "1")
        await self.raw.publish("feed.position:s", "1\0:end")
        resync = await subscription.next()
        self.assertEqual(resync.kind, "resync")
        self.assertIn("keeps no history changed", resync.reason or "")
        await feed.move_first("3")
        self.assertEqual(briefs(await take(subscription, 1)), [("position", "3", "begin:")])

    async def test_foreign_among_others(self) -> None:
        """The events after the last resync are complete, even among many changes."""
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        for number in range(20):
            for item in range(10):
                self.feed.publish(str(item), str(item))
            await self.foreign_publish("x", f"f{number}", "foreign")
        events = await self.live(heard)
        last = max(n for n, event in enumerate(events) if event.kind == "resync")
        self.assertEqual(events[last + 1 :], await self.feed.get_history(events[last].cursor))

    async def test_recreated(self) -> None:
        """A live subscriber gets the delete, create and later events of a recreated feed."""
        await self.subscribe()
        await self.feed.delete_feed()
        await self.writer.feed("x", {"history": 1000})
        await self.publish("1", "2")
        events = await take(self.subscription, 4)
        self.assertEqual(
            briefs(events), [("delete",), ("create",), ("publish", "a", "1"), ("edit", "a", "2")]
        )
        self.assertEqual([event.revision for event in events], [None, None, 1, 2])

    async def test_recreated_at_once(self) -> None:
        """The events after the last create are complete when a feed is often recreated at once."""
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        for round_ in range(20):
            calls: list[Any] = [self.feed.delete_feed()]
            calls.append(self.writer.feed("x", {"history": 1000}))
            calls += [self.feed.publish(str(n), f"{round_}.{n}") for n in range(5)]
            await gatherResults(calls)
        events = await self.live(heard)
        last = max(n for n, event in enumerate(events) if event.kind in ("create", "resync"))
        history = await self.feed.get_history()
        behind = events[last + 1 :]
        self.assertEqual(behind, history[len(history) - len(behind) :])
        if events[last].kind == "create":
            self.assertEqual(behind, history)

    async def test_switched_on(self) -> None:
        """Switching a history on leaves no gap for a live subscriber."""
        feed = await self.writer.feed("y")
        subscription = await self.thoonk.subscribe("y")
        await feed.publish("1", "a")
        await feed.set_config({"history": 100})
        await feed.publish("2", "a")
        await feed.publish("3", "a")
        events = await take(subscription, 4)
        self.assertEqual(
            briefs(events),
            [("publish", "a", "1"), ("config",), ("edit", "a", "2"), ("edit", "a", "3")],
        )
        top = await feed.revision()
        self.assertEqual([event.revision for event in events], [None, None, top - 1, top])
        await self.kill("subscriber")
        await feed.publish("4", "a")
        (event,) = await take(subscription, 1)
        self.assertEqual((event.item, event.revision), ("4", top + 1))

    async def test_switched_off(self) -> None:
        """Switching a history off leaves no gap for a live subscriber."""
        await self.subscribe()
        await self.feed.set_config({"history": 0})
        await self.publish("4", "5")
        events = await take(self.subscription, 3)
        self.assertEqual(briefs(events), [("config",), ("edit", "a", "4"), ("edit", "a", "5")])
        self.assertEqual([event.revision for event in events], [None] * 3)
        await self.feed.set_config({"history": 1000})
        await self.publish("6")
        events = await take(self.subscription, 2)
        self.assertEqual(briefs(events), [("config",), ("edit", "a", "6")])
        self.assertIsNotNone(events[1].revision)

    async def test_switched_at_once(self) -> None:
        """Each event arrives once, or a resync covers it, while the history is switched."""
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        calls: list[Any] = []
        for number in range(40):
            calls.append(self.feed.set_config({"history": 1000 if number % 2 else 0}))
            calls += [self.feed.publish(f"{number}.{n}", "a") for n in range(3)]
        await gatherResults(calls)
        events = await self.live(heard)
        sent = [f"{number}.{n}" for number in range(40) for n in range(3)] + ["live"] * 100
        position, may_miss = 0, False
        for event in events:
            if event.kind == "resync":
                may_miss = True
            else:
                found = sent.index(event.item, position)
                self.assertTrue(found == position or may_miss, (event, sent[position]))
                position, may_miss = found + 1, False

    async def test_foreign_without_history(self) -> None:
        """A feed without a history delivers the events of all writers alike."""
        feed = await self.writer.feed("y")
        subscription = await self.thoonk.subscribe("y")
        await feed.publish("1", "a")
        await self.foreign_publish("y", "b", "2")
        await self.foreign_retract("y", "a")
        await feed.publish("3", "b")
        self.assertEqual(
            briefs(await take(subscription, 4)),
            [("publish", "a", "1"), ("publish", "b", "2"), ("retract", "a"), ("edit", "b", "3")],
        )
