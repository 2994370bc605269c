"""Which feeds of a worker are asked for jobs, which are watched, and which are looked at.

A feed of which nothing is known is *looked at*, many in one call, which takes nothing.  One
that may have jobs is *asked*, as soon as there is room, in its turn.  One that was found empty
is *watched* while there is room: a get waits for its next job.  Where jobs take all the room
for longer, watches are taken back, a few at a time, and the feeds are looked at again, those
first that were looked at longest ago.

Nothing here depends on how many feeds there are, but for what is found out of each once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._scripts import load
from txthoonk.worker._fair_share import Shares

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import HeldClaim, Publisher
    from txthoonk.types import Claim
    from txthoonk.worker._feed_consumer import Pump

__all__ = ["MOST", "Schedule"]

_LOOK = load("worker/look")

MOST = 100  # jobs that one call finishes or claims
MOST_LOOKS = 100  # feeds in one call
LOOK = 0.02  # seconds from one call to the next, while there is no room
# Watches are cheap to keep, and dear to begin again.  But what comes while there is no room
# has to be given back, which takes time that others could have worked on it.
UNWATCH = 0.05  # seconds from one time to the next that watches are taken back
MOST_UNWATCHED = 10


class _Unknown:
    """Feeds of one publisher of which it is not known whether they have jobs."""

    def __init__(self, schedule: Schedule, pub: Publisher) -> None:
        self._schedule = schedule
        self._pub = pub
        self._pumps: dict[Pump, None] = {}  # those first that were looked at longest ago
        self._looking: list[Pump] = []
        self._last = 0.0

    def add(self, pump: Pump) -> None:
        self._pumps[pump] = None

    def remove(self, pump: Pump) -> None:
        self._pumps.pop(pump, None)

    def look(self, now: float, room: bool) -> None:
        """Look at some of them, but not too often while there is no room."""
        if not self._pumps or self._looking or (not room and now - self._last < LOOK):
            return
        self._last = now
        looking = self._looking = list(self._pumps)[:MOST_LOOKS]
        keys: list[str] = []
        for pump in looking:
            del self._pumps[pump]
            keys += (pump.job.feed_ids, pump.job.feed_config)
        looked = self._pub.redis.call(_LOOK, _LOOK.prefix(keys), TEXT)
        looked.addCallback(self._looked).addErrback(self._not_looked)

    def _looked(self, reply: Any) -> None:
        found = set(map(int, reply))
        self._over([index in found for index in range(len(self._looking))])

    def _not_looked(self, reason: Failure) -> None:
        # Whoever asks each of them learns why, and tries again.
        self._over([True] * len(self._looking))

    def _over(self, found: list[bool]) -> None:
        looked, self._looking = self._looking, []
        for pump, ready in zip(looked, found, strict=True):
            self._schedule.looked(pump, ready)


class Schedule:
    """The feeds of one worker.

    :ivar working: how many jobs are worked on.
    :ivar asked: how many may be claimed any moment, by calls under way.
    :ivar unbegun: the feeds of which jobs are claimed, and not begun.

    :param concurrency: how many may be worked on at a time.
    :param many: whether there are several feeds.
    :param soon: calls :meth:`fill` soon.
    :param in_threads: counts the threads that handlers occupy.  A handler keeps its thread
        after its job was lost.
    """

    def __init__(
        self,
        concurrency: int,
        many: bool,
        reactor: Any,
        soon: Callable[[], object],
        in_threads: Callable[[], int] = lambda: 0,
    ) -> None:
        self._concurrency = concurrency
        self._many = many
        self._reactor = reactor
        self._soon = soon
        self._in_threads = in_threads
        self.working = self.asked = 0
        self.unbegun: dict[Pump, None] = {}
        self._coming = 0  # jobs that are claimed, and not begun
        self._stopped = False
        self._shares: Shares[Pump] = Shares(MOST)
        self._speaking: dict[Pump, None] = {}  # those that have something to say
        self._empty: dict[Pump, None] = {}  # those that were found empty just now
        self._unknown: dict[Publisher, _Unknown] = {}
        self._watching: dict[Pump, None] = {}  # those first that have watched for longest
        self._timer: IDelayedCall | None = None

    def add(self, pump: Pump) -> None:
        """Take a feed in."""
        self._shares.add(pump, pump.weight)
        pub = pump.job.pub
        if pub not in self._unknown:
            self._unknown[pub] = _Unknown(self, pub)
        if self._many:
            self._unknown[pub].add(pump)
        else:
            pump.ready = True
            self.update(pump)

    def stop(self) -> None:
        """Claim no more."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- what is learnt of a feed -----------------------------------------------------------

    def update(self, pump: Pump) -> None:
        """Learn that a feed may be asked, or not any more."""
        if pump.ready and pump.open and pump.free:
            self._shares.want(pump)
        else:
            self._shares.refuse(pump)

    def speak(self, pump: Pump) -> None:
        """Learn that a feed has something to say."""
        self._speaking[pump] = None

    def answered(self, pump: Pump, claim: int, got: int, more: bool) -> None:
        """Learn how many jobs a call has brought, of those that were asked for.

        :param more: whether there may be more.
        """
        self.asked -= claim
        if claim > got:
            # An ask costs a piece also where it brings nothing.
            self._shares.charge(pump, max(got, 1) - claim)
        if not more:
            pump.ready = False
            self._empty[pump] = None
        self.update(pump)

    def not_answered(self, pump: Pump, claim: int) -> None:
        """Learn that a call has failed."""
        self.asked -= claim
        self._shares.charge(pump, -claim)

    def looked(self, pump: Pump, ready: bool) -> None:
        """Learn whether a feed has jobs."""
        if not pump.open:
            return  # it comes back by itself
        if ready:
            pump.ready = True
            self.update(pump)
        elif not pump.ready:
            self._empty[pump] = None
        self._soon()

    def came(self, pump: Pump) -> bool:
        """Learn that a watch has brought a job; whether there is room for it."""
        self._watching.pop(pump, None)
        if not self.has_room():
            return False
        self._shares.charge(pump, 1)
        return True

    def watch_ended(self, pump: Pump) -> None:
        """Learn that a feed is watched no more, without a job."""
        self._watching.pop(pump, None)
        if pump.open and not pump.ready:
            self._empty[pump] = None

    # -- jobs that are claimed, and not begun -------------------------------------------------

    def hold(self, pump: Pump, claim: Claim) -> None:
        """Keep a job until it is begun."""
        pump.unbegun.append(claim)
        self.unbegun[pump] = None
        self._coming += 1

    def begin(self, pump: Pump) -> Claim:
        """Give the one to begin next."""
        claim = pump.unbegun.popleft()
        self._forget(pump, 1)
        return claim

    def lose(self, pump: Pump, claim: HeldClaim) -> bool:
        """Forget one that was lost; whether it was here."""
        for index, one in enumerate(pump.unbegun):
            if one is claim:
                del pump.unbegun[index]
                self._forget(pump, 1)
                return True
        return False

    def give_up(self, pump: Pump) -> list[Claim]:
        """Give all of a feed, which are not begun any more."""
        claims = list(pump.unbegun)
        pump.unbegun.clear()
        self._forget(pump, len(claims))
        return claims

    def _forget(self, pump: Pump, count: int) -> None:
        self._coming -= count
        if not pump.unbegun:
            self.unbegun.pop(pump, None)

    # -- what is done -----------------------------------------------------------------------

    def room(self) -> int:
        """Tell how many jobs may be claimed."""
        return self._concurrency - self._busy() - self._coming - self.asked

    def _busy(self) -> int:
        return max(self.working, self._in_threads())

    def has_room(self) -> bool:
        """Tell whether one may be claimed."""
        return not self._stopped and self.room() > 0

    def fill(self) -> None:
        """Say what there is to say, and claim as much as there is room for."""
        shares = {} if self._stopped else self._shares.share(self.room())
        speaking, self._speaking = self._speaking, {}
        for pump in {**speaking, **shares}:
            pump.call(shares.get(pump, 0))
        if not self._stopped:
            self._watch_or_look()
            self._set_timer()

    def _watch_or_look(self) -> None:
        room = self.has_room()
        empty, self._empty = self._empty, {}
        for pump in empty:
            if room:
                self._watch(pump)
            elif self._many:
                self._unknown[pump.job.pub].add(pump)
            else:
                self._empty[pump] = None
        if self._many:
            now = self._reactor.seconds()
            for unknown in self._unknown.values():
                unknown.look(now, room)

    def _watch(self, pump: Pump) -> None:
        if pump.open and not pump.ready:
            self._watching[pump] = None
            pump.watch()
            if not pump.watched:
                self._watching.pop(pump, None)

    def _set_timer(self) -> None:
        if self._timer is None and self._watching and self._is_full():
            self._timer = self._reactor.callLater(UNWATCH, self._take_back)

    def _is_full(self) -> bool:
        return self._busy() + self._coming >= self._concurrency

    def _take_back(self) -> None:
        """Watch fewer feeds, if there is no room still."""
        self._timer = None
        if self._is_full():
            for pump in list(self._watching)[:MOST_UNWATCHED]:
                pump.unwatch()
