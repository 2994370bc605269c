"""Measures every kind of work of txthoonk, its limits and, with ``--peers``, its peers.

Run ``python benchmarks/run.py`` (or ``make bench``, ``make bench-peers``).  All programs use
one private redis-server, through TCP on the loopback interface, and items of 100 bytes.  Each
program has one or more processes.  Every row is measured in rounds: in each round, the programs
run one after the other, so that a busy machine is busy for all of them.  Compare the ratios of the
medians.

The limits are

- *minimal*: the least that Twisted and hiredis can do for the same calls;
- *redis-benchmark*: Redis' own client in C, with one connection and the same calls;
- *raw structures*: the same lists, sets and hashes without txthoonk.

The peers are in ``peers/``, each with its settings: clients that send the same commands as
txthoonk, and job queues.  ``--peers`` installs each into its own environment.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import Bench, Scale
from jobs import Idle
from machine import machine, versions
from peers.programs import PROGRAMS, Failed, Program
from report import text, write
from results import Results
from rows import GROUPS, ROWS, Row
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txthoonk.testing import RedisServer

BEGIN = time.monotonic()
CALLS = 10_000
QUICK = Scale(calls=100, rounds=1, most=1000, idle=1.0)


def install(programs: list[Program], results: Results) -> list[Program]:
    """Install the programs to measure; return those that could be installed."""
    installed = []
    for program in programs:
        if program.packages:
            print(f"{program.name}: installing, if necessary", file=sys.stderr)
        with problems_of(program, "installing", results):
            program.install()
            installed.append(program)
    return installed


@contextlib.contextmanager
def problems_of(program: Program, what: str, results: Results) -> Iterator[None]:
    """Record the failure of a program."""
    try:
        yield
    except Failed as error:
        results.failed(program, what, error)


def measure(bench: Bench, row: Row, programs: list[Program], results: Results) -> None:
    """Measure one row, in rounds."""
    programs = [program for program in programs if row.work.measures(program)]
    print(f"{time.monotonic() - BEGIN:5.0f} s  {row.title}", file=sys.stderr)
    row.work.prepare(bench)
    for number in range(min(row.rounds or bench.scale.rounds, bench.scale.rounds)):
        bench.round = number
        if isinstance(row.work, Idle):
            found = row.work.measure_all(bench, programs, row.title)
            for program in programs:
                results.add(program, found.get(program.name, {}))
            continue
        for program in programs:
            with problems_of(program, row.title, results):
                try:
                    results.add(program, row.work.measure(bench, program, row.title))
                except Failed:
                    bench.forget(program)
                    raise


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let signals interrupt code that blocks the reactor; the figures so far are reported."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


async def run(reactor: Any, options: argparse.Namespace) -> None:
    results = Results()
    scale = (
        QUICK
        if options.quick
        else Scale(options.calls, options.rounds or (3 if options.peers else 5))
    )
    async with RedisServer(port=0, reactor=reactor) as server:
        with Bench(server.url, scale) as bench, interruptible():
            wanted = [p for p in options.only if options.peers or not p.packages]
            programs = install(wanted, results)
            results.about = [machine(bench), versions(programs)]
            print("\n".join(results.about), file=sys.stderr)
            for row in options.rows:
                if options.peers or not row.only_beside_peers:
                    measure(bench, row, programs, results)
    before = None if options.again is None else Results.read(options.again)
    print(text(results, before))
    if options.out:
        write(results, before, options.out)


def programs_of(text: str) -> list[Program]:
    known = {program.name: program for program in PROGRAMS}
    unknown = set(text.split(",")) - set(known)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: none of {', '.join(known)}")
    return [program for program in PROGRAMS if program.name in text.split(",")]


def show(rows: list[Row], peers: bool) -> None:
    """Print the group, title and programs of each row, and the titles of its figures."""
    for row in rows:
        if peers or not row.only_beside_peers:
            wanted = [p for p in PROGRAMS if row.work.measures(p) and (peers or not p.packages)]
            names = ", ".join(program.name for program in wanted)
            print(row.group, row.title, names, *row.lines, sep="\t")


def rows_of(text: str) -> list[Row]:
    wanted = text.split(",")
    unknown = set(wanted) - set(GROUPS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: none of {', '.join(GROUPS)}")
    return [row for row in ROWS if row.group in wanted]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, help="5, or 3 with peers")
    parser.add_argument("--calls", type=int, default=CALLS, help="with many in flight, a round")
    parser.add_argument("--rows", type=rows_of, default=ROWS, metavar="GROUP,...")
    parser.add_argument("--only", type=programs_of, default=PROGRAMS, metavar="PROGRAM,...")
    parser.add_argument(
        "--peers", action="store_true", help="also measure other clients and job queues"
    )
    parser.add_argument("--list", action="store_true", help="only list the rows")
    parser.add_argument("--quick", action="store_true", help="only check that everything works")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write tables and plots there")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FILE",
        help="the results.json of an earlier run, to compare with",
    )
    options = parser.parse_args(arguments)
    if options.list:
        show(options.rows, options.peers)
        return
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


if __name__ == "__main__":
    main(sys.argv[1:])
