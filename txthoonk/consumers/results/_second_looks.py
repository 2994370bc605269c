"""Looks again at jobs that calls wait for, because not every end of a job is announced.

thoonk.py publishes nothing when it retracts or stalls a job, or finishes it without a result.  So
each job is looked at 1, 2, 4, 8, 16 and 32 seconds after it was looked up, and every 30 seconds
from then on.  One script call looks at all jobs of a feed that are due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from txthoonk.consumers.gets._passing_on import MOST_IDS
from txthoonk.errors import ThoonkError

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Room

__all__ = ["SecondLooks"]

FIRST = 1.0  # seconds until the first look at a job, and at least from one call to the next
LAST = 30.0  # seconds from one look at a job to the next, at most


class SecondLooks:
    """Looks again at the jobs of one feed.

    :param look: calls ``job/ended``: fires the ids that are gone, and those that are stalled.
    :param waiting: lists the ids to look at, and when each was looked up, in seconds.
    :param gone: called with the id of each job that is gone.
    :param stalled: called with the id of each job that is stalled.
    """

    def __init__(
        self,
        room: Room,
        look: Callable[[list[str]], Deferred[tuple[list[str], list[str]]]],
        waiting: Callable[[], Iterable[tuple[str, float]]],
        gone: Callable[[str], object],
        stalled: Callable[[str], object],
    ) -> None:
        self._room = room
        self._look = look
        self._waiting = waiting
        self._gone = gone
        self._stalled = stalled
        self._due: dict[str, float] = {}
        self._timer: IDelayedCall | None = None
        self._looking = False

    def begin(self) -> None:
        """Look from time to time, until :meth:`stop`; soon at a job that was just looked up."""
        reactor = self._room.reactor
        if self._timer is None:
            self._timer = reactor.callLater(FIRST, self._tick)
        elif self._timer.getTime() > reactor.seconds() + FIRST:
            self._timer.reset(FIRST)

    def stop(self) -> None:
        """Look no more."""
        self._due.clear()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _tick(self) -> None:
        now = self._room.reactor.seconds()
        before, self._due, ids = self._due, {}, []
        for id_, since in self._waiting():
            due = before.get(id_, since + FIRST)
            if due <= now:
                ids.append(id_)
                due = now + min(max(now - since, FIRST), LAST)
            self._due[id_] = due
        next_due = min(self._due.values(), default=now)
        self._timer = self._room.reactor.callLater(max(next_due - now, FIRST), self._tick)
        if ids and self._room.up and not self._looking:
            self._looking = True
            looking = Deferred.fromCoroutine(self._look_at(ids))
            # The next look repeats it.
            looking.addErrback(lambda reason: reason.trap(ThoonkError))
            looking.addBoth(self._looked)

    async def _look_at(self, ids: list[str]) -> None:
        for first in range(0, len(ids), MOST_IDS):
            gone, stalled = await self._look(ids[first : first + MOST_IDS])
            for id_ in gone:
                self._gone(id_)
            for id_ in stalled:
                self._stalled(id_)

    def _looked(self, result: object) -> object:
        self._looking = False
        return result
