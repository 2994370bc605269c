"""Builds all key and channel names, and checks the names and ids in them.

The contract defines the names and the rules: a feed's name and an item's id are text without NUL,
because NUL separates the parts of a message.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from txthoonk.errors import InvalidInput, InvalidType, shown

__all__ = [
    "CHANNEL_PATTERNS",
    "CONFFEED",
    "DELFEED",
    "FEEDS",
    "FEED_PATTERNS",
    "JOBS",
    "KEY_PATTERNS",
    "NEWFEED",
    "SEPARATOR",
    "check_id",
    "check_name",
    "ended_channel",
    "feed_channel",
    "feed_key",
    "feed_keys",
    "job_finish_channel",
    "kept_result_key",
    "new_id",
    "source_key",
]

SEPARATOR = "\0"

#: The set of all feed names.
FEEDS = "feeds"

#: The set of the names of all job feeds of thoonk.js 0.6 to 1.0, which are not in ``feeds``.
JOBS = "jobs"

#: What those consist of: ``job.ids:[name]`` and so on.
_SOURCE_PARTS = (
    "config",
    "ids",
    "items",
    "publishes",
    "published",
    "claimed",
    "cancelled",
    "stalled",
    "finishes",
)

#: Channels with the feeds that were created, deleted and configured.
NEWFEED = "newfeed"
DELFEED = "delfeed"
CONFFEED = "conffeed"

# Every key that a feed of any type may own: the contract's first, then txthoonk's own.
# delete_feed removes all of them.
_PARTS = (
    "config",
    "ids",
    "items",
    "publishes",
    "idincr",
    "published",
    "claimed",
    "cancelled",
    "stalled",
    "finishes",
    "transit",
    "delivering",
    "results",
    "listeners",
    "claims",
    "failures",
    "progress",
    "delayed",
    "later",
    "failed",
    "options",
    "workers",
    "maintained",
    "overdue",
    "revision",
    "history",
)


# Every event that a feed of any type has a channel for.
_EVENTS = (
    "event",
    "publish",
    "edit",
    "retract",
    "position",
    "publishes",
    "delayed",
    "claimed",
    "progress",
    "cancelled",
    "retried",
    "stalled",
    "finishes",
)


def feed_key(part: str, feed: str) -> str:
    """Build one key of a feed, such as ``feed.ids:news``."""
    return f"feed.{part}:{feed}"


def source_key(part: str, name: str) -> str:
    """Build one key of a job feed of thoonk.js 0.6 to 1.0, such as ``job.ids:mail``."""
    return f"job.{part}:{name}"


def feed_channel(event: str, feed: str) -> str:
    """Build one channel of a feed, such as ``feed.publish:news``."""
    return f"feed.{event}:{feed}"


def job_finish_channel(feed: str) -> str:
    """Build the channel with the results of a feed's jobs."""
    return f"job.finish:{feed}"


def ended_channel(feed: str, id_: str = "") -> str:
    """Build the channel with the end of one job, for publishers that wait for it."""
    return f"{feed_channel('ended', feed)}{SEPARATOR}{id_}"


def feed_keys(feed: str) -> tuple[str, ...]:
    """Build every key that a feed of any type may own, ``feed.config`` first."""
    return tuple([feed_key(part, feed) for part in _PARTS])


def kept_result_key(feed: str, id_: str) -> str:
    """Build the key of the kept result of a finished job."""
    return f"feed.jobfinished:{feed}{SEPARATOR}{id_}"


_FEED_KEYS = {f"feed.{part}:[feed]": partial(feed_key, part) for part in _PARTS}

#: How the headers of scripts write every key that a feed of any type may own.
FEED_PATTERNS = tuple(_FEED_KEYS)

#: How the header of a script writes a key -> what builds it, from the values of the names in
#: brackets, in their order.
KEY_PATTERNS: dict[str, Callable[..., str]] = {
    "feeds": lambda: FEEDS,
    "jobs": lambda: JOBS,
    **{f"job.{part}:[source]": partial(source_key, part) for part in _SOURCE_PARTS},
    **_FEED_KEYS,
    "feed.[part]:[feed]": feed_key,
    "feed.jobfinished:[feed]\\0[id]": kept_result_key,
}

#: How the header of a script writes a channel -> what builds it, as for a key.
CHANNEL_PATTERNS: dict[str, Callable[..., str]] = {
    "newfeed": lambda: NEWFEED,
    "delfeed": lambda: DELFEED,
    "conffeed": lambda: CONFFEED,
    **{f"feed.{event}:[feed]": partial(feed_channel, event) for event in _EVENTS},
    "feed.ended:[feed]\\0": ended_channel,
    "job.finish:[feed]": job_finish_channel,
}


def check_name(name: object) -> str:
    """Return *name* if it is valid as the name of a feed.

    :raises InvalidType: if it is not a ``str``.
    :raises InvalidInput: if it is empty or contains NUL.
    """
    if not isinstance(name, str):
        raise InvalidType(f"a feed's name must be a str, not {type(name).__name__}: {shown(name)}")
    if not name:
        raise InvalidInput("a feed's name must not be empty")
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidInput(f"a feed's name must be valid UTF-8, not {shown(name)}") from None
    return _without_nul(name, "a feed's name")


def check_id(id_: object) -> str:
    """Return *id_* as a ``str`` if it is valid as an item's id.

    Converts an ``int`` to its digits, as txthoonk 0.1 did.

    :raises InvalidType: if it is neither ``str`` nor ``int``.
    :raises InvalidInput: if it contains NUL.
    """
    if type(id_) is int:
        try:
            return str(id_)
        except ValueError:
            raise InvalidInput(f"an item's id has too many digits: {shown(id_)}") from None
    if not isinstance(id_, str):
        raise InvalidType(f"an item's id must be a str, not {type(id_).__name__}: {shown(id_)}")
    return _without_nul(id_, "an item's id")


def _without_nul(text: str, what: str) -> str:
    if SEPARATOR in text:
        raise InvalidInput(
            f"{what} must not contain NUL, which separates the parts of a message: {shown(text)}"
        )
    return text


def new_id() -> str:
    """Make a random id: a version 4 UUID in hex."""
    # uuid.uuid4().hex would give the same from the same source of randomness, but takes three
    # times as long.
    random = os.urandom(16).hex()
    return f"{random[:12]}4{random[13:16]}{'89ab'[ord(random[16]) & 3]}{random[17:]}"
