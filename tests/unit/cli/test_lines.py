"""Lines of standard input: where they end, and the cost of finding that."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli import _stdin
from txthoonk.cli._stdin import LineLoad
from txthoonk.errors import InvalidInput


class Chunk(bytes):
    """A piece of input that counts how much of it is searched."""

    searched = 0

    def split(self, *arguments: Any) -> list[bytes]:
        Chunk.searched += len(self)
        return super().split(*arguments)


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.load = LineLoad(self.publish, None)

    def publish(self, line: bytes) -> Deferred[None]:
        self.lines.append(line)
        return succeed(None)

    def read(self, data: bytes, size: int) -> list[bytes]:
        """Feed the data in chunks of this size, then the end; return the lines."""
        self.setUp()
        for at in range(0, len(data), size):
            self.load._take(Chunk(data[at : at + size]))
        self.load._take(b"")
        return self.lines

    def test_ends(self) -> None:
        """A line ends with LF or CR LF, however the input is split."""
        for data, lines in {
            b"": [],
            b"a": [b"a"],
            b"a\n": [b"a"],
            b"a\n\nb": [b"a", b"", b"b"],
            b"a\r\nb\r\n\r\n": [b"a", b"b", b""],
            b"a\rb\r\r\nc\r": [b"a\rb\r", b"c\r"],
        }.items():
            for size in range(1, len(data) + 2):
                self.assertEqual(self.read(data, size), lines)

    def test_byte_order_mark(self) -> None:
        """A byte order mark at the beginning is not part of the first line; others stay."""
        mark = "\ufeff".encode()
        for data, lines in {
            mark: [],
            mark + b"\n": [b""],
            mark + b"a\r\n" + mark + b"b": [b"a", mark + b"b"],
            mark + mark: [mark],
            mark[:2]: [mark[:2]],
        }.items():
            for size in range(1, len(data) + 2):
                self.assertEqual(self.read(data, size), lines)

    def test_long_line(self) -> None:
        """Each byte of a line is searched once, however long the line is."""
        Chunk.searched = 0
        line = bytes(10) * 10_000
        self.assertEqual(self.read(line + b"\nb", 10), [line, b"b"])
        self.assertEqual(Chunk.searched, len(line) + 2)

    def test_endless_line(self) -> None:
        """A line longer than Redis accepts is refused before it fills the memory."""
        self.patch(_stdin, "LONGEST", 10)
        self.assertEqual(self.read(b"1234567890\n", 4), [b"1234567890"])
        self.assertRaises(InvalidInput, self.read, b"12345678901", 4)
