"""A client's time of the day that steps: timers go on."""

# Trial's TestCase is typed in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.support import RedisTestCase, server_url

reactor: Any = installed_reactor
ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "support" / "stepping_clock.py"


class Program(ProcessProtocol):
    """The program; :ivar claimed: fires when it has a job."""

    def __init__(self) -> None:
        self.claimed: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        if not self.claimed.called:
            self.claimed.callback(None)

    def errReceived(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)

    async def kill(self) -> None:
        self.transport.signalProcess("KILL")
        await self.ended


class StepTests(RedisTestCase):
    timeout = 30

    async def test_back(self) -> None:
        """A worker whose clock is set back by an hour goes on renewing its claims."""
        job = await (await self.pub()).job("x", {"timeout": 1})
        await job.put("item", id_="a")
        program = Program()
        words = (sys.executable, str(PROGRAM), await server_url(), "x")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        reactor.spawnProcess(program, sys.executable, words, environment)
        self.addCleanup(program.kill)
        await program.claimed
        renewed = {await self.raw.send("ZSCORE", "feed.claimed:x", "a")}
        while len(renewed) < 4:
            renewed.add(await self.raw.send("ZSCORE", "feed.claimed:x", "a"))
