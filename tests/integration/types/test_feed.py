"""Feed: what each verb stores, publishes and fires, and what ``max_length`` keeps."""

from __future__ import annotations

import uuid
from typing import Any

from twisted.internet.defer import gatherResults

from tests.support.feed import EDIT, PUBLISH, RETRACT, FeedTestCase
from txthoonk.errors import FeedDoesNotExist


class VerbTests(FeedTestCase):
    async def test_publish(self) -> None:
        """Publishing under a new id stores the item, counts it, and sends a publish event."""
        self.assertEqual(await self.feed.publish("hello", "1"), "1")
        state = await self.state(own=False)
        ((id_, score),) = state.pop(b"feed.ids:x")
        self.assertEqual(id_, b"1")
        self.assertGreater(score, 1_600_000_000_000)
        self.assertEqual(
            state,
            {
                b"feeds": {b"x"},
                b"feed.config:x": {b"type": b"feed"},
                b"feed.items:x": {b"1": b"hello"},
                b"feed.publishes:x": b"1",
            },
        )
        self.assertEqual(await self.spied.messages(), [(PUBLISH, b"1\0hello")])

    async def test_publish_makes_an_id(self) -> None:
        """A publish without an id gives each item a new uuid4 in hex."""
        ids = await gatherResults([self.feed.publish("same") for _ in range(50)])
        self.assertEqual(len(set(ids)), 50)
        for id_ in ids:
            self.assertEqual((uuid.UUID(hex=id_).hex, uuid.UUID(hex=id_).version), (id_, 4))
        self.assertEqual(await self.feed.get_ids(), ids)
        told = [(PUBLISH, id_.encode() + b"\0same") for id_ in ids]
        self.assertEqual(await self.spied.messages(), told)

    async def test_publish_of_a_known_id(self) -> None:
        """Publishing under a known id is an edit: it moves the item to the end and is counted."""
        await self.fill(3)
        self.assertEqual(await self.feed.publish("new", "0"), "0")
        self.assertEqual(await self.stored(), ["1", "2", "0"])
        self.assertEqual(await self.feed.get_item("0"), "new")
        self.assertEqual(await self.value("feed.publishes:x"), b"4")
        self.assertEqual(await self.spied.messages(), [(EDIT, b"0\0new")])

    async def test_publish_of_the_same_item(self) -> None:
        """An edit that changes nothing is published and counted like any other."""
        await self.fill(2)
        await self.feed.publish("i1", "1")
        self.assertEqual(await self.spied.messages(), [(EDIT, b"1\0i1")])
        self.assertEqual(await self.value("feed.publishes:x"), b"3")

    async def test_retract(self) -> None:
        """A retract removes the id and the item, is published, and is not counted."""
        await self.fill(3)
        self.assertIs(await self.feed.retract("1"), True)
        self.assertEqual(await self.stored(), ["0", "2"])
        self.assertEqual(await self.value("feed.publishes:x"), b"3")
        self.assertEqual(await self.spied.messages(), [(RETRACT, b"1")])

    async def test_retract_of_the_last_item(self) -> None:
        """A feed without items still exists, and its next item is a publish, not an edit."""
        await self.fill(1)
        await self.feed.retract("0")
        self.assertEqual(await self.feed.get_all(), {})
        self.assertIs(await self.pub_.feed_exists("x"), True)
        await self.spied.messages()
        await self.feed.publish("again", "0")
        self.assertEqual(await self.spied.messages(), [(PUBLISH, b"0\0again")])

    async def test_retract_of_what_is_not_there(self) -> None:
        """Retracting a missing item fires False and changes nothing."""
        await self.fill(2)
        before = await self.state()
        self.assertIs(await self.feed.retract("missing"), False)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_reading(self) -> None:
        """All reading methods agree, in publish order."""
        await gatherResults([self.feed.publish(item, id_) for id_, item in ("b1", "a2", "c3")])
        await self.feed.publish("4", "a")
        expected = [("b", "1"), ("c", "3"), ("a", "4")]
        everything = await self.feed.get_all()
        self.assertEqual(list(everything.items()), expected)
        self.assertEqual(await self.feed.get_ids(), ["b", "c", "a"])
        self.assertEqual(await self.feed.get_range(0, -1), expected)
        self.assertEqual(await self.feed.length(), 3)
        for id_, item in expected:
            self.assertEqual(await self.feed.get_item(id_), item)
            self.assertEqual(await self.feed.get_id(id_), item)
            self.assertIs(await self.feed.has_id(id_), True)

    async def test_reading_what_is_not_there(self) -> None:
        """A missing item is read as None, and an empty feed as empty."""
        self.assertIsNone(await self.feed.get_item("missing"))
        self.assertIsNone(await self.feed.get_id("missing"))
        self.assertIs(await self.feed.has_id("missing"), False)
        self.assertEqual(await self.feed.get_ids(), [])
        self.assertEqual(await self.feed.get_all(), {})
        self.assertEqual(await self.feed.get_range(0, -1), [])
        self.assertEqual(await self.feed.length(), 0)

    async def test_get_range(self) -> None:
        """A range includes both ends, and negative ranks count from the end."""
        ids = await self.fill(10)
        everything = [(id_, f"i{id_}") for id_ in ids]
        for start, stop, expected in (
            (0, 0, everything[:1]),
            (0, -1, everything),
            (2, 4, everything[2:5]),
            (-3, -1, everything[7:]),
            (-100, 100, everything),
            (7, -2, everything[7:9]),
            (-4, 7, everything[6:8]),
            (5, 4, []),
            (10, 20, []),
            (-1, 0, []),
        ):
            got = await self.feed.get_range(start, stop)
            self.assertEqual(got, expected, f"get_range({start}, {stop})")

    async def test_reading_in_flight(self) -> None:
        """Many reads in flight get their own replies, and neither change nor publish anything."""
        await self.fill(3)
        before = await self.state()
        calls: list[tuple[Any, tuple[Any, ...]]] = [
            (self.feed.get_ids, ()),
            (self.feed.get_all, ()),
            (self.feed.get_range, (0, 1)),
            (self.feed.get_item, ("0",)),
            (self.feed.get_item, ("missing",)),
            (self.feed.has_id, ("0",)),
            (self.feed.length, ()),
            (self.feed.get_config, ()),
        ]
        alone = [await call(*arguments) for call, arguments in calls]
        together = await gatherResults([call(*args) for call, args in calls * 20])
        self.assertEqual(together, alone * 20)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_cancelled_publish(self) -> None:
        """Cancelling a publish ends its wait, and later calls still get their own replies."""
        first = self.feed.publish("a", "1")
        second = self.feed.publish("b", "2")
        third = self.feed.get_ids()
        first.cancel()
        self.assertTrue(first.called)
        first.addErrback(lambda reason: None)
        self.assertEqual(await second, "2")
        self.assertEqual(await third, ["1", "2"])

    async def test_events_are_in_the_order_of_the_changes(self) -> None:
        """Verbs called at once publish their events in the order of the changes."""
        await gatherResults(
            [  # type: ignore[arg-type]
                self.feed.publish("a", "1"),
                self.feed.publish("b", "2"),
                self.feed.publish("c", "1"),
                self.feed.retract("2"),
                self.feed.publish("d", "2"),
                self.feed.retract("1"),
                self.feed.retract("1"),
            ]
        )
        self.assertEqual(
            await self.spied.messages(),
            [
                (PUBLISH, b"1\0a"),
                (PUBLISH, b"2\0b"),
                (EDIT, b"1\0c"),
                (RETRACT, b"2"),
                (PUBLISH, b"2\0d"),
                (RETRACT, b"1"),
            ],
        )
        self.assertEqual(await self.value("feed.publishes:x"), b"4")

    async def test_deleted_feed(self) -> None:
        """Calls on a deleted feed fail and create no key."""
        await self.fill(2)
        self.assertIs(await self.feed.delete_feed(), True)
        await self.spied.messages()
        for call in (
            lambda: self.feed.publish("x"),
            lambda: self.feed.publish("x", "0"),
            lambda: self.feed.retract("0"),
            lambda: self.feed.set_config({"max_length": 1}),
            self.feed.get_config,
            self.feed.delete_feed,
        ):
            await self.assertFailure(call(), FeedDoesNotExist)
        self.assertEqual(await self.state(), {})
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_deleted_and_created_again(self) -> None:
        """A feed that is created again starts empty, and objects of the old feed work on it."""
        await self.fill(2)
        await self.pub_.delete_feed("x")
        again = await self.pub_.feed("x")
        self.assertEqual(await again.get_all(), {})
        await self.feed.publish("new", "1")
        self.assertEqual(await again.get_all(), {"1": "new"})
        self.assertEqual(await self.value("feed.publishes:x"), b"1")


class MaxLengthTests(FeedTestCase):
    config = {"max_length": 3}

    async def test_full_feed(self) -> None:
        """A publish to a full feed drops the oldest item; its retract precedes the publish."""
        await self.fill(3)
        await self.feed.publish("i3", "3")
        self.assertEqual(await self.stored(), ["1", "2", "3"])
        self.assertEqual(await self.spied.messages(), [(RETRACT, b"0"), (PUBLISH, b"3\0i3")])
        self.assertEqual(await self.value("feed.publishes:x"), b"4")

    async def test_never_one_too_few(self) -> None:
        """A feed with a max_length of 3 grows to 3 items and stays there."""
        lengths = []
        for number in range(6):
            await self.feed.publish("i", str(number))
            lengths.append(len(await self.stored()))
        self.assertEqual(lengths, [1, 2, 3, 3, 3, 3])

    async def test_edit_in_a_full_feed(self) -> None:
        """An edit in a full feed drops nothing, whichever item it changes."""
        await self.fill(3)
        for id_ in "012201":
            await self.feed.publish("new", id_)
        self.assertEqual(await self.stored(), ["2", "0", "1"])
        told = [(EDIT, id_.encode() + b"\0new") for id_ in "012201"]
        self.assertEqual(await self.spied.messages(), told)

    async def test_length_one(self) -> None:
        """A feed with a max_length of 1 keeps only the newest item."""
        await self.feed.set_config({"max_length": 1})
        await self.spied.messages()
        await gatherResults([self.feed.publish(id_, id_) for id_ in "aab"])
        self.assertEqual(await self.stored(), ["b"])
        self.assertEqual(
            await self.spied.messages(),
            [(PUBLISH, b"a\0a"), (EDIT, b"a\0a"), (RETRACT, b"a"), (PUBLISH, b"b\0b")],
        )

    async def test_lowered(self) -> None:
        """Lowering max_length drops nothing until the next publish, which drops the excess."""
        await self.feed.set_config({"max_length": 10})
        await self.fill(10)
        await self.feed.set_config({"max_length": 3})
        await self.spied.messages()
        self.assertEqual(len(await self.stored()), 10)
        await self.feed.publish("new", "n")
        self.assertEqual(await self.stored(), ["8", "9", "n"])
        told = [(RETRACT, b"%d" % number) for number in range(8)]
        self.assertEqual(await self.spied.messages(), [*told, (PUBLISH, b"n\0new")])

    async def test_lowered_then_edited(self) -> None:
        """After max_length is lowered, an edited item counts as the newest and is kept."""
        for edited, kept, dropped in (
            ("0", ["8", "9", "0"], "1234567"),
            ("5", ["8", "9", "5"], "0123467"),
            ("9", ["7", "8", "9"], "0123456"),
        ):
            await self.raw.flushdb()
            await self.pub_.feed("x", {"max_length": 10})
            await self.fill(10)
            await self.feed.set_config({"max_length": 3})
            await self.spied.messages()
            await self.feed.publish("new", edited)
            self.assertEqual(await self.stored(), kept)
            self.assertEqual(await self.feed.get_item(edited), "new")
            told = [(RETRACT, id_.encode()) for id_ in dropped]
            edit = (EDIT, edited.encode() + b"\0new")
            self.assertEqual(await self.spied.messages(), [*told, edit])

    async def test_raised(self) -> None:
        """Raising max_length takes effect at the next publish."""
        await self.fill(3)
        await self.feed.set_config({"max_length": 4})
        await self.feed.publish("a", "a")
        await self.feed.publish("b", "b")
        self.assertEqual(await self.stored(), ["1", "2", "a", "b"])

    async def test_zero(self) -> None:
        """A max_length of 0 means no limit, and so does a missing max_length."""
        await self.feed.set_config({"max_length": 0})
        await self.fill(50)
        self.assertEqual(len(await self.stored()), 50)
        await self.raw.send("HDEL", "feed.config:x", "max_length")
        await self.feed.publish("one more")
        self.assertEqual(len(await self.stored()), 51)

    async def test_set_by_others(self) -> None:
        """Each publish reads max_length from Redis, so other programs can change it."""
        await self.fill(3)
        await self.raw.send("HSET", "feed.config:x", "max_length", "2")
        await self.feed.publish("new", "n")
        self.assertEqual(await self.stored(), ["2", "n"])

    async def test_many_in_flight(self) -> None:
        """Publishes called at once keep the limit, and each retract precedes its publish."""
        await gatherResults([self.feed.publish("i", str(number)) for number in range(500)])
        told = []
        for number in range(500):
            if number >= 3:
                told.append((RETRACT, b"%d" % (number - 3)))
            told.append((PUBLISH, b"%d\0i" % number))
        self.assertEqual(await self.spied.messages(), told)
        self.assertEqual(await self.stored(), ["497", "498", "499"])

    async def test_retract_makes_room(self) -> None:
        """A publish drops nothing after a retract has made room."""
        await self.fill(3)
        await self.feed.retract("1")
        await self.feed.publish("n", "n")
        self.assertEqual(await self.stored(), ["0", "2", "n"])
        self.assertEqual(await self.spied.messages(), [(RETRACT, b"1"), (PUBLISH, b"n\0n")])
