"""Workers with cut connections, restarted servers and deleted feeds."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import attr
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support import Recorder
from tests.support.service import reactor
from tests.support.service_outage import OutageTestCase
from tests.support.waiting import until
from tests.support.worker import Doing, WorkerTestCase
from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import ConnectionLost
from txthoonk.testing import RedisServer
from txthoonk.types import Claim, Job
from txthoonk.worker import Worker
from txthoonk.worker import _worker as worker_module


class CutTests(WorkerTestCase):
    async def test_each_connection(self) -> None:
        """Whichever connection is cut, each job is finished and counted once."""
        count = 0
        for kind in ("normal", "pubsub", "normal", "pubsub"):
            ids = await self.job.put_many(["item"] * 60)
            done: list[str] = []

            def handler(claim: Claim, done: list[str] = done) -> Deferred[Any]:
                done.append(claim.id)
                return deferLater(reactor, 0.002)

            worker = self.work(handler, 3, maintenance=True)
            await until(lambda done=done: len(done) > 10)  # type: ignore[misc]
            await self.raw.send("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            count += 60
            await self.comes_to(0, 0, 0, count)
            self.assertEqual((set(done), len(done) - 60 < 4), (set(ids), True))
            await self.thoonk.whenConnected()
            await worker.stopService()
            self.assertEqual(await self.stats(), (0, 0, 0, count))

    async def test_idle(self) -> None:
        """An idle worker whose waiting connections are cut takes the next job."""
        self.work(lambda claim: None)
        for number in range(6):
            await self.blocked()
            for kind in ("normal", "pubsub")[number % 2 :]:
                await self.raw.send("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            with contextlib.suppress(ConnectionLost):
                await self.thoonk.redis.ping()  # now the client has noticed the loss
            await self.put(str(number))
            await self.comes_to(0, 0, 0, number + 1)

    async def test_finished_meanwhile(self) -> None:
        """Jobs that end during the outage are reported on the next connection."""
        await self.put("a", "b", "c", "d")
        doing = Doing()
        worker = self.work(doing, 4)
        await doing.begun(4)
        await self.raw.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: not self.thoonk._connections.up["publisher"])
        doing.end("a", "b", result="done")
        doing.going["c"].errback(ValueError("no"))
        doing.end("d")
        await self.comes_to(0, 1, 0, 3)
        self.assertEqual((await self.failure("c")).message, "no")
        self.assertEqual([claim.id for claim in worker.running_jobs], ["c"])

    async def test_answer_lost(self) -> None:
        """A finish whose answer was lost is sent again, and counted once."""
        await self.put("a", "b")
        doing = Doing()
        worker = self.work(doing, 1)
        await doing.begun(1)
        (consumer,) = worker._consumers
        calls, lost = consumer._jobs, Recorder()

        def fail(reply: list[Any]) -> None:
            lost(reply)
            raise ConnectionLost("the answer was lost")

        def without_answer(*words: Any) -> Deferred[Any]:
            consumer._jobs = calls
            return calls.finish_many(*words).addCallback(fail)

        consumer._jobs = attr.evolve(calls, finish_many=without_answer)
        doing.end("a")
        await lost.wait(1)
        self.assertEqual(await self.stats(), (0, 1, 0, 1))
        await self.raw.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await doing.begun(2)
        self.assertEqual(doing.ids, ["a", "b"])
        doing.end("b")
        await self.comes_to(0, 0, 0, 2)
        self.assertEqual(self.ended, [("x", "finished")] * 2)


class RestartTests(WorkerTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        options = ("--appendonly", "yes", "--appendfsync", "always")
        self.server = RedisServer(os.path.abspath(self.mktemp()), arguments=options)
        await self.server.start()
        await self.thoonk.close()
        self.addCleanup(self.server.stop)
        self.target, self.url = parse_url(self.server.url), self.server.url
        self.thoonk = await self.service().connect()
        self.job: Job = await self.thoonk.job("x", self.CONFIG)

    async def restart(self, kill: bool) -> None:
        await (self.server.kill() if kill else self.server.stop())
        await until(
            lambda: self.thoonk._connections.up == {"publisher": False, "subscriber": False}
        )
        await self.server.start()

    async def test_restarts(self) -> None:
        """Claims survive a restart, and each job is finished once."""
        await self.job.put_many(["item"] * 300)
        doing: list[str] = []

        def handler(claim: Claim) -> Deferred[str]:
            doing.append(claim.id)
            return deferLater(reactor, 0.002, str, claim.item)

        self.work(handler, 4, maintenance=True)
        for kill in (True, False):
            before = len(doing)
            await until(lambda before=before: len(doing) > before + 20)  # type: ignore[misc]
            await self.restart(kill)
        await self.comes_to(0, 0, 0, 300)
        self.assertTrue(300 <= len(doing) < 320, len(doing))

    async def test_begun_before(self) -> None:
        """A job that runs across a restart is finished with its claim."""
        await self.put("a")
        doing = Doing()
        self.work(doing)
        await doing.begun(1)
        await self.restart(kill=True)
        doing.end("a")
        await self.comes_to(0, 0, 0, 1)
        self.assertEqual((doing.ids, self.ended), (["a"], [("x", "finished")]))

    async def test_worker_first(self) -> None:
        """A worker that is started before its server begins when the server is up."""
        await self.thoonk.close()
        await self.server.stop()
        thoonk = self.service()
        self.work(lambda claim: None, feeds="new", thoonk=thoonk, config={})
        thoonk.startService()
        await until(lambda: thoonk._connections.publisher.failures > 2)
        await self.server.start()
        await thoonk.whenConnected()
        await self.until_answer(lambda: thoonk.feed_exists("new"))
        job = await thoonk.job("new")
        config = await thoonk.get_config("new")
        self.assertEqual((config["timeout"], config["max_failures"]), ("60", "10"))
        await job.put("item")
        await self.comes_to(0, 0, 0, 1, job=job)

    async def test_stop(self) -> None:
        """In an outage a stop gives up after one timeout, however many feeds there are."""
        self.patch(worker_module, "END_TIMEOUT", 0.5)
        jobs = [self.job, *[await self.thoonk.job(f"y{number}") for number in range(40)]]
        await self.put("1", "2")
        doing = Doing()
        worker: Worker = self.work(doing, 3, jobs, maintenance=True)
        await doing.begun(2)
        await self.server.kill()
        await until(lambda: not any(self.thoonk._connections.up.values()))
        doing.end("1")
        begun = reactor.seconds()
        await worker.stopService()
        took = reactor.seconds() - begun
        self.assertEqual((worker.running_jobs, doing.cancelled), ([], ["2"]))
        self.assertTrue(took < len(jobs) * 0.5 / 2, took)


class DeletedTests(WorkerTestCase):
    async def test_created_again(self) -> None:
        """A worker continues with a feed that is deleted and created again."""
        await self.put("a", "b", "c")
        doing = Doing()
        self.work(doing, 2, maintenance=True)
        await doing.begun(2)
        await self.rounds()  # otherwise its first renewal can follow the deletion
        await self.thoonk.delete_feed("x")
        doing.end("a")
        self.job = await self.thoonk.job("x", self.CONFIG)
        await self.put("a", "d")
        await doing.begun(3)
        doing.end("b")
        await doing.begun(4)
        self.assertEqual(doing.ids, ["a", "b", "a", "d"])
        doing.end()
        await self.comes_to(0, 0, 0, 2)

    async def test_idle(self) -> None:
        """An idle worker continues with a feed that is deleted and created again."""
        self.work(lambda claim: None)
        await self.blocked()
        await self.thoonk.delete_feed("x")
        await self.rounds()
        self.job = await self.thoonk.job("x", self.CONFIG)
        await self.put("a")
        await self.comes_to(0, 0, 0, 1)

    async def test_old_claims(self) -> None:
        """A job of the old feed is not finished in the new one, although it has the same id."""
        await self.put("a")
        doing = Doing()
        worker = self.work(doing, 1)
        await doing.begun(1)
        await self.rounds()  # otherwise its first renewal can follow the deletion
        await self.thoonk.delete_feed("x")
        self.job = await self.thoonk.job("x", self.CONFIG)
        await self.put("a")
        doing.end("a", result="old")
        await doing.begun(2)
        self.assertEqual((await self.stats(), len(worker.running_jobs)), ((0, 1, 0, 0), 1))


class WithdrawnTests(OutageTestCase):
    """Handlers that end their jobs while there is no connection, and are cancelled before it."""

    async def ends(self, method: str, **options: Any) -> None:
        """Call a method of the claim during an outage, in a worker that has some options."""
        await self.begin()
        self.job = await self.thoonk.job("x", {"timeout": 60})
        self.ended: list[str] = []
        begun: list[Claim] = []
        ending: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> None:
            begun.append(claim)
            if len(begun) == 1:
                await self.kill()
                ended = getattr(claim, method)()
                ending.callback(None)
                await ended

        options = {"maintenance": False, "back_off": lambda _: 0.0, **options}
        self.worker = worker = Worker(self.job, handler, **options)
        worker.ended.append(lambda name, outcome, _: self.ended.append(outcome))
        self.addCleanup(worker.stopService)
        worker.startService()
        await self.job.put("item", id_="a")
        await ending

    async def test_time_limit(self) -> None:
        """A job whose handler runs out of time before its finish is sent has failed."""
        for method in ("finish", "release"):
            await self.ends(method, time_limit=0.5)
            await until(lambda: self.ended)
            await self.restart()
            await until(lambda: len(self.ended) == 2)
            self.assertEqual(self.ended, ["failed", "finished"])
            await self.worker.stopService()
            stats = await self.job.stats()
            self.assertEqual((stats["claimed"], stats["available"]), (0, 0))

    async def test_stopped(self) -> None:
        """A worker that stops before the finish is sent gives the job back."""
        await self.ends("finish", grace=0.0)
        stopped = self.worker.stopService()
        await until(lambda: self.ended)
        await self.restart()
        await stopped
        self.assertEqual((self.ended, await self.job.get_ids("available")), (["released"], ["a"]))
