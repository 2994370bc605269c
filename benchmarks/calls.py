"""Measures calls: one at a time, many in flight, in batches, from several processes."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import attr
from bench import Bench, Measured
from peers.programs import OURS, RAW, REDIS_BENCHMARK, Failed, Program
from peers.running import Client, put
from wire import LOOSE, PARTS

__all__ = ["Calls"]

AS_MANY = -1  # items in the feed: as many as there are calls
REFUSED = re.compile(r"(?:rejected|failed)_calls=(\d+)")
TIMEOUT = 240  # seconds that redis-benchmark may run


@attr.frozen
class Calls:
    """A verb, called again and again.

    :ivar verb: the feed's type and the verb: see ``peers/txthoonk_client.py``.
    :ivar width: the number of calls in flight.
    :ivar share: the share of the calls of a measurement.
    :ivar batch: whether the calls in flight are made together, and the next when all are answered.
    :ivar each: the number of items in a call.
    :ivar config: the configuration of the feed.
    :ivar filled: the number of items in the feed before.
    :ivar stays: whether the calls hardly change the feed, so that it serves all measurements.
    :ivar spread: the number of existing items among which the calls choose.
    :ivar many: the verb of txthoonk that puts all items in one call.
    :ivar jobs: the mode of ``peer.py`` in which a job queue does it.
    :ivar raw: the words of the same work on the bare structures.
    :ivar processes: the number of processes that call at the same time.
    :ivar alone: whether only txthoonk and its limits are measured.
    """

    verb: str
    width: int = 100
    share: float = 1.0
    batch: bool = False
    each: int = 1
    config: Mapping[str, Any] = attr.Factory(dict)
    filled: int = 0
    stays: bool = False
    spread: int = 1000
    many: str = ""
    jobs: str = ""
    raw: tuple[str | int, ...] = ()
    processes: int = 1
    alone: bool = False

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        if program.name == RAW:
            return bool(self.raw) and shutil.which(REDIS_BENCHMARK) is not None
        if program.name == REDIS_BENCHMARK:
            return shutil.which(REDIS_BENCHMARK) is not None and self.verb not in PARTS
        if self.alone and not program.is_limit and program.name != OURS:
            return False
        if program.client:
            return True
        return program.jobs is not None and self.jobs in program.jobs.modes

    def prepare(self, bench: Bench) -> None:
        """Prepare what all measurements share."""
        bench.steps(self.verb)
        if self.stays:
            bench.keep(self._kind, self.config, bench.scale.items(self.filled))

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure how many items a second a program does."""
        with bench.apart() if self.width == 1 else contextlib.nullcontext():
            return self._measure(bench, program, title)

    def _measure(self, bench: Bench, program: Program, title: str) -> Measured:
        if not program.client and not program.is_limit:
            return {title: self._put(bench, program)}
        count = bench.scale.count(self.share * program.share)
        if not self.stays:
            filled = count if self.filled == AS_MANY else self.filled
            bench.open(self._kind, self.config, bench.scale.items(filled))
        calls = self._clients if program.client else self._redis_benchmark
        before = refused(bench)
        rate = calls(bench, program, count)
        if refused(bench) != before:
            raise Failed(f"failed: Redis refused {refused(bench) - before} commands")
        return {title: rate * self.each}

    @property
    def _kind(self) -> str:
        return self.verb.partition(".")[0]

    def _spread(self, bench: Bench) -> int:
        return bench.scale.items(self.spread)

    def _clients(self, bench: Bench, program: Program, count: int) -> float:
        clients = [bench.client(program, number) for number in range(self.processes)]
        if program.name == OURS:
            for client in clients:
                client.ask(do="open", type=self._kind, config={})
        order = bench.order(self.verb, count, self.width, self._spread(bench))
        if self.many and program.name == OURS:
            order = bench.order(self.many, 1, spread=count)
        order |= {"batch": self.batch, "steps": bench.steps(self.verb)}
        order |= {"loose": LOOSE.get(self.verb, 0)}
        return self.processes * count / seconds_of(clients, order)

    def _put(self, bench: Bench, program: Program) -> float:
        bench.clear()
        count, warm_up = bench.counts(program, self.share)
        return count / put(program, bench.url, self.jobs, count, warm_up)

    def _redis_benchmark(self, bench: Bench, program: Program, count: int) -> float:
        count = max(count, self.width)
        words, *others = [self.raw] if program.name == RAW else bench.steps(self.verb)
        if others:
            raise Failed(f"failed: not one command, but also {others}")
        command = [REDIS_BENCHMARK, "-h", bench.address[0], "-p", str(bench.address[1])]
        command += ["-c", "1", "-P", str(self.width), "-n", str(count), "--csv"]
        command += ["-r", str(2**31 - 1 if "{n}" in str(words) else self._spread(bench))]
        command += [as_redis_benchmark_has_it(word) for word in words]
        with contextlib.ExitStack() as stack:
            running = [
                stack.enter_context(
                    subprocess.Popen(
                        command, stdout=subprocess.PIPE, text=True, start_new_session=True
                    )
                )
                for _ in range(self.processes)
            ]
            outputs = [process.communicate(timeout=TIMEOUT)[0] for process in running]
        return sum(rate_in(output, count) for output in outputs)


def seconds_of(clients: list[Client], order: Mapping[str, Any]) -> float:
    """Run the clients at the same time; return the time from the first begin to the last end."""
    for number, client in enumerate(clients):
        client.tell(**order | {"first": number * order["count"]})
    answers = [client.answer() for client in clients]
    end, begin = max(a["end"] for a in answers), min(a["begin"] for a in answers)
    return float(end - begin)


def as_redis_benchmark_has_it(word: str | int) -> str:
    return str(word).replace("{n}", "__rand_int__" * 2).replace("{r}", "__rand_int__")


def rate_in(output: str, count: int) -> float:
    """Parse the calls per second, which can be below one: redis-benchmark counts milliseconds."""
    head, _, row = output.strip().partition("\n")
    fields = row.strip('"').rsplit('","', head.count('","'))
    if len(fields) < 2:
        raise Failed(f"failed: redis-benchmark said {output[-300:]!r}")
    return count * 1e3 if fields[1] == "inf" else float(fields[1])


def refused(bench: Bench) -> int:
    """Return how many commands Redis has refused, except those that clients try at first."""
    stats = bench.info("commandstats")
    counted = [
        text for name, text in stats.items() if "client" not in name and "hello" not in name
    ]
    return sum(int(number) for text in counted for number in REFUSED.findall(text))
