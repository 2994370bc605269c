"""The job feed: jobs are claimed, and stay until they are finished (contract: Job)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring, passing
from txthoonk._support._replies import parsing
from txthoonk._support._threads import check_thread
from txthoonk._values import JobFailure, Progress
from txthoonk.consumers._claims import Claims
from txthoonk.consumers._deadlines import Timekeeper
from txthoonk.consumers.gets._get_queue import Scripts
from txthoonk.consumers.results._result_waiters import Results
from txthoonk.job._changes import Changes
from txthoonk.job._deadlines import Deadlines
from txthoonk.job._expiry import Expiry
from txthoonk.job._inspection import ITEM, Inspection
from txthoonk.job._names import JobNames
from txthoonk.job._no_result import NO_RESULT
from txthoonk.job._putting import PUT, NewJob, Putting, check_new_id, check_new_jobs, given_pair
from txthoonk.job._results import ResultScripts
from txthoonk.job.claims._claiming import Claiming, none
from txthoonk.job.claims._endings import Claimed, NoFeed, ends, held
from txthoonk.job.claims._finishing import Finishing
from txthoonk.job.claims._job_calls import JobCalls
from txthoonk.job.claims._outcomes import Outcomes
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._base import storing, to_text
from txthoonk.types._bulk import Progressed, put_many, with_ids
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._job_options import PutOptions, load_claim_options
from txthoonk.wire._keys import check_id, new_id
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["Claim", "Job", "calls_of", "timekeeper_of"]

_GET = load("job/get")
_EDIT = load("job/edit")


class Claim(Claimed):
    """A job that this process has claimed; it unpacks as (id, item, cancelled).

    Pass it to :meth:`Job.finish` and the other verbs instead of the id, or call its own methods.
    They fail, and change nothing, if the claim was lost, by a timeout or otherwise.

    :ivar id: the id of the job.
    :ivar item: the item that was put.
    :ivar cancelled: how often claims on the job were cancelled before.
    :ivar token: identifies this claim among all claims on the job; empty stands for any of them.
    :ivar job: the :class:`Job` feed; set it on a claim that you make yourself to test a handler.
    :ivar options: the :class:`JobOptions` that the job was put with; None if it has none.
    :ivar ending: how the claim is being ended by its methods, for workers; None before that.
    """

    if TYPE_CHECKING:
        job: Job
    else:
        job = NoFeed()

    def progress(
        self, done: float, total: float | None = None, note: str | None = None
    ) -> Deferred[None]:
        """Report the progress of the job to all subscribers of the feed.

        :param done: the amount done, from 0.
        :param total: the amount to do; None if it is not known.
        :param note: a description in words.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed` if the claim was lost,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.job._progressed(self, done, total, note)

    def finish(
        self, result: Any = NO_RESULT, timeout: float | None = None, *, then: Iterable[NewJob] = ()
    ) -> Deferred[None]:
        """Finish the job: :meth:`Job.finish`.

        A handler that has ended its job by a method of the claim can go on; what it returns or
        raises then changes nothing.
        """
        return self.job.finish(self, result, timeout, then=then)

    def fail(self, error: BaseException | Failure | str, delay: float = 0) -> Deferred[str]:
        """Give the job back because it failed, and record why: :meth:`Job.fail`."""
        return self.job.fail(self, error, delay)

    def release(self) -> Deferred[bool]:
        """Give the job back as if it had not been claimed: :meth:`Job.release`."""
        return self.job.release(self)


class Job(JobNames):
    """A line of jobs.  A job is claimed by one worker, and stays until it is finished.

    Set ``timeout`` (seconds) in the configuration to limit how long a claim lasts without
    renewal.  Waiting gets, workers and :meth:`maintenance` cancel a claim that is older, after a
    grace period of half the timeout, at most 30 seconds.  Set ``max_failures`` to stall a job
    once that many of its claims have been cancelled.

    ``keep_results_for`` (seconds) and ``keep_results`` (a number) set which results are kept if
    :meth:`finish` does not.  ``keep_stalled_for`` (seconds) and ``keep_stalled`` (a number) set
    which stalled jobs maintenance keeps; it keeps all of them otherwise.

    :ivar feed_published: key of the jobs and the times when they were put.
    :ivar feed_claimed: key of the claimed jobs and the times of their claims.
    :ivar feed_cancelled: key of the number of cancelled claims of each job.
    :ivar feed_stalled: key of the stalled jobs.
    :ivar feed_finishes: key of the counter of finishes.
    :ivar feed_results: key of the ids whose results are kept, and until when.
    :ivar channel_put: channel of new jobs: id, item.
    :ivar channel_claim: channel of claims.
    :ivar channel_cancel: channel of cancelled claims.
    :ivar channel_stall: channel of stalled jobs.
    :ivar channel_retry: channel of jobs that are available again.
    :ivar channel_finish: channel of results: id, result.
    :ivar channel_finished: channel of all finishes.
    :ivar channel_edit: channel of jobs with a new item: id, item.
    :ivar channel_progress: channel of progress: id, JSON.
    """

    NO_RESULT: ClassVar[object] = NO_RESULT

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        room = pub.waiting_room
        self._claims = room.claims(name, lambda room: Claims(room, name, pub.uuid))
        self._held = partial(held, self._claims)
        calls = ResultScripts(pub, name)
        self._results = room.results(name, lambda room: Results(room, name, calls))
        self._claiming = Claiming(pub, name, self._claims)
        self._finishing = Finishing(
            pub, name, self._claims, self._results, self._serialized, self._repeating, self._follow
        )
        self._changes = Changes(pub, name, self._results.gone)
        self._inspection = Inspection(pub, name)
        self._expiry = Expiry(self._claiming.end_stalled, self._claims, name)
        self._outcomes = Outcomes(
            name,
            self._results,
            self._load_bytes,
            self._repeating.renew,
            self._inspection.failure,
        )
        self._deadlines = Deadlines(self, self._RESTORE)
        self._putting = Putting(pub, name, self._repeating, self._PUSHES, self._deadlines.look)
        self._bind_items()

    def _bind_items(self) -> None:
        super()._bind_items()
        self._edit = (*_EDIT.bind(self.name), self._assumed)
        self._item = (*ITEM.bind(self.name), self._assumed)
        self._putting.use(self._assumed)
        self._put = self._putting.plain

    def _scripts(self) -> Scripts:
        return Scripts(
            get=(_GET, _GET.bind(self.name, owner=self._claims.owner)),
            width=3,
            put_back=self._put_back(),
            claims=self._claims,
            timekeeper=self._deadlines.timekeeper,
            refuses=self._expiry.refuses,
        )

    # -- putting ------------------------------------------------------------------

    @storing(0)
    def put(
        self,
        item: Any,
        priority: int = JobNames.NORMAL,
        id_: str | None = None,
        *,
        delay: float | None = None,
        at: float | datetime | None = None,
        **options: Unpack[PutOptions],
    ) -> Deferred[str]:
        """Put a new job into the line.

        With *delay* or *at* the job becomes available when it is due by the server's clock, as a
        rule within some milliseconds.  Waiting gets, workers and :class:`~txthoonk.Maintenance`
        move it into the line.  Other implementations do not see it before.

        :param item: any value that the feed's serializer accepts.
        :param priority: ``Job.NORMAL`` for the end of the line, ``Job.HIGH`` for its front.
        :param id_: text without NUL, not empty; None for a random id.
        :param delay: seconds from now until it is due, fractions allowed.
        :param at: when it is due: seconds since 1970, or an aware ``datetime``.
        :param options: ``expires`` and other options of this job: see :class:`PutOptions`.
        :return: fires the id; fails with
            :class:`~txthoonk.errors.JobExists` if there is a job with the id in any state,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = new_id() if id_ is None else check_new_id(id_)
        push, stored = self._push(priority), self._dumps(item)
        if delay is None and at is None and not options:
            prefix, repeating = self._put[push], self._repeating
            if repeating.waits:
                return repeating.later(PUT, prefix, (id_, stored))
            return self.pub.redis.call_together(PUT, prefix, (id_, stored), TEXT, repeating)
        return self._putting.put(push, id_, stored, delay, at, options)

    publish = put

    def new(
        self,
        item: Any,
        priority: int = JobNames.NORMAL,
        id_: str | None = None,
        *,
        delay: float | None = None,
        at: float | datetime | None = None,
        **options: Unpack[PutOptions],
    ) -> NewJob:
        """Make a job that :meth:`finish` puts, in one step with the finish.

        The arguments and the errors of bad ones are those of :meth:`put`.
        """
        id_ = new_id() if id_ is None else check_new_id(id_)
        return self._putting.new(self._push(priority), id_, self._dumps(item), delay, at, options)

    @passing
    def put_many(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        priority: int = JobNames.NORMAL,
        *,
        ids: Iterable[str] | None = None,
        progress: Progressed | None = None,
        **options: Unpack[PutOptions],
    ) -> Deferred[list[str]]:
        """Put many new jobs, some hundred in each call, in their order.

        Up to four calls are pending at a time, and *items* is read as they are answered.  Redis
        carries out each call completely or not at all.  If one fails, those before it are done,
        and up to three after it may be.

        :param items: an iterable or asynchronous iterable of values that the feed's serializer
            accepts.
        :param priority: as for :meth:`put`; the first item is taken first.  With ``HIGH`` all
            items are read before the first is put.
        :param ids: an id for each item; None for random ids.
        :param progress: called after each call with the number of jobs put so far.
        :param options: as for :meth:`put`, for each of them.
        :return: fires the list of ids; fails like :meth:`put`.  Cancel it to put no more.
        """
        check_thread()
        send = self._putting.many(self._push(priority), options)
        some = items if ids is None else with_ids(items, ids)
        pair: Any = partial(self._new_pair if ids is None else given_pair, self._dumps)
        putting = put_many(some, pair, send, progress, bool(priority))
        return AwaitableDeferred.fromCoroutine(putting)

    # -- claiming -----------------------------------------------------------------

    def get(self, timeout: float = 0) -> Deferred[Claim]:
        """Claim the next job; wait for one if there is none.

        Gets are served in the order of their calls.  All gets that wait for this feed on this
        publisher share one extra connection.  A get that waits continues to wait when the feed
        is deleted, because the feed may be created again.

        :param timeout: seconds to wait, fractions allowed; 0 for no limit.
        :return: fires a :class:`Claim`, that is (id, item, cancelled); fails with
            :class:`~txthoonk.errors.Empty` after *timeout*,
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read the item
            (the job stays claimed: stall or retract it),
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancel it to claim nothing.
        """
        return self._get(timeout)

    def _receive(self, time: bytes, serializer: bytes | int, *parts: bytes) -> Claim:
        self._follow(serializer)
        with parsing:
            id_, item, cancelled = parts
            number = cancelled if type(cancelled) is bytes else int(cancelled)
        return self._claimed(to_text(id_), item, number, to_text(time))

    def _claimed(self, id_: str, item: bytes, cancelled: int | bytes, time: str) -> Claim:
        token = self._claims.made(id_, time)
        options = None
        if isinstance(cancelled, bytes):
            cancelled, options = load_claim_options(cancelled)
        claim = Claim(id_, self._load_bytes(item, id_), cancelled)
        if options is not None:
            claim.options = options
        claim.token = token
        claim.job = self
        return claim

    # -- ending a claim -----------------------------------------------------------

    @deferring
    def finish(
        self,
        id_: str | Claim,
        result: Any = NO_RESULT,
        timeout: float | None = None,
        *,
        then: Iterable[NewJob] = (),
    ) -> Deferred[None]:
        """Finish a claimed job, which deletes it.

        :param id_: the claim, or the id.  The id stands for the last claim that this publisher
            made on the job, or for any claim if it made none.
        :param result: any value that the feed's serializer accepts.  It is published to
            listeners and to callers that wait for it.
        :param timeout: seconds for which the result is kept, fractions allowed; 0 not to keep
            it; None for the configured time, by default 0.
        :param then: jobs to put in the same step, made by :meth:`new` of this feed and others on
            the same server: either all are put and the job is finished, or nothing is changed.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed`,
            :class:`~txthoonk.errors.JobExists` if a job of *then* exists,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        words = (*self._held(id_), result, timeout, check_new_jobs(then))
        return ends(id_, "finished", self._finishing.finish(*words))

    @deferring
    def cancel(self, id_: str | Claim) -> Deferred[None]:
        """Give a claimed job back: it goes to the end of the line, with one more failure.

        :param id_: as for :meth:`finish`.
        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotClaimed` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return ends(id_, "failed", self._claiming.cancel(*self._held(id_)))

    @deferring
    def stall(self, id_: str | Claim, reason: str | None = None) -> Deferred[None]:
        """Take a claimed job out of the line, and reset its number of failures.

        :param id_: as for :meth:`finish`.
        :param reason: the message for :meth:`get_failure`; None to keep the recorded failure.
        :return: fires None; fails like :meth:`cancel`.
        """
        return ends(id_, "stalled", self._claiming.stall(*self._held(id_), reason))

    @deferring
    def fail(
        self, id_: str | Claim, error: BaseException | Failure | str, delay: float = 0
    ) -> Deferred[str]:
        """Give a claimed job back because it failed, and record why.

        :param id_: as for :meth:`finish`.
        :param error: the failure to record for :meth:`get_failure`, or the reason in words.
        :param delay: seconds until the job is available again, at the end of the line.
        :return: fires its new state: ``available``, ``delayed``, or ``stalled`` if it has failed
            ``max_failures`` times; fails like :meth:`cancel`.
        """
        return ends(id_, "failed", self._claiming.fail(*self._held(id_), error, delay))

    @deferring
    def release(self, id_: str | Claim) -> Deferred[bool]:
        """Give a claimed job back as if it had not been claimed: to the front of the line.

        If the answer is lost with the connection, this publisher gives the job back on the next
        connection.

        :param id_: as for :meth:`finish`.
        :return: fires True if it was claimed; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return ends(id_, "released", self._claiming.release(*self._held(id_)))

    @deferring
    def renew(self, id_: str | Claim) -> Deferred[None]:
        """Restart the clock of a claim.

        :param id_: as for :meth:`finish`.
        :return: fires None; fails like :meth:`cancel`.
        """
        return self._claiming.renew(*self._held(id_))

    @deferring
    def _progressed(self, claim: Claim, *progress: Any) -> Deferred[None]:
        return self._claiming.progress(claim.id, claim.token, *progress)

    # -- results ------------------------------------------------------------------

    @deferring
    def get_result(self, id_: str, timeout: float = 0) -> Deferred[tuple[Any, Any]]:
        """Read the result of a job, or wait until it is finished.

        Several callers can read the same result.  All callers that wait on this publisher share
        one connection.  A job that another publisher retracts, or that thoonk.py finishes without
        a result, leaves no message; it is noticed some seconds later, after 30 at most.

        :param timeout: seconds to wait, fractions allowed; 0 for no limit.
        :return: fires (item, result); the item is None if an older implementation did not keep
            it.  Fails with
            :class:`~txthoonk.errors.Empty` after *timeout*, or at once if the job ends without a
            result, or does not exist and no result is kept; with
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read them, or
            with :class:`~txthoonk.errors.InvalidInput`.
        """
        return self._outcomes.result(check_id(id_), check_seconds(timeout, "a timeout"))

    @deferring
    def wait(self, id_: str, timeout: float = 0) -> Deferred[Any]:
        """Wait until a job is finished.

        A job that another publisher or its maintenance retracts or drains leaves no message; nor
        does one that thoonk.py finishes without a result, or stalls.  The wait notices that some
        seconds later, after 30 at most.

        :param timeout: seconds to wait, fractions allowed; 0 for no limit.
        :return: fires the result, None if there is none, also if the job is retracted; fails with
            :class:`~txthoonk.errors.JobStalled`, with the failure, if the job is stalled,
            :class:`~txthoonk.errors.Empty` after *timeout*, or at once if there is no such job
            and no kept result of it (also if it ended while a connection was lost), and
            with :class:`~txthoonk.errors.InvalidItem` or
            :class:`~txthoonk.errors.InvalidInput`.
        """
        return self._outcomes.end(check_id(id_), check_seconds(timeout, "a timeout"))

    # -- changing jobs without a claim --------------------------------------------

    @storing(1)
    def edit(self, id_: str, item: Any) -> Deferred[None]:
        """Replace the item of a job in any state.

        A worker that has claimed the job keeps the old item; the next claim has the new one.  The
        edit is published on ``channel_edit``, unless the job is delayed.

        :param item: any value that the feed's serializer accepts.
        :return: fires None; fails with
            :class:`~txthoonk.errors.ItemDoesNotExist`,
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        words = (check_id(id_), self._dumps(item))
        return self._repeating.call(_EDIT, self._edit, words).addCallback(none)

    @deferring
    def retry(self, id_: str) -> Deferred[None]:
        """Put a stalled job back into the line, at its end.

        :return: fires None; fails with
            :class:`~txthoonk.errors.JobNotStalled` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._changes.retry(check_id(id_))

    @deferring
    def retract(self, id_: str) -> Deferred[bool]:
        """Remove a job in any state: O(n) for one in a line of n jobs.

        :return: fires True if there was such a job; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._changes.retract(check_id(id_))

    @deferring
    def drain(self, delayed: bool = False) -> Deferred[int]:
        """Remove all jobs that are available: O(n), some hundred in each call.

        Claimed and stalled jobs stay.  So do jobs that are put during the call, unless others are
        claimed at the same time.

        :param delayed: whether to remove delayed jobs too.
        :return: fires the number of jobs removed; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancel it to remove no more.
        """
        return AwaitableDeferred.fromCoroutine(self._changes.drain(delayed))

    @deferring
    def maintenance(self) -> Deferred[dict[str, int]]:
        """Do what :meth:`Queue.maintenance` does, and end claims that are too old.

        It cancels a claim that is older than the configured ``timeout``, if an earlier pass, half
        the timeout or 30 seconds before, found the claim too old as well.  If that makes
        ``max_failures`` cancellations, it stalls the job instead.  It moves delayed jobs that are
        due into the line, and retracts stalled jobs that exceed ``keep_stalled`` or
        ``keep_stalled_for``.

        :return: fires the counts of a queue, the number of claims ``cancelled``, and the numbers
            of jobs ``stalled``, ``due`` and ``retracted``; fails like that of a queue.
        """
        return AwaitableDeferred.fromCoroutine(self._deadlines.maintain())

    # -- reading ------------------------------------------------------------------

    @deferring
    def get_item(self, id_: str, with_revision: bool = False) -> Deferred[Any]:
        """Read the item of a job in any state.

        See :meth:`txthoonk.types.Queue.get_item`.
        """
        if with_revision:
            return super().get_item(id_, with_revision)
        read = self._repeating.read(ITEM, self._item, (check_id(id_),))
        return read.addCallback(self._load, id_)

    @deferring
    def has_id(self, id_: str) -> Deferred[bool]:
        """Return whether there is a job with that id in any state.

        :return: fires a bool.
        """
        return self._inspection.has_item(check_id(id_))

    @deferring
    def get_ids(self, state: str | None = None) -> Deferred[list[str]]:
        """Read the ids of the jobs: O(n) for n jobs, in slices.

        A job that is put, ends or changes its state during the call may be missing or not.  All
        others are listed once.

        :param state: ``available`` (the next to claim is last), ``claimed`` (the oldest claim is
            first), ``stalled``, ``delayed`` (the next due is first), or None for all.
        :return: fires a list of ids.
        """
        return self._inspection.ids(state)

    @deferring
    def stats(self) -> Deferred[dict[str, int]]:
        """Count the jobs at one moment.

        :return: fires a dict: the numbers of jobs that are ``available``, ``claimed``,
            ``stalled`` and ``delayed``, and of all ``publishes`` and ``finishes`` so far.
        """
        return self._inspection.stats()

    @deferring
    def get_failure(self, id_: str) -> Deferred[JobFailure | None]:
        """Read the last failure of a job that still exists.

        :return: fires a :class:`~txthoonk.types.JobFailure`, None if there is none.
        """
        return self._inspection.failure(check_id(id_))

    @deferring
    def get_failures(self) -> Deferred[list[JobFailure]]:
        """Read the last failures of all existing jobs: O(n) for n failures, in slices.

        :return: fires a list of :class:`~txthoonk.types.JobFailure`, the latest first.
        """
        return AwaitableDeferred.fromCoroutine(self._inspection.all_failures())

    @deferring
    def get_failure_count(self, id_: str) -> Deferred[int]:
        """Read how often a job was cancelled (HGET).

        :return: fires an int, 0 for an unknown job.
        """
        return self._inspection.failure_count(check_id(id_))

    @deferring
    def get_progress(self, id_: str) -> Deferred[Progress | None]:
        """Read the progress of a claimed job, as :meth:`Claim.progress` reported it.

        :return: fires a :class:`~txthoonk.types.Progress`, None if none was reported; fails
            with :class:`~txthoonk.errors.InvalidItem` if it cannot be read.
        """
        return self._inspection.progress(check_id(id_))


def calls_of(job: Job) -> JobCalls[Claim]:
    """Return what a worker calls on a feed."""
    finishing, claims = job._finishing, job._claims
    return JobCalls(
        words=finishing.words,
        finish_many=finishing.many,
        answered=finishing.answered,
        again=finishing.again,
        claimed=job._claimed,
        held=job._held,
        stall=job._claiming.end_stalled,
        release=claims.release,
        ended=claims.ended,
        lost=claims.lost,
        doubt=claims.doubt,
    )


def timekeeper_of(job: Job) -> Timekeeper:
    """Return what moves delayed jobs and ends old claims of a feed, while it is attended."""
    return job._deadlines.timekeeper
