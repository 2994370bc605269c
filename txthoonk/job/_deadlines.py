"""The deadlines of a feed: delayed jobs that are due, and claims that are too old."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk.consumers._deadlines import MOST, Timekeeper
from txthoonk.consumers._room import WaitingRoom
from txthoonk.job._recoverer import JobPass
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._taken import TakenFeed

__all__ = ["Deadlines"]

_DUE = load("job/due")


class Deadlines:
    """The deadlines of the jobs of one feed.

    :ivar timekeeper: moves delayed jobs into the line and ends old claims when they are due,
        while a get, a worker or maintenance attends.

    :param restore: LPUSH or RPUSH: where maintenance puts lost jobs back.
    """

    def __init__(self, feed: TakenFeed, restore: str) -> None:
        self._feed = feed
        self._restore = restore
        self._due = (*_DUE.bind(feed.name), MOST)
        self.timekeeper = feed.pub.waiting_room.timekeeper(feed.name, self._make_timekeeper)

    def _make_timekeeper(self, room: WaitingRoom) -> Timekeeper:
        return Timekeeper(room, self._feed.name, self.look, self._expire)

    def look(self) -> Deferred[list[Any]]:
        """Move delayed jobs that are due into the line.

        :return: fires the reply of the script.
        """
        return self._feed.pub.redis.call(_DUE, self._due, TEXT)

    def _expire(self) -> Coroutine[Any, Any, int | None]:
        return self._make_pass().expire()

    def maintain(self) -> Coroutine[Any, Any, dict[str, int]]:
        """Make one pass of maintenance."""
        return self._make_pass().run()

    def _make_pass(self) -> JobPass:
        return JobPass(self._feed, self._restore, self.look)
