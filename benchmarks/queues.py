"""Queues and jobs per second, beside what the same scripts allow.

Run ``python benchmarks/queues.py`` (or ``make bench``).  Every round measures, one after
the other and on the same private redis-server, one process, items of 100 bytes:

- ``txthoonk``: put and get of a queue, put of a job, get and finish of a job;
- ``minimal``: the least that Twisted and hiredis can do for the same EVALSHA calls, each
  get taking one item;
- ``redis-benchmark``: Redis' own C client with one connection, same EVALSHA, where a
  call needs nothing of an earlier one.

A get of txthoonk takes items for all gets that wait, in one call, so with 100 in flight
it may be ahead of ``minimal``.  What counts are the ratios, from the medians of all
rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import attr
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

from txthoonk._keys import kept_result_key
from txthoonk.client import ThoonkPub, ThoonkPubFactory
from txthoonk.testing import RedisServer
from txthoonk.types import Job, Queue, job, queue

TXTHOONK = "txthoonk"
MOST = 1000  # jobs that are put at a time where a round needs some


@attr.define
class Row:
    """One piece of work.

    :ivar prepare: makes the state that so many calls need.
    :ivar command: what redis-benchmark can send; None: it cannot do this work.
    """

    name: str
    ours: Callable[[int], Deferred[Any]]
    minimal: Callable[[int], Deferred[Any]]
    prepare: Callable[[int], Awaitable[None]]
    command: tuple[Any, ...] | None = None


def rows(pub: ThoonkPub, minimal: Minimal) -> list[Row]:
    q, j = Queue(pub, "queue"), Job(pub, "job")
    queue_scripts, job_scripts = q._scripts(), j._scripts()
    get_item, get_job = (*queue_scripts.get[1], 1, ""), (*job_scripts.get[1], 1, "")
    delivered = queue_scripts.delivered
    assert delivered is not None

    def put_get(number: int) -> Deferred[Any]:
        return q.put(ITEM).addCallback(lambda _: q.get())

    def least_put_get(number: int) -> Deferred[Any]:
        def got(reply: Any) -> None:
            minimal.send(*delivered[1], reply[1])

        put = minimal.send(*q._put, "LPUSH", str(number), ITEM)
        return put.addCallback(lambda _: minimal.send(*get_item)).addCallback(got)

    def get_finish(number: int) -> Deferred[Any]:
        return j.get().addCallback(lambda claim: j.finish(claim.id))

    def least_get_finish(number: int) -> Deferred[Any]:
        def got(reply: Any) -> Deferred[Any]:
            keys = (*j._finish, j.feed_results, kept_result_key("job", reply[1]))
            channels = (j.channel_finish, j.channel_finished)
            return minimal.send(*job._FINISH.prefix(keys, "job", *channels, reply[1]), 0)

        return minimal.send(*get_job).addCallback(got)

    async def nothing(calls: int) -> None:
        pass

    async def jobs(calls: int) -> None:
        for first in range(0, calls, MOST):
            for number in range(first, min(first + MOST, calls)):
                last = j.put(ITEM, id_=str(number))
            await last

    return [
        Row("queue put + get", put_get, least_put_get, nothing),
        Row(
            "job put",
            lambda number: j.put(ITEM, id_=str(number)),
            lambda number: minimal.send(*j._put, "LPUSH", str(number), ITEM),
            nothing,
            (*j._put, "LPUSH", "__rand_int__" * 2, ITEM),
        ),
        Row("job get + finish", get_finish, least_get_finish, jobs),
    ]


async def measure(reactor: Any, rounds: int, calls: int) -> None:
    async with RedisServer(reactor=reactor) as server:
        pub = await server.endpoint().connect(ThoonkPubFactory())
        minimal = await server.endpoint().connect(Factory.forProtocol(Minimal))
        for script in (queue._PUT, queue._GET, queue._DELIVERED, job._PUT, job._GET, job._FINISH):
            await pub.redis.script_load(script.source)
        await introduce(pub.redis)
        for row in rows(pub, minimal):
            for width in (1, 100):
                count = (calls if width > 1 else calls // 5) // 2
                rates: dict[str, list[float]] = {}
                for _ in range(rounds):
                    for name, call in ((TXTHOONK, row.ours), (MINIMAL, row.minimal)):
                        await empty(pub)
                        await row.prepare(count)
                        rates.setdefault(name, []).append(await in_flight(call, count, width))
                    if row.command:
                        await empty(pub)
                        rate = await redis_benchmark(reactor, server, row.command, count, width)
                        if rate is not None:
                            rates.setdefault(REDIS_BENCHMARK, []).append(rate)
                report(f"{row.name}, {width} in flight", rates)
        await pub.close()
        minimal.transport.loseConnection()


async def empty(pub: ThoonkPub) -> None:
    await pub.redis.flush()
    await pub.queue("queue")
    await pub.job("job")


if __name__ == "__main__":
    run(measure, __doc__, sys.argv[1:])
