"""Subscriptions: the events of one feed, or of all feeds that match a pattern, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import begun
from txthoonk._support._threads import check_thread
from txthoonk.errors import SubscriptionEnded
from txthoonk.events import Event
from txthoonk.subscriptions._interfaces import Feeder, SubscriptionListener

__all__ = ["LIMIT", "EventHandler", "Subscription"]

#: Gets an event. It may return a Deferred or a coroutine, and then gets the next event after that.
EventHandler = Callable[[Event], Any]

LIMIT = 1000  # events that may wait to be taken


class Subscription(AsyncIterator[Event]):
    """The events of feeds, in their order.

    Take them with ``async for`` or :meth:`next`, or pass a handler. If you are slow, up to
    ``limit`` events wait for you. An event that finds no room is read from the feed's history when
    there is room again. If the feed has no history, the events that wait are dropped, and a
    ``resync`` says so.

    :ivar name: the feed or the pattern.
    :ivar stopped: whether it has ended.
    """

    _log = Logger()

    def __init__(self, name: str, handler: EventHandler | None = None, limit: int = LIMIT) -> None:
        """Make a subscription. To get one, call ``subscribe`` or ``subscribe_pattern``.

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
        # What to do when an event that waits is taken.
        self._when_taken: dict[int, Callable[[], object]] = {}
        self._busy = False
        self._feeder: Feeder | None = None
        self._listeners: list[SubscriptionListener] = []

    def __repr__(self) -> str:
        state = " stopped" if self.stopped else ""
        return f"<Subscription {self.name!r}{state}>"

    @property
    def backlog(self) -> int:
        """How many events wait for the subscriber."""
        return len(self._events)

    @property
    def full(self) -> bool:
        """Whether its buffer is full."""
        return len(self._events) >= self._limit

    @property
    def current(self) -> bool:
        """Whether it has all events, as far as can be known.

        Some of them may still wait for you: see :attr:`backlog`. It is False while there is no
        connection, or the last check of the connection was not answered, and then until everything
        that was missed is read. It is also False once the subscription is stopped.
        """
        return not self.stopped and (self._feeder is None or self._feeder.is_current)

    # -- for users ------------------------------------------------------------------

    def next(self) -> Deferred[Event]:
        """Wait for the next event.

        :return: fires an :class:`~txthoonk.events.Event`; fails with
            :class:`~txthoonk.errors.SubscriptionEnded` once the subscription is stopped. If you
            cancel it, no event is lost.
        """
        check_thread()
        if self._events:
            return succeed(self._take())
        if self.stopped:
            return fail(self._ended())
        waiting: Deferred[Event] = AwaitableDeferred(self._nexts.remove)
        self._nexts.append(waiting)
        return waiting

    def __aiter__(self) -> Subscription:
        """Iterate over the events, until :meth:`stop`."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event."""
        try:
            return await self.next()
        except SubscriptionEnded:
            raise StopAsyncIteration from None

    def stop(self) -> Deferred[None]:
        """End the subscription. Events that wait are dropped, and no more come.

        Channels that no other subscription or handler wants are unsubscribed.

        :return: fires None at once.
        """
        check_thread()
        if not self.stopped:
            self.stopped = True
            self._notify_of_end()
            self._events.clear()
            self._rooms.clear()
            self._when_taken.clear()
            while self._nexts:  # one of them may cancel another
                self._nexts.popleft().errback(self._ended())
        return succeed(None)

    def _notify_of_end(self) -> None:
        for listener in self._listeners:
            listener.subscription_stopped(self)
        if self._feeder is not None:
            self._feeder.stop()

    def _ended(self) -> SubscriptionEnded:
        return SubscriptionEnded(f"the subscription to {self.name!r} was stopped")

    # -- for the service and the followers --------------------------------------------

    def add_listener(self, listener: SubscriptionListener) -> None:
        """Have a listener notified of the end."""
        self._listeners.append(listener)

    def feed_from(self, feeder: Feeder) -> None:
        """Take the events of a feeder. It is stopped at the end."""
        self._feeder = feeder

    def put(self, event: Event) -> bool:
        """Take an event if there is room. Return whether there was."""
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
        """Reserve room for events that are about to come. Return for how many there is room."""
        count = max(0, min(most, self._limit - len(self._events) - self._reserved))
        self._reserved += count
        return count

    def release(self, count: int) -> None:
        """Give back room that was reserved."""
        self._reserved -= count
        self._notify_of_room()

    def room(self) -> Deferred[None]:
        """Wait until half of the room is free. Never fires once it is stopped."""
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

    def _notify_of_room(self) -> None:
        # Each that is notified may reserve all of it.
        while self._rooms and self._has_room():
            self._rooms.popleft().callback(None)

    def purge(self, feed: str) -> None:
        """Drop the events of a feed that are not delivered yet."""
        for event in self._events:
            if event.feed == feed:
                self._when_taken.pop(id(event), None)
        self._events = deque(event for event in self._events if event.feed != feed)

    def tell(self, event: Event) -> Deferred[None]:
        """Take an event like :meth:`force`. Fires once it is delivered."""
        reported: Deferred[None] = Deferred()
        self._when_taken[id(event)] = partial(reported.callback, None)
        self.force(event)
        if not any(event is one for one in self._events):
            self._when_taken.pop(id(event), None)
            if not self.stopped and not reported.called:
                reported.callback(None)
        return reported

    def _take(self) -> Event:
        event = self._events.popleft()
        if self._rooms:
            self._notify_of_room()
        if self._when_taken and (taken := self._when_taken.pop(id(event), None)):
            taken()
        return event

    def give_state(self, slices: Iterator[Event]) -> None:
        """Take a whole state, whether there is room or not.

        Its slices count as one event. A handler gets one in each turn of the reactor.

        :param slices: each is made when the one before it is taken.
        """
        if self.stopped:
            return
        self._add_slice(slices, self._events.append)
        if self._handler is not None and not self._busy:
            self._handle(self._take())
        while self._nexts and self._events:
            self._nexts.popleft().callback(self._take())

    def _add_slice(self, slices: Iterator[Event], add: Callable[[Event], None]) -> None:
        event = next(slices)
        add(event)
        if event.more:
            self._when_taken[id(event)] = partial(self._add_next_slice, slices)

    def _add_next_slice(self, slices: Iterator[Event]) -> None:
        self._add_slice(slices, self._events.appendleft)
        self._call = self._call_and_rest

    def _call_and_rest(self, event: Event) -> Deferred[Any]:
        """Call the handler, and leave the reactor time for other work before the next event."""
        self._call = call = self._handler or _no_handler
        doing = begun(call(event)) or succeed(None)
        doing.addErrback(self._failed)
        return doing.addCallback(lambda _: self._rest())

    def _rest(self) -> Deferred[Any] | None:
        return None if self._feeder is None or self.stopped else self._feeder.next_turn()

    # -- the handler ----------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Call the handler with an event, and then with those that arrive meanwhile."""
        self._busy = True
        while True:
            try:
                result = self._call(event)
            except BaseException:  # noqa: BLE001  (a handler may raise anything)
                self._failed(Failure())
                result = None
            if result is not None and self._waits_for(result):
                return
            if not self._events:
                self._busy = False
                return
            event = self._take()

    def _waits_for(self, result: Any) -> bool:
        """Return whether the handler is still at work."""
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
