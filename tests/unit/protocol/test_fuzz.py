"""Replies and garbage of any shape, in pieces of any size."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from tests.support.fuzzing import (
    CUTS,
    GARBAGE,
    INTEGERS,
    LINES,
    QUICK,
    VALUES,
    FuzzTestCase,
    pieces,
)
from tests.support.wire import lose, outcome, redis, resp
from txthoonk.errors import (
    ConnectionLost,
    InvalidData,
    InvalidResponse,
    NoScript,
    ResponseError,
    ThoonkError,
)


def decoded(value: Any) -> Any:
    """Return *value* as a client without a charset fires it."""
    if isinstance(value, str):
        return value.encode()
    return list(map(decoded, value)) if isinstance(value, list) else value


def needs_surrogates(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(needs_surrogates, value))
    try:
        value.encode() if isinstance(value, str) else None
    except UnicodeEncodeError:
        return True
    return False


# Valid RESP3 replies, each complete.
SIMPLE = st.sampled_from(
    [
        *(b"_\r\n", b"#t\r\n", b"#f\r\n", b",1.5\r\n", b",inf\r\n", b",nan\r\n"),
        *(b"(" + b"9" * 50 + b"\r\n", b"=7\r\ntxt:abc\r\n", b"$-1\r\n", b"*-1\r\n"),
        *(b"+OK\r\n", b":1\r\n", b"$0\r\n\r\n", b"$2\r\n\xff\xfe\r\n", b"+\xff\r\n"),
        *(b"-ERR \xff\xfe\r\n", b"-\r\n", b"- \r\n", b"-NOSCRIPT x\r\n", b"-ERR \0\x1b[2J\r\n"),
    ]
)


def aggregate(inner: Any) -> Any:
    def written(kind: bytes, count: int, parts: list[bytes]) -> bytes:
        return b"%s%d\r\n" % (kind, count) + b"".join(parts)

    def of(kind: bytes) -> Any:
        return st.lists(inner, max_size=3).map(lambda parts: written(kind, len(parts), parts))

    # Not every valid map key can be the key of a dict.
    entries = st.lists(st.tuples(SIMPLE, inner).map(b"".join), max_size=3)
    return of(b"*") | of(b"~") | entries.map(lambda parts: written(b"%", len(parts), parts))


REPLIES = st.recursive(SIMPLE, aggregate, max_leaves=12)
PUSHES = st.lists(REPLIES.filter(bytes.isascii), min_size=1, max_size=3).map(
    lambda parts: b">%d\r\n" % len(parts) + b"".join(parts)
)


class ReplyTests(FuzzTestCase):
    """Valid replies reach their calls."""

    @QUICK
    @given(st.lists(VALUES, max_size=6), CUTS)
    def test_replies(self, values: list[Any], cuts: list[int]) -> None:
        """Replies of any shape fire equal values, in order, in pieces of any size."""
        client, _ = redis(charset=None)
        fired = [outcome(client.send("A")) for _ in values]
        for piece in pieces(b"".join(map(resp, values)), cuts):
            client.dataReceived(piece)
        self.assertEqual(fired, [[decoded(value)] for value in values])

    @QUICK
    @given(st.lists(LINES, min_size=1, max_size=5), CUTS)
    def test_lines(self, lines: list[str], cuts: list[int]) -> None:
        """Status lines and errors fire unchanged."""
        client, _ = redis()
        fired = [(outcome(client.send("A")), outcome(client.send("B"))) for _ in lines]
        wire = b"".join(f"+{line}\r\n-E {line}\r\n".encode() for line in lines)
        for piece in pieces(wire, cuts):
            client.dataReceived(piece)
        for (status, (error,)), line in zip(fired, lines, strict=True):
            self.assertEqual(status, [line])
            self.assertIsInstance(error, ResponseError)
            self.assertEqual((str(error), error.code), (f"E {line}", "E"))

    @QUICK
    @given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n")))
    @example("ERR user_script:1: \x1b]0;owned\x07\x1b[2J\x9b31m" + "x" * 10_000_000)
    def test_errors(self, line: str) -> None:
        """The text of an error is safe to show and log, whatever the server sent."""
        client, _ = redis()
        fired = outcome(client.send("A"))
        client.dataReceived(f"-{line}\r\n".encode())
        (error,) = fired
        self.assertIsInstance(error, ThoonkError)
        self.assert_sober([str(error)])

    @QUICK
    @given(
        st.lists(st.tuples(REPLIES, PUSHES | st.just(b""), st.booleans()), max_size=6),
        CUTS,
        st.sampled_from(["utf8", None]),
    )
    @example([(b"*1\r\n$1\r\n\xff\r\n", b"", False)], [], "utf8")
    @example([(b"*2\r\n-ERR a\r\n:1\r\n", b">1\r\n-ERR b\r\n", True)], [], None)
    def test_in_step(
        self, replies: list[tuple[bytes, bytes, bool]], cuts: list[int], charset: str | None
    ) -> None:
        """Replies of any kind stay in step with their calls, despite pushes and cancellation."""
        client, _ = redis(charset=charset)
        fired: list[tuple[list[Any], list[Any]]] = []
        wire = b""
        for number, (reply, push, cancelled) in enumerate(replies):
            call, after = client.send("A"), client.send("B")
            fired.append((outcome(call), outcome(after)))
            if cancelled:
                call.cancel()
            wire += push + reply + push + b":%d\r\n" % number
        for piece in pieces(wire, cuts):
            client.dataReceived(piece)
        for number, (reply, _, cancelled) in enumerate(replies):
            first, second = fired[number]
            self.assertEqual(len(first), 1, reply)
            self.assertEqual(isinstance(first[0], CancelledError), cancelled, first)
            self.assertEqual(second, [number])
        self.assertEqual((len(client._pending), client.usable), (0, True))


class GarbageTests(FuzzTestCase):
    """No bytes make the protocol raise."""

    def tearDown(self) -> None:
        self.logged()  # mostly replies without a call
        super().tearDown()

    def feed(self, client: Any, wire: bytes, cuts: list[int]) -> None:
        for piece in pieces(wire, cuts):
            client.dataReceived(piece)

    @QUICK
    @given(GARBAGE, CUTS, st.sampled_from(["utf8", None, "latin-1"]), st.integers(0, 4))
    @example(b"%1\r\n*1\r\n:1\r\n:2\r\n", [], "utf8", 1)
    @example(b"%1\r\n%0\r\n:2\r\n", [], None, 0)
    def test_garbage(self, wire: bytes, cuts: list[int], charset: str | None, calls: int) -> None:
        """Arbitrary bytes raise nothing, and in the end every call has fired once."""
        client, _ = redis(charset=charset)
        fired = [outcome(client.send("A")) for _ in range(calls)]
        self.feed(client, wire, cuts)
        lose(client)
        for result in fired:
            self.assertEqual(len(result), 1)
            if isinstance(result[0], Exception):
                self.assertIsInstance(result[0], ThoonkError)
        self.failureResultOf(client.ping(), ConnectionLost)

    @QUICK
    @given(GARBAGE, CUTS, st.integers(0, 3))
    def test_garbage_in_the_handshake(self, wire: bytes, cuts: list[int], calls: int) -> None:
        """Arbitrary bytes during the handshake raise nothing, and every call fires once."""
        client, _ = redis(password="pw", db=1)
        fired = [outcome(client.send("A")) for _ in range(calls)]
        self.feed(client, wire, cuts)
        lose(client)
        self.assertEqual([len(result) for result in fired], [1] * calls)

    @QUICK
    @given(st.lists(REPLIES, max_size=3), GARBAGE, CUTS, st.integers(0, 3))
    def test_garbage_behind_replies(
        self, replies: list[bytes], wire: bytes, cuts: list[int], more: int
    ) -> None:
        """Garbage spoils no earlier reply; after it, all calls fail or all stay in step."""
        client, transport = redis(charset=None)
        calls = [outcome(client.send("A")) for _ in replies]
        later = [outcome(client.send("B")) for _ in range(more)]
        self.feed(client, b"".join(replies) + wire, cuts)
        for result in calls:
            self.assertEqual(len(result), 1)
            self.assertNotIsInstance(result[0], (InvalidResponse, ConnectionLost))
        if not client.usable:
            self.assertTrue(transport.disconnecting)
            self.assertEqual([len(result) for result in later], [1] * more)
            error = self.failureResultOf(client.ping(), ConnectionLost).value
            self.assertTrue(str(error))
        lose(client)
        self.assertEqual([len(result) for result in later], [1] * more)

    @QUICK
    @given(st.lists(REPLIES, min_size=1, max_size=3), st.integers(0, 10_000))
    def test_cut_off(self, replies: list[bytes], where: int) -> None:
        """A connection that ends anywhere fails exactly the calls that have no reply."""
        client, _ = redis(charset=None)
        calls = [outcome(client.send("A")) for _ in replies]
        wire = b"".join(replies)
        client.dataReceived(wire[: where % len(wire)])
        lose(client)
        end = 0
        for reply, result in zip(replies, calls, strict=True):
            end += len(reply)
            lost = end > where % len(wire)
            self.assertEqual((len(result), isinstance(result[0], ConnectionLost)), (1, lost))

    def test_lengths(self) -> None:
        """Impossible lengths end the connection with a clear error."""
        for kind in (b"$", b"*", b"%", b"~", b">", b"=", b"!"):
            for length in (b"-2", b"-9999", b"99999999999999999999", b"9" * 400, b"x", b"1e3"):
                client, transport = redis()
                fired = outcome(client.send("A"))
                client.dataReceived(kind + length + b"\r\n")
                with self.subTest(kind=kind, length=length):
                    (error,) = fired
                    self.assertIsInstance(error, InvalidResponse)
                    self.assertTrue(str(error))
                    self.assertTrue(transport.disconnecting)

    def test_no_memory(self) -> None:
        """An array too large for the memory ends the connection, and raises nothing."""

        class Reader:
            def feed(self, data: bytes) -> None:
                pass

            def set_encoding(self, *encoding: Any) -> None:
                pass

            def gets(self) -> Any:
                raise MemoryError  # as the reader of hiredis does after *2147483647

        client, transport = redis()
        fired = outcome(client.send("A"))
        reader: Any = Reader()
        client._reader = reader
        client.dataReceived(b"*2147483647\r\n")
        self.assertIsInstance(fired[0], InvalidResponse)
        self.assertTrue(transport.disconnecting)

    def test_deep(self) -> None:
        """Endlessly nested arrays are refused."""
        client, _ = redis()
        fired = outcome(client.send("A"))
        client.dataReceived(b"*1\r\n" * 100_000)
        self.assertIsInstance(fired[0], InvalidResponse)

    def test_big_number(self) -> None:
        """A number with more digits than Python accepts raises nothing."""
        client, _ = redis()
        fired = outcome(client.send("A"))
        client.dataReceived(b"(" + b"9" * 100_000 + b"\r\n:1\r\n")
        self.assertEqual(len(fired), 1)

    @QUICK
    @given(REPLIES | PUSHES)
    @example(b"$10000000\r\n" + b"x" * 10_000_000 + b"\r\n")
    @example(b"-ERR " + b"x" * 10_000_000 + b"\r\n")
    @example(b">2\r\n$10000000\r\n" + b"x" * 10_000_000 + b"\r\n:1\r\n")
    def test_unasked(self, wire: bytes) -> None:
        """A reply without a call is logged once, cut to length; later replies stay in step."""
        client, _ = redis(charset=None)
        client.dataReceived(wire)
        lines = self.logged()
        self.assertEqual(len(lines), 0 if wire.startswith(b">") else 1)
        self.assert_sober(lines)
        fired = outcome(client.send("A"))
        client.dataReceived(b":7\r\n")
        self.assertEqual(fired, [7])

    def test_last_words(self) -> None:
        """An error without a call becomes the reason for the lost connection, cut to length."""
        client, _ = redis()
        client.dataReceived(b"-ERR max number of clients reached " + b"x" * 10_000_000 + b"\r\n")
        lose(client)
        error = self.failureResultOf(client.ping(), ConnectionLost).value
        self.assertIn("max number of clients reached", str(error))
        self.assertLess(len(str(error)), 3000)

    @QUICK
    @given(GARBAGE, CUTS, st.booleans())
    def test_missing_script(self, wire: bytes, cuts: list[int], cancelled: bool) -> None:
        """A call that is sent again with its source fires once, whatever bytes follow."""
        from tests.support.connections import SCRIPT
        from txthoonk.protocol._encoding import TEXT

        client, _ = redis()
        call = client.call(SCRIPT, ("EVALSHA", SCRIPT.sha, 1, "k"), TEXT)
        fired = outcome(call)
        client.dataReceived(b"-ERR no\r\n-NOSCRIPT no\r\n")
        self.assertEqual(fired, [])
        if cancelled:
            call.cancel()
        self.feed(client, b"-NOSCRIPT again\r\n" + wire, cuts)
        lose(client)
        (error,) = fired
        self.assertIsInstance(error, CancelledError if cancelled else NoScript)

    @QUICK
    @given(st.lists(st.text() | st.binary() | INTEGERS | st.floats() | st.booleans()))
    def test_arguments(self, arguments: list[Any]) -> None:
        """Arguments are sent as RESP that reads back as the same words, or nothing is sent."""
        client, transport = redis()
        sent = outcome(client.send("A", *arguments))
        if needs_surrogates(arguments):
            self.assertEqual((len(sent), transport.value()), (1, b""))
            self.assertIsInstance(sent[0], InvalidData)
        else:
            words = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
            self.assertEqual(transport.writes, [resp([b"A", *words])])
