"""With workers killed and connections cut at random, nothing is lost or done twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.chaos._support import PATIENCE, again_and_again, returning
from tests.support import RedisTestCase, server_url
from tests.support.children import Child

reactor: Any = installed_reactor
ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "chaos" / "_worker.py"
SEED = 20261121

JOBS, WORKERS = 20_000, 4
KILL_PROCESS, CUT_CONNECTION = JOBS // 25, 50  # jobs finished between two kills or cuts
PAUSE = 0.02  # seconds between two checks
TIMEOUT = 1  # seconds until a claim of a dead worker expires
ITEMS, CONSUMERS, EACH = 5_000, 4, 10


class Worker(Child):
    """One process of ``tests/chaos/_worker.py``."""

    def __init__(self, url: str, feed: str) -> None:
        super().__init__()
        self.spawn_python(str(WORKER), url, feed)


class ChaosTestCase(RedisTestCase):
    timeout = 480

    async def setUp(self) -> None:
        await super().setUp()
        self.random = random.Random(SEED)
        self.pub_ = await self.pub()
        self.spared = {await redis.send("CLIENT", "ID") for redis in (self.raw, self.pub_.redis)}
        self.cuts = 0

    async def cut_one(self) -> None:
        """Cut one connection of a worker or consumer."""
        listed = await self.raw.send("CLIENT", "LIST", "TYPE", "normal")
        ids = {int(line.split()[0][3:]) for line in listed.splitlines()} - self.spared
        if ids:
            one = self.random.choice(sorted(ids))
            self.cuts += await self.raw.send("CLIENT", "KILL", "ID", one)

    async def age(self, feed: str) -> None:
        """Make deliveries in progress look old."""
        for id_ in await self.raw.send("ZRANGE", f"feed.delivering:{feed}", 0, -1):
            await self.raw.send("ZADD", f"feed.delivering:{feed}", "XX", 1, id_)


class JobChaosTests(ChaosTestCase):
    async def test_workers_killed(self) -> None:
        """Every job is finished once, after its last claim, and leaves nothing in Redis."""
        job = await self.pub_.job("x", {"timeout": TIMEOUT})
        await gatherResults([job.put(f"item {n}", id_=str(n)) for n in range(JOBS)])
        spied = await self.spy()
        url = await server_url()
        workers = [Worker(url, "x") for _ in range(WORKERS)]
        self.addCleanup(lambda: gatherResults([worker.kill() for worker in workers]))
        # Kill by progress, not by time: on a busy machine no worker might ever start.
        kills, at_kill, at_cut = 0, JOBS, JOBS
        while left := await self.raw.hlen("feed.items:x"):
            for worker in workers:
                worker.check_running()
            if left <= at_cut - CUT_CONNECTION:
                await self.cut_one()
                at_cut = left
            if left <= at_kill - KILL_PROCESS:
                victim = self.random.randrange(WORKERS)
                await workers[victim].kill()
                workers[victim] = Worker(url, "x")
                kills, at_kill = kills + 1, left
            await job.maintenance()
            await self.age("x")
            await deferLater(reactor, PAUSE)
        self.check_events(await spied.messages())
        state = await self.state()
        self.assertEqual(
            set(state),
            {b"feeds", b"feed.config:x", b"feed.publishes:x", b"feed.finishes:x"},
        )
        self.assertEqual(state[b"feed.finishes:x"], b"%d" % JOBS)
        self.assertGreater(kills, 3)
        self.assertGreater(self.cuts, 20)

    def check_events(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Check that each job is claimed by one worker at a time, and never after its finish."""
        claimed: set[bytes] = set()
        finished: Counter[bytes] = Counter()
        for channel, id_ in messages:
            if channel == b"feed.claimed:x":
                self.assertNotIn(id_, claimed, "claimed twice at a time")
                self.assertNotIn(id_, finished, "claimed after the finish")
                claimed.add(id_)
            elif channel in (b"feed.cancelled:x", b"feed.retried:x"):
                claimed.remove(id_)  # expired, or released as the reply was lost
            elif channel == b"feed.finishes:x":
                claimed.remove(id_)
                finished[id_] += 1
            else:
                self.assertEqual(channel, b"job.finish:x")
                number = id_.partition(b"\0")[0]
                self.assertEqual(id_, b"%s\0done: item %s" % (number, number))
        self.assertEqual(claimed, set())
        self.assertEqual(set(finished), {b"%d" % number for number in range(JOBS)})
        self.assertEqual(set(finished.values()), {1})


class QueueChaosTests(ChaosTestCase):
    async def test_connections_cut(self) -> None:
        """Every item is delivered once, or is still stored and is delivered again."""
        queue = await self.pub_.queue("x")
        await gatherResults([queue.put(str(number)) for number in range(ITEMS)])
        self.delivered: Counter[str] = Counter()
        self.going_on = True
        pubs = [await returning(reactor, self.target) for _ in range(CONSUMERS)]
        for pub in pubs:
            self.addCleanup(pub.close)
        consuming = [self.consume(await pub.queue("x")) for pub in pubs for _ in range(EACH)]
        while await queue.length():
            await self.cut_one()
            await queue.maintenance()
        self.going_on = False
        for _ in range(CONSUMERS * 5):  # cut the waiting consumers as well
            await self.cut_one()
        await gatherResults(consuming)
        self.assertGreater(self.cuts, 20)
        left = set(await self.raw.hkeys("feed.items:x"))
        once = {item for item, count in self.delivered.items() if count == 1}
        self.assertEqual(len(once), len(self.delivered), "delivered twice")
        self.assertGreaterEqual(len(left) + len(once), ITEMS, "lost")
        await queue.maintenance()
        await self.age("x")
        await queue.maintenance()
        while await queue.length():
            self.delivered[await queue.get()] += 1
        self.assertEqual(self.delivered, Counter(map(str, range(ITEMS))))
        await self.pub_.redis.ping()
        kept = {b"feeds", b"feed.config:x", b"feed.publishes:x"}
        self.assertEqual(set(await self.state()), kept)

    def consume(self, queue: Any) -> Deferred[None]:
        async def take() -> None:
            self.delivered[await queue.get(PATIENCE)] += 1
            await deferLater(reactor, self.random.uniform(0, 0.02))

        return Deferred.fromCoroutine(again_and_again(reactor, take, lambda: self.going_on))
