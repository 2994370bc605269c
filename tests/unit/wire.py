"""What the tests of protocols share: RESP written out, and a transport that remembers."""

from __future__ import annotations

from typing import Any, TypeVar

import hiredis
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txthoonk._redis import RedisProtocol
from txthoonk.protocol import Redis, RedisSubscriber

AnyRedis = TypeVar("AnyRedis", bound=RedisProtocol)

OK = b"+OK\r\n"
HOOKS = (
    "messageReceived",
    "channelSubscribed",
    "channelUnsubscribed",
    "channelPatternSubscribed",
    "channelPatternUnsubscribed",
    "subscriptionFailed",
)


class Transport(StringTransport):
    """Keeps every write apart from the others."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: RedisProtocol | None = None
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)


class Abrupt(Transport):
    """Ends the connection within the call that asks for it."""

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
    """Make a connected client."""
    return plug(Redis(**arguments))


def lose(protocol: RedisProtocol, reason: Exception | None = None) -> None:
    """End the connection from the other side."""
    protocol.connectionLost(Failure(reason or ConnectionDone()))


def sent(*words: str | bytes | int) -> bytes:
    """Write a command as it must stand on the wire."""
    return resp([str(word).encode() if not isinstance(word, bytes) else word for word in words])


def commands(data: bytes) -> list[list[bytes]]:
    """Read back what was sent."""
    reader = hiredis.Reader(notEnoughData=None)
    reader.feed(data)
    return list(iter(reader.gets, None))


def resp(reply: Any) -> bytes:
    """Write a reply: None, int, str, bytes, or a list of them."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(resp, reply))
    data = reply.encode() if isinstance(reply, str) else reply
    return b"$%d\r\n%s\r\n" % (len(data), data)


def outcome(deferred: Any) -> list[Any]:
    """Keep what a Deferred fires; an error as it is, not as a Failure."""
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
        """Give the calls since the last time."""
        calls = list(self.calls)
        self.calls.clear()
        return calls

    def in_step(self, subscriber: RedisSubscriber) -> None:
        """Check that a request is answered by its own reply."""
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(resp(["pong", ""]))
        self.assertEqual(fired, [["pong", ""]])
        self.assertEqual(len(subscriber._pending), 0)
