"""What the ``thoonk`` command prints: columns, colors and cut lines at a terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli._output import coloured, show_line, show_rows
from txthoonk.cli.verbs._watch import _report_state

ROWS = [("1", "publish", "hello"), ("\u4e2d\u6587", "stall", "x" * 50, "y"), ("3", "other\n")]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class OutputTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(os, "environ", {"TERM": "xterm"})
        self.patch(shutil, "get_terminal_size", lambda: os.terminal_size((20, 10)))

    def shown(self, file: io.StringIO) -> list[str]:
        return file.getvalue().splitlines()


class PipeTests(OutputTestCase):
    def test_plain(self) -> None:
        """In a pipe, columns are separated by tabs, and nothing is escaped, colored or cut."""
        file = io.StringIO()
        self.patch(sys, "stdout", file)
        show_rows(ROWS, marked=1)
        show_line(ROWS[1], marked=1)
        expected = ["\t".join(row) for row in ROWS]
        self.assertEqual(file.getvalue(), "\n".join([*expected, "  ".join(ROWS[1]), ""]))


class TerminalTests(OutputTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.screen = Screen()
        self.patch(sys, "stdout", self.screen)

    def test_aligned(self) -> None:
        """Columns are as wide as their widest cell, up to a limit."""
        os.environ["NO_COLOR"] = "1"
        show_rows(ROWS)
        expected = [
            "1     publish  hello",
            f"\u4e2d\u6587  stall    {'x' * 50}  y",
            "3     other\\n",
        ]
        self.assertEqual(self.shown(self.screen), expected)
        show_rows([])

    def test_colours(self) -> None:
        """The marked word is colored, unless NO_COLOR is set or the terminal is dumb."""
        show_rows(ROWS[:1], marked=1)
        self.assertEqual(self.shown(self.screen), ["1  \x1b[32mpublish\x1b[0m  hello"])
        for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            os.environ[name] = value
            self.assertEqual(coloured("x", "red", self.screen), "x")
            os.environ.pop(name)

    def test_cut(self) -> None:
        """A line ends at the right edge, also with wide characters and control characters."""
        for words, expected in [
            (("1234567890", "12345678"), "1234567890  12345678"),
            (("1234567890", "123456789"), "1234567890  12345..."),
            (("1234567890", "\u4e2d" * 5), "1234567890  \u4e2d\u4e2d..."),
            (("1234567890", "\x00\x00\x00"), "1234567890  \\x00\\..."),
            (("1" * 30, "x"), f"{'1' * 17}..."),
            (("1" * 19, "x"), "1" * 19),
        ]:
            show_line(words, marked=0)
            self.assertEqual(self.shown(self.screen)[-1], expected)


class StateTests(SynchronousTestCase):
    def test_disconnected(self) -> None:
        """A reason of Twisted, which ends with a full stop, becomes a part of one sentence."""
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        _report_state("disconnected", ConnectionError("it was closed cleanly."))
        self.assertEqual(said.getvalue(), "thoonk: it was closed cleanly; trying again\n")
