"""Live events that wait, in their order, while a follower cannot deliver them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from txthoonk.events import CHANNELS, Event
from txthoonk.history._recovery import is_foreign

__all__ = ["LIMIT", "NONE_HELD", "Held"]

LIMIT = 10_000  # events


class Held:
    """A queue of live events with a limit.

    :ivar events: the events, the oldest first.
    :ivar overflowed: whether the limit was reached, so that events were dropped.
    """

    __slots__ = ("events", "overflowed")

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: deque[Event] = deque(events)
        self.overflowed = False

    def __len__(self) -> int:
        return len(self.events)

    def add(self, event: Event) -> None:
        """Hold an event. At the limit, drop all that are held first."""
        if len(self.events) == LIMIT:
            self.events.clear()
            self.overflowed = True
        self.events.append(event)

    def add_of_the_feed(self, event: Event) -> None:
        """Hold an event of the feed as a whole, and drop any other."""
        if event.kind in CHANNELS:
            self.add(event)

    def of_the_feed(self) -> list[Event]:
        """Return the events of the feed as a whole: no history has them."""
        return [event for event in self.events if event.kind in CHANNELS]

    def begins_with(self, kind: str) -> bool:
        """Return whether the first event is of a kind."""
        return bool(self.events) and self.events[0].kind == kind

    def has(self, kind: str) -> bool:
        """Return whether an event of a kind is held."""
        return any(event.kind == kind for event in self.events)

    def has_foreign(self) -> bool:
        """Return whether an event of a writer that keeps no history is held."""
        return any(map(is_foreign, self.events))

    def drop_foreign(self) -> None:
        """Drop the events of writers that keep no history."""
        self.replace([event for event in self.events if not is_foreign(event)])

    def replace(self, events: Iterable[Event]) -> None:
        """Hold these events instead."""
        self.events = deque(events)

    def take_first(self, count: int) -> list[Event]:
        """Remove the first events, and return them."""
        return [self.events.popleft() for _ in range(min(count, len(self.events)))]

    def put_back(self, events: list[Event]) -> None:
        """Hold events before all others."""
        self.events.extendleft(reversed(events))


#: For followers that hold nothing, which are most of them. Nothing is ever added to it.
NONE_HELD = Held()
NONE_HELD.events = deque(maxlen=0)
