"""Helpers for the tests with random input: replies, garbage and messages of any shape."""

from __future__ import annotations

import gc
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from tests.support.logs import observe_log
from tests.support.wire import Connection, Endpoint
from txthoonk.client import ThoonkPub
from txthoonk.protocol import Redis

QUICK = settings(
    max_examples=120,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
FEW = settings(QUICK, max_examples=50)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
# Lines of printable characters.
LINES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=50)
TEXTS = st.text(st.characters(codec="utf-8"))
SCALARS = st.none() | INTEGERS | TEXTS | st.binary()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
CUTS = st.lists(st.integers(0, 2000), max_size=12)

# Bytes that look enough like RESP to get far.
PIECES = st.sampled_from(
    [bytes([byte]) for byte in b"+-:$*_#,(!=%~>|.?\r\n\0\xff01237"]
    + b"\r\n|-1|txt:|OK|ERR|message|subscribe|abc".split(b"|")
)
GARBAGE = st.binary(max_size=80) | st.lists(PIECES, max_size=40).map(b"".join)

# Malformed revisions, times and counts, and some valid ones.
NUMBERS = st.sampled_from(
    [
        *("", "0", "-1", "+1", " 1", "1 ", "1_0", "007", "1.5", "1e3", "1e400", "nan", "inf"),
        *(
            "-inf",
            "0x10",
            "\uff11",
            "\u0663",
            "\u00b2",
            "9" * 15,
            "9" * 16,
            "9" * 400,
            "9" * 5000,
            "None",
            "x",
        ),
    ]
)
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"
ODD = st.sampled_from(
    [
        *("", "\0", "\0\0", "\0\0\0\0", "x", "*", "?", "[a-z]", "[", "\\", ":", ":end", "begin:"),
        *(
            "feeds",
            "newfeed",
            "news",
            "other",
            "{}",
            "[]",
            "null",
            "1",
            '"',
            "\n",
            "\r\n",
            "\U0001d518",
        ),
        ESCAPES,
        "\udcff\udcfe",  # bytes that are not UTF-8
    ]
)
WORDS = ODD | NUMBERS | TEXTS

#: Messages of any shape, as text in which other bytes are surrogate escapes.
MESSAGES = (
    WORDS
    | st.lists(WORDS, max_size=6).map("\0".join)
    | st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
)

EPOCHS = st.sampled_from(["a", "b", "", "0" * 16, "x" * 1000, ESCAPES, "\udcff"])
KINDS = st.sampled_from(
    [
        *("publish", "edit", "retract", "position", "put", "claim", "finish", "finished"),
        *("progress", "create", "delete", "config", "snapshot", "resync", "", "unknown", "epoch"),
    ]
)

#: Messages for ``feed.event:[feed]``, most of them nearly valid.
EVENT_MESSAGES = MESSAGES | st.tuples(
    EPOCHS, NUMBERS | st.integers(0, 9).map(str), st.sampled_from(["", "+", "++"]), KINDS, MESSAGES
).map(lambda words: "\0".join([words[0], words[1] + words[2], *words[3:]]))


def as_bytes(message: str) -> bytes:
    """Return a message as it is sent."""
    return message.encode("utf-8", "surrogateescape")


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    """Cut *wire* at the given places."""
    places = sorted(cut % (len(wire) + 1) for cut in cuts)
    ends = [*places, len(wire)]
    return [wire[start:end] for start, end in zip([0, *places], ends, strict=True)]


class Log:
    """The log, as text."""

    def __init__(self, test: Any) -> None:
        gc.collect()
        self._events: list[Any] = []
        observe_log(test, self._events.append)

    def take(self, level: Any = LogLevel.warn) -> list[str]:
        """Return the lines since the last time, of a level and above."""
        events = list(self._events)
        self._events.clear()
        return [
            eventAsText(event, includeTimestamp=False, includeSystem=False)
            for event in events
            if event.get("log_level", LogLevel.info) >= level
        ]


class FuzzTestCase(SynchronousTestCase):
    """A test fails if anything unexpected is logged, including unhandled errors."""

    def setUp(self) -> None:
        self.log = Log(self)

    def tearDown(self) -> None:
        gc.collect()
        self.assertEqual(self.logged(), [])

    def logged(self) -> list[str]:
        """Return the lines that were logged since the last time."""
        self.flushLoggedErrors()
        return self.log.take()

    def assert_sober(self, lines: list[str]) -> None:
        """Check that lines are short and harmless to a terminal."""
        for line in lines:
            self.assertLess(len(line), 3000, line[:200])
            self.assertTrue(all(c.isprintable() or c in "\n\t" for c in line), ascii(line))


class PublisherFuzzTestCase(FuzzTestCase):
    """A fuzz test of a publisher, which may log short lines but no unhandled errors."""

    def tearDown(self) -> None:
        gc.collect()
        lines = self.logged()
        self.assert_sober(lines)
        self.assertEqual([line for line in lines if "Unhandled" in line], [])
        super().tearDown()

    def connect(self) -> ThoonkPub:
        """Return a publisher whose connection has loaded all scripts."""
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.endpoint)
        self.main = Connection(self.pub)
        self.main.know_scripts()
        return self.pub
