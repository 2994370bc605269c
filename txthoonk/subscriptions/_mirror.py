"""A copy of a feed in this process, kept up to date by the feed's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._threads import check_thread
from txthoonk.errors import SubscriptionEnded
from txthoonk.events import Event
from txthoonk.subscriptions._feed_state import FeedState, State, make_state
from txthoonk.subscriptions._interfaces import Named, Subscriber
from txthoonk.subscriptions._subscription import Subscription

__all__ = ["Change", "Mirror"]

WAITING = 100_000  # events that may wait while a big state arrives

#: Gets an event, once the mirror has it.
Change = Callable[[Event], object]


class Mirror(Mapping[str, Any]):
    """The items of a feed by id, in the feed's order.

    A mirror always has a state that the feed really had. If changes were missed, it keeps its
    state until the whole new one is read. (Without a history, the messages of a bounded feed do
    not show that a retract and a publish are one change.) ``len``, ``in`` and access to one item
    take constant time. An item that the serializer cannot load is the
    :class:`~txthoonk.errors.InvalidItem` itself.

    :ivar name: the feed's name.
    :ivar revision: the feed's revision that the mirror has; None without a history.
    """

    _log = Logger()

    def __init__(self, thoonk: Subscriber, name: str) -> None:
        """Make a mirror. To get one, call ``mirror``."""
        self.name = name
        self.revision: int | None = None
        self._current = False
        self._thoonk = thoonk
        self._state: State = FeedState()
        self._next_state: State | None = None  # what has arrived of the whole new state
        self._change: list[Event] = []
        self._callbacks: dict[int, Change] = {}
        self._next_callback = 0
        self._first: Deferred[Mirror] = Deferred(lambda _: None)
        self._subscription: Subscription | None = None
        self._stopped = False

    @property
    def current(self) -> bool:
        """Whether it has all changes, as far as can be known.

        It is False from a ``resync`` until the new state is read. It is False while there is no
        connection, or the last check of the connection (``health`` of the service) was not
        answered, and then until everything that was missed is read. It is also False when the
        mirror or the service is stopped.
        """
        subscription = self._subscription
        return self._current and (subscription is None or subscription.current)

    def __repr__(self) -> str:
        return f"<Mirror of {self.name!r}: {len(self)} items>"

    # -- the mapping --------------------------------------------------------------

    def __getitem__(self, id_: str) -> Any:
        """Return an item."""
        return self._state.items[id_]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids, in the feed's order."""
        return self._state.order()

    def __len__(self) -> int:
        """Count the items."""
        return len(self._state.items)

    # -- changes ------------------------------------------------------------------

    def on_change(self, callback: Change) -> Callable[[], None]:
        """Call *callback* with each event, once the mirror has it.

        These are the events of items; ``snapshot`` without an item, when the whole state was
        read; ``resync``, when changes were missed and the state is about to be read; ``create``,
        ``delete`` and ``config``. In a sorted feed without a history, a new item is in the mirror
        when its ``position`` arrives, after its ``publish``. What the callback raises is logged.

        :return: a function that removes the callback.
        """
        number, self._next_callback = self._next_callback, self._next_callback + 1
        self._callbacks[number] = callback

        def remove() -> None:
            self._callbacks.pop(number, None)

        return remove

    def stop(self) -> Deferred[None]:
        """Follow the feed no longer. The items stay as they are.

        :return: fires None at once.
        """
        check_thread()
        self._stopped = True
        self._current = False
        if self._subscription is not None:
            self._subscription.stop()
        if not self._first.called:
            self._first.errback(SubscriptionEnded(f"the mirror of {self.name!r} was stopped"))
        return succeed(None)

    # -- events ---------------------------------------------------------------------

    async def _follow(self) -> None:
        subscription = await self._thoonk.subscribe(
            self.name, self._take, snapshot=True, limit=WAITING
        )
        self._subscription = subscription
        if self._stopped:
            subscription.stop()

    def _take(self, event: Event) -> None:
        if event.kind == "snapshot":
            self._take_slice(event)
        elif event.kind == "resync":
            self._change.clear()
            self._next_state = None
            self._current = False
            self._tell(event)
        elif event.kind in ("create", "delete"):
            # After a create the state follows: the new feed may be of another type.
            self._current = event.kind == "delete"
            self._state = FeedState()
            self._tell(event)
        elif event.kind == "config":
            self._tell(event)
        else:
            self._take_change(event)

    def _take_slice(self, event: Event) -> None:
        state = self._next_state or make_state(event.type)
        state.extend(dict(event.item))
        if event.more:
            self._next_state = state
            return
        self._state, self._next_state = state, None
        self.revision = event.revision
        self._current = True
        self._tell(event._replace(item=None))
        if not self._first.called:
            self._first.callback(self)

    def _take_change(self, event: Event) -> None:
        """Apply an event together with the others of the same change."""
        self._change.append(event)
        if event.more:
            return
        change, self._change = self._change, []
        for one in change:
            self._state.apply(one)
        self.revision = event.revision
        for one in change:
            self._tell(one)

    def _tell(self, event: Event) -> None:
        for number, callback in list(self._callbacks.items()):
            if number in self._callbacks:  # one before it may have removed it
                with self._log.failuresHandled("a callback of {mirror!r} failed", mirror=self):
                    callback(event)

    def _cannot_follow(self, reason: Failure) -> None:
        if not self._first.called:  # otherwise it was stopped before
            self._first.errback(reason)


def follow(thoonk: Subscriber, feed: Named | str) -> Deferred[Mirror]:
    """Make a mirror.

    :return: fires the mirror once it has the feed's items.
    """
    mirror = Mirror(thoonk, feed if isinstance(feed, str) else feed.name)

    cancelling = False

    def cancel(_: object) -> None:
        nonlocal cancelling
        cancelling = True
        mirror.stop()

    def tell(result: Any) -> None:
        if not cancelling:
            started.callback(result)

    started: Deferred[Mirror] = AwaitableDeferred(cancel)
    mirror._first.addBoth(tell)
    Deferred.fromCoroutine(mirror._follow()).addErrback(mirror._cannot_follow)
    return started
