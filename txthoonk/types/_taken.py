"""The base class of feeds whose items are taken: Queue, PythonQueue and Job."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring, passing
from txthoonk._support._threads import check_thread
from txthoonk.consumers._room import WaitingRoom
from txthoonk.consumers.gets._get_queue import Line, Scripts
from txthoonk.errors import InvalidInput, shown
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import read_ids
from txthoonk.types._base import BaseFeed
from txthoonk.types._bulk import Progressed, put_many
from txthoonk.types._recoverer import Pass
from txthoonk.wire._checks import check_seconds
from txthoonk.wire._keys import feed_key, new_id
from txthoonk.wire._scripts import load
from txthoonk.wire._settings import setting_from

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["TakenFeed"]

_PUT_BACK = load("queue/put_back")


class TakenFeed(BaseFeed):
    """A line of items, each of which goes to one consumer.

    :cvar NORMAL: the priority that puts an item at the end of the line.
    :cvar HIGH: the priority that puts an item at its front.
    :ivar feed_transit: key of the ids that BLMOVE has moved for a waiting get.
    :ivar feed_delivering: key of the ids that are being delivered, or observed by maintenance,
        and since when.
    """

    NORMAL: ClassVar[int] = 0
    HIGH: ClassVar[int] = 1

    #: The command that puts an item, by priority.
    _PUSHES: ClassVar[tuple[str, str]] = ("LPUSH", "RPUSH")
    #: The folder of the scripts that the line calls.
    _KIND: ClassVar[str]
    #: Where maintenance puts lost ids back: LPUSH for the end of the line, RPUSH for its front.
    _RESTORE: ClassVar[str]

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        self.feed_transit = feed_key("transit", name)
        self.feed_delivering = feed_key("delivering", name)
        self.feed_claimed = feed_key("claimed", name)
        self.feed_claims = feed_key("claims", name)
        self.feed_stalled = feed_key("stalled", name)
        self._line: Line | None = None

    def _make_line(self, room: WaitingRoom) -> Line:
        return Line(room, self.name, self.feed_ids, self.feed_transit, self._scripts())

    def _scripts(self) -> Scripts:
        raise NotImplementedError

    def _put_back(self) -> Any:
        return _PUT_BACK, _PUT_BACK.bind(self.name)

    def _receive(self, time: bytes, serializer: bytes | int, *parts: bytes) -> Any:
        """Build the result of a get.

        :param time: the time in the reply of the script.
        :param serializer: the name of the feed's serializer in that reply; 0 for the default.
        """
        raise NotImplementedError

    def _push(self, priority: int) -> str:
        if priority not in (self.NORMAL, self.HIGH):
            raise InvalidInput(
                f"the priority of an item is {type(self).__name__}.NORMAL or "
                f"{type(self).__name__}.HIGH: {shown(priority)}"
            )
        return self._PUSHES[priority]

    @deferring
    def _get(self, timeout: float) -> Deferred[Any]:
        if self._line is None:
            self._line = self.pub.waiting_room.line(self._KIND, self.name, self._make_line)
        return self._line.get(check_seconds(timeout, "a timeout"), self._receive)

    @passing
    def put_many(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        priority: int = NORMAL,
        *,
        progress: Progressed | None = None,
    ) -> Deferred[list[str]]:
        """Put many items, some hundred in each call, in their order.

        Up to four calls are pending at a time, and *items* is read as they are answered.  Redis
        carries out each call completely or not at all.  If one fails, those before it are done,
        and up to three after it may be.

        :param items: an iterable or asynchronous iterable of values that the feed's serializer
            accepts.
        :param priority: as for :meth:`put`; the first item is taken first.  With ``HIGH`` all
            items are read before the first is put.
        :param progress: called after each call with the number of items put so far.
        :return: fires the list of ids; fails like :meth:`put`.  Cancel it to put no more.
        """
        check_thread()
        send = self._putter(self._push(priority))
        pair = partial(self._new_pair, self._dumps)
        return AwaitableDeferred.fromCoroutine(
            put_many(items, pair, send, progress, bool(priority))
        )

    def _new_pair(self, dumps: Callable[[Any], str | bytes], item: Any) -> tuple[str, str | bytes]:
        return new_id(), dumps(item)

    def _putter(self, push: str) -> Callable[[list[str | bytes]], Deferred[list[str]]]:
        """Return a function that puts id, item, id, item, ..., in the present serializer."""
        raise NotImplementedError

    def pause(self) -> Deferred[None]:
        """Pause the feed until :meth:`resume`: gets wait, and new items stay in the line.

        This sets ``paused`` in the configuration.  It does not affect items that have been taken.
        Other implementations ignore it.

        :return: fires None; fails with :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.set_config({"paused": 1})

    def resume(self) -> Deferred[None]:
        """Resume a paused feed, also for the gets that wait.

        :return: fires None; fails with :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.set_config({"paused": 0})

    @deferring
    def is_paused(self) -> Deferred[bool]:
        """Return whether the feed is paused.

        :return: fires a bool; fails with :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.get_config().addCallback(lambda conf: setting_from(conf, "paused") != "0")

    def _ids_in_line(self) -> Deferred[list[str]]:
        request, ids = self.pub.redis.request, self.feed_ids
        return AwaitableDeferred.fromCoroutine(
            read_ids(lambda first, last: request(("LRANGE", ids, first, last), TEXT))
        )

    def length(self) -> Deferred[int]:
        """Count the items in the line (LLEN).

        :return: fires an int.
        """
        return self.pub.redis.request(("LLEN", self.feed_ids), TEXT)

    @deferring
    def maintenance(self) -> Deferred[dict[str, int]]:
        """Put back the items that were lost on their way from the line to a consumer.

        The first pass that finds an id in transit or in no state notes the time.  The first pass
        at least 30 seconds later that finds it there puts it back.  Run a pass about every 30
        seconds; it does no harm to run several at the same time.  A pass reads all ids in slices,
        so that other clients get their turn: O(n) for n items.

        :return: fires the numbers of ids ``dated``, ``restored``, and ``dropped`` because they
            have no item; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancel it to stop between two slices.
        """
        return AwaitableDeferred.fromCoroutine(Pass(self, self._RESTORE).run())
