"""The base class of feeds that keep their items in order: Feed and SortedFeed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring
from txthoonk._support._replies import parses, parsing
from txthoonk.errors import InvalidInput, InvalidResponse
from txthoonk.history._reads import ITEMS
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._base import BaseFeed, to_text
from txthoonk.wire._checks import MOST_WHOLE, check_whole
from txthoonk.wire._keys import check_id, feed_channel
from txthoonk.wire._scripts import Script

if TYPE_CHECKING:
    from txthoonk.subscriptions._mirror import Mirror
    from txthoonk.types._interfaces import Publisher

__all__ = ["OrderedFeed"]

SLICE = 1000  # items in one call


class OrderedFeed(BaseFeed):
    """Items that you read by id or by rank, and remove by id.

    :ivar channel_publish: channel of new items.
    :ivar channel_retract: channel of removed items.
    """

    _RETRACT: Script
    _GET_RANGE: Script

    get_id = BaseFeed.get_item

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        self.channel_publish = feed_channel("publish", name)
        self.channel_retract = feed_channel("retract", name)
        self._retract = self._RETRACT.bind(name)
        self._some_items = ITEMS.bind(name)

    def _bind_items(self) -> None:
        super()._bind_items()
        self._get_range = (*self._GET_RANGE.bind(self.name), self._assumed)

    @deferring
    def retract(self, id_: str, expect: int | None = None) -> Deferred[bool]:
        """Remove an item.

        :param expect: the revision that the item must have; None for any.  See
            :meth:`get_item`.
        :return: fires True if there was such an item; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`, and with *expect* with
            :class:`~txthoonk.errors.Conflict` if the item has changed or does not exist, or
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
        """Keep a copy of the feed in this process.  The publisher must be a ``Thoonk``.

        :return: fires a :class:`~txthoonk.mirror.Mirror` of the feed's items; fails
            with :class:`~txthoonk.errors.InvalidInput` for any other publisher.
        """
        mirror = getattr(self.pub, "mirror", None)
        if mirror is None:
            raise InvalidInput(
                "a mirror needs a subscriber and a publisher: open the feed with Thoonk"
            )
        mirrored: Deferred[Mirror] = mirror(self)
        return mirrored

    @deferring
    def get_all(self) -> Deferred[dict[str, Any]]:
        """Read all items, in their order: O(n) for n items.

        Up to 1,000 items of up to a megabyte in total are read at one moment.  More items are
        read in slices, so that other clients get their turn.  An item that is published, edited
        or retracted during the call may then be missing, or be the earlier version; all others
        are included once.  A mirror or a snapshot of a feed with a history always shows one
        moment.

        :return: fires a dict id -> item; fails like :meth:`get_item`.
        """
        return AwaitableDeferred.fromCoroutine(self._get_all())

    async def _get_all(self) -> dict[str, Any]:
        reply = await self._repeating.read(self._GET_RANGE, self._get_range, (0, SLICE - 1, 1))
        with parsing:
            ids, items = reply
            is_all = len(items) == len(ids) < SLICE
        if is_all:
            return dict(self._pairs(reply))
        ids = await self.get_ids()
        found: dict[str, Any] = {}
        while ids:
            items = await self._read_some(ids[:SLICE])
            if not items:
                raise InvalidResponse(f"no items of {len(ids)} ids")
            found.update(self._pairs((ids[: len(items)], items)))
            del ids[: len(items)]
        return found

    def _read_some(self, ids: list[str]) -> Deferred[list[Any]]:
        """Read the items of ids, or of the first ids only if the items are big."""
        read = self.pub.redis.call(ITEMS, (*self._some_items, *ids), self._encoding)
        return read.addCallback(_items)

    @deferring
    def get_range(self, start: int, stop: int) -> Deferred[list[tuple[str, Any]]]:
        """Read items at one moment by their rank, starting with 0: O(m) for m items.

        Redis does nothing else in the meantime: read at most some thousand.

        :param start: the first rank; a negative one counts from the end.
        :param stop: the last rank, included; a negative one counts from the end.
        :return: fires a list of (id, item), in order; fails like
            :meth:`get_item`.
        """
        for what, rank in (("start", start), ("stop", stop)):
            check_whole(rank, f"the rank {what}", -MOST_WHOLE)
        read = self._repeating.read(self._GET_RANGE, self._get_range, (start, stop, 0))
        return read.addCallback(self._pairs)

    def get_ids(self) -> Deferred[list[str]]:
        """Read the ids, in their order."""
        raise NotImplementedError

    @parses
    def _pairs(self, reply: Sequence[Sequence[Any]]) -> list[tuple[str, Any]]:
        ids, items = reply
        ids = [to_text(id_) if isinstance(id_, bytes) else id_ for id_ in ids]
        if None in items:
            # A writer that died between two writes has left an id without an item.
            whole = [pair for pair in zip(ids, items, strict=True) if pair[1] is not None]
            ids, items = zip(*whole, strict=True) if whole else ((), ())
        return list(zip(ids, map(self._load, items, ids), strict=True))


@parses
def _items(reply: Sequence[Any]) -> list[Any]:
    _, _, items = reply
    return list(items)
