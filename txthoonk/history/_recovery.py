"""Merging a feed's history with its live events: what follows from what is known.

All functions are pure. They change none of their arguments, keep nothing, and depend on nothing
but their arguments and on constants.

A position is an epoch and a revision. A :class:`Position` without an epoch is the position in a
feed that keeps no history (docs/subscriptions.rst).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import attr

from txthoonk.events import CHANNELS, Event
from txthoonk.history._reads import REASONS, Look

__all__ = [
    "ELSEWHERE",
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
    "is_known",
    "resync",
    "snapshot",
    "step",
]


@attr.frozen
class Position:
    """The point up to which a feed's events are known.

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
    LOOK = "events before it are missing, or it is of another epoch"
    FOREIGN = "a writer that keeps no history has changed a feed that has one"


def step(epoch: str | None, revision: int, event: Event) -> Step:
    """Decide what to do with a live event of an item, at a position."""
    if epoch is None:
        return Step.DELIVER  # there is no history, or it has just begun
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

    :ivar position: the position to go on from.
    :ivar resync: why events may be missing before it; None: none are missing.
    :ivar replay: whether to deliver the entries of the look first.
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
    """Decide how to go on after a look from a position.

    :param found: None: the feed does not exist.
    :param gap: why events may be missing if the feed keeps no history; None: none are missing.
    :param foreign: whether an event came from a writer that keeps no history. The look may not
        show that, because moves are not counted.
    :param from_start: whether the feed is new: the position is before its first event.
    :param contiguous: whether the live events continue from the position without a gap.
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
        return Outcome(NOWHERE)  # the history begins with one of the next live events
    return Outcome(top, gap)


def is_foreign(event: Event) -> bool:
    """Return whether an event of a feed with a history is from a writer that keeps none."""
    return event.revision is None and event.kind not in CHANNELS


def is_known(event: Event, last: Position) -> bool:
    """Return whether an event is at or before the last position in a history."""
    if event.revision is None or event.epoch != last.epoch:
        return False
    return event.revision <= last.revision


def connects(held: Iterable[Event], revision: int) -> bool:
    """Return whether the held events continue from a revision without a gap."""
    first = next((event.revision for event in held if event.revision is not None), None)
    return first is not None and first <= revision + 1


def drop_void(
    held: Sequence[Event], present: Position, top: int, last: str | None
) -> tuple[bool, list[Event], list[Event]]:
    """Drop held events that a look has shown to be void.

    These are events of an epoch that had ended before the look, and forged ones: events of the
    present epoch that the server should know, but does not.

    :param held: the events that were held when the look was sent.
    :param present: the position after the look.
    :param top: the last revision that the server knew then.
    :param last: the epoch of the position before the look.
    :return: whether an event was of an epoch that is neither the last one nor the present one, so
        that a resync is needed; the forged events; and the events that are left.
    """
    forged = [e for e in held if e.epoch == present.epoch and (e.revision or 0) > top]
    kept = [e for e in held if e.epoch in (None, present.epoch) and e not in forged]
    void = any(event.epoch not in (None, present.epoch, last) for event in held)
    return void, forged, kept


def resync(feed: str, reason: str, position: Position) -> Event:
    """Make the event that says that events may be missing before it."""
    revision = None if position.epoch is None else position.revision
    return Event("resync", feed, revision=revision, epoch=position.epoch, reason=reason)


def snapshot(feed: str, items: list[tuple[str, Any]], position: Position) -> Event:
    """Make the event of a slice of the state."""
    revision = None if position.epoch is None else position.revision
    return Event("snapshot", feed, item=items, revision=revision, epoch=position.epoch)


#: Why events may be missing in a feed that keeps no history.
UNRECORDED = "the connection was lost, and the feed keeps no history"
SLOW = "the subscriber is too slow, and the feed keeps no history"
FOREIGN = REASONS["foreign"]
ELSEWHERE = "another program put an item elsewhere than at the end, and the feed keeps no history"
