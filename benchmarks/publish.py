"""Publishes per second: Feed.publish beside what the same script allows.

Run ``python benchmarks/publish.py`` (or ``make bench``).  Every round measures, one
after the other and on the same private redis-server:

- ``txthoonk``: ``Feed.publish`` of 100 bytes under given ids, and under random ones;
- ``minimal``: the least that Twisted and hiredis can do for the same EVALSHA;
- ``redis-benchmark``: Redis' own C client with one connection, same EVALSHA.

What counts are the ratios, from the medians of all rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react
from twisted.internet.utils import getProcessOutput

from txthoonk.client import ThoonkPubFactory
from txthoonk.testing import RedisServer

ITEM = "x" * 100


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
    program = shutil.which("redis-benchmark")
    if program is None:
        return None
    words = [str(word) for word in (*command, "__rand_int__", ITEM)]
    where = ["-s", server.url.removeprefix("unix://").partition("?")[0]]
    options = ["-c", "1", "-P", str(width), "-n", str(calls), "-r", "1000000000", "--csv"]
    output = await getProcessOutput(
        program, [*where, *options, *words], env=os.environ, reactor=reactor
    )
    rates = re.findall(rb'","([0-9.]+)"', output)
    return float(rates[0])


async def measure(reactor: Any, rounds: int, calls: int) -> None:
    async with RedisServer(reactor=reactor) as server:
        pub = await server.endpoint().connect(ThoonkPubFactory())
        minimal = await server.endpoint().connect(Factory.forProtocol(Minimal))
        feed = await pub.feed("bench")
        await feed.publish(ITEM)  # the script is loaded
        words = feed._publish
        version = (await pub.redis.info())["redis_version"]
        subjects: dict[str, Callable[[int], Deferred[Any]]] = {
            "txthoonk, given id": lambda number: feed.publish(ITEM, str(number)),
            "txthoonk, random id": lambda number: feed.publish(ITEM),
            "minimal": lambda number: minimal.send(*words, str(number), ITEM),
        }
        print(
            f"Redis {version}, Twisted {twisted.__version__}, hiredis {hiredis.__version__}, "
            f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
        )
        for width in (1, 100):
            rates: dict[str, list[float]] = {}
            count = calls if width > 1 else calls // 5
            for _ in range(rounds):
                for name, call in subjects.items():
                    rates.setdefault(name, []).append(await in_flight(call, count, width))
                    await empty(pub)
                rate = await redis_benchmark(reactor, server, words, count, width)
                if rate is not None:
                    rates.setdefault("redis-benchmark", []).append(rate)
                    await empty(pub)
            report(width, rounds, rates)
        await pub.close()
        minimal.transport.loseConnection()


async def empty(pub: Any) -> None:
    await pub.delete_feed("bench")
    await pub.feed("bench")


def report(width: int, rounds: int, rates: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"\n{width} in flight, medians of {rounds} rounds")
    print(f"{'':22}{'publishes/s':>12}{'of minimal':>12}{'of redis-benchmark':>20}")
    limit = medians.get("redis-benchmark")
    for name, rate in medians.items():
        ratio = f"{rate / limit:.2f}" if limit else "not on PATH"
        print(f"{name:22}{rate:>12,.0f}{rate / medians['minimal']:>12.2f}{ratio:>20}")


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=50_000, help="per round, 100 in flight")
    options = parser.parse_args(arguments)
    return Deferred.fromCoroutine(measure(reactor, options.rounds, options.calls))


if __name__ == "__main__":
    react(main, sys.argv[1:])
