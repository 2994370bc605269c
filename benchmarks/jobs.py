"""Measures workers, of txthoonk and of other job queues.

Jobs have 100 bytes and do nothing.  A worker is one process.  It works on jobs that were put
before.  The clock starts when the first sixth of them has started, and ends when Redis has no job
any more, so all are acknowledged.  (taskiq's list broker does not acknowledge; RQ's worker runs
one job at a time.)
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Mapping
from typing import Any

import attr
from bench import WARM_UP, Bench, Measured
from calls import AS_MANY, Calls
from peers.programs import MINIMAL, OURS, Failed, Program
from peers.running import Peer, jobs_of, put, wait_until

__all__ = ["KEPT_RESULTS", "RESULTS", "START_LINES", "Idle", "Start", "Work"]

STARTS = 100  # jobs for the start latency
IDLE_CONCURRENCY = 10
SETTLE = 2.0  # seconds before an idle worker is watched
MEGABYTE = 1e6
RESULTS = "worker: jobs with results, concurrency 10"
KEPT_RESULTS = f"{RESULTS}, keep_results 1,000"
START_LINES = (
    "start of a job: median, ms",
    "start of a job: 99 %, ms",
    "idle worker: memory (PSS), MB",
)


@attr.frozen
class Work:
    """Jobs per second of a worker; the limit is a minimal client that claims and finishes.

    :ivar results: the configurations of the feed to compare, by the titles of their lines; the
        jobs have results then.  Each round measures all of them.  Empty: jobs without results.
    """

    concurrency: int
    results: Mapping[str, Mapping[str, int]] = {}

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        if program.name == MINIMAL:
            return True
        if self.results:
            return program.name == OURS
        return program.jobs is not None and self.concurrency in program.jobs.concurrencies

    def prepare(self, bench: Bench) -> None:
        """Find out what the limit sends."""
        self._limit.prepare(bench)

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure how fast a worker finishes the waiting jobs."""
        if program.name == MINIMAL:
            return self._limit.measure(bench, program, title)
        configs = self.results or {title: None}
        return {line: self._rate(bench, program, config) for line, config in configs.items()}

    def _rate(self, bench: Bench, program: Program, config: Mapping[str, int] | None) -> float:
        count, warm_up = bench.counts(program)
        put_all(bench, program, jobs_of(program).modes[0], count, warm_up)
        options: dict[str, Any] = {
            "concurrency": self.concurrency,
            "count": count,
            "warm_up": warm_up,
        }
        if config is not None:
            bench.ours.ask(do="open", type="job", config=dict(config))
            options["results"] = True
        with Peer(program, bench.url, "work", **options) as worker:
            begin, _ = worker.wait_for_done()
            wait_until_empty(bench, program)
            return count / (time.monotonic() - begin)

    @property
    def _limit(self) -> Calls:
        share = 0.2 if self.concurrency == 1 else 0.5
        return Calls("job.get_finish", width=self.concurrency, share=share, filled=AS_MANY)


@attr.frozen
class Start:
    """How soon jobs start on an idle worker, and the worker's memory afterwards.

    One job at a time, with random pauses of 20 to 50 ms.  PSS is the memory in RAM, of which
    shared pages count in part.
    """

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        return program.jobs is not None

    def prepare(self, bench: Bench) -> None:
        """Nothing."""

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure milliseconds from the put to the start, and megabytes."""
        warm_up = STARTS // WARM_UP
        put_all(bench, program, "single", 1, 0)
        with idle_worker(bench, program, STARTS, warm_up) as worker:
            worker.wait_for_ready()
            put(program, bench.url, "paced", STARTS, warm_up - 1)
            _, delays = worker.wait_for_done()
            wait_until_empty(bench, program)
            time.sleep(SETTLE)
            cuts = statistics.quantiles(delays, n=100)
            memory = worker.memory()
            figures = [cuts[49] * 1e3, cuts[98] * 1e3, memory and memory / MEGABYTE]
            found = zip(START_LINES, figures, strict=True)
            return {line: figure for line, figure in found if figure is not None}


@attr.frozen
class Idle:
    """The processor time of idle workers, of all programs at the same time."""

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        return program.jobs is not None

    def prepare(self, bench: Bench) -> None:
        """Nothing."""

    def measure_all(
        self, bench: Bench, programs: list[Program], title: str
    ) -> dict[str, Measured]:
        """Measure milliseconds a minute, by program."""
        bench.clear()
        with contextlib.ExitStack() as stack:
            workers = {}
            for program in programs:
                with contextlib.suppress(Failed):  # said already, in a row before
                    put(program, bench.url, "single", WARM_UP, 0)
                    worker = stack.enter_context(idle_worker(bench, program, WARM_UP - 1, 1))
                    worker.wait_for_done()
                    wait_until_empty(bench, program)
                    workers[program.name] = worker
            time.sleep(SETTLE)
            before = {name: worker.cpu() for name, worker in workers.items()}
            time.sleep(bench.scale.idle)
            after = {name: worker.cpu() for name, worker in workers.items()}
        each = 60e3 / bench.scale.idle
        return {
            name: {title: (after[name] - before[name]) * each}
            for name in workers
            if None not in (before[name], after[name])
        }


def idle_worker(bench: Bench, program: Program, count: int, warm_up: int) -> Peer:
    options = {"concurrency": IDLE_CONCURRENCY, "count": count, "warm_up": warm_up}
    if IDLE_CONCURRENCY not in jobs_of(program).concurrencies:
        options["concurrency"] = 1
    return Peer(program, bench.url, "work", **options, delays=True)


def put_all(bench: Bench, program: Program, mode: str, count: int, warm_up: int) -> None:
    """Put jobs on an empty server."""
    bench.clear()
    put(program, bench.url, mode, count, warm_up)
    found = bench.redis.size(jobs_of(program).line)
    if found != count + warm_up:
        raise Failed(f"failed: put {count + warm_up} jobs, but Redis has {found}")


def wait_until_empty(bench: Bench, program: Program) -> None:
    keys = (jobs_of(program).line, *jobs_of(program).rest)
    wait_until(lambda: bench.redis.size(*keys) == 0, "finished jobs are still in Redis")
