"""Reading job feeds, and changing what nobody works on."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring
from txthoonk._support._replies import parses, parsing
from txthoonk._values import JobFailure, Progress
from txthoonk.errors import InvalidInput, InvalidItem, shown
from txthoonk.job._keys import JobBase
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._slices import read_ids, scan
from txthoonk.wire._job_records import load_failure, load_progress
from txthoonk.wire._keys import check_id
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Publisher

__all__ = ["JobState"]

_IDS = load("job/ids")
_ITEM = load("job/item")
_EDIT = load("job/edit")
_DRAIN = load("job/drain")
_STATS = load("job/stats")

SLICE = 500  # jobs that are removed in one call


@parses
def _count(stored: str | None) -> int:
    """Read a counter, which others may have written; 0 for what is none."""
    return int(stored) if stored and re.fullmatch("[0-9]{1,15}", stored) else 0


_COUNTS = ("available", "claimed", "stalled", "publishes", "finishes")


class JobState(JobBase):
    """What is known of jobs; see :class:`txthoonk.types.Job`."""

    def __init__(self, pub: Publisher, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        both = (self.feed_items, self.feed_later)
        self._item = _ITEM.prefix(both)
        self._edit = _EDIT.prefix((*self._keys, self.feed_later), *self._words, self.channel_edit)
        self._drain = _DRAIN.prefix(
            (
                *(*self._keys, self.feed_ids, self.feed_published, self.feed_cancelled),
                *(self.feed_failures, self.feed_delayed, self.feed_later, self.feed_claimed),
            ),
            *self._words,
        )
        self._stats = _STATS.prefix(
            (
                self.feed_ids,
                self.feed_claimed,
                self.feed_stalled,
                self.feed_publishes,
                self.feed_finishes,
            )
        )

    @deferring
    def get_item(self, id_: str, with_revision: bool = False) -> Deferred[Any]:
        """Read the item of a job, also of a delayed one.

        See :meth:`txthoonk.types.Queue.get_item`.
        """
        if with_revision:
            return super().get_item(id_, with_revision)
        command = (*self._item, check_id(id_))
        return self.pub.redis.call(_ITEM, command, self._encoding).addCallback(self._load, id_)

    @deferring
    def has_id(self, id_: str) -> Deferred[bool]:
        """Tell whether there is a job of that id, in whatever state.

        :return: fires a bool.
        """
        command = (*self._item, check_id(id_))
        return self.pub.redis.call(_ITEM, command, TEXT).addCallback(lambda item: item is not None)

    @deferring
    def edit(self, id_: str, item: Any) -> Deferred[None]:
        """Give a job another item, in whatever state it is.

        Who has claimed it already works on the old one; it counts when it is claimed again.
        It is told on ``channel_edit``, unless the job is delayed.

        :param item: what the feed's serializer takes.
        :return: fires None; fails with
            :class:`~txthoonk.errors.ItemDoesNotExist`,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        command = (*self._edit, check_id(id_), self._dumps(item))
        return self.pub.redis.call(_EDIT, command, TEXT).addCallback(lambda _: None)

    @deferring
    def drain(self, delayed: bool = False) -> Deferred[int]:
        """Remove all jobs that are available: O(n), some hundred in each call.

        Those that are claimed or stalled stay, and those that are put meanwhile, unless
        others are claimed meanwhile.

        :param delayed: remove those that are delayed, too.
        :return: fires how many were removed; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancelling it removes no more.
        """
        return Deferred.fromCoroutine(
            self._drain_all(("line", "delayed") if delayed else ("line",))
        )

    async def _drain_all(self, places: tuple[str, ...]) -> int:
        total = 0
        for place in places:
            counted = await (self.length() if place == "line" else self._count_delayed())
            with parsing:
                left = int(counted)
            while True:
                looked, removed = await self._drain_some(place, max(0, min(SLICE, left)))
                total += len(removed)
                for id_ in removed:
                    self._removed(id_)
                left -= looked
                if not looked or left <= 0:
                    break
        return total

    def _drain_some(self, place: str, most: int) -> Deferred[tuple[int, list[str]]]:
        drained = self.pub.redis.call(_DRAIN, (*self._drain, place, most), TEXT)
        return drained.addCallback(_drained)

    def _removed(self, id_: str) -> None:
        """Learn that a job is gone."""
        raise NotImplementedError

    def _count_delayed(self) -> Deferred[int]:
        return self.pub.redis.request(("ZCARD", self.feed_delayed), TEXT)

    # -- what went wrong, and how far it is ---------------------------------------

    @deferring
    def get_failure(self, id_: str) -> Deferred[JobFailure | None]:
        """Read the last failure of a job, as long as there is the job.

        :return: fires a :class:`~txthoonk.types.JobFailure`, None if there is none.
        """
        id_ = check_id(id_)
        read = self.pub.redis.request(("HGET", self.feed_failures, id_), TEXT)
        return read.addCallback(_failure, id_)

    @deferring
    def get_failures(self) -> Deferred[list[JobFailure]]:
        """Read the last failures of all jobs that there are: O(n) for n of them, in slices.

        :return: fires a list of :class:`~txthoonk.types.JobFailure`, the latest first.
        """
        return Deferred.fromCoroutine(self._get_failures())

    async def _get_failures(self) -> list[JobFailure]:
        found: dict[str, JobFailure] = {}

        async def step(cursor: str, count: int) -> tuple[str, int]:
            command = ("HSCAN", self.feed_failures, cursor, "COUNT", count)
            reply = await self.pub.redis.request(command, TEXT)
            with parsing:
                cursor, flat = reply
                for id_, text in zip(flat[::2], flat[1::2], strict=True):
                    found[id_] = load_failure(id_, text)
                return cursor, sum(map(len, flat))

        await scan(step)
        return sorted(found.values(), key=lambda failure: failure.time, reverse=True)

    @deferring
    def get_progress(self, id_: str) -> Deferred[Progress | None]:
        """Read how far a claimed job is, as :meth:`Claim.progress` has told.

        :return: fires a :class:`~txthoonk.types.Progress`, None if nothing was told; fails
            with :class:`~txthoonk.errors.InvalidItem` if it cannot be read.
        """
        id_ = check_id(id_)
        read = self.pub.redis.request(("HGET", self.feed_progress, id_), TEXT)
        return read.addCallback(_progress, id_)

    @deferring
    def get_ids(self, state: str | None = None) -> Deferred[list[str]]:
        """Read the ids of the jobs: O(n) for n jobs, in slices.

        A job that is put, ends or changes its state meanwhile may be there or not; all others
        are, once.

        :param state: ``available`` (next to be claimed last), ``claimed`` (longest ago
            first), ``stalled``, ``delayed`` (next to be due first), or None for all.
        :return: fires a list of ids.
        """
        reads: dict[str | None, Callable[[], Deferred[list[str]]]] = {
            "available": self._ids_in_line,
            "claimed": lambda: self._ids_by_time(self.feed_claimed),
            "stalled": lambda: Deferred.fromCoroutine(self._stalled_ids()),
            "delayed": lambda: self._ids_by_time(self.feed_delayed),
            None: lambda: Deferred.fromCoroutine(self._all_ids()),
        }
        if state not in reads:
            raise InvalidInput(
                f"the state of a job is available, claimed, stalled or delayed: {shown(state)}"
            )
        return reads[state]()

    def _ids_by_time(self, key: str) -> Deferred[list[str]]:
        request = self.pub.redis.request
        return Deferred.fromCoroutine(
            read_ids(lambda first, last: request(("ZRANGE", key, first, last), TEXT))
        )

    async def _stalled_ids(self) -> list[str]:
        found: dict[str, None] = {}

        async def step(cursor: str, count: int) -> tuple[str, int]:
            command = ("SSCAN", self.feed_stalled, cursor, "COUNT", count)
            reply = await self.pub.redis.request(command, TEXT)
            with parsing:
                cursor, ids = reply
                found.update(dict.fromkeys(ids))
            return cursor, 0

        await scan(step)
        return list(found)

    async def _all_ids(self) -> list[str]:
        found: dict[str, None] = {}
        # A job may be delayed, or due, between the two.
        for key in (self.feed_items, self.feed_later, self.feed_items):
            await scan(partial(self._some_ids, _IDS.prefix((key,)), found))
        return list(found)

    async def _some_ids(
        self, prefix: tuple[str | int, ...], found: dict[str, None], cursor: str, count: int
    ) -> tuple[str, int]:
        command = (*prefix, cursor, count)
        reply = await self.pub.redis.call(_IDS, command, TEXT)
        with parsing:
            cursor, size, ids = reply
            found.update(dict.fromkeys(ids))
        return cursor, size

    @deferring
    def get_failure_count(self, id_: str) -> Deferred[int]:
        """Read how often a job was cancelled (HGET).

        :return: fires an int, 0 for an unknown job.
        """
        command = ("HGET", self.feed_cancelled, check_id(id_))
        return self.pub.redis.request(command, TEXT).addCallback(_count)

    @deferring
    def stats(self) -> Deferred[dict[str, int]]:
        """Count the jobs of one moment.

        :return: fires a dict: how many jobs are ``available``, ``claimed`` and
            ``stalled``, and how many ``publishes`` and ``finishes`` there ever were.
        """
        counted = self.pub.redis.call(_STATS, self._stats, TEXT)
        return counted.addCallback(_stats)


@parses
def _stats(counts: list[int]) -> dict[str, int]:
    return dict(zip(_COUNTS, counts, strict=True))


@parses
def _drained(reply: Any) -> tuple[int, list[str]]:
    looked, removed = reply
    return int(looked), list(removed)


@parses
def _failure(text: str | None, id_: str) -> JobFailure | None:
    return None if text is None else load_failure(id_, text)


@parses
def _progress(text: str | None, id_: str) -> Progress | None:
    found = None if text is None else load_progress(id_, text)
    if isinstance(found, InvalidItem):
        raise found
    return found
