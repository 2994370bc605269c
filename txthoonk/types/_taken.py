"""What feeds have in common whose items are taken away: Queue, PythonQueue and Job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred

from txthoonk._deferring import deferring
from txthoonk._keys import feed_key
from txthoonk._line import Line, Scripts
from txthoonk._maintenance import Maintenance
from txthoonk._redis import TEXT
from txthoonk._scripts import load
from txthoonk._timeouts import check_seconds
from txthoonk._waiting import WaitingRoom
from txthoonk.errors import InvalidInput, shown
from txthoonk.types._base import BaseFeed

if TYPE_CHECKING:
    from txthoonk._publishing import Publishing

__all__ = ["TakenFeed"]

_PUT_BACK = load("queue/put_back")


class TakenFeed(BaseFeed):
    """A line of items, each of which goes to one taker.

    :cvar NORMAL: the priority of what goes to the end of the line.
    :cvar HIGH: the priority of what goes to its front.
    :ivar feed_transit: key of the ids that BLMOVE has taken for a waiting get.
    :ivar feed_delivering: key of the ids that are being delivered, or observed by
        maintenance, with the time since when.
    """

    NORMAL: ClassVar[int] = 0
    HIGH: ClassVar[int] = 1

    #: Whose scripts the line calls.
    _KIND: ClassVar[str]
    #: Where maintenance puts back what was lost: LPUSH: at the end, RPUSH: in front.
    _RESTORE: ClassVar[str]

    def __init__(self, pub: Publishing, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self.feed_transit = feed_key("transit", name)
        self.feed_delivering = feed_key("delivering", name)
        self.feed_claimed = feed_key("claimed", name)
        self.feed_stalled = feed_key("stalled", name)
        self._line: Line | None = None

    def _make_line(self, room: WaitingRoom) -> Line:
        return Line(room, self.name, self.feed_ids, self.feed_transit, self._scripts())

    def _scripts(self) -> Scripts:
        raise NotImplementedError

    def _put_back(self) -> Any:
        keys = (self.feed_ids, self.feed_transit, self.feed_delivering, self.feed_claimed)
        return _PUT_BACK, _PUT_BACK.prefix(keys)

    def _receive(self, *parts: bytes) -> Any:
        """Make what a get fires."""
        raise NotImplementedError

    def _push(self, priority: int) -> str:
        if priority not in (self.NORMAL, self.HIGH):
            raise InvalidInput(
                f"the priority of an item is {type(self).__name__}.NORMAL or "
                f"{type(self).__name__}.HIGH: {shown(priority)}"
            )
        return "RPUSH" if priority else "LPUSH"

    @deferring
    def _get(self, timeout: float) -> Deferred[Any]:
        if self._line is None:
            self._line = self.pub.waiting_room.line(self._KIND, self.name, self._make_line)
        return self._line.get(check_seconds(timeout, "a timeout"), self._receive)

    def length(self) -> Deferred[int]:
        """Count the items in the line (LLEN).

        :return: fires an int.
        """
        return self.pub.redis.request(("LLEN", self.feed_ids), TEXT)

    def maintenance(self) -> Deferred[dict[str, int]]:
        """Put back what was lost on the way from the line to a taker.

        What is in no state, or on its way, is dated by the first pass that sees it, and
        put back by the first one that finds it there 30 seconds later.  Run it about
        every 30 seconds somewhere; several at once do no harm.  It reads all ids, a
        slice at a time, so that others get their turn in between: O(n) for n items.

        :return: fires how many ids were ``dated``, ``restored``, and ``dropped`` because
            they have no item; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancelling it stops it between
            two slices.
        """
        return Deferred.fromCoroutine(Maintenance(self, self._RESTORE).run())
