"""Helpers for the integration tests of the command line."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from tests.support import RedisTestCase, children
from txthoonk.cli import _main as cli

THOONK = [sys.executable, "-c", "from _txthoonk_command import main; main()"]


class Child(children.Child):
    """A ``thoonk`` command.

    :ivar ended: fires its exit status; None if a signal ended it.
    """

    def __init__(self, *words: str, terminal: bool = False) -> None:
        super().__init__()
        here = {**os.environ, "TERM": "xterm"}  # independent of the terminal of the tests
        self.spawn(*THOONK, *words, env=here, usePTY=terminal)

    def outcome(self, ended: Any) -> int | None:
        status: int | None = ended.exitCode
        return status

    def seen(self, text: str) -> Deferred[re.Match[str]]:
        """Fire once *text* is in the output."""
        return super().seen(re.escape(text))


class CommandTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publisher = await self.pub()
        self.url = f"{self.target.text}"

    async def thoonk(self, *words: str) -> tuple[int, str, str]:
        """Run the command to its end; return its exit status, output and errors."""
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
        err = io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        try:
            parsed = cli._parsed(["--url", self.url, *words])
            status = await cli._run(reactor, *parsed)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        out.flush()
        return status, out.buffer.getvalue().decode("utf-8", "surrogateescape"), err.getvalue()

    def child(self, *words: str, terminal: bool = False) -> Child:
        return Child("--url", self.url, *words, terminal=terminal)
