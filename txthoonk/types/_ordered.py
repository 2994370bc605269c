"""What feeds have in common whose items stay, in an order: Feed and SortedFeed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._deferring import deferring
from txthoonk._encoding import RAW, TEXT
from txthoonk._keys import check_id, feed_channel
from txthoonk._scripts import Script
from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.types._base import BaseFeed, to_text

if TYPE_CHECKING:
    from txthoonk._publishing import Publishing
    from txthoonk.mirror import Mirror

__all__ = ["OrderedFeed"]


class OrderedFeed(BaseFeed):
    """Items that are read by id or by rank, and removed by id.

    :ivar channel_publish: channel that tells of new items.
    :ivar channel_retract: channel that tells of removed items.
    """

    _RETRACT: Script
    _GET_RANGE: Script

    get_id = BaseFeed.get_item

    def __init__(self, pub: Publishing, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self.channel_publish = feed_channel("publish", name)
        self.channel_retract = feed_channel("retract", name)
        self._retract = self._RETRACT.prefix(
            (*self._keys, self.feed_ids), *self._words, self.channel_retract
        )
        self._get_range = self._GET_RANGE.prefix((self.feed_ids, self.feed_items))

    @deferring
    def retract(self, id_: str, expect: int | None = None) -> Deferred[bool]:
        """Remove an item.

        :param expect: the revision that the item must have; None: any.  See
            :meth:`get_item`.
        :return: fires True if it was there; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`, and with *expect* with
            :class:`~txthoonk.errors.Conflict` if the item has changed or is gone, or
            :class:`~txthoonk.errors.NoHistory`.
        """
        id_ = check_id(id_)
        command = (*self._retract, id_, self._expectation(expect))
        retracted = self.pub.redis.call(self._RETRACT, command, TEXT)
        return retracted.addCallback(self._retracted, id_)

    def _retracted(self, reply: Any, id_: str) -> bool:
        return bool(self._unless_conflict(reply, id_))

    @deferring
    def mirror(self) -> Deferred[Mirror]:
        """Keep a copy of the feed in this process, where its publisher is a ``Thoonk``.

        :return: fires a :class:`~txthoonk.mirror.Mirror` that has the feed's items; fails
            with :class:`~txthoonk.errors.InvalidInput` on another publisher.
        """
        mirror = getattr(self.pub, "mirror", None)
        if mirror is None:
            raise InvalidInput(
                "a mirror needs a subscriber beside the publisher: open the feed with Thoonk"
            )
        mirrored: Deferred[Mirror] = mirror(self)
        return mirrored

    def get_all(self) -> Deferred[dict[str, Any]]:
        """Read all items, of one moment, in their order: O(n) for n items.

        :return: fires a dict id -> item; fails like :meth:`get_item`.
        """
        return self.get_range(0, -1).addCallback(dict)

    @deferring
    def get_range(self, start: int, stop: int) -> Deferred[list[tuple[str, Any]]]:
        """Read items of one moment by their rank, 0 being the first.

        :param start: the first rank; a negative one counts from the end.
        :param stop: the last rank, included; a negative one counts from the end.
        :return: fires a list of (id, item), in their order; fails like
            :meth:`get_item`.
        """
        for rank in (start, stop):
            if type(rank) is not int:
                raise InvalidType(
                    f"a rank must be an int, not {type(rank).__name__}: {shown(rank)}"
                )
        command = (*self._get_range, start, stop)
        read = self.pub.redis.call(self._GET_RANGE, command, self._encoding)
        return read.addCallback(self._pairs)

    def _pairs(self, reply: Sequence[Sequence[Any]]) -> list[tuple[str, Any]]:
        ids, items = reply
        if self._encoding is RAW:
            ids = list(map(to_text, ids))
        if None in items:
            # An id without an item is what a writer left that died between two writes.
            whole = [pair for pair in zip(ids, items, strict=True) if pair[1] is not None]
            ids, items = zip(*whole, strict=True) if whole else ((), ())
        return list(zip(ids, map(self._load, items, ids), strict=True))
