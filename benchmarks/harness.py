"""What the benchmarks share: the limits to compare with, and how calls are timed."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import hiredis
import twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import react
from twisted.internet.utils import getProcessOutput

from txthoonk.testing import RedisServer

ITEM = "x" * 100
MINIMAL = "minimal"
REDIS_BENCHMARK = "redis-benchmark"


class Minimal(Protocol):
    """The least a Twisted client can be: pack, write, parse, fire."""

    def __init__(self) -> None:
        self.waiting: deque[Deferred[Any]] = deque()
        self.reader = hiredis.Reader(encoding="utf-8")

    def send(self, *command: Any) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self.waiting.append(waiting)
        self.transport.write(hiredis.pack_command(command))
        return waiting

    def dataReceived(self, data: bytes) -> None:
        reader = self.reader
        reader.feed(data)
        reply = reader.gets()
        while reply is not False:
            self.waiting.popleft().callback(reply)
            reply = reader.gets()


def in_flight(call: Callable[[int], Deferred[Any]], calls: int, width: int) -> Deferred[float]:
    """Make *calls* calls, *width* of them at a time; fires calls per second."""
    done: Deferred[float] = Deferred()
    begin = time.perf_counter()
    numbers = iter(range(calls))
    left = calls

    def next_call() -> None:
        for number in numbers:
            call(number).addCallbacks(answered, done.errback)
            return

    def answered(_: Any) -> None:
        nonlocal left
        left -= 1
        if left:
            next_call()
        else:
            done.callback(calls / (time.perf_counter() - begin))

    for _ in range(width):
        next_call()
    return done


async def redis_benchmark(
    reactor: Any, server: RedisServer, command: tuple[Any, ...], calls: int, width: int
) -> float | None:
    """Measure a command with Redis' own C client; None if that is not on PATH."""
    program = shutil.which("redis-benchmark")
    if program is None:
        return None
    where = ["-s", server.url.removeprefix("unix://").partition("?")[0]]
    options = ["-c", "1", "-P", str(width), "-n", str(calls), "-r", "1000000000", "--csv"]
    output = await getProcessOutput(
        program, [*where, *options, *map(str, command)], env=os.environ, reactor=reactor
    )
    rates = re.findall(rb'","([0-9.]+)"', output)
    return float(rates[0])


async def introduce(redis: Any) -> None:
    """Say what is measured with."""
    version = (await redis.info())["redis_version"]
    print(
        f"Redis {version}, Twisted {twisted.__version__}, hiredis {hiredis.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    )


def report(title: str, rates: dict[str, list[float]], unit: str = "items") -> None:
    """Print medians, and their ratios to the limits."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    rounds = max(map(len, rates.values()))
    print(f"\n{title}, medians of {rounds} rounds")
    print(f"{'':22}{unit + '/s':>12}{'of minimal':>12}{'of redis-benchmark':>20}")
    for name, rate in medians.items():
        ratios = [
            f"{rate / medians[limit]:.2f}" if limit in medians else "-"
            for limit in (MINIMAL, REDIS_BENCHMARK)
        ]
        print(f"{name:22}{rate:>12,.0f}{ratios[0]:>12}{ratios[1]:>20}")


def run(
    measure: Callable[[Any, int, int], Coroutine[Any, Any, None]],
    text: str | None,
    arguments: list[str],
) -> None:
    """Run ``measure(reactor, rounds, calls)`` with what the command line says.

    :param text: the docstring of the benchmark.
    """
    parser = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=50_000, help="per round, 100 in flight")
    options = parser.parse_args(arguments)
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, options.rounds, options.calls)))
