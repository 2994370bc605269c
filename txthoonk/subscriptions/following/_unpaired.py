"""Edits in sorted feeds that keep no history (contract: Sorted feed).

An edit is a message on ``feed.publish``, like a new item. If the follower has seen the id before,
it is an edit. Otherwise the next message decides: the writer of a new item publishes its position
in the same step, so no other message of the feed comes between the two. A follower keeps the first
message back until then. If none follows at once, a PING decides: its reply comes after all that
was published before.

An item that the follower has not seen looks new if it is edited and moved at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.events import Event

__all__ = ["SeenIds", "Unpaired", "as_edit", "may_be_edit", "pairs"]

LIMIT = 100_000  # ids that a follower remembers


def may_be_edit(event: Event) -> bool:
    """Return whether the next message of a sorted feed shows if this event is an edit."""
    return event.kind == "publish" and event.revision is None


def pairs(publish: Event, following: Event) -> bool:
    """Return whether an event is the position of the new item that was published before it."""
    return following.kind == "position" and following.id == publish.id


def as_edit(publish: Event) -> Event:
    """Make the event of an edit of a message that had no position."""
    return publish._replace(kind="edit")


class SeenIds:
    """The ids of items that a follower has seen, and that exist: the last ones, up to a limit.

    :param ids: those of the feed's state.
    """

    __slots__ = ("_ids",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: dict[str | None, None] = dict.fromkeys(islice(ids, LIMIT))

    def __contains__(self, id_: str | None) -> bool:
        return id_ in self._ids

    def see(self, event: Event) -> None:
        """Note what an event says of its item."""
        if event.kind == "retract":
            self._ids.pop(event.id, None)
        else:
            self._ids[event.id] = None
            if len(self._ids) > LIMIT:
                del self._ids[next(iter(self._ids))]


class Holder(Protocol):
    """A follower.

    :ivar unpaired: the event that it keeps back.
    """

    unpaired: Event | None

    def no_position(self, publish: Event) -> None:
        """Learn that no position follows an event. Ignore one that is not kept back any more."""


class Unpaired:
    """Ends the waits of all followers of one connection.

    :param next_turn: waits until the reactor has done what else there is to do.
    :param ping: sends a PING on the connection.
    """

    def __init__(
        self, next_turn: Callable[[], Deferred[Any]], ping: Callable[[], Deferred[Any]]
    ) -> None:
        self._next_turn = next_turn
        self._ping = ping
        self._holders: dict[Holder, None] = {}
        self._is_settling = False

    def add(self, holder: Holder) -> None:
        """Settle an event that is kept back, unless the next message does."""
        self._holders[holder] = None
        if not self._is_settling:
            self._is_settling = True
            Deferred.fromCoroutine(self._settle())

    async def _settle(self) -> None:
        while self._holders:
            await self._next_turn()  # mostly, both messages arrive together
            holders, self._holders = self._holders, {}
            kept = [(one, one.unpaired) for one in holders if one.unpaired is not None]
            # After a lost connection, nothing is kept back any more. A refusal is a reply, too.
            with suppress(ConnectionLost, ResponseError):
                if kept:
                    await self._ping()
            for holder, event in kept:
                holder.no_position(event)
        self._is_settling = False
