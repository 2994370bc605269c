"""The deadlines of a job feed: delayed jobs that are due, and claims that are too old.

Every process that waits for jobs also keeps their deadlines.  :class:`Timekeeper` knows when the
next job is due and when the oldest claim is too old, and calls Redis only then.  The channel
``feed.delayed`` announces jobs that are due earlier.  Several timekeepers of one feed do no harm:
the first one that calls Redis handles everything that is due.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txthoonk.consumers._channel_listener import Listening
from txthoonk.consumers.gets._patience import Retry
from txthoonk.wire._keys import feed_channel

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Room

__all__ = ["MOST", "Timekeeper"]

MOST = 100  # delayed jobs that one call puts into the line
LEAST_WAIT = 0.005  # seconds from one look to the next
MOST_WAIT = 3600.0
SETTLING = 1.0  # seconds from a change of the configuration to the next look
_TIME = re.compile("[0-9]{1,100}")  # milliseconds
MARGIN = 0.001  # seconds; the server replies in whole milliseconds


class Timekeeper:
    """Keeps the deadlines of one feed, between :meth:`attend` and :meth:`leave`.

    :param due: makes jobs that are due available: see ``scripts/job/due.lua``.
    :param expire: ends claims that are too old; fires the milliseconds until the next look.
    """

    def __init__(
        self,
        room: Room,
        name: str,
        due: Callable[[], Deferred[list[Any]]],
        expire: Callable[[], Coroutine[Any, Any, int | None]],
    ) -> None:
        self._room = room
        self._due = due
        self._expire = expire
        self._attending = 0
        self._looking: Deferred[Any] | None = None
        self._again = False
        self._timer: IDelayedCall | None = None
        what = f"delayed jobs of {name!r}"
        told: dict[str, Callable[..., None]] = {feed_channel("delayed", name): self._told}
        configured = (name, self._configured)
        self._listening = Listening(room, what, told, self.look, configured)
        self._retry = Retry(room, what, self.look)

    def attend(self) -> None:
        """Count one more user; start with the first one."""
        self._attending += 1
        if self._attending == 1:
            self._room.outages.join(self)
            self._room.outages.will_act(self)
            self.resume()

    def leave(self) -> None:
        """Count one user less; stop after the last one."""
        self._attending -= 1
        if not self._attending:
            self._room.outages.leave(self)
            self._room.outages.rests(self)
            self.rest()

    def resume(self) -> None:
        """Continue on a new connection."""
        self._listening.begin()
        self.look()

    def rest(self) -> None:
        """Do nothing until :meth:`resume`."""
        self._listening.end()
        self._retry.stop()
        self._stop_timer()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()

    def look(self) -> None:
        """Put the due jobs into the line, and end claims that are too old."""
        if self._looking is not None:
            self._again = True
        elif self._attending and self._room.up:
            self._stop_timer()
            looking = self._looking = Deferred.fromCoroutine(self._look())
            looking.addCallbacks(
                self._looked, self._cannot_look, callbackArgs=(looking,), errbackArgs=(looking,)
            )

    async def _look(self) -> float | None:
        self._again = False
        count, next_due, limit, oldest = await self._due()
        waits = [] if next_due is None else [int(next_due)]
        if int(limit) and oldest is not None and int(oldest) >= int(limit):
            waits.append(await self._expire() or 0)
        elif int(limit):
            # A claim that is made after this look is too old after the limit at the earliest.
            waits.append(int(limit) - int(oldest or 0))
        if count == MOST:
            waits = [0]
        return min(waits, default=None)

    def _looked(self, wait: float | None, looking: Deferred[Any]) -> None:
        if self._looking is not looking:
            return
        self._looking = None
        self._retry.succeeded()
        if self._again:
            wait = 0
        if wait is not None:
            self._set_timer(wait / 1000 + MARGIN)

    def _cannot_look(self, reason: Failure, looking: Deferred[Any]) -> None:
        if self._looking is looking:
            self._looking = None
            self._retry.later(reason)

    def _told(self, id_: str, milliseconds: str = "", *_: str) -> None:
        if self._looking is not None:
            self._again = True  # the pending look may not include it
        else:
            # Any client can publish anything on this channel; without a time, look at once.
            wait = int(milliseconds) / 1000 if _TIME.fullmatch(milliseconds) else 0.0
            self._set_timer(wait + MARGIN, earlier=True)

    def _configured(self, *_: str) -> None:
        if self._looking is not None:
            self._again = True
        else:
            # If the timeout is shorter now, workers must renew their claims first.
            self._set_timer(SETTLING, earlier=True)

    def _set_timer(self, wait: float, earlier: bool = False) -> None:
        if not self._attending:
            return
        wait = min(max(wait, LEAST_WAIT), MOST_WAIT)
        if self._timer is not None:
            due = self._timer.getTime() - self._room.reactor.seconds()
            if earlier and due <= wait:
                return
        self._stop_timer()
        self._timer = self._room.reactor.callLater(wait, self._on_time)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _on_time(self) -> None:
        self._timer = None
        self.look()
