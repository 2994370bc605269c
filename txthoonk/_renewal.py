"""Renews all claims of a publisher together, and tells that its workers live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._encoding import TEXT
from txthoonk._passing import Passing, passes, passing
from txthoonk._scripts import load

if TYPE_CHECKING:
    from txthoonk._publishing import Publishing
    from txthoonk.types import Claim, Job

__all__ = ["Renewal", "Renewed", "renewal_of"]

_RENEW = load("worker/renew")

LONGEST = 10.0  # seconds between two renewals
SHORTEST = 0.02
PARTS = 3  # renewals in the time of a claim
MOST_CLAIMS = 500  # in one call
FORGOTTEN = 60_000  # milliseconds after which a worker that says nothing is forgotten


class Renewed(Protocol):
    """Whose claims are renewed: a worker's, on one feed.

    :ivar job: the feed.
    :ivar number: tells it from others of the same process.
    """

    job: Job
    number: int

    def claims(self) -> list[Claim]:
        """Give the claims to renew."""

    def about(self) -> str:
        """Give what to tell of the worker, as JSON."""

    def lost(self, claim: Claim) -> None:
        """Learn that a job is not claimed by that any more."""

    def learn_timeout(self, seconds: float) -> None:
        """Learn how long claims last; 0: for ever."""


class Renewal:
    """The claims of one publisher."""

    _log = Logger()

    def __init__(self, pub: Publishing, reactor: Any) -> None:
        self._pub = pub
        self._reactor = reactor
        self._all: dict[Renewed, float] = {}  # with how long their claims last
        self._timer: IDelayedCall | None = None
        self._calling: Deferred[None] | None = None

    def add(self, renewed: Renewed) -> None:
        """Begin to renew."""
        self._all[renewed] = 0.0
        self._pub.waiting_room.returning.add(self)
        self._set_timer(0.0)

    def remove(self, renewed: Renewed) -> Deferred[None]:
        """Stop.

        :return: fires once Redis knows that the worker has ended.
        """
        del self._all[renewed]
        if not self._all:
            self._pub.waiting_room.returning.discard(self)
            self._stop_timer()
        return self._call([(renewed, "", [])])

    def _interval(self) -> float:
        limits = [timeout / PARTS for timeout in self._all.values() if timeout]
        return max(SHORTEST, min([LONGEST, *limits]))

    def _set_timer(self, wait: float) -> None:
        self._stop_timer()
        self._timer = self._reactor.callLater(wait, self.renew)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def renew(self) -> None:
        """Renew all, and again in time."""
        self._set_timer(self._interval())
        if self._calling is None:
            calling = self._calling = Deferred.fromCoroutine(self._renew())
            calling.addErrback(self._cannot).addBoth(self._called)

    #: After an outage claims may be lost, or about to be.
    resume = renew

    def _called(self, _: object) -> None:
        self._calling = None

    def _cannot(self, reason: Failure) -> None:
        if not passes(reason.value, worked=True):
            self._log.failure("claims cannot be renewed", reason)
        elif passing(reason.value) is not Passing.CONNECTION:  # of which others tell
            self._log.warn(
                "claims cannot be renewed now: {error}", error=reason.getErrorMessage()
            )

    async def _renew(self) -> None:
        part: list[tuple[Renewed, str, list[Claim]]] = []
        size = 0
        for renewed in list(self._all):
            claims = renewed.claims()
            for first in range(0, max(len(claims), 1), MOST_CLAIMS):
                some = claims[first : first + MOST_CLAIMS]
                if part and size + len(some) > MOST_CLAIMS:
                    await self._call_for(part)
                    part, size = [], 0
                part.append((renewed, renewed.about(), some))
                size += len(some)
        await self._call_for(part)

    async def _call_for(self, part: list[tuple[Renewed, str, list[Claim]]]) -> None:
        """Make a call for those who have not ended meanwhile."""
        left = [one for one in part if one[0] in self._all]
        if left:
            await self._call(left)

    def _call(self, part: list[tuple[Renewed, str, list[Claim]]]) -> Deferred[None]:
        keys: list[str] = []
        words: list[str | int] = [FORGOTTEN]
        for renewed, about, claims in part:
            job = renewed.job
            keys += (job.feed_claimed, job.feed_claims, job.feed_workers, job.feed_config)
            words += (f"{self._pub._uuid}:{renewed.number}", about, len(claims))
            for claim in claims:
                words += (claim.id, claim.token)
        command = (*_RENEW.prefix(keys), *words)
        called = self._pub.redis.call(_RENEW, command, TEXT)
        return called.addCallback(self._renewed, part)

    def _renewed(self, reply: list[Any], part: list[tuple[Renewed, str, list[Claim]]]) -> None:
        for index, (renewed, _, claims) in enumerate(part):
            timeout, lost = reply[2 * index : 2 * index + 2]
            if renewed in self._all:
                self._learn(renewed, timeout)
            for number in lost:
                renewed.lost(claims[number])

    def _learn(self, renewed: Renewed, timeout: str | None) -> None:
        """Learn how long claims last by now."""
        try:
            seconds = float(timeout or 0)
        except ValueError:
            seconds = 0.0
        seconds = seconds if 0 < seconds < float("inf") else 0.0
        renewed.learn_timeout(seconds)
        if seconds != self._all[renewed]:
            self._all[renewed] = seconds
            self._set_timer(self._interval())


def renewal_of(pub: Publishing, reactor: Any) -> Renewal:
    """Give the one of a publisher."""
    room = pub.waiting_room
    if room.renewal is None:
        room.renewal = Renewal(pub, reactor)
    return room.renewal
