"""One feed of a worker: what is claimed from it, and what is said to it.

Jobs are claimed by the call that finishes others, as many as can be started.  When such a
call has brought fewer than asked for, the line is empty: then one get waits for the next job
(see :mod:`txthoonk.consumers._get_queue`).  :mod:`txthoonk.worker._schedule`, which knows all
feeds of the worker, says when.  A call that was not answered, because the connection was lost,
is made again until it is; the tokens of the claims see to it that nothing is done twice.
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
from txthoonk.consumers._patience import Retry
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedTypeMismatch,
    InvalidItem,
    InvalidResponse,
    JobNotClaimed,
    NotSent,
    ResponseError,
    shown,
)
from txthoonk.protocol._slices import BIG
from txthoonk.protocol._transient import refused
from txthoonk.types._base import to_text
from txthoonk.wire._job_records import dump_failure
from txthoonk.worker._schedule import MOST, Schedule
from txthoonk.worker._suspects import Suspects

if TYPE_CHECKING:
    from txthoonk.types import Claim, Job
    from txthoonk.worker._worker import Worker, _Run

__all__ = ["MOST", "Pump"]

CALLS = 2  # under way: while the server does one, we work on what the other has brought

_numbers = count(1)

# Calls that were sent and lost, in a row: what we send may be the reason for that, so after
# these a new connection is no reason to hurry, and each is said for itself.
MOST_LOSSES = 4

#: The words of the script, and the claim.
Finish = tuple[tuple[Any, ...], "Claim"]


class Pump:
    """One feed of a worker.

    :ivar job: the feed.
    :ivar number: tells it from others of the same process.
    :ivar weight: its share of the worker, where several feeds have jobs.
    :ivar unbegun: what it has brought, and nobody has begun yet.
    :ivar runs: the jobs of it that are worked on.
    :ivar schedule: says when to ask and to watch.
    :ivar ready: whether there may be jobs in the line.
    """

    _log = Logger()

    def __init__(self, worker: Worker, schedule: Schedule, job: Job, weight: float) -> None:
        room = job.pub.waiting_room
        self._worker = worker
        self.schedule = schedule
        self.job = job
        self.number = next(_numbers)
        self.weight = weight
        self.unbegun: deque[Claim] = deque()
        self.runs: dict[_Run, None] = {}
        self._unended: list[Claim] = []
        self.ready = False
        self._losses = 0
        self._calls = 0
        self._outbox: list[Finish] = []
        self._suspects = Suspects(self)
        self._watch: Deferred[Claim] | None = None
        self._telling: set[Callable[[], Deferred[Any]]] = set()
        self._untold: list[Callable[[], Deferred[Any]]] = []
        self._retry = Retry(room, f"jobs of {job.name!r}", self._again)
        what = f"the next job of {job.name!r}"
        self._watch_retry = Retry(room, what, self._watch_again)
        self._tell_retry = Retry(room, f"an end of a job of {job.name!r}", self._tell_again)
        self._open = False
        self._ended = False
        self._log_limit = LogLimit(self._log)
        self._warned = False
        self._settled: list[Deferred[None]] = []

    # -- the worker's side ------------------------------------------------------------

    def start(self) -> None:
        """Begin to claim."""
        self._open = True
        self.job.pub.waiting_room.returning.add(self)
        self.schedule.add(self)

    def stop(self) -> None:
        """Claim no more, and give back what nobody has begun."""
        self._open = self.ready = False
        self.schedule.update(self)
        self.unwatch()
        self._give_back()

    def end(self) -> None:
        """Try no more to say what could not be said."""
        self._ended = True
        self._suspects.end()
        for retry in (self._retry, self._watch_retry, self._tell_retry):
            retry.stop()
        self.job.pub.waiting_room.returning.discard(self)

    def resume(self) -> None:
        """Try again at once, on a new connection."""
        retries = [self._watch_retry, self._tell_retry]
        if self._losses < MOST_LOSSES:
            retries.append(self._retry)
        for retry in retries:
            if retry.pending:
                retry.now()

    @property
    def open(self) -> bool:
        """Whether it claims."""
        return self._open and not self._retry.pending

    def settled(self) -> Deferred[None]:
        """Wait until everything was said."""
        waiting: Deferred[None] = Deferred(lambda _: None)
        self._settled.append(waiting)
        self._check_settled()
        return waiting

    def _check_settled(self) -> None:
        held = self.unbegun or self._unended
        saying = self._outbox or self._calls or self._telling or self._suspects.left
        if not (saying or self._watch or held):
            settled, self._settled = self._settled, []
            for waiting in settled:
                if not waiting.called:
                    waiting.callback(None)

    # -- claims and finishes -----------------------------------------------------------

    def finish(self, words: tuple[Any, ...], claim: Claim) -> None:
        """Finish a job with the next call."""
        self._outbox.append((words, claim))
        self.schedule.speak(self)

    @property
    def free(self) -> bool:
        """Whether another call may be made."""
        return self._calls < CALLS

    def call(self, claim: int) -> None:
        """Say which jobs are finished, and claim others."""
        if (not self._outbox and not claim) or not self.free or self._retry.pending:
            return
        sent, self._outbox = self._outbox[:MOST], self._outbox[MOST:]
        self.schedule.asked += claim
        self._calls += 1
        self.schedule.update(self)
        if self._outbox:
            self.schedule.speak(self)
        called = self.job._finish_many([words for words, _ in sent], claim)
        called.addCallback(self._understood, len(sent))
        called.addCallbacks(
            self._answered, self._not_answered, (sent, claim), {}, (sent, claim), {}
        )

    def _understood(self, reply: Any, count: int) -> Any:
        try:
            time, _, statuses, claims, _ = reply
            sound = type(time) is bytes and len(statuses) == count and len(claims) % 3 == 0
            sound = sound and all(type(one) is bytes or one == 1 for one in statuses)
            sound = sound and all(type(one) is bytes for one in [*claims[::3], *claims[1::3]])
            sound = sound and all(type(one) is int for one in claims[2::3])
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise InvalidResponse(f"job/finish replied {shown(reply)}")
        return reply

    def _answered(self, reply: list[Any], sent: list[Finish], claim: int) -> None:
        self._calls -= 1
        self._retry.succeeded()
        self._losses = 0
        time, _, statuses, claims, _ = reply
        for (words, _), status in zip(sent, statuses, strict=True):
            self._finished(words, status)
        got = len(claims) // 3
        # Where jobs are big, there are fewer than were asked for, and more may be there.
        more = got == claim or sum(map(len, claims[1::3])) >= BIG
        self.schedule.answered(self, claim, got, more)
        if self._outbox:
            self.schedule.speak(self)
        self._take(to_text(time), claims)
        self._give_back()
        self._worker._work()
        self._check_settled()

    def _finished(self, words: Finish, status: int | bytes) -> None:
        try:
            self.job._said(words, status)
        except JobNotClaimed as error:
            self._log.warn("nothing came of a finish: {error}", error=error)

    def _take(self, time: str, claims: list[Any]) -> None:
        """Keep what was claimed until somebody begins it."""
        claimed = self.job._claimed
        for at in range(0, len(claims), 3):
            try:
                claim = claimed(to_text(claims[at]), claims[at + 1], claims[at + 2], time)
            except InvalidItem as error:
                self._unreadable(error)
            else:
                self.schedule.hold(self, claim)

    def give_back(self, claims: list[Claim]) -> None:
        """Give back, when it has been stopped, what was begun and has not ended.

        :param claims: in the order in which they were begun.
        """
        self._unended = claims
        self._give_back()

    def _give_back(self) -> None:
        # What a call under way brings belongs behind what is here, and all goes to the front.
        if not self._open and not self._calls:
            claims = [*self._unended, *self.schedule.give_up(self)]
            self._unended = []
            self.release(claims[::-1])

    def _not_answered(self, reason: Failure, sent: list[Finish], claim: int) -> None:
        self._calls -= 1
        self.schedule.not_answered(self, claim)
        if reason.check(ConnectionLost, CancelledError) and not reason.check(NotSent):
            self.job._claims.doubt()
            self._losses += 1
        if reason.check(FeedDoesNotExist, FeedTypeMismatch):
            for words, _ in sent:
                self.job._claims.ended(words[0], words[1])
        elif sent and (refused(reason.value) or self._losses >= MOST_LOSSES):
            self._suspects.add(sent)
        else:
            self._outbox = sent + self._outbox
        self._give_back()
        if sent and refused(reason.value):
            self._proceed()  # the others need not wait
        else:
            self._failed(reason)
        self._check_settled()

    def blame(self, finish: Finish, reason: Failure) -> None:
        """Let a job fail whose end cannot be said."""
        self._worker._record_failure(self, finish[1], reason)

    def _failed(self, reason: Failure) -> None:
        if not self._ended:
            self._retry.later(reason)
        self.schedule.update(self)
        self._worker._soon()

    def _again(self) -> None:
        self.ready = self._open
        self._proceed()

    def _proceed(self) -> None:
        self.schedule.update(self)
        if self._outbox:
            self.schedule.speak(self)
        self._worker._soon()

    # -- waiting for the next one ----------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether a get waits for the next job."""
        return self._watch is not None

    def watch(self) -> None:
        """Wait for the next job in an empty line."""
        if self._watch is None and self.open and not self._watch_retry.pending:
            self._watch = self.job.get()
            self._watch.addCallbacks(self._came, self._cannot_watch).addBoth(self._watched)

    def unwatch(self) -> None:
        """Wait no longer, because there is no room for it."""
        if self._watch is not None:
            self._watch.cancel()

    def _watch_again(self) -> None:
        self.schedule.watch_ended(self)
        self._worker._soon()

    def _came(self, claim: Claim) -> None:
        self._watch = None
        self.ready = self._open
        self._watch_retry.succeeded()
        has_room = self.schedule.came(self)
        self.schedule.update(self)
        if has_room:
            self.schedule.hold(self, claim)
            self._worker._work()
        else:
            # Others may have room for it.  We ask for it as soon as we have.
            self.release([claim])

    def _cannot_watch(self, reason: Failure) -> None:
        self._watch = None
        error = reason.value
        if isinstance(error, InvalidItem):
            self._unreadable(error)
        elif not reason.check(CancelledError) and not self._ended:
            self._watch_retry.later(reason)
        self.schedule.watch_ended(self)
        self._worker._soon()

    def _watched(self, _: object) -> None:
        self._check_settled()

    # -- what must be said, sooner or later ----------------------------------------------

    def tell(self, call: Callable[[], Deferred[Any]]) -> None:
        """Make a call that ends a claim, again until it is answered."""
        self._telling.add(call)
        self._try(call)

    def _try(self, call: Callable[[], Deferred[Any]]) -> None:
        call().addCallbacks(self._told, self._not_told, (call,), {}, (call,), {})

    def _tell_again(self) -> None:
        untold, self._untold = self._untold, []
        for call in untold:
            self._try(call)

    def _told(self, _: object, call: Callable[[], Deferred[Any]]) -> None:
        self._tell_retry.succeeded()
        self._telling.discard(call)
        self._check_settled()

    def _not_told(self, reason: Failure, call: Callable[[], Deferred[Any]]) -> None:
        if reason.check(JobNotClaimed, FeedDoesNotExist, FeedTypeMismatch) or self._ended:
            self._told(None, call)
        elif reason.check(ConnectionLost, CancelledError, ResponseError) and not refused(
            reason.value
        ):
            self._untold.append(call)
            self._tell_retry.later(reason)
        else:
            self._log.failure("a job of {name!r} stays claimed", reason, name=self.job.name)
            self._told(None, call)

    def release(self, claims: list[Claim]) -> None:
        """Give jobs back that nobody has begun, or ended.

        :param claims: the one that shall be taken next comes last.
        """
        held = [(claim.id, claim.token) for claim in claims]
        for first in range(0, len(held), MOST):
            self.tell(partial(self.job._claims.release, held[first : first + MOST]))

    def _unreadable(self, error: InvalidItem) -> None:
        # It will be so each time, until somebody edits it.
        held = self.job._held(error.id)
        self._log_limit.error("stalled: {error}", error=error)
        why = dump_failure(error)
        self.tell(lambda: self.job._end_stalled(*held, why))

    # -- renewal: see txthoonk.consumers._heartbeat.Renewed -----------------------------

    def claims(self) -> list[Claim]:
        """Give the claims to renew."""
        begun = [run.claim for run in self.runs if not run.over]
        return [*begun, *self.unbegun]

    def about(self) -> str:
        """Give what to tell of the worker."""
        return json.dumps(self._worker.about)

    def lost(self, claim: HeldClaim) -> None:
        """Learn that a job is not claimed by that any more."""
        if self.schedule.lose(self, claim):
            self.job._claims.lost(claim.id, claim.token)
        else:
            self._worker._lost(self, claim)

    def learn_timeout(self, seconds: float) -> None:
        """Learn how long claims last."""
        if not seconds and not self._warned:
            self._warned = True
            self._log.warn(
                "feed {name!r} has no timeout: jobs of a worker that dies stay claimed; set its "
                "configuration 'timeout', in seconds",
                name=self.job.name,
            )
