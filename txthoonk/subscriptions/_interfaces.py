"""What the parts of this package expect of each other, and of the packages above it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.events import Event
from txthoonk.history._reads import Look
from txthoonk.history._recovery import Position
from txthoonk.protocol._commands import Commands
from txthoonk.subscriptions._feed_state import State
from txthoonk.subscriptions.following._held import Held

__all__ = [
    "NO_LISTENER",
    "Feeder",
    "Followed",
    "FollowerListener",
    "Named",
    "NoListener",
    "Reader",
    "ReadingListener",
    "Subscriber",
    "SubscriptionListener",
    "Taker",
]


class Named(Protocol):
    """A feed.

    :ivar name: its name.
    """

    name: str


class Subscriber(Protocol):
    """An object that a mirror subscribes with."""

    def subscribe(self, feed: str, handler: Any, *, snapshot: bool, limit: int) -> Deferred[Any]:
        """Subscribe to the events of one feed."""


class Reader(Protocol):
    """A way to read from Redis.

    :ivar redis: the publisher's connection.
    :ivar mark_channel: the channel on which marks come back.
    """

    redis: Commands
    mark_channel: str

    def hears(self) -> bool:
        """Return whether messages arrive: whether the connection is up and answers."""

    def available(self) -> Deferred[Any]:
        """Wait for the publisher's connection."""

    def seconds(self) -> float:
        """Return the time, in seconds since some fixed moment."""

    def later(self, seconds: float) -> Deferred[Any]:
        """Wait for this many seconds."""

    def ping(self) -> Deferred[Any]:
        """Wait until all messages that were published before now have arrived."""

    def mark(self, passed: Callable[[], object]) -> tuple[str, Deferred[None]]:
        """Make a message for the channel of marks.

        :param passed: is called when the message arrives, between the messages around it.
        """


class Taker(Protocol):
    """Takes the events of followers: a subscription."""

    def put(self, event: Event) -> bool:
        """Take an event if there is room. Return whether there was."""

    def force(self, event: Event) -> None:
        """Take an event, whether there is room or not."""

    def reserve(self, most: int) -> int:
        """Reserve room for events that are about to come. Return for how many there is room."""

    def release(self, count: int) -> None:
        """Give back room that was reserved."""

    def room(self) -> Deferred[None]:
        """Wait for room. The Deferred never fires if the taker stops."""

    def give_state(self, slices: Iterator[Event]) -> None:
        """Take a whole state, whether there is room or not.

        :param slices: its slices. Each is made when the one before it is delivered.
        """

    def tell(self, event: Event) -> Deferred[None]:
        """Take an event like :meth:`force`. The Deferred fires once it is delivered."""

    def purge(self, feed: str) -> None:
        """Drop the events of a feed that are not delivered yet."""


class Feeder(Protocol):
    """Gives a subscription its events: the follower of a feed, or all those of a pattern."""

    @property
    def is_current(self) -> bool:
        """Whether no event is missing, as far as can be known."""

    def next_turn(self) -> Deferred[Any]:
        """Wait until the reactor has done what else there is to do."""

    def stop(self) -> None:
        """Give no more events."""


class SubscriptionListener(Protocol):
    """Is notified of the end of a subscription."""

    def subscription_stopped(self, subscription: Any) -> None:
        """Learn that the subscription is stopped."""


class Followed(Protocol):
    """The follower, as the object that brings it up to date sees it.

    :ivar epoch: the epoch of its position; None without a history.
    :ivar revision: the revision of its position.
    :ivar absent: whether the feed did not exist when it was read last.
    :ivar held: live events that wait until the reading is done.
    """

    epoch: str | None
    revision: int
    absent: bool
    held: Held

    def move_to(self, position: Position) -> None:
        """Take another position."""

    def has_items(self, ids: Iterable[str]) -> None:
        """Learn the ids of the feed's items."""

    def hold(self, events: Iterable[Event] | None = None) -> None:
        """Hold live events again.

        :param events: replace the events that are held; None: keep those.
        """

    def apply_to(self, state: Callable[[Event], object]) -> None:
        """Give live events to the state that is being read."""

    def drop_held(self) -> None:
        """Deliver the held events of the feed as a whole, and drop the others."""

    def go_live(self, replayed: bool) -> None:
        """Deliver the events that are held, and then each event when it arrives.

        :param replayed: whether events or a state were read.
        """


class ReadingListener(Protocol):
    """Decides what to do with what a reading finds.

    Each method may run code of the user, which may end the reading. Then it raises
    :class:`~txthoonk.subscriptions.following._reading.Superseded`.
    """

    @property
    def state_wanted(self) -> bool:
        """Whether to read the whole state next, and not the history."""

    @property
    def is_started(self) -> bool:
        """Whether the position was known once."""

    def position(self) -> tuple[str, int | None]:
        """Return the epoch and the revision to look from, as :func:`look` takes them."""

    def held(self) -> int:
        """Count the live events that are held."""

    def waits(self) -> None:
        """Learn that the reading waits for something other than an answer."""

    def take_look(self, found: Look | None, held: int) -> bool:
        """Deliver what a look has found. Return whether nothing more is missing.

        :param found: None: the feed does not exist.
        :param held: how many events were held when the look was sent.
        """

    def pass_on(self, event: Event) -> None:
        """Take an event of the feed as a whole that arrives while the state is read."""

    def apply_to(self, state: Callable[[Event], object]) -> None:
        """Give live events to the state that is being read."""

    def take_state(
        self, state: State, position: Position, absent: bool, left: list[Event]
    ) -> None:
        """Deliver the state.

        :param state: changes no more.
        :param absent: whether the feed does not exist.
        :param left: events that come after the state.
        """

    def go_without_state(self, held: list[Event]) -> bool:
        """Go on with the history of a feed that has no state. Return whether that is possible.

        :param held: events that arrived while the state was read.
        """

    def put_off(self, error: Exception, failures: int) -> bool:
        """Learn that Redis refused to be read. Return whether to try again.

        :param failures: how often in a row it has refused.
        """

    def caught_up(self) -> None:
        """Learn that all is read."""


class FollowerListener(Protocol):
    """Observes followers: a subscription to a pattern, which has many.

    :ivar first_slice: how many entries of the history to read first; 0: as many as later.
    """

    first_slice: int

    def settled(self, feed: str) -> None:
        """Learn that a feed is live, or cannot be for now."""

    def waits(self, feed: str) -> None:
        """Learn that the reading of a feed waits."""

    def went_live(self, feed: str, absent: bool) -> None:
        """Learn that events of a feed are delivered when they arrive.

        :param absent: whether the feed does not exist.
        """

    def cannot_follow(self, feed: str, error: BaseException) -> None:
        """Learn that the position of a feed cannot be found."""


class NoListener:
    """Observes nothing: see :class:`FollowerListener`."""

    first_slice = 0

    def settled(self, feed: str) -> None:
        """Do nothing."""

    def waits(self, feed: str) -> None:
        """Do nothing."""

    def went_live(self, feed: str, absent: bool) -> None:
        """Do nothing."""

    def cannot_follow(self, feed: str, error: BaseException) -> None:
        """Do nothing."""


NO_LISTENER = NoListener()
