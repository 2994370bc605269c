"""The plain feed: items in the order of their publishing (contract: Feed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring, passing
from txthoonk.history._reads import scored_ids
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._slices import read_scored
from txthoonk.types._stored import OrderedFeed
from txthoonk.wire._keys import check_id, feed_channel, new_id
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Publisher

__all__ = ["Feed"]

_PUBLISH = load("feed/publish", rest="feed/trim")


class Feed(OrderedFeed):
    """A collection of items with ids, in the order in which they were published.

    Every change is told on the feed's channels.  With ``max_length`` above 0 in its
    configuration the feed keeps only that many of the newest items.

    :ivar channel_publish: channel that tells of new items.
    :ivar channel_edit: channel that tells of replaced items.
    :ivar channel_retract: channel that tells of removed items.
    """

    _KINDS = ("publish", "edit", "retract")
    _RETRACT = load("feed/retract")
    _GET_RANGE = load("feed/get_range")

    def __init__(self, pub: Publisher, name: str, serializer: str = "text") -> None:
        super().__init__(pub, name, serializer)
        self.channel_edit = feed_channel("edit", name)
        self._publish = _PUBLISH.bind(name)

    @passing
    def publish(
        self, item: Any, id_: str | None = None, expect: int | None = None
    ) -> Deferred[str]:
        """Publish an item, or replace the one that has the id and move it to the end.

        Where the feed is full, the oldest items are retracted.  If there are many, because
        ``max_length`` was lowered, 500 are before the item is published; the others follow it,
        500 in a call, before this fires.

        :param item: what the feed's serializer takes.
        :param id_: text without NUL; None makes a random one.
        :param expect: the revision that the item must have, 0: it must not be there yet;
            None: any.  See :meth:`get_item`.
        :return: fires the id; fails with
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`, and with *expect* with
            :class:`~txthoonk.errors.Conflict` if the item has changed, or
            :class:`~txthoonk.errors.NoHistory`.
        """
        id_ = new_id() if id_ is None else check_id(id_)
        if expect is None:
            group = (id_, self._dumps(item), "")
            return self.pub.redis.call_together(_PUBLISH, self._publish, group)
        group = (id_, self._dumps(item), self._expectation(expect))
        published = self.pub.redis.call_together(_PUBLISH, self._publish, group)
        return published.addCallback(self._unless_conflict, id_)

    @deferring
    def get_ids(self) -> Deferred[list[str]]:
        """Read the ids, in publish order: O(n) for n items (ZRANGE).

        Up to some thousand are those of one moment.  More are read in slices: of those that are
        published, edited or retracted meanwhile some may be missing, or be still there; all
        others are there, once.

        :return: fires a list of ids.
        """
        return Deferred.fromCoroutine(read_scored(self._some_ids))

    def _some_ids(self, score: str, skipped: int) -> Deferred[list[str]]:
        return self.pub.redis.request(scored_ids(self.name, score, skipped), TEXT)

    def length(self) -> Deferred[int]:
        """Count the items (ZCARD).

        :return: fires an int.
        """
        return self.pub.redis.request(("ZCARD", self.feed_ids), TEXT)
