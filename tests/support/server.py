"""Helpers for the tests of the private redis-server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT
from tests.support.waiting import until_answer
from txthoonk.protocol import Redis
from txthoonk.testing import RedisServer, ServerError

reactor: Any = installed_reactor  # a module; mypy does not know its names
TURNS = 3  # turns of the reactor, in which it sends pending data
STEP = 5.0  # seconds by which the clock of a test advances at a time
ROOT = str(Path(__file__).parents[2])

# The first test that needs the server starts it, and it ends with the run: trial fails a test or a
# class that leaves anything in the reactor.
shared = RedisServer()
shared_pids: set[int] = set()

# A program that starts a server, prints what identifies it, and ends in a given way.
PROGRAM = """
import os, signal
from twisted.internet import reactor
from txthoonk.testing import RedisServer

def up(server):
    print(server.pid, server.folder, server.endpoint()._path, sep="\\n", flush=True)
    {ending}

RedisServer({arguments}).start().addCallback(up)
reactor.run()
"""

# A trial suite that starts a server and never stops it.
SUITE = """
import sys
from twisted.trial.unittest import TestCase
from txthoonk.testing import RedisServer

redis = RedisServer()

class FirstTests(TestCase):
    def test_start(self):
        return redis.start()

class SecondTests(TestCase):
    async def test_still_there(self):
        await redis.start()
        with open("server", "w") as file:
            print(redis.pid, redis.folder, sep="\\n", file=file)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def turns(_: object = None) -> None:
    """Let the reactor send pending data."""
    for _ in range(TURNS):
        await deferLater(reactor, 0)


class HalfClock(Clock):
    """A reactor whose calls of a second or more wait for the test."""

    def callLater(self, when: float, *arguments: Any, **options: Any) -> Any:
        if when < 1:
            return reactor.callLater(when, *arguments, **options)
        return super().callLater(when, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    async def go_on(self, seconds: float) -> None:
        """Let time pass in small steps."""
        end = self.seconds() + seconds
        while self.seconds() < end:
            self.advance(STEP)
            await turns()


async def ask(server: RedisServer, *words: str) -> Any:
    """Send one command on a separate connection."""
    redis = await connectProtocol(server.endpoint(), Redis())
    try:
        return await redis.send(*words)
    finally:
        await redis.close()


async def until_reply(
    server: RedisServer,
    *words: str,
    holds: Callable[[Any], object] = bool,
    silent: bool = False,
) -> Any:
    """Wait until a server gives a certain reply to a command that only reads; return it."""
    question = partial(ask, server, *words)
    return await until_answer(server.endpoint(), question, holds, silent=silent)


async def until_subscribed(server: RedisServer, channel: str) -> None:
    """Wait until a server counts one subscriber of a channel."""
    await until_reply(
        server, "PUBSUB", "NUMSUB", channel, holds=lambda reply: reply[1] == 1, silent=True
    )


async def until_blocked(server: RedisServer, count: int) -> None:
    """Wait until *count* clients of a server are blocked: gets wait on them."""
    text = f"blocked_clients:{count}\r\n"
    await until_reply(server, "INFO", "clients", holds=lambda reply: text in reply, silent=True)


class ServerTestCase(TestCase):
    timeout = TIMEOUT

    def server(self, *arguments: Any, **options: Any) -> RedisServer:
        """Make a server that is stopped after the test."""
        server = RedisServer(*arguments, **options)
        self.addCleanup(server.stop)
        return server

    async def fails_to_start(self, server: RedisServer) -> str:
        """Fail to start a server, and return the error's message."""
        starting: Deferred[Any] = server.start()
        return str(await self.assertFailure(starting, ServerError))

    def program(self, text: str, name: str = "program") -> str:
        """Write an executable program in a folder of its own, and return its path."""
        path = Path(self.mktemp()).absolute() / name
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o700)
        return str(path)

    async def run_python(self, *arguments: str) -> str:
        """Run a Python program to its end, and return its output."""
        environment = {**os.environ, "PYTHONPATH": ROOT}
        output = await getProcessOutput(sys.executable, arguments, environment, errortoo=True)
        return bytes(output).decode()
