"""History and live events, merged: what follows from what is known.

All functions are pure: they change nothing that they are given, and neither read nor keep
anything else.

A position is an epoch and a revision in it; :class:`Position` without an epoch is that of
a feed that keeps no history (docs/subscriptions.rst).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import attr

from txthoonk.events import CHANNELS, Event
from txthoonk.history._reads import REASONS, Look

__all__ = [
    "FOREIGN",
    "NOWHERE",
    "SLOW",
    "UNRECORDED",
    "Outcome",
    "Position",
    "Step",
    "after_look",
    "connects",
    "drop_void",
    "is_foreign",
    "is_told",
    "resync",
    "snapshot",
    "step",
]


@attr.frozen
class Position:
    """Up to where a feed's events are known.

    :ivar epoch: None: the feed keeps no history, as far as is known.
    """

    epoch: str | None = None
    revision: int = 0

    @property
    def cursor(self) -> str | None:
        """The position as ``since`` takes it."""
        return None if self.epoch is None else f"{self.epoch}:{self.revision}"


NOWHERE = Position()


class Step(Enum):
    """What to do with a live event."""

    DELIVER = "it is the next one"
    DROP = "it is known already"
    LOOK = "others are missing between, or it is of another epoch"
    FOREIGN = "a writer that keeps no history has changed a feed that does"


def step(epoch: str | None, revision: int, event: Event) -> Step:
    """Tell what to do with a live event of an item, from a position."""
    if epoch is None:
        return Step.DELIVER  # nothing else is known; or the history has just begun
    if event.revision is None:
        return Step.FOREIGN
    if event.epoch != epoch:
        return Step.LOOK
    if event.revision <= revision:
        return Step.DROP
    return Step.DELIVER if event.revision == revision + 1 else Step.LOOK


@attr.frozen
class Outcome:
    """What follows from a look at a feed's history.

    :ivar position: where to go on.
    :ivar resync: why something may be missing before it; None: nothing is.
    :ivar replay: whether the entries of the look are to be delivered first.
    """

    position: Position
    resync: str | None = None
    replay: bool = False


def after_look(
    position: Position,
    found: Look | None,
    gap: str | None = None,
    foreign: bool = False,
    from_start: bool = False,
    contiguous: bool = False,
) -> Outcome:
    """Tell how to go on after a look with a position.

    :param found: None: there is no such feed.
    :param gap: why events may be missing if the feed keeps no history; None: none are.
    :param foreign: whether an event came from a writer that keeps no history.  Its moves
        are not counted, so the look need not show it.
    :param from_start: whether the feed is new: the position is before its first event.
    :param contiguous: whether the live events go on from the position without a gap.
    """
    if found is None or found.verdict == "off":
        return Outcome(NOWHERE, gap)
    top = Position(found.epoch, found.top)
    if found.verdict != "ok":
        return Outcome(top, found.reason)
    if foreign:
        return Outcome(top, FOREIGN)
    if from_start or position.epoch is not None:
        return Outcome(Position(found.epoch, position.revision), replay=True)
    if contiguous and gap is None:
        return Outcome(NOWHERE)  # the history begins somewhere in the events that come
    return Outcome(top, gap)


def is_foreign(event: Event) -> bool:
    """Tell whether an event of a feed with history is of a writer without."""
    return event.revision is None and event.kind not in CHANNELS


def is_told(event: Event, last: Position) -> bool:
    """Tell whether an event is not behind the last position that there was."""
    if event.revision is None or event.epoch != last.epoch:
        return False
    return event.revision <= last.revision


def connects(held: Iterable[Event], revision: int) -> bool:
    """Tell whether events that are held go on from a revision without a gap."""
    first = next((event.revision for event in held if event.revision is not None), None)
    return first is not None and first <= revision + 1


def drop_void(
    held: Sequence[Event], present: Position, top: int, last: str | None
) -> tuple[bool, list[Event], list[Event]]:
    """Drop events of an epoch that was over when a look was made, and those that never were.

    :param held: the events that were held when the look was sent.
    :param present: the position since the look.
    :param top: the last revision that the server knew of then.
    :param last: the epoch of the position before.
    :return: whether there was one that nothing has told of: neither of that last epoch, which
        is followed by a resync, nor of the present one; the events that the server would
        have known of; and those that are left.
    """
    forged = [e for e in held if e.epoch == present.epoch and (e.revision or 0) > top]
    kept = [e for e in held if e.epoch in (None, present.epoch) and e not in forged]
    void = any(event.epoch not in (None, present.epoch, last) for event in held)
    return void, forged, kept


def resync(feed: str, reason: str, position: Position) -> Event:
    """Make the event that voids what came before it."""
    revision = None if position.epoch is None else position.revision
    return Event("resync", feed, revision=revision, epoch=position.epoch, reason=reason)


def snapshot(feed: str, items: list[tuple[str, Any]], position: Position) -> Event:
    """Make the event of a state."""
    revision = None if position.epoch is None else position.revision
    return Event("snapshot", feed, item=items, revision=revision, epoch=position.epoch)


#: Why a resync follows where the feed keeps no history.
UNRECORDED = "the connection was lost, and there is no history to read on from"
SLOW = "the subscriber is too slow, and the feed keeps no history"
FOREIGN = REASONS["foreign"]
