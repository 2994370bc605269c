"""Commands on strings, keys, transactions and scripts fire replies of txredis' shapes."""

from __future__ import annotations

import time
import uuid

from tests.support.commands import CommandTestCase
from txthoonk.errors import InvalidCommand, NoScript, NotBusy, ResponseError


class StringTests(CommandTestCase):
    """Commands on strings and their bits."""

    async def test_set(self) -> None:
        """``set`` can set plainly, preserve, return the old value, and expire."""
        client = self.client
        self.assertEqual(await client.set("a", "x"), "OK")
        self.assertEqual(await client.set("a", "y", preserve=True), 0)
        self.assertEqual(await client.set("b", "y", preserve=True), 1)
        self.assertEqual(await client.set("a", "z", getset=True), "x")
        self.assertIsNone(await client.set("c", "z", getset=True))
        self.assertEqual(await client.set("d", "z", expire=100), "OK")
        self.assertEqual(await client.mget("a", "b", "c", "d"), ["z", "y", "z", "z"])
        self.assertIn(await client.ttl("d"), range(90, 101))

    async def test_get(self) -> None:
        """``get`` and ``mget`` fire None for a missing key."""
        client = self.client
        self.assertIsNone(await client.get("a"))
        self.assertEqual(await client.setnx(key="a", value="ä"), 1)
        self.assertEqual(await client.setnx("a", 2), 0)
        self.assertEqual(await client.get("a"), "ä")
        self.assertEqual(await client.getset("a", 2), "ä")
        self.assertEqual(await client.get(key="a"), "2")
        self.assertEqual(await client.mget("a", "b"), ["2", None])

    async def test_many(self) -> None:
        """``msetnx``, or ``mset`` with *preserve*, stores all keys of a mapping or none."""
        client = self.client
        self.assertEqual(await client.mset({"a": 1, "b": "x"}), "OK")
        self.assertEqual(await client.mset({"b": 2, "c": 3}, preserve=True), 0)
        self.assertEqual(await client.msetnx({"b": 2, "c": 3}), 0)
        self.assertEqual(await client.msetnx(mapping={"c": 3}), 1)
        self.assertEqual(await client.mset({"d": 4}, preserve=True), 1)
        self.assertEqual(await client.mget("a", "b", "c", "d"), ["1", "x", "3", "4"])

    async def test_parts(self) -> None:
        """Strings can be extended, and read in part."""
        client = self.client
        self.assertEqual(await client.append("a", "hello"), 5)
        self.assertEqual(await client.append("a", " you"), 9)
        self.assertEqual(await client.getrange("a", 1, 3), "ell")
        self.assertEqual(await client.substr("a", start=-3, end=-1), "you")

    async def test_numbers(self) -> None:
        """Counters can be changed by any amount."""
        client = self.client
        self.assertEqual(await client.incr("a"), 1)
        self.assertEqual(await client.incr("a", 5), 6)
        self.assertEqual(await client.incr("a", amount=0), 6)
        self.assertEqual(await client.decr("a"), 5)
        self.assertEqual(await client.decr("a", amount=7), -2)
        await client.set("a", "x")
        await self.fails(client.incr("a"), "ERR")

    async def test_bits(self) -> None:
        """Bit commands fire ints."""
        client = self.client
        self.assertEqual(await client.setbit("a", 7, 1), 0)
        self.assertEqual(await client.setbit(key="a", offset=7, value=1), 1)
        self.assertEqual(await client.getbit("a", 7), 1)
        await client.set("a", "foobar")
        self.assertEqual(await client.bitcount("a"), 26)
        self.assertEqual(await client.bitcount("a", 1, 1), 6)
        self.assertEqual(await client.bitcount("a", start=0, end=0), 4)
        self.assertEqual(await client.bitcount("a", 1), 22)

    async def test_charsets(self) -> None:
        """Clients with different charsets read the same bytes, each in its own charset."""
        latin = await self.redis(charset="latin-1")
        await latin.set("k", "ä")
        self.assertEqual(await self.raw.get("k"), b"\xe4")
        self.assertEqual(await latin.get("k"), "ä")
        await self.raw.set("k", bytes(range(256)))
        self.assertEqual(await self.raw.get("k"), bytes(range(256)))
        bad = await self.redis(errors="replace")
        await self.raw.set("k", b"a\xff")
        self.assertEqual(await bad.get("k"), "a\ufffd")

    async def test_big_value(self) -> None:
        """A value of 20 MB can be stored and read."""
        value = bytes(range(256)) * 80_000
        self.assertEqual(await self.raw.set("big", value), b"OK")
        self.assertTrue(await self.raw.get("big") == value)


class KeyTests(CommandTestCase):
    """Commands on keys of any type."""

    async def test_existence(self) -> None:
        """Keys can be counted and deleted."""
        client = self.client
        await client.mset({"a": 1, "b": 2, "c": 3})
        self.assertEqual(await client.exists("a"), 1)
        self.assertEqual(await client.delete("a"), 1)
        self.assertEqual(await client.exists("a"), 0)
        self.assertEqual(await client.delete("a", "b", "c"), 2)

    async def test_type(self) -> None:
        """The type of a missing key is None."""
        client = self.client
        await client.set("a", 1)
        await client.push("b", 1)
        self.assertEqual(await client.get_type("a"), "string")
        self.assertEqual(await client.get_type("b"), "list")
        self.assertIsNone(await client.get_type("c"))
        self.assertIsNone(await self.raw.get_type("c"))

    async def test_object(self) -> None:
        """``get_object`` fires one of three properties, and needs exactly one."""
        client = self.client
        await client.set("a", "text")
        self.assertEqual(await client.get_object("a", refcount=True), 1)
        self.assertEqual(await client.get_object("a", encoding=True), "embstr")
        self.assertIsInstance(await client.get_object("a", idletime=True), int)
        await self.assertFailure(client.get_object("a"), InvalidCommand)

    async def test_keys(self) -> None:
        """``keys`` fires a sorted list."""
        client = self.client
        self.assertEqual(await client.keys("*"), [])
        self.assertIsNone(await client.randomkey())
        names = [f"{letter}1" for letter in "hgfedcba"]
        await client.mset(dict.fromkeys([*names, "other"], 1))
        self.assertEqual(await client.keys("*1"), names[::-1])
        self.assertEqual(await self.raw.keys(pattern="[ab]1"), [b"a1", b"b1"])
        self.assertIn(await client.randomkey(), [*names, "other"])

    async def test_rename(self) -> None:
        """``rename`` replaces an existing key, unless *preserve* is set."""
        client = self.client
        await client.mset({"a": 1, "b": 2})
        self.assertEqual(await client.rename("a", "b", preserve=True), 0)
        self.assertEqual(await client.rename("a", "c", preserve=True), 1)
        self.assertEqual(await client.rename(src="c", dst="b"), "OK")
        self.assertEqual(await client.get("b"), "1")
        await self.fails(client.rename("a", "b"), "ERR")

    async def test_expiry(self) -> None:
        """Expiry times are in seconds."""
        client = self.client
        await client.mset({"a": 1, "b": 2})
        self.assertEqual(await client.expire("a", time=100), 1)
        self.assertIn(await client.ttl("a"), range(90, 101))
        self.assertEqual(await client.expireat("b", int(time.time()) + 1000), 1)
        self.assertIn(await client.ttl("b"), range(900, 1001))
        self.assertEqual(await client.expire("c", 100), 0)
        self.assertEqual((await client.ttl("c"), await client.expireat("b", 1)), (-2, 1))
        self.assertEqual(await client.exists("b"), 0)

    async def test_sort(self) -> None:
        """``sort`` sorts a list by its values or by other keys."""
        client = self.client
        await client.rpush("l", 3, 1, 20)
        self.assertEqual(await client.sort("l"), ["1", "3", "20"])
        self.assertEqual(await client.sort("l", desc=True), ["20", "3", "1"])
        self.assertEqual(await client.sort("l", alpha=True), ["1", "20", "3"])
        self.assertEqual(await client.sort("l", start=1, num=1), ["3"])
        self.assertEqual(await client.sort("l", start=0, num=2), ["1", "3"])
        await client.mset({"w_1": 3, "w_3": 2, "w_20": 1, "o_1": "one", "o_3": "three"})
        self.assertEqual(await client.sort("l", by="w_*"), ["20", "3", "1"])
        self.assertEqual(await client.sort("l", get="o_*"), ["one", "three", None])
        self.assertEqual(
            await client.sort("l", get=["#", "o_*"], num=2, start=0), ["1", "one", "3", "three"]
        )


class TransactionTests(CommandTestCase):
    """Transactions, from MULTI to EXEC."""

    async def test_execute(self) -> None:
        """Commands in a transaction are queued, and EXEC fires their replies unconverted."""
        client = self.client
        await client.hset("h", "f", "v")
        await client.zadd("z", "m", 1.5)
        self.assertEqual(await client.multi(), "OK")
        queued = [
            client.set("a", 1),
            client.hget("h", "f"),
            client.hget("h", ["f", "g"]),
            client.hgetall("h"),
            client.smembers("s"),
            client.zrange("z", 0, -1, withscores=True),
            client.zrangebyscore("z", withscores=True),
            client.zscore("z", "m"),
            client.get_type("none"),
            client.keys("a"),
        ]
        for deferred in queued:
            self.assertEqual(await deferred, "QUEUED")
        expected = ["OK", "v", ["v", None], ["f", "v"], [], ["m", "1.5"], ["m", "1.5"], "1.5"]
        self.assertEqual(await client.execute(), [*expected, "none", ["a"]])

    async def test_pipelined(self) -> None:
        """A transaction can be sent without waiting for its replies."""
        client = self.client
        calls = [client.multi(), client.incr("a"), client.incr("a"), client.execute()]
        self.assertEqual([await call for call in calls], ["OK", "QUEUED", "QUEUED", [1, 2]])

    async def test_no_charset(self) -> None:
        """A transaction works without a charset."""
        await self.raw.multi()
        self.assertEqual(await self.raw.hgetall("h"), b"QUEUED")
        self.assertEqual(await self.raw.execute(), [[]])

    async def test_watch(self) -> None:
        """EXEC fires None, and executes nothing, if a watched key has changed."""
        client = self.client
        self.assertEqual(await client.watch("a", "b"), "OK")
        await self.raw.set("b", 1)
        await client.multi()
        await client.set("c", 1)
        self.assertIsNone(await client.execute())
        self.assertIsNone(await client.get("c"))

    async def test_unwatch(self) -> None:
        """EXEC succeeds if a key that changed is no longer watched."""
        client = self.client
        await client.watch("a")
        await self.raw.set("a", 1)
        self.assertEqual(await client.unwatch(), "OK")
        await client.multi()
        await client.set("c", 1)
        self.assertEqual(await client.execute(), ["OK"])

    async def test_discard(self) -> None:
        """``discard`` drops the queued commands."""
        client = self.client
        await client.multi()
        await client.set("a", 1)
        self.assertEqual(await client.discard(), "OK")
        self.assertIsNone(await client.get("a"))
        await self.fails(client.execute(), "ERR")

    async def test_error_inside(self) -> None:
        """A command that fails in a transaction is an error among the replies of the others."""
        client = self.client
        await client.multi()
        await client.set("a", "x")
        await client.hget("a", "f")
        await client.set("b", "y")
        ok, error, last = await client.execute()
        self.assertEqual((ok, last, error.code), ("OK", "OK", "WRONGTYPE"))
        self.assertIsInstance(error, ResponseError)

    async def test_aborted(self) -> None:
        """A command that cannot be queued fails the whole transaction."""
        client = self.client
        await client.multi()
        await self.fails(client.send("NOSUCHCOMMAND"), "ERR")
        await self.fails(client.execute(), "EXECABORT")


class ScriptTests(CommandTestCase):
    """EVAL, EVALSHA and SCRIPT."""

    async def test_eval(self) -> None:
        """A script gets its keys and arguments, and can reply in any shape."""
        client = self.client
        self.assertEqual(
            await client.eval("return {KEYS[1], ARGV[1], ARGV[2]}", ["k"], ["a", 2]),
            ["k", "a", "2"],
        )
        self.assertEqual(await client.eval("return {1, {2, {'x'}}, false}"), [1, [2, ["x"]], None])
        self.assertIsNone(await client.eval("return nil"))
        self.assertEqual(await client.eval(source="return #KEYS", keys=("a", "b")), 2)

    async def test_errors(self) -> None:
        """A script's error has the code that the script gives."""
        error = await self.fails(
            self.client.eval("return redis.error_reply('MYCODE what')"), "MYCODE"
        )
        self.assertEqual(str(error), "MYCODE what")
        await self.fails(self.client.eval("this is not Lua"), "ERR")

    async def test_digest(self) -> None:
        """A loaded script can be called by its digest."""
        client = self.client
        source = f"return '{uuid.uuid4().hex}' .. ARGV[1]"
        sha = await client.script_load(source)
        self.assertEqual(await client.script_exists(sha, "0" * 40), [1, 0])
        self.assertEqual(await client.evalsha(sha, args=["!"]), source[8:40] + "!")
        self.assertEqual(await client.script_flush(), "OK")
        self.assertEqual(await client.script_exists(sha), [0])
        await self.assertFailure(client.evalsha(sha1=sha), NoScript)

    async def test_kill(self) -> None:
        """``script_kill`` fails if no script is running."""
        await self.assertFailure(self.client.script_kill(), NotBusy)
