"""Replies of every type: split anywhere, decoded, failed, and always in step."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import OK, outcome, redis, resp
from txthoonk.errors import (
    AuthenticationError,
    ConfigNotReadable,
    FeedDoesNotExist,
    FeedExists,
    FeedTypeMismatch,
    InvalidData,
    NoScript,
    NotBusy,
    OrderExhausted,
    RedisError,
    ResponseError,
    ThoonkError,
)
from txthoonk.protocol._encoding import RAW, TEXT

REPLIES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", "OK"),
    (b"+\r\n", ""),
    (b":0\r\n", 0),
    (b":-9223372036854775808\r\n", -(2**63)),
    (b":9223372036854775807\r\n", 2**63 - 1),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"$0\r\n\r\n", ""),
    (b"$5\r\nhello\r\n", "hello"),
    (b"$7\r\na\r\n$1\r\n\r\n", "a\r\n$1\r\n"),
    (b"$3\r\na\0b\r\n", "a\0b"),
    (b"$7\r\n\xc3\xa4\xf0\x9f\x90\x98z\r\n", "ä🐘z"),
    (b"*0\r\n", []),
    (b"*2\r\n$1\r\na\r\n:1\r\n", ["a", 1]),
    (b"*2\r\n*0\r\n*-1\r\n", [[], None]),
    (b"*3\r\n*2\r\n:1\r\n*1\r\n*1\r\n$-1\r\n+x\r\n$0\r\n\r\n", [[1, [[None]]], "x", ""]),
    # Replies of a server after HELLO 3.
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b"#f\r\n", False),
    (b",1.5\r\n", 1.5),
    (b",-inf\r\n", float("-inf")),
    (b"=8\r\ntxt:\xc3\xa4bc\r\n", "äbc"),
    (b"%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n", {"a": 1, "b": {}}),
    (b"~2\r\n:1\r\n:2\r\n", [1, 2]),
]

ERRORS: list[tuple[bytes, type[ThoonkError], str | None, str]] = [
    (b"-ERR syntax error\r\n", ResponseError, "ERR", "syntax error"),
    (b"-ERR\r\n", ResponseError, "ERR", ""),
    (b"-\r\n", ResponseError, "", ""),
    (b"-WRONGTYPE Operation\r\n", ResponseError, "WRONGTYPE", "WRONGTYPE Operation"),
    (b"-MOVED 3999 127.0.0.1:6381\r\n", ResponseError, "MOVED", "MOVED 3999 127.0.0.1:6381"),
    (b"-NOSCRIPT No matching script.\r\n", NoScript, "NOSCRIPT", "No matching script."),
    (b"-NOTBUSY No scripts.\r\n", NotBusy, "NOTBUSY", "No scripts."),
    (b"-NOAUTH Who?\r\n", AuthenticationError, "NOAUTH", "Who?"),
    (b"-WRONGPASS No.\r\n", AuthenticationError, "WRONGPASS", "No."),
    (b"-NOFEED feed 'a'\r\n", FeedDoesNotExist, None, "feed 'a'"),
    (b"-FEEDEXISTS feed 'a'\r\n", FeedExists, None, "feed 'a'"),
    (b"-WRONGFEEDTYPE b\r\n", FeedTypeMismatch, None, "b"),
    (b"-CONFIGNOTHASH c\r\n", ConfigNotReadable, None, "c"),
    (b"-SCOREINFINITE d\r\n", OrderExhausted, None, "d"),
]


class SplitTests(SynchronousTestCase):
    """A reply fires the same value, however the network splits it."""

    def test_split_at_every_byte(self) -> None:
        """A reply in two pieces fires once, with its last byte, and the next is in step."""
        for wire, expected in REPLIES:
            for cut in range(1, len(wire)):
                client, _ = redis()
                first, second = outcome(client.send("A")), outcome(client.send("B"))
                client.dataReceived(wire[:cut])
                self.assertEqual(first, [], (wire, cut))
                client.dataReceived(wire[cut:])
                self.assertEqual((first, second), ([expected], []), (wire, cut))
                self.assertIs(type(first[0]), type(expected))
                client.dataReceived(OK)
                self.assertEqual(second, ["OK"], (wire, cut))

    def test_errors_split_at_every_byte(self) -> None:
        """An error in two pieces fails its own Deferred only."""
        for wire, expected, _, text in ERRORS:
            for cut in range(1, len(wire)):
                client, _ = redis()
                first, second = outcome(client.send("A")), outcome(client.send("B"))
                client.dataReceived(wire[:cut])
                self.assertEqual(first, [], (wire, cut))
                client.dataReceived(wire[cut:] + OK)
                self.assertEqual([type(error) for error in first], [expected], (wire, cut))
                self.assertEqual(str(first[0]), text)
                self.assertEqual(second, ["OK"])

    def test_stream_cut_anywhere(self) -> None:
        """A stream of replies fires the same values in pieces of any size, even of one byte."""
        stream = b"".join(wire for wire, _ in REPLIES)
        for size in (1, 2, 3, 5, 7, 64, len(stream)):
            client, _ = redis()
            fired = [outcome(client.send("A")) for _ in REPLIES]
            for start in range(0, len(stream), size):
                client.dataReceived(stream[start : start + size])
            self.assertEqual(fired, [[expected] for _, expected in REPLIES])

    def test_empty_data(self) -> None:
        """Empty data is not a reply."""
        client, _ = redis()
        fired = outcome(client.ping())
        client.dataReceived(b"")
        self.assertEqual(fired, [])

    def test_big_value(self) -> None:
        """A value of 20 MB arrives whole, in pieces of the size that a socket delivers."""
        value = bytes(range(256)) * 80_000
        wire = resp(value) + OK
        client, _ = redis(charset=None)
        first, second = outcome(client.get("big")), outcome(client.ping())
        for start in range(0, len(wire), 65_536):
            client.dataReceived(wire[start : start + 65_536])
        self.assertTrue(first[0] == value)
        self.assertEqual(second, [b"OK"])

    def test_big_text(self) -> None:
        """A text of 20 MB is decoded correctly when its characters are split between pieces."""
        value = "€" * 7_000_000
        wire = resp(value)
        client, _ = redis()
        fired = outcome(client.get("big"))
        for start in range(0, len(wire), 65_536):
            client.dataReceived(wire[start : start + 65_536])
        self.assertTrue(fired[0] == value)

    def test_big_array(self) -> None:
        """An array of many elements arrives in pieces."""
        elements = [str(number) for number in range(100_000)]
        wire = resp(elements)
        client, _ = redis()
        fired = outcome(client.lrange("l", 0, -1))
        for start in range(0, len(wire), 8192):
            client.dataReceived(wire[start : start + 8192])
        self.assertEqual(fired, [elements])

    def test_deep_array(self) -> None:
        """Arrays may be nested more deeply than any script returns them."""
        client, _ = redis()
        first, second = outcome(client.send("A")), outcome(client.ping())
        client.dataReceived(b"*1\r\n" * 200 + b":7\r\n" + OK)
        reply = first[0]
        for _ in range(200):
            (reply,) = reply
        self.assertEqual((reply, second), (7, ["OK"]))


class ErrorTests(SynchronousTestCase):
    """An error reply becomes the exception of its first word."""

    def test_classes_and_codes(self) -> None:
        """Each code has its class, and the message is the text after a known code."""
        for wire, expected, code, text in ERRORS:
            client, _ = redis()
            error = self.failure(client, wire)
            self.assertIs(type(error), expected)
            self.assertEqual((str(error), getattr(error, "code", None)), (text, code))

    def test_roots(self) -> None:
        """The classes of txredis are RedisErrors, and all errors are ThoonkErrors."""
        for cls in (NoScript, NotBusy, AuthenticationError, ResponseError):
            self.assertTrue(issubclass(cls, RedisError))
        for _, raised, _, _ in ERRORS:
            self.assertTrue(issubclass(raised, ThoonkError))

    def test_inside_array(self) -> None:
        """An error within an array is one of its elements, and the other elements are kept."""
        client, _ = redis()
        first, second = outcome(client.execute()), outcome(client.ping())
        client.dataReceived(
            b"*4\r\n+OK\r\n-WRONGTYPE bad\r\n*1\r\n-NOFEED feed 'a'\r\n$1\r\nx\r\n" + OK
        )
        ((ok, wrong, [missing], text),) = first
        self.assertEqual((ok, text, second), ("OK", "x", ["OK"]))
        self.assertEqual((type(wrong), wrong.code), (ResponseError, "WRONGTYPE"))
        self.assertEqual((type(missing), str(missing)), (FeedDoesNotExist, "feed 'a'"))

    def test_array_of_one_error(self) -> None:
        """An array whose only element is an error fires, and does not fail."""
        client, _ = redis()
        self.assertEqual(len(self.fired(client, b"*1\r\n-ERR x\r\n")), 1)

    def test_text_that_is_not_utf8(self) -> None:
        """An error whose text cannot be decoded is still that error."""
        for charset in ("utf8", None):
            client, _ = redis(charset=charset)
            error = self.failure(client, b"-ERR \xff\r\n")
            self.assertIs(type(error), ResponseError)

    def failure(self, client: Any, wire: bytes) -> Any:
        deferred = client.send("A")
        client.dataReceived(wire)
        return self.failureResultOf(deferred).value

    def fired(self, client: Any, wire: bytes) -> Any:
        deferred = client.send("A")
        client.dataReceived(wire)
        return self.successResultOf(deferred)


class DecodingTests(SynchronousTestCase):
    """Text is decoded with the encoding of the connection or of the request."""

    def replies(self, wire: bytes, **arguments: Any) -> list[Any]:
        client, _ = redis(**arguments)
        fired = outcome(client.send("A"))
        client.dataReceived(wire)
        return fired

    def test_utf8(self) -> None:
        """By default text is decoded as UTF-8, in arrays and status lines too."""
        wire = b"*2\r\n$2\r\n\xc3\xa4\r\n*1\r\n+\xc3\xb6\r\n"
        self.assertEqual(self.replies(wire), [["ä", ["ö"]]])

    def test_no_charset(self) -> None:
        """Without a charset every string is bytes, and other types are unchanged."""
        wire = b"*5\r\n$2\r\n\xff\0\r\n+OK\r\n:1\r\n$-1\r\n*1\r\n$0\r\n\r\n"
        self.assertEqual(self.replies(wire, charset=None), [[b"\xff\0", b"OK", 1, None, [b""]]])

    def test_latin1(self) -> None:
        """A charset of one byte per character decodes any bytes."""
        every = bytes(range(256))
        self.assertEqual(self.replies(resp(every), charset="latin-1"), [every.decode("latin-1")])

    def test_utf16(self) -> None:
        """Values are decoded with any charset."""
        value = "aä".encode("utf-16-le")
        self.assertEqual(self.replies(resp(value), charset="utf-16-le"), ["aä"])

    def test_error_handlers(self) -> None:
        """The codec's error handler decodes bytes that are not text."""
        wire = resp(b"a\xffb")
        for errors, expected in (
            ("ignore", "ab"),
            ("replace", "a\ufffdb"),
            ("surrogateescape", "a\udcffb"),
            ("backslashreplace", "a\\xffb"),
        ):
            self.assertEqual(self.replies(wire, errors=errors), [expected])

    def test_not_text(self) -> None:
        """A reply that cannot be decoded fails its own Deferred, and no other."""
        for wire in (
            resp(b"\xff"),
            b"+\xff\r\n",
            resp(["a", b"\xff", "b"]),
            resp([["a", [b"\xff"]], [b"\xfe"], "b"]),
        ):
            for cut in range(len(wire)):
                client, transport = redis()
                fired = [outcome(client.send("A")) for _ in range(3)]
                client.dataReceived(OK + wire[:cut])
                client.dataReceived(wire[cut:] + b":3\r\n")
                self.assertEqual((fired[0], fired[2]), (["OK"], [3]), (wire, cut))
                (error,) = fired[1]
                self.assertIsInstance(error, InvalidData)
                self.assertIn("utf-8", str(error))
                self.assertFalse(transport.disconnecting)

    def test_each_request_its_own(self) -> None:
        """Requests with different encodings may be mixed, in one read or byte by byte."""
        wires = [resp(b"\xff"), resp(b"\xff"), resp("ä"), resp(b"\xc3"), resp("ö")]
        expected = [["\udcff"], [b"\xff"], ["ä"], [b"\xc3"], ["ö"]]
        for size in (1, 4, 1000):
            client, _ = redis()
            encodings = [TEXT, RAW, None, RAW, TEXT]
            fired = [outcome(client.request(("A",), encoding)) for encoding in encodings]
            stream = b"".join(wires)
            for start in range(0, len(stream), size):
                client.dataReceived(stream[start : start + size])
            self.assertEqual(fired, expected)

    def test_set_encoding(self) -> None:
        """set_encoding() changes the decoding of later replies."""
        client, _ = redis()
        first = outcome(client.send("A"))
        client.dataReceived(resp("ä"))
        client.set_encoding(None)
        second = outcome(client.send("A"))
        client.dataReceived(resp("ä"))
        self.assertEqual((first, second), (["ä"], ["ä".encode()]))

    def test_unknown_charset(self) -> None:
        """A charset or an error handler that does not exist is refused at once."""
        for arguments in ({"charset": "klingon"}, {"errors": "klingon"}):
            with self.assertRaises(LookupError):
                redis(**arguments)


class PushTests(SynchronousTestCase):
    """The out-of-band messages of RESP3 are not replies."""

    PUSH = b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"

    def test_push_between_replies(self) -> None:
        """A push message before, between and after replies leaves them in step."""
        client, _ = redis()
        first, second = outcome(client.send("A")), outcome(client.send("B"))
        client.dataReceived(self.PUSH + OK + self.PUSH + b":2\r\n" + self.PUSH)
        self.assertEqual((first, second), (["OK"], [2]))
        transport: Any = client.transport
        self.assertFalse(transport.disconnecting)

    def test_push_split_at_every_byte(self) -> None:
        """A push message in pieces is not a reply."""
        for cut in range(1, len(self.PUSH)):
            client, _ = redis()
            fired = outcome(client.send("A"))
            client.dataReceived(self.PUSH[:cut])
            client.dataReceived(self.PUSH[cut:])
            self.assertEqual(fired, [])
            client.dataReceived(OK)
            self.assertEqual(fired, ["OK"])

    def test_push_with_error_inside(self) -> None:
        """An error within a push message fails no call."""
        client, _ = redis()
        fired = outcome(client.send("A"))
        client.dataReceived(b">2\r\n+x\r\n-ERR y\r\n" + OK)
        self.assertEqual(fired, ["OK"])

    def test_override(self) -> None:
        """A push message goes to pushReceived."""
        client, _ = redis()
        pushed: list[Any] = []
        self.patch(client, "pushReceived", pushed.append)
        client.dataReceived(self.PUSH)
        self.assertEqual(pushed, [["invalidate", ["k"]]])

    def test_override_raises(self) -> None:
        """An error in an override of pushReceived is logged, and the next reply is handled."""
        client, _ = redis()
        for kind in (ZeroDivisionError, SystemExit):

            def push(message: Any, kind: Any = kind) -> None:
                raise kind

            self.patch(client, "pushReceived", push)
            fired = outcome(client.send("A"))
            client.dataReceived(self.PUSH + OK)
            self.assertEqual(fired, ["OK"])
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
