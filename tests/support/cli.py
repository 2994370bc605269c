"""What several integration tests of ``cli`` share."""

from __future__ import annotations

import io
import os
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.support import RedisTestCase
from txthoonk.cli import _main as cli

THOONK = [sys.executable, "-c", "from txthoonk.cli import main; main()"]


class Child(ProcessProtocol):
    """A ``thoonk`` that runs; its output can be waited for."""

    def __init__(self, *words: str, terminal: bool = False) -> None:
        self.out = self.err = ""
        self.ended: Deferred[int] = Deferred()
        self._waiting: list[tuple[str, Deferred[None]]] = []
        here = {**os.environ, "TERM": "xterm"}  # whatever the terminal of the tests is
        reactor.spawnProcess(self, THOONK[0], [*THOONK, *words], env=here, usePTY=terminal)

    def outReceived(self, data: bytes) -> None:
        self.out += data.decode("utf-8", "surrogateescape")
        self._tell()

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode()
        self._tell()

    def processEnded(self, reason: Failure) -> None:
        self._tell()
        if reason.check(ProcessDone, ProcessTerminated):
            self.ended.callback(reason.value.exitCode)

    def seen(self, text: str) -> Deferred[None]:
        """Fire once *text* was printed."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((text, waiting))
        self._tell()
        return waiting

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for text, deferred in waiting:
            if text in self.out + self.err:
                deferred.callback(None)
            else:
                self._waiting.append((text, deferred))


class CommandTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publisher = await self.pub()
        self.url = f"{self.target.text}"

    async def thoonk(self, *words: str) -> tuple[int, str, str]:
        """Run the command to its end: its exit status, output and errors."""
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
