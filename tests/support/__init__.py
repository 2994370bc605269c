"""Helpers for the integration tests: one redis-server for the whole run, and observers.

``TXTHOONK_TEST_URL`` is the URL of a server that is already running, such as
``redis://localhost:6381/15``. Each test begins by emptying that database. Without it, the run
starts a private server; ``TXTHOONK_REDIS_SERVER`` is the path of its program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from tests.support.waiting import seen, until_answer
from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.connections.addresses._url import Target, parse_url
from txthoonk.events import message_shape
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.testing import RedisServer

T = TypeVar("T")

#: Seconds after which a test fails; only a test that hangs takes so long, on any machine.
TIMEOUT = 120

# Keys and channels of txthoonk alone, which are not part of the contract.
OWN_KEYS = re.compile(
    rb"feed\.(transit|delivering|results|listeners|revision|history|claims|failures|progress|delayed"
    rb"|later|failed|workers|maintained|overdue):"
)
OWN_CHANNELS = re.compile(rb"feed\.(ended|event|delayed|progress):")

# Redis type -> the command that reads all of it, and a conversion for comparisons.
READERS: dict[bytes, tuple[str, tuple[Any, ...], Callable[[Any], Any]]] = {
    b"string": ("GET", (), lambda reply: reply),
    b"hash": ("HGETALL", (), lambda reply: dict(pairs(reply))),
    b"set": ("SMEMBERS", (), set),
    b"list": ("LRANGE", (0, -1), list),
    b"zset": (
        "ZRANGE",
        (0, -1, "WITHSCORES"),
        lambda reply: [(member, float(score)) for member, score in pairs(reply)],
    ),
    b"stream": ("XRANGE", ("-", "+"), list),
}

_private: RedisServer | None = None


async def server_url() -> str:
    """Return the URL of this run's server; the first test starts it."""
    global _private
    url = os.environ.get("TXTHOONK_TEST_URL")
    if url is None:
        if _private is None:
            _private = RedisServer()
        await _private.start()
        url = _private.url
    return url


async def target() -> Target:
    """Return the parsed URL of this run's server."""
    return parse_url(await server_url())


class Recorder:
    """A handler that records its calls, with a wait for their number."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._waiting: list[tuple[int, Deferred[list[tuple[Any, ...]]]]] = []

    def __call__(self, *call: Any) -> None:
        self.calls.append(call)
        self._tell()

    def named(self, name: str) -> Any:
        """Return a handler whose calls are recorded after *name*."""
        return lambda *call: self(name, *call)

    def wait(self, count: int) -> Deferred[list[tuple[Any, ...]]]:
        """Fire all calls once there are *count* of them."""
        waiting: Deferred[list[tuple[Any, ...]]] = Deferred()
        self._waiting.append((count, waiting))
        self._tell()
        return waiting

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for count, deferred in waiting:
            if len(self.calls) >= count:
                deferred.callback(self.calls)
            else:
                self._waiting.append((count, deferred))


def parts_of(channel: str, message: str) -> list[str] | None:
    """Return the parts of a message on a channel, or None if it is malformed."""
    most, wanted = message_shape(channel)
    parts = message.split("\0", most)
    return None if wanted and len(parts) != wanted else parts


def pairs(flat: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of a flat list."""
    return list(zip(flat[::2], flat[1::2], strict=True))


async def looked(raw: Any, feed: str) -> None:
    """Record that maintenance found old claims half a minute ago, so that the next pass ends them.

    :param raw: a client without a charset.
    """
    (run_id,) = re.findall(rb"run_id:(\w+)", await raw.send("INFO", "server"))
    seconds, microseconds = map(int, await raw.send("TIME"))
    seen = f"{(seconds - 31) * 1000 + microseconds / 1000:.3f} {run_id.decode()}"
    await raw.send("SET", f"feed.overdue:{feed}", seen)


class Spy(RedisSubscriber):
    """Receives the messages of all channels, as bytes, without txthoonk's own subscribers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(charset=None, **arguments)
        self.ready: Deferred[None] = Deferred()
        self._heard: list[tuple[bytes, bytes]] = []
        self._marker: Deferred[None] | None = None
        self.publish: Callable[[str, str], Any]

    def connectionMade(self) -> None:
        super().connectionMade()
        self.psubscribe("*")

    def channelPatternSubscribed(self, channel: Any, numSubscriptions: int) -> None:
        self.ready.callback(None)

    def patternMessageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
        if channel == b"spy-marker":
            marker, self._marker = self._marker, None
            assert marker is not None
            marker.callback(None)
        else:
            self._heard.append((channel, message))

    async def messages(self, own: bool = False) -> list[tuple[bytes, bytes]]:
        """Return all messages that Redis has sent since the last call.

        :param own: include those that are not part of the contract.
        """
        self._marker = Deferred()
        marker = self._marker
        await self.publish("spy-marker", "")
        await marker
        heard, self._heard = self._heard, []
        return [one for one in heard if own or not OWN_CHANNELS.match(one[0])]


class RedisTestCase(TestCase):
    """A test against a real redis-server, with an empty database."""

    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.target = await target()
        self.raw = await self.redis(charset=None)
        await self.raw.flushdb()

    async def connect(self, factory: Any) -> Any:
        """Connect, and close the connection after the test."""
        connected: Any = await self.target.endpoint(reactor).connect(factory)
        self.addCleanup(getattr(connected, "redis", connected).close)
        return connected

    def assertFailure(
        self, deferred: Deferred[Any], *expectedFailures: type[BaseException]
    ) -> Deferred[Any]:
        """Fire the exception that a Deferred fails with; Twisted's own types are wrong."""
        failed: Deferred[Any] = super().assertFailure(deferred, *expectedFailures)
        return failed

    def arguments(self, **arguments: Any) -> dict[str, Any]:
        return {**self.target.credentials, **arguments}

    async def redis(self, **arguments: Any) -> Redis:
        """Connect a plain client to the test's database."""
        factory = Factory.forProtocol(lambda: Redis(**self.arguments(**arguments)))
        redis: Redis = await self.connect(factory)
        return redis

    async def subscriber(self, **arguments: Any) -> RedisSubscriber:
        """Connect a plain subscriber."""
        factory = Factory.forProtocol(lambda: RedisSubscriber(**self.arguments(**arguments)))
        subscriber: RedisSubscriber = await self.connect(factory)
        return subscriber

    async def spy(self) -> Spy:
        """Receive the messages of every channel from now on."""
        spy: Spy = await self.connect(Factory.forProtocol(lambda: Spy(**self.arguments())))
        spy.publish = self.raw.publish
        await spy.ready
        return spy

    async def state(self, own: bool = True) -> dict[bytes, Any]:
        """Read the whole database: key -> bytes, dict, set, list, or (member, score) pairs.

        :param own: include the keys that are not part of the contract.
        """
        found = {}
        for key in await self.raw.send("KEYS", "*"):
            if own or not OWN_KEYS.match(key):
                found[key] = await self.value(key)
        return found

    async def value(self, key: str | bytes) -> Any:
        """Return the value of a key of any type, or None if it does not exist."""
        type_ = await self.raw.send("TYPE", key)
        type_ = type_ if isinstance(type_, bytes) else type_.encode()
        if type_ == b"none":
            return None
        command, rest, convert = READERS[type_]
        return convert(await self.raw.send(command, key, *rest))

    async def until_reply(
        self, *words: Any, holds: Callable[[Any], object] = bool, silent: bool = False
    ) -> Any:
        """Wait until a command has a certain reply, and return it.

        :param words: a command that only reads.
        :param holds: whether a reply is the one to wait for.
        :param silent: see :func:`tests.support.waiting.until_answer`.
        """
        return await self.until_answer(lambda: self.raw.send(*words), holds, silent=silent)

    async def until_answer(
        self,
        question: Callable[[], Awaitable[T]],
        holds: Callable[[T], object] = bool,
        *,
        silent: bool = False,
    ) -> T:
        """Wait until the server gives a certain answer to a question that only reads."""
        endpoint, credentials = self.target.endpoint(reactor), self.target.credentials
        return await until_answer(
            endpoint, question, holds, credentials=credentials, silent=silent
        )

    async def command_seen(self, *words: str) -> Deferred[None]:
        """Start to watch for a command; the Deferred fires once the server has called one.

        :param words: the first words of the command.
        """
        endpoint, credentials = self.target.endpoint(reactor), self.target.credentials
        wanted = [word.encode() for word in words]
        return await seen(endpoint, wanted, credentials=credentials)

    async def until_gone(self, key: str | bytes) -> None:
        """Wait until a key does not exist."""
        await self.until_reply("EXISTS", key, holds=lambda reply: not reply)

    async def numsub(self, channel: str, expected: int) -> None:
        """Wait until Redis counts *expected* subscribers of a channel."""
        await self.until_reply(
            "PUBSUB", "NUMSUB", channel, holds=lambda reply: reply[1] == expected, silent=True
        )

    async def blocked(self, count: int = 1) -> None:
        """Wait until *count* clients are blocked: gets wait on them."""
        text = f"blocked_clients:{count}\r".encode()
        await self.until_reply("INFO", "clients", holds=lambda reply: text in reply, silent=True)

    async def now(self) -> float:
        """Return the server's time in milliseconds."""
        seconds, microseconds = await self.raw.send("TIME")
        return int(seconds) * 1000 + int(microseconds) / 1000

    async def looked(self, feed: str = "x") -> None:
        """Record that maintenance found old claims half a minute ago: the next pass ends them."""
        await looked(self.raw, feed)

    async def client_id(self, *kind: str) -> int:
        """Return the id of the newest client of a kind, such as ``TYPE pubsub``."""
        listed = await self.raw.send("CLIENT", "LIST", *kind)
        return max(int(number) for number in re.findall(rb"(?m)^id=(\d+)", listed))

    async def pub(self, **arguments: Any) -> ThoonkPub:
        """Connect a publisher to the test's database."""
        pub: ThoonkPub = await self.connect(ThoonkPubFactory(**self.arguments(**arguments)))
        return pub

    async def sub(self, **arguments: Any) -> ThoonkSub:
        """Connect a subscriber."""
        sub: ThoonkSub = await self.connect(ThoonkSubFactory(**self.arguments(**arguments)))
        return sub

    async def record(self, sub: ThoonkSub, *events: str) -> Recorder:
        """Record the messages of channels, each after its event's name."""
        recorder = Recorder()
        for event in events:
            await sub.register_handler(event, recorder.named(event))
        return recorder
