"""Peers and endpoints in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attr
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.wire import Transport, commands
from txthoonk.connections._interfaces import Listener
from txthoonk.connections._reconnecting import Connection
from txthoonk.errors import (
    ConnectionLost,
)
from txthoonk.protocol import Redis
from txthoonk.wire._scripts import Script

NAME = "redis://there:6379/0"
SECRET = "s3cr3t-passw0rd"
PONG = b"+PONG\r\n"
PING = [b"PING"]
SCRIPT = Script("x/y", "return 1", "0" * 40)


class Peer:
    """One TCP connection, seen from the server."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.link = factory.buildProtocol(None)
        self.link.makeConnection(self.transport)

    @property
    def redis(self) -> Any:
        return self.link.redis

    def sent(self) -> list[list[bytes]]:
        words = commands(self.transport.value())
        self.transport.clear()
        return words

    def answer(self, data: bytes = PONG) -> None:
        self.link.dataReceived(data)

    def lose(self, reason: Exception | None = None) -> None:
        self.link.connectionLost(Failure(reason or ConnectionDone()))


class Turns(Clock):
    """A clock with turns, as a reactor has: calls that become due during a turn run in the next.

    :ivar read: is called between two turns.
    """

    read: Callable[[], object] = staticmethod(lambda: None)

    def advance(self, amount: float) -> None:
        self.rightNow += amount
        while due := [call for call in self.calls if call.getTime() <= self.rightNow]:
            for call in due:
                if call.active():
                    self.calls.remove(call)
                    call.called = 1
                    call.func(*call.args, **call.kw)
            self.read()


@implementer(IStreamClientEndpoint)
class Endpoint:
    """An endpoint whose attempts to connect succeed or fail as the test decides."""

    def __init__(self) -> None:
        self.attempts: list[tuple[Any, Deferred[Any]]] = []
        self.cancelled = 0
        self.refuse_at_once = False

    def connect(self, factory: Any) -> Deferred[Any]:
        attempt: Deferred[Any] = Deferred(self._cancel)
        self.attempts.append((factory, attempt))
        return fail(ConnectionRefusedError()) if self.refuse_at_once else attempt

    def _cancel(self, attempt: Deferred[Any]) -> None:
        self.cancelled += 1

    def accept(self) -> Peer:
        factory, attempt = self.attempts[-1]
        peer = Peer(factory)
        attempt.callback(peer.link)
        return peer

    def refuse(self, error: Exception | None = None) -> None:
        self.attempts[-1][1].errback(error or ConnectionRefusedError())


@attr.define(eq=False)
class Calls(Listener[Any]):
    """A listener that calls the given functions."""

    connected: Callable[[Any], object]  # type: ignore[assignment]
    disconnected: Callable[[ConnectionLost], object]  # type: ignore[assignment]
    attempt_failed: Callable[[Exception], object] = lambda _: None  # type: ignore[assignment]


class ConnectionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.told: list[tuple[str, Any]] = []

    def make(
        self,
        protocol: Callable[[], Any] = Redis,
        up: Callable[[Any], object] | None = None,
        down: Callable[[ConnectionLost], object] | None = None,
        attempt_failed: Callable[[Exception], object] | None = None,
        **arguments: Any,
    ) -> Connection[Any]:
        told = Calls(
            up or (lambda redis: self.told.append(("up", redis))),
            down or (lambda error: self.told.append(("down", error))),
            attempt_failed or (lambda error: self.told.append(("failed", error))),
        )
        options = {"listeners": [told], "policy": float, **arguments}
        self.connection = Connection(
            self.endpoint, protocol, reactor=self.clock, name=NAME, **options
        )
        return self.connection

    def start(self, protocol: Callable[[], Any] = Redis, **arguments: Any) -> Connection[Any]:
        connection = self.make(protocol, **arguments)
        connection.start()
        self.clock.advance(0)
        return connection

    def come_up(self, **arguments: Any) -> Peer:
        """Start a connection, and accept it."""
        self.start(**arguments)
        return self.accept()

    def accept(self) -> Peer:
        peer = self.endpoint.accept()
        peer.answer()
        peer.sent()
        return peer

    def kinds(self) -> list[str]:
        told = [kind for kind, _ in self.told]
        self.told.clear()
        return told

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds * 8)):
            self.clock.advance(0.125)

    def assert_ended(self, stopped: Deferred[None]) -> None:
        """stop() has fired, and nothing is left of the connection."""
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        attempts = len(self.endpoint.attempts)
        self.clock.advance(100)
        self.assertEqual(len(self.endpoint.attempts), attempts)
        self.failureResultOf(self.connection.when_connected(), ConnectionLost)
