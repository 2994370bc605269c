"""The sorted feed: items in an order that you choose (contract: Sorted Feed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring
from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.protocol._batching import only
from txthoonk.protocol._encoding import TEXT
from txthoonk.types._base import storing
from txthoonk.types._stored import OrderedFeed
from txthoonk.wire._keys import check_id, feed_channel, feed_key
from txthoonk.wire._scripts import load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["SortedFeed"]

_PUBLISH = load("sorted_feed/publish")
_EDIT = load("sorted_feed/edit")
_MOVE = load("sorted_feed/move")

BEGIN = "begin:"
END = ":end"


def _place(position: object) -> tuple[str, str, str]:
    """Parse a position: return it, its kind, and the id that it is before or after."""
    if not isinstance(position, str):
        raise InvalidType(
            f"a position must be a str, not {type(position).__name__}: {shown(position)}"
        )
    if position == BEGIN:
        return position, "begin", ""
    if position == END:
        return position, "end", ""
    before, after = position.startswith(":"), position.endswith(":")
    relative = position.strip(":") if before is not after else ""
    malformed = not relative or relative != (position[1:] if before else position[:-1])
    if malformed or position in (":begin", "end:"):
        raise InvalidInput(
            f"malformed position {shown(position)}: it is ':ID' (before that item), 'ID:' "
            "(after it), 'begin:' or ':end'"
        )
    return position, "before" if before else "after", check_id(relative)


_BEGIN, _END = _place(BEGIN), _place(END)


def _before(id_: object) -> tuple[str, str, str]:
    return _beside(f":{check_id(id_)}")


def _after(id_: object) -> tuple[str, str, str]:
    return _beside(f"{check_id(id_)}:")


def _beside(position: str) -> tuple[str, str, str]:
    if position in (BEGIN, END):
        raise InvalidInput(
            f"{position!r} is an end of the feed, so there is no position beside such an id"
        )
    return _place(position)


class SortedFeed(OrderedFeed):
    """A collection of items in an order of your own; ids are numbers in text.

    Every change is published on the feed's channels.  A new item is published on
    ``channel_publish``, and its position after that.  So is the new version of an item, without a
    position.  A subscription delivers that as an ``edit`` event.  Other programs may publish it on
    ``channel_edit``.

    :ivar feed_id_incr: key of the counter that creates the ids.
    :ivar channel_publish: channel of new and replaced items.
    :ivar channel_edit: channel of items that other programs replace.
    :ivar channel_position: channel of the places of items: ``begin:``, ``:end``, ``:ID`` (before
        that item) or ``ID:`` (after it).
    :ivar channel_retract: channel of removed items.
    """

    _KINDS = ("publish", "edit", "retract", "position")
    _RETRACT = load("sorted_feed/retract")
    _GET_RANGE = load("sorted_feed/get_range")

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        self.feed_id_incr = feed_key("idincr", name)
        self.channel_edit = feed_channel("edit", name)
        self.channel_position = feed_channel("position", name)
        self._move = _MOVE.bind(name)
        self._bind_items()

    def _bind_items(self) -> None:
        super()._bind_items()
        self._publish = (*_PUBLISH.bind(self.name), self._assumed)
        self._edit = (*_EDIT.bind(self.name), self._assumed)

    def append(self, item: Any) -> Deferred[str]:
        """Publish a new item at the end.

        :param item: any value that the feed's serializer accepts.
        :return: fires the new id; fails with
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._publish_at_end(_END, item)

    publish = append

    def prepend(self, item: Any) -> Deferred[str]:
        """Publish a new item at the beginning; see :meth:`append`."""
        return self._publish_at_end(_BEGIN, item)

    @storing(1)
    def _publish_at_end(self, place: tuple[str, str, str], item: Any) -> Deferred[str]:
        group = (self._dumps(item), *place)
        repeating = self._repeating
        if repeating.waits:
            return repeating.later(_PUBLISH, self._publish, group)
        return self.pub.redis.call_together(_PUBLISH, self._publish, group, TEXT, repeating)

    @storing(1)
    def publish_before(self, before_id: str, item: Any) -> Deferred[str]:
        """Publish a new item before another one: O(n) for n items.

        :return: fires the new id; fails with
            :class:`~txthoonk.errors.ItemDoesNotExist` if there is no *before_id*, and
            like :meth:`append`.
        """
        return self._publish_beside(_before(before_id), item)

    @storing(1)
    def publish_after(self, after_id: str, item: Any) -> Deferred[str]:
        """Publish a new item after another one; see :meth:`publish_before`."""
        return self._publish_beside(_after(after_id), item)

    def _publish_beside(self, place: tuple[str, str, str], item: Any) -> Deferred[str]:
        # Not in a batch: each may take long, and Redis does nothing else in the meantime.
        words = (self._dumps(item), *place)
        return self._repeating.call(_PUBLISH, self._publish, words).addCallback(only)

    @storing(1)
    def edit(self, id_: str, item: Any, expect: int | None = None) -> Deferred[None]:
        """Replace an item; its place stays.

        :param expect: the revision that the item must have; None for any.  See
            :meth:`get_item`.
        :return: fires None; fails with
            :class:`~txthoonk.errors.ItemDoesNotExist` (without *expect*, or with 0),
            :class:`~txthoonk.errors.InvalidInput` or
            :class:`~txthoonk.errors.FeedDoesNotExist`, and with *expect* with
            :class:`~txthoonk.errors.Conflict` if the item has changed or does not exist, or
            :class:`~txthoonk.errors.NoHistory`.
        """
        id_ = check_id(id_)
        words = (id_, self._dumps(item), self._expectation(expect))
        return self._repeating.call(_EDIT, self._edit, words).addCallback(self._edited, id_)

    def _edited(self, reply: Any, id_: str) -> None:
        self._unless_conflict(reply, id_)

    @deferring
    def move(self, position: str, id_: str) -> Deferred[None]:
        """Move an item: O(n) for n items.  A move beside itself does nothing.

        :param position: ``:ID`` (before that item), ``ID:`` (after it), ``begin:`` or
            ``:end``.
        :return: fires None; fails with
            :class:`~txthoonk.errors.ItemDoesNotExist`,
            :class:`~txthoonk.errors.InvalidInput` for a malformed position, or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._move_to(_place(position), id_)

    @deferring
    def move_before(self, rel_id: str, id_: str) -> Deferred[None]:
        """Move an item before another one; see :meth:`move`."""
        return self._move_to(_before(rel_id), id_)

    @deferring
    def move_after(self, rel_id: str, id_: str) -> Deferred[None]:
        """Move an item after another one; see :meth:`move`."""
        return self._move_to(_after(rel_id), id_)

    def move_first(self, id_: str) -> Deferred[None]:
        """Move an item to the beginning; see :meth:`move`."""
        return self.move(BEGIN, id_)

    def move_last(self, id_: str) -> Deferred[None]:
        """Move an item to the end; see :meth:`move`."""
        return self.move(END, id_)

    def _move_to(self, place: tuple[str, str, str], id_: str) -> Deferred[None]:
        command = (*self._move, check_id(id_), *place)
        return self.pub.redis.call(_MOVE, command, TEXT).addCallback(lambda _: None)

    get_items = OrderedFeed.get_all

    def get_ids(self) -> Deferred[list[str]]:
        """Read the ids, in the feed's order: O(n) for n items (LRANGE).

        All are read at one moment, because items may change places.  A million ids keep Redis
        busy for about 0.1 s.

        :return: fires a list of ids.
        """
        return self.pub.redis.request(("LRANGE", self.feed_ids, 0, -1), TEXT)

    def length(self) -> Deferred[int]:
        """Count the items (LLEN).

        :return: fires an int.
        """
        return self.pub.redis.request(("LLEN", self.feed_ids), TEXT)
