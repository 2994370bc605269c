"""A replica is promoted, and the old master lives on as a replica."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.support import TIMEOUT, Recorder
from tests.support.failover_support import Pair
from tests.support.waiting import until, until_answer
from txthoonk import Thoonk
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.worker import Worker

reactor: Any = installed_reactor


class FailoverTestCase(TestCase):
    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.pair = Pair(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.pair.stop()))
        await self.pair.start()
        self.states: list[str] = []

    async def connect(self, **options: Any) -> Thoonk:
        options = {"state_changed": lambda state, _: self.states.append(state), **options}
        thoonk = Thoonk(self.pair.url, reactor, **options)
        self.addCleanup(thoonk.close)
        return await thoonk.connect()

    async def blocked(self, server: Any, count: int = 1) -> None:
        await self.pair.blocked(server, count)

    async def put(self, line: Any, item: str) -> int:
        """Put an item until it succeeds; return how often a replica refused it."""
        refused = 0
        while True:
            try:
                await line.put(item)
            except ResponseError as error:
                self.assertEqual(error.code, "READONLY")
                refused += 1
            else:
                return refused

    async def all_moved(self, count: int) -> None:
        """Wait until the new master has this many clients, and the old one has none."""
        await self.pair.has_clients(self.pair.replica, 0)
        await self.pair.has_clients(self.pair.master, count)

    def leave(self, waiting: Deferred[Any]) -> None:
        """Cancel a Deferred that must still be waiting."""
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)


class FailoverTests(FailoverTestCase):
    async def test_calls(self) -> None:
        """The call that a demoted master refuses fails; the next waits for the new one."""
        thoonk = await self.connect()
        queue = await thoonk.queue("q")
        await self.pair.promote()
        self.assertEqual(await self.put(queue, "item"), 1)
        self.assertEqual(await self.pair.ask(self.pair.master, "LLEN", queue.feed_ids), 1)
        await self.all_moved(2)
        await thoonk.whenConnected()
        self.assertEqual(await queue.get(), "item")

    async def test_pipelined(self) -> None:
        """Calls that were sent to a demoted master are all refused, and change nothing."""
        thoonk = await self.connect()
        queue, feed = await thoonk.queue("q"), await thoonk.feed("f")
        await self.pair.promote()
        calls = [queue.put(str(n)) for n in range(50)] + [feed.publish("x") for _ in range(50)]
        for call in calls:
            error: Any = await self.assertFailure(call, ResponseError)
            self.assertEqual(error.code, "READONLY")
        await queue.put("item")
        self.assertEqual(await queue.length(), 1)
        self.assertEqual(await feed.length(), 0)

    async def test_waits(self) -> None:
        """Waiting gets, results and subscriptions continue on the new master."""
        thoonk = await self.connect()
        queue, job = await thoonk.queue("q"), await thoonk.job("j", {"timeout": 60})
        feed = await thoonk.feed("f", {"history": 10})
        heard = Recorder()
        await thoonk.subscribe("f", heard)
        await job.put("work", id_="a")
        await job.get()
        got, result = queue.get(), job.get_result("a")
        await self.blocked(self.pair.master)
        await feed.publish("before", "1")
        await heard.wait(1)
        await self.pair.promote()
        other = await self.connect()
        await (await other.queue("q")).put("item")
        self.assertEqual(await got, "item")
        await (await other.job("j")).finish("a", "done")
        self.assertEqual(await result, ("work", "done"))
        await (await other.feed("f")).publish("after", "2")
        events = [event for (event,) in await heard.wait(2)]
        self.assertEqual(
            [(one.kind, one.id) for one in events], [("publish", "1"), ("publish", "2")]
        )
        transit = await self.pair.ask(self.pair.master, "LLEN", queue.feed_transit)
        self.assertEqual(transit, 0)

    async def test_workers(self) -> None:
        """Jobs in progress finish once on the new master, and later jobs start there."""
        thoonk = await self.connect()
        job = await thoonk.job("j", {"timeout": 60, "keep_results_for": 60})
        under_way: list[Deferred[str]] = []
        begun = Recorder()

        def handler(claim: Any) -> Deferred[str]:
            under_way.append(Deferred())
            begun(claim.id)
            return under_way[-1]

        worker = Worker(job, handler, concurrency=2)
        worker.startService()
        self.addCleanup(worker.stopService)
        await job.put("work", id_="a")
        await begun.wait(1)
        await self.pair.promote()
        finished = job.get_result("a")
        under_way[0].callback("done")
        self.assertEqual(await finished, ("work", "done"))
        self.assertEqual(await self.put(job, "more") <= 1, True)
        await begun.wait(2)
        under_way[1].callback("done")
        await until_answer(
            self.pair.master.endpoint(), job.stats, lambda stats: stats["finishes"] == 2
        )
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_name_that_follows_later(self) -> None:
        """Calls wait while the server's name leads to a replica."""
        thoonk = await self.connect(retry_policy=lambda _: 0.01)
        queue = await thoonk.queue("q")
        await self.pair.promote(name=False)
        await self.assertFailure(queue.put("refused"), ResponseError)
        self.assertEqual(thoonk.state, "disconnected")
        waiting = queue.put("item")
        publisher = thoonk._connections.publisher
        await until(lambda: publisher.failures >= 3)
        self.assertIn("read-only replica of 127.0.0.1:", str(publisher.last_error))
        self.assertNoResult(waiting)
        self.pair.rename()
        await waiting
        self.assertEqual(await queue.length(), 1)

    async def test_nothing_is_written(self) -> None:
        """A waiting ``get`` detects the replica and leaves it, without any put."""
        thoonk = await self.connect()
        got = (await thoonk.queue("q")).get()
        await self.blocked(self.pair.master)
        await self.pair.promote()
        await self.blocked(self.pair.master)
        await self.all_moved(3)
        self.leave(got)


class ReplicaTests(FailoverTestCase):
    async def test_reading(self) -> None:
        """A service that only reads and subscribes stays on a replica."""
        writer = await self.connect()
        feed = await writer.feed("f", {"history": 10})
        await feed.publish("first", "1")
        await self.pair.caught_up()
        self.pair.name.lead_to(self.pair.replica.endpoint())
        self.states.clear()
        reader = await self.connect()
        heard = Recorder()
        await reader.subscribe("f", heard, snapshot=True)
        (snapshot,) = (await heard.wait(1))[0]
        self.assertEqual(snapshot.item, [("1", "first")])
        await feed.publish("second", "2")
        self.assertEqual((await heard.wait(2))[1][0].id, "2")
        self.assertEqual(await (await reader.feed("f")).get_ids(), ["1", "2"])
        self.assertEqual(self.states, ["connecting", "connected"])

    async def test_writing(self) -> None:
        """Every write on a replica fails, and reads continue."""
        writer = await self.connect()
        await (await writer.feed("f")).publish("first", "1")
        await self.pair.caught_up()
        self.pair.name.lead_to(self.pair.replica.endpoint())
        self.states.clear()
        reader = await self.connect()
        feed = await reader.feed("f")
        for _ in range(5):
            error: Any = await self.assertFailure(feed.publish("no"), ResponseError)
            self.assertEqual(error.code, "READONLY")
            self.assertEqual(await feed.get_ids(), ["1"])
        self.assertEqual(self.states, ["connecting", "connected"])

    async def test_one_server(self) -> None:
        """All connections follow the first one that reaches another master."""
        thoonk = await self.connect()
        await thoonk.register_handler("create", Recorder())
        got = (await thoonk.queue("q")).get()
        await self.blocked(self.pair.master)
        await self.pair.ask(self.pair.replica, "REPLICAOF", "NO", "ONE")
        self.pair.name.lead_to(self.pair.replica.endpoint())
        old, self.pair.master, self.pair.replica = (
            self.pair.master,
            self.pair.replica,
            self.pair.master,
        )
        await self.pair.ask(old, "CLIENT", "KILL", "TYPE", "pubsub")
        await self.all_moved(3)
        await self.blocked(self.pair.master)
        self.leave(got)

    async def test_a_replica_at_times(self) -> None:
        """No other connection uses a replica while the publisher has a master."""
        thoonk = await self.connect(retry_policy=lambda _: 0.01)
        await thoonk.register_handler("create", Recorder())
        self.pair.name.lead_to(self.pair.replica.endpoint())
        await self.pair.ask(self.pair.master, "CLIENT", "KILL", "TYPE", "pubsub")
        subscriber = thoonk._connections.subscriber
        await until(lambda: subscriber.failures >= 3)
        self.assertIn("read-only replica", str(subscriber.last_error))
        self.pair.rename()
        await thoonk.whenConnected()
        queue = await thoonk.queue("q")
        await queue.put("item")
        self.assertEqual(self.flushLoggedErrors(ConnectionLost), [])
