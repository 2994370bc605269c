"""What happens to feeds, and the messages that tell of it, taken apart (pure functions)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.wire._job_records import load_progress
from txthoonk.wire._keys import (
    CONFFEED,
    DELFEED,
    NEWFEED,
    SEPARATOR,
    feed_channel,
    job_finish_channel,
)

__all__ = [
    "CHANNELS",
    "ITEM_KINDS",
    "Event",
    "channel_for",
    "item_channel",
    "message_shape",
    "parse_cursor",
    "parse_entry",
    "parse_event",
]

MOST_DIGITS = 15  # of a revision: Lua counts exactly so far
MOST_EPOCH = 64  # characters; ours have 16

#: Kind of event -> channel, for what happens to a whole feed.
CHANNELS = {"create": NEWFEED, "delete": DELFEED, "config": CONFFEED}

#: Kinds of events that happen to an item or a job, each on a channel of its feed, with
#: the names of the parts of its message.  Every finish is ``finished``, and before that
#: ``finish`` if it has a result.
ITEM_KINDS = {
    "publish": ("id", "item"),
    "edit": ("id", "item"),
    "retract": ("id",),
    "position": ("id", "position"),
    "put": ("id", "item"),
    "claim": ("id",),
    "cancel": ("id",),
    "stall": ("id",),
    "retry": ("id",),
    "finish": ("id", "item"),
    "finished": ("id",),
    "progress": ("id", "item"),
}

# What the channels of jobs are called where that is not the name of the kind.
_JOB_CHANNELS = {
    "put": "publishes",
    "claim": "claimed",
    "cancel": "cancelled",
    "stall": "stalled",
    "retry": "retried",
    "finished": "finishes",
}


class Event(NamedTuple):
    """Something that happened to a feed, or that a subscription has to say of it.

    :ivar kind: a key of :data:`CHANNELS` or of :data:`ITEM_KINDS`; or ``snapshot``: a
        slice of the feed's state; or ``resync``: changes may be missing here.
    :ivar feed: the feed's name.
    :ivar id: the item's id, if it happened to an item.
    :ivar item: of a publish, an edit and a put: the item; of a finish: the result; of a
        progress: a :class:`~txthoonk.types.Progress`; of a snapshot: a list of (id, item),
        in order.
    :ivar position: of a position: such as ``:end`` or ``42:``.
    :ivar revision: the feed's revision since this event; of a snapshot: the state's.
        None where the feed keeps no history.
    :ivar epoch: to which the revision belongs.
    :ivar more: whether the next event belongs to the same change (told only where there is
        a history), or to the same snapshot.
    :ivar reason: of a resync: why.
    :ivar type: of a snapshot: the feed's type.
    """

    kind: str
    feed: str
    id: str | None = None
    item: Any = None
    position: str | None = None
    revision: int | None = None
    epoch: str | None = None
    more: bool = False
    reason: str | None = None
    type: str | None = None

    @property
    def cursor(self) -> str | None:
        """What to give as ``since`` in order to go on behind this event."""
        return None if self.revision is None else f"{self.epoch}:{self.revision}"


def channel_for(event: str) -> str:
    """Give the channel for the kind of an event; any other text is a channel already."""
    return CHANNELS.get(event, event)


def item_channel(kind: str, feed: str) -> str:
    """Give the channel on which one of :data:`ITEM_KINDS` is told."""
    if kind == "finish":
        return job_finish_channel(feed)
    return feed_channel(_JOB_CHANNELS.get(kind, kind), feed)


_PREFIXES = {item_channel(kind, ""): kind for kind in ITEM_KINDS}


def message_shape(channel: str) -> tuple[int, int]:
    """Give at how many NULs the messages of a channel are split, and how many parts that makes.

    A feed's items may contain NUL, so its messages are split at the first one only; those of
    a channel that the contract does not know at every one (-1), into any number of parts (0).
    """
    kind = _item_kind(channel)
    return (-1, 0) if kind is None else (1, len(ITEM_KINDS[kind]))


def _of_an_item(
    kind: str,
    feed: str,
    message: str,
    revision: int | None = None,
    epoch: str | None = None,
    more: bool = False,
) -> Event | None:
    """Make the event of a message on one of the channels of :data:`ITEM_KINDS`."""
    names = ITEM_KINDS[kind]
    id_, separator, rest = message.partition(SEPARATOR)
    if len(separator) != len(names) - 1:
        return None
    item: Any = None
    position = None
    if names[-1] == "item":
        item = load_progress(id_, rest) if kind == "progress" else rest
    elif names[-1] == "position":
        position = rest
    return Event(kind, feed, id_, item, position, revision, epoch, more)


def _item_kind(channel: str) -> str | None:
    """Give which of :data:`ITEM_KINDS` a channel tells of; None: none."""
    return next((kind for prefix, kind in _PREFIXES.items() if channel.startswith(prefix)), None)


def check_revision(digits: str) -> int:
    """Give a revision that came as text.

    :raises ValueError: if it is none.
    """
    if not (digits.isascii() and digits.isdigit()) or len(digits) > MOST_DIGITS:
        raise ValueError(f"not a revision: {shown(digits)}")
    return int(digits)


def parse_event(feed: str, message: str) -> tuple[Event, str] | None:
    """Make the event of a message on ``feed.event:[feed]``.

    :return: with it, the message on the contract's own channel that comes behind it, if
        there is one; None if it is malformed.
    """
    try:
        epoch, number, kind, twin = message.split(SEPARATOR, 3)
        revision = check_revision(number.removesuffix("+"))
        if not epoch.isalnum() or len(epoch) > MOST_EPOCH:
            return None
        more = number.endswith("+")
        event = _of_an_item(kind, feed, twin, revision, epoch, more)
    except (ValueError, KeyError):
        return None
    return None if event is None else (event, twin)


def parse_entry(feed: str, epoch: str, entry: Sequence[Any]) -> Event:
    """Make the event of an entry of ``feed.history:[feed]``.

    :param entry: the revision, and field, value, field, value, ...
    """
    fields = dict(zip(entry[1][::2], entry[1][1::2], strict=False))
    kind, id_, item = fields.get("kind", ""), fields.get("id"), fields.get("item")
    if kind == "progress" and item is not None:
        item = load_progress(id_ or "", item)
    position, revision = fields.get("position"), int(entry[0])
    return Event(kind, feed, id_, item, position, revision, epoch, "more" in fields)


def parse_cursor(since: object) -> tuple[str, int]:
    """Take a position apart: its epoch, empty for whatever is the present one, and revision.

    :param since: a cursor, or a revision.
    :raises InvalidInput: for anything else.
    """
    if isinstance(since, bool) or not isinstance(since, (int, str)):
        raise InvalidType(f"a position must be a cursor or a revision, not {shown(since)}")
    if isinstance(since, int):
        epoch, revision = "", since
    else:
        epoch, _, digits = since.rpartition(":")
        revision = -1
        if epoch.isalnum() or not epoch:
            with suppress(ValueError):
                revision = check_revision(digits)
    if not 0 <= revision < 10**MOST_DIGITS:
        raise InvalidInput(
            f"a position is a cursor of an event, or a revision from 0, not {shown(since)}"
        )
    return epoch, revision
