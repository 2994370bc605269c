"""Reading a feed's history and state.

A position is an epoch and a revision (docs/subscriptions.rst). The scripts judge whether it is
still valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attr
from twisted.internet.defer import Deferred

from txthoonk._support._replies import parses
from txthoonk.errors import shown
from txthoonk.events import check_revision
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import SCORED
from txthoonk.wire._keys import feed_key
from txthoonk.wire._scripts import load

__all__ = [
    "ITEMS",
    "Look",
    "Snapshot",
    "Standing",
    "compare",
    "look",
    "read_item",
    "read_items",
    "read_order",
    "read_snapshot",
    "scored_ids",
]

_COMPARE = load("history/compare")
_compared = _COMPARE.bind_each()
_LOOK = load("history/look")
_ITEM = load("history/item")
_ORDER = load("history/order")
_SNAPSHOT = load("history/snapshot")
ITEMS = load("history/items")

#: Verdict on a position -> why the events after it cannot be read.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "foreign": "a writer that keeps no history changed the feed",
        "lost": "the server lost changes that were published before",
        "off": "the feed keeps no history",
        "recreated": "the feed was created again, or its history was started again",
        "trimmed": "the history does not go back that far",
    }
)


@attr.frozen
class Look:
    """What a feed's history says about a position.

    :ivar verdict: ``ok``, or a key of :data:`REASONS`.
    :ivar type: the feed's type, if it has one.
    :ivar serializer: the name of its serializer.
    :ivar epoch: the present epoch.
    :ivar top: the present revision.
    :ivar entries: the entries after the position: see :func:`~txthoonk.events.parse_entry`.
    """

    verdict: str
    type: str | None = None
    serializer: str = "text"
    epoch: str = ""
    top: int = 0
    entries: list[Any] = attr.Factory(list)

    @property
    def reason(self) -> str:
        """Why the events after the position cannot be read."""
        return REASONS.get(self.verdict, self.verdict)


def look(redis: Commands, feed: str, epoch: str, since: int | None, count: int) -> Deferred[Look]:
    """Read where a feed's history stands, and its entries after a position.

    :param epoch: the position's epoch; empty: the present one.
    :param since: the position's revision; None: before the oldest entry.
    :param count: how many entries to read at most. Big entries make it fewer.
    :return: fires a :class:`Look`; fails with
        :class:`~txthoonk.errors.FeedDoesNotExist`.
    """
    command = (*_LOOK.bind(feed), epoch, "" if since is None else since, count)
    return redis.call(_LOOK, command, TEXT).addCallback(_look)


def _check_texts(*values: object) -> None:
    for value in values:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"not text: {shown(value)}")


@parses
def _look(reply: list[Any]) -> Look:
    verdict, type_, serializer, *rest = reply
    _check_texts(verdict, type_, serializer)
    if not rest:
        return Look(verdict, type_, serializer or "text")
    epoch, top, entries = rest
    _check_texts(epoch)
    for revision, words in entries:
        _check_texts(*words)
        check_revision(revision)
    return Look(verdict, type_, serializer or "text", epoch, check_revision(top), entries)


@attr.frozen
class Standing:
    """Where a feed stands.

    :ivar publishes: its counter of publishes.
    :ivar epoch: the present epoch, if it keeps a history; empty: a writer that keeps no history
        has changed the feed.
    :ivar revision: the present revision.
    :ivar last: the last id of a plain feed that keeps no history, if it has items.
    """

    publishes: int
    epoch: str | None = None
    revision: int = 0
    last: str | None = None


def compare(redis: Commands, feeds: list[str]) -> Deferred[list[Standing | None]]:
    """Read where feeds stand: O(n) for n feeds.

    :return: fires a :class:`Standing` for each feed; None for one that is not in the registry.
    """
    compared = redis.call(_COMPARE, (*_compared(feeds), *feeds), TEXT)
    return compared.addCallback(_standings, len(feeds))


@parses
def _standings(reply: list[Any], count: int) -> list[Standing | None]:
    if len(reply) != count:
        raise ValueError(f"{len(reply)} answers for {count} feeds")
    return [
        found and Standing(int(found[0]), found[1], int(found[2] or 0), found[3])
        for found in reply
    ]


def scored_ids(feed: str, score: str, skipped: int) -> tuple[str | int, ...]:
    """Return the command that reads ids of a plain feed.

    See :mod:`txthoonk.protocol.bounds._slices`.
    """
    limit = ("LIMIT", skipped, SCORED, "WITHSCORES")
    return ("ZRANGE", feed_key("ids", feed), score, "+inf", "BYSCORE", *limit)


def read_item(redis: Commands, feed: str, id_: str) -> Deferred[tuple[str | None, int]]:
    """Read an item as it is stored, and its revision."""
    return redis.call(_ITEM, (*_ITEM.bind(feed), id_), TEXT)


@attr.frozen
class Snapshot:
    """The order of a feed and its first items, read at one moment.

    :ivar verdict: ``ok``, ``off`` (no history), or ``neither`` (feeds of that type have no order).
    :ivar ids: the first 5,000 ids, in order.
    :ivar items: the items of the first ids, as they are stored; None: the id has no item.
    """

    verdict: str
    type: str | None
    serializer: str = "text"
    epoch: str | None = None
    top: int = 0
    ids: list[str] = attr.Factory(list)
    items: list[str | None] = attr.Factory(list)


def read_snapshot(
    redis: Commands,
    feed: str,
    count: int,
    channel: str,
    message: str,
    always: bool = False,
) -> Deferred[Snapshot]:
    """Read the first 5,000 ids of a feed's order, and its first items.

    :param count: how many items to read at most. Big items make it fewer.
    :param channel: the script publishes *message* here when it reads, if the feed keeps no
        history.
    :param always: whether the script publishes it in any case.
    :return: fires a :class:`Snapshot`; fails with
        :class:`~txthoonk.errors.FeedDoesNotExist`.
    """
    command = (*_SNAPSHOT.bind(feed), count, channel, message, int(always))
    return redis.call(_SNAPSHOT, command, TEXT).addCallback(_snapshot)


@parses
def _snapshot(reply: list[Any]) -> Snapshot:
    verdict, type_, serializer, *rest = reply
    _check_texts(verdict, type_, serializer)
    if not rest:
        return Snapshot(verdict, type_, serializer or "text")
    epoch, top, ids, items = rest
    _check_texts(epoch, top, *ids, *items)
    if None in ids or len(items) > len(ids):
        raise ValueError(f"{len(items)} items of {len(ids)} ids")
    return Snapshot(verdict, type_, serializer or "text", epoch, int(top or 0), ids, items)


def read_order(
    redis: Commands, feed: str, first: int, last: int, channel: str, message: str
) -> Deferred[tuple[str | None, int, list[str]]]:
    """Read the ids of a sorted feed from one rank to another, inclusive, and the position.

    :param channel: the script publishes *message* here when it reads, unless that is empty.
    :return: fires the epoch and the revision, if the feed keeps a history, and the ids.
    """
    command = (*_ORDER.bind(feed), first, last, channel, message)
    return redis.call(_ORDER, command, TEXT).addCallback(_order)


@parses
def _order(reply: list[Any]) -> tuple[str | None, int, list[str]]:
    epoch, top, ids = reply
    _check_texts(epoch, *ids)
    if None in ids:
        raise ValueError("an order without an id")
    return epoch, int(top or 0), ids


def read_items(
    redis: Commands, feed: str, ids: list[str]
) -> Deferred[tuple[str | None, int, list[str | None]]]:
    """Read items as they are stored, and the position at that moment.

    :return: fires the epoch and the revision, if the feed keeps a history, and the items. If they
        are big, these are the items of the first ids only.
    """
    return redis.call(ITEMS, (*ITEMS.bind(feed), *ids), TEXT).addCallback(_items)


@parses
def _items(reply: list[Any]) -> tuple[str | None, int, list[str | None]]:
    epoch, top, items = reply
    _check_texts(epoch, *items)
    return epoch, int(top or 0), items
