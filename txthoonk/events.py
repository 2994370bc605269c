"""What the channels of the contract carry, taken apart (pure functions)."""

from __future__ import annotations

from collections.abc import Callable

from txthoonk._keys import CONFFEED, DELFEED, NEWFEED, SEPARATOR, feed_channel

__all__ = ["CHANNELS", "channel_for", "message_parser"]

#: Event name -> channel, for what happens to a whole feed.
CHANNELS = {"create": NEWFEED, "delete": DELFEED, "config": CONFFEED}

# Prefix of a channel of one feed -> how many parts its messages have.
_PARTS = {
    feed_channel("publish", ""): 2,
    feed_channel("edit", ""): 2,
    feed_channel("position", ""): 2,
    feed_channel("retract", ""): 1,
}


def channel_for(event: str) -> str:
    """Give the channel for the name of an event; any other text is a channel already."""
    return CHANNELS.get(event, event)


def message_parser(channel: str) -> Callable[[str], list[str] | None]:
    """Give the function that splits the messages of a channel into their parts.

    A feed's items may contain NUL, so its messages are split at the first one only;
    those of a channel that the contract does not know are split at every one.  The
    function gives None for a message that the contract does not allow.
    """
    parts = next((n for prefix, n in _PARTS.items() if channel.startswith(prefix)), None)
    if parts is None:
        return lambda message: message.split(SEPARATOR)
    if parts == 1:
        return lambda message: None if SEPARATOR in message else [message]

    def split(message: str) -> list[str] | None:
        found = message.split(SEPARATOR, 1)
        return found if len(found) == parts else None

    return split
