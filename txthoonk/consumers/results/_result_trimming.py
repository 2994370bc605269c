"""Deletes kept results that exceed the feed's ``keep_results``, one call at a time.

Every finish that keeps a result may exceed the limit.  However many finishes are pending, a
publisher has one call of ``job/forget`` pending for each feed, and pauses after a call that was
not full: so deleting costs a few calls a second, not one for each finish.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Room

__all__ = ["MOST", "Forgetting"]

MOST = 500  # results that one call deletes
PAUSE = 0.1  # seconds from the last call to the next look


class Forgetting:
    """Deletes old results of one feed.

    :param forget: deletes results, and fires the ids of others to delete: see
        ``scripts/job/forget.lua``.
    """

    def __init__(self, room: Room, forget: Callable[[list[str]], Deferred[list[str]]]) -> None:
        self._room = room
        self._forget = forget
        self._busy = False
        self._again = False
        self._timer: IDelayedCall | None = None

    def wanted(self) -> int:
        """Return how many ids of old results the reply to the next finish may have."""
        self._again = self._busy
        return 0 if self._busy else MOST

    def found(self, ids: list[str]) -> None:
        """Delete the old results that the reply of a finish named."""
        if ids and not self._busy:
            self._busy = True
            self._call(ids)

    def _call(self, ids: list[str]) -> None:
        self._again = False  # this call sees what the finishes before it have kept
        self._forget(ids).addCallbacks(self._forgotten, self._failed)

    def _forgotten(self, more: list[str]) -> None:
        if self._again and len(more) < MOST:
            self._room.outages.will_act(self)
            self._timer = self._room.reactor.callLater(PAUSE, self._rested, more)
        elif more:
            self._call(more)
        else:
            self._busy = False

    def _failed(self, _: object) -> None:
        # The excess results stay until the next result is kept.
        self._busy = False

    def _rested(self, ids: list[str]) -> None:
        self._timer = None
        self._room.outages.rests(self)
        self._call(ids)

    def rest(self) -> None:
        """Do nothing until the next finish."""
        self._room.outages.rests(self)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            self._busy = False
