"""Changing jobs without a claim on them: retry, retract and drain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._replies import parses, parsing
from txthoonk.job.claims._claiming import none
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._keys import feed_key
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["SLICE", "Changes"]

_RETRY = load("job/retry")
_RETRACT = load("job/retract")
_DRAIN = load("job/drain")

SLICE = 500  # jobs that are removed in one call


class Changes:
    """Changes to the jobs of one feed.  :class:`txthoonk.types.Job` documents the verbs.

    :param removed: called with the id of each job that was removed.
    """

    def __init__(self, pub: Publisher, name: str, removed: Callable[[str], object]) -> None:
        self._pub = pub
        self._removed = removed
        self._retry = _RETRY.bind(name)
        self._retract = _RETRACT.bind(name)
        self._drain = _DRAIN.bind(name)
        self._counts = {
            "line": ("LLEN", feed_key("ids", name)),
            "delayed": ("ZCARD", feed_key("delayed", name)),
        }

    def retry(self, id_: str) -> Deferred[None]:
        """Put a stalled job back into the line."""
        return self._pub.redis.call(_RETRY, (*self._retry, id_), TEXT).addCallback(none)

    def retract(self, id_: str) -> Deferred[bool]:
        """Remove a job in any state."""
        retracted = self._pub.redis.call(_RETRACT, (*self._retract, id_), TEXT)
        return retracted.addCallback(self._retracted, id_)

    def _retracted(self, removed: int, id_: str) -> bool:
        if removed:
            self._removed(id_)
        return bool(removed)

    async def drain(self, delayed: bool) -> int:
        """Remove all available jobs, and delayed ones too if that is given."""
        total = 0
        for place in ("line", "delayed") if delayed else ("line",):
            total += await self._drain_place(place)
        return total

    async def _drain_place(self, place: str) -> int:
        counted = await self._pub.redis.request(self._counts[place], TEXT)
        with parsing:
            left = int(counted)
        total = 0
        while True:
            looked, removed = await self._drain_some(place, max(0, min(SLICE, left)))
            total += len(removed)
            for id_ in removed:
                self._removed(id_)
            left -= looked
            if not looked or left <= 0:
                return total

    def _drain_some(self, place: str, most: int) -> Deferred[tuple[int, list[str]]]:
        drained = self._pub.redis.call(_DRAIN, (*self._drain, place, most), TEXT)
        return drained.addCallback(_drained)


@parses
def _drained(reply: Any) -> tuple[int, list[str]]:
    looked, removed = reply
    return int(looked), list(removed)
