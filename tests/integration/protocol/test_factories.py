"""The factories of txredis: they connect, connect again, and fire each new client."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.support import RedisTestCase
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import (
    Redis,
    RedisClientFactory,
    RedisSubscriber,
    RedisSubscriberFactory,
)


class FactoryTests(RedisTestCase):
    async def test_new_clients(self) -> None:
        """``deferred`` and ``client`` are those of the latest connection."""
        factory = RedisClientFactory(**self.arguments())
        for previous in (None, "value"):
            waiting = factory.deferred
            client = await self.connect(factory)
            self.assertIs(await waiting, client)
            self.assertIs(factory.client, client)
            self.assertIsInstance(client, Redis)
            # It is in the database of the factory's arguments.
            self.assertEqual(await client.get("key"), previous)
            await client.set("key", "value")

    def test_reconnect(self) -> None:
        """A lost connection is made again, and ``deferred`` fires the new client."""
        reactor = MemoryReactorClock()
        factory = RedisClientFactory()
        self.patch(factory, "clock", reactor)
        connector = reactor.connectTCP("localhost", 6379, factory)
        clients, asked = [], list[bool]()
        for _ in range(2):
            waiting = factory.deferred
            client = factory.buildProtocol(None)
            client.makeConnection(StringTransport())
            self.assertNoResult(waiting)
            reactor.advance(0)
            self.assertIs(self.successResultOf(waiting), client)
            clients.append(client)
            factory.clientConnectionLost(connector, Failure(ConnectionLost()))
            connector.connect = lambda: asked.append(True)
            reactor.advance(factory.maxDelay)
        self.assertEqual(asked, [True, True])
        self.assertIsNot(*clients)

    async def test_subscriber(self) -> None:
        """The other factory makes subscribers."""
        factory = RedisSubscriberFactory(charset=None)
        subscribed: Deferred[bytes] = Deferred()
        client = await self.connect(factory)
        self.assertIsInstance(client, RedisSubscriber)
        client.channelSubscribed = lambda channel, count: subscribed.callback(channel)
        client.subscribe("x")
        self.assertEqual(await subscribed, b"x")
