"""Helpers for the tests of protocols: RESP, and a transport that records its writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import hiredis
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txthoonk
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.protocol._client import RedisProtocol
from txthoonk.wire._scripts import load

AnyRedis = TypeVar("AnyRedis", bound=RedisProtocol)

FOLDER = Path(txthoonk.__file__).parent / "scripts"
NAMES = sorted(
    f"{path.parent.name}/{path.stem}"
    for path in FOLDER.glob("*/*.lua")
    if path.parent.name != "include"
)
SCRIPTS = {load(name).sha.encode(): name.encode() for name in NAMES}
OK = b"+OK\r\n"
#: What a connection sends before it waits: it gets its id, and tests whether it may unblock.
NUMBER = [[b"CLIENT", b"ID"], [b"CLIENT", b"UNBLOCK", b"0"]]
HOOKS = (
    "messageReceived",
    "channelSubscribed",
    "channelUnsubscribed",
    "channelPatternSubscribed",
    "channelPatternUnsubscribed",
    "subscriptionFailed",
)


class Transport(StringTransport):
    """A transport that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: RedisProtocol | None = None
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)


class Abrupt(Transport):
    """A transport that closes within loseConnection()."""

    def loseConnection(self) -> None:
        if self.connected and self.protocol is not None:
            self.connected = False
            lose(self.protocol)


def plug(
    protocol: AnyRedis, transport_type: type[Transport] = Transport
) -> tuple[AnyRedis, Transport]:
    """Connect a protocol to a transport."""
    transport = transport_type()
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return protocol, transport


def redis(**arguments: Any) -> tuple[Redis, Transport]:
    """Return a connected client and its transport."""
    return plug(Redis(**arguments))


def lose(protocol: Any, reason: Exception | None = None) -> None:
    """End the connection from the server's side."""
    protocol.connectionLost(Failure(reason or ConnectionDone()))


def sent(*words: str | bytes | int) -> bytes:
    """Return a command as RESP."""
    return resp([str(word).encode() if not isinstance(word, bytes) else word for word in words])


def commands(data: bytes) -> list[list[bytes]]:
    """Parse what was sent."""
    reader = hiredis.Reader(notEnoughData=None)
    reader.feed(data)
    return list(iter(reader.gets, None))


def resp(reply: Any) -> bytes:
    """Return a reply as RESP: None, int, str, bytes, or a list of them."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(resp, reply))
    data = reply.encode() if isinstance(reply, str) else reply
    return b"$%d\r\n%s\r\n" % (len(data), data)


def outcome(deferred: Any) -> list[Any]:
    """Return a list that receives the result of a Deferred, or its exception."""
    fired: list[Any] = []
    deferred.addCallbacks(fired.append, lambda reason: fired.append(reason.value))
    return fired


class SubscriberTestCase(SynchronousTestCase):
    """A subscriber whose hooks are recorded."""

    def connect(self, **arguments: Any) -> tuple[RedisSubscriber, Transport]:
        self.calls: list[tuple[Any, ...]] = []
        subscriber = RedisSubscriber(**arguments)
        for hook in HOOKS:
            setattr(subscriber, hook, self.recorder(hook))
        return plug(subscriber)

    def recorder(self, hook: str) -> Any:
        return lambda *call: self.calls.append((hook, *call))

    def seen(self) -> list[tuple[Any, ...]]:
        """Return the calls since the last time."""
        calls = list(self.calls)
        self.calls.clear()
        return calls

    def in_step(self, subscriber: RedisSubscriber) -> None:
        """Check that a request gets its own reply."""
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(resp(["pong", ""]))
        self.assertEqual(fired, [["pong", ""]])
        self.assertEqual(len(subscriber._pending), 0)


class Connection:
    """One connection of the publisher, seen from the server."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport = Transport()
        protocol.makeConnection(self.transport)

    def know_scripts(self) -> None:
        """Treat all scripts as loaded."""
        self.protocol.redis._loaded.update(sha.decode() for sha in SCRIPTS)

    def sent(self) -> list[list[bytes]]:
        """Return what was sent since the last time; scripts by name, without their KEYS."""
        words = commands(self.transport.value())
        self.transport.clear()
        return [self._short(command) for command in words if command[0] != b"SCRIPT"]

    def _short(self, command: list[bytes]) -> list[bytes]:
        if command[0] != b"EVALSHA":
            return command
        return [SCRIPTS[command[1]], *command[3 + int(command[2]) :]]

    def answer(self, *replies: Any) -> None:
        for reply in replies:
            error = b"-%s\r\n" % str(reply).encode()
            self.protocol.dataReceived(error if isinstance(reply, Exception) else resp(reply))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """The endpoint where the publisher opens its waiting connections."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.error: Exception | None = None

    def connect(self, factory: Any) -> Deferred[Any]:
        if self.error is not None:
            return fail(self.error)
        connection = Connection(factory.buildProtocol(None))
        self.connections.append(connection)
        return succeed(connection.protocol)
