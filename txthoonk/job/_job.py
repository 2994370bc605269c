"""The job feed: items are claimed, and gone only when finished (contract: Job)."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._support._deferreds import deferring, passing
from txthoonk._support._replies import parses, parsing
from txthoonk._support._threads import check_thread
from txthoonk.consumers._get_queue import Scripts
from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.job._claim import NO_RESULT, Claim
from txthoonk.job._recoverer import JobPass
from txthoonk.job._results import JobResults
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._base import to_text
from txthoonk.types._bulk import Progressed, put_many, with_ids
from txthoonk.wire._checks import check_seconds, check_time
from txthoonk.wire._job_records import dump_failure, dump_progress
from txthoonk.wire._keys import FEEDS, check_id, new_id
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Publisher

__all__ = ["NO_RESULT", "Claim", "Job"]

_PUT = load("job/put")
_PUT_LATER = load("job/put_later")
_GET = load("job/get")
_CANCEL = load("job/cancel")
_STALL = load("job/stall")
_FAIL = load("job/fail")
_RETRY = load("job/retry")
_RETRACT = load("job/retract")
_RENEW = load("job/renew")
_PROGRESS = load("job/progress")


class Job(JobResults):
    """A line of jobs.  A job is claimed by one worker, and stays until it is finished.

    With ``timeout`` (seconds) in its configuration, claims that are older are cancelled by
    whoever waits for jobs, and by :meth:`maintenance`, half of that time later (at most 30
    seconds) if they are not renewed then; with ``max_failures`` a job is stalled instead, once
    so many of its claims were cancelled.

    ``keep_results_for`` (seconds) and ``keep_results`` (how many) say which results are kept
    where :meth:`finish` does not; ``keep_stalled_for`` and ``keep_stalled`` which stalled jobs
    maintenance keeps: without them, all.

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
    :ivar channel_retry: channel that tells of jobs that are available again.
    :ivar channel_finish: channel that tells of results: id, result.
    :ivar channel_finished: channel that tells of every finish.
    :ivar channel_edit: channel that tells of jobs that were given another item: id, item.
    :ivar channel_progress: channel that tells how far jobs are: id, JSON.
    """

    def __init__(self, pub: Publisher, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self._prepare_puts()
        self._prepare_ends()
        claims = (self.feed_claimed, self.feed_claims)
        self._renew = _RENEW.prefix((FEEDS, *claims), name)
        self._progress = _PROGRESS.prefix(
            (*self._keys, *claims, self.feed_progress), *self._words, self.channel_progress
        )

    def _prepare_puts(self) -> None:
        keys = (*self._keys, self.feed_ids, self.feed_published, self.feed_delayed)
        to_put = _PUT.prefix(keys, *self._words, self.channel_put)
        self._put = {push: (*to_put, push, "0") for push in self._PUSHES}
        self._put_all = {push: (*to_put, push, "1") for push in self._PUSHES}
        self._put_later = _PUT_LATER.prefix(
            (*self._keys[:2], self.feed_items, self.feed_delayed, self.feed_later),
            self.name,
            self.channel_delayed,
        )

    def _prepare_ends(self) -> None:
        """Begin the calls that take a job out of where it is."""
        keys, words = self._keys, self._words
        ids, published, delayed = self.feed_ids, self.feed_published, self.feed_delayed
        failures = (self.feed_claimed, self.feed_cancelled)
        claims = (self.feed_claims, self.feed_progress)
        self._cancel = _CANCEL.prefix(
            (*keys, ids, *failures, *claims), *words, self.channel_cancel
        )
        self._stall = _STALL.prefix(
            (
                *(*keys, *failures, self.feed_stalled, published),
                *(*claims, self.feed_failures, self.feed_failed),
            ),
            *words,
            self.channel_stall,
        )
        self._fail = _FAIL.prefix(
            (
                *(*keys, ids, published, *failures, self.feed_stalled, self.feed_claims),
                *(self.feed_failures, self.feed_progress, delayed, self.feed_later),
                self.feed_failed,
            ),
            *(*words, self.channel_cancel, self.channel_stall, self.channel_delayed),
        )
        self._retry = _RETRY.prefix(
            (*keys, ids, self.feed_stalled, published, self.feed_failed),
            *words,
            self.channel_retry,
        )
        self._retract = _RETRACT.prefix(
            (
                *(*keys, ids, published, *failures, self.feed_stalled, self.feed_transit),
                *(self.feed_delivering, self.feed_claims, self.feed_failures),
                *(self.feed_progress, delayed, self.feed_later, self.feed_failed),
            ),
            *words,
        )

    def _scripts(self) -> Scripts:
        keys = (
            *self._keys,
            self.feed_ids,
            self.feed_transit,
            self.feed_delivering,
            self.feed_claimed,
            self.feed_cancelled,
            self.feed_claims,
        )
        words = (*self._words, self.channel_claim, self._claims.owner)
        return Scripts(
            get=(_GET, _GET.prefix(keys, *words)),
            width=3,
            put_back=self._put_back(),
            claims=self._claims,
            timekeeper=self._timekeeper,
        )

    # -- putting ------------------------------------------------------------------

    @passing
    def put(
        self,
        item: Any,
        priority: int = JobResults.NORMAL,
        id_: str | None = None,
        *,
        delay: float | None = None,
        at: float | datetime | None = None,
    ) -> Deferred[str]:
        """Put a new job into the line.

        With *delay* or *at* it comes there when it is due by the server's clock, not before,
        and as a rule within some milliseconds after: whoever waits for jobs sees to that, and
        :class:`~txthoonk.Maintenance`.  Other implementations see it only then.

        :param item: what the feed's serializer takes.
        :param priority: ``Job.NORMAL``: to the end, or ``Job.HIGH``: to the front.
        :param id_: text without NUL, not empty; None makes a random one.
        :param delay: seconds from now until it is due, fractions allowed.
        :param at: when it is due: seconds since 1970, or a ``datetime`` that knows its zone.
        :return: fires the id; fails with
            :class:`~txthoonk.errors.JobExists` if the id is a job in whatever state,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = new_id() if id_ is None else _check_new_id(id_)
        push, stored = self._push(priority), self._dumps(item)
        if delay is None and at is None:
            return self.pub.redis.call_together(_PUT, self._put[push], (id_, stored))
        due = check_time(delay, at)
        command = (*self._put_later, push, id_, stored, *due)
        called = self.pub.redis.call(_PUT_LATER, command, TEXT)
        return called.addCallback(self._is_later, id_)

    publish = put

    def _is_later(self, milliseconds: str, id_: str) -> Any:
        with parsing:
            is_early = int(milliseconds) > 0
        if is_early:
            return id_
        # It is put, whatever comes of this: whoever keeps the time looks again.
        return self._look_due().addErrback(lambda _: None).addCallback(lambda _: id_)

    @passing
    def put_many(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        priority: int = JobResults.NORMAL,
        *,
        ids: Iterable[str] | None = None,
        progress: Progressed | None = None,
    ) -> Deferred[list[str]]:
        """Put many new jobs, some hundred in each call, in their order.

        However many there are, a few calls are under way at a time, and *items* is read as
        they are answered.  Each call is done as a whole or not at all; if one fails, those
        before it are done, and up to three behind it may be.

        :param items: an iterable, also an asynchronous one, of what the feed's serializer
            takes.
        :param priority: as :meth:`put` takes it; the first of the items is taken first.  If
            they go to the front, all are read before the first is put.
        :param ids: an id for each item; None makes random ones.
        :param progress: is called with how many are put so far, after each call.
        :return: fires the list of their ids; fails like :meth:`put`.  Cancelling it puts no
            more.
        """
        check_thread()
        send = self._putter(self._push(priority))
        if ids is None:
            putting = put_many(items, self._new_pair, send, progress, bool(priority))
        else:
            both = with_ids(items, ids)
            putting = put_many(both, self._given_pair, send, progress, bool(priority))
        return Deferred.fromCoroutine(putting)

    def _given_pair(self, both: tuple[Any, str]) -> tuple[str, str | bytes]:
        return _check_new_id(both[1]), self._dumps(both[0])

    def _putter(self, push: str) -> Callable[[list[str | bytes]], Deferred[list[str]]]:
        call, command = self.pub.redis.call, self._put_all[push]
        return lambda words: call(_PUT, (*command, *words), TEXT)

    # -- claiming -----------------------------------------------------------------

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
            :class:`~txthoonk.errors.FeedDoesNotExist`; one that waits already goes on when
            the feed is deleted, which may be made again.  Cancelling it claims nothing.
        """
        return self._get(timeout)

    def _receive(self, time: bytes, *parts: bytes) -> Claim:
        with parsing:
            id_, item, cancelled = parts
            number = int(cancelled)
        return self._claimed(to_text(id_), item, number, to_text(time))

    def _claimed(self, id_: str, item: bytes, cancelled: int, time: str) -> Claim:
        token = self._claims.made(id_, time)
        claim = Claim(id_, self._load_bytes(item, id_), cancelled)
        claim.token = token
        claim.job = self
        return claim

    # -- giving back ----------------------------------------------------------------

    @deferring
    def cancel(self, id_: str | Claim) -> Deferred[None]:
        """Give a claimed job back: it goes to the end of the line, with one failure more.

        :param id_: as :meth:`finish` takes it.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._end(_CANCEL, self._cancel, *self._held(id_)).addCallback(_none)

    @deferring
    def stall(self, id_: str | Claim, reason: str | None = None) -> Deferred[None]:
        """Take a claimed job out of the running; its failures are forgotten.

        :param id_: as :meth:`finish` takes it.
        :param reason: why, for :meth:`get_failure`; None: what is recorded stays.
        :return: fires None; fails like :meth:`cancel`.
        """
        if reason is not None and not isinstance(reason, str):
            raise InvalidType(f"a reason must be a str: {shown(reason)}")
        why = "" if reason is None else dump_failure(reason)
        return self._end_stalled(*self._held(id_), why)

    def _end_stalled(self, id_: str, token: str, why: str) -> Deferred[None]:
        return self._end(_STALL, self._stall, id_, token, why).addCallback(_none)

    @deferring
    def fail(
        self, id_: str | Claim, error: BaseException | Failure, delay: float = 0
    ) -> Deferred[str]:
        """Give a claimed job back because it failed, and record why.

        :param id_: as :meth:`finish` takes it.
        :param error: what :meth:`get_failure` shall tell.
        :param delay: seconds until it is available again, at the end of the line.
        :return: fires what it is now: ``available``, ``delayed``, or ``stalled``, if it has
            failed ``max_failures`` times; fails like :meth:`cancel`.
        """
        if not isinstance(error, (BaseException, Failure)):
            raise InvalidType(f"an error must be an exception or a Failure: {shown(error)}")
        seconds = check_seconds(delay, "a delay")
        words = (*self._held(id_), dump_failure(error), math.ceil(seconds * 1000))
        state: Deferred[list[Any]] = self._end(_FAIL, self._fail, *words)
        return state.addCallback(_state)

    @deferring
    def release(self, id_: str | Claim) -> Deferred[bool]:
        """Give a claimed job back as if it had not been claimed: to the front of the line.

        If the answer is lost with the connection, this publisher gives the job back on the
        next one all the same.

        :param id_: as :meth:`finish` takes it.
        :return: fires True if it was claimed; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._claims.release([self._held(id_)]).addCallback(bool)

    @deferring
    def retry(self, id_: str) -> Deferred[None]:
        """Put a stalled job back into the line, at its end.

        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotStalled` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._change(_RETRY, self._retry, check_id(id_))

    @deferring
    def renew(self, id_: str | Claim) -> Deferred[None]:
        """Restart the clock of a claim.

        :param id_: as :meth:`finish` takes it.
        :return: fires None; fails like :meth:`cancel`.
        """
        return self._change(_RENEW, self._renew, *self._held(id_))

    @deferring
    def _progressed(
        self, claim: Claim, done: float, total: float | None, note: str | None
    ) -> Deferred[None]:
        far = dump_progress(done, total, note)
        return self._change(_PROGRESS, self._progress, claim.id, claim.token, far)

    def _change(
        self, script: Script, prefix: tuple[str | int, ...], *words: str
    ) -> Deferred[None]:
        return self.pub.redis.call(script, (*prefix, *words), TEXT).addCallback(_none)

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
            self._removed(id_)
        return bool(removed)

    @deferring
    def maintenance(self) -> Deferred[dict[str, int]]:
        """Do what :meth:`Queue.maintenance` does, and end claims that are too old.

        A claim older than ``timeout`` in the feed's configuration is cancelled, if an earlier
        pass, half of that time or 30 seconds before, has found it too old as well; if that makes
        ``max_failures`` cancellations, the job is stalled instead.  Delayed jobs that
        are due come into the line; stalled ones that shall not be kept are retracted.

        :return: fires the counts of a queue, how many claims were ``cancelled``, and how many
            jobs were ``stalled``, ``due`` and ``retracted``; fails like that of a queue.
        """
        return Deferred.fromCoroutine(JobPass(self, self._RESTORE).run())


def _check_new_id(id_: object) -> str:
    if not check_id(id_):
        raise InvalidInput("the id of a job must not be empty: in the line, that means none")
    return str(id_)


@parses
def _state(reply: list[Any]) -> str:
    state: str = reply[0]
    return state


def _none(_: object) -> None:
    """Let a Deferred fire None."""
