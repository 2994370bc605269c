"""txthoonk's jobs beside other job queues on Redis, in one run.

Run ``python benchmarks/jobs.py [--rounds N] [--jobs N] [--only NAME,...]``.  The others
are installed by it, each into an environment of its own: see ``peers/programs.py``, and
the file of each in ``peers/`` for its settings.

All programs use the same private redis-server, through TCP on the loopback interface, and
jobs of 100 bytes that do nothing.  Every round measures every row with one program after
the other:

- *jobs/s*: one worker process at some concurrency works off what was put before.  The
  clock starts when the first sixth has been started, and ends when Redis holds no job any
  more: all are acknowledged.  (taskiq's list broker does not acknowledge; RQ's worker
  runs one job at a time.)
- *put/s*: one process puts jobs, with the program's call for many of them (a dash: it has
  none), up to 100 unanswered at a time, or each after the answer for the last.
- *start*: from before a job is put until its handler runs, in milliseconds; one job at a
  time, with random pauses of 20 to 50 ms, concurrency 10.  Then the memory of that worker:
  RSS, and PSS, in which what it shares with other processes counts in part.
- *idle CPU*: what such a worker uses in the minute after its last job, in milliseconds;
  those of all programs at the same time.

What counts are the ratios, from the medians of all rounds: how many times better txthoonk
is, so above 1 it is ahead.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attr
from peers.programs import OURS, PROGRAMS, Failed, Program
from peers.running import Peer, Redis, put, wait_until
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txthoonk.testing import RedisServer

CONCURRENCIES = (1, 10, 100)
MODES = {"bulk": "put/s, many in a call", "flight": "put/s, 100 in flight"}
MODES["single"] = "put/s, one at a time"
SINGLY = 5  # how many times fewer jobs are measured where they are put one at a time
WARM_UP = 5  # one warm-up job for so many that are measured
STARTS = 200  # jobs for the start latency
IDLE_CONCURRENCY = 10
SETTLE, IDLE = 2.0, 60.0  # seconds before and in which an idle worker is watched
MEGABYTE = 1e6

P50, P99 = "start p50, ms", "start p99, ms"
RSS, PSS = "idle RSS, MB", "idle PSS, MB"
CPU = "idle CPU, ms/min"
LESS_IS_BETTER = (P50, P99, RSS, PSS, CPU)


def jobs_row(concurrency: int) -> str:
    return f"jobs/s, concurrency {concurrency}"


ROWS = [*map(jobs_row, CONCURRENCIES), *MODES.values(), *LESS_IS_BETTER]

Measured = dict[str, float]
Layout = Callable[[list[list[str]]], str]


@attr.define
class Bench:
    """Measures one program at a time on one server."""

    url: str
    redis: Redis
    jobs: int

    def work(self, program: Program, concurrency: int) -> Measured:
        """Measure how fast a worker works off what there is."""
        if concurrency not in program.concurrencies:
            return {}
        count, warm_up = self._counts(program)
        self._put(program, program.modes[0], count, warm_up)
        options = {"concurrency": concurrency, "count": count, "warm_up": warm_up}
        with Peer(program, self.url, "work", **options) as worker:
            begin, _ = worker.wait_for_done()
            self._wait_until_empty(program)
            return {jobs_row(concurrency): count / (time.monotonic() - begin)}

    def put(self, program: Program, mode: str) -> Measured:
        """Measure how fast jobs are put."""
        if mode not in program.modes:
            return {}
        count, warm_up = self._counts(program, SINGLY if mode == "single" else 1)
        return {MODES[mode]: count / self._put(program, mode, count, warm_up)}

    def start(self, program: Program) -> Measured:
        """Measure how soon jobs start, and the memory of the worker afterwards."""
        warm_up = STARTS // WARM_UP
        self._put(program, "single", 1, 0)
        with self._idle_worker(program, STARTS, warm_up) as worker:
            worker.wait_for_ready()
            put(program, self.url, "paced", STARTS, warm_up - 1)
            _, delays = worker.wait_for_done()
            self._wait_until_empty(program)
            time.sleep(SETTLE)
            cuts = statistics.quantiles(delays, n=100)
            return {P50: cuts[49] * 1e3, P99: cuts[98] * 1e3, **memory_of(worker)}

    def idle(self, programs: list[Program], results: Results) -> None:
        """Measure the CPU of workers that have nothing to do, of all at the same time."""
        self.redis.call("FLUSHALL")
        with contextlib.ExitStack() as stack:
            workers = {}
            for program in programs:
                with results.problems_of(program):
                    put(program, self.url, "single", WARM_UP, 0)
                    worker = stack.enter_context(self._idle_worker(program, WARM_UP - 1, 1))
                    worker.wait_for_done()
                    self._wait_until_empty(program)
                    workers[program] = worker
            time.sleep(SETTLE)
            before = {program: worker.cpu() for program, worker in workers.items()}
            time.sleep(IDLE)
            for program, worker in workers.items():
                with results.problems_of(program):
                    results.add(program, cpu_between(before[program], worker.cpu()))

    def _idle_worker(self, program: Program, count: int, warm_up: int) -> Peer:
        options = {"concurrency": IDLE_CONCURRENCY, "count": count, "warm_up": warm_up}
        return Peer(program, self.url, "work", **options, delays=True)

    def _counts(self, program: Program, fewer: int = 1) -> tuple[int, int]:
        count = max(int(self.jobs * program.share) // fewer, WARM_UP)
        return count, count // WARM_UP

    def _put(self, program: Program, mode: str, count: int, warm_up: int) -> float:
        """Put jobs, where there is nothing else."""
        self.redis.call("FLUSHALL")
        seconds = put(program, self.url, mode, count, warm_up)
        found = self.redis.size(program.line)
        if found != count + warm_up:
            raise Failed(f"failed: put {count + warm_up} jobs, but {found} are there")
        return seconds

    def _wait_until_empty(self, program: Program) -> None:
        keys = (program.line, *program.rest)
        wait_until(lambda: self.redis.size(*keys) == 0, "jobs that were done are still there")


def memory_of(worker: Peer) -> Measured:
    memory = worker.memory()
    return {} if memory is None else {RSS: memory[0] / MEGABYTE, PSS: memory[1] / MEGABYTE}


def cpu_between(before: float | None, after: float | None) -> Measured:
    return {} if before is None or after is None else {CPU: (after - before) * 1e3}


def measurements(bench: Bench) -> list[Callable[[Program], Measured]]:
    working = [partial(bench.work, concurrency=concurrency) for concurrency in CONCURRENCIES]
    putting = [partial(bench.put, mode=mode) for mode in MODES]
    return [*working, *putting, bench.start]


@attr.define
class Results:
    """What was measured: by row and program, a figure of each round."""

    figures: dict[tuple[str, str], list[float]] = attr.Factory(dict)
    problems: dict[str, str] = attr.Factory(dict)

    def add(self, program: Program, measured: Measured) -> None:
        for row, figure in measured.items():
            self.figures.setdefault((row, program.name), []).append(figure)
            print(f"{program.name:>12}  {row:26}{shown(figure):>10}", file=sys.stderr)

    @contextlib.contextmanager
    def problems_of(self, program: Program) -> Iterator[None]:
        """Note what a program fails to do."""
        try:
            yield
        except Failed as error:
            self.problems.setdefault(program.name, str(error))
            print(f"{program.name:>12}  {error}", file=sys.stderr)

    def median(self, row: str, name: str) -> float | None:
        figures = self.figures.get((row, name))
        return statistics.median(figures) if figures else None

    def ratio(self, row: str, name: str) -> float | None:
        """How many times better txthoonk is."""
        ours, theirs = self.median(row, OURS), self.median(row, name)
        if ours is None or theirs is None:
            return None
        better, worse = (theirs, ours) if row in LESS_IS_BETTER else (ours, theirs)
        return better / worse if worse else None

    def table(self, cell: Callable[[str, str], float | None], names: list[str]) -> list[list[str]]:
        return [["", *names], *([row, *(shown(cell(row, n)) for n in names)] for row in ROWS)]


def shown(figure: float | None) -> str:
    if figure is None:
        return "-"
    digits = 0 if figure >= 100 else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f}"


def plain(table: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        f"{row[0]:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in table
    )


def markdown(table: list[list[str]]) -> str:
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return "\n".join([head, f"|---|{'---:|' * (len(table[0]) - 1)}", *rows])


def machine(redis: Redis) -> str:
    """Say what is measured with."""
    info = dict(line.split(":", 1) for line in redis.call("INFO").split("\r\n") if ":" in line)
    return (
        f"{os.cpu_count()} cores, {processor()}, Redis {info['redis_version']}, "
        f"Python {platform.python_version()}, Node {node_version()}"
    )


def processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def node_version() -> str:
    node = shutil.which("node")
    return "is missing" if node is None else subprocess.check_output([node, "-v"], text=True)[1:-1]


def install(programs: list[Program], results: Results) -> list[Program]:
    """Install the programs; return those that are there."""
    installed = []
    for program in programs:
        print(f"{program.name:>12}  installing, if need be", file=sys.stderr)
        with results.problems_of(program):
            program.install()
            installed.append(program)
    return installed


def compare(bench: Bench, programs: list[Program], rounds: int, results: Results) -> None:
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for measure in measurements(bench):
            for program in programs:
                with results.problems_of(program):
                    results.add(program, measure(program))
        bench.idle(programs, results)


def report(results: Results, names: list[str], rounds: int, layout: Layout) -> str:
    parts = [f"Medians of {rounds} rounds", layout(results.table(results.median, names))]
    if OURS in names:
        others = [name for name in names if name != OURS]
        parts += [f"How many times better {OURS} is", layout(results.table(results.ratio, others))]
    problems = [f"{name}: {problem}" for name, problem in results.problems.items()]
    return "\n\n".join(parts + problems)


async def run(reactor: Any, options: argparse.Namespace) -> None:
    results = Results()
    async with RedisServer(port=0, reactor=reactor) as server:
        where = urlsplit(server.url)
        redis = Redis((str(where.hostname), int(where.port or 0)))
        installed = install(options.only, results)
        versions = ", ".join(f"{program.name} {program.version}" for program in installed)
        about = f"{machine(redis)}\n{versions}"
        print(about, file=sys.stderr)
        with interruptible():
            compare(Bench(server.url, redis, options.jobs), installed, options.rounds, results)
    names = [program.name for program in options.only]
    print(f"{about}\n\n{report(results, names, options.rounds, plain)}")
    if options.markdown:
        text = report(results, names, options.rounds, markdown)
        options.markdown.write_text(f"{about}\n\n{text}\n")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end what blocks the reactor; what was measured until then is reported."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def programs_named(text: str) -> list[Program]:
    known = {program.name: program for program in PROGRAMS}
    try:
        return [known[name] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{error} is none of {', '.join(known)}") from None


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=40_000, help="of the fastest programs")
    parser.add_argument("--only", type=programs_named, default=PROGRAMS, metavar="NAME,...")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write it there")
    options = parser.parse_args(arguments)
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


if __name__ == "__main__":
    main(sys.argv[1:])
