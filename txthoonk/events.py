"""The events of feeds, and the messages that announce them, parsed by pure functions."""

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
    check_name,
    feed_channel,
    job_finish_channel,
)

__all__ = [
    "CHANNELS",
    "ITEM_KINDS",
    "PLACES",
    "Event",
    "channel_for",
    "item_channel",
    "message_shape",
    "parse_cursor",
    "parse_entry",
    "parse_event",
]

MOST_DIGITS = 15  # of a revision: Lua's numbers are exact up to there
MOST_EPOCH = 64  # characters; ours have 16

#: Kind of event -> channel, for events of a feed as a whole.
CHANNELS = {"create": NEWFEED, "delete": DELFEED, "config": CONFFEED}

#: Kinds of events of an item or a job, with the names of the parts of their messages. Each kind
#: has a channel for each feed. Every finish is a ``finished`` event. A job with a result has a
#: ``finish`` event before that.
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

#: Malformed positions, which thoonk.py publishes for ``move(":begin", id)``, as they should be.
PLACES = {":begin": "begin:", "end:": ":end"}

# Kind of event -> name of its channel, where the two differ.
_JOB_CHANNELS = {
    "put": "publishes",
    "claim": "claimed",
    "cancel": "cancelled",
    "stall": "stalled",
    "retry": "retried",
    "finished": "finishes",
}


class Event(NamedTuple):
    """A change of a feed, or a notice of a subscription to it.

    :ivar kind: a key of :data:`CHANNELS` or of :data:`ITEM_KINDS`; or ``snapshot``: a slice of the
        feed's state; or ``resync``: changes may be missing before this event.
    :ivar feed: the feed's name.
    :ivar id: the item's id, if the event is of an item.
    :ivar item: of a publish, an edit or a put, the item; of a finish, the result; of a progress, a
        :class:`~txthoonk.types.Progress`; of a snapshot, a list of (id, item), in order.
    :ivar position: of a position event, the new place, such as ``:end`` or ``42:``.
    :ivar revision: the feed's revision after this event; of a snapshot, the state's revision. None
        if the feed keeps no history.
    :ivar epoch: the epoch that the revision belongs to.
    :ivar more: whether the next event belongs to the same change (only known with a history), or
        to the same snapshot.
    :ivar reason: of a resync, why changes may be missing.
    :ivar type: of a snapshot, the feed's type.
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
        """The position after this event: pass it as ``since`` to continue from there."""
        return None if self.revision is None else f"{self.epoch}:{self.revision}"


def channel_for(event: str) -> str:
    """Return the channel of an event.

    The events of thoonk.py, which may end in ``_notice``, are known.  Any other text is a channel
    already.

    :raises InvalidInput: if the event has a channel for each feed, but none for all feeds.
    """
    kind = event.removesuffix("_notice")
    if kind in CHANNELS:
        return CHANNELS[kind]
    if meant_feed(event) is not None:
        return CONFFEED
    prefix = f"{event.removesuffix(':')}:"
    if kind in ITEM_KINDS or prefix in _PREFIXES:
        channel = item_channel(_PREFIXES.get(prefix, kind), "[feed]")
        raise InvalidInput(
            f"nothing is published on {event!r}: each feed has its own channel. Register "
            f"{channel!r} with the name of the feed, or subscribe_pattern('*') to all feeds"
        )
    return event


def meant_feed(event: str) -> str | None:
    """Return the one feed that an event of thoonk.py means, on a channel for all feeds."""
    if not event.startswith("config:"):
        return None
    return check_name(event.removeprefix("config:"))


def item_channel(kind: str, feed: str) -> str:
    """Return the channel of one of :data:`ITEM_KINDS`."""
    if kind == "finish":
        return job_finish_channel(feed)
    return feed_channel(_JOB_CHANNELS.get(kind, kind), feed)


_PREFIXES = {item_channel(kind, ""): kind for kind in ITEM_KINDS}


def message_shape(channel: str) -> tuple[int, int]:
    """Return the number of NULs at which to split a channel's messages, and the number of parts.

    Items may contain NUL, so the messages of a feed are split at the first one only. The messages
    of a channel that is not in the contract are split at every one (-1), into any number of parts
    (0).
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
        position = PLACES.get(rest, rest)
    return Event(kind, feed, id_, item, position, revision, epoch, more)


def _item_kind(channel: str) -> str | None:
    """Return the one of :data:`ITEM_KINDS` that a channel is for; None: for none of them."""
    return next((kind for prefix, kind in _PREFIXES.items() if channel.startswith(prefix)), None)


def check_revision(digits: str) -> int:
    """Parse a revision.

    :raises ValueError: if the text is not a revision.
    """
    if not (digits.isascii() and digits.isdigit()) or len(digits) > MOST_DIGITS:
        raise ValueError(f"not a revision: {shown(digits)}")
    return int(digits)


def parse_event(feed: str, message: str) -> tuple[Event, str] | None:
    """Make the event of a message on ``feed.event:[feed]``.

    :return: the event, and the text of the contract's own message that follows, if there is one;
        None if the message is malformed.
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

    :param entry: the revision, and a list of field, value, field, value, and so on.
    """
    fields = dict(zip(entry[1][::2], entry[1][1::2], strict=False))
    kind, id_, item = fields.get("kind", ""), fields.get("id"), fields.get("item")
    if kind == "progress" and item is not None:
        item = load_progress(id_ or "", item)
    position, revision = fields.get("position"), int(entry[0])
    return Event(kind, feed, id_, item, position, revision, epoch, "more" in fields)


def parse_cursor(since: object) -> tuple[str, int]:
    """Parse a position that a user passed.

    :param since: a cursor, or a revision.
    :return: the epoch, which is empty for the present one, and the revision.
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
            f"a position must be the cursor of an event, or a revision from 0, not {shown(since)}"
        )
    return epoch, revision
