"""What a follower works with: how it reads, who takes its events, and how often it may look."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.events import Event
from txthoonk.history._recovery import Position
from txthoonk.protocol import Redis

__all__ = [
    "NOBODY",
    "Followed",
    "Listener",
    "Named",
    "Nobody",
    "Reader",
    "Restraint",
    "Subscriber",
    "Taker",
]

LOOKS, WINDOW = 20, 0.1  # so many looks in so many seconds


class Named(Protocol):
    """A feed.

    :ivar name: its name.
    """

    name: str


class Subscriber(Protocol):
    """What a mirror subscribes with."""

    def subscribe(self, feed: str, handler: Any, *, snapshot: bool) -> Deferred[Any]:
        """Subscribe to the events of one feed."""


class Reader(Protocol):
    """How a follower reads.

    :ivar redis: the publisher's connection.
    :ivar mark_channel: the channel on which marks come back.
    """

    redis: Redis
    mark_channel: str

    def hears(self) -> bool:
        """Tell whether messages come: there is a connection, and it answers."""

    def available(self) -> Deferred[Any]:
        """Wait for the publisher's connection."""

    def seconds(self) -> float:
        """Give the time, in seconds since whenever."""

    def later(self, seconds: float) -> Deferred[Any]:
        """Wait for so many seconds."""

    def ping(self) -> Deferred[Any]:
        """Wait for all messages that were published before now."""

    def mark(self, passed: Callable[[], object]) -> tuple[str, Deferred[None]]:
        """Make a message for the channel of marks.

        :param passed: is called when it comes, between the messages around it.
        """


class Taker(Protocol):
    """What takes the events: a subscription."""

    def put(self, event: Event) -> bool:
        """Take an event, if there is room; whether there was."""

    def force(self, event: Event) -> None:
        """Take an event, whether there is room or not."""

    def reserve(self, most: int) -> int:
        """Reserve room for events that are about to come; for how many there is room."""

    def release(self, count: int) -> None:
        """Give back what was reserved."""

    def room(self) -> Deferred[None]:
        """Wait for room; it does not fire once the taker is gone."""

    def tell(self, event: Event) -> Deferred[None]:
        """Take an event as :meth:`force` does; fires once it is delivered, like :meth:`room`."""

    def purge(self, feed: str) -> None:
        """Forget the events of a feed that were not delivered."""


class Followed(Protocol):
    """What a reading works on: a follower.

    :ivar epoch: see :class:`txthoonk.subscriptions._follower.Follower`, and for the next two.
    :ivar held: live events that wait until the reading is done.
    """

    epoch: str | None
    revision: int
    absent: bool
    held: deque[Event]

    def move_to(self, position: Position) -> None:
        """Take another position."""

    def hold(self, events: Iterable[Event] | None = None) -> None:
        """Hold live events.

        :param events: what is held from now on; None: what is held already.
        """

    def apply_to(self, state: Callable[[Event], object]) -> None:
        """Give live events to the state that is being read."""

    def drop_held(self) -> None:
        """Pass on what is held of the feed as a whole, and forget the other events."""

    def go_live(self, replayed: bool) -> None:
        """Take what is held, and then each event as it comes.

        :param replayed: whether something was read.
        """


class Listener(Protocol):
    """Who observes a follower: a subscription to a pattern, which has many.

    :ivar first_slice: how many entries of the history to read first; 0: as many as later.
    """

    first_slice: int

    def settled(self, feed: str) -> None:
        """Learn that a feed is live, or cannot be for now."""

    def waits(self, feed: str) -> None:
        """Learn that the reading of a feed waits."""

    def went_live(self, feed: str, absent: bool) -> None:
        """Learn that events of a feed are delivered as they come.

        :param absent: whether there is no such feed.
        """

    def cannot_follow(self, feed: str, error: BaseException) -> None:
        """Learn that the position of a feed cannot be had."""


class Nobody:
    """Observes nothing: see :class:`Listener`."""

    first_slice = 0

    def settled(self, feed: str) -> None:
        """Ignore it."""

    def waits(self, feed: str) -> None:
        """Ignore it."""

    def went_live(self, feed: str, absent: bool) -> None:
        """Ignore it."""

    def cannot_follow(self, feed: str, error: BaseException) -> None:
        """Ignore it."""


NOBODY = Nobody()


class Restraint:
    """Keeps messages, which anybody may publish, from causing looks without end."""

    __slots__ = ("_began", "_looks")

    def __init__(self) -> None:
        self._began = 0.0
        self._looks = 0

    def rest(self, now: float) -> float:
        """Count a look; give how many seconds to wait before it.

        :param now: the time, in seconds.
        """
        if not 0 <= now - self._began < WINDOW:  # a clock may step back
            self._began, self._looks = now, 0
        self._looks += 1
        return 0.0 if self._looks <= LOOKS else self._began + WINDOW - now
