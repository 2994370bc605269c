"""Measures how long big feeds delay other clients: the longest step in Redis and in this process.

    python benchmarks/stalls.py [ITEMS [PART...]]

The parts are feed, sorted_feed, names, job and queue; without any, all are measured. Each row is
one call on feeds of ITEMS items (1,000,000): the longest single command or script in
the server's SLOWLOG, in milliseconds of its clock; the longest turn of the reactor, in
milliseconds of this thread's CPU time; and how long the call took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from txthoonk import Thoonk
from txthoonk.testing import RedisServer

PART = 2000  # items in one command


class Turns:
    """Measures the turns of a reactor; ``longest`` is the longest, in seconds of CPU time."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._begun = time.thread_time()
        self.longest = 0.0
        self._turn()

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._begun)
        self._begun = now
        self._reactor.callLater(0, self._turn)


Fill = tuple[str, str, Callable[[int], tuple[Any, ...]]]


async def fill(send: Any, commands: list[Fill], many: int) -> None:
    """Store members with a command under a key; a function makes the words of each."""
    for first in range(0, many, PART):
        numbers = range(first, min(first + PART, many))
        await gatherResults(
            [
                send(command, key, *[word for n in numbers for word in words(n)])
                for command, key, words in commands
            ]
        )


def member(number: int) -> tuple[Any, ...]:
    return (f"{number:012}",)


def scored(number: int) -> tuple[Any, ...]:
    return 1e12 + number, f"{number:012}"


def field(number: int) -> tuple[Any, ...]:
    return f"{number:012}", "x" * 50


async def main(reactor: Any, items: int, parts: list[str]) -> None:
    server = RedisServer(reactor=reactor)
    await server.start()
    thoonk = await Thoonk(server.url, reactor).connect()
    try:
        await measure(reactor, thoonk, items, parts)
    finally:
        await thoonk.close()
        await server.stop()


Row = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[None]]


async def measure(reactor: Any, thoonk: Any, items: int, parts: list[str]) -> None:
    """Print the rows."""
    send = thoonk.redis.send
    await send("CONFIG", "SET", "slowlog-log-slower-than", 100)
    await send("CONFIG", "SET", "slowlog-max-len", 100_000)
    turns = Turns(reactor)
    print(f"{items:,} items{'':14} longest step  longest turn     the call")

    async def row(title: str, call: Callable[[], Awaitable[Any]]) -> None:
        await send("SLOWLOG", "RESET")
        turns.longest, begun = 0.0, time.monotonic()
        result = await call()
        took, turn = time.monotonic() - begun, turns.longest
        del result
        longest = max([entry[2] for entry in await send("SLOWLOG", "GET", 100_000)], default=0)
        print(f"{title:24} {longest / 1000:9.1f} ms {1000 * turn:10.1f} ms {took:10.1f} s")

    for part in parts:
        await PARTS[part](thoonk, items, row)


async def feed(thoonk: Any, items: int, row: Row) -> None:
    send = thoonk.redis.send
    log = await thoonk.feed("log", {"history": 1000})
    stored = [("ZADD", log.feed_ids, scored), ("HSET", log.feed_items, field)]
    await fill(send, stored, items)
    await send("SET", log.feed_publishes, items)
    await log.publish("x")
    await row("Feed.get_ids", log.get_ids)
    await row("Feed.get_all", log.get_all)
    await mirrored(row, "Feed.mirror", log)
    await log.set_config({"max_length": 10})
    await row("max_length lowered", lambda: log.publish("x"))
    await log.delete_feed()


async def mirrored(row: Row, title: str, feed: Any) -> None:
    """Measure a mirror."""
    mirrors: list[Any] = []

    async def mirror() -> None:
        mirrors.append(await feed.mirror())

    await row(title, mirror)
    await row("the mirror is released", lambda: mirrors.pop().stop())


async def sorted_feed(thoonk: Any, items: int, row: Row) -> None:
    todo = await thoonk.sorted_feed("todo", {"history": 1000})
    stored = [("RPUSH", todo.feed_ids, member), ("HSET", todo.feed_items, field)]
    await fill(thoonk.redis.send, stored, items)
    await thoonk.redis.send("SET", todo.feed_publishes, items)
    await todo.append("x")
    await row("SortedFeed.get_ids", todo.get_ids)
    await row("SortedFeed.get_all", todo.get_all)
    await mirrored(row, "SortedFeed.mirror", todo)
    await todo.delete_feed()


async def names(thoonk: Any, items: int, row: Row) -> None:
    await fill(thoonk.redis.send, [("SADD", "feeds", member)], items)
    await row("get_feed_names", thoonk.get_feed_names)
    await thoonk.redis.send("UNLINK", "feeds")


async def job(thoonk: Any, items: int, row: Row) -> None:
    send = thoonk.redis.send
    job = await thoonk.job("job")
    stored = [("RPUSH", job.feed_ids, member), ("HSET", job.feed_items, field)]
    await fill(send, stored, items)
    await row("Job.get_ids", job.get_ids)
    await row("Job.get_ids (available)", lambda: job.get_ids("available"))
    await row("Job.maintenance", job.maintenance)
    await row("Job.drain", job.drain)
    results = [("ZADD", job.feed_results, lambda n: (2e12, f"{n:012}"))]
    await fill(send, results, items // 10)
    for first in range(0, items // 10, PART):
        ids = [f"{number:012}" for number in range(first, first + PART)]
        await gatherResults([send("RPUSH", f"feed.jobfinished:job\0{i}", "x", "x") for i in ids])
    await row(f"delete, {items // 10:,} results", job.delete_feed)


async def queue(thoonk: Any, _: int, row: Row) -> None:
    queue = await thoonk.queue("big")
    await gatherResults([queue.put("x" * 5_000_000) for _ in range(30)])
    await row("30 gets of 5 MB", lambda: gatherResults([queue.get() for _ in range(30)]))


PARTS = {part.__name__: part for part in (feed, sorted_feed, names, job, queue)}

if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    chosen = sys.argv[2:] or list(PARTS)
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, many, chosen)))
