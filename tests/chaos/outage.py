"""An outage longer than timeout, and workers frozen for longer: no healthy job runs twice.

Four workers have claimed all jobs. The server is down for longer than claims last. Then all
workers are frozen for as long. After each of these, all claims look too old to the first worker
that is back. At the end one worker is killed: its jobs run again, and no others.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from tests.chaos._outage_worker import CONCURRENCY
from tests.support.children import Child
from tests.support.waiting import until, until_answer
from txthoonk import Thoonk
from txthoonk.testing import RedisServer

ROOT = Path(__file__).parents[2]
WORKERS = 4
JOBS = WORKERS * CONCURRENCY
TIMEOUT = 2.0  # seconds that a claim lasts without renewal
AWAY = 1.75 * TIMEOUT


class Process(Child):
    """A worker.

    :ivar begun: ids of its jobs, as they began.
    :ivar cancelled: ids of those whose handlers were cancelled.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self._read = 0
        self.spawn_python("-m", "tests.chaos._outage_worker", url, "jobs")

    def outReceived(self, data: bytes) -> None:
        super().outReceived(data)
        end = self.out.rfind("\n") + 1
        lines, self._read = self.out[self._read : end].splitlines(), end
        for line in lines:
            word, id_ = line.split()
            {"begin": self.begun, "cancelled": self.cancelled}[word].append(id_)


async def run(reactor: Any) -> str:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--appendonly", "yes", "--appendfsync", "always")
        server = RedisServer(folder, reactor=reactor, arguments=options)
        await server.start()
        workers: list[Process] = []
        thoonk = await Thoonk(server.url, reactor).connect()
        try:
            return await Outage(reactor, server, thoonk, workers).run()
        finally:
            for worker in workers:
                await worker.kill()
            await thoonk.close()
            await server.stop()


class Outage:
    def __init__(
        self, reactor: Any, server: RedisServer, thoonk: Thoonk, workers: list[Process]
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._thoonk = thoonk
        self._workers = workers
        self._killed: list[Process] = []

    async def run(self) -> str:
        job = await self._thoonk.job("jobs", {"timeout": TIMEOUT, "max_failures": 1})
        await job.put_many(str(number) for number in range(JOBS))
        self._workers += [Process(self._server.url) for _ in range(WORKERS)]
        await self._until(lambda: self._begun() == JOBS)
        await self._outage()
        self._check("the outage")
        await self._freeze()
        self._check("the freeze")
        late = await self._kill_one()
        self._check("the death of one", CONCURRENCY)
        for worker in self._workers[1:]:
            worker.transport.write(b"\n")
        stats = await until_answer(
            self._server.endpoint(), job.stats, lambda stats: stats["finishes"] >= JOBS
        )
        if stats["stalled"] or stats["available"] or stats["claimed"]:
            raise AssertionError(f"not all jobs are finished: {stats}")
        return (
            f"{JOBS} jobs on {WORKERS} workers: none ran twice after {AWAY:g} s without a server "
            f"and {AWAY:g} s frozen (timeout {TIMEOUT:g}); those of a dead one {late:.1f} s later"
        )

    async def _outage(self) -> None:
        await self._server.stop()
        await deferLater(self._reactor, AWAY)
        await self._server.start()
        await self._thoonk.whenConnected()
        await self._renewed()

    async def _freeze(self) -> None:
        for worker in self._workers:
            worker.signal("STOP")
        await deferLater(self._reactor, AWAY)
        for worker in self._workers:
            worker.signal("CONT")
        await self._renewed()

    async def _kill_one(self) -> float:
        """Kill a worker, let another finish its jobs, and wait until it has the killed one's."""
        await self._thoonk.set_config("jobs", {"max_failures": 3})
        dead, *others = self._workers
        self._killed.append(dead)
        dead.kill()
        begin, before = time.monotonic(), self._begun()
        others[0].transport.write(b"\n")
        await self._until(lambda: self._begun() >= before + CONCURRENCY)
        return time.monotonic() - begin

    async def _renewed(self) -> None:
        """Wait until every claim without a renewal has ended."""
        await deferLater(self._reactor, 2 * TIMEOUT)

    def _begun(self) -> int:
        return sum(len(worker.begun) for worker in self._workers)

    def _check(self, what: str, again: int = 0) -> None:
        cancelled = sum(len(worker.cancelled) for worker in self._workers)
        twice = self._begun() - JOBS
        if cancelled or twice != again:
            raise AssertionError(f"after {what}: {cancelled} cancelled, {twice} run again")

    async def _until(self, condition: Any) -> None:
        """Wait for a condition. A worker that ends fails the wait."""

        def holds() -> bool:
            for worker in self._workers:
                if worker not in self._killed:
                    worker.check_running()
            return bool(condition())

        await until(holds)
