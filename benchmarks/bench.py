"""The server, the programs that are measured on it, and the amount of work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attr
from filling import fill
from peers.programs import OURS, PROGRAMS, Program
from peers.running import Client, Redis, jobs_of
from wire import Wire

__all__ = ["Bench", "Measured", "Scale"]

WARM_UP = 5  # measured jobs for each warm-up job
LEAST = 20  # calls that are measured at the least

#: The figures of one measurement, by the title of their line.
Measured = dict[str, float]


@attr.frozen
class Scale:
    """The amount of work.

    :ivar calls: the calls in a measurement of the fastest programs, with many in flight.
    :ivar rounds: the most rounds.
    :ivar most: the most items of a feed.
    :ivar idle: the seconds for which idle workers are observed.
    """

    calls: int
    rounds: int
    most: int = 1_000_000
    idle: float = 60.0

    def count(self, share: float) -> int:
        """Return the number of calls in a share of them."""
        return max(int(self.calls * share), min(LEAST, self.calls))

    def items(self, wanted: int) -> int:
        """Return the number of items to put, which is limited by ``most``."""
        return min(wanted, self.most)


def keep(processes: Iterable[int], cores: Iterable[int]) -> None:
    """Restrict processes, with all their threads, to some cores."""
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended
            for thread in Path("/proc", str(process), "task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


class Bench(contextlib.ExitStack):
    """One server and the programs that use it; ends the programs that it has started.

    :ivar redis: a connection for calls that are not measured.
    :ivar address: the address of the server.
    """

    def __init__(self, url: str, scale: Scale) -> None:
        super().__init__()
        where = urlsplit(url)
        self.url = url
        self.scale = scale
        self.address = (str(where.hostname), int(where.port or 0))
        self.redis = Redis(self.address)
        self.callback(self.redis.close)
        # The server must not disconnect slow listeners.
        self.redis.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
        #: The number of the round, from 0.
        self.round = 0
        self._kept: tuple[str, dict[str, Any], int] | None = None
        self._clients: dict[tuple[str, int], Client] = {}
        self._steps: dict[str, list[list[str]]] = {}

    def client(self, program: Program, number: int = 0) -> Client:
        """Give a running client of a program, the first or one beside it."""
        key = program.name, number
        if key not in self._clients:
            self._clients[key] = self.enter_context(Client(program, self.url))
            self._clients[key].ask(do="hello")
        return self._clients[key]

    def forget(self, program: Program) -> None:
        """End the clients of a program, which has failed: the next call starts it anew."""
        for key in [key for key in self._clients if key[0] == program.name]:
            self._clients.pop(key).__exit__()

    @property
    def ours(self) -> Client:
        return self.client(next(program for program in PROGRAMS if program.name == OURS))

    def open(self, kind: str, config: Mapping[str, Any] | None = None, filled: int = 0) -> None:
        """Empty the server, and make one feed.

        :param filled: the number of its items.
        """
        self.clear()
        self.ours.ask(do="open", type=kind, config=dict(config or {}))
        fill(self.redis, kind, filled)

    def keep(self, kind: str, config: Mapping[str, Any], filled: int) -> None:
        """Make a feed that several measurements share if they hardly change it: see open()."""
        wanted = kind, dict(config), filled
        if self._kept != wanted:
            self.open(*wanted)
            self._kept = wanted

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Meanwhile, restrict the server to one core and the programs to the others.

        If calls wait for their answers, chance would decide otherwise: a program on the core that
        the server has just left is several times faster than one that must be woken on another.
        """
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(cores) < 2:
            yield
            return
        server = int(self.info("server")["process_id"])
        try:
            keep([server], cores[:1])
            keep(self._programs(), cores[1:])  # those that are started meanwhile inherit it
            yield
        finally:
            keep([server, *self._programs()], cores)

    def _programs(self) -> list[int]:
        return [os.getpid(), *(client.pid for client in self._clients.values())]

    def clear(self) -> None:
        """Empty the server."""
        self.redis.call("FLUSHALL")
        self._kept = None

    def info(self, section: str) -> dict[str, str]:
        """Give a section of INFO."""
        lines = self.redis.call("INFO", section).split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def steps(self, verb: str) -> list[list[str]]:
        """Return the commands that txthoonk sends for a verb."""
        if verb not in self._steps:
            self._learn(verb)
        return self._steps[verb]

    def order(self, verb: str, count: int, width: int = 1, spread: int = 1) -> dict[str, Any]:
        """Make an order to call a verb a number of times, with ids that no other round has."""
        order = {"do": "calls", "verb": verb, "batch": False, "first": self.round * count}
        return order | {"count": count, "width": width, "spread": spread}

    def _learn(self, verb: str) -> None:
        kind = verb.partition(".")[0]
        self.open(kind, filled=LEAST if kind.endswith("feed") else 0)
        if verb == "job.get_finish":
            self.open(kind)
            self.ours.ask(**self.order("job.put", 1))
        self._steps[verb] = Wire(self.address, self.redis, self.ours).steps(verb)

    def counts(self, program: Program, share: float = 1.0) -> tuple[int, int]:
        """Give how many jobs are measured, and how many are put before to warm up."""
        count = max(self.scale.count(share * jobs_of(program).share), WARM_UP)
        return count, count // WARM_UP
