"""What the channels of the contract carry, taken apart (pure functions)."""

from __future__ import annotations

from collections.abc import Callable

import attr

from txthoonk._keys import (
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
    "message_parser",
    "parse",
]

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

_FEED_KINDS = {channel: kind for kind, channel in CHANNELS.items()}


@attr.frozen
class Event:
    """Something that happened to a feed.

    :ivar kind: a key of :data:`CHANNELS` or of :data:`ITEM_KINDS`.
    :ivar feed: the feed's name.
    :ivar id: the item's id, if it happened to an item.
    :ivar item: of a publish, an edit and a put: the item as it is stored; of a finish:
        the result.
    :ivar position: of a position: such as ``:end`` or ``42:``.
    """

    kind: str
    feed: str
    id: str | None = None
    item: str | None = None
    position: str | None = None


def channel_for(event: str) -> str:
    """Give the channel for the kind of an event; any other text is a channel already."""
    return CHANNELS.get(event, event)


def item_channel(kind: str, feed: str) -> str:
    """Give the channel on which one of :data:`ITEM_KINDS` is told."""
    if kind == "finish":
        return job_finish_channel(feed)
    return feed_channel(_JOB_CHANNELS.get(kind, kind), feed)


_PREFIXES = {item_channel(kind, ""): kind for kind in ITEM_KINDS}


def message_parser(channel: str) -> Callable[[str], list[str] | None]:
    """Give the function that splits the messages of a channel into their parts.

    A feed's items may contain NUL, so its messages are split at the first one only;
    those of a channel that the contract does not know are split at every one.  The
    function gives None for a message that the contract does not allow.
    """
    kind, _ = _kind_of(channel)
    if kind not in ITEM_KINDS:
        return lambda message: message.split(SEPARATOR)
    parts = len(ITEM_KINDS[kind])

    def split(message: str) -> list[str] | None:
        found = message.split(SEPARATOR, 1)
        return found if len(found) == parts else None

    return split


def parse(channel: str, message: str) -> Event | None:
    """Make the event of a message; None if the contract does not allow it."""
    kind, feed = _kind_of(channel)
    if kind in CHANNELS:
        return Event(kind, feed=message.partition(SEPARATOR)[0])
    parts = message_parser(channel)(message)
    if kind not in ITEM_KINDS or parts is None:
        return None
    return Event(kind, feed, **dict(zip(ITEM_KINDS[kind], parts, strict=True)))


def _kind_of(channel: str) -> tuple[str, str]:
    """Give the kind of the events on a channel, empty if unknown, and the feed."""
    if channel in _FEED_KINDS:
        return _FEED_KINDS[channel], ""
    for prefix, kind in _PREFIXES.items():
        if channel.startswith(prefix):
            return kind, channel[len(prefix) :]
    return "", ""
