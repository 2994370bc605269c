"""Requests: the bytes of each argument and of each command."""

from __future__ import annotations

import inspect
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import commands, outcome, plug, redis, sent
from txthoonk.errors import ConnectionLost, InvalidCommand, InvalidData, RedisError
from txthoonk.protocol import Redis
from txthoonk.protocol._encoding import TEXT


class EncodingTests(SynchronousTestCase):
    """An argument is text, bytes or a number, and is sent unchanged."""

    TEXTUAL: list[tuple[Any, bytes]] = [
        ("", b""),
        ("text", b"text"),
        ("ä€🐘", "ä€🐘".encode()),
        ("a\0b\r\n", b"a\0b\r\n"),
        (b"", b""),
        (b"\xff\0\r\n", b"\xff\0\r\n"),
        (bytearray(b"\xfe\0"), b"\xfe\0"),
        (bytearray(), b""),
        (memoryview(b"\xfd\0"), b"\xfd\0"),
        (memoryview(b"abcdef")[2:4], b"cd"),
        (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
    ]
    # txredis sends numbers in the same way: as str(number).
    NUMBERS: list[Any] = [
        0,
        -1,
        2**63,
        10**30,
        1.5,
        -0.0,
        1e300,
        0.1,
        1e22,
        math.inf,
        -math.inf,
        True,
        False,
        Decimal("1.10"),
        Fraction(1, 3),
    ]

    def test_arguments(self) -> None:
        """Each type has its bytes, at any place in the command."""
        expected = [*self.TEXTUAL, *((number, str(number).encode()) for number in self.NUMBERS)]
        for argument, data in expected:
            for charset in ("utf8", "latin-1", None, "ascii"):
                if charset in ("latin-1", "ascii") and argument == "ä€🐘":
                    continue
                client, transport = redis(charset=charset)
                deferred = client.send("A", argument, "z", argument)
                self.assertNoResult(deferred)
                self.assertEqual(transport.writes, [sent("A", data, "z", data)], repr(argument))

    def test_memoryview_with_steps(self) -> None:
        """A memoryview that skips bytes sends those that it shows."""
        for view, data in (
            (memoryview(b"abcdef")[::2], b"ace"),
            (memoryview(b"abcdef")[::-1], b"fedcba"),
        ):
            client, transport = redis()
            client.send("A", view)
            self.assertEqual(transport.value(), sent("A", data))

    def test_command_name(self) -> None:
        """The command's name may be bytes."""
        client, transport = redis()
        client.send(b"GET", "a")
        self.assertEqual(transport.value(), sent("GET", "a"))

    def test_what_cannot_be_sent(self) -> None:
        """Any other object fails the call with a message that shows it, and nothing is written."""
        for argument in (None, object(), [], ["a"], (), {}, {"a": 1}, set(), len, int):
            for charset in ("utf8", "latin-1", None):
                client, transport = redis(charset=charset)
                for deferred in (client.send("A", argument), client.send("A", "b", argument, "c")):
                    error = self.failureResultOf(deferred, InvalidData).value
                    self.assertIn(type(argument).__name__, str(error))
                    self.assertIn(repr(argument), str(error))
                self.assertEqual(transport.writes, [])

    def test_methods_too(self) -> None:
        """A command method with an argument that cannot be sent fails its Deferred."""
        client, transport = redis()
        for deferred in (
            client.set("a", None),
            client.hget("a", [None]),
            client.hmset("a", {"b": object()}),
            client.zrange("a", None, 1, withscores=True),  # type: ignore[arg-type]
            client.eval("return 1", [None]),
        ):
            self.failureResultOf(deferred, InvalidData)
        self.assertEqual(transport.writes, [])

    def test_refused_argument_leaves_the_queue_in_step(self) -> None:
        """A call that is not sent expects no reply."""
        client, _ = redis()
        first = outcome(client.ping())
        self.failureResultOf(client.send("A", None), InvalidData)
        second = outcome(client.ping())
        client.dataReceived(b":1\r\n:2\r\n")
        self.assertEqual((first, second), ([1], [2]))

    def test_refused_before_connection(self) -> None:
        """A bad argument is reported even without a connection."""
        self.failureResultOf(Redis().send("A", None), InvalidData)
        self.failureResultOf(Redis().send("A", "b"), ConnectionLost)

    def test_invalid_data_is_a_value_error(self) -> None:
        """InvalidData can be caught as txredis' error or as a ValueError."""
        self.assertTrue(issubclass(InvalidData, (RedisError, ValueError)))

    def test_lone_surrogates(self) -> None:
        """Text that the charset cannot encode is refused, unless the error handler accepts it."""
        lone = "a\udcffb\ud800"
        for charset in ("utf8", "latin-1", "ascii"):
            client, transport = redis(charset=charset)
            error = self.failureResultOf(client.send("A", lone), InvalidData).value
            self.assertIn("surrogate" if charset == "utf8" else "ordinal", str(error))
            self.assertEqual(transport.writes, [])
        for errors, data in (
            ("ignore", b"ab"),
            ("replace", b"a?b?"),
            ("surrogatepass", b"a\xed\xb3\xbfb\xed\xa0\x80"),
        ):
            client, transport = redis(errors=errors)
            client.send("A", lone)
            self.assertEqual(transport.value(), sent("A", data))

    def test_surrogate_escapes(self) -> None:
        """Surrogate escapes are sent as the bytes that they stand for."""
        client, transport = redis(errors="surrogateescape")
        client.send("A", "a\udcff")
        self.assertEqual(transport.value(), sent("A", b"a\xff"))

    def test_latin1(self) -> None:
        """Text is sent in the charset, and bytes are sent unchanged."""
        client, transport = redis(charset="latin-1")
        client.set("ä", b"\xc3\xa4")
        self.assertEqual(transport.value(), sent("SET", b"\xe4", b"\xc3\xa4"))
        self.failureResultOf(client.set("€", 1), InvalidData)

    def test_no_charset(self) -> None:
        """Without a charset text is sent as UTF-8."""
        client, transport = redis(charset=None)
        client.set("ä€", 1)
        self.assertEqual(transport.value(), sent("SET", "ä€", 1))

    def test_encoding_of_a_request(self) -> None:
        """A request with an encoding of its own uses it for its arguments."""
        client, transport = redis(charset="latin-1")
        client.request(("A", "ä\udcff"), TEXT)
        self.assertEqual(transport.value(), sent("A", b"\xc3\xa4\xff"))


class WriteTests(SynchronousTestCase):
    """A call is written at once, as one write."""

    def test_one_write_per_command(self) -> None:
        """Every call is one write, at once, in the order of the calls."""
        client, transport = redis()
        client.set("a", "x" * 100_000)
        client.hmset("h", {"a": 1, "b": 2})
        client.send("C", bytearray(b"slow"), True)
        self.assertEqual(
            transport.writes,
            [
                sent("SET", "a", "x" * 100_000),
                sent("HMSET", "h", "a", 1, "b", 2),
                sent("C", "slow", "True"),
            ],
        )

    def test_many_arguments(self) -> None:
        """A command takes any number of arguments."""
        client, transport = redis()
        client.mget(*range(100_000))
        ((name, *keys),) = commands(transport.value())
        self.assertEqual((name, len(keys), keys[-1]), (b"MGET", 100_000, b"99999"))


class WordsTests(SynchronousTestCase):
    """The words of commands that a test must not send to a shared server, and all their forms."""

    def check(self, call: Any, *words: str | bytes | int) -> None:
        client, transport = plug(Redis())
        self.assertNoResult(call(client))
        self.assertEqual(commands(transport.value()), commands(sent(*words)))

    def test_server(self) -> None:
        """Commands that stop, copy, save or empty the server are sent correctly."""
        self.check(lambda r: r.auth("pw"), "AUTH", "pw")
        self.check(lambda r: r.shutdown(), "SHUTDOWN")
        self.check(lambda r: r.slaveof("NO", "ONE"), "SLAVEOF", "NO", "ONE")
        self.check(lambda r: r.slaveof(host="h", port=1), "SLAVEOF", "h", 1)
        self.check(lambda r: r.set_config("maxmemory", 0), "CONFIG", "SET", "maxmemory", 0)
        self.check(lambda r: r.bgrewriteaof(), "BGREWRITEAOF")
        self.check(lambda r: r.bgsave(), "BGSAVE")
        self.check(lambda r: r.save(), "SAVE")
        self.check(lambda r: r.save(background=True), "BGSAVE")
        self.check(lambda r: r.flushall(), "FLUSHALL")
        self.check(lambda r: r.flush(), "FLUSHDB")
        self.check(lambda r: r.flush(all_dbs=True), "FLUSHALL")
        self.check(lambda r: r.script_kill(), "SCRIPT", "KILL")
        self.check(lambda r: r.script_flush(), "SCRIPT", "FLUSH")

    def test_set(self) -> None:
        """set() sends one of four commands."""
        self.check(lambda r: r.set("a", 1), "SET", "a", 1)
        self.check(lambda r: r.set("a", 1, preserve=True), "SETNX", "a", 1)
        self.check(lambda r: r.set("a", 1, getset=True), "GETSET", "a", 1)
        self.check(lambda r: r.set("a", 1, expire=5), "SETEX", "a", 5, 1)

    def test_sort(self) -> None:
        """sort() sends all parts of the command, including a start of 0."""
        self.check(
            lambda r: r.sort("a", "w_*", ["#", "o_*"], 0, 5, True, True),
            *("SORT", "a", "BY", "w_*", "LIMIT", 0, 5, "GET", "#", "GET", "o_*", "DESC", "ALPHA"),
        )
        self.check(lambda r: r.sort("a", get="o_*"), "SORT", "a", "GET", "o_*")
        self.check(lambda r: r.sort("a", get=("x", "y")), "SORT", "a", "GET", "x", "GET", "y")

    def test_sorted_set_stores(self) -> None:
        """A mapping of keys sends their weights."""
        self.check(
            lambda r: r.zunionstore("d", {"a": 2, "b": 3}, "MAX"),
            *("ZUNIONSTORE", "d", 2, "a", "b", "WEIGHTS", 2, 3, "AGGREGATE", "MAX"),
        )
        self.check(lambda r: r.zinterstore("d", ["a", "b"]), "ZINTERSTORE", "d", 2, "a", "b")

    def test_zadd(self) -> None:
        """zadd() accepts one pair as (member, score), and pairs as score, member."""
        self.check(lambda r: r.zadd("z", "m", 1), "ZADD", "z", 1, "m")
        self.check(lambda r: r.zadd("z", b"m", 1), "ZADD", "z", 1, "m")
        self.check(lambda r: r.zadd("z", 1, "m"), "ZADD", "z", 1, "m")
        self.check(lambda r: r.zadd("z", 1, "m", 2, "n"), "ZADD", "z", 1, "m", 2, "n")
        self.check(lambda r: r.zadd("z", member="m", score=1), "ZADD", "z", 1, "m")

    def test_single_value_by_keyword(self) -> None:
        """Commands that take several values accept a single one by its old keyword."""
        for name, word in (
            ("lpush", "value"),
            ("rpush", "value"),
            ("sadd", "value"),
            ("srem", "value"),
            ("zrem", "member"),
        ):
            for arguments, single in (((1, 2), {}), ((), {word: 1})):
                words = [name.upper(), "k", *(arguments or (1,))]

                def call(r: Redis, name: str = name, a: Any = arguments, s: Any = single) -> Any:
                    return getattr(r, name)("k", *a, **s)

                self.check(call, *words)

    def test_what_makes_no_command(self) -> None:
        """Arguments that contradict each other fail with InvalidCommand; nothing is written."""
        client, transport = redis()
        for deferred in (
            client.get_object("a"),
            client.hdel("a"),
            client.lpush("a"),
            client.rpush("a"),
            client.sadd("a"),
            client.srem("a"),
            client.zrem("a"),
            client.lpush("a", wrong=1),
            client.sadd("a", 1, value=2),
            client.zadd("a"),
            client.zadd("a", 1),
            client.zadd("a", 1, "b", 2),
            client.zadd("a", member="b"),
            client.zadd("a", 1, "b", member="c", score=1),
            client.zrangebyscore("a", offset=1),
            client.zrevrangebyscore("a", offset=1),
            client.set("a", 1, getset=True, expire=1),
        ):
            self.failureResultOf(deferred, InvalidCommand)
        self.assertEqual(transport.writes, [])

    def test_sort_with_a_get_that_is_no_pattern(self) -> None:
        """A pattern of the wrong type fails the call through its Deferred."""
        client, transport = redis()
        self.failureResultOf(client.sort("a", get=5), RedisError)
        self.assertEqual(transport.writes, [])

    def test_wrong_number_of_arguments(self) -> None:
        """A wrong number of arguments raises TypeError, as for any function."""
        client, _ = redis()
        with self.assertRaises(TypeError):
            client.get()  # type: ignore[call-arg]
        with self.assertRaises(TypeError):
            client.get("a", "b")  # type: ignore[call-arg]
        with self.assertRaises(TypeError):
            client.get(name="a")  # type: ignore[call-arg]

    def test_bitcount(self) -> None:
        """bitcount() with a start and no end counts to the end."""
        self.check(lambda r: r.bitcount("a"), "BITCOUNT", "a")
        self.check(lambda r: r.bitcount("a", 1), "BITCOUNT", "a", 1, -1)
        self.check(lambda r: r.bitcount("a", 0, 2), "BITCOUNT", "a", 0, 2)

    def test_signature_of_a_method(self) -> None:
        """The signature of a method shows its arguments, for help() and editors."""
        shown = inspect.signature(Redis().hset)
        self.assertEqual(list(shown.parameters), ["key", "field", "value", "preserve"])
