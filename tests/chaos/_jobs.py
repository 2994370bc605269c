"""Workers killed and frozen, connections cut, servers restarted: no job is lost, or done twice.

    python -m tests.chaos._jobs --seconds 120 --seed 1 --jobs 12000

This program puts jobs of all kinds into several feeds (``_jobs_put.py``). Six processes work on
them (``_jobs_worker.py``) while the program causes trouble. Then it waits until all jobs are done,
and checks the outcome of each one (``_jobs_verdict.py``). It prints what it did, a table of
outcomes, and the errors that it found. If there are any, it exits with status 1.

The private redis-server writes each change to its disk before it replies.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError, gatherResults
from twisted.internet.task import deferLater, react

from tests.chaos._jobs_put import NOTHING, Putting
from tests.chaos._jobs_verdict import Verdict
from tests.support.children import Child
from tests.support.waiting import until, until_answer
from txthoonk import ConnectionLost, Job, Thoonk, ThoonkError
from txthoonk.testing import RedisServer

ROOT = Path(__file__).parents[2]
WORKERS = 6
FEEDS = {"a": 3, "b": 1, "c": 1, "d": 1}  # with their weights
CONFIG = {
    "timeout": 1,  # seconds that a claim lasts
    "max_failures": 8,
    "keep_results_for": 36_000,
}
HISTORY = {"history": 10_000_000}  # of every second feed, so that its changes can be read
APART = (0.05, 0.5)  # seconds between two troubles
FROZEN = (1.2, 2.5)  # seconds; longer than a claim lasts
DOWN = 0.5  # seconds that the server is down, at most
END = 180.0  # seconds until all must be done, after the trouble
MOST_SHOWN = 50  # errors that are printed

TROUBLES = {"cut": 8, "cut all": 1, "kill": 3, "stop": 2, "freeze": 3, "restart": 1, "crash": 1}


class WorkerProcess(Child):
    """One process of ``tests/chaos/_jobs_worker.py``."""

    def __init__(self, url: str, log: str, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.frozen = False
        feeds = [f"{name}={weight}" for name, weight in FEEDS.items()]
        self.spawn_python("-m", "tests.chaos._jobs_worker", url, log, mode, *feeds)


class Chaos:
    """One run.

    :ivar did: kind of trouble -> how often it was caused.
    :ivar wrong: the errors that were found.
    """

    def __init__(self, reactor: Any, seconds: float, seed: int, jobs: int, folder: str) -> None:
        self.reactor = reactor
        self.seconds = seconds
        self.random = random.Random(seed)
        self.putting = Putting(reactor, self.random, 0.9 * seconds, jobs)
        self.did: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.feeds: dict[str, Job] = {}
        self.log = os.path.join(folder, "log")
        options = ("--appendfsync", "always")
        self.server = RedisServer(
            os.path.join(folder, "redis"), arguments=options, reactor=reactor
        )
        self.workers: list[WorkerProcess] = []
        self._begun: list[WorkerProcess] = []
        self._under_way: set[Deferred[Any]] = set()

    async def run(self) -> Verdict:
        """Run everything, and return the verdict."""
        await self.server.start()
        self.thoonk = Thoonk(self.server.url, self.reactor, retry_policy=lambda attempt: 0.05)
        await self.thoonk.connect()
        try:
            return await self._run()
        finally:
            await gatherResults([worker.signal("KILL") for worker in self._begun])
            await self.thoonk.close()
            await self.server.stop()

    async def _run(self) -> Verdict:
        for number, name in enumerate(FEEDS):
            config = {**CONFIG, **(HISTORY if number % 2 else {})}
            self.feeds[name] = await self.thoonk.job(name, config)
        for number in range(WORKERS):
            self.workers.append(self.new_worker("plain" if number else "thread"))
        putting = self.putting.put_all(self.feeds)
        await self.trouble()
        await putting
        await self.calm()
        await self.thoonk.redis.ping()  # the last connection that was cut may be this program's
        await self.until_done()
        await self.end_workers()
        verdict = Verdict(self.thoonk, self.feeds, self.putting.put, self.putting.told, self.log)
        await verdict.judge()
        self.wrong += verdict.wrong
        return verdict

    def new_worker(self, mode: str) -> WorkerProcess:
        worker = WorkerProcess(self.server.url, self.log, mode)
        self._begun.append(worker)
        return worker

    def pause(self, shortest: float, longest: float) -> Deferred[None]:
        return deferLater(self.reactor, self.random.uniform(shortest, longest))

    # -- trouble ----------------------------------------------------------------------

    async def trouble(self) -> None:
        """Cause trouble in a random order until the time is up and each kind has happened."""
        troubles: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "cut": self.cut,
            "cut all": self.cut_all,
            "kill": self.kill,
            "stop": self.stop,
            "freeze": self.freeze,
            "restart": self.restart,
            "crash": self.crash,
        }
        end, unmet = self.reactor.seconds() + self.seconds, set(troubles)
        cards: list[str] = []
        while unmet or self.reactor.seconds() < end:
            if not cards:
                cards = [name for name, count in TROUBLES.items() for _ in range(count)]
                self.random.shuffle(cards)
            card = cards.pop()
            await troubles[card]()
            unmet.discard(card)
            await self.pause(*APART)

    async def clients(self) -> list[int]:
        listed = await self.thoonk.redis.send("CLIENT", "LIST")
        return [int(line.split()[0][3:]) for line in listed.splitlines()]

    async def cut(self) -> None:
        """Cut a random connection, which can be that of this program."""
        try:
            one = self.random.choice(await self.clients())
            self.did["connections cut"] += 1
            await self.thoonk.redis.send("CLIENT", "KILL", "ID", one)
        except ThoonkError:  # it was this program's, or was gone already
            pass

    async def cut_all(self) -> None:
        """Cut all connections except that of this program."""
        try:
            words = ("CLIENT", "KILL", "SKIPME", "yes", "TYPE")
            for kind in ("normal", "pubsub"):
                self.did["connections cut"] += await self.thoonk.redis.send(*words, kind)
        except ConnectionLost:
            pass

    def victim(self) -> int | None:
        awake = [at for at, worker in enumerate(self.workers) if not worker.frozen]
        return self.random.choice(awake) if awake else None

    async def kill(self) -> None:
        """Kill a worker, and start another."""
        at = self.random.randrange(WORKERS)
        await self.workers[at].signal("KILL")
        self.did["workers killed"] += 1
        self.workers[at] = self.new_worker(self.workers[at].mode)

    async def stop(self) -> None:
        """Stop a worker as a deployment does, and start another at the same time."""
        at = self.victim()
        if at is not None:
            old, self.workers[at] = self.workers[at], self.new_worker(self.workers[at].mode)
            self.did["workers stopped"] += 1
            self.background(self.stopped(old))

    async def stopped(self, worker: WorkerProcess) -> None:
        await worker.signal("TERM")
        self.check_ended(worker)

    def check_ended(self, worker: WorkerProcess) -> None:
        if worker.status not in (0, -signal.SIGTERM):  # it may not have begun yet
            self.wrong.append(f"a worker ended with {worker.status}: {worker.out}{worker.err}")

    async def freeze(self) -> None:
        """Freeze a worker for longer than its claims last."""
        at = self.victim()
        if at is not None:
            self.did["workers frozen"] += 1
            self.background(self.frozen(self.workers[at]))

    async def frozen(self, worker: WorkerProcess) -> None:
        worker.signal("STOP")
        worker.frozen = True
        await self.pause(*FROZEN)
        worker.frozen = False
        worker.signal("CONT")

    async def restart(self) -> None:
        """Restart the server."""
        self.did["server restarts"] += 1
        await self.server.stop()
        await self.pause(0, DOWN)
        await self.server.start()

    async def crash(self) -> None:
        """Kill the server, and start it again."""
        self.did["server crashes"] += 1
        await self.server.kill()
        await self.pause(0, DOWN)
        await self.server.start()

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        doing = Deferred.fromCoroutine(coroutine)
        self._under_way.add(doing)
        doing.addErrback(lambda reason: self.wrong.append(reason.getTraceback()))
        doing.addBoth(lambda _: self._under_way.discard(doing))

    async def calm(self) -> None:
        """Wait until no worker is frozen or stopping."""
        while self._under_way:
            await DeferredList(list(self._under_way))

    # -- the end ------------------------------------------------------------------------

    async def until_done(self) -> None:
        """Wait until all jobs are done, and all waits for results have ended."""
        for _ in range(2):  # the first pass finds what is in transit, the second ends it
            await self.restore()
        done = Deferred.fromCoroutine(self._until_done()).addTimeout(END, self.reactor)
        try:
            await done
        except TimeoutError:
            left = {**await self.left(), **self.waits()}
            self.wrong.append(f"not done after {END:g} seconds: {left}")

    async def _until_done(self) -> None:
        await until_answer(self.server.endpoint(), self.left, lambda left: not left)
        await until(lambda: not self.waits())

    async def restore(self) -> None:
        """Put back what is in transit, as maintenance does after half a minute."""
        for name, job in self.feeds.items():
            await job.maintenance()
            for id_ in await self.thoonk.redis.zrange(f"feed.delivering:{name}", 0, -1):
                await self.thoonk.redis.send("ZADD", f"feed.delivering:{name}", "XX", 1, id_)

    async def left(self) -> dict[str, int]:
        """Return the number of jobs that are not done."""
        count: Counter[str] = Counter()
        for name in FEEDS:
            stalled = await self.thoonk.redis.send("SCARD", f"feed.stalled:{name}")
            items = await self.thoonk.redis.send("HLEN", f"feed.items:{name}")
            delayed = await self.thoonk.redis.send("ZCARD", f"feed.delayed:{name}")
            count[f"jobs of {name}"] = items - stalled + delayed
        return dict(+count)

    def waits(self) -> dict[str, int]:
        """Return the number of waits for results that have not ended."""
        count: Counter[str] = Counter()
        for name, told in self.putting.told.items():
            count[f"waiting for jobs of {name}"] = sum(end is NOTHING for end in told.values())
        return dict(+count)

    async def end_workers(self) -> None:
        """Stop the workers."""
        await gatherResults([worker.signal("TERM") for worker in self.workers])
        for worker in self.workers:
            self.check_ended(worker)


async def main(reactor: Any, arguments: argparse.Namespace) -> None:
    """Run, and print the outcome."""
    words = f"{arguments.jobs} jobs, trouble for {arguments.seconds:g} seconds"
    print(f"{words}, seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(reactor, arguments.seconds, arguments.seed, arguments.jobs, folder)
        verdict = await chaos.run()
    for what, count in sorted(chaos.did.items()):
        print(f"{count:6} {what}")
    print(verdict.table())
    if chaos.wrong:
        print(f"WRONG (seed {arguments.seed}):", *chaos.wrong[:MOST_SHOWN], sep="\n  ")
        sys.exit(1)
    print("all jobs are accounted for")


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of trouble")
    parser.add_argument("--seed", type=int, default=None, help="of what happens by chance")
    parser.add_argument("--jobs", type=int, default=None, help="100 per second if not given")
    arguments = parser.parse_args(words)
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    if arguments.jobs is None:
        arguments.jobs = int(100 * arguments.seconds)
    return arguments


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, parse(sys.argv[1:]))))
