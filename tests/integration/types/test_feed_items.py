"""Feed: items of every serializer and size, and names and ids of any characters."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.support import RedisTestCase
from tests.support.feed import EDIT, PUBLISH, RETRACT, FeedTestCase
from txthoonk.errors import ThoonkError

ALL_BYTES = bytes(range(256))
ODD_NAMES = (
    *("*", "?", "[a-z]", "a*", "\\", "x y", " ", "a:b", ":", "feed.ids:x", "{tag}", "%s"),
    *("\n", "\r\n", "\t", "\x7f", "$-1\r\n", "'\"", "é", "e\u0301", "名前", "\U0001f600"),
    *("-inf", "(1", "+", "0", "None", "\ufeff", "\u2028", "\udcff", "a" * 1000),
)


class TextTests(FeedTestCase):
    async def check(self, item: Any, stored: bytes, read: Any) -> None:
        """Publish, edit and read *item*, which is stored as *stored* and read as *read*."""
        id_ = await self.feed.publish(item)
        await self.feed.publish(item, id_)
        self.assertEqual(await self.value("feed.items:x"), {id_.encode(): stored})
        message = id_.encode() + b"\0" + stored
        self.assertEqual(await self.spied.messages(), [(PUBLISH, message), (EDIT, message)])
        self.assertEqual(await self.feed.get_item(id_), read)
        self.assertEqual(await self.feed.get_all(), {id_: read})
        self.assertEqual(await self.feed.get_range(0, 0), [(id_, read)])
        await self.feed.retract(id_)
        await self.spied.messages()

    async def test_text(self) -> None:
        """Text is stored as UTF-8 and read back as text."""
        for item in ("hello", "", "\0", "a\0b\0", "é名\U0001f600", "\r\n", "'\"\\", "*3\r\n"):
            await self.check(item, item.encode(), item)

    async def test_bytes(self) -> None:
        """Bytes are accepted; invalid UTF-8 is read as surrogates, and stored again as bytes."""
        for item in (
            b"",
            b"plain",
            b"\0",
            ALL_BYTES,
            ALL_BYTES[::-1],
            b"\xed\xb2\x80",
            b"\xc0\x80",
        ):
            read = item.decode("utf-8", "surrogateescape")
            await self.check(item, item, read)
            await self.check(read, item, read)


class BytesTests(TextTests):
    config = {"serializer": "bytes"}

    async def test_text(self) -> None:
        """The serializer ``bytes`` does not decode UTF-8."""
        await self.check("é".encode(), "é".encode(), "é".encode())

    async def test_bytes(self) -> None:
        """The serializer ``bytes`` returns any bytes unchanged."""
        for item in (b"", b"plain", b"\0", ALL_BYTES, ALL_BYTES[::-1], b"\xed\xb2\x80"):
            await self.check(item, item, item)


class JsonTests(FeedTestCase):
    config = {"serializer": "json"}

    async def test_round_trip(self) -> None:
        """The serializer ``json`` returns every JSON value unchanged."""
        import json

        text = "é\0\U0001f600"
        items: list[Any] = [None, True, 0, -1.5, "", text, [], {}, {"a": [1, {"b": None}]}, 2**70]
        for item in items:
            id_ = await self.feed.publish(item)
            self.assertEqual(await self.feed.get_item(id_), item)
            self.assertEqual(json.loads((await self.value("feed.items:x"))[id_.encode()]), item)
        self.assertEqual(list((await self.feed.get_all()).values()), items)
        self.assertEqual([item for _, item in await self.feed.get_range(0, -1)], items)

    async def test_none_is_an_item(self) -> None:
        """null is an item, although get_item cannot distinguish it from a missing one."""
        await self.feed.publish(None, "1")
        self.assertIs(await self.feed.has_id("1"), True)
        self.assertEqual(await self.feed.get_all(), {"1": None})

    async def test_items_of_others(self) -> None:
        """An item that is not valid JSON fails only the calls that read it."""
        await self.feed.publish([1], "good")
        for item in (b"{not json", b"", b"\xff\xfe", b"\0"):
            await self.raw.send("HSET", "feed.items:x", "bad", item)
            await self.raw.send("ZADD", "feed.ids:x", 5, "bad")
            for call in (
                self.feed.get_item("bad"),
                self.feed.get_id("bad"),
                self.feed.get_all(),
                self.feed.get_range(0, -1),
            ):
                error = await self.assertFailure(call, ValueError)
                self.assertIsInstance(error, ThoonkError)
                self.assertIn("bad", str(error), "the error does not name the item")
            self.assertEqual(await self.feed.get_item("good"), [1])
            self.assertEqual(await self.feed.get_ids(), ["bad", "good"])
            self.assertEqual(await self.feed.get_range(1, 1), [("good", [1])])
        await self.feed.publish([2], "bad")
        self.assertEqual(await self.feed.get_all(), {"good": [1], "bad": [2]})

    async def test_serializer_of_the_feed(self) -> None:
        """A publisher that opens a feed uses the serializer of its configuration."""
        other = await (await self.pub()).feed("x")
        await other.publish({"a": 1}, "1")
        self.assertEqual(await self.feed.get_item("1"), {"a": 1})


class SerializerTests(FeedTestCase):
    async def test_unknown_to_this_program(self) -> None:
        """A feed with an unknown serializer cannot be opened, and stays unchanged."""
        await self.raw.send("HSET", "feed.config:x", "serializer", "msgpack")
        before = await self.state()
        error = await self.assertFailure(self.pub_.feed("x"), ValueError)
        self.assertIn("msgpack", str(error))
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_changed(self) -> None:
        """A new serializer applies to Feed objects that are opened after the change."""
        await self.feed.publish('{"a": 1}', "1")
        reopened = await self.pub_.feed("x", {"serializer": "json"})
        self.assertEqual(await reopened.get_item("1"), {"a": 1})
        reopened = await self.pub_.feed("x", {"serializer": "bytes"})
        self.assertEqual(await reopened.get_item("1"), b'{"a": 1}')


class SizeTests(FeedTestCase):
    async def test_big_items(self) -> None:
        """Items of 10 MB can be stored, published and read."""
        for item in ("x" * 10_000_000, bytes(10_000_000), ALL_BYTES * 40_000):
            stored = item if isinstance(item, bytes) else item.encode()
            read = stored.decode("utf-8", "surrogateescape")
            await self.feed.publish(item, "1")
            self.assertEqual((await self.value("feed.items:x"))[b"1"] == stored, True)
            self.assertEqual(await self.feed.get_item("1") == read, True)
            ((_, message),) = await self.spied.messages()
            self.assertEqual(message == b"1\0" + stored, True)

    async def test_big_feed(self) -> None:
        """A feed of 20,000 items can be read, and a lowered max_length trims it in slices."""
        count = 20_000
        ids = await self.fill(count)
        everything = [(id_, f"i{id_}") for id_ in ids]
        self.assertEqual(await self.feed.length(), count)
        self.assertEqual(await self.feed.get_ids() == ids, True)
        self.assertEqual(list((await self.feed.get_all()).items()) == everything, True)
        self.assertEqual(await self.feed.get_range(0, -1) == everything, True)
        self.assertEqual(await self.feed.get_range(-count, count - 2) == everything[:-1], True)
        await self.feed.set_config({"max_length": 1})
        await self.spied.messages()
        await self.feed.publish("last", "n")
        self.assertEqual(await self.stored(), ["n"])
        told = [(RETRACT, id_.encode()) for id_ in ids]
        told.insert(501, (PUBLISH, b"n\0last"))  # 501 retracts come first, the rest follow
        self.assertEqual(await self.spied.messages() == told, True)

    async def test_big_feed_deleted(self) -> None:
        """Deleting a feed of 20,000 items removes all its keys."""
        await self.fill(20_000)
        await self.feed.delete_feed()
        self.assertEqual(await self.state(), {})


class NameTests(RedisTestCase):
    async def test_names(self) -> None:
        """Any name without NUL is a separate feed, and deleting it affects no other feed."""
        pub, spied = await self.pub(), await self.spy()
        feeds = await gatherResults([pub.feed(name) for name in ODD_NAMES])
        self.assertEqual(await pub.get_feed_names(), set(ODD_NAMES))
        for name, feed in zip(ODD_NAMES, feeds, strict=True):
            self.assertEqual(await feed.publish(f"item of {name}", "1"), "1")
        for name, feed in zip(ODD_NAMES, feeds, strict=True):
            self.assertEqual(await feed.get_all(), {"1": f"item of {name}"})
        await spied.messages()
        for number, (name, feed) in enumerate(zip(ODD_NAMES, feeds, strict=True)):
            data = name.encode("utf-8", "surrogateescape")
            await feed.publish("new", "1")
            await feed.retract("1")
            told = [(b"feed.edit:" + data, b"1\0new"), (b"feed.retract:" + data, b"1")]
            self.assertEqual(await spied.messages(), told)
            self.assertIs(await pub.delete_feed(name), True)
            ((channel, message),) = await spied.messages()
            self.assertEqual((channel, message.split(b"\0")[0]), (b"delfeed", data))
            left = set(ODD_NAMES[number + 1 :])
            self.assertEqual(await pub.get_feed_names(), left)
            ids = [key for key in await self.state() if key.startswith(b"feed.items:")]
            self.assertEqual(len(ids), len(left))
        self.assertEqual(await self.state(), {})

    async def test_ids(self) -> None:
        """Any text without NUL is a valid id."""
        feed, spied = await (await self.pub()).feed("x"), await self.spy()
        ids = list(ODD_NAMES)
        await gatherResults([feed.publish(f"item {id_}", id_) for id_ in ids])
        self.assertEqual(await feed.get_ids(), ids)
        self.assertEqual(await feed.get_all(), {id_: f"item {id_}" for id_ in ids})
        await spied.messages()
        for id_ in ids:
            data = id_.encode("utf-8", "surrogateescape")
            self.assertIs(await feed.has_id(id_), True)
            self.assertEqual(await feed.publish("new", id_), id_)
            self.assertEqual(await feed.get_item(id_), "new")
            self.assertIs(await feed.retract(id_), True)
            self.assertEqual(await spied.messages(), [(EDIT, data + b"\0new"), (RETRACT, data)])
        self.assertEqual(await feed.length(), 0)

    async def test_empty_id(self) -> None:
        """An empty id is either refused or kept, and never replaced by another id."""
        feed = await (await self.pub()).feed("x")
        published = await feed.publish("i", "").addErrback(lambda reason: reason.value)
        if isinstance(published, ValueError):
            self.assertEqual(await feed.get_ids(), [])
        else:
            self.assertEqual((published, await feed.get_ids()), ("", [""]))
