"""The plain feed: items in the order of their publishing (contract: Feed)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._deferring import deferring
from txthoonk._keys import FEEDS, check_id, feed_channel, new_id
from txthoonk._redis import RAW, TEXT
from txthoonk._scripts import load
from txthoonk.errors import InvalidType, shown
from txthoonk.types._base import BaseFeed

if TYPE_CHECKING:
    from txthoonk.client import ThoonkPub

__all__ = ["Feed"]

_PUBLISH = load("feed/publish")
_RETRACT = load("feed/retract")
_GET_RANGE = load("feed/get_range")

_to_text = partial(str, encoding="utf-8", errors="surrogateescape")


class Feed(BaseFeed):
    """A collection of items with ids, in the order in which they were published.

    Every change is told on the feed's channels.  With ``max_length`` above 0 in its
    configuration the feed keeps only that many of the newest items.

    :ivar channel_publish: channel that tells of new items.
    :ivar channel_edit: channel that tells of replaced items.
    :ivar channel_retract: channel that tells of removed items.
    """

    def __init__(self, pub: ThoonkPub, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self.channel_publish = feed_channel("publish", name)
        self.channel_edit = feed_channel("edit", name)
        self.channel_retract = feed_channel("retract", name)
        self._publish = _PUBLISH.prefix(
            (FEEDS, self.feed_config, self.feed_ids, self.feed_items, self.feed_publishes),
            name,
            self.channel_publish,
            self.channel_edit,
            self.channel_retract,
        )
        self._retract = _RETRACT.prefix(
            (FEEDS, self.feed_ids, self.feed_items), name, self.channel_retract
        )
        self._get_range = _GET_RANGE.prefix((self.feed_ids, self.feed_items))

    @deferring
    def publish(self, item: Any, id_: str | None = None) -> Deferred[str]:
        """Publish an item, or replace the one that has the id and move it to the end.

        Where the feed is full, the oldest items are retracted.

        :param item: what the feed's serializer takes.
        :param id_: text without NUL; None makes a random one.
        :return: fires the id; fails with
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = new_id() if id_ is None else check_id(id_)
        command = (*self._publish, id_, self._dumps(item))
        return self.pub.redis.call(_PUBLISH, command, TEXT)

    @deferring
    def retract(self, id_: str) -> Deferred[bool]:
        """Remove an item.

        :return: fires True if it was there; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        command = (*self._retract, check_id(id_))
        return self.pub.redis.call(_RETRACT, command, TEXT).addCallback(bool)

    def get_ids(self) -> Deferred[list[str]]:
        """Read the ids, in publish order: O(n) for n items (ZRANGE).

        :return: fires a list of ids.
        """
        return self.pub.redis.request(("ZRANGE", self.feed_ids, 0, -1), TEXT)

    @deferring
    def get_item(self, id_: str) -> Deferred[Any]:
        """Read one item (HGET).

        :return: fires the item, or None if it is not there; fails with
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read it.
        """
        id_ = check_id(id_)
        read = self.pub.redis.request(("HGET", self.feed_items, id_), self._encoding)
        return read.addCallback(self._load, id_)

    get_id = get_item

    def get_all(self) -> Deferred[dict[str, Any]]:
        """Read all items, of one moment, in publish order: O(n) for n items.

        :return: fires a dict id -> item; fails like :meth:`get_item`.
        """
        return self.get_range(0, -1).addCallback(dict)

    @deferring
    def get_range(self, start: int, stop: int) -> Deferred[list[tuple[str, Any]]]:
        """Read items of one moment by their rank, 0 being the oldest.

        :param start: the first rank; a negative one counts from the end.
        :param stop: the last rank, included; a negative one counts from the end.
        :return: fires a list of (id, item), in publish order; fails like
            :meth:`get_item`.
        """
        for rank in (start, stop):
            if type(rank) is not int:
                raise InvalidType(
                    f"a rank must be an int, not {type(rank).__name__}: {shown(rank)}"
                )
        command = (*self._get_range, start, stop)
        return self.pub.redis.call(_GET_RANGE, command, self._encoding).addCallback(self._pairs)

    def _pairs(self, reply: Sequence[Sequence[Any]]) -> list[tuple[str, Any]]:
        ids, items = reply
        if self._encoding is RAW:
            ids = list(map(_to_text, ids))
        if None in items:
            # An id without an item is what a writer left that died between two writes.
            whole = [pair for pair in zip(ids, items, strict=True) if pair[1] is not None]
            ids, items = zip(*whole, strict=True) if whole else ((), ())
        return list(zip(ids, map(self._load, items, ids), strict=True))

    @deferring
    def has_id(self, id_: str) -> Deferred[bool]:
        """Tell whether the feed has an item of that id (HEXISTS).

        :return: fires a bool.
        """
        command = ("HEXISTS", self.feed_items, check_id(id_))
        return self.pub.redis.request(command, TEXT).addCallback(bool)

    def length(self) -> Deferred[int]:
        """Count the items (ZCARD).

        :return: fires an int.
        """
        return self.pub.redis.request(("ZCARD", self.feed_ids), TEXT)
