"""The service during outages: a server that is killed, restarted, frozen or full."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support import Recorder
from tests.support.server import HalfClock, ask, turns
from tests.support.service_outage import OutageTestCase
from tests.support.waiting import until
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.service import Thoonk
from txthoonk.service import _thoonk as service


class KilledTests(OutageTestCase):
    async def test_calls(self) -> None:
        """Calls that were sent fail; later ones are sent in order after the restart."""
        thoonk = await self.begin()
        flying = [thoonk.redis.send("BLPOP", "nothing", 0), thoonk.redis.rpush("list", "lost")]
        await self.redis_server.kill()
        for call in flying:
            error = await self.assertFailure(call, ConnectionLost)
            self.assertNotIsInstance(error, NotSent)
            self.assertIn("may or may not have been done", str(error))
        await until(lambda: thoonk.state == "disconnected")
        waiting = [thoonk.redis.rpush("other", number) for number in range(1000)]
        waiting.append(thoonk.redis.lrange("other", 0, -1))
        await self.restart()
        replies = [await each for each in waiting]
        self.assertEqual(replies[:-1], list(range(1, 1001)))
        self.assertEqual(replies[-1], [str(number) for number in range(1000)])
        self.assertEqual(self.states, ["connecting", "connected", "disconnected", "connected"])

    async def test_many_times(self) -> None:
        """The service recovers its handlers and waiting gets from each of several outages."""
        thoonk = await self.begin()
        heard = Recorder()
        await thoonk.register_handler("feed.publish:x", heard)
        feed, queue = await thoonk.feed("x"), await thoonk.queue("q", {"serializer": "json"})
        for round_ in range(4):
            get = queue.get()
            await self.kill()
            await self.restart()
            await self.subscribed("feed.publish:x")
            await feed.publish("item", str(round_))
            await queue.put(round_)
            self.assertEqual(await get, round_)
            await heard.wait(round_ + 1)
        self.assertEqual(heard.calls, [(str(round_), "item") for round_ in range(4)])

    async def test_too_late_and_too_many(self) -> None:
        """Calls that wait too long, or exceed the limit, fail with NotSent and the reason."""
        thoonk = await self.begin(wait=0.3, limit=2)
        await self.kill()
        waiting = [thoonk.redis.ping(), thoonk.redis.ping()]
        many = await self.assertFailure(thoonk.redis.ping(), NotSent)
        self.assertIn("2 calls wait for unix://", str(many))
        others = [
            thoonk.register_handler("create", print),
            thoonk.subscribe("x"),
            thoonk.subscribe_pattern("x*"),
        ]
        calls: list[Deferred[Any]] = [*waiting, *others]  # type: ignore[list-item]
        for call in calls:
            error: Any = await self.assertFailure(call, NotSent)
            self.assertIn("waited 0.3 seconds for a connection to unix://", str(error))
        await self.restart()
        self.assertEqual(await thoonk.redis.ping(), "PONG")

    async def test_waiting_gets(self) -> None:
        """A waiting ``get`` gets an item that another program puts after the restart."""
        thoonk = await self.begin()
        queue, job = await thoonk.queue("q"), await thoonk.job("j")
        gets: list[Deferred[Any]] = [queue.get(), job.get()]
        await self.blocked(2)
        await self.kill()
        gets.append(queue.get())
        await self.restart()
        other = await self.connect(self.url)
        for item in "ab":
            await (await other.queue("q")).put(item)
        await (await other.job("j")).put("work")
        self.assertEqual((await gets[0], (await gets[1])[1], await gets[2]), ("a", "work", "b"))

    async def test_handlers(self) -> None:
        """Handlers can be registered and removed during an outage, and after it."""
        thoonk = await self.begin()
        heard = Recorder()
        first = await thoonk.register_handler("feed.publish:x", heard.named("first"))
        await self.kill()
        during = thoonk.register_handler("feed.publish:x", heard.named("during"))
        thoonk.remove_handler(first)
        await self.restart()
        await during
        await thoonk.register_handler("feed.publish:x", heard.named("after"))
        await (await thoonk.feed("x")).publish("item", "1")
        expected = [("during", "1", "item"), ("after", "1", "item")]
        self.assertEqual(await heard.wait(2), expected)

    async def test_before_the_server(self) -> None:
        """A service that is started before its server waits for it."""
        await self.redis_server.kill()
        thoonk = self.make(self.url)
        connecting = thoonk.connect()
        call = thoonk.redis.ping()
        await until(lambda: thoonk._connections.publisher.failures > 2)
        await self.redis_server.start()
        self.assertIs(await connecting, thoonk)
        self.assertEqual(await call, "PONG")

    async def test_one_connection(self) -> None:
        """Calls go on if Redis closes only the subscriber's connection."""
        thoonk = await self.begin()
        await thoonk.register_handler("create", lambda *_: None)
        await ask(self.redis_server, "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: thoonk.state == "disconnected")
        self.assertEqual(await thoonk.redis.ping(), "PONG")
        await thoonk.whenConnected()
        self.assertEqual(self.states[-2:], ["disconnected", "connected"])


class SilentTests(OutageTestCase):
    """A server that is alive but does not reply; the test controls the time."""

    async def setUp(self) -> None:
        await super().setUp()
        self.clock = HalfClock()

    def make(self, url: str, **arguments: Any) -> Thoonk:
        # Delays of less than a second pass by themselves.
        options = {"reactor": self.clock, "reply_timeout": 30.0, "retry_policy": lambda _: 0.05}
        return super().make(url, **{**options, **arguments})

    async def noticed(self) -> None:
        """Advance the clock until both connections must have been found silent."""
        await turns()
        await self.clock.go_on(60)
        self.assertEqual(self.thoonk._connections.up, {"publisher": False, "subscriber": False})

    async def test_call(self) -> None:
        """A call fails after ``reply_timeout``; the service recovers with the server."""
        thoonk = await self.begin(health=0)
        self.freeze()
        call = thoonk.redis.ping()
        await turns()
        await self.clock.go_on(25)
        self.assertNoResult(call)
        await self.clock.go_on(20)  # it checks every 15 seconds
        error = await self.assertFailure(call, ConnectionLost)
        self.assertIn("no reply for 30 seconds", str(error))
        waiting = thoonk.redis.ping()
        self.thaw()
        self.assertEqual(await waiting, "PONG")
        await thoonk.whenConnected()

    async def test_idle(self) -> None:
        """Without calls, the heartbeat PINGs detect a silent server on both connections."""
        thoonk = await self.begin(health=25.0)
        self.freeze()
        await self.noticed()
        self.assertEqual(self.states, ["connecting", "connected", "disconnected"])
        while thoonk._connections.publisher.failures == 0:
            await self.clock.go_on(30)
        self.assertIn("no reply for 30 seconds", str(thoonk._connections.publisher.last_error))
        self.thaw()
        await thoonk.whenConnected()
        self.assertEqual(await thoonk.redis.ping(), "PONG")

    async def test_get(self) -> None:
        """A waiting ``get`` gets its item once the server replies again."""
        thoonk = await self.begin(health=25.0)
        queue = await thoonk.queue("q")
        get = queue.get()
        await self.blocked(1)
        self.freeze()
        await self.noticed()
        self.thaw()
        await thoonk.whenConnected()
        await queue.put("item")
        self.assertEqual(await get, "item")

    async def test_connect(self) -> None:
        """``connect`` keeps trying while the server does not reply, and fires when it does."""
        thoonk = self.make(self.url, wait=1e8)  # longer than the test
        self.freeze()
        connecting = thoonk.connect()
        while thoonk._connections.publisher.failures < 2:
            await self.clock.go_on(30)
        self.thaw()
        self.assertIs(await connecting, thoonk)

    async def test_closed(self) -> None:
        """Stopping the service does not wait longer than its drain timeout."""
        self.patch(service, "DRAIN_TIMEOUT", 0.3)
        thoonk = await self.begin(reply_timeout=None)
        queue = await thoonk.queue("q")
        get = queue.get()
        await self.blocked(1)
        self.freeze()
        call = thoonk.redis.ping()
        closed = thoonk.close()
        await self.assertFailure(get, ConnectionLost)
        await self.assertFailure(call, ConnectionLost)
        self.assertIsNone(await closed)
        self.thaw()


class FullTests(OutageTestCase):
    async def test_full(self) -> None:
        """A server with too many clients is retried, and named as the reason."""
        await ask(self.redis_server, "CONFIG", "SET", "maxclients", "3")
        others = [await self.connect(self.url)]
        thoonk = self.make(self.url, wait=0.3)
        thoonk.startService()
        await until(
            lambda: bool(
                thoonk._connections.publisher.failures + thoonk._connections.subscriber.failures
            )
        )
        call = thoonk.subscribe("x")
        error = await self.assertFailure(call, NotSent)
        self.assertIn("max number of clients", str(error))
        await others[0].close()
        await thoonk.whenConnected()
