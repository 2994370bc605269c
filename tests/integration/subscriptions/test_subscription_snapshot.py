"""With ``snapshot=True``, the state arrives in slices, followed by exactly the later changes."""

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
    replayed,
    take,
)
from txthoonk.errors import FeedTypeMismatch
from txthoonk.events import Event
from txthoonk.subscriptions import Subscription


async def state(subscription: Subscription) -> list[Event]:
    """Take the slices of a snapshot."""
    slices = [await subscription.next()]
    while slices[-1].kind == "snapshot" and slices[-1].more:
        slices.append(await subscription.next())
    return slices


class SnapshotTests(SubscriptionTestCase):
    async def make(self, type_: str, name: str, history: int, count: int) -> Any:
        feed = await getattr(self.writer, type_)(name, {"history": history})
        if type_ == "feed":
            await gatherResults([feed.publish(f"i{n}", str(n)) for n in range(count)])
        else:
            await gatherResults([feed.append(f"i{n}") for n in range(count)])
        return feed

    async def each(self, count: int) -> Any:
        """Create a feed of each type, with and without a history."""
        for type_ in ("feed", "sorted_feed"):
            for history in (0, 10_000):
                yield await self.make(type_, f"{type_}{history}", history, count), history

    async def test_empty(self) -> None:
        """An empty feed, or a missing one, gives one empty slice."""
        async for feed, history in self.each(0):
            subscription = await self.thoonk.subscribe(feed, snapshot=True)
            (event,) = await self.told(subscription, feed.name)
            self.assertEqual((event.kind, event.feed), ("snapshot", feed.name))
            self.assertEqual((event.id, event.item, event.more), (None, [], False))
            self.assertEqual(event.revision, 0 if history else None)
        subscription = await self.thoonk.subscribe("none", snapshot=True)
        self.assertEqual(briefs(await self.told(subscription, "none")), [("snapshot", [])])

    async def test_small(self) -> None:
        """A small feed gives one slice in the feed's order; changes follow."""
        async for feed, history in self.each(7):
            subscription = await self.thoonk.subscribe(feed, snapshot=True)
            (event,) = await self.told(subscription, feed.name)
            self.assertEqual(event.item, await self.contents(feed))
            self.assertEqual((event.id, event.more), (None, False))
            self.assertEqual(event.revision, await feed.revision() if history else None)
            await feed.retract(event.item[3][0])
            self.assertEqual(
                briefs(await self.told(subscription, feed.name)), [("retract", event.item[3][0])]
            )

    async def test_order(self) -> None:
        """A snapshot has the order of the feed, not of the ids."""
        feed = await self.writer.feed("x")
        for id_ in ("9", "1", "5", "9"):
            await feed.publish(id_, id_)
        sorted_ = await self.writer.sorted_feed("y", {"history": 10})
        for _ in range(3):
            await sorted_.prepend("i")
        await sorted_.move_first("1")
        for one, order in ((feed, ["1", "5", "9"]), (sorted_, ["1", "3", "2"])):
            event = await (await self.thoonk.subscribe(one, snapshot=True)).next()
            self.assertEqual([id_ for id_, _ in event.item], order)

    async def test_slices(self) -> None:
        """A snapshot of 3,500 items has 4 slices of one revision; all but the last have *more*."""
        async for feed, history in self.each(3500):
            subscription = await self.thoonk.subscribe(feed, snapshot=True)
            slices = await take(subscription, 4)
            self.assertEqual([len(one.item) for one in slices], [1000, 1000, 1000, 500])
            self.assertEqual([one.more for one in slices], [True, True, True, False])
            together = [pair for one in slices for pair in one.item]
            self.assertEqual(together, await self.contents(feed))
            (revision,) = {one.revision for one in slices}
            self.assertEqual(revision, await feed.revision() if history else None)
            self.assertEqual(await self.told(subscription, feed.name), [])

    async def test_even_slices(self) -> None:
        """A snapshot of 2,000 items ends with a full slice that has no *more*."""
        feed = await self.make("feed", "x", 0, 2000)
        slices = await state(await self.thoonk.subscribe(feed, snapshot=True))
        self.assertEqual([(len(one.item), one.more) for one in slices], [(1000, 1), (1000, 0)])

    async def test_changed_meanwhile(self) -> None:
        """The snapshot and the changes make up the feed, whatever changes during the read."""
        async for feed, history in self.each(3500):
            random = Random(len(feed.name))
            ids = list(await feed.get_ids())
            for _ in range(5):
                await self.change_while_subscribing(feed, random, ids, history)

    async def change_while_subscribing(
        self, feed: Any, random: Random, ids: list[str], history: int
    ) -> None:
        heard, changed = Heard(), Deferred.fromCoroutine(self.changes(feed, random, ids))
        subscribing = self.thoonk.subscribe(feed, heard, snapshot=True)
        await changed
        subscription = await subscribing
        marker = await self.thoonk.subscribe(feed)
        await self.told(marker, feed.name)
        await marker.stop()
        events = [event for event in heard.events if event.kind != "config"]
        kinds = [event.kind for event in events]
        count = kinds.count("snapshot")
        self.assertEqual(kinds[:count], ["snapshot"] * count)
        self.assertNotIn("resync", kinds)
        model = replayed(events, hasattr(feed, "append"))
        self.assertEqual(model.items, await self.contents(feed))
        if history:
            start = events[0].revision or 0
            revisions = [event.revision for event in events[count:]]
            self.assertEqual(revisions, list(range(start + 1, start + 1 + len(revisions))))
            self.assertEqual(start + len(revisions), await feed.revision())
        await subscription.stop()

    async def changes(self, feed: Any, random: Random, ids: list[str]) -> None:
        for _ in range(100):
            await change(feed, random, ids)
            # Include items that are not in the first slice.
            id_ = random.choice(ids)
            if hasattr(feed, "append"):
                await feed.move_first(id_)
                await feed.edit(id_, "edited")
            else:
                await feed.publish("edited", id_)

    async def test_late_messages(self) -> None:
        """Messages that arrive long after their changes were read have no effect."""
        thoonk, gate = await self.gated()
        async for feed, _ in self.each(2500):
            random, ids = Random(3), list(await feed.get_ids())
            first = await thoonk.subscribe(feed)
            gate.holding = True
            await self.changes(feed, random, ids)
            heard = Heard()
            subscribing = thoonk.subscribe(feed, heard, snapshot=True)
            await self.changes(feed, random, ids)
            await thoonk.redis.send("PING")
            await self.changes(feed, random, ids)
            gate.release()
            await subscribing
            await self.told(first, feed.name)
            events = heard.events
            self.assertEqual(events[0].kind, "snapshot")
            model = replayed(events, hasattr(feed, "append"))
            self.assertEqual(model.items, await self.contents(feed))
            await first.stop()

    async def test_bounded(self) -> None:
        """The snapshot and the changes make up a full bounded feed that changes meanwhile."""
        for history in (0, 10_000):
            feed = await self.make("feed", f"x{history}", history, 2500)
            await feed.set_config({"max_length": 2500})
            heard = Heard()
            subscribing = self.thoonk.subscribe(feed, heard, snapshot=True)
            await gatherResults([feed.publish("new", f"new{n}") for n in range(700)])
            await subscribing
            await self.told(await self.thoonk.subscribe(feed), feed.name)
            self.assertEqual(replayed(heard.events, False).items, await self.contents(feed))

    async def test_killed_meanwhile(self) -> None:
        """A snapshot is read again if a connection is lost during the read."""
        async for feed, _ in self.each(3500):
            random, ids = Random(1), list(await feed.get_ids())
            heard = Heard()
            subscribing = self.thoonk.subscribe(feed, heard, snapshot=True)
            for whom in (["subscriber"], ["publisher"], ["subscriber", "publisher"]):
                await self.kill(*whom)
                for _ in range(10):
                    await change(feed, random, ids)
            await subscribing
            last = await feed.append("last") if hasattr(feed, "append") else "last"
            if last == "last":
                await feed.publish("last", "last")
            model = await self.until_replayed(heard, feed)
            self.assertIn((last, "last"), model.items)

    async def test_deleted_meanwhile(self) -> None:
        """A snapshot is correct in the end if its feed is recreated during the read."""
        async for feed, history in self.each(2500):
            heard = Heard()
            subscribing = self.thoonk.subscribe(feed.name, heard, snapshot=True)
            await feed.delete_feed()
            type_ = "sorted_feed" if hasattr(feed, "append") else "feed"
            feed = await self.make(type_, feed.name, history, 3)
            await subscribing
            await self.until_replayed(heard, feed)

    async def test_no_state(self) -> None:
        """A snapshot of a queue or a job feed is refused, and leaves no channel subscribed."""
        before = await self.subscribed()
        for type_ in ("queue", "job", "pyqueue"):
            for history in (0, 10):
                await getattr(self.writer, type_)(f"{type_}{history}", {"history": history})
                subscribing = self.thoonk.subscribe(f"{type_}{history}", snapshot=True)
                error = await self.assertFailure(subscribing, FeedTypeMismatch)
                self.assertIn(type_, str(error))
                await self.unsubscribed_to(before)

    async def test_again_after_a_resync(self) -> None:
        """A new snapshot follows each resync."""
        async for feed, history in self.each(1200):
            subscription = await self.thoonk.subscribe(feed, snapshot=True)
            await state(subscription)
            if history:
                await self.raw.send("HINCRBY", f"feed.revision:{feed.name}", "\0publishes", 1)
                await self.kill("subscriber")
            else:
                await self.kill("subscriber")
            resync = await subscription.next()
            self.assertEqual(resync.kind, "resync")
            slices = await state(subscription)
            self.assertEqual([one.kind for one in slices], ["snapshot", "snapshot"])
            together = [pair for one in slices for pair in one.item]
            self.assertEqual(together, await self.contents(feed))
            await feed.retract(together[0][0])
            self.assertEqual(brief(await subscription.next()), ("retract", together[0][0]))

    async def test_after_a_loss_with_history(self) -> None:
        """No second snapshot arrives if a lost connection caused no gap."""
        feed = await self.make("feed", "x", 100, 3)
        subscription = await self.thoonk.subscribe(feed, snapshot=True)
        await state(subscription)
        await self.kill("subscriber")
        await feed.publish("new", "a")
        self.assertEqual(brief(await subscription.next()), ("publish", "a", "new"))

    async def test_foreign_live(self) -> None:
        """A change by a writer without history gives a resync and a snapshot that includes it."""
        feed = await self.make("feed", "x", 100, 3)
        subscription = await self.thoonk.subscribe(feed, snapshot=True)
        await state(subscription)
        await self.foreign_publish("x", "f", "foreign")
        resync, snapshot = await take(subscription, 2)
        self.assertEqual((resync.kind, snapshot.kind), ("resync", "snapshot"))
        self.assertEqual(snapshot.item, await self.contents(feed))
        self.assertIn(("f", "foreign"), snapshot.item)
        await feed.publish("new", "a")
        self.assertEqual(briefs(await self.told(subscription)), [("publish", "a", "new")])
