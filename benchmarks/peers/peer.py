"""Shared by the peers in Python: the command line, putting jobs and counting them.

``peers/<name>_peer.py --url URL put --mode MODE --count N --warm-up W`` puts W jobs, and
then N more; it prints ``done SECONDS`` for the N.  MODE is

- ``single``: one at a time, each answered before the next is put,
- ``flight``: 100 without an answer at any time,
- ``bulk``: with the program's call for many jobs,
- ``paced``: one at a time with pauses of 20 to 50 ms.

``... work --concurrency C --count N --warm-up W`` runs a worker until it is killed.  It
prints ``ready`` when the first job starts, and ``done BEGIN DELAYS`` when W + N have started:
the time at which job W started, and a JSON list of the delays from put to start of the N jobs
(empty without ``--delays``).

Times are seconds of CLOCK_MONOTONIC, one clock for all processes of a machine.  A payload
has 100 bytes and begins with the time of its put.  The programs in Node have the same
command line: see ``peer.mjs``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

MODES = ("single", "flight", "bulk", "paced")
WIDTH = 100  # jobs in flight
CHUNK = 1000  # jobs in one call for many
PAUSE = (0.02, 0.05)  # seconds, from and to
TIME_DIGITS = 20
FILL = "x" * (100 - TIME_DIGITS)

clock = time.monotonic


def payloads(count: int) -> Iterator[str]:
    for _ in range(count):
        yield f"{clock():0{TIME_DIGITS}.6f}{FILL}"


def say(line: str) -> None:
    """Print a line as a whole, even if other threads print, too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Counter:
    """Counts the jobs that have started, and prints when it has seen all."""

    def __init__(self, count: int, warm_up: int, delays: bool, results: bool) -> None:
        self._numbers = itertools.count(1)  # safe in threads
        self._warm_up, self._last = warm_up, warm_up + count
        self._delays: list[float] | None = [] if delays else None
        self._results = results
        self._begin = 0.0

    def __call__(self, payload: str) -> str | None:
        number = next(self._numbers)
        if self._delays is not None and number > self._warm_up:
            self._delays.append(clock() - float(payload[:TIME_DIGITS]))
        if number == 1:
            say("ready")
        if number == self._warm_up:
            self._begin = clock()
        if number == self._last:
            say(f"done {self._begin} {json.dumps(self._delays or [])}")
        return payload if self._results else None


_counter: Callable[[str], str | None]


def no_op(payload: str) -> str | None:
    """The job, which is only counted; with ``--results`` its payload is its result."""
    return _counter(payload)


async def async_no_op(payload: str) -> None:
    """The job of programs that take a coroutine."""
    _counter(payload)


def chunks(every: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(itertools.islice(every, CHUNK)):
        yield chunk


class Producer(Protocol):
    """Puts jobs; the methods of an asynchronous one are coroutines.

    ``put_many`` is missing if a program has no call for many jobs.
    """

    def put(self, payload: str) -> Any: ...

    def put_many(self, payloads: Iterator[str]) -> Any: ...


class Threads:
    """Puts by blocking calls, in flight in a few threads: more are slower."""

    def __init__(self, producer: Producer, threads: int = 2) -> None:
        self._producer = producer
        self._threads = threads

    def run(self, options: argparse.Namespace) -> None:
        """Do what ``put`` asks for."""
        mode = getattr(self, options.mode)
        mode(options.warm_up)
        begin = clock()
        mode(options.count)
        say(f"done {clock() - begin}")

    def single(self, count: int) -> None:
        for payload in payloads(count):
            self._producer.put(payload)

    def flight(self, count: int) -> None:
        from concurrent.futures import ThreadPoolExecutor  # not in the memory of workers

        shares = [count // self._threads] * self._threads
        shares[0] += count % self._threads
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(self.single, shares))

    def bulk(self, count: int) -> None:
        self._producer.put_many(payloads(count))

    def paced(self, count: int) -> None:
        for _ in range(count):
            time.sleep(random.uniform(*PAUSE))
            self.single(1)


class Tasks:
    """Puts by coroutines.

    :param gather: waits for coroutines that it runs at the same time.
    :param sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        producer: Producer,
        gather: Callable[..., Awaitable[Any]],
        sleep: Callable[[float], Awaitable[Any]],
    ) -> None:
        self._producer = producer
        self._gather = gather
        self._sleep = sleep

    async def run(self, options: argparse.Namespace) -> None:
        """Do what ``put`` asks for."""
        mode = getattr(self, options.mode)
        await mode(options.warm_up)
        begin = clock()
        await mode(options.count)
        say(f"done {clock() - begin}")

    async def single(self, count: int) -> None:
        await self._put_all(payloads(count))

    async def flight(self, count: int) -> None:
        every = payloads(count)
        await self._gather(*(self._put_all(every) for _ in range(WIDTH)))

    async def _put_all(self, every: Iterable[str]) -> None:
        for payload in every:
            await self._producer.put(payload)

    async def bulk(self, count: int) -> None:
        await self._producer.put_many(payloads(count))

    async def paced(self, count: int) -> None:
        for _ in range(count):
            await self._sleep(random.uniform(*PAUSE))
            await self._put_all(payloads(1))


def main(put: Callable[[str, argparse.Namespace], None], work: Callable[[str, int], None]) -> None:
    """Run the command line.

    :param put: ``put(url, options)`` puts jobs.
    :param work: ``work(url, concurrency)`` runs a worker forever.
    """
    global _counter
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("verb", choices=("put", "work"))
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--delays", action="store_true")
    parser.add_argument("--results", action="store_true")
    options = parser.parse_args()
    _counter = Counter(options.count, options.warm_up, options.delays, options.results)
    if options.verb == "put":
        put(options.url, options)
    else:
        work(options.url, options.concurrency)
