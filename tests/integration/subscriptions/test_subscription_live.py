"""A subscription delivers the events of every feed type, with decoded items."""

from __future__ import annotations

from typing import Any

from tests.support.subscriptions import (
    SubscriptionTestCase,
    brief,
    briefs,
    take,
)
from txthoonk.errors import InvalidItem
from txthoonk.events import Event


class KindsTests(SubscriptionTestCase):
    """Each feed type delivers its events with a history and without one."""

    async def subscribed_to(self, type_: str, **config: Any) -> tuple[Any, Any]:
        feed = await getattr(self.writer, type_)("x", config)
        return feed, await self.thoonk.subscribe("x")

    def assertEvents(self, events: list[Event], history: int, expected: list[Any]) -> None:
        """Check the events, and their revisions if the feed has a history."""
        self.assertEqual(briefs(events), expected)
        revisions = [event.revision for event in events]
        if not history:
            self.assertEqual([e.cursor for e in events], revisions)
            self.assertFalse([revision for revision in revisions if revision is not None])
        else:
            self.assertEqual(revisions, list(range(1, len(events) + 1)))
            (epoch,) = {event.epoch for event in events}
            self.assertTrue(epoch)
            self.assertEqual(len({event.cursor for event in events}), len(events))

    async def feed(self, history: int) -> None:
        feed, subscription = await self.subscribed_to("feed", max_length=2, history=history)
        await feed.publish("1", "a")
        await feed.publish("2\0\0", "a")
        await feed.publish("", "b")
        await feed.publish("ä\udcff", "c")
        await feed.retract("none")
        await feed.retract("b")
        expected = [
            ("publish", "a", "1"), ("edit", "a", "2\0\0"), ("publish", "b", ""),
            ("retract", "a"), ("publish", "c", "ä\udcff"), ("retract", "b"),
        ]  # fmt: skip
        self.assertEvents(await self.told(subscription), history, expected)

    async def test_feed(self) -> None:
        """A feed delivers publish, edit and retract events, and retracts items that it drops."""
        await self.feed(0)

    async def test_feed_with_history(self) -> None:
        """A feed with a history delivers the same events, each with the next revision."""
        await self.feed(100)

    async def sorted_feed(self, history: int) -> None:
        feed, subscription = await self.subscribed_to("sorted_feed", history=history)
        await feed.append("one")
        await feed.prepend("two")
        await feed.publish_before("1", "three")
        await feed.publish_after("1", "four")
        await feed.edit("1", "uno")
        await feed.move_first("1")
        await feed.move_last("1")
        await feed.move_before("2", "1")
        await feed.move_after("2", "1")
        await feed.retract("3")
        expected = [
            ("publish", "1", "one"), ("position", "1", ":end"),
            ("publish", "2", "two"), ("position", "2", "begin:"),
            ("publish", "3", "three"), ("position", "3", ":1"),
            ("publish", "4", "four"), ("position", "4", "1:"),
            ("edit", "1", "uno"),
            ("position", "1", "begin:"), ("position", "1", ":end"), ("position", "1", ":2"),
            ("position", "1", "2:"), ("retract", "3"),
        ]  # fmt: skip
        self.assertEvents(await self.told(subscription), history, expected)

    async def test_sorted_feed(self) -> None:
        """A sorted feed delivers a position after each new item, and an edit as an edit event."""
        await self.sorted_feed(0)

    async def test_sorted_feed_with_history(self) -> None:
        """A sorted feed with a history delivers the same events."""
        await self.sorted_feed(100)

    async def test_queue(self) -> None:
        """A queue delivers put events only if it has a history."""
        for history in (0, 100):
            queue = await self.writer.queue(f"x{history}", {"history": history})
            subscription = await self.thoonk.subscribe(queue)
            one, two = await queue.put("one"), await queue.put("two", queue.HIGH)
            await queue.get()
            expected = [("put", one, "one"), ("put", two, "two")] if history else []
            events = await self.told(subscription, queue.name)
            self.assertEvents(events, history, expected)

    async def job(self, history: int) -> None:
        job, subscription = await self.subscribed_to("job", history=history)
        await job.put("item", id_="a")
        await job.get()
        await job.cancel("a")
        await job.get()
        await job.stall("a")
        await job.retry("a")
        await job.get()
        await job.finish("a", "result")
        await job.put("item", id_="b")
        await job.get()
        await job.finish("b")
        await job.put("item", id_="c")
        await job.retract("c")
        expected: list[Any] = [
            ("put", "a", "item"), ("claim", "a"), ("cancel", "a"), ("claim", "a"),
            ("stall", "a"), ("retry", "a"), ("claim", "a"), ("finish", "a", "result"),
            ("finished", "a"), ("put", "b", "item"), ("claim", "b"), ("finished", "b"),
            ("put", "c", "item"), ("retract", "c"),
        ]  # fmt: skip
        events = await self.told(subscription)
        # The contract has no channel for the retract event of a job.
        self.assertEvents(events, history, expected if history else expected[:-1])

    async def test_job(self) -> None:
        """A job feed delivers an event for each change of a job."""
        await self.job(0)

    async def test_job_with_history(self) -> None:
        """A job feed with a history delivers every event with the next revision."""
        await self.job(100)

    async def test_own_kinds(self) -> None:
        """A subscription by feed object delivers the same events as one by name."""
        for type_ in ("feed", "sorted_feed", "queue", "job"):
            for history in (0, 100):
                name = f"{type_}{history}"
                feed = await getattr(self.writer, type_)(name, {"history": history})
                by_object = await self.thoonk.subscribe(feed)
                by_name = await self.thoonk.subscribe(name)
                if type_ == "job":
                    await feed.put("1", id_="a")
                    await feed.get()
                    await feed.finish("a", "r")
                elif type_ == "sorted_feed":
                    await feed.append("1")
                    await feed.edit("1", "2")
                    await feed.retract("1")
                else:
                    id_ = await (feed.publish("1", "a") if type_ == "feed" else feed.put("1"))
                    if type_ == "feed":
                        await feed.publish("2", id_)
                        await feed.retract(id_)
                events = await self.told(by_name, name)
                self.assertEqual(len(events) > 0, type_ != "queue" or history > 0)
                self.assertEqual(await take(by_object, len(events)), events)

    async def test_feed_events(self) -> None:
        """A subscription delivers create, config and delete events, which have no revision."""
        for history in (0, 10):
            subscription = await self.thoonk.subscribe("x")
            feed = await self.writer.feed("x", {"history": history})
            await self.writer.feed("y")
            await feed.publish("1", "a")
            await feed.set_config({"max_length": 5})
            await self.writer.delete_feed("y")
            await feed.publish("2", "b")
            events = await take(subscription, 4)
            await feed.delete_feed()
            await self.writer.feed("x", {"history": history})
            await feed.publish("3", "c")
            events += await take(subscription, 3)
            self.assertEqual(
                briefs(events),
                [
                    ("create",), ("publish", "a", "1"), ("config",), ("publish", "b", "2"),
                    ("delete",), ("create",), ("publish", "c", "3"),
                ],
            )  # fmt: skip
            revisions = [None, 1, None, 2, None, None, 1]
            self.assertEqual([e.revision for e in events], revisions if history else [None] * 7)
            self.assertEqual({event.feed for event in events}, {"x"})
            await subscription.stop()
            await feed.delete_feed()


class SerializerTests(SubscriptionTestCase):
    async def test_decoded(self) -> None:
        """Live, replayed and snapshot items are decoded by the feed's serializer."""
        items: dict[str, list[Any]] = {
            "json": [{"a": [1, None]}, "ä", None],
            "bytes": [b"\xff\0", b""],
            "text": ["ä"],
        }
        for serializer, values in items.items():
            for history in (0, 10):
                name = f"{serializer}{history}"
                config = {"serializer": serializer, "history": history}
                feed = await self.writer.feed(name, config)
                subscription = await self.thoonk.subscribe(name)
                for number, value in enumerate(values):
                    await feed.publish(value, str(number))
                got = [event.item for event in await take(subscription, len(values))]
                self.assertEqual(got, values)
                self.assertEqual([type(item) for item in got], [type(item) for item in values])
                if history:
                    replay = await self.thoonk.subscribe(name, since=0)
                    again = [event.item for event in await take(replay, len(values))]
                    self.assertEqual(again, values)
                snapshot = await self.thoonk.subscribe(name, snapshot=True)
                (event,) = await take(snapshot, 1)
                self.assertEqual([item for _, item in event.item], values)

    async def test_job_results(self) -> None:
        """The result of a finish event is decoded by the feed's serializer."""
        job = await self.writer.job("x", {"serializer": "json"})
        subscription = await self.thoonk.subscribe(job)
        await job.put([1], id_="a")
        await job.get()
        await job.finish("a", {"b": 2})
        self.assertEqual(
            briefs(await take(subscription, 4)),
            [("put", "a", [1]), ("claim", "a"), ("finish", "a", {"b": 2}), ("finished", "a")],
        )

    async def test_undecodable(self) -> None:
        """An item that cannot be decoded is an InvalidItem; later events still arrive."""
        feed = await self.writer.feed("x", {"serializer": "json"})
        subscription = await self.thoonk.subscribe("x")
        await self.foreign_publish("x", "a", "{no json")
        await feed.publish(5, "b")
        bad, good = await take(subscription, 2)
        self.assertEqual(bad[:3], ("publish", "x", "a"))
        self.assertIsInstance(bad.item, InvalidItem)
        self.assertIn("'a'", str(bad.item))
        self.assertEqual(brief(good), ("publish", "b", 5))
        snapshot = await self.thoonk.subscribe("x", snapshot=True)
        ((a, error), *rest) = (await snapshot.next()).item
        self.assertEqual((a, rest), ("a", [("b", 5)]))
        self.assertIsInstance(error, InvalidItem)

    async def test_changed_serializer(self) -> None:
        """A subscription decodes later items with a serializer that is set while it is live."""
        for history in (0, 10):
            feed = await self.writer.feed(f"x{history}", {"history": history})
            subscription = await self.thoonk.subscribe(f"x{history}")
            await feed.publish("1", "a")
            await feed.set_config({"serializer": "json"})
            await feed.publish([2], "b")
            events = await take(subscription, 3)
            self.assertEqual(
                briefs(events), [("publish", "a", "1"), ("config",), ("publish", "b", [2])]
            )
