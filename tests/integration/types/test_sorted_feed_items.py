"""SortedFeed: items of every serializer, the id counter, and ids without items."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import gatherResults

from tests.support.sorted_feed import POSITION, PUBLISH, RETRACT, VERBS, SortedFeedTestCase
from txthoonk.errors import InvalidInput, InvalidItem, ItemDoesNotExist, ResponseError


class ItemTests(SortedFeedTestCase):
    async def test_any_bytes(self) -> None:
        """Any text and any bytes are stored, published and read unchanged."""
        for item in ("", "\0", "a\0b\0", "é名\U0001f600", bytes(range(256)), b"\xed\xb2\x80"):
            stored = item if isinstance(item, bytes) else item.encode()
            read = stored.decode("utf-8", "surrogateescape")
            id_ = await self.feed.append(item)
            message = id_.encode() + b"\0" + stored
            told = [(PUBLISH, message), (POSITION, id_.encode() + b"\0:end")]
            self.assertEqual(await self.spied.messages(), told)
            await self.feed.edit(id_, item)
            self.assertEqual(await self.spied.messages(), [(PUBLISH, message)])
            self.assertEqual(await self.value("feed.items:x"), {id_.encode(): stored})
            self.assertEqual(await self.feed.get_item(id_), read)
            self.assertEqual(await self.feed.get_all(), {id_: read})
            self.assertEqual(await self.feed.get_range(0, 0), [(id_, read)])
            await self.feed.retract(id_)
            await self.spied.messages()

    async def test_bytes(self) -> None:
        """The serializer ``bytes`` decodes nothing."""
        feed = await self.pub_.sorted_feed("x", {"serializer": "bytes"})
        await gatherResults([feed.append(b"\xff\0"), feed.prepend(b"plain")])
        self.assertEqual(await feed.get_all(), {"2": b"plain", "1": b"\xff\0"})
        self.assertEqual(await feed.get_item("1"), b"\xff\0")
        self.assertEqual(await feed.get_ids(), ["2", "1"])

    async def test_json(self) -> None:
        """The serializer ``json`` returns every JSON value unchanged, including null."""
        feed = await self.pub_.sorted_feed("x", {"serializer": "json"})
        items: list[Any] = [None, True, 0, -1.5, "", "é\0", [], {"a": [1, {"b": None}]}]
        ids = await gatherResults(list(map(feed.append, items)))
        self.assertEqual(list((await feed.get_all()).items()), list(zip(ids, items, strict=True)))
        self.assertIs(await feed.has_id("1"), True)
        await feed.edit("1", {"new": 1})
        self.assertEqual(json.loads((await self.value("feed.items:x"))[b"1"]), {"new": 1})

    async def test_items_of_others(self) -> None:
        """An item that is not valid JSON fails only the calls that read it."""
        feed = await self.pub_.sorted_feed("x", {"serializer": "json"})
        await gatherResults([feed.append([1]), feed.append([2])])
        await self.raw.send("HSET", "feed.items:x", "1", "{not json")
        for verb, *arguments in (("get_item", "1"), ("get_all",), ("get_range", 0, -1)):
            reading = getattr(feed, str(verb))(*arguments)
            error = await self.assertFailure(reading, InvalidItem)
            self.assertEqual(error.id, "1")
            self.assertIn(error.data, ("{not json", b"{not json"))
        self.assertEqual(await feed.get_item("2"), [2])
        await feed.move_last("1")
        self.assertEqual(await feed.get_range(0, 0), [("2", [2])])
        await feed.edit("1", [3])
        self.assertEqual(await feed.get_all(), {"2": [2], "1": [3]})

    async def test_refused(self) -> None:
        """An item that the serializer cannot encode fails the call, which writes nothing."""
        await self.fill(2)
        thing: Any = object()
        for serializer in ("text", "bytes", "json"):
            feed = await self.pub_.sorted_feed("x", {"serializer": serializer})
            self.stored_config = await self.value("feed.config:x")
            await self.spied.messages()
            for verb, *before in VERBS[:6]:
                writing = getattr(feed, verb)(*before[:-1], thing)
                error = await self.assertFailure(writing, InvalidInput)
                self.assertIn("object", str(error))
                await self.assertAsModel()


class CounterTests(SortedFeedTestCase):
    async def test_behind_the_ids(self) -> None:
        """A counter that is lower than existing ids skips them, and overwrites no item."""
        await self.raw.send("RPUSH", "feed.ids:x", *map(str, range(1, 301)))
        items = {b"%d" % number: b"foreign" for number in range(1, 301)}
        await self.raw.send(
            "HSET", "feed.items:x", *(part for pair in items.items() for part in pair)
        )
        await self.raw.send("SET", "feed.idincr:x", "7")
        for verb, *before in VERBS[:5]:
            expected = str(len(items) + 1)
            self.assertEqual(await getattr(self.feed, verb)(*before), expected)
            items[expected.encode()] = b"item"
            self.assertEqual(await self.value("feed.items:x"), items)
            self.assertEqual(await self.value("feed.idincr:x"), expected.encode())
            self.assertEqual(set(await self.value("feed.ids:x")), set(items))
        self.assertEqual(len(await self.value("feed.ids:x")), 305)
        self.assertEqual(await self.value("feed.publishes:x"), b"5")

    async def test_with_gaps(self) -> None:
        """A new item gets the next number that is not already an id."""
        for id_ in ("2", "3", "5"):
            await self.raw.send("RPUSH", "feed.ids:x", id_)
            await self.raw.send("HSET", "feed.items:x", id_, "foreign")
        for expected in ("1", "4", "6", "7"):
            self.assertEqual(await self.feed.append("item"), expected)
        self.assertEqual(await self.feed.get_ids(), ["2", "3", "5", "1", "4", "6", "7"])

    async def test_big_numbers(self) -> None:
        """An id has all digits of the counter, up to the largest number that Lua keeps exact."""
        for last in (999_999, 10**14 - 1, 10**15, 2**53 - 3):
            await self.check(last)

    async def test_beyond_doubles(self) -> None:
        """Ids stay exact beyond what Lua's numbers can hold; a full counter fails the append."""
        for last in (2**53 - 1, 2**53 + 2, 10**17, 2**63 - 3):
            await self.check(last)
        before = await self.state()
        await self.assertFailure(self.feed.append("one too many"), ResponseError)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def check(self, last: int) -> None:
        """Append two items to a feed whose counter is *last*, and check their ids and messages."""
        await self.raw.send("SET", "feed.idincr:x", str(last))
        for number in (last + 1, last + 2):
            self.assertEqual(await self.feed.append("item"), str(number))
            self.assertEqual((await self.feed.get_ids())[-1], str(number))
            told = [(PUBLISH, b"%d\0item" % number), (POSITION, b"%d\0:end" % number)]
            self.assertEqual(await self.spied.messages(), told)
        self.assertEqual(await self.value("feed.idincr:x"), b"%d" % (last + 2))

    async def test_negative(self) -> None:
        """A negative counter counts on like any other."""
        await self.raw.send("SET", "feed.idincr:x", "-2")
        ids = [await self.feed.append("item") for _ in range(3)]
        self.assertEqual(ids, ["-1", "0", "1"])
        self.assertEqual(await self.feed.get_all(), dict.fromkeys(ids, "item"))

    async def test_big_count(self) -> None:
        """The counter of publishes stays exact beyond what a double can hold."""
        await self.raw.send("SET", "feed.publishes:x", str(2**53))
        await self.feed.append("item")
        await self.feed.edit("1", "new")
        self.assertEqual(await self.value("feed.publishes:x"), b"%d" % (2**53 + 2))


class HalfThereTests(SortedFeedTestCase):
    async def assertInStep(self, order: list[str]) -> None:
        """Check that ids and items are those of *order*, each id once."""
        ids = [id_.encode() for id_ in order]
        self.assertEqual(await self.value("feed.ids:x") or [], ids)
        self.assertEqual(set(await self.value("feed.items:x") or {}), set(ids))

    async def test_id_without_item(self) -> None:
        """Items can be read even if one id has lost its item."""
        await self.fill(3)
        await self.raw.send("HDEL", "feed.items:x", "2")
        everything = await self.feed.get_all()
        self.assertEqual({id_: everything.get(id_) for id_ in "123"}, {**ITEMS, "2": None})
        self.assertEqual([id_ for id_ in everything if id_ != "2"], ["1", "3"])
        self.assertIsNone(await self.feed.get_item("2"))
        self.assertIs(await self.feed.has_id("2"), False)
        for id_, item in await self.feed.get_range(0, -1):
            self.assertEqual(item, None if id_ == "2" else f"i{id_}")

    async def test_id_without_item_is_missing(self) -> None:
        """An id without an item cannot be edited, moved or used as a position."""
        await self.fill(3)
        await self.raw.send("HDEL", "feed.items:x", "2")
        before = await self.state()
        for verb, *arguments in (
            ("edit", "2", "new"),
            ("publish_before", "2", "new"),
            ("publish_after", "2", "new"),
            ("move_before", "2", "1"),
            ("move_after", "2", "1"),
            ("move_before", "1", "2"),
            ("move_last", "2"),
        ):
            called = getattr(self.feed, verb)(*arguments)
            await self.assertFailure(called, ItemDoesNotExist)
            self.assertEqual(await self.state(), before, verb)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_id_without_item_is_retracted(self) -> None:
        """Retracting an id without an item removes the id."""
        await self.fill(3)
        await self.raw.send("HDEL", "feed.items:x", "2")
        await self.feed.retract("2")
        await self.assertInStep(["1", "3"])

    async def test_item_without_id(self) -> None:
        """An item that is not in the order can be read, but not used as a position."""
        await self.fill(2)
        await self.raw.send("HSET", "feed.items:x", "lost", "old")
        before = await self.state()
        for verb, *arguments in (
            ("publish_before", "lost", "new"),
            ("publish_after", "lost", "new"),
            ("move_before", "lost", "1"),
            ("move_after", "lost", "1"),
            ("move", ":lost", "1"),
            ("move", "lost:", "1"),
        ):
            called = getattr(self.feed, verb)(*arguments)
            error = await self.assertFailure(called, ItemDoesNotExist)
            self.assertIn("lost", str(error))
            self.assertEqual(await self.state(), before, verb)
        self.assertEqual(await self.spied.messages(own=True), [])
        self.assertEqual(await self.feed.get_item("lost"), "old")
        self.assertIs(await self.feed.has_id("lost"), True)
        # What reads the order does not have it.
        self.assertEqual(await self.feed.get_ids(), ["1", "2"])
        self.assertEqual(await self.feed.length(), 2)
        in_order = [("1", "i1"), ("2", "i2")]
        self.assertEqual(list((await self.feed.get_all()).items()), in_order)
        self.assertEqual(await self.feed.get_range(0, -1), in_order)

    async def test_item_without_id_is_moved(self) -> None:
        """Moving an item that is not in the order inserts it at the given position."""
        for position, order in (
            (":end", ["1", "2", "lost"]),
            ("begin:", ["lost", "1", "2"]),
            (":2", ["1", "lost", "2"]),
            ("1:", ["1", "lost", "2"]),
        ):
            await self.raw.flushdb()
            await self.pub_.sorted_feed("x")
            await gatherResults([self.feed.append("a"), self.feed.append("b")])
            await self.raw.send("HSET", "feed.items:x", "lost", "old")
            await self.spied.messages()
            await self.feed.move(position, "lost")
            await self.assertInStep(order)
            told = [(POSITION, b"lost\0" + position.encode())]
            self.assertEqual(await self.spied.messages(), told)

    async def test_item_without_id_is_retracted(self) -> None:
        """Retracting an item that is not in the order removes the item."""
        await self.fill(2)
        await self.raw.send("HSET", "feed.items:x", "lost", "old")
        await self.feed.retract("lost")
        await self.assertInStep(["1", "2"])

    async def test_ids_that_are_not_text(self) -> None:
        """An id of another program that is not UTF-8 can be read and used."""
        await self.fill(1)
        await self.raw.send("RPUSH", "feed.ids:x", b"\xff\xfe")
        await self.raw.send("HSET", "feed.items:x", b"\xff\xfe", "old")
        id_ = (await self.feed.get_ids())[1]
        self.assertEqual(await self.feed.get_item(id_), "old")
        self.assertEqual(await self.feed.get_range(1, 1), [(id_, "old")])
        await self.feed.edit(id_, "new")
        await self.feed.move_first(id_)
        await self.feed.move_before(id_, "1")
        self.assertIs(await self.feed.retract(id_), True)
        told = [
            (PUBLISH, b"\xff\xfe\0new"),
            (POSITION, b"\xff\xfe\0begin:"),
            (POSITION, b"1\0:\xff\xfe"),
            (RETRACT, b"\xff\xfe"),
        ]
        self.assertEqual(await self.spied.messages(), told)
        await self.assertInStep(["1"])

    async def test_odd_ids(self) -> None:
        """Ids of other programs can contain colons, spaces and other characters."""
        ids = ["a:b", " ", "é", "-", "*"]
        await self.raw.send("RPUSH", "feed.ids:x", *ids)
        for id_ in ids:
            await self.raw.send("HSET", "feed.items:x", id_, "old")
        for id_ in ids:
            await self.feed.move(":a:b", id_)
            await self.feed.move("a:b:", id_)
        self.assertEqual(await self.feed.get_ids(), ["a:b", "*", "-", "é", " "])
        await self.assertInStep(["a:b", "*", "-", "é", " "])


ITEMS = {"1": "i1", "2": "i2", "3": "i3"}
