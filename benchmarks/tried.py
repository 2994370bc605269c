"""Measures ideas that make txthoonk faster: each with and without the idea, in one run.

Run ``python benchmarks/tried.py [--rounds N] [--calls N] [--rst FILE]``.  Each idea is switched
on and off from outside, alternately, on one private redis-server.  There are three kinds of
figures: calls per second of one process; microseconds that a call costs the server, by its own
count; and microseconds of the client's processor for a step.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import timeit
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attr
import hiredis
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txthoonk import Thoonk, Worker
from txthoonk.protocol import _client
from txthoonk.protocol._client import RedisProtocol
from txthoonk.testing import RedisServer
from txthoonk.types import feed as feed_type
from txthoonk.worker.running._handlers import Handlers

ITEM = "x" * 100
PUBLISH = feed_type._PUBLISH
HALF = 50  # finishes
REPEAT = 20_000  # of a step of the client

Figure = Callable[["Bench"], Awaitable[float]]
Switch = Callable[[], AbstractContextManager[Any]]


@attr.define
class Bench:
    thoonk: Thoonk
    calls: int


@attr.frozen
class Idea:
    """An idea that may make txthoonk faster.

    :ivar figure: measures it.
    :ivar without, with_: switch it off and on.
    :ivar since: the version of Redis that it needs.
    """

    name: str
    unit: str
    figure: Figure
    other: Figure
    verdict: str
    without: Switch = nullcontext
    with_: Switch = nullcontext
    since: int = 6

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")


async def rate(bench: Bench, verb: str, width: int) -> float:
    """Calls per second, with a number of calls in flight."""
    thoonk = bench.thoonk
    await thoonk.redis.flush()
    feed, job = await thoonk.feed("feed"), await thoonk.job("job")
    calls = {
        "publish": lambda number: feed.publish(ITEM, str(number)),
        "put": lambda number: job.put(ITEM, id_=str(number)),
        "get_item": lambda number: feed.get_item("0"),
    }
    call, count = calls[verb], bench.calls if width > 1 else bench.calls // 5
    begin = timeit.default_timer()
    await in_flight(call, count, width)
    return count / (timeit.default_timer() - begin)


def in_flight(call: Callable[[int], Deferred[Any]], count: int, width: int) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    numbers, left = iter(range(count)), count

    def more() -> None:
        for number in numbers:
            call(number).addCallbacks(answered, done.errback)
            return

    def answered(_: Any) -> None:
        nonlocal left
        left -= 1
        if left:
            more()
        else:
            done.callback(None)

    for _ in range(width):
        more()
    return done


async def worked(bench: Bench) -> float:
    """No-op jobs per second of a worker with concurrency 100."""
    thoonk, count = bench.thoonk, bench.calls
    await thoonk.redis.flush()
    job = await thoonk.job("job", {"timeout": 60})
    await job.put_many(ITEM for _ in range(count))
    done: Deferred[None] = Deferred()
    left = iter(range(count - 1))

    def handle(_: Any) -> None:
        if next(left, None) is None:
            done.callback(None)

    worker = Worker(job, handle, 100, maintenance=False)
    begin = timeit.default_timer()
    worker.startService()
    await done
    seconds = timeit.default_timer() - begin
    await worker.stopService()
    return count / seconds


async def server_cost(bench: Bench, source: str, function: bool = False) -> float:
    """Microseconds that the server spends on one publish."""
    redis = bench.thoonk.redis
    await redis.flush()
    await bench.thoonk.feed("feed")
    words = feed_type.Feed(bench.thoonk, "feed")._publish[2:]
    if function:
        await redis.send("FUNCTION", "LOAD", "REPLACE", library(source))
        verb = ("FCALL", "publish")
    else:
        verb = ("EVALSHA", await redis.script_load(source))
    await redis.send("CONFIG", "RESETSTAT")
    await in_flight(
        lambda number: redis.send(*verb, *words, str(number), ITEM, ""), bench.calls, 100
    )
    stats = await redis.send("INFO", "commandstats")
    found = re.search(rf"cmdstat_{verb[0].lower()}:.*usec_per_call=([\d.]+)", stats)
    if found is None:
        raise SystemExit(f"no figure for {verb[0]}: {stats}")
    return float(found[1])


def library(source: str) -> str:
    """Make a function library of a script: its includes are compiled once, not in each call."""
    functions, body = source.split("local feeds,", 1)
    return (
        f"#!lua name=tried\n{functions}\n"
        f"redis.register_function('publish', function(KEYS, ARGV)\nlocal feeds,{body}\nend)"
    )


def without_config(source: str) -> str:
    """Replace a script's reading of the configuration by constants."""
    read = "redis.pcall('HMGET', config, 'type', 'history', ...)"
    if read not in source:
        raise SystemExit("the script no longer reads the configuration in the expected way")
    return source.replace(read, "{'feed', false, false}")


def server(make: Callable[[str], str] = str, function: bool = False) -> Figure:
    return lambda bench: server_cost(bench, make(PUBLISH.source), function)


def client(step: Callable[[], object], each: int = 1) -> Figure:
    """Microseconds of one step of the client."""

    async def figure(_: Bench) -> float:
        return timeit.timeit(step, number=REPEAT) / REPEAT / each * 1e6

    return figure


@contextmanager
def waiting_alone() -> Iterator[None]:
    """Make a lone call wait for the end of the turn."""
    push = RedisProtocol._push

    def unless_alone(self: Any) -> None:
        if len(self._pending) > 1:
            push(self)

    with patch.object(RedisProtocol, "_push", unless_alone):
        yield


@contextmanager
def halves() -> Iterator[None]:
    """Make a worker report finished jobs while it starts others."""
    start = Handlers._start

    def and_report(self: Any, consumer: Any, *arguments: Any) -> None:
        start(self, consumer, *arguments)
        if len(consumer._finished) >= HALF and consumer.free:
            self.schedule.fill()

    with patch.object(Handlers, "_start", and_report):
        yield


def packing() -> tuple[Figure, Figure]:
    words = ("EVALSHA", PUBLISH.sha, 7, *["feed.something:feed"] * 12, "id", ITEM, "")
    packed = hiredis.pack_command(words[:-3]).split(b"\r\n", 1)[1]

    def once() -> bytes:
        return b"*%d\r\n%b%b" % (len(words), packed, hiredis.pack_command(words[-3:])[4:])

    return client(lambda: hiredis.pack_command(words)), client(once)


class NoReactor:
    def addWriter(self, _: object) -> None: ...


def writing() -> tuple[Figure, Figure]:
    part = b"x" * 300

    def write(parts: list[bytes]) -> None:
        transport = FileDescriptor(NoReactor())
        transport.connected = 1
        for each in parts:
            transport.write(each)

    return (
        client(lambda: write([part] * 25), each=25),
        client(lambda: write([b"".join([part] * 25)]), each=25),
    )


def rated(verb: str, width: int) -> Figure:
    return lambda bench: rate(bench, verb, width)


def apart() -> AbstractContextManager[Any]:
    return patch.object(RedisProtocol, "_may_wait", lambda self: False)


def unpushed() -> AbstractContextManager[Any]:
    return patch.object(_client, "MOST_UNSENT", sys.maxsize)


KEPT = "kept"
OLD = "rejected: Redis 6.2 has no functions, and one way to load scripts is enough"
IDEAS = [
    *(
        Idea(
            f"calls of a turn travel together: {verb}, 100 in flight", "calls/s", f, f, KEPT, apart
        )
        for verb, f in ((verb, rated(verb, 100)) for verb in ("publish", "put"))
    ),
    *(
        Idea(f"Redis begins in mid-turn: {verb}, 100 in flight", "calls/s", f, f, KEPT, unpushed)
        for verb, f in ((verb, rated(verb, 100)) for verb in ("publish", "put", "get_item"))
    ),
    *(
        Idea(
            f"a lone call is written at once: {verb}, one at a time",
            "calls/s",
            *(rated(verb, 1),) * 2,
            KEPT,
            waiting_alone,
        )
        for verb in ("publish", "get_item")
    ),
    Idea(
        "a worker reports its finishes in halves, concurrency 100",
        "jobs/s",
        worked,
        worked,
        "rejected: no consistent gain, 0.8 to 1.1 in several runs",
        with_=halves,
    ),
    Idea(
        "FUNCTION in place of EVALSHA: publish",
        "µs of server",
        server(),
        server(str, True),
        OLD,
        since=7,
    ),
    Idea(
        "the configuration is not read: publish",
        "µs of server",
        server(),
        server(without_config),
        "rejected: a deleted or reconfigured feed must be noticed at once",
    ),
    Idea(
        "the words before the arguments are packed once",
        "µs of client",
        *packing(),
        "rejected: calls of a batch share them anyway",
    ),
    Idea(
        "25 writes are joined before the transport gets them",
        "µs of client",
        *writing(),
        "rejected: the transport joins them, too",
    ),
]


async def measure(reactor: Any, rounds: int, calls: int, rst: Path | None) -> None:
    async with RedisServer(reactor=reactor) as redis_server:
        thoonk = await Thoonk(redis_server.url, reactor).connect()
        version = int(str((await thoonk.redis.info())["redis_version"]).partition(".")[0])
        found: dict[Idea, tuple[list[float], list[float]]] = {
            idea: ([], []) for idea in IDEAS if idea.since <= version
        }
        bench = Bench(thoonk, calls)
        for _ in range(rounds):
            for idea, (before, after) in found.items():
                with idea.without():
                    before.append(await idea.figure(bench))
                with idea.with_():
                    after.append(await idea.other(bench))
                print(f"{idea.name}: {before[-1]:,.2f} {after[-1]:,.2f}", file=sys.stderr)
        await thoonk.close()
    report = table(found, rounds)
    print(report)
    if rst is not None:
        rst.write_text(report, "utf-8")


def table(found: dict[Idea, tuple[list[float], list[float]]], rounds: int) -> str:
    """Write a table as reST."""
    lines = [
        f".. list-table:: Ideas, and how many times better each is, by medians of {rounds} rounds",
        "   :header-rows: 1",
        "   :widths: 40 14 14 10 30",
        "",
        *row("idea", "without", "with it", "better", "verdict"),
    ]
    for idea, figures in found.items():
        before, after = map(statistics.median, figures)
        better = after / before if idea.more_is_better else before / after
        shown = (
            f"{one:,.0f} {idea.unit}" if one >= 100 else f"{one:.2f} {idea.unit}"
            for one in (before, after)
        )
        lines += row(idea.name, *shown, f"{better:.2f}", idea.verdict)
    return "\n".join(lines) + "\n"


def row(first: str, *rest: str) -> list[str]:
    return [f"   * - {first}", *(f"     - {cell}" for cell in rest)]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rst", type=Path, metavar="FILE", help="also write the table there")
    options = parser.parse_args(arguments)
    react(
        lambda reactor: Deferred.fromCoroutine(
            measure(reactor, options.rounds, options.calls, options.rst)
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
