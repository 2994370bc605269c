"""Feed: keys of foreign types and incomplete data; each verb does all of its work or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support import pairs
from tests.support.feed import FeedTestCase
from tests.support.feed_foreign import JSON_CONFIG, MAKERS
from txthoonk.errors import ConfigNotReadable, ThoonkError
from txthoonk.types import Feed, Job, Queue, SortedFeed

# The keys of a plain feed and their types in the contract.
KEYS = {
    "feeds": "set",
    "feed.config:x": "hash",
    "feed.items:x": "hash",
    "feed.ids:x": "zset",
    "feed.publishes:x": "string",
}


class WrongTypeTests(FeedTestCase):
    config = {"max_length": 2}

    async def setUp(self) -> None:
        await super().setUp()
        await self.fill(2)

    def verbs(self) -> dict[str, Callable[[], Any]]:
        """Return every writing verb, as a call that writes as much as possible."""
        return {
            "publish": lambda: self.feed.publish("new", "n"),
            "edit": lambda: self.feed.publish("new", "1"),
            "retract": lambda: self.feed.retract("0"),
            "set_config": lambda: self.feed.set_config({"title": "new", "max_length": 1}),
            "feed": lambda: self.pub_.feed("x", {"title": "new"}),
            "create_feed": lambda: self.pub_.create_feed("x", {"title": "new"}),
            "delete_feed": self.feed.delete_feed,
        }

    async def seeded(self) -> None:
        """Create the feed again, with two items."""
        await self.raw.flushdb()
        await self.pub_.feed("x", self.config)
        await self.fill(2)

    async def assertAllOrNothing(self, what: str, verb: Callable[[], Any]) -> Any:
        """Call a verb; if it fails, check that it changed and published nothing."""
        before = await self.state()
        await self.spied.messages()
        result: Any = await verb().addErrback(lambda reason: reason.value)
        if isinstance(result, Exception):
            self.assertIsInstance(result, ThoonkError, what)
            self.assertEqual(await self.state(), before, f"{what} failed and changed something")
            self.assertEqual(await self.spied.messages(own=True), [], f"{what} failed and told")
        return result

    async def put(self, key: str, type_: str) -> None:
        await self.raw.send("DEL", key)
        command, *arguments = MAKERS[type_]
        await self.raw.send(command, key, *arguments)

    async def test_every_key_of_every_type(self) -> None:
        """A verb is executed entirely or not at all, whichever key has a foreign type."""
        for key, right in KEYS.items():
            for type_ in MAKERS:
                if type_ == right:
                    continue
                for verb in self.verbs():
                    await self.seeded()
                    await self.put(key, type_)
                    what = f"{verb} with {key} a {type_}"
                    await self.assertAllOrNothing(what, self.verbs()[verb])

    async def test_publish_needs_them_all(self) -> None:
        """A publish or edit fails if any key of the feed has a foreign type."""
        for key in list(KEYS)[1:]:
            for verb in ("publish", "edit"):
                await self.seeded()
                await self.put(key, "list")
                result = await self.assertAllOrNothing(f"{verb}, {key}", self.verbs()[verb])
                self.assertIsInstance(result, ThoonkError, f"{verb} with {key} a list")

    async def test_counter_that_is_no_number(self) -> None:
        """A counter that Redis cannot increment fails the publish before it changes anything."""
        for counter in ("x", "", "1.5", " 1", str(2**63 - 1), str(2**64)):
            for verb in ("publish", "edit"):
                await self.seeded()
                await self.raw.send("SET", "feed.publishes:x", counter)
                what = f"{verb} with counter {counter!r}"
                result = await self.assertAllOrNothing(what, self.verbs()[verb])
                self.assertIsInstance(result, ThoonkError, what)

    async def test_limit_that_is_no_number(self) -> None:
        """A publish with an unreadable max_length is executed entirely or not at all."""
        for limit in ("x", "", "-1", "1.5", "1e1", "nan", "inf", "0x10", str(2**70)):
            for verb in ("publish", "edit"):
                await self.seeded()
                await self.raw.send("HSET", "feed.config:x", "max_length", limit)
                what = f"{verb} with max_length {limit!r}"
                result = await self.assertAllOrNothing(what, self.verbs()[verb])
                if not isinstance(result, Exception):
                    stored = await self.stored()
                    self.assertEqual(stored[-1], "n" if verb == "publish" else "1", what)

    async def test_key_that_may_only_be_read(self) -> None:
        """Every verb fails and publishes nothing on a server that accepts no writes."""
        await self.raw.send("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            for verb, call in self.verbs().items():
                result = await self.assertAllOrNothing(verb, call)
                self.assertIsInstance(result, ThoonkError, verb)
        finally:
            await self.raw.send("CONFIG", "SET", "min-replicas-to-write", "0")

    async def test_channels_refused(self) -> None:
        """A user who may not publish on a feed's channels cannot change the feed."""
        await self.raw.send(
            *("ACL", "SETUSER", "mute", "on", ">secret", "allkeys", "allcommands", "resetchannels")
        )
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        mute = await self.pub(username="mute", password="secret")
        feed = await mute.feed("x")
        for what, call in (
            ("publish", lambda: feed.publish("new", "n")),
            ("edit", lambda: feed.publish("new", "1")),
            ("retract", lambda: feed.retract("0")),
            ("set_config", lambda: feed.set_config({"max_length": 1})),
            ("create_feed", lambda: mute.create_feed("y")),
            ("delete_feed", lambda: mute.delete_feed("x")),
        ):
            result = await self.assertAllOrNothing(what, call)
            self.assertIsInstance(result, ThoonkError, what)
        await self.raw.flushdb()
        await self.raw.send("SADD", "feeds", "x")
        result = await self.assertAllOrNothing("first publish", lambda: feed.publish("i", "1"))
        self.assertIsInstance(result, ThoonkError)

    async def test_full_memory(self) -> None:
        """Verbs that add data fail and publish nothing on a server without memory."""
        (_, limit), *_ = pairs(await self.raw.send("CONFIG", "GET", "maxmemory"))
        await self.raw.send("CONFIG", "SET", "maxmemory", "1")
        try:
            for verb in ("publish", "edit", "set_config", "feed"):
                result = await self.assertAllOrNothing(verb, self.verbs()[verb])
                self.assertIsInstance(result, ThoonkError, verb)
        finally:
            await self.raw.send("CONFIG", "SET", "maxmemory", limit)


class LeftoverTests(FeedTestCase):
    async def test_feed_that_is_not_registered(self) -> None:
        """A feed is created entirely or not at all if a key of a foreign type is in the way."""
        for key in ("feeds", "feed.config:y"):
            for type_, (command, *arguments) in MAKERS.items():
                for verb in (self.pub_.feed, self.pub_.create_feed):
                    await self.raw.flushdb()
                    await self.raw.send(command, key, *arguments)
                    before = await self.state()
                    await self.spied.messages()
                    result: Any = await verb("y", {"title": "t"}).addErrback(
                        lambda reason: reason.value
                    )
                    if not isinstance(result, Exception):
                        self.assertEqual(type_, KEYS[key.replace("y", "x")])
                        continue
                    self.assertIsInstance(result, ThoonkError)
                    self.assertEqual(await self.state(), before, (key, type_))
                    self.assertEqual(await self.spied.messages(own=True), [], (key, type_))

    async def test_configurations_of_any_size(self) -> None:
        """A configuration that is too big for a script is refused as a whole."""
        for count in (100, *range(3985, 4005), 10_000):
            config = {f"k{number}": "v" for number in range(count)}
            for verb in (self.pub_.create_feed, self.pub_.feed, self.pub_.set_config):
                await self.raw.flushdb()
                await self.raw.send("SADD", "feeds", "x")
                name = "x" if verb == self.pub_.set_config else "y"
                before = await self.state()
                await self.spied.messages()
                result: Any = await verb(name, config).addErrback(lambda reason: reason.value)
                told = await self.spied.messages()
                what = f"{verb.__name__} with {count} values"
                if isinstance(result, Exception):
                    self.assertEqual(await self.state(), before, what)
                    self.assertEqual(told, [], what)
                else:
                    stored = await self.pub_.get_config(name)
                    self.assertEqual({**stored, **config}, stored, what)
                    self.assertEqual(len(told), 1, what)


class JsonConfigTests(FeedTestCase):
    async def test_error_says_so(self) -> None:
        """A configuration stored as a JSON string is kept, and the error names its key."""
        await self.fill(2)
        await self.raw.send("SET", "feed.config:x", JSON_CONFIG)
        before = await self.state()
        for call in (
            lambda: self.feed.publish("new"),
            lambda: self.feed.publish("new", "1"),
            self.feed.get_config,
            lambda: self.feed.set_config({"max_length": 3}),
            lambda: self.pub_.get_config("x"),
            lambda: self.pub_.set_config("x", {"max_length": 3}),
            lambda: self.pub_.feed("x"),
            lambda: self.pub_.feed("x", {"max_length": 3}),
        ):
            error = await self.assertFailure(call(), ThoonkError)
            for word in ("feed.config:x", "JSON", "hash"):
                self.assertIn(word, str(error))
            self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_made_by_hand(self) -> None:
        """No object of any type changes a feed with such a configuration."""
        verbs: list[tuple[Any, ...]]
        for type_, verbs in (
            (Feed, [("publish", "new"), ("retract", "1")]),
            (SortedFeed, [("append", "new"), ("edit", "1", "new"), ("retract", "1")]),
            (SortedFeed, [("move_first", "1")]),
            (Queue, [("put", "new"), ("put_many", ["new"]), ("get", 1)]),
            (Job, [("put", "new"), ("get", 1), ("finish", "1")]),
            (Job, [("cancel", "1"), ("stall", "1"), ("retry", "1"), ("retract", "1")]),
            (Job, [("edit", "1", "new"), ("drain",), ("maintenance",)]),
        ):
            await self.raw.flushdb()
            await self.raw.send("SADD", "feeds", "x")
            await self.raw.send("SET", "feed.config:x", JSON_CONFIG)
            await self.raw.send("HSET", "feed.items:x", "1", "item")
            before = await self.state()
            for verb, *arguments in verbs:
                called = getattr(type_(self.pub_, "x"), verb)(*arguments)
                error = await self.assertFailure(called, ConfigNotReadable)
                self.assertIn("feed.config:x", str(error))
                self.assertEqual(await self.state(), before, (type_, verb))


class HalfThereTests(FeedTestCase):
    async def test_id_without_item(self) -> None:
        """Items can be read even if the feed has an id without an item."""
        await self.fill(2)
        await self.raw.send("ZADD", "feed.ids:x", "5", "lost")
        everything = await self.feed.get_all()
        self.assertEqual({"0": "i0", "1": "i1"}, {**everything, "0": "i0", "1": "i1"})
        self.assertIsNone(everything.get("lost"))
        self.assertIsNone(await self.feed.get_item("lost"))
        for id_, item in await self.feed.get_range(0, -1):
            self.assertEqual(item, None if id_ == "lost" else f"i{id_}")

    async def test_id_without_item_is_repaired(self) -> None:
        """Publishing or retracting an id without an item makes ids and items match again."""
        for repair in (
            lambda: self.feed.publish("new", "lost"),
            lambda: self.feed.retract("lost"),
        ):
            await self.raw.send("ZADD", "feed.ids:x", "5", "lost")
            await repair()
            await self.stored()

    async def test_item_without_id_is_repaired(self) -> None:
        """Publishing or retracting an item without an id makes ids and items match again."""
        for repair in (
            lambda: self.feed.publish("new", "lost"),
            lambda: self.feed.retract("lost"),
        ):
            await self.raw.send("HSET", "feed.items:x", "lost", "old")
            await repair()
            await self.stored()

    async def test_dropped_without_item(self) -> None:
        """An id without an item counts towards max_length, and is dropped like any other."""
        await self.feed.set_config({"max_length": 2})
        await self.raw.send("ZADD", "feed.ids:x", "5", "lost")
        for id_ in "abc":
            await self.feed.publish("i", id_)
        self.assertEqual(await self.stored(), ["b", "c"])

    async def test_feed_without_configuration(self) -> None:
        """A feed that another program registered without a configuration is a plain feed."""
        await self.raw.flushdb()
        await self.raw.send("SADD", "feeds", "x")
        feed = await self.pub_.feed("x")
        self.assertEqual(await feed.get_config(), {})
        await feed.publish("i", "1")
        self.assertEqual(await feed.get_all(), {"1": "i"})

    async def test_ids_that_are_not_text(self) -> None:
        """An id of another program that is not UTF-8 can be read and retracted."""
        await self.raw.send("ZADD", "feed.ids:x", "5", b"\xff\xfe")
        await self.raw.send("HSET", "feed.items:x", b"\xff\xfe", "old")
        (id_,) = await self.feed.get_ids()
        self.assertEqual(await self.feed.get_item(id_), "old")
        self.assertEqual(await self.feed.get_range(0, 0), [(id_, "old")])
        self.assertIs(await self.feed.retract(id_), True)
        self.assertEqual(await self.stored(), [])
