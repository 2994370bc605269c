"""Subscriptions: the events of one feed, or of all whose names match, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._deferreds import begun
from txthoonk._support._threads import check_thread
from txthoonk.errors import SubscriptionEnded
from txthoonk.events import Event

__all__ = ["LIMIT", "EventHandler", "Subscription"]

#: Gets an event; may return a Deferred or a coroutine, and gets the next event after it.
EventHandler = Callable[[Event], Any]

LIMIT = 1000  # events that may wait for the subscriber


class Subscription(AsyncIterator[Event]):
    """The events of feeds, in their order.

    Take them with ``async for``, with :meth:`next`, or have a handler called.  Up to ``limit``
    events wait for a subscriber who is slow.  What finds no room is read from the feed's
    history as soon as there is some; of a feed without a history the events that wait are
    dropped, and a ``resync`` says so.

    :ivar name: the feed or the pattern.
    :ivar stopped: whether it has ended.
    """

    _log = Logger()

    def __init__(self, name: str, handler: EventHandler | None = None, limit: int = LIMIT) -> None:
        """Make the object; ``subscribe`` and ``subscribe_pattern`` do that.

        :param limit: how many events may wait.
        """
        self.name = name
        self.stopped = False
        self._handler = handler
        self._call = handler or _no_handler
        self._limit = limit
        self._events: deque[Event] = deque()
        self._nexts: deque[Deferred[Event]] = deque()
        self._rooms: deque[Deferred[None]] = deque()
        self._reserved = 0
        self._told: dict[int, Deferred[None]] = {}
        self._busy = False
        self._end: Callable[[], object] = lambda: None
        #: Tells whether all that has happened until now is known.
        self._is_current: Callable[[], bool] = lambda: True

    def __repr__(self) -> str:
        state = " stopped" if self.stopped else ""
        return f"<Subscription {self.name!r}{state}>"

    @property
    def backlog(self) -> int:
        """How many events wait for the subscriber."""
        return len(self._events)

    # -- what the user does ---------------------------------------------------------

    def next(self) -> Deferred[Event]:
        """Wait for the next event.

        :return: fires an :class:`~txthoonk.events.Event`; fails with
            :class:`~txthoonk.errors.SubscriptionEnded` once the subscription is stopped.
            Cancelling it loses no event.
        """
        check_thread()
        if self._events:
            return succeed(self._take())
        if self.stopped:
            return fail(self._ended())
        waiting: Deferred[Event] = Deferred(self._nexts.remove)
        self._nexts.append(waiting)
        return waiting

    def __aiter__(self) -> Subscription:
        """Iterate over the events; the end comes with :meth:`stop`."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event."""
        try:
            return await self.next()
        except SubscriptionEnded:
            raise StopAsyncIteration from None

    def stop(self) -> Deferred[None]:
        """End the subscription: events that wait are dropped, no further ones come.

        What is subscribed in Redis and wanted by nobody else is unsubscribed.

        :return: fires None at once.
        """
        check_thread()
        if not self.stopped:
            self.stopped = True
            self._end()
            self._events.clear()
            self._rooms.clear()
            self._told.clear()
            while self._nexts:  # one of them may cancel another
                self._nexts.popleft().errback(self._ended())
        return succeed(None)

    def _ended(self) -> SubscriptionEnded:
        return SubscriptionEnded(f"the subscription to {self.name!r} was stopped")

    # -- what followers do ----------------------------------------------------------

    def put(self, event: Event) -> bool:
        """Take an event, if there is room; whether there was."""
        room = self._limit - len(self._events)
        if self._reserved and event.revision is not None:  # it can be read again later
            room -= self._reserved
        if room <= 0:
            return False
        self.force(event)
        return True

    def force(self, event: Event) -> None:
        """Take an event, whether there is room or not."""
        if self._handler is not None and not self._busy and not self.stopped:
            self._handle(event)
        elif self._nexts:
            self._nexts.popleft().callback(event)
        elif not self.stopped:
            self._events.append(event)

    def reserve(self, most: int) -> int:
        """Reserve room for events that are about to come; for how many there is room."""
        count = max(0, min(most, self._limit - len(self._events) - self._reserved))
        self._reserved += count
        return count

    def release(self, count: int) -> None:
        """Give back what was reserved."""
        self._reserved -= count
        self._tell_of_room()

    def room(self) -> Deferred[None]:
        """Wait until half of the room is free; not fired once it is stopped."""
        if self._has_room():
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._leave_room)
        self._rooms.append(waiting)
        return waiting

    def _leave_room(self, waiting: Deferred[None]) -> None:
        if waiting in self._rooms:
            self._rooms.remove(waiting)

    def _has_room(self) -> bool:
        return (len(self._events) + self._reserved) * 2 <= self._limit

    def _tell_of_room(self) -> None:
        # Each who is told may reserve all of it.
        while self._rooms and self._has_room():
            self._rooms.popleft().callback(None)

    def purge(self, feed: str) -> None:
        """Forget the events of a feed that were not delivered."""
        for event in self._events:
            if event.feed == feed:
                self._told.pop(id(event), None)
        self._events = deque(event for event in self._events if event.feed != feed)

    def tell(self, event: Event) -> Deferred[None]:
        """Take an event as :meth:`force` does; fires once it is delivered."""
        told: Deferred[None] = Deferred()
        self._told[id(event)] = told
        self.force(event)
        if not any(event is one for one in self._events):
            self._told.pop(id(event), None)
            if not self.stopped and not told.called:
                told.callback(None)
        return told

    def _take(self) -> Event:
        event = self._events.popleft()
        if self._rooms:
            self._tell_of_room()
        if self._told and (told := self._told.pop(id(event), None)):
            told.callback(None)
        return event

    # -- the handler ----------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Call the handler with an event, and then with those that have come meanwhile."""
        self._busy = True
        while True:
            try:
                result = self._call(event)
            except BaseException:  # noqa: BLE001  (whatever the handler raises is logged)
                self._failed(Failure())
                result = None
            if result is not None and self._waits_for(result):
                return
            if not self._events:
                self._busy = False
                return
            event = self._take()

    def _waits_for(self, result: Any) -> bool:
        """Tell whether what the handler has begun is still under way."""
        doing = begun(result)
        if doing is None:
            return False
        doing.addErrback(self._failed)
        if doing.called and not doing.paused:
            return False
        doing.addCallback(self._handled)
        return True

    def _handled(self, _: object) -> None:
        if self._events:
            self._handle(self._take())
        else:
            self._busy = False

    def _failed(self, reason: Failure) -> None:
        self._log.failure("a handler of {name!r} failed", reason, name=self.name)


def _no_handler(event: Event) -> None:
    pass
