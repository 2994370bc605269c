"""Renews all claims of a publisher together, and records that its workers are alive."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._clock import keep_steady
from txthoonk.connections._back_off import FIRST_DELAY, LAST_DELAY
from txthoonk.consumers._channel_listener import Listening
from txthoonk.consumers._interfaces import HeldClaim, Named, Room, Sender
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._transient import Passing, passes, passing
from txthoonk.wire._keys import CONFFEED
from txthoonk.wire._scripts import load

__all__ = ["Renewal", "Renewed", "renewal_of"]

_RENEW = load("worker/renew")
_renew = _RENEW.bind_each()

LONGEST = 10.0  # seconds between two renewals
SHORTEST = 0.02
PARTS = 3  # renewals within the timeout of a claim
MOST_CLAIMS = 500  # in one call
MOST_FEEDS = 100
FORGOTTEN = 60_000  # milliseconds without a renewal after which a worker counts as gone


Part = list[tuple["Renewed", str, Sequence["HeldClaim"]]]


class Renewed(Protocol):
    """The part of a worker that has claims on one feed to renew.

    :ivar number: identifies it within the process.
    """

    number: int

    @property
    def job(self) -> Named:
        """The feed."""

    def claims(self) -> Sequence[HeldClaim]:
        """Return the claims to renew."""

    def about(self) -> str:
        """Return the description of the worker that other programs can read, as JSON."""

    def lost(self, claim: HeldClaim) -> None:
        """Handle the loss of a claim."""

    def learn_timeout(self, seconds: float) -> None:
        """Take the timeout of the feed's claims; 0 for none."""

    def gone(self) -> None:
        """Handle that the feed has no configuration: it has vanished."""


class RenewingRoom(Room, Protocol):
    """A waiting room that keeps the renewal of its publisher.

    :ivar renewal: renews the claims of workers, if there are any.
    """

    renewal: Renewal | None


class RenewingPublisher(Sender, Protocol):
    """A publisher whose workers hold claims.

    :ivar uuid: identifies the publisher among all clients of the server.
    """

    uuid: str

    @property
    def waiting_room(self) -> RenewingRoom:
        """Has the connections on which the publisher waits."""


class Renewal:
    """The claims of one publisher."""

    _log = Logger()

    def __init__(self, pub: RenewingPublisher, reactor: Any) -> None:
        keep_steady(reactor)
        self._pub = pub
        self._reactor = reactor
        self._all: dict[Renewed, float] = {}  # and the seconds that their claims last
        self._by_feed: dict[str, dict[Renewed, None]] = {}
        # The timeout of a feed may change at any time.
        told = {CONFFEED: self._configured}
        self._listening = Listening(pub.waiting_room, "timeouts of jobs", told, self.renew)
        self._timer: IDelayedCall | None = None
        self._calling: Deferred[None] | None = None

    def add(self, renewed: Renewed) -> None:
        """Start to renew claims."""
        self._all[renewed] = 0.0
        self._by_feed.setdefault(renewed.job.name, {})[renewed] = None
        if len(self._all) == 1:
            self._pub.waiting_room.outages.join(self)
            self._listening.begin()
        self._set_timer(0.0)

    def remove(self, renewed: Renewed) -> Deferred[None]:
        """Stop renewing claims.

        :return: fires once Redis knows that the worker has ended.
        """
        del self._all[renewed]
        same = self._by_feed[renewed.job.name]
        del same[renewed]
        if not same:
            del self._by_feed[renewed.job.name]
        if not self._all:
            self._pub.waiting_room.outages.leave(self)
            self._listening.end()
            self._stop_timer()
        return self._call([(renewed, "", [])])

    def _interval(self) -> float:
        limits = [timeout / PARTS for timeout in self._all.values() if timeout]
        return max(SHORTEST, min([LONGEST, *limits]))

    def longest_rest(self) -> float:
        """Return the seconds that may pass between two attempts to connect.

        After an outage claims expire half a timeout later at the earliest (job/expire_claims):
        every publisher that holds claims must be back by then.
        """
        if not any(self._all.values()):
            return LAST_DELAY
        return max(FIRST_DELAY, self._interval() / 2 * random.uniform(0.5, 1))

    def _set_timer(self, wait: float) -> None:
        self._stop_timer()
        self._timer = self._reactor.callLater(wait, self.renew)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def renew(self) -> None:
        """Renew all claims, and schedule the next renewal."""
        self._set_timer(self._interval())
        if self._calling is None:
            # Workers with claims come first.
            all_ = sorted(self._all, key=lambda renewed: not renewed.claims())
            calling = self._calling = Deferred.fromCoroutine(self._renew(all_))
            calling.addErrback(self._cannot).addBoth(self._called)

    #: After an outage claims may be lost, or about to expire.
    resume = renew

    def _called(self, _: object) -> None:
        self._calling = None

    def _configured(self, name: str, *_: str) -> None:
        some = self._by_feed.get(name)
        if some:
            Deferred.fromCoroutine(self._renew(list(some))).addErrback(self._cannot)

    def _cannot(self, reason: Failure) -> None:
        if not passes(reason.value, worked=True):
            self._log.failure("claims cannot be renewed", reason)
        elif passing(reason.value) is not Passing.CONNECTION:  # logged elsewhere
            self._log.warn("claims cannot be renewed now: {error}", error=reason.getErrorMessage())

    async def _renew(self, some: list[Renewed]) -> None:
        for part in _parts(some):
            # A worker that has ended in the meantime must not be recorded as alive.
            left = [one for one in part if one[0] in self._all]
            if left:
                await self._call(left)

    def _call(self, part: Part) -> Deferred[None]:
        words: list[str | int] = [FORGOTTEN]
        for renewed, about, claims in part:
            words += (f"{self._pub.uuid}:{renewed.number}", about, len(claims))
            for claim in claims:
                words += (claim.id, claim.token)
        command = (*_renew([renewed.job.name for renewed, _, _ in part]), *words)
        called = self._pub.redis.call(_RENEW, command, TEXT)
        return called.addCallback(self._renewed, part)

    def _renewed(self, reply: list[Any], part: Part) -> None:
        changed = []
        for index, (renewed, _, claims) in enumerate(part):
            timeout, lost = reply[2 * index : 2 * index + 2]
            if renewed in self._all:
                seconds = _seconds(timeout)
                if timeout == 0:
                    renewed.gone()
                else:
                    renewed.learn_timeout(seconds)
                if seconds and seconds != self._all[renewed]:
                    changed.append(seconds)
                self._all[renewed] = seconds
            for number in lost:
                renewed.lost(claims[number])
        if changed and self._timer is not None:
            wait = max(SHORTEST, min(changed) / PARTS)
            if wait < self._timer.getTime() - self._reactor.seconds():
                self._set_timer(wait)


def _seconds(timeout: str | int | None) -> float:
    """Parse how long claims last, in seconds; 0: for ever."""
    try:
        seconds = float(timeout or 0)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


def _parts(some: Iterable[Renewed]) -> Iterator[Part]:
    """Divide the claims into calls; each is made once the previous one is answered."""
    part: Part = []
    size = 0
    for renewed in some:
        claims = renewed.claims()
        for first in range(0, max(len(claims), 1), MOST_CLAIMS):
            few = claims[first : first + MOST_CLAIMS]
            if part and (size + len(few) > MOST_CLAIMS or len(part) == MOST_FEEDS):
                yield part
                part, size = [], 0
            part.append((renewed, renewed.about(), few))
            size += len(few)
    if part:
        yield part


def renewal_of(pub: RenewingPublisher, reactor: Any) -> Renewal:
    """Return the renewal of a publisher; make it if there is none."""
    room = pub.waiting_room
    if room.renewal is None:
        room.renewal = Renewal(pub, reactor)
    return room.renewal
