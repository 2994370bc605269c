"""The plain feed: items in the order of their publishing (contract: Feed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring
from txthoonk.history._reads import scored_ids
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import read_scored
from txthoonk.types._base import storing
from txthoonk.types._stored import OrderedFeed
from txthoonk.wire._keys import check_id, feed_channel, new_id
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["Feed"]

_PUBLISH = load("feed/publish", rest="feed/trim")


class Feed(OrderedFeed):
    """A collection of items with ids, in the order in which they were published.

    Every change is published on the feed's channels.  Set ``max_length`` in the configuration to
    keep only that many of the newest items.

    :ivar channel_publish: channel of new items.
    :ivar channel_edit: channel of replaced items.
    :ivar channel_retract: channel of removed items.
    """

    _KINDS = ("publish", "edit", "retract")
    _RETRACT = load("feed/retract")
    _GET_RANGE = load("feed/get_range")

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        self.channel_edit = feed_channel("edit", name)
        self._bind_items()

    def _bind_items(self) -> None:
        super()._bind_items()
        self._publish = (*_PUBLISH.bind(self.name), self._assumed)

    @storing(0)
    def publish(
        self, item: Any, id_: str | None = None, expect: int | None = None
    ) -> Deferred[str]:
        """Publish an item, or replace the one that has the id and move it to the end.

        If the feed is full, its oldest items are retracted.  After you have lowered
        ``max_length`` there may be many of them: 500 are retracted before the item is published,
        and the others after it, 500 in a call, before the Deferred fires.

        :param item: any value that the feed's serializer accepts.
        :param id_: text without NUL; None for a random id.
        :param expect: the revision that the item must have, 0 if there must be no such item;
            None for any.  See :meth:`get_item`.
        :return: fires the id; fails with
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`, and with *expect* with
            :class:`~txthoonk.errors.Conflict` if the item has changed or does not exist, or
            :class:`~txthoonk.errors.NoHistory`.
        """
        id_ = new_id() if id_ is None else check_id(id_)
        repeating = self._repeating
        expected = "" if expect is None else self._expectation(expect)
        group = (id_, self._dumps(item), expected)
        if repeating.waits:
            published = repeating.later(_PUBLISH, self._publish, group)
        else:
            redis = self.pub.redis
            published = redis.call_together(_PUBLISH, self._publish, group, TEXT, repeating)
        if expect is None:
            return published
        return published.addCallback(self._unless_conflict, id_)

    @deferring
    def get_ids(self) -> Deferred[list[str]]:
        """Read the ids, in publish order: O(n) for n items (ZRANGE).

        Up to some thousand ids are read at one moment.  More are read in slices: an id that is
        published, edited or retracted during the call may be missing or not; all others are
        listed once.

        :return: fires a list of ids.
        """
        return AwaitableDeferred.fromCoroutine(read_scored(self._some_ids))

    def _some_ids(self, score: str, skipped: int) -> Deferred[list[str]]:
        return self.pub.redis.request(scored_ids(self.name, score, skipped), TEXT)

    def length(self) -> Deferred[int]:
        """Count the items (ZCARD).

        :return: fires an int.
        """
        return self.pub.redis.request(("ZCARD", self.feed_ids), TEXT)
