"""Gets and waits of a service's publisher survive cut connections and a killed server."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import connectProtocol

from tests.support.patience_cases import CutTestCase, Service, reactor
from tests.support.server import ServerTestCase, until_blocked, until_subscribed
from tests.support.waiting import until
from txthoonk.client import ThoonkPub
from txthoonk.errors import ConnectionLost, Empty
from txthoonk.protocol import Redis
from txthoonk.testing import RedisServer
from txthoonk.types import Job


class CutTests(CutTestCase):
    async def test_waiting_connection(self) -> None:
        """A cut waiting connection is replaced, and the gets are served in order."""
        gets = [self.queue.get() for _ in range(5)]
        for _ in range(3):
            (client,) = await self.blocked()
            await self.kill(client)
            await self.blocked(0)
        (again,) = await self.blocked()
        self.assertNotEqual(again, client)
        await gatherResults([self.other.put(str(number)) for number in range(5)])
        self.assertEqual(await gatherResults(gets), [str(number) for number in range(5)])
        self.assertEqual(await self.left(), {})

    async def test_put_while_the_waiting_connection_is_away(self) -> None:
        """Items that are put before the waiting connection is replaced are delivered."""
        self.service.gate.shut()
        first, second = self.queue.get(), self.queue.get()
        self.service.gate.open()
        (client,) = await self.blocked()
        self.service.gate.shut()
        await self.kill(client)
        await self.blocked(0)
        await self.other.put("1")
        await self.other.put("2")
        self.service.gate.open()
        self.assertEqual(await gatherResults([first, second]), ["1", "2"])
        self.assertEqual(await self.left(), {})

    async def test_publisher(self) -> None:
        """When only the publisher's connection is cut, BLMOVE goes on, and is checked."""
        gets = [self.queue.get() for _ in range(5)]
        before = await self.blocked()
        main = await self.main()
        await self.kill(main)
        await self.other.put("0")
        self.assertEqual(await gets.pop(0), "0")
        self.assertNotEqual(await self.main(), main)
        self.assertEqual(await self.blocked(), before)
        await gatherResults([self.other.put(str(number)) for number in range(1, 5)])
        self.assertEqual(await gatherResults(gets), [str(number) for number in range(1, 5)])
        self.assertEqual(await self.left(), {})

    async def test_subscriber(self) -> None:
        """A cut subscriber is replaced, and receives the message."""
        await self.worker.put("item", id_="a")
        await self.worker.get()
        result = self.job.get_result("a")
        for _ in range(3):
            await self.numsub("feed.finishes:j", 1)
            await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
            await self.numsub("feed.finishes:j", 0)
        await self.numsub("feed.finishes:j", 1)
        await self.worker.finish("a", "done")
        self.assertEqual(await result, ("item", "done"))

    async def test_finished_while_the_subscriber_is_away(self) -> None:
        """A result of a finish without subscribers is kept for the waits."""
        await self.worker.put("item", id_="a")
        await self.worker.get()
        results = [self.job.get_result("a") for _ in range(3)]
        await self.numsub("feed.finishes:j", 1)
        # A client that knows that it is subscribed takes back its request to keep the result.
        await self.until_gone("feed.results:j")
        self.service.gate.shut()
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        await self.until_reply("EXISTS", "feed.results:j")
        await self.worker.finish("a", "done")
        self.service.gate.open()
        self.assertEqual(await gatherResults(results), [("item", "done")] * 3)

    async def test_everything(self) -> None:
        """Whatever is cut, and whenever, each item is delivered once."""
        count, random_ = 400, random.Random(1)
        got: Counter[str] = Counter()

        async def consume() -> None:
            while True:
                got[await self.queue.get()] += 1

        consumers = [Deferred.fromCoroutine(consume()) for _ in range(5)]
        for number in range(count):
            await self.other.put(str(number))
            if not number % 7:
                await self.cut_one(random_)
        await self.put_right()
        while sum(got.values()) < count:
            await self.put_right()
        for each in consumers:
            each.cancel()
            await self.assertFailure(each, CancelledError)
        self.assertEqual(got, Counter(map(str, range(count))))
        self.assertEqual(await self.left(), {})

    async def cut_one(self, random_: random.Random) -> None:
        mine = {
            await self.raw.send("CLIENT", "ID"),
            await self.other.pub.redis.send("CLIENT", "ID"),
        }
        listed = await self.raw.send("CLIENT", "LIST")
        ids = {int(number) for number in re.findall(rb"(?m)^id=(\d+)", listed)} - mine
        if ids:
            await self.kill(random_.choice(sorted(ids)))

    async def put_right(self) -> None:
        """Put back the items that no get has, as maintenance does half a minute later."""
        await self.service.connection.when_connected()
        await self.raw.send("PING")  # a get sends its acknowledgement after it has fired
        outages = self.service.room.outages
        await until(lambda: not outages.unanswered and not outages.under_way)
        await self.blocked()
        await self.other.maintenance()
        for id_, _ in await self.value("feed.delivering:q") or []:
            await self.raw.send("ZADD", "feed.delivering:q", 1, id_)
        await self.other.maintenance()


class LifeTests(CutTestCase):
    async def test_stopped_and_started(self) -> None:
        """A stop fails the gets and gives items back; after a start, gets work again."""
        for round_ in range(3):
            gets = [self.queue.get(), self.queue.get()]
            await self.blocked()
            stopped = Deferred.fromCoroutine(self.service.stop())
            for get in gets:
                await self.assertFailure(get, ConnectionLost)
            await stopped
            await self.blocked(0)
            await self.assertFailure(self.queue.get(), ConnectionLost)
            await self.other.put(str(round_))
            await self.service.start()
            self.assertEqual(await self.queue.get(), str(round_))
        self.assertEqual(await self.left(), {})


class KillTests(ServerTestCase):
    """The server is killed and started again."""

    async def setUp(self) -> None:
        # A kill loses nothing that was answered.
        self.redis = RedisServer(self.mktemp(), arguments=("--appendfsync", "always"))
        self.addCleanup(self.redis.stop)
        await self.redis.start()
        self.endpoint = self.redis.endpoint()
        self.service = Service(self.endpoint)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.service.stop()))
        await self.service.start()
        self.queue = await self.service.pub.queue("q")
        self.job = await self.service.pub.job("j")

    async def ask(self, *words: Any) -> Any:
        redis = await connectProtocol(self.endpoint, Redis())
        try:
            return await redis.send(*words)
        finally:
            await redis.close()

    async def blocked(self, count: int = 1) -> None:
        await until_blocked(self.redis, count)

    async def down(self) -> None:
        """Kill the server, and wait until the service has noticed."""
        await self.redis.kill()
        while self.service.room.up:
            await self.assertFailure(self.service.offline_queue.ping(), ConnectionLost)

    async def up(self) -> None:
        await self.redis.start()
        await self.service.connection.when_connected()

    async def test_gets(self) -> None:
        """Gets wait on in their order; gets that come during the outage follow."""
        gets = [self.queue.get() for _ in range(3)]
        claim = self.job.get()
        await self.blocked(2)
        await self.down()
        gets += [self.queue.get() for _ in range(2)]
        # This call is sent as soon as there is a connection.
        put = self.queue.put("0")
        for get in (*gets, claim):
            self.assertNoResult(get)
        await self.up()
        await put
        self.assertEqual(await gets.pop(0), "0")
        await self.blocked(2)
        for number in range(1, 5):
            await self.queue.put(str(number))
        await self.job.put("work", id_="a")
        self.assertEqual(await gatherResults(gets), [str(number) for number in range(1, 5)])
        self.assertEqual(tuple(await claim), ("a", "work", 0))
        self.assertEqual(await self.queue.length(), 0)

    async def test_put_before(self) -> None:
        """An item that is put before the service reconnects is delivered."""
        await self.ask("HSET", "feed.items:q", "1", "one")
        get = self.queue.get()
        await self.blocked()
        await self.down()
        await self.redis.start()
        # The service may be connected by now, or not.
        await self.ask("LPUSH", "feed.ids:q", "1")
        self.assertEqual(await get, "one")

    async def test_times(self) -> None:
        """Gets time out during the outage; cancelled gets leave nothing."""
        soon, cancelled, stays = self.queue.get(0.2), self.queue.get(), self.queue.get()
        result = await self.job_result(0.2)
        await self.blocked()
        await self.down()
        later = self.queue.get(0.05)
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        for each in (later, soon):
            await self.assertFailure(each, Empty)
        await self.assertFailure(result[0], Empty)
        self.assertNoResult(stays)
        await self.up()
        await self.queue.put("it")
        self.assertEqual(await stays, "it")

    async def job_result(self, timeout: float) -> list[Deferred[Any]]:
        """Wait for the result of a job that is never claimed."""
        job = await self.service.pub.job("k")
        await job.put("work", id_="a")
        return [job.get_result("a", timeout)]

    async def test_result(self) -> None:
        """A wait for a result survives the outage, and receives the result."""
        await self.job.put("work", id_="a")
        await self.job.get()
        result = self.job.get_result("a")
        await until_subscribed(self.redis, "feed.finishes:j")
        for _ in range(2):
            await self.down()
            self.assertNoResult(result)
            await self.up()
        await until_subscribed(self.redis, "feed.finishes:j")
        finish = await connectProtocol(self.endpoint, Redis())
        self.addCleanup(finish.close)
        worker = Job(ThoonkPub(finish, reactor, self.endpoint), "j")
        await worker.finish("a", "done")
        self.assertEqual(await result, ("work", "done"))

    async def test_stopped_during_the_outage(self) -> None:
        """A stop fails the gets and waits, and leaves nothing in the reactor."""
        gets = [self.queue.get(), self.queue.get(20), self.job.get()]
        gets += await self.job_result(20)
        await self.blocked(2)
        await self.down()
        stopped = Deferred.fromCoroutine(self.service.stop())
        for get in gets:
            await self.assertFailure(get, ConnectionLost)
        await stopped
        self.assertEqual(self.service.room.outages.waiting, set())
