"""The job feed: items are claimed, and gone only when finished (contract: Job)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from twisted.internet.defer import Deferred

from txthoonk._deferring import deferring
from txthoonk._keys import (
    FEEDS,
    check_id,
    feed_channel,
    feed_key,
    job_finish_channel,
    kept_result_key,
    new_id,
)
from txthoonk._line import Scripts
from txthoonk._maintenance import JobMaintenance
from txthoonk._redis import RAW, TEXT
from txthoonk._results import Results
from txthoonk._scripts import Script, load
from txthoonk._timeouts import check_seconds
from txthoonk._waiting import WaitingRoom
from txthoonk.errors import InvalidInput, shown
from txthoonk.types._base import to_text
from txthoonk.types._taken import TakenFeed

if TYPE_CHECKING:
    from txthoonk._publishing import Publishing

__all__ = ["NO_RESULT", "Claim", "Job"]

_PUT = load("job/put")
_GET = load("job/get")
_FINISH = load("job/finish")
_RESULT = load("job/result")
_CANCEL = load("job/cancel")
_STALL = load("job/stall")
_RETRY = load("job/retry")
_RETRACT = load("job/retract")
_RENEW = load("job/renew")
_STATS = load("job/stats")

WANTED = 10_000  # milliseconds that it may take to listen for a result

_COUNTS = ("available", "claimed", "stalled", "publishes", "finishes")


class _NoResult:
    def __repr__(self) -> str:
        return "NO_RESULT"


#: What a job is finished with that has no result.
NO_RESULT = _NoResult()


class Claim(NamedTuple):
    """A job that this process has claimed.

    :ivar id: the job's id.
    :ivar item: what was put.
    :ivar cancelled: how often the job was cancelled before.
    """

    id: str
    item: Any
    cancelled: int


class Job(TakenFeed):
    """A line of jobs.  A job is claimed by one worker, and stays until it is finished.

    With ``timeout`` (seconds) in its configuration, :meth:`maintenance` cancels claims
    that are older; with ``max_failures`` it stalls a job instead, once so many of its
    claims were cancelled.

    :ivar feed_published: key of the jobs with the time when they were put.
    :ivar feed_claimed: key of the claimed jobs with the time of the claim.
    :ivar feed_cancelled: key of how often jobs were cancelled.
    :ivar feed_stalled: key of the stalled jobs.
    :ivar feed_finishes: key of the counter of finishes.
    :ivar feed_results: key of the ids whose results are kept, and until when.
    :ivar channel_put: channel that tells of new jobs: id, item.
    :ivar channel_claim: channel that tells of claims.
    :ivar channel_cancel: channel that tells of cancelled claims.
    :ivar channel_stall: channel that tells of stalled jobs.
    :ivar channel_retry: channel that tells of stalled jobs that are available again.
    :ivar channel_finish: channel that tells of results: id, result.
    :ivar channel_finished: channel that tells of every finish.
    """

    NO_RESULT: ClassVar[object] = NO_RESULT
    _KINDS = ("put", "claim", "cancel", "stall", "retry", "finish", "finished")
    _KIND = "job"
    _RESTORE = "LPUSH"

    def __init__(self, pub: Publishing, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self.feed_published = feed_key("published", name)
        self.feed_cancelled = feed_key("cancelled", name)
        self.feed_finishes = feed_key("finishes", name)
        self.feed_results = feed_key("results", name)
        self.channel_put = feed_channel("publishes", name)
        self.channel_claim = feed_channel("claimed", name)
        self.channel_cancel = feed_channel("cancelled", name)
        self.channel_stall = feed_channel("stalled", name)
        self.channel_retry = feed_channel("retried", name)
        self.channel_finish = job_finish_channel(name)
        self.channel_finished = feed_channel("finishes", name)
        keys, words = self._keys, self._words
        self._put = _PUT.prefix(
            (*keys, self.feed_ids, self.feed_published), *words, self.channel_put
        )
        failures = (self.feed_claimed, self.feed_cancelled)
        self._finish = (*keys, *failures, self.feed_published, self.feed_finishes)
        self._cancel = _CANCEL.prefix(
            (*keys, self.feed_ids, *failures), *words, self.channel_cancel
        )
        self._stall = _STALL.prefix(
            (*keys, *failures, self.feed_stalled, self.feed_published), *words, self.channel_stall
        )
        self._retry = _RETRY.prefix(
            (*keys, self.feed_ids, self.feed_stalled, self.feed_published),
            *words,
            self.channel_retry,
        )
        self._retract = _RETRACT.prefix(
            (
                *keys,
                self.feed_ids,
                self.feed_published,
                *failures,
                self.feed_stalled,
                self.feed_transit,
                self.feed_delivering,
            ),
            *words,
        )
        self._renew = _RENEW.prefix((FEEDS, self.feed_claimed), name)
        self._stats = _STATS.prefix(
            (
                self.feed_ids,
                self.feed_claimed,
                self.feed_stalled,
                self.feed_publishes,
                self.feed_finishes,
            )
        )
        self._results = pub.waiting_room.results(name, self._make_results)

    def _make_results(self, room: WaitingRoom) -> Results:
        return Results(room, self.name, self._look)

    def _scripts(self) -> Scripts:
        keys = (
            *self._keys,
            self.feed_ids,
            self.feed_transit,
            self.feed_delivering,
            self.feed_claimed,
            self.feed_cancelled,
        )
        return Scripts(
            get=(_GET, _GET.prefix(keys, *self._words, self.channel_claim)),
            width=3,
            put_back=self._put_back(),
        )

    @deferring
    def put(
        self, item: Any, priority: int = TakenFeed.NORMAL, id_: str | None = None
    ) -> Deferred[str]:
        """Put a new job into the line.

        :param item: what the feed's serializer takes.
        :param priority: ``Job.NORMAL``: to the end, or ``Job.HIGH``: to the front.
        :param id_: text without NUL; None makes a random one.
        :return: fires the id; fails with
            :class:`~txthoonk.errors.JobExists` if the id is a job in whatever state,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = new_id() if id_ is None else check_id(id_)
        command = (*self._put, self._push(priority), id_, self._dumps(item))
        return self.pub.redis.call(_PUT, command, TEXT)

    publish = put

    def get(self, timeout: float = 0) -> Deferred[Claim]:
        """Claim the next job; wait for one if there is none.

        Gets are served in the order of their calls.  All that wait for this feed on
        this publisher share one connection, beside the publisher's own.

        :param timeout: seconds to wait, fractions allowed; 0: for ever.
        :return: fires a :class:`Claim`, that is (id, item, cancelled); fails with
            :class:`~txthoonk.errors.Empty` after *timeout*,
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read the item
            (the job is claimed then: stall or retract it),
            :class:`~txthoonk.errors.InvalidInput`, or
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancelling it claims nothing.
        """
        return self._get(timeout)

    def _receive(self, *parts: bytes) -> Claim:
        id_ = to_text(parts[0])
        return Claim(id_, self._load_bytes(parts[1], id_), int(parts[2]))

    @deferring
    def finish(
        self, id_: str, result: Any = NO_RESULT, timeout: float | None = None
    ) -> Deferred[None]:
        """Finish a claimed job: it is gone then.

        :param result: what the feed's serializer takes; it is published to those who
            listen or wait for it.
        :param timeout: seconds for which the result is kept, fractions allowed; None or
            0: it is not kept.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed`,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = check_id(id_)
        seconds = check_seconds(0 if timeout is None else timeout, "the time to keep a result")
        words = () if result is NO_RESULT else (self._dumps(result),)
        keys = (*self._finish, self.feed_results, kept_result_key(self.name, id_))
        prefix = _FINISH.prefix(keys, *self._words, self.channel_finish, self.channel_finished)
        command = (*prefix, id_, math.ceil(seconds * 1000), int(self._results.wanted(id_)), *words)
        finished = self.pub.redis.call(_FINISH, command, TEXT)
        return finished.addCallback(self._finished, id_, *words)

    def _finished(self, _: object, id_: str, *result: str | bytes) -> None:
        # Who waits on this publisher need not wait for the message.
        if result:
            self._results.finished(id_, result[0])
        self._results.gone(id_)

    @deferring
    def get_result(self, id_: str, timeout: float = 0) -> Deferred[tuple[Any, Any]]:
        """Read the result of a job, or wait until it is finished.

        Reading does not consume.  All who wait on this publisher share one connection.
        Nothing tells of a job that another publisher retracts, or that thoonk.py finishes
        without a result: that is waited for in vain.

        :param timeout: seconds to wait, fractions allowed; 0: for ever.
        :return: fires (item, result), the item None if an implementation of old did not
            keep it; fails with
            :class:`~txthoonk.errors.Empty` after *timeout*, or at once if the job ends
            without a result, or is gone and no result was kept; with
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read them, or
            with :class:`~txthoonk.errors.InvalidInput`.
        """
        id_ = check_id(id_)
        waiting = self._results.wait(id_, check_seconds(timeout, "a timeout"))
        return waiting.addCallback(self._load_result, id_)

    def _load_result(self, found: tuple[bytes | None, bytes], id_: str) -> tuple[Any, Any]:
        item, result = found
        return None if item is None else self._load_bytes(item, id_), self._load_bytes(result, id_)

    def _look(self, id_: str, noted: bytes) -> Deferred[list[bytes]]:
        keys = (self.feed_items, self.feed_results, kept_result_key(self.name, id_))
        return self.pub.redis.call(_RESULT, (*_RESULT.prefix(keys, id_), WANTED, noted), RAW)

    def cancel(self, id_: str) -> Deferred[None]:
        """Give a claimed job back: it goes to the end of the line, with one failure more.

        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._change(_CANCEL, self._cancel, id_)

    def stall(self, id_: str) -> Deferred[None]:
        """Take a claimed job out of the running; its failures are forgotten.

        :return: fires None; fails like :meth:`cancel`.
        """
        return self._change(_STALL, self._stall, id_)

    def retry(self, id_: str) -> Deferred[None]:
        """Put a stalled job back into the line, at its end.

        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotStalled` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._change(_RETRY, self._retry, id_)

    def renew(self, id_: str) -> Deferred[None]:
        """Restart the clock of a claim.

        :return: fires None; fails like :meth:`cancel`.
        """
        return self._change(_RENEW, self._renew, id_)

    @deferring
    def _change(self, script: Script, prefix: tuple[str | int, ...], id_: str) -> Deferred[None]:
        called = self.pub.redis.call(script, (*prefix, check_id(id_)), TEXT)
        return called.addCallback(lambda _: None)

    @deferring
    def retract(self, id_: str) -> Deferred[bool]:
        """Remove a job from wherever it is: O(n) for one in a line of n jobs.

        :return: fires True if it was there; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = check_id(id_)
        retracted = self.pub.redis.call(_RETRACT, (*self._retract, id_), TEXT)
        return retracted.addCallback(self._retracted, id_)

    def _retracted(self, removed: int, id_: str) -> bool:
        if removed:
            self._results.gone(id_)
        return bool(removed)

    @deferring
    def get_ids(self, state: str | None = None) -> Deferred[list[str]]:
        """Read the ids of the jobs: O(n) for n jobs.

        :param state: ``available`` (next to be claimed last), ``claimed`` (longest ago
            first), ``stalled``, or None for all.
        :return: fires a list of ids.
        """
        commands: dict[str | None, tuple[str | int, ...]] = {
            None: ("HKEYS", self.feed_items),
            "available": ("LRANGE", self.feed_ids, 0, -1),
            "claimed": ("ZRANGE", self.feed_claimed, 0, -1),
            "stalled": ("SMEMBERS", self.feed_stalled),
        }
        if state not in commands:
            raise InvalidInput(
                f"the state of a job is available, claimed or stalled: {shown(state)}"
            )
        return self.pub.redis.request(commands[state], TEXT)

    @deferring
    def get_failure_count(self, id_: str) -> Deferred[int]:
        """Read how often a job was cancelled (HGET).

        :return: fires an int, 0 for an unknown job.
        """
        command = ("HGET", self.feed_cancelled, check_id(id_))
        return self.pub.redis.request(command, TEXT).addCallback(lambda count: int(count or 0))

    def stats(self) -> Deferred[dict[str, int]]:
        """Count the jobs of one moment.

        :return: fires a dict: how many jobs are ``available``, ``claimed`` and
            ``stalled``, and how many ``publishes`` and ``finishes`` there ever were.
        """
        counted = self.pub.redis.call(_STATS, self._stats, TEXT)
        return counted.addCallback(lambda counts: dict(zip(_COUNTS, counts, strict=True)))

    def maintenance(self) -> Deferred[dict[str, int]]:
        """Do what :meth:`Queue.maintenance` does, and end claims that are too old.

        A claim older than ``timeout`` in the feed's configuration is cancelled; if that
        makes ``max_failures`` cancellations, the job is stalled instead.

        :return: fires the counts of a queue, and how many claims were ``cancelled`` and
            how many jobs ``stalled``; fails like that of a queue.
        """
        return Deferred.fromCoroutine(JobMaintenance(self, self._RESTORE).run())
