"""The ``thoonk`` command on a server that accepts connections and does not answer."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol

from tests.support import children
from tests.support.cli import THOONK, Child, CommandTestCase
from txthoonk.testing import RedisServer

reactor: Any = installed


class Silent(Protocol):
    """Reads everything, and answers nothing."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.connections += 1
        waiting, self.factory.waiting = self.factory.waiting, []
        for one in waiting:
            one.callback(None)


class SilentServer(Factory):
    protocol = Silent

    def __init__(self) -> None:
        self.connections = 0
        self.waiting: list[Deferred[None]] = []

    def connected(self) -> Deferred[None]:
        """Fire when there is another connection."""
        self.waiting.append(Deferred())
        return self.waiting[-1]


class SilenceTestCase(CommandTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.server = SilentServer()
        port = reactor.listenTCP(0, self.server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.place = f"127.0.0.1:{port.getHost().port}"


class TimeoutTests(SilenceTestCase):
    async def test_silent(self) -> None:
        """A command gives up after ``--timeout``; the error names the server and the option."""
        for scheme in ("redis", "rediss"):
            self.url = f"{scheme}://{self.place}"
            for words in (("feeds",), ("get", "q"), ("watch", "n*"), ("top", "--once")):
                status, out, err = await self.thoonk("--timeout", "0.05", *words)
                self.assertEqual((status, out, err.count("\n")), (1, "", 1), err)
                self.assertIn(f"{self.url} has not answered for 0.05 seconds", err)
                self.assertIn("--timeout", err)

    async def test_frozen(self) -> None:
        """A ``get`` that waits for an item fails when the server freezes."""
        async with RedisServer(reactor=reactor) as server:
            self.url = server.url
            await self.thoonk("create", "q", "type=queue")
            running = Deferred.fromCoroutine(self.thoonk("--timeout", "0.5", "get", "q"))
            os.kill(server.pid, signal.SIGSTOP)
            try:
                status, out, err = await running
            finally:
                os.kill(server.pid, signal.SIGCONT)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("has not answered for 0.5 seconds", err)

    async def test_values(self) -> None:
        """The time is a number of seconds above 0; ``get`` has a time of its own."""
        for value in ("0", "-1", "nan", "soon"):
            status, out, err = await self.thoonk("feeds", "--timeout", value)
            self.assertEqual((out, err.count("\n")), ("", 1))
            self.assertGreater(status, 0)
            self.assertIn("--timeout", err)
        await self.publisher.queue("q")
        status, _, err = await self.thoonk("get", "q", "--timeout", "0.01")
        self.assertIn("had nothing to get", err)


class SignalTests(SilenceTestCase):
    async def test_connecting(self) -> None:
        """Ctrl-C and SIGTERM end a command that waits for the server, with their statuses."""
        for scheme in ("redis", "rediss"):
            for name, status in (("INT", 130), ("TERM", 143)):
                connected = self.server.connected()
                child = Child("--url", f"{scheme}://{self.place}", "feeds")
                await child.during(connected)
                self.assertEqual((await child.signal(name), child.err), (status, ""))

    async def test_watching(self) -> None:
        """SIGTERM ends ``watch`` with its status, Ctrl-C with success."""
        watching = [self.child("watch", "news") for _ in range(2)]
        await gatherResults([child.seen("watching") for child in watching])
        statuses = [
            await child.signal(name) for child, name in zip(watching, ("TERM", "INT"), strict=True)
        ]
        self.assertEqual(statuses, [143, 0])

    async def test_output_is_stuck(self) -> None:
        """SIGTERM ends a command whose output is not read."""
        news = await self.publisher.feed("news")
        await news.publish("x" * 1_000_000, "1")
        child = children.Child()
        read_end, write_end = os.pipe()
        words = [*THOONK, "--url", self.url, "item", "news", "1"]
        child.spawn(*words, childFDs={0: "w", 1: write_end, 2: "r"})
        os.close(write_end)
        os.read(read_end, 1)  # it has begun, and cannot go on
        self.assertEqual(await child.signal("TERM"), 143)
        os.close(read_end)
