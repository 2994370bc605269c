"""Reading the state of jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._replies import parses, parsing
from txthoonk._values import JobFailure, Progress
from txthoonk.errors import InvalidInput, InvalidItem, shown
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import read_ids, read_set, scan
from txthoonk.wire._job_records import load_failure, load_progress
from txthoonk.wire._keys import feed_key
from txthoonk.wire._scripts import Command, load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["ITEM", "Inspection"]

_IDS = load("job/ids")
ITEM = load("job/item")
_STATS = load("job/stats")

_COUNTS = ("available", "claimed", "stalled", "delayed", "publishes", "finishes")


class Inspection:
    """Reads the jobs of one feed.  :class:`txthoonk.types.Job` documents the verbs."""

    def __init__(self, pub: Publisher, name: str) -> None:
        self._pub = pub
        self._item = (*ITEM.bind(name), "")
        self._stats = _STATS.bind(name)
        self._all = [_IDS.bind(name, part=part) for part in ("items", "later", "items")]
        self._line = feed_key("ids", name)
        self._claimed = feed_key("claimed", name)
        self._stalled = feed_key("stalled", name)
        self._delayed = feed_key("delayed", name)
        self._cancelled = feed_key("cancelled", name)
        self._failures = feed_key("failures", name)
        self._progress = feed_key("progress", name)

    def has_item(self, id_: str) -> Deferred[bool]:
        """Return whether there is a job with that id in any state."""
        read = self._pub.redis.call(ITEM, (*self._item, id_), TEXT)
        return read.addCallback(lambda item: item is not None)

    # -- failures and progress ----------------------------------------------------

    def failure(self, id_: str) -> Deferred[JobFailure | None]:
        """Read the last failure of a job."""
        read = self._pub.redis.request(("HGET", self._failures, id_), TEXT)
        return read.addCallback(_failure, id_)

    async def all_failures(self) -> list[JobFailure]:
        """Read the last failures of all jobs."""
        found: dict[str, JobFailure] = {}

        async def step(cursor: str, count: int) -> tuple[str, int]:
            command = ("HSCAN", self._failures, cursor, "COUNT", count)
            reply = await self._pub.redis.request(command, TEXT)
            with parsing:
                cursor, flat = reply
                for id_, text in zip(flat[::2], flat[1::2], strict=True):
                    found[id_] = load_failure(id_, text)
                return cursor, sum(map(len, flat))

        await scan(step)
        return sorted(found.values(), key=lambda failure: failure.time, reverse=True)

    def failure_count(self, id_: str) -> Deferred[int]:
        """Read how often a job was cancelled."""
        return self._pub.redis.request(("HGET", self._cancelled, id_), TEXT).addCallback(_count)

    def progress(self, id_: str) -> Deferred[Progress | None]:
        """Read the progress of a job."""
        read = self._pub.redis.request(("HGET", self._progress, id_), TEXT)
        return read.addCallback(_progress, id_)

    # -- ids and counts -----------------------------------------------------------

    def ids(self, state: str | None) -> Deferred[list[str]]:
        """Read the ids of the jobs in one state, or in any."""
        reads: dict[str | None, Callable[[], Deferred[list[str]]]] = {
            "available": lambda: self._ids_in_range("LRANGE", self._line),
            "claimed": lambda: self._ids_in_range("ZRANGE", self._claimed),
            "stalled": lambda: AwaitableDeferred.fromCoroutine(
                read_set(self._pub.redis, self._stalled)
            ),
            "delayed": lambda: self._ids_in_range("ZRANGE", self._delayed),
            None: lambda: AwaitableDeferred.fromCoroutine(self._all_ids()),
        }
        if not isinstance(state, (str, type(None))) or state not in reads:
            raise InvalidInput(
                f"the state of a job is available, claimed, stalled or delayed: {shown(state)}"
            )
        return reads[state]()

    def _ids_in_range(self, command: str, key: str) -> Deferred[list[str]]:
        request = self._pub.redis.request
        return AwaitableDeferred.fromCoroutine(
            read_ids(lambda first, last: request((command, key, first, last), TEXT))
        )

    async def _all_ids(self) -> list[str]:
        found: dict[str, None] = {}
        # The items come twice: a delayed job may become due between the first two scans.
        for begun in self._all:
            await scan(partial(self._some_ids, begun, found))
        return list(found)

    async def _some_ids(
        self, begun: Command, found: dict[str, None], cursor: str, count: int
    ) -> tuple[str, int]:
        reply = await self._pub.redis.call(_IDS, (*begun, cursor, count), TEXT)
        with parsing:
            cursor, size, ids = reply
            found.update(dict.fromkeys(ids))
        return cursor, size

    def stats(self) -> Deferred[dict[str, int]]:
        """Count the jobs."""
        return self._pub.redis.call(_STATS, self._stats, TEXT).addCallback(_stats)


@parses
def _count(stored: str | None) -> int:
    """Read a counter; 0 if another program has stored something that is not a number."""
    return int(stored) if stored and re.fullmatch("[0-9]{1,15}", stored) else 0


@parses
def _stats(counts: list[int]) -> dict[str, int]:
    return dict(zip(_COUNTS, counts, strict=True))


@parses
def _failure(text: str | None, id_: str) -> JobFailure | None:
    return None if text is None else load_failure(id_, text)


@parses
def _progress(text: str | None, id_: str) -> Progress | None:
    found = None if text is None else load_progress(id_, text)
    if isinstance(found, InvalidItem):
        raise found
    return found
