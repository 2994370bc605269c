"""SortedFeed beside another implementation, with keys of foreign types, and with refusals."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT, Recorder, pairs
from tests.support.feed_foreign import JSON_CONFIG, MAKERS
from tests.support.sorted_feed import VERBS, SortedFeedTestCase
from txthoonk import ThoonkPubFactory, ThoonkSubFactory
from txthoonk.errors import (
    ConfigNotReadable,
    FeedTypeMismatch,
    ItemDoesNotExist,
    ResponseError,
    ThoonkError,
)
from txthoonk.testing import RedisServer

# The keys of a sorted feed and their types in the contract.
KEYS = {
    "feeds": "set",
    "feed.config:x": "hash",
    "feed.items:x": "hash",
    "feed.ids:x": "list",
    "feed.publishes:x": "string",
    "feed.idincr:x": "string",
}
ADDING = ("append", "publish", "prepend", "publish_before", "publish_after")
MOVING = ("move", "move_before", "move_after", "move_first", "move_last")
# The keys that each verb needs.
NEEDED = {
    **dict.fromkeys(ADDING, list(KEYS)[2:]),
    "edit": ("feed.items:x", "feed.publishes:x"),
    **dict.fromkeys(MOVING, ("feeds", "feed.items:x", "feed.ids:x")),
    "retract": ("feeds", "feed.items:x", "feed.ids:x"),
}


class Peer:
    """Another implementation, which sends the commands of the contract one by one."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self.send = send

    async def all(self, *commands: tuple[str, ...]) -> None:
        for command in (("MULTI",), *commands, ("EXEC",)):
            await self.send(*command)

    async def has(self, id_: str) -> bool:
        await self.send("WATCH", "feed.items:x")
        there = bool(await self.send("HEXISTS", "feed.items:x", id_))
        if not there:
            await self.send("UNWATCH")
        return there

    async def publish(self, position: str, item: str, *push: str) -> str:
        id_ = str(await self.send("INCR", "feed.idincr:x"))
        await self.all(
            (*push, id_),
            ("INCR", "feed.publishes:x"),
            ("HSET", "feed.items:x", id_, item),
            ("PUBLISH", "feed.publish:x", f"{id_}\0{item}"),
            ("PUBLISH", "feed.position:x", f"{id_}\0{position}"),
        )
        return id_

    async def append(self, item: str) -> str:
        return await self.publish(":end", item, "RPUSH", "feed.ids:x")

    async def prepend(self, item: str) -> str:
        return await self.publish("begin:", item, "LPUSH", "feed.ids:x")

    async def publish_before(self, id_: str, item: str) -> Any:
        if not await self.has(id_):
            return ItemDoesNotExist
        return await self.publish(f":{id_}", item, "LINSERT", "feed.ids:x", "BEFORE", id_)

    async def publish_after(self, id_: str, item: str) -> Any:
        if not await self.has(id_):
            return ItemDoesNotExist
        return await self.publish(f"{id_}:", item, "LINSERT", "feed.ids:x", "AFTER", id_)

    async def edit(self, id_: str, item: str) -> Any:
        if not await self.has(id_):
            return ItemDoesNotExist
        await self.all(
            ("HSET", "feed.items:x", id_, item),
            ("INCR", "feed.publishes:x"),
            ("PUBLISH", "feed.publish:x", f"{id_}\0{item}"),
        )
        return None

    async def place(self, position: str, id_: str, *push: str) -> Any:
        if not await self.has(id_):
            return ItemDoesNotExist
        told = ("PUBLISH", "feed.position:x", f"{id_}\0{position}")
        await self.all(("LREM", "feed.ids:x", "1", id_), (*push, id_), told)
        return None

    async def move_first(self, id_: str) -> Any:
        return await self.place("begin:", id_, "LPUSH", "feed.ids:x")

    async def move_last(self, id_: str) -> Any:
        return await self.place(":end", id_, "RPUSH", "feed.ids:x")

    async def beside(self, position: str, where: str, relative: str, id_: str) -> Any:
        if relative == id_ or not await self.has(relative):
            return None if relative == id_ and await self.has(id_) else ItemDoesNotExist
        return await self.place(position, id_, "LINSERT", "feed.ids:x", where, relative)

    async def move_before(self, relative: str, id_: str) -> Any:
        return await self.beside(f":{relative}", "BEFORE", relative, id_)

    async def move_after(self, relative: str, id_: str) -> Any:
        return await self.beside(f"{relative}:", "AFTER", relative, id_)

    async def retract(self, id_: str) -> bool:
        if not await self.has(id_):
            return False
        await self.all(
            ("LREM", "feed.ids:x", "1", id_),
            ("HDEL", "feed.items:x", id_),
            ("PUBLISH", "feed.retract:x", id_),
        )
        return True


class PeerTests(SortedFeedTestCase):
    """Two implementations of the contract work on one feed."""

    async def both(self, verb: str, *arguments: str) -> None:
        """Call a verb of the other implementation, and check that the model agrees."""
        fired = await getattr(self.peer, verb)(*arguments)
        self.assertEqual(fired, self.model.call(verb, *arguments), (verb, arguments))
        await self.assertAsModel()

    async def setUp(self) -> None:
        await super().setUp()
        self.peer = Peer((await self.redis(charset=None)).send)

    async def test_each_verb_of_the_other(self) -> None:
        """Changes by another implementation can be read, and its events arrive in order."""
        heard = await self.record(await self.sub(), "feed.publish:x", "feed.position:x", "end")
        await self.feed.append("i1")
        self.model.append("i1")
        for verb, *arguments in VERBS:
            if verb not in ("publish", "move"):
                await self.both(verb, *arguments)
                self.assertEqual(await self.feed.get_ids(), self.model.order)
                self.assertEqual(await self.feed.get_all(), self.model.items)
                self.assertEqual(list(await self.feed.get_all()), self.model.order)
        await self.raw.publish("end", "")
        expected = [("feed.publish:x", "1", "i1"), ("feed.position:x", "1", ":end")]
        for id_, position in (("2", ":end"), ("3", "begin:"), ("4", ":1"), ("5", "1:")):
            expected += [("feed.publish:x", id_, "item"), ("feed.position:x", id_, position)]
        expected += [("feed.publish:x", "1", "item")]
        for id_, position in (("2", ":1"), ("1", "2:"), ("2", "begin:"), ("1", ":end")):
            expected += [("feed.position:x", id_, position)]
        self.assertEqual(await heard.wait(len(expected) + 1), [*expected, ("end", "")])

    async def test_taking_turns(self) -> None:
        """The feed has the same state, whichever implementation makes each change."""
        choice = random.Random(3)
        verbs = [verb for verb in VERBS if verb[0] not in ("publish", "move")]
        for _ in range(300):
            ids = [*self.model.order, *self.model.order, "missing"]
            verb, *arguments = choice.choice(verbs)
            made = ["item" if one == "item" else choice.choice(ids) for one in arguments]
            await choice.choice((self.both, self.same))(verb, *made)


class WrongTypeTests(SortedFeedTestCase):
    async def seeded(self) -> None:
        """Create the feed again, with three items."""
        await self.raw.flushdb()
        await self.pub_.sorted_feed("x")
        await gatherResults([self.feed.append(f"i{number}") for number in range(3)])

    async def assertAllOrNothing(self, what: str, verb: tuple[str, ...]) -> Any:
        """Call a verb; if it fails, check that it changed and published nothing."""
        before = await self.state()
        await self.spied.messages()
        called = getattr(self.feed, verb[0])(*verb[1:])
        result: Any = await called.addErrback(lambda reason: reason.value)
        if isinstance(result, Exception):
            self.assertIsInstance(result, ThoonkError, what)
            self.assertEqual(await self.state(), before, f"{what} failed and changed something")
            self.assertEqual(await self.spied.messages(own=True), [], f"{what} failed and told")
        return result

    async def assertRefused(self, what: str, verb: tuple[str, ...]) -> None:
        result = await self.assertAllOrNothing(what, verb)
        self.assertIsInstance(result, ResponseError, what)

    async def test_every_key_of_every_type(self) -> None:
        """A verb is executed entirely or not at all, whichever key has a foreign type."""
        for key, right in KEYS.items():
            for type_, (command, *arguments) in MAKERS.items():
                if type_ == right:
                    continue
                for verb in VERBS:
                    await self.seeded()
                    await self.raw.send("DEL", key)
                    await self.raw.send(command, key, *arguments)
                    what = f"{verb[0]} with {key} a {type_}"
                    if key in NEEDED[verb[0]]:
                        await self.assertRefused(what, verb)
                    else:
                        await self.assertAllOrNothing(what, verb)

    async def test_counters_that_are_no_number(self) -> None:
        """A counter that Redis cannot increment fails the verb before it changes anything."""
        for key in ("feed.publishes:x", "feed.idincr:x"):
            for counter in ("x", "", "1.5", " 1", str(2**63 - 1), str(2**64)):
                for verb in VERBS[:6]:
                    if key in NEEDED[verb[0]]:
                        await self.seeded()
                        await self.raw.send("SET", key, counter)
                        await self.assertRefused(f"{verb[0]} with {key} {counter!r}", verb)

    async def test_no_replicas(self) -> None:
        """Every verb fails and publishes nothing on a server that accepts no writes."""
        await self.seeded()
        await self.raw.send("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            for verb in VERBS:
                await self.assertRefused(verb[0], verb)
        finally:
            await self.raw.send("CONFIG", "SET", "min-replicas-to-write", "0")

    async def test_full_memory(self) -> None:
        """Without memory, a server refuses verbs that add data; moves and removals still work."""
        await self.seeded()
        (_, limit), *_ = pairs(await self.raw.send("CONFIG", "GET", "maxmemory"))
        await self.raw.send("CONFIG", "SET", "maxmemory", "1")
        try:
            for verb in VERBS:
                if verb[0] in (*ADDING, "edit"):
                    await self.assertRefused(verb[0], verb)
                else:
                    result = await self.assertAllOrNothing(verb[0], verb)
                    self.assertFalse(isinstance(result, Exception), (verb[0], result))
        finally:
            await self.raw.send("CONFIG", "SET", "maxmemory", limit)
        self.assertEqual(await self.feed.get_ids(), ["2", "3"])

    async def mute(self, *channels: str) -> None:
        """Use the feed as a user who may publish on these channels only."""
        user = ("ACL", "SETUSER", "mute", "on", ">secret", "allkeys", "allcommands")
        await self.raw.send(*user, "resetchannels", *channels)
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        pub = await self.pub(username="mute", password="secret")
        self.feed = type(self.feed)(pub, "x")

    async def test_channels_refused(self) -> None:
        """A user who may not publish on a feed's channels cannot change the feed."""
        await self.seeded()
        await self.mute()
        for verb in VERBS:
            await self.assertRefused(verb[0], verb)

    async def test_first_item_refused(self) -> None:
        """A user who may not publish on a feed's channels does not create its counters either."""
        await self.mute()
        await self.assertRefused("append", ("append", "item"))

    async def test_some_channels_refused(self) -> None:
        """A verb stores nothing if the user may not publish one of its messages."""
        await self.seeded()
        await self.mute("&feed.publish:x")
        before = await self.state()
        for verb in VERBS:
            if verb[0] != "edit":
                called = getattr(self.feed, verb[0])(*verb[1:])
                await self.assertFailure(called, ResponseError)
                self.assertEqual(await self.state(), before, verb)

    async def test_json_config(self) -> None:
        """A configuration stored as a JSON string is kept, and the error names its key."""
        await self.seeded()
        await self.raw.send("SET", "feed.config:x", JSON_CONFIG)
        before = await self.state()
        error = await self.assertFailure(self.pub_.sorted_feed("x"), ConfigNotReadable)
        self.assertIn("feed.config:x", str(error))
        self.assertEqual(await self.state(), before)

    async def test_another_type(self) -> None:
        """A feed of another type is neither opened nor changed."""
        for opened, others in (("sorted_feed", ("feed", "queue", "job")), ("feed", ())):
            for type_ in others or ("sorted_feed",):
                await self.raw.send("HSET", "feed.config:x", "type", type_)
                before = await self.state()
                called = getattr(self.pub_, opened)("x", {"title": "new"})
                await self.assertFailure(called, FeedTypeMismatch)
                self.assertEqual(await self.state(), before)


class ReplicaTests(TestCase):
    timeout = TIMEOUT

    async def test_changes_nothing_and_tells_nobody(self) -> None:
        """On a replica, every verb fails with READONLY, changes no key and publishes no event."""
        server = RedisServer()
        self.addCleanup(server.stop)
        await server.start()
        pub: Any = await server.endpoint().connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        sub: Any = await server.endpoint().connect(ThoonkSubFactory())
        self.addCleanup(sub.close)
        feed = await pub.sorted_feed("x")
        await gatherResults([feed.append("i1"), feed.append("i2")])
        heard = Recorder()
        for event in (feed.channel_publish, feed.channel_position, feed.channel_retract, "end"):
            await sub.register_handler(event, heard)
        await pub.redis.slaveof("127.0.0.1", 1)  # no server is there, so it keeps its data
        for verb, *arguments in VERBS:
            error = await self.assertFailure(getattr(feed, verb)(*arguments), ResponseError)
            self.assertIn("READONLY", f"{error.code} {error}")
        await pub.publish_channel("end")
        self.assertEqual(await heard.wait(1), [("",)])
        self.assertEqual(list((await feed.get_all()).items()), [("1", "i1"), ("2", "i2")])
        self.assertEqual(await pub.redis.mget("feed.publishes:x", "feed.idincr:x"), ["2", "2"])
