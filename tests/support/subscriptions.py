"""Helpers for the tests of subscriptions and mirrors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support import Recorder, RedisTestCase, server_url
from txthoonk.errors import ConnectionLost
from txthoonk.events import Event
from txthoonk.service import Thoonk
from txthoonk.subscriptions import Subscription

reactor: Any = installed_reactor

# How thoonk.py publishes and retracts, each in a transaction.
FOREIGN_PUBLISH = """
redis.call('INCR', 'feed.publishes:' .. ARGV[1])
redis.call('HSET', 'feed.items:' .. ARGV[1], ARGV[2], ARGV[3])
redis.call('ZADD', 'feed.ids:' .. ARGV[1], ARGV[4], ARGV[2])
redis.call('PUBLISH', 'feed.publish:' .. ARGV[1], ARGV[2] .. '\\0' .. ARGV[3])
"""
FOREIGN_RETRACT = """
redis.call('HDEL', 'feed.items:' .. ARGV[1], ARGV[2])
redis.call('ZREM', 'feed.ids:' .. ARGV[1], ARGV[2])
redis.call('PUBLISH', 'feed.retract:' .. ARGV[1], ARGV[2])
"""


def brief(event: Event) -> tuple[Any, ...]:
    """Return the kind, and those of id, item and position that the event has."""
    parts = (event.id, event.item, event.position)
    return (event.kind, *[part for part in parts if part is not None])


def briefs(events: list[Event]) -> list[tuple[Any, ...]]:
    return [brief(event) for event in events]


async def take(subscription: Subscription, count: int) -> list[Event]:
    """Wait for *count* events, and return them."""
    return [await subscription.next() for _ in range(count)]


class Heard(Recorder):
    """A handler that records its events."""

    @property
    def events(self) -> list[Event]:
        return [call[0] for call in self.calls]

    async def take(self, count: int) -> list[Event]:
        """Wait until there are *count* events, and return all."""
        await self.wait(count)
        return self.events


class Model:
    """The items of a feed, computed from its events by a naive reading of the contract."""

    def __init__(self, sorted_: bool) -> None:
        self.sorted = sorted_
        self.items: list[tuple[str, Any]] = []
        self._slices: list[tuple[str, Any]] = []

    def take(self, event: Event) -> None:
        if event.kind == "snapshot":
            self._slices += event.item
            if not event.more:
                self.items, self._slices = self._slices, []
        elif event.kind in ("publish", "edit"):
            self._store(event.id, event.item)
        elif event.kind == "position":
            self._place(event.id, event.position or "")
        elif event.kind == "retract":
            self.items = [pair for pair in self.items if pair[0] != event.id]
        elif event.kind in ("delete", "resync"):
            self.items, self._slices = [], []

    def _store(self, id_: Any, item: Any) -> None:
        ids = [one for one, _ in self.items]
        if self.sorted and id_ in ids:
            self.items[ids.index(id_)] = (id_, item)
        else:
            self.items = [pair for pair in self.items if pair[0] != id_]
            self.items.append((id_, item))

    def _place(self, id_: Any, position: str) -> None:
        pair = next(pair for pair in self.items if pair[0] == id_)
        self.items.remove(pair)
        ids = [one for one, _ in self.items]
        if position == "begin:":
            self.items.insert(0, pair)
        elif position == ":end":
            self.items.append(pair)
        elif position.startswith(":"):
            self.items.insert(ids.index(position[1:]), pair)
        else:
            self.items.insert(ids.index(position[:-1]) + 1, pair)


def replayed(events: list[Event], sorted_: bool) -> Model:
    model = Model(sorted_)
    for event in events:
        model.take(event)
    return model


async def change(feed: Any, random: Random, ids: list[str]) -> None:
    """Make a random change of a feed or a sorted feed; *ids* are the ids that may exist."""
    item = str(random.randrange(10**6))
    if hasattr(feed, "append"):
        await _change_sorted(feed, random, ids, item)
    elif random.random() < 0.7:
        id_ = str(random.randrange(60))
        ids.append(id_)
        await feed.publish(item, id_)
    elif ids:
        await feed.retract(random.choice(ids))


async def _change_sorted(feed: Any, random: Random, ids: list[str], item: str) -> None:
    if len(ids) < 5 or random.random() < 0.2:
        ids.append(await (feed.append if random.random() < 0.5 else feed.prepend)(item))
        return
    one, other = random.sample(ids, 2)
    verb = random.choice(["before", "after", "edit", "move", "first", "last", "retract"])
    if verb == "before":
        ids.append(await feed.publish_before(one, item))
    elif verb == "after":
        ids.append(await feed.publish_after(one, item))
    elif verb == "edit":
        await feed.edit(one, item)
    elif verb == "move":
        await (feed.move_before if random.random() < 0.5 else feed.move_after)(one, other)
    elif verb == "first":
        await feed.move_first(one)
    elif verb == "last":
        await feed.move_last(one)
    else:
        ids.remove(one)
        await feed.retract(one)


class _Pipe(Protocol):
    """A client's connection through the gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.subscribes = False
        self.held: list[bytes] = []
        self._early: list[bytes] = []
        self._server: _Far | None = None
        self._lost = False

    def connectionMade(self) -> None:
        self.gate.pipes[self] = None
        connecting = self.gate.endpoint.connect(Factory.forProtocol(lambda: _Far(self)))
        connecting.addCallbacks(self._connected, lambda _: self.abort())

    def _connected(self, far: _Far) -> None:
        self._server = far
        transport: Any = far.transport
        if self._lost:
            transport.abortConnection()
        for data in self._early:
            transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.subscribes = self.subscribes or b"SUBSCRIBE" in data
        if self.gate.is_shut(self):
            self.abort()
        elif self._server is None:
            self._early.append(data)
        else:
            transport: Any = self._server.transport
            transport.write(data)

    def answer(self, data: bytes) -> None:
        if self.gate.holding and self.subscribes:
            self.held.append(data)
        else:
            transport: Any = self.transport
            transport.write(data)

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        del self.gate.pipes[self]
        if self._server is not None:
            transport: Any = self._server.transport
            transport.abortConnection()
        else:
            self.gate.check_empty()


class _Far(Protocol):
    """The connection to Redis that belongs to a pipe."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        pipe.gate.fars[self] = None

    def dataReceived(self, data: bytes) -> None:
        self._pipe.answer(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        del self._pipe.gate.fars[self]
        if not self._pipe._lost:
            self._pipe.abort()
        self._pipe.gate.check_empty()


class Gate(Factory):
    """A relay to Redis that a test can shut and open again.

    :ivar holding: whether data for subscribers is held back.
    """

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint
        self.pipes: dict[_Pipe, None] = {}
        self.fars: dict[_Far, None] = {}
        self.holding = False
        self._shut = ""
        self._empty: Deferred[None] | None = None

    async def listen(self) -> int:
        self._port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(self)
        return int(self._port.getHost().port)

    def buildProtocol(self, addr: Any) -> _Pipe:
        return _Pipe(self)

    def is_shut(self, pipe: _Pipe) -> bool:
        return self._shut == "all" or (self._shut == "subscriber" and pipe.subscribes)

    def shut(self, whom: str = "subscriber") -> None:
        """Abort the connections, and refuse new ones.

        :param whom: ``subscriber`` or ``all``.
        """
        self._shut = whom
        for pipe in list(self.pipes):
            if self.is_shut(pipe):
                pipe.abort()

    def open(self) -> None:
        self._shut = ""

    def release(self) -> None:
        """Pass on the data that was held back."""
        self.holding = False
        for pipe in self.pipes:
            held, pipe.held = pipe.held, []
            transport: Any = pipe.transport
            transport.write(b"".join(held))

    def check_empty(self) -> None:
        if self._empty is not None and not self.pipes and not self.fars:
            self._empty.callback(None)

    async def close(self) -> None:
        self._shut = "all"
        await self._port.stopListening()
        for pipe in list(self.pipes):
            pipe.abort()
        self._empty = Deferred() if self.pipes or self.fars else succeed(None)
        await self._empty


async def next_where(subscription: Any, holds: Callable[[Event], object]) -> Event:
    """Take events of a subscription until one satisfies *holds*, and return that one."""
    while True:
        event: Event = await subscription.next()
        if holds(event):
            return event


async def next_of(subscription: Any, kind: str) -> Event:
    """Take events of a subscription until one has that kind, and return that one."""
    return await next_where(subscription, lambda event: event.kind == kind)


class SubscriptionTestCase(RedisTestCase):
    """A service that subscribes, and a separate publisher that writes."""

    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = await self.service()
        self.writer = await self.pub()

    async def service(self, **options: Any) -> Thoonk:
        """Connect a service that reconnects almost without delay."""
        thoonk = Thoonk(await server_url(), reactor, retry_policy=lambda _: 0.01, **options)
        self.addCleanup(thoonk.close)
        return await thoonk.connect()

    async def gated(self) -> tuple[Thoonk, Gate]:
        """Connect a service through a gate."""
        gate = Gate(self.target.endpoint(reactor))
        port = await gate.listen()
        self.addCleanup(gate.close)
        thoonk = Thoonk(
            f"tcp:host=127.0.0.1:port={port}",
            reactor,
            retry_policy=lambda _: 0.01,
            **self.target.credentials,
        )
        self.addCleanup(thoonk.close)
        return await thoonk.connect(), gate

    async def kill(self, *whom: str) -> None:
        """Make Redis close connections of the service: ``subscriber``, ``publisher``."""
        if "publisher" in whom:
            # A connection that is lost during this was killed before.
            with contextlib.suppress(ConnectionLost):
                number = await self.thoonk.redis.send("CLIENT", "ID")
                await self.raw.send("CLIENT", "KILL", "ID", number)
        if "subscriber" in whom:
            await self.until_reply("CLIENT", "KILL", "TYPE", "pubsub")

    async def told(self, subscription: Subscription, feed: str = "x") -> list[Event]:
        """Return all events that a live subscription has received so far."""
        await self.raw.publish("conffeed", f"{feed}\0marker")
        events: list[Event] = []
        while True:
            event = await subscription.next()
            if event.kind == "config":
                return events
            events.append(event)

    async def foreign_publish(self, feed: str, id_: str, item: str) -> None:
        """Publish as thoonk.py does."""
        await self.raw.send("EVAL", FOREIGN_PUBLISH, 0, feed, id_, item, "1e15")

    async def foreign_retract(self, feed: str, id_: str) -> None:
        await self.raw.send("EVAL", FOREIGN_RETRACT, 0, feed, id_)

    async def subscribed(self) -> tuple[set[bytes], int]:
        """Return the channels that have subscribers, and the number of patterns."""
        channels = await self.raw.send("PUBSUB", "CHANNELS")
        return set(channels), await self.raw.send("PUBSUB", "NUMPAT")

    async def unsubscribed_to(self, expected: tuple[set[bytes], int]) -> None:
        """Wait until the same channels as before have subscribers."""
        await self.until_answer(self.subscribed, lambda found: found == expected, silent=True)

    async def contents(self, feed: Any) -> list[tuple[str, Any]]:
        return list((await feed.get_all()).items())

    async def until_replayed(self, heard: Heard, feed: Any) -> Model:
        """Wait until the received events add up to the feed, which must not change meanwhile."""
        contents = await self.contents(feed)
        while True:
            count = len(heard.calls)
            model = replayed(heard.events, hasattr(feed, "append"))
            if model.items == contents:
                return model
            await heard.wait(count + 1)
