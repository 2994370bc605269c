"""The service can be stopped and started again in every state."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support.service import reactor, watched
from tests.support.service_outage import OutageTestCase
from tests.support.waiting import until
from txthoonk.errors import ConnectionLost, SubscriptionEnded
from txthoonk.service import Thoonk


class StopTests(OutageTestCase):
    async def begin(self, **arguments: Any) -> Thoonk:
        self.before = watched()
        return await super().begin(**arguments)

    def start(self) -> Thoonk:
        """Make a service that has not connected yet."""
        self.before = watched()
        self.thoonk = self.make(self.url)
        self.thoonk.startService()
        return self.thoonk

    async def stop(self) -> None:
        """Stop the service, check that nothing is left, and that it can start again."""
        self.assertIsNone(await self.thoonk.stopService())
        self.assertEqual(self.thoonk.state, "stopped")
        await self.nothing_left()
        if not self.redis_server.owned:
            await self.redis_server.start()
        self.assertIs(await self.thoonk.connect(), self.thoonk)
        await self.works(self.thoonk)
        await self.thoonk.close()
        await self.nothing_left()

    async def fails(self, *calls: Deferred[Any]) -> None:
        for call in calls:
            await self.assertFailure(call, ConnectionLost)

    async def test_just_started(self) -> None:
        """A service can be stopped in the reactor turn that started it."""
        self.start()
        await self.stop()

    async def test_some_turns_later(self) -> None:
        """A service can be stopped any number of turns after its start."""
        for turns in range(12):
            thoonk = self.start()
            for _ in range(turns):
                await deferLater(reactor, 0)
            await thoonk.stopService()
            await self.nothing_left()
        await self.stop()

    async def test_connecting(self) -> None:
        """A service can be stopped before the server has replied to PING."""
        self.freeze()
        thoonk = self.start()
        await until(
            lambda: (
                len(thoonk._connections.publisher._links + thoonk._connections.subscriber._links)
                == 2
            )
        )
        waiting = thoonk.whenConnected()
        stopped = thoonk.stopService()
        await self.fails(waiting)
        await stopped
        self.thaw()
        await self.stop()

    async def test_waiting(self) -> None:
        """A service can be stopped between failed attempts, and with waiting calls."""
        await self.redis_server.kill()
        thoonk = self.start()
        calls = [thoonk.redis.ping(), thoonk.feed("x"), thoonk.subscribe("x"), thoonk.mirror("x")]
        await until(lambda: thoonk._connections.publisher.failures > 1)
        stopped = thoonk.stopService()
        await self.fails(*calls)
        await stopped
        await self.stop()

    async def test_lost(self) -> None:
        """A service can be stopped after the server has died."""
        thoonk = await self.begin()
        queue = await thoonk.queue("q")
        get = queue.get()
        await self.blocked(1)
        subscription = await thoonk.subscribe("x")
        event = subscription.next()
        await self.kill()
        stopped = thoonk.stopService()
        await self.fails(get)
        await self.assertFailure(event, SubscriptionEnded)
        await stopped
        await self.stop()

    async def test_connected(self) -> None:
        """A service can be stopped with waiting gets, results, subscriptions and handlers."""
        thoonk = await self.begin()
        queue, job = await thoonk.queue("q"), await thoonk.job("j")
        waits = [queue.get(), job.get(), job.get_result(await job.put("query"))]
        await waits[1]
        waits[1] = job.get()
        await self.blocked(2)
        await thoonk.register_handler("create", lambda *_: None)
        subscriptions = [await thoonk.subscribe("x"), await thoonk.subscribe_pattern("x*")]
        mirror = await thoonk.mirror("x")
        stopped = thoonk.stopService()
        await self.fails(*waits)
        await stopped
        self.assertTrue(all(one.stopped for one in subscriptions))
        self.assertEqual(len(mirror), 0)
        await self.stop()

    async def test_subscribing(self) -> None:
        """A service can be stopped while subscriptions are being made."""
        for turns in range(8):
            thoonk = await self.begin()
            made = [thoonk.subscribe("x", snapshot=True), thoonk.subscribe_pattern("x*")]
            for _ in range(turns):
                await deferLater(reactor, 0)
            stopped = thoonk.stopService()
            for one in made:
                one.addErrback(lambda reason: reason.trap(ConnectionLost))
            await gatherResults([*made, stopped])  # type: ignore[arg-type]
            self.assertEqual(
                (thoonk._subscribing.made, thoonk._subscribing.under_way), ({}, set())
            )
        await self.stop()

    async def test_calls_under_way(self) -> None:
        """Calls that were sent get their replies before the service stops."""
        thoonk = await self.begin()
        calls = [thoonk.redis.rpush("list", number) for number in range(1000)]
        stopped = thoonk.stopService()
        self.assertEqual([await call for call in calls], list(range(1, 1001)))
        await stopped
        await self.stop()

    async def test_nothing_is_taken(self) -> None:
        """A ``get`` that waits when the service stops takes no later item."""
        thoonk = await self.begin()
        other = await self.connect(self.url)
        theirs = await other.queue("q")
        for round_ in range(20):
            await thoonk.connect()
            queue = await thoonk.queue("q")
            get = queue.get()
            if round_ % 2:
                await self.blocked(1)
            put = theirs.put("item")
            stopped = thoonk.stopService()
            got: list[Any] = []
            get.addCallbacks(got.append, lambda reason: reason.trap(ConnectionLost))
            await gatherResults([put, stopped, get])  # type: ignore[arg-type]
            if not got:
                got.append(await theirs.get(5))
            self.assertEqual((got, await theirs.length()), (["item"], 0))
        self.assertEqual(await other.redis.llen("feed.transit:q"), 0)

    async def test_twice(self) -> None:
        """Two calls that stop the service both wait for its end."""
        thoonk = await self.begin()
        await gatherResults([thoonk.stopService(), thoonk.close()])
        await self.stop()

    async def test_started_while_it_stops(self) -> None:
        """A service that is started while it stops ends first, then starts again."""
        thoonk = await self.begin()
        stopped = thoonk.stopService()
        connected = thoonk.connect()
        self.assertIsNone(await stopped)
        self.assertIs(await connected, thoonk)
        self.assertEqual(await thoonk.redis.ping(), "PONG")
        self.assertEqual(
            self.states,
            ["connecting", "connected", "stopping", "stopped", "connecting", "connected"],
        )
        await self.stop()

    async def test_many_times(self) -> None:
        """A service can be stopped and started many times."""
        thoonk = await self.begin()
        for _ in range(20):
            await thoonk.close()
            await thoonk.connect()
            self.assertEqual(await thoonk.redis.ping(), "PONG")
        await self.stop()
