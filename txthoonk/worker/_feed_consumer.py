"""The jobs of one feed of a worker: claims them, finishes them, renews their claims.

One script call finishes the jobs that are done and claims as many new ones as the worker has
room for.  If a call claims fewer than it asked for, the feed is empty: then one get waits for
the next job (:mod:`txthoonk.consumers.gets._get_queue`).  :mod:`txthoonk.worker._schedule`, which
knows all feeds of the worker, decides when to do which.

A call whose answer was lost with the connection is repeated until Redis answers it.  The tokens of
the claims ensure that nothing happens twice.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._rate_limit import LogLimit
from txthoonk.consumers._interfaces import HeldClaim
from txthoonk.consumers.gets._patience import Retry
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedError,
    FeedTypeMismatch,
    InvalidInput,
    InvalidItem,
    InvalidResponse,
    JobNotClaimed,
    NotSent,
    SerializerChanged,
    shown,
)
from txthoonk.job._expiry import EXPIRED
from txthoonk.job._job import calls_of
from txthoonk.protocol._transient import refused
from txthoonk.protocol.bounds._slices import BIG
from txthoonk.types._base import to_text
from txthoonk.wire._job_records import dump_failure
from txthoonk.worker._feeds import WAITS, create
from txthoonk.worker._schedule import MOST, Schedule
from txthoonk.worker._suspects import Suspects
from txthoonk.worker.running._end_calls import EndCalls

if TYPE_CHECKING:
    from txthoonk.types import Claim, Job
    from txthoonk.wire._feed_config import Config
    from txthoonk.worker._interfaces import Run, WorkerCalls

__all__ = ["MOST", "FeedConsumer"]

CALLS = 2  # in flight: while Redis executes one, handlers work on the jobs of the other

# Calls lost in a row after which their content may be the cause.  Then a new connection does not
# repeat them at once, and each finish is sent by itself.
MOST_LOSSES = 4

_ONLY_BYTES = {bytes}
_COUNTS = {int, bytes}  # bytes for a job with options

_numbers = count(1)


class FeedConsumer:
    """One feed of a worker.

    :ivar job: the feed.
    :ivar words: builds the arguments of ``job/finish`` from id, token and result.
    :ivar number: identifies this object within the process.
    :ivar weight: the feed's share of the worker, while several feeds have jobs.
    :ivar unbegun: claimed jobs whose handler has not started.
    :ivar runs: the jobs whose handler has started and not ended.
    :ivar ready: whether the feed may have available jobs.

    :param worker: what this object calls on its worker.
    :param schedule: decides when to call and when to wait.
    :param config: creates the feed again when it has vanished; None: waits for it.
    :param cannot: called if the feed can never be worked on.
    """

    _log = Logger()

    def __init__(
        self,
        worker: WorkerCalls,
        schedule: Schedule[FeedConsumer],
        job: Job,
        weight: float,
        config: Config | None,
        cannot: Callable[[Failure], None],
    ) -> None:
        self._room = room = job.pub.waiting_room
        self._worker = worker
        self._schedule = schedule
        self._config = config
        self._cannot = cannot
        self._creating: Deferred[Any] | None = None
        self._vanished = False
        self.job = job
        calls = self._jobs = calls_of(job)
        self.words = calls.words
        self.number = next(_numbers)
        self.weight = weight
        self.unbegun: deque[Claim] = deque()
        self.runs: dict[Run, None] = {}
        self.ready = False
        self._given_up: list[Claim] = []
        self._losses = 0
        self._calls = 0
        self._finished: list[Run] = []
        self._watch: Deferred[Claim] | None = None
        self._retry = Retry(room, f"jobs of {job.name!r}", self._again)
        self._watch_retry = Retry(room, f"the next job of {job.name!r}", self._watch_again)
        self._end_calls = EndCalls(room, job.name, self._check_settled)
        self._suspects = Suspects(job, calls, self._is_answered, self._blame, self._check_settled)
        self._open = False
        self._ended = False
        self._log_limit = LogLimit(self._log)
        self._warned = False
        self._settled: list[Deferred[None]] = []

    # -- start and stop ---------------------------------------------------------------

    def start(self) -> None:
        """Begin to claim."""
        self._open = True
        self._room.outages.join(self)
        self._schedule.add(self)

    def stop(self) -> None:
        """Claim no more, and release the jobs whose handler has not started."""
        self._open = self.ready = False
        self._schedule.update(self)
        self.unwatch()
        self._release_held()

    def end(self) -> None:
        """Stop repeating calls."""
        self._ended = True
        self._suspects.end()
        if self._creating is not None:
            self._creating.cancel()
        self._retry.stop()
        self._watch_retry.stop()
        self._end_calls.stop()
        self._room.outages.leave(self)

    def resume(self) -> None:
        """Repeat at once, on a new connection, the calls that wait for their next attempt."""
        if self._watch_retry.pending:
            self._watch_retry.now()
        self._end_calls.resume()
        if self._losses < MOST_LOSSES and self._retry.pending:
            self._retry.now()

    @property
    def open(self) -> bool:
        """Whether it claims jobs at present."""
        return self._open and not self._retry.pending

    @property
    def unanswered(self) -> bool:
        """Whether a finish or another call has no answer yet."""
        return bool(
            self._finished or self._calls or self._end_calls.pending or self._suspects.left
        )

    def settled(self) -> Deferred[None]:
        """Wait until every call is answered, and no claim is held."""
        waiting: Deferred[None] = Deferred(lambda _: None)
        self._settled.append(waiting)
        self._check_settled()
        return waiting

    def _check_settled(self) -> None:
        if not self._settled:
            return
        if not (self.unanswered or self._watch or self.unbegun or self._given_up):
            settled, self._settled = self._settled, []
            for waiting in settled:
                if not waiting.called:
                    waiting.callback(None)

    # -- claims and finishes -----------------------------------------------------------

    def finish(self, run: Run) -> None:
        """Finish a job with the next call."""
        if not self._finished:
            self._schedule.speak(self)
        self._finished.append(run)

    @property
    def free(self) -> bool:
        """Whether another call can be made."""
        return self._calls < CALLS

    def call(self, claim: int) -> None:
        """Finish the jobs that are done, and claim up to *claim* others."""
        finished = self._finished
        if (not finished and not claim) or self._calls >= CALLS or self._retry.pending:
            return
        if len(finished) > MOST:
            sent, self._finished = finished[:MOST], finished[MOST:]
            self._schedule.speak(self)
        else:
            sent, self._finished = finished, []
        self._schedule.asked += claim
        self._calls += 1
        if self._calls == CALLS:
            self._schedule.update(self)
        called = self._jobs.finish_many([run.words for run in sent], claim)
        called.addCallback(_check_reply, len(sent))
        called.addCallbacks(
            self._answered, self._not_answered, (sent, claim), {}, (sent, claim), {}
        )

    def _answered(self, reply: list[Any], sent: list[Run], claim: int) -> None:
        self._calls -= 1
        self._retry.succeeded()
        self._losses = 0
        time, _, statuses, claims, _ = reply
        learn = self._jobs.answered
        for run, status in zip(sent, statuses, strict=True):
            try:
                learn(run.words, status)
            except (JobNotClaimed, SerializerChanged) as error:
                self._not_finished(run, error)
        got = len(claims) // 3
        # If jobs are big, a call claims fewer than are available.
        more = got == claim or sum(map(len, claims[1::3])) >= BIG
        self._schedule.answered(self, claim, got, more)
        if self._finished:
            self._schedule.speak(self)
        if claims:
            self._take(to_text(time), claims)
        if not self._open:
            self._release_held()
        self._worker.work()
        if self._settled:
            self._check_settled()

    def _is_answered(self, run: Run, reply: Any) -> None:
        """Take the reply to a call that finished one job."""
        try:
            self._jobs.answered(run.words, _check_reply(reply, 1)[2][0])
        except (JobNotClaimed, SerializerChanged) as error:
            self._not_finished(run, error)

    def _not_finished(self, run: Run, error: FeedError) -> None:
        if not isinstance(error, SerializerChanged):
            self._log.warn("a job cannot be finished: {error}", error=error)
            return
        try:
            run.words = self._jobs.again(run.words)
        except InvalidInput:  # the feed's new serializer cannot take the result
            self._blame(run, Failure())
        else:
            self.finish(run)

    def _take(self, time: str, claims: list[Any]) -> None:
        """Keep the claimed jobs until their handlers start."""
        claimed = self._jobs.claimed
        parts = iter(claims)
        for id_, item, cancelled in zip(parts, parts, parts, strict=True):
            try:
                claim = claimed(to_text(id_), item, cancelled, time)
            except InvalidItem as error:
                self._unreadable(error)
                continue
            if claim.options is not None and claim.options.expired:
                self._expired(claim)
            else:
                self.unbegun.append(claim)
        self._schedule.hold(self)

    def give_back(self, claims: list[Claim]) -> None:
        """Release jobs whose handler has started and not ended, after :meth:`stop`.

        :param claims: in the order in which the handlers started.
        """
        self._given_up = claims
        self._release_held()

    def _release_held(self) -> None:
        # A call in flight claims its jobs after these: wait for it, to keep the order in the line.
        if not self._open and not self._calls:
            claims = [*self._given_up, *self._schedule.give_up(self)]
            self._given_up = []
            self._release(claims[::-1])

    def _not_answered(self, reason: Failure, sent: list[Run], claim: int) -> None:
        self._calls -= 1
        self._schedule.not_answered(self, claim)
        if reason.check(ConnectionLost, CancelledError) and not reason.check(NotSent):
            self._jobs.doubt()
            self._losses += 1
        if reason.check(FeedDoesNotExist, FeedTypeMismatch):
            for run in sent:
                self._jobs.ended(run.claim.id, run.claim.token)
        elif sent and (refused(reason.value) or self._losses >= MOST_LOSSES):
            self._suspects.add(sent)
        else:
            self._finished = sent + self._finished
        self._release_held()
        if sent and refused(reason.value):
            self._proceed()  # the others need not wait
        else:
            self._failed(reason)
        self._check_settled()

    def _blame(self, run: Run, reason: Failure) -> None:
        """Record that a job failed, because its finish cannot be sent."""
        self._worker.record_failure(self, run.claim, reason)

    def _failed(self, reason: Failure) -> None:
        if not self._ended:
            self._retry.later(reason)
            self._blame_feed(reason)
        self._schedule.update(self)
        self._worker.soon()

    def _again(self) -> None:
        self.ready = self._open
        self._proceed()

    def _proceed(self) -> None:
        self._schedule.update(self)
        if self._finished:
            self._schedule.speak(self)
        self._worker.soon()

    # -- a feed that has vanished ------------------------------------------------------

    def _blame_feed(self, reason: Failure) -> None:
        if reason.check(FeedTypeMismatch):
            self._cannot(reason)
        elif reason.check(FeedDoesNotExist):
            self.gone()

    def gone(self) -> None:
        """Create the feed again, or say that the worker waits for it, because it has vanished."""
        if self._config is None:
            if not self._vanished:
                self._vanished = True
                self._log.warn(WAITS, name=self.job.name)
        elif self._creating is None and self._open:
            creating = Deferred.fromCoroutine(create(self.job.pub, self.job.name, self._config))
            self._creating = creating
            creating.addCallbacks(self._created, self._not_created)

    def _created(self, is_new: bool) -> None:
        self._creating = None
        if is_new:
            self._log.warn(
                "feed {name!r} did not exist any more: created again", name=self.job.name
            )
        if not self._ended:
            self.resume()

    def _not_created(self, reason: Failure) -> None:
        # The next renewal of the claims finds out again that the feed is missing.
        self._creating = None
        if not reason.check(ConnectionLost, CancelledError):
            text = "feed {name!r} does not exist any more, and cannot be created: {error}"
            self._log_limit.error(text, name=self.job.name, error=reason.getErrorMessage())

    # -- waiting for the next job ------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether a get waits for the next job."""
        return self._watch is not None

    def watch(self) -> None:
        """Wait for the next job of an empty feed."""
        if self._watch is None and self.open and not self._watch_retry.pending:
            self._watch = self.job.get()
            self._watch.addCallbacks(self._came, self._cannot_watch).addBoth(self._watched)

    def unwatch(self) -> None:
        """Wait no longer, because the worker has no room for another job."""
        if self._watch is not None:
            self._watch.cancel()

    def _watch_again(self) -> None:
        self._schedule.watch_ended(self)
        self._worker.soon()

    def _came(self, claim: Claim) -> None:
        self._watch = None
        self.ready = self._open
        self._watch_retry.succeeded()
        has_room = self._schedule.came(self)
        self._schedule.update(self)
        if has_room:
            self.unbegun.append(claim)
            self._schedule.hold(self)
            self._worker.work()
        else:
            # Other workers may have room for it.  This one asks again as soon as it has room.
            self._release([claim])

    def _cannot_watch(self, reason: Failure) -> None:
        self._watch = None
        error = reason.value
        if isinstance(error, InvalidItem):
            self._unreadable(error)
        elif not reason.check(CancelledError) and not self._ended:
            self._watch_retry.later(reason)
            self._blame_feed(reason)
        self._schedule.watch_ended(self)
        self._worker.soon()

    def _watched(self, _: object) -> None:
        self._check_settled()

    # -- ending claims -----------------------------------------------------------------

    def fail(self, claim: Claim, reason: Failure, delay: float) -> None:
        """Make a job available again after *delay* seconds, and record why."""
        self._end_calls.add(lambda: self.job.fail(claim, reason, delay))

    def stall(self, id_: str, token: str, reason: Failure | BaseException) -> None:
        """Stall a job, and record why."""
        self._stall(id_, token, dump_failure(reason))

    def _stall(self, id_: str, token: str, why: str) -> None:
        self._end_calls.add(lambda: self._jobs.stall(id_, token, why))

    def _expired(self, claim: Claim) -> None:
        self._log.info(
            "job {id} of feed {name!r} has expired", id=shown(claim.id), name=self.job.name
        )
        self._stall(claim.id, claim.token, EXPIRED)

    def release(self, claim: Claim) -> None:
        """Give a job back as if it had not been claimed."""
        self._release([claim])

    def _release(self, claims: list[Claim]) -> None:
        """Release jobs.

        :param claims: the last one is the first that will be claimed again.
        """
        held = [(claim.id, claim.token) for claim in claims]
        for first in range(0, len(held), MOST):
            some = held[first : first + MOST]
            self._end_calls.add(partial(self._jobs.release, some))

    def _unreadable(self, error: InvalidItem) -> None:
        # It stays unreadable until an operator edits it.
        self._log_limit.error("stalled: {error}", error=error)
        self.stall(*self._jobs.held(error.id), error)

    def forget(self, claim: HeldClaim) -> None:
        """Forget a claim that was lost."""
        self._jobs.lost(claim.id, claim.token)

    # -- renewal: see txthoonk.consumers._heartbeat.Renewed -----------------------------

    def claims(self) -> list[Claim]:
        """Return the claims to renew."""
        begun = [run.claim for run in self.runs if not run.over and run.claim.ending is None]
        return [*begun, *self.unbegun]

    def about(self) -> str:
        """Return the description of the worker that other programs can read, as JSON."""
        return json.dumps(self._worker.about)

    def lost(self, claim: HeldClaim) -> None:
        """Handle the loss of a claim."""
        if self._schedule.lose(self, claim):
            self.forget(claim)
        else:
            self._worker.claim_lost(self, claim)

    def learn_timeout(self, seconds: float) -> None:
        """Warn once if claims have no timeout."""
        self._vanished = False
        if not seconds and not self._warned:
            self._warned = True
            self._log.warn(
                "feed {name!r} has no timeout: jobs of a worker that dies stay claimed; set its "
                "configuration 'timeout', in seconds",
                name=self.job.name,
            )


def _check_reply(reply: Any, count: int) -> Any:
    """Check the shape of a reply of ``job/finish`` to *count* finishes."""
    try:
        time, serializer, statuses, claims, _ = reply
        sound = (
            type(time) is bytes
            and (serializer == 0 or type(serializer) is bytes)
            and len(statuses) == count
            and (statuses.count(1) == count or all(map(_is_status, statuses)))
            and len(claims) % 3 == 0
            and _ONLY_BYTES.issuperset(map(type, claims[::3]))
            and _ONLY_BYTES.issuperset(map(type, claims[1::3]))
            and _COUNTS.issuperset(map(type, claims[2::3]))
        )
    except (TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise InvalidResponse(f"job/finish replied {shown(reply)}")
    return reply


def _is_status(status: Any) -> bool:
    return type(status) is bytes or status == 1
