"""Publishes per second: Feed.publish beside what the same script allows.

Run ``python benchmarks/publish.py`` (or ``make bench``).  Every round measures, one
after the other and on the same private redis-server:

- ``txthoonk``: ``Feed.publish`` of 100 bytes under given ids, and under random ones;
- ``minimal``: the least that Twisted and hiredis can do for the same EVALSHA;
- ``redis-benchmark``: Redis' own C client with one connection, same EVALSHA.

What counts are the ratios, from the medians of all rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from harness import (
    ITEM,
    MINIMAL,
    REDIS_BENCHMARK,
    Minimal,
    in_flight,
    introduce,
    redis_benchmark,
    report,
    run,
)
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from txthoonk.client import ThoonkPubFactory
from txthoonk.testing import RedisServer


async def measure(reactor: Any, rounds: int, calls: int) -> None:
    async with RedisServer(reactor=reactor) as server:
        pub = await server.endpoint().connect(ThoonkPubFactory())
        minimal = await server.endpoint().connect(Factory.forProtocol(Minimal))
        feed = await pub.feed("bench")
        await feed.publish(ITEM)  # the script is loaded
        words = feed._publish
        subjects: dict[str, Callable[[int], Deferred[Any]]] = {
            "txthoonk, given id": lambda number: feed.publish(ITEM, str(number)),
            "txthoonk, random id": lambda number: feed.publish(ITEM),
            MINIMAL: lambda number: minimal.send(*words, str(number), ITEM, ""),
        }
        await introduce(pub.redis)
        for width in (1, 100):
            rates: dict[str, list[float]] = {}
            count = calls if width > 1 else calls // 5
            for _ in range(rounds):
                for name, call in subjects.items():
                    rates.setdefault(name, []).append(await in_flight(call, count, width))
                    await empty(pub)
                command = (*words, "__rand_int__", ITEM, "")
                rate = await redis_benchmark(reactor, server, command, count, width)
                if rate is not None:
                    rates.setdefault(REDIS_BENCHMARK, []).append(rate)
                    await empty(pub)
            report(f"publish, {width} in flight", rates)
        await pub.close()
        minimal.transport.loseConnection()


async def empty(pub: Any) -> None:
    await pub.delete_feed("bench")
    await pub.feed("bench")


if __name__ == "__main__":
    run(measure, __doc__, sys.argv[1:])
