"""Replies, garbage and messages of any shape, in pieces of any size."""

from __future__ import annotations

import gc
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.wire import lose, outcome, plug, redis, resp
from txthoonk.errors import ConnectionLost, ResponseError, ThoonkError
from txthoonk.protocol import RedisSubscriber

QUICK = settings(
    max_examples=250,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))
SCALARS = st.none() | INTEGERS | st.text() | st.binary()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
CUTS = st.lists(st.integers(0, 2000), max_size=12)

# Bytes that look enough like RESP to get far.
PIECES = st.sampled_from(
    [bytes([byte]) for byte in b"+-:$*_#,(!=%~>|.?\r\n\0\xff01237"]
    + b"\r\n|-1|txt:|OK|ERR|message|subscribe|abc".split(b"|")
)
GARBAGE = st.binary(max_size=80) | st.lists(PIECES, max_size=40).map(b"".join)


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    """Cut *wire* at the given places."""
    places = sorted(cut % (len(wire) + 1) for cut in cuts)
    ends = [*places, len(wire)]
    return [wire[start:end] for start, end in zip([0, *places], ends, strict=True)]


def as_bytes(value: Any) -> Any:
    """Give *value* as a client without a charset fires it."""
    if isinstance(value, str):
        return value.encode()
    return list(map(as_bytes, value)) if isinstance(value, list) else value


def needs_surrogates(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(needs_surrogates, value))
    try:
        value.encode() if isinstance(value, str) else None
    except UnicodeEncodeError:
        return True
    return False


class FuzzTests(SynchronousTestCase):
    """Whatever comes, the protocols keep their head."""

    def setUp(self) -> None:
        self.addCleanup(self.forget)

    def forget(self) -> None:
        """Drop what was logged about malformed messages, garbage collected ones too."""
        gc.collect()
        self.flushLoggedErrors()

    @QUICK
    @given(st.lists(VALUES.filter(lambda value: not needs_surrogates(value)), max_size=6), CUTS)
    def test_replies(self, values: list[Any], cuts: list[int]) -> None:
        """Replies of any shape come out equal, in order, in pieces of any size."""
        client, _ = redis(charset=None)
        fired = [outcome(client.send("A")) for _ in values]
        for piece in pieces(b"".join(map(resp, values)), cuts):
            client.dataReceived(piece)
        self.assertEqual(fired, [[as_bytes(value)] for value in values])

    @QUICK
    @given(st.lists(LINES, min_size=1, max_size=5), CUTS)
    def test_lines(self, lines: list[str], cuts: list[int]) -> None:
        """Status lines and errors come out as they are."""
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
    @given(GARBAGE, CUTS, st.sampled_from(["utf8", None, "latin-1"]), st.integers(0, 4))
    @example(b"%1\r\n*1\r\n:1\r\n:2\r\n", [], "utf8", 1)
    @example(b"%1\r\n%0\r\n:2\r\n", [], None, 0)
    def test_garbage(self, wire: bytes, cuts: list[int], charset: str | None, calls: int) -> None:
        """Any bytes raise nothing, and at the end every call has fired once."""
        client, _ = redis(charset=charset)
        fired = [outcome(client.send("A")) for _ in range(calls)]
        for piece in pieces(wire, cuts):
            client.dataReceived(piece)
        lose(client)
        for result in fired:
            self.assertEqual(len(result), 1)
            if isinstance(result[0], Exception):
                self.assertIsInstance(result[0], ThoonkError)
        self.failureResultOf(client.ping(), ConnectionLost)

    @QUICK
    @given(GARBAGE, CUTS, st.integers(0, 3))
    def test_garbage_in_the_handshake(self, wire: bytes, cuts: list[int], calls: int) -> None:
        """The same before AUTH and SELECT have been answered."""
        client, _ = redis(password="pw", db=1)
        fired = [outcome(client.send("A")) for _ in range(calls)]
        for piece in pieces(wire, cuts):
            client.dataReceived(piece)
        lose(client)
        self.assertEqual([len(result) for result in fired], [1] * calls)

    KINDS = st.sampled_from(
        ["message", "pmessage", "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "pong"]
    )
    MESSAGES = st.lists(
        st.tuples(KINDS | VALUES, st.lists(VALUES, max_size=4)).map(lambda m: [m[0], *m[1]])
        | VALUES,
        max_size=8,
    ).filter(lambda value: not needs_surrogates(value))

    @QUICK
    @given(MESSAGES, CUTS, st.sampled_from(["utf8", None]), st.booleans())
    @example([1, ["subscribe", "a", 1], ["subscribe", "b", 2]], [], None, True)
    def test_subscriber(
        self, messages: list[Any], cuts: list[int], charset: str | None, ask: bool
    ) -> None:
        """Lists of any shape raise nothing out of a subscriber, and no request hangs."""
        subscriber, _ = plug(RedisSubscriber(charset=charset))
        fired: list[Any] = []
        if ask:
            subscriber.subscribe("a", "b")
            fired = outcome(subscriber.send("PING"))
            subscriber.punsubscribe()
        for piece in pieces(b"".join(map(resp, messages)), cuts):
            subscriber.dataReceived(piece)
        lose(subscriber)
        self.assertEqual(len(fired), int(ask))

    @QUICK
    @given(GARBAGE, CUTS)
    def test_subscriber_and_garbage(self, wire: bytes, cuts: list[int]) -> None:
        """So it is with bytes that are no lists."""
        subscriber, _ = plug(RedisSubscriber())
        subscriber.subscribe("a", "b")
        for piece in pieces(wire, cuts):
            subscriber.dataReceived(piece)
        lose(subscriber)

    @QUICK
    @given(st.lists(st.text() | st.binary() | INTEGERS | st.floats() | st.booleans()))
    def test_arguments(self, arguments: list[Any]) -> None:
        """Any arguments are sent as RESP that reads back as the same words, or not at all."""
        client, transport = redis()
        sent = outcome(client.send("A", *arguments))
        if needs_surrogates(arguments):
            self.assertEqual((len(sent), transport.value()), (1, b""))
        else:
            words = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
            self.assertEqual(transport.writes, [resp([b"A", *words])])
