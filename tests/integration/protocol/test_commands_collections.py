"""Commands on lists, sets, hashes and sorted sets fire replies of txredis' shapes."""

from __future__ import annotations

import math

from tests.support.commands import CommandTestCase
from txthoonk.errors import InvalidCommand


class ListTests(CommandTestCase):
    """Commands on lists, including blocking pops."""

    async def test_push(self) -> None:
        """The push commands add one or many values to either end, and fire the length."""
        client = self.client
        self.assertEqual(await client.push("l", "b"), 1)
        self.assertEqual(await client.push("l", "c", tail=True), 2)
        self.assertEqual(await client.push("l", "a", no_create=True), 3)
        self.assertEqual(await client.push("l", "d", tail=True, no_create=True), 4)
        self.assertEqual(await client.push("none", "a", no_create=True), 0)
        self.assertEqual(await client.lpush("l", "z", "y"), 6)
        self.assertEqual(await client.rpush("l", "e", "f"), 8)
        self.assertEqual(await client.lpush("l", value="x"), 9)
        self.assertEqual(await client.rpush("l", value="g"), 10)
        self.assertEqual(await client.lpushx("l", "w"), 11)
        self.assertEqual(await client.rpushx("l", "h"), 12)
        self.assertEqual(await client.rpushx("none", value="h"), 0)
        self.assertEqual(await client.lrange("l", 0, -1), list("wxyzabcdefgh"))
        self.assertEqual(await client.llen("l"), 12)

    async def test_pop(self) -> None:
        """The pop commands take a value from either end, and fire None for an empty list."""
        client = self.client
        await client.rpush("l", *"abcdef")
        self.assertEqual(await client.pop("l"), "a")
        self.assertEqual(await client.pop("l", tail=True), "f")
        self.assertEqual(await client.lpop("l"), "b")
        self.assertEqual(await client.rpop("l"), "e")
        self.assertIsNone(await client.pop("none"))
        self.assertIsNone(await client.rpop("none"))

    async def test_elements(self) -> None:
        """Elements can be read, replaced and removed by index or value."""
        client = self.client
        await client.rpush("l", *"abacada")
        self.assertEqual(await client.lindex("l", 1), "b")
        self.assertIsNone(await client.lindex("l", 99))
        self.assertEqual(await client.lset("l", index=1, value="B"), "OK")
        await self.fails(client.lset("l", 99, "x"), "ERR")
        self.assertEqual(await client.lrem("l", "a", count=1), 1)
        self.assertEqual(await client.lrem("l", "a", -1), 1)
        self.assertEqual(await client.lrem("l", "a"), 2)
        self.assertEqual(await client.lrange("l", 0, -1), ["B", "c", "d"])
        self.assertEqual(await client.ltrim("l", 1, -1), "OK")
        self.assertEqual(await client.lrange(key="l", start=0, end=-1), ["c", "d"])
        self.assertEqual(await client.lrange("none", 0, -1), [])

    async def test_move(self) -> None:
        """``rpoplpush`` and ``brpoplpush`` move an element from one list to another."""
        client = self.client
        await client.rpush("l", "a", "b")
        self.assertEqual(await client.rpoplpush("l", "m"), "b")
        self.assertEqual(await client.brpoplpush("l", "m", timeout=5), "a")
        self.assertIsNone(await client.rpoplpush("l", "m"))
        self.assertEqual(await client.lrange("m", 0, -1), ["a", "b"])

    async def test_pop_at_once(self) -> None:
        """A blocking pop fires the key and the element at once if there is one."""
        client = self.client
        await client.rpush("l", *"abcd")
        self.assertEqual(await client.bpop(["none", "l"]), ["l", "a"])
        self.assertEqual(await client.bpop(["l"], tail=True), ["l", "d"])
        self.assertEqual(await client.brpop(("l",)), ["l", "c"])
        self.assertEqual(await client.bpop(keys=["l"], tail=False, timeout=1), ["l", "b"])

    async def test_pop_that_waits(self) -> None:
        """A blocking pop fires when another client pushes."""
        for pop in (
            self.client.bpop(["l", "m"], timeout=30),
            self.client.brpop(["l", "m"], timeout=30),
        ):
            await self.raw.lpush("m", "x")
            self.assertEqual(await pop, ["m", "x"])
        waiting = self.client.brpoplpush("l", "m", timeout=30)
        await self.raw.lpush("l", "y")
        self.assertEqual(await waiting, "y")

    async def test_pop_that_waits_in_vain(self) -> None:
        """A blocking pop fires None after its timeout, which may be a fraction of a second."""
        for deferred in (
            self.client.bpop(["l"], timeout=0.01),
            self.client.bpop(["l"], tail=True, timeout=0.01),
            self.client.brpop(["l"], 0.01),
            self.client.brpoplpush("l", "m", 0.01),
        ):
            self.assertIsNone(await deferred)


class SetTests(CommandTestCase):
    """Commands on sets; ``smembers``, ``sinter`` and ``sunion`` fire a set."""

    async def test_members(self) -> None:
        """One or many members can be added and removed."""
        client = self.client
        self.assertEqual(await client.sadd("s", "a", "b"), 2)
        self.assertEqual(await client.sadd("s", value="c"), 1)
        self.assertEqual(await client.sadd("s", "c"), 0)
        self.assertEqual(await client.scard("s"), 3)
        self.assertEqual(await client.smembers("s"), {"a", "b", "c"})
        self.assertEqual(await self.raw.smembers("s"), {b"a", b"b", b"c"})
        self.assertEqual(await client.sismember("s", value="a"), 1)
        self.assertEqual(await client.sismember("s", "x"), 0)
        self.assertEqual(await client.srem("s", "a", "x"), 1)
        self.assertEqual(await client.srem("s", value="b"), 1)
        self.assertIn(await client.srandmember("s"), {"c"})
        self.assertEqual(await client.spop("s"), "c")
        self.assertIsNone(await client.spop("s"))
        self.assertIsNone(await client.srandmember("s"))
        self.assertEqual(await client.smembers("s"), set())

    async def test_many_sets(self) -> None:
        """The difference, intersection and union of sets can be fired or stored."""
        client = self.client
        await client.sadd("s", *"abc")
        await client.sadd("t", *"bcd")
        self.assertEqual(await client.sdiff("s", "t"), ["a"])
        self.assertEqual(await client.sinter("s", "t"), {"b", "c"})
        self.assertEqual(await client.sunion("s", "t"), set("abcd"))
        self.assertEqual(await client.sinter("s", "none"), set())
        self.assertEqual(await client.sdiffstore("x", "s", "t"), 1)
        self.assertEqual(await client.sinterstore("y", "s", "t"), 2)
        self.assertEqual(await client.sunionstore("z", "s", "t"), 4)
        self.assertEqual(await client.smove("s", "x", member="b"), 1)
        self.assertEqual(await client.smove("s", "x", "b"), 0)
        self.assertEqual(await client.smembers("x"), {"a", "b"})

    async def test_wrong_type(self) -> None:
        """A set command fails on a key of another type."""
        await self.client.set("a", 1)
        await self.fails(self.client.smembers("a"), "WRONGTYPE")


class HashTests(CommandTestCase):
    """Commands on hashes; ``hgetall`` and ``hget`` fire a dict."""

    async def test_fields(self) -> None:
        """Fields can be set and removed."""
        client = self.client
        self.assertEqual(await client.hset("h", "a", 1), 1)
        self.assertEqual(await client.hset("h", "a", 2), 0)
        self.assertEqual(await client.hset("h", "a", 3, preserve=True), 0)
        self.assertEqual(await client.hsetnx("h", field="b", value="x"), 1)
        self.assertEqual(await client.hmset("h", in_dict={"c": "y", "d": "z"}), "OK")
        self.assertEqual(await client.hlen("h"), 4)
        self.assertEqual(sorted(await client.hkeys("h")), list("abcd"))
        self.assertEqual(sorted(await client.hvals("h")), ["2", "x", "y", "z"])
        self.assertEqual(await client.hexists("h", "a"), 1)
        self.assertEqual(await client.hdel("h", "a", "none"), 1)
        self.assertEqual(await client.hdelete("h", "b"), 1)
        self.assertEqual(await client.hexists("h", "a"), 0)
        self.assertEqual(await client.hgetall("h"), {"c": "y", "d": "z"})
        self.assertEqual(await self.raw.hgetall("h"), {b"c": b"y", b"d": b"z"})
        self.assertEqual(await client.hgetall("none"), {})
        await self.assertFailure(client.hdel("h"), InvalidCommand)

    async def test_get(self) -> None:
        """``hget`` fires a dict of field and value; ``hget_value`` fires only the value."""
        client = self.client
        await client.hmset("h", {"a": 1, "b": "", "ä": "ö"})
        self.assertEqual(await client.hget("h", "a"), {"a": "1"})
        self.assertEqual(await client.hget("h", "b"), {"b": ""})
        self.assertIsNone(await client.hget("h", "none"))
        self.assertEqual(await client.hget("h", ["a", "none"]), {"a": "1", "none": None})
        self.assertEqual(await client.hmget("h", ("b", "ä")), {"b": "", "ä": "ö"})
        self.assertEqual(await client.hmget("none", ["a"]), {"a": None})
        self.assertEqual(await client.hget_value("h", "ä"), "ö")
        self.assertIsNone(await client.hget_value("h", field="none"))
        self.assertEqual(await self.raw.hget("h", b"a"), {b"a": b"1"})
        self.assertEqual(await self.raw.hget("h", "a"), {"a": b"1"})
        self.assertEqual(await self.raw.hget("h", [b"a", "ä"]), {b"a": b"1", "ä": "ö".encode()})

    async def test_numbers(self) -> None:
        """A field can be incremented by any amount."""
        client = self.client
        self.assertEqual(await client.hincr("h", "n"), 1)
        self.assertEqual(await client.hincr("h", "n", amount=-5), -4)
        self.assertEqual(await client.hincrby("h", "n", 4), 0)


class SortedSetTests(CommandTestCase):
    """Commands on sorted sets; scores are floats."""

    async def test_add(self) -> None:
        """``zadd`` takes one member and its score in either order, and many as score, member."""
        client = self.client
        self.assertEqual(await client.zadd("z", "a", 1), 1)
        self.assertEqual(await client.zadd("z", 2, "b"), 1)
        self.assertEqual(await client.zadd("z", 3, "c", 4.5, "d"), 2)
        self.assertEqual(await client.zadd("z", member="e", score=-math.inf), 1)
        self.assertEqual(await client.zadd("z", "a", 1.5), 0)
        self.assertEqual(
            await client.zrange("z", 0, -1, withscores=True),
            [("e", -math.inf), ("a", 1.5), ("b", 2.0), ("c", 3.0), ("d", 4.5)],
        )
        self.assertEqual(await client.zcard("z"), 5)
        self.assertEqual(await client.zrem("z", "a", "none"), 1)
        self.assertEqual(await client.zrem("z", member="b"), 1)
        self.assertEqual(await client.zrange("z", start=0, end=-1), ["e", "c", "d"])

    async def test_scores(self) -> None:
        """A member has a score and a rank; both are None if it does not exist."""
        client = self.client
        await client.zadd("z", 1, "a", 2, "b", 3, "c")
        self.assertEqual(await client.zscore("z", "a"), 1.0)
        self.assertIs(type(await client.zscore("z", element="a")), float)
        self.assertIsNone(await client.zscore("z", "none"))
        self.assertEqual(await client.zrank("z", "a"), 0)
        self.assertEqual(await client.zrank("z", "a", reverse=True), 2)
        self.assertEqual(await client.zrevrank("z", "c"), 0)
        self.assertIsNone(await client.zrank("z", "none"))
        self.assertEqual(await client.zincr("z", "a"), "2")
        self.assertEqual(await client.zincr("z", "a", incr=0.5), "2.5")
        self.assertEqual(await client.zcount("z", 2, 2.5), 2)
        self.assertEqual(await client.zcount("z", min="(2", max="+inf"), 2)

    async def test_ranges(self) -> None:
        """Ranges by rank and by score work in both directions, with and without scores."""
        client = self.client
        await client.zadd("z", 1, "a", 2, "b", 3, "c", 4, "d")
        self.assertEqual(await client.zrange("z", 1, 2), ["b", "c"])
        self.assertEqual(await client.zrange("z", 0, 0, reverse=True), ["d"])
        self.assertEqual(await client.zrange("z", 0, 0, True, True), [("d", 4.0)])
        self.assertEqual(await client.zrevrange("z", 0, 1), ["d", "c"])
        self.assertEqual(await client.zrevrange("z", 3, 3, withscores=True), [("a", 1.0)])
        self.assertEqual(await client.zrangebyscore("z"), list("abcd"))
        self.assertEqual(await client.zrangebyscore("z", 2, 3), ["b", "c"])
        self.assertEqual(await client.zrangebyscore("z", min="(2", max=4), ["c", "d"])
        self.assertEqual(await client.zrangebyscore("z", offset=1, count=2), ["b", "c"])
        self.assertEqual(await client.zrangebyscore("z", count=1), ["a"])
        self.assertEqual(await client.zrangebyscore("z", 4, withscores=True), [("d", 4.0)])
        self.assertEqual(await client.zrangebyscore("z", 2, 3, reverse=True), ["c", "b"])
        self.assertEqual(
            await client.zrevrangebyscore("z", 1, 3, 1, 1, withscores=True), [("b", 2.0)]
        )
        self.assertEqual(await client.zrevrangebyscore("z", max=2), ["b", "a"])
        self.assertEqual(await client.zrange("none", 0, -1, withscores=True), [])
        self.assertEqual(await self.raw.zrange("z", 0, 0, withscores=True), [(b"a", 1.0)])
        await self.assertFailure(client.zrangebyscore("z", offset=1), InvalidCommand, ValueError)

    async def test_remove_ranges(self) -> None:
        """The removal of a range fires the number of removed members."""
        client = self.client
        await client.zadd("z", 1, "a", 2, "b", 3, "c", 4, "d")
        self.assertEqual(await client.zremrangebyrank("z", 0, 0), 1)
        self.assertEqual(await client.zremrangebyscore("z", min=3, max="inf"), 2)
        self.assertEqual(await client.zrange("z", 0, -1), ["b"])

    async def test_stores(self) -> None:
        """Sorted sets can be combined, with weights if the keys are a mapping."""
        client = self.client
        await client.zadd("y", 1, "a", 2, "b")
        await client.zadd("z", 10, "b", 20, "c")
        self.assertEqual(await client.zunionstore("u", ["y", "z"]), 3)
        self.assertEqual(await client.zscore("u", "b"), 12.0)
        self.assertEqual(await client.zinterstore("i", ["y", "z"], aggregate="MAX"), 1)
        self.assertEqual(await client.zscore("i", "b"), 10.0)
        self.assertEqual(await client.zinterstore("w", {"y": 3, "z": 0.5}), 1)
        self.assertEqual(await client.zscore("w", "b"), 11.0)
        self.assertEqual(await client.zunionstore("v", {"y": 2}, "MIN"), 2)
        self.assertEqual(await client.zscore("v", "b"), 4.0)
