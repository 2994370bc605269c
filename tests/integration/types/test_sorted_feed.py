"""SortedFeed: what each verb stores, publishes and fires."""

from __future__ import annotations

from typing import Any

from tests.support.sorted_feed import POSITION, PUBLISH, RETRACT, VERBS, Model, SortedFeedTestCase
from txthoonk.errors import FeedDoesNotExist, ItemDoesNotExist


class VerbTests(SortedFeedTestCase):
    async def test_created(self) -> None:
        """A new sorted feed is registered with its type and is empty."""
        self.assertEqual(self.stored_config, {b"type": b"sorted_feed"})
        await self.assertAsModel()

    async def test_attributes(self) -> None:
        """A SortedFeed has attributes for the names of its keys and channels."""
        self.assertEqual(self.feed.feed_ids, "feed.ids:x")
        self.assertEqual(self.feed.feed_items, "feed.items:x")
        self.assertEqual(self.feed.feed_publishes, "feed.publishes:x")
        self.assertEqual(self.feed.channel_publish, PUBLISH.decode())
        self.assertEqual(self.feed.channel_position, POSITION.decode())
        self.assertEqual(self.feed.channel_retract, RETRACT.decode())

    async def test_append(self) -> None:
        """append adds an item at the end, and publishes the item, then the position ``:end``."""
        for verb in ("append", "publish", "append"):
            await self.same(verb, "item")
        self.assertEqual(await self.feed.get_ids(), ["1", "2", "3"])

    async def test_append_tells(self) -> None:
        """The messages of an append are exactly these bytes."""
        self.assertEqual(await self.feed.append("a\0b"), "1")
        told = [(PUBLISH, b"1\0a\0b"), (POSITION, b"1\0:end")]
        self.assertEqual(await self.spied.messages(own=False), told)

    async def test_prepend(self) -> None:
        """prepend adds an item at the beginning, and publishes the item, then ``begin:``."""
        for verb in ("prepend", "append", "prepend"):
            await self.same(verb, "item")
        self.assertEqual(await self.feed.get_ids(), ["3", "1", "2"])

    async def test_publish_beside(self) -> None:
        """publish_before and publish_after place an item right beside another, wherever it is."""
        await self.fill(3)
        for relative in ("1", "2", "3", "4", "5"):
            await self.same("publish_before", relative, "before")
            await self.same("publish_after", relative, "after")
        self.assertEqual(await self.feed.length(), 13)

    async def test_publish_beside_what_is_not_there(self) -> None:
        """Publishing beside a missing item changes nothing and uses no id.

        The error names the feed and the missing id.
        """
        await self.fill(2)
        for verb in (self.feed.publish_before, self.feed.publish_after):
            error = await self.assertFailure(verb("missing", "item"), ItemDoesNotExist)
            self.assertIn("'x'", str(error))
            self.assertIn("missing", str(error))
            await self.assertAsModel()
        self.assertEqual(await self.same("append", "next"), "3")

    async def test_edit(self) -> None:
        """An edit keeps the item's place, is counted, and is published on the publish channel."""
        await self.fill(3)
        self.assertIsNone(await self.same("edit", "2", "new"))
        self.assertEqual((await self.feed.get_all())["2"], "new")
        self.assertIsNone(await self.same("edit", "2", "new"))
        self.assertEqual(await self.value("feed.publishes:x"), b"5")

    async def test_edit_what_is_not_there(self) -> None:
        """Editing a missing item changes nothing; the error names the feed and the id."""
        await self.fill(2)
        error = await self.assertFailure(self.feed.edit("missing", "i"), ItemDoesNotExist)
        self.assertIn("'x'", str(error))
        self.assertIn("missing", str(error))
        await self.assertAsModel()

    async def test_retract(self) -> None:
        """A retract removes the id and the item, is published, and is not counted."""
        await self.fill(4)
        for id_ in ("2", "1", "4", "3"):
            self.assertIs(await self.same("retract", id_), True)

    async def test_retract_of_what_is_not_there(self) -> None:
        """Retracting a missing item fires False and changes nothing."""
        await self.fill(2)
        for id_ in ("3", "", "missing", "1"):
            await self.same("retract", id_)
        self.assertIs(await self.same("retract", "1"), False)

    async def test_ids_are_not_used_again(self) -> None:
        """The id of a retracted item is not used again."""
        await self.fill(2)
        for id_ in ("2", "1"):
            await self.same("retract", id_)
        self.assertEqual(await self.same("append", "item"), "3")

    async def test_numbers_as_ids(self) -> None:
        """An id can be passed as an int; results and messages have it as text."""
        await self.fill(3)
        feed: Any = self.feed
        self.model.call("publish_before", "2", "item")
        self.assertEqual(await feed.publish_before(2, "item"), "4")
        for verb, *arguments in (("edit", 1, "new"), ("move_after", 3, 1), ("retract", 2)):
            self.model.call(verb, *map(str, arguments))
            await getattr(feed, verb)(*arguments)
        await self.assertAsModel()
        self.assertEqual(await feed.get_item(1), "new")
        self.assertIs(await feed.has_id(1), True)

    async def test_unbounded(self) -> None:
        """A sorted feed ignores ``max_length`` in its configuration."""
        await self.raw.send("HSET", "feed.config:x", "max_length", "2")
        self.stored_config = await self.value("feed.config:x")
        await self.fill(5)
        await self.assertAsModel()

    async def test_cancelled(self) -> None:
        """Cancelling a call ends its wait, and later calls still get their own replies."""
        first, second, third = map(self.feed.append, "abc")
        ids = self.feed.get_ids()
        second.cancel()
        self.failureResultOf(second)
        self.assertEqual([await first, await third, await ids], ["1", "3", ["1", "2", "3"]])
        for item in "abc":
            self.model.append(item)
        await self.assertAsModel()

    async def test_deleted_feed(self) -> None:
        """Writing to a deleted feed fails and creates no key."""
        await self.fill(2)
        self.assertIs(await self.feed.delete_feed(), True)
        self.assertEqual(await self.state(), {})
        await self.spied.messages()
        for verb, *arguments in VERBS:
            await self.assertFailure(getattr(self.feed, verb)(*arguments), FeedDoesNotExist)
        self.assertEqual(await self.state(), {})
        self.assertEqual(await self.spied.messages(own=True), [])
        self.assertEqual(await self.feed.get_ids(), [])
        self.assertEqual(await self.feed.get_all(), {})
        self.assertEqual(await self.feed.length(), 0)
        self.model = Model()
        self.feed = await self.pub_.sorted_feed("x")
        await self.spied.messages()
        self.assertEqual(await self.same("append", "again"), "1")


class ReadingTests(SortedFeedTestCase):
    async def test_reading(self) -> None:
        """All reading methods agree, in the order of the list."""
        await self.fill(3)
        await self.same("prepend", "first")
        await self.same("move_last", "2")
        expected = [("4", "first"), ("1", "i1"), ("3", "i3"), ("2", "i2")]
        for everything in (await self.feed.get_all(), await self.feed.get_items()):
            self.assertEqual(list(everything.items()), expected)
        self.assertEqual(await self.feed.get_ids(), ["4", "1", "3", "2"])
        self.assertEqual(await self.feed.get_range(0, -1), expected)
        self.assertEqual(await self.feed.length(), 4)
        for id_, item in expected:
            self.assertEqual(await self.feed.get_item(id_), item)
            self.assertEqual(await self.feed.get_id(id_), item)
            self.assertIs(await self.feed.has_id(id_), True)
        await self.assertAsModel()

    async def test_reading_what_is_not_there(self) -> None:
        """A missing item is read as None and an empty feed as empty; reading creates nothing."""
        self.assertIsNone(await self.feed.get_item("missing"))
        self.assertIsNone(await self.feed.get_id("missing"))
        self.assertIs(await self.feed.has_id("missing"), False)
        self.assertEqual(await self.feed.get_ids(), [])
        self.assertEqual(await self.feed.get_all(), {})
        self.assertEqual(await self.feed.get_items(), {})
        self.assertEqual(await self.feed.get_range(0, -1), [])
        self.assertEqual(await self.feed.length(), 0)
        await self.assertAsModel()

    async def test_get_range(self) -> None:
        """A range includes both ends, and negative places count from the end."""
        everything = [(id_, f"i{id_}") for id_ in await self.fill(7)]
        for start in range(-9, 10):
            for stop in range(-9, 10):
                first = max(start + 7, 0) if start < 0 else start
                last = stop + 7 if stop < 0 else stop
                got = await self.feed.get_range(start, stop)
                self.assertEqual(got, everything[first : max(last + 1, 0)], (start, stop))

    async def test_big_feed(self) -> None:
        """A feed of 10,000 items can be filled in one turn, read, and deleted."""
        ids = await self.fill(10_000)
        self.assertEqual(await self.feed.get_ids() == ids, True)
        everything = [(id_, f"i{id_}") for id_ in ids]
        self.assertEqual(list((await self.feed.get_all()).items()) == everything, True)
        self.assertEqual(await self.feed.get_range(-10_000, 9_998) == everything[:-1], True)
        await self.same("move_after", "5000", "9000")
        await self.feed.delete_feed()
        self.assertEqual(await self.state(), {})
