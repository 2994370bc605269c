"""Decides which feeds of a worker are asked for jobs, which are watched, and which are checked.

A feed of which nothing is known is *checked*: one call finds out for many feeds which have jobs,
and claims none.  A feed that may have jobs is *asked* for them in its turn, as soon as the worker
has room.  A feed that was found empty is *watched* while there is room: a get waits for its next
job.  While jobs take all the room for longer, watches are ended, a few at a time, and the feeds
are checked again, those first that were checked longest ago.

The work for one job does not depend on how many feeds there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._scripts import load
from txthoonk.worker._fair_share import Shares

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import HeldClaim
    from txthoonk.types import Claim, Job
    from txthoonk.types._interfaces import Publisher

__all__ = ["MOST", "Schedule", "ScheduledFeed"]

_LOOK = load("worker/look")
_look = _LOOK.bind_each()

MOST = 100  # jobs that one call finishes or claims
MOST_LOOKS = 100  # feeds in one call
LOOK = 0.02  # seconds between two calls while there is no room
# A watch is cheap to keep and expensive to start.  But a job that comes while there is no room
# has to be released, and until then no other worker can start it.
UNWATCH = 0.05  # seconds from one time that watches are ended to the next
MOST_UNWATCHED = 10


class ScheduledFeed(Protocol):
    """A feed of the worker.

    :ivar weight: its share, while several feeds have jobs.
    :ivar ready: whether it may have available jobs.
    :ivar unbegun: claimed jobs whose handler has not started.
    """

    ready: bool

    def __hash__(self) -> int: ...

    @property
    def weight(self) -> float: ...

    @property
    def job(self) -> Job: ...

    @property
    def unbegun(self) -> deque[Claim]: ...

    @property
    def open(self) -> bool:
        """Whether it claims jobs at present."""

    @property
    def free(self) -> bool:
        """Whether another call can be made."""

    @property
    def watched(self) -> bool:
        """Whether a get waits for the next job."""

    def call(self, claim: int) -> None:
        """Finish the jobs that are done, and claim up to *claim* others."""

    def watch(self) -> None:
        """Wait for the next job."""

    def unwatch(self) -> None:
        """Stop waiting."""


AnyFeed = TypeVar("AnyFeed", bound=ScheduledFeed)


class _Unknown(Generic[AnyFeed]):
    """Feeds of one publisher that may or may not have jobs."""

    def __init__(self, pub: Publisher, looked: Callable[[AnyFeed, bool], object]) -> None:
        self._redis = pub.redis
        self._report = looked
        self._feeds: dict[AnyFeed, None] = {}  # checked longest ago first
        self._looking: list[AnyFeed] = []
        self._last = 0.0

    def add(self, feed: AnyFeed) -> None:
        self._feeds[feed] = None

    def look(self, now: float, room: bool) -> None:
        """Check some of them, but not too often while there is no room."""
        if not self._feeds or self._looking or (not room and now - self._last < LOOK):
            return
        self._last = now
        looking = self._looking = list(self._feeds)[:MOST_LOOKS]
        for feed in looking:
            del self._feeds[feed]
        looked = self._redis.call(_LOOK, _look([feed.job.name for feed in looking]), TEXT)
        looked.addCallback(self._looked).addErrback(self._not_looked)

    def _looked(self, reply: Any) -> None:
        found = set(map(int, reply))
        self._over([index in found for index in range(len(self._looking))])

    def _not_looked(self, reason: Failure) -> None:
        # The calls that ask these feeds for jobs fail for the same reason, and are repeated.
        self._over([True] * len(self._looking))

    def _over(self, found: list[bool]) -> None:
        looked, self._looking = self._looking, []
        for feed, ready in zip(looked, found, strict=True):
            self._report(feed, ready)


class Schedule(Generic[AnyFeed]):
    """The feeds of one worker.

    :ivar working: the number of jobs that handlers work on.
    :ivar asked: the number of jobs that the calls in flight may claim.
    :ivar unbegun: the feeds that have claimed jobs whose handler has not started.

    :param concurrency: the number of jobs that handlers may work on at a time.
    :param many: whether there are several feeds.
    :param soon: calls :meth:`fill` soon.
    :param in_threads: counts the threads that handlers occupy; None without threads.  A handler
        keeps its thread after its claim was lost.
    """

    def __init__(
        self,
        concurrency: int,
        many: bool,
        reactor: Any,
        soon: Callable[[], object],
        in_threads: Callable[[], int] | None = None,
    ) -> None:
        self._concurrency = concurrency
        self._many = many
        self._reactor = reactor
        self._soon = soon
        self._in_threads = in_threads
        self.working = self.asked = 0
        self.unbegun: dict[AnyFeed, None] = {}
        self._stopped = False
        self._shares: Shares[AnyFeed] = Shares(MOST)
        self._speaking: dict[AnyFeed, None] = {}  # those that have jobs to finish
        self._empty: dict[AnyFeed, None] = {}  # those that were found empty just now
        self._unknown: dict[Publisher, _Unknown[AnyFeed]] = {}
        self._watching: dict[AnyFeed, None] = {}  # the longest watched first
        self._timer: IDelayedCall | None = None

    def add(self, feed: AnyFeed) -> None:
        """Add a feed."""
        self._shares.add(feed, feed.weight)
        pub = feed.job.pub
        if pub not in self._unknown:
            self._unknown[pub] = _Unknown(pub, self.looked)
        if self._many:
            self._unknown[pub].add(feed)
        else:
            feed.ready = True
            self.update(feed)

    def stop(self) -> None:
        """Claim no more."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- what is known of a feed --------------------------------------------------------------

    def update(self, feed: AnyFeed) -> None:
        """Update the share of a feed, which may be asked for jobs now, or no longer."""
        if not (feed.ready and feed.open):
            self._shares.refuse(feed)
        elif feed.free:
            self._shares.want(feed)
        else:
            self._shares.pause(feed)

    def speak(self, feed: AnyFeed) -> None:
        """Record that a feed has jobs to finish."""
        self._speaking[feed] = None

    def answered(self, feed: AnyFeed, claim: int, got: int, more: bool) -> None:
        """Record how many jobs a call has claimed, of those that it asked for.

        :param more: whether there may be more.
        """
        self.asked -= claim
        if claim > got:
            # A call that claims nothing costs its feed one job.
            self._shares.charge(feed, max(got, 1) - claim)
        if not more:
            feed.ready = False
            self._empty[feed] = None
        self.update(feed)

    def not_answered(self, feed: AnyFeed, claim: int) -> None:
        """Record that a call has failed."""
        self.asked -= claim
        self._shares.charge(feed, -claim)

    def looked(self, feed: AnyFeed, ready: bool) -> None:
        """Record whether a feed has jobs."""
        if not feed.open:
            return  # it is added again when it opens
        if ready:
            feed.ready = True
            self.update(feed)
        elif not feed.ready:
            self._empty[feed] = None
        self._soon()

    def came(self, feed: AnyFeed) -> bool:
        """Record that a watch has claimed a job; return whether there is room for it."""
        self._watching.pop(feed, None)
        if not self.has_room():
            return False
        self._shares.charge(feed, 1)
        return True

    def watch_ended(self, feed: AnyFeed) -> None:
        """Record that a watch has ended without a job."""
        self._watching.pop(feed, None)
        if feed.open and not feed.ready:
            self._empty[feed] = None

    # -- claimed jobs whose handler has not started -------------------------------------------

    def hold(self, feed: AnyFeed) -> None:
        """Record that jobs were added to the ``unbegun`` of a feed."""
        if feed.unbegun:
            self.unbegun[feed] = None

    def begin(self, feed: AnyFeed) -> Claim:
        """Take the job whose handler starts next."""
        claim = feed.unbegun.popleft()
        if not feed.unbegun:
            del self.unbegun[feed]
        return claim

    def lose(self, feed: AnyFeed, claim: HeldClaim) -> bool:
        """Forget a job whose claim was lost; return whether its handler had not started."""
        for index, one in enumerate(feed.unbegun):
            if one is claim:
                del feed.unbegun[index]
                if not feed.unbegun:
                    del self.unbegun[feed]
                return True
        return False

    def give_up(self, feed: AnyFeed) -> list[Claim]:
        """Take all such jobs of a feed; no handler starts for them."""
        claims = list(feed.unbegun)
        feed.unbegun.clear()
        self.unbegun.pop(feed, None)
        return claims

    # -- calls and watches ------------------------------------------------------------------

    def _used(self) -> int:
        """Count the jobs that were claimed and are not done."""
        used = self.working
        if self._in_threads is not None:
            used = max(used, self._in_threads())
        for feed in self.unbegun:
            used += len(feed.unbegun)
        return used

    def has_room(self) -> bool:
        """Return whether another job may be claimed."""
        return not self._stopped and self._used() + self.asked < self._concurrency

    def fill(self) -> None:
        """Finish the jobs that are done, and claim others while there is room."""
        speaking, self._speaking = self._speaking, {}
        if self._stopped:
            for feed in speaking:
                feed.call(0)
            return
        shares = self._shares.share(self._concurrency - self._used() - self.asked)
        for feed in speaking:
            feed.call(shares.pop(feed, 0))
        for feed, share in shares.items():
            feed.call(share)
        if self._empty or self._many:
            self._watch_or_look()
        if self._watching and self._timer is None and self._is_full():
            self._timer = self._reactor.callLater(UNWATCH, self._take_back)

    def _watch_or_look(self) -> None:
        room = self.has_room()
        empty, self._empty = self._empty, {}
        for feed in empty:
            if room:
                self._watch(feed)
            elif self._many:
                self._unknown[feed.job.pub].add(feed)
            else:
                self._empty[feed] = None
        if self._many:
            now = self._reactor.seconds()
            for unknown in self._unknown.values():
                unknown.look(now, room)

    def _watch(self, feed: AnyFeed) -> None:
        if feed.open and not feed.ready:
            self._watching[feed] = None
            feed.watch()
            if not feed.watched:
                self._watching.pop(feed, None)

    def _is_full(self) -> bool:
        return self._used() >= self._concurrency

    def _take_back(self) -> None:
        """Watch fewer feeds, if there is still no room."""
        self._timer = None
        if self._is_full():
            for feed in list(self._watching)[:MOST_UNWATCHED]:
                feed.unwatch()
