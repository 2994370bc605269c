"""The queue: each item goes to one consumer (contract: Queue)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring
from txthoonk._support._replies import parsing
from txthoonk.consumers.gets._get_queue import Scripts
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._base import storing, to_text
from txthoonk.types._taken import TakenFeed
from txthoonk.wire._keys import new_id
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["Queue"]

_PUT = load("queue/put")
_GET = load("queue/get")
_DELIVERED = load("queue/delivered")


class Queue(TakenFeed):
    """A line of items: first in, first out, with high priority before all others.

    An item is deleted once it is delivered: when the Deferred of a :meth:`get` has fired it.
    """

    _KINDS = ()
    _KIND = "queue"
    _RESTORE = "RPUSH"

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        self._bind_items()

    def _bind_items(self) -> None:
        super()._bind_items()
        self._put = {push: (*_PUT.bind(self.name), push, self._assumed) for push in self._PUSHES}

    def _scripts(self) -> Scripts:
        return Scripts(
            get=(_GET, _GET.bind(self.name)),
            width=2,
            put_back=self._put_back(),
            delivered=(_DELIVERED, _DELIVERED.bind(self.name)),
        )

    @storing(0)
    def put(self, item: Any, priority: int = TakenFeed.NORMAL) -> Deferred[str]:
        """Put an item into the line.

        :param item: any value that the feed's serializer accepts.
        :param priority: ``Queue.NORMAL`` for the end of the line, ``Queue.HIGH`` for its front.
        :return: fires the item's id; fails with
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        prefix, group = self._put[self._push(priority)], (new_id(), self._dumps(item))
        repeating = self._repeating
        if repeating.waits:
            return repeating.later(_PUT, prefix, group)
        return self.pub.redis.call_together(_PUT, prefix, group, TEXT, repeating)

    publish = put

    def _putter(self, push: str) -> Callable[[list[str | bytes]], Deferred[list[str]]]:
        call, prefix = self._repeating.call, self._put[push]
        return lambda words: call(_PUT, prefix, tuple(words))

    def get(self, timeout: float = 0) -> Deferred[Any]:
        """Take the next item; wait for one if there is none.

        Gets are served in the order of their calls.  All gets that wait for this feed on this
        publisher share one extra connection.  A get that waits continues to wait when the feed
        is deleted, because the feed may be created again.

        :param timeout: seconds to wait, fractions allowed; 0 for no limit.
        :return: fires the item; fails with
            :class:`~txthoonk.errors.Empty` after *timeout*,
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read the item, which
            counts as delivered, :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancel it to take nothing.
        """
        return self._get(timeout)

    def _receive(self, time: bytes, serializer: bytes | int, *parts: bytes) -> Any:
        self._follow(serializer)
        with parsing:
            id_, item = parts
        return self._load_bytes(item, to_text(id_))

    @deferring
    def get_ids(self) -> Deferred[list[str]]:
        """Read the ids in the line; the next to be delivered is last: O(n) (LRANGE).

        Up to some thousand ids are read at one moment.  More are read in slices: an id that is put
        or taken during the call may be missing or not; all others are listed once.

        :return: fires a list of ids.
        """
        return self._ids_in_line()
