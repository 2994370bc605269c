"""Measures the memory that items take in Redis, compared with the same data without txthoonk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attr
from bench import Bench, Measured
from peers.programs import OURS, RAW, Failed, Program
from peers.running import put

__all__ = ["Memory"]

ITEMS = 100_000
MEGABYTE = 1e6
NAME = "bench"


@attr.frozen
class Memory:
    """Megabytes of a number of items of 100 bytes.

    The raw structures are copies of the two keys that any reader needs: the hash of the items, and
    the list or sorted set of their ids.

    :ivar verb: makes an item, or all.
    :ivar config: the configuration of the feed.
    """

    verb: str
    config: Mapping[str, Any] = attr.Factory(dict)

    def measures(self, program: Program) -> bool:
        """Return whether a program can do it; of the job queues only the fast ones."""
        if program.jobs is None:
            return program.name == RAW
        return program.name == OURS or (self._kind == "job" and program.jobs.share == 1)

    def prepare(self, bench: Bench) -> None:
        """Nothing."""

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure the growth of the used memory."""
        if program.name not in (OURS, RAW):
            bench.clear()
            before = in_use(bench)
            put(program, bench.url, "bulk", bench.scale.items(ITEMS), 0)
        else:
            bench.open(self._kind, self.config)
            before = in_use(bench)
            self._make(bench, bench.scale.items(ITEMS))
        if program.name == RAW:
            before = in_use(bench)
            for key in ("items", "ids"):
                if not bench.redis.call("COPY", f"feed.{key}:{NAME}", f"raw.{key}:{NAME}"):
                    raise Failed(f"failed: feed.{key} could not be copied")
        return {title: (in_use(bench) - before) / MEGABYTE}

    @property
    def _kind(self) -> str:
        return self.verb.partition(".")[0]

    def _make(self, bench: Bench, items: int) -> None:
        many = self.verb.endswith("_many")
        bench.ours.ask(**bench.order(self.verb, 1 if many else items, 100, spread=items))


def in_use(bench: Bench) -> int:
    """Return the used memory without that of connections."""
    info = bench.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"])
