"""Subscriptions: events taken one by one, or handled one at a time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.followers import free
from tests.support.wire import outcome
from txthoonk.errors import SubscriptionEnded
from txthoonk.events import Event
from txthoonk.subscriptions import LIMIT, Subscription


def event(number: int, feed: str = "news") -> Event:
    return Event("retract", feed, str(number))


EVENTS = [event(number) for number in range(10)]


class Feeder:
    """A feeder that records when it is stopped."""

    is_current = True

    def __init__(self, ended: list[str]) -> None:
        self._ended = ended
        self.turns: list[Deferred[None]] = []

    def next_turn(self) -> Deferred[None]:
        self.turns.append(Deferred())
        return self.turns[-1]

    def stop(self) -> None:
        self._ended.append("ended")


class NextTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subscription = Subscription("news", limit=4)

    def put(self, *events: Event) -> list[bool]:
        return [self.subscription.put(one) for one in events]

    def take(self) -> Event:
        taken = self.successResultOf(self.subscription.next())
        assert isinstance(taken, Event)
        return taken

    def test_in_order(self) -> None:
        """Events that wait are taken in their order."""
        self.assertEqual(self.put(*EVENTS[:3]), [True] * 3)
        self.assertEqual([self.take() for _ in range(3)], EVENTS[:3])

    def test_waiting(self) -> None:
        """Each waiting call gets one event, in the order of the calls."""
        fired = [outcome(self.subscription.next()) for _ in range(3)]
        self.put(*EVENTS[:2])
        self.assertEqual(fired, [[EVENTS[0]], [EVENTS[1]], []])

    def test_cancelled(self) -> None:
        """A cancelled call takes no event from the others."""
        first, second = self.subscription.next(), self.subscription.next()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.put(EVENTS[0])
        self.assertEqual(self.successResultOf(second), EVENTS[0])
        last = self.subscription.next()
        last.cancel()
        self.failureResultOf(last, CancelledError)
        self.put(EVENTS[1])
        self.assertEqual(self.take(), EVENTS[1])

    def test_stopped(self) -> None:
        """The end fails all waiting and later calls, and drops waiting events."""
        ended: list[str] = []
        self.subscription.feed_from(Feeder(ended))
        waiting = [self.subscription.next(), self.subscription.next()]
        self.assertEqual(repr(self.subscription), "<Subscription 'news'>")
        self.assertIsNone(self.successResultOf(self.subscription.stop()))
        self.assertIsNone(self.successResultOf(self.subscription.stop()))
        for deferred in (*waiting, self.subscription.next()):
            self.failureResultOf(deferred, SubscriptionEnded)
        self.assertEqual((ended, self.subscription.stopped), (["ended"], True))
        self.assertEqual(repr(self.subscription), "<Subscription 'news' stopped>")

    def test_stopped_with_events(self) -> None:
        """After the end no event is delivered, neither a waiting one nor a later one."""
        self.put(*EVENTS[:2])
        self.subscription.stop()
        self.put(EVENTS[2])
        self.subscription.force(EVENTS[3])
        self.failureResultOf(self.subscription.next(), SubscriptionEnded)

    def test_cancelled_by_the_end(self) -> None:
        """Code that learns of the end may cancel other calls."""
        first, second, third = [self.subscription.next() for _ in range(3)]
        first.addErrback(lambda _: second.cancel())
        self.subscription.stop()
        self.assertIsNone(self.successResultOf(first))
        second.addErrback(lambda reason: reason.trap(CancelledError, SubscriptionEnded))
        self.successResultOf(second)
        self.failureResultOf(third, SubscriptionEnded)

    def test_called_again_by_the_end(self) -> None:
        """A call that is made when another one fails with the end fails as well."""
        waiting = self.subscription.next()
        again = waiting.addErrback(lambda _: self.subscription.next())
        self.subscription.stop()
        self.failureResultOf(again, SubscriptionEnded)

    def test_iteration(self) -> None:
        """``async for`` gives each event, and ends with the subscription."""
        seen: list[Event] = []

        async def run() -> None:
            async for one in self.subscription:
                seen.append(one)

        self.put(*EVENTS[:2])
        running = Deferred.fromCoroutine(run())
        self.put(EVENTS[2])
        self.assertNoResult(running)
        self.subscription.stop()
        self.successResultOf(running)
        self.assertEqual(seen, EVENTS[:3])


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subscription = Subscription("news", limit=4)

    def fill(self) -> None:
        for one in EVENTS[:4]:
            self.subscription.put(one)

    def take(self, count: int = 1) -> list[Any]:
        return [self.successResultOf(self.subscription.next()) for _ in range(count)]

    def test_reserved(self) -> None:
        """An event that can be read again leaves reserved room free."""
        subscription = Subscription("news*", limit=4)
        self.assertEqual(subscription.reserve(3), 3)
        kept = event(1)._replace(revision=1, epoch="a")
        self.assertEqual([subscription.put(kept) for _ in range(2)], [True, False])
        self.assertEqual([subscription.put(event(2)) for _ in range(4)], [True] * 3 + [False])
        subscription.release(3)
        self.successResultOf(subscription.next())
        self.assertTrue(subscription.put(kept))

    def test_limit(self) -> None:
        """An event that finds no room is refused, unless it is forced."""
        self.assertEqual(free(Subscription("news")), LIMIT)
        self.fill()
        self.assertEqual((self.subscription.put(EVENTS[4]), free(self.subscription)), (False, 0))
        self.subscription.force(EVENTS[5])
        self.assertEqual(free(self.subscription), 0)
        self.assertEqual(self.take(5), [*EVENTS[:4], EVENTS[5]])
        self.assertEqual(free(self.subscription), 4)

    def test_room(self) -> None:
        """There is room again once half of it is free."""
        self.successResultOf(self.subscription.room())
        self.fill()
        rooms = [outcome(self.subscription.room()) for _ in range(2)]
        self.take()
        self.assertEqual(rooms, [[], []])
        self.take()
        self.assertEqual(rooms, [[None], [None]])
        self.successResultOf(self.subscription.room())
        self.take(2)
        self.assertEqual(rooms, [[None], [None]])

    def test_room_for_one(self) -> None:
        """With a limit of one event, there is room once it is taken."""
        self.subscription = Subscription("news", limit=1)
        self.subscription.put(EVENTS[0])
        room = outcome(self.subscription.room())
        self.assertFalse(self.subscription.put(EVENTS[1]))
        self.take()
        self.assertEqual(room, [None])

    def test_told(self) -> None:
        """The Deferred of ``tell`` fires when its event is taken, after all events before it."""
        self.fill()
        told = outcome(self.subscription.tell(EVENTS[4]))
        equal = outcome(self.subscription.tell(EVENTS[4]._replace()))
        self.take(4)
        self.assertEqual((told, equal), ([], []))
        self.take()
        self.assertEqual((told, equal), ([None], []))
        self.take()
        self.assertEqual(equal, [None])

    def test_told_at_once(self) -> None:
        """The Deferred of ``tell`` fires at once if a call of ``next`` waits for an event."""
        taken = outcome(self.subscription.next())
        self.assertEqual(outcome(self.subscription.tell(EVENTS[0])), [None])
        self.assertEqual(taken, [EVENTS[0]])

    def test_told_and_purged(self) -> None:
        """The Deferred of ``tell`` never fires for an event that is dropped."""
        told = outcome(self.subscription.tell(event(1, "a")))
        self.subscription.purge("a")
        self.assertEqual(told, [])

    def test_asked_again(self) -> None:
        """Code that fills the room and waits again is notified when there is room again."""
        self.fill()
        rooms: list[Any] = []

        def fill(_: None) -> None:
            for one in EVENTS[4:6]:
                self.assertTrue(self.subscription.put(one))
            rooms.append(outcome(self.subscription.room()))

        self.subscription.room().addCallback(fill)
        self.take(2)
        self.assertEqual(rooms, [[]])
        self.take(2)
        self.assertEqual(rooms, [[None]])

    def test_end(self) -> None:
        """No room is reported once the subscription has ended."""
        self.fill()
        waiting = outcome(self.subscription.room()), outcome(self.subscription.tell(EVENTS[4]))
        self.subscription.stop()
        self.assertEqual(waiting, ([], []))
        self.assertEqual(free(self.subscription), 4)

    def test_purge(self) -> None:
        """The events of one feed are dropped, and those of others stay in their order."""
        for one in (event(1, "a"), event(2, "b"), event(3, "a"), event(4, "b")):
            self.subscription.put(one)
        self.subscription.purge("a")
        self.assertEqual(free(self.subscription), 2)
        self.assertEqual(self.take(2), [event(2, "b"), event(4, "b")])


class HandlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen: list[Event] = []
        self.waits: list[Deferred[None]] = []

    def subscribe(self, handler: Callable[[Event], Any], limit: int = LIMIT) -> Subscription:
        def handle(one: Event) -> Any:
            self.seen.append(one)
            return handler(one)

        self.subscription = Subscription("news", handle, limit)
        return self.subscription

    def wait(self, _: Event) -> Deferred[None]:
        self.waits.append(Deferred())
        return self.waits[-1]

    def put(self, *events: Event) -> None:
        for one in events:
            self.assertTrue(self.subscription.put(one))

    def assert_logged(self, *errors: type[Exception]) -> None:
        logged = [failure.type for failure in self.flushLoggedErrors()]
        self.assertEqual(logged, list(errors))

    def test_at_once(self) -> None:
        """A handler that waits for nothing gets each event when it arrives."""
        for result in (None, 1, succeed(None), succeed(1)):
            self.seen.clear()
            self.subscribe(lambda _, result=result: result)  # type: ignore[misc]
            self.put(*EVENTS[:3])
            self.assertEqual(self.seen, EVENTS[:3])

    def test_one_at_a_time(self) -> None:
        """The next event comes after the Deferred of the handler has fired."""
        self.subscribe(self.wait)
        self.put(*EVENTS[:3])
        self.assertEqual(self.seen, EVENTS[:1])
        self.waits[0].callback(None)
        self.assertEqual(self.seen, EVENTS[:2])
        self.put(EVENTS[3])
        self.waits[1].callback(None)
        self.waits[2].callback(None)
        self.waits[3].callback(None)
        self.put(EVENTS[4])
        self.assertEqual(self.seen, EVENTS[:5])

    def test_mixed(self) -> None:
        """After a Deferred, all waiting events are handled at once, if nothing delays them."""
        self.subscribe(lambda one: self.wait(one) if str(one.id) in "05" else None)
        self.put(*EVENTS)
        self.assertEqual(self.seen, EVENTS[:1])
        self.waits[0].callback(None)
        self.assertEqual(self.seen, EVENTS[:6])
        self.waits[1].callback(None)
        self.assertEqual(self.seen, EVENTS)

    def test_coroutine(self) -> None:
        """The next event waits for a coroutine as it does for a Deferred."""
        gate: Deferred[None] = Deferred()

        async def work() -> None:
            await gate

        def handler(_: Event) -> Coroutine[Any, Any, None]:
            return work()

        self.subscribe(handler)
        self.put(*EVENTS[:2])
        self.assertEqual(self.seen, EVENTS[:1])
        gate.callback(None)
        self.assertEqual(self.seen, EVENTS[:2])

    def test_fired_but_paused(self) -> None:
        """The next event waits for a Deferred that has fired and waits for another one."""
        gate: Deferred[None] = Deferred()
        self.subscribe(lambda _: succeed(None).addCallback(lambda _: gate))
        self.put(*EVENTS[:2])
        self.assertEqual(self.seen, EVENTS[:1])
        gate.callback(None)
        self.assertEqual(self.seen, EVENTS[:2])

    def test_failures(self) -> None:
        """An error of a handler, at once or later, is logged, and the next event comes."""

        def raise_(_: Event) -> None:
            raise ZeroDivisionError

        async def raise_later(_: Event) -> None:
            raise KeyError

        for handler, error in (
            (raise_, ZeroDivisionError),
            (raise_later, KeyError),
            (lambda _: fail(ValueError()), ValueError),
        ):
            self.seen.clear()
            self.subscribe(handler)
            self.put(*EVENTS[:2])
            self.assertEqual(self.seen, EVENTS[:2])
            self.assert_logged(error, error)

    def test_late_failure(self) -> None:
        """A failure that comes late is logged, and then the next event comes."""
        self.subscribe(self.wait)
        self.put(*EVENTS[:2])
        self.waits[0].errback(ZeroDivisionError())
        self.assertEqual(self.seen, EVENTS[:2])
        self.assert_logged(ZeroDivisionError)

    def test_told_within(self) -> None:
        """An event that comes while the handler runs is handled after it."""
        order: list[str] = []

        def handler(one: Event) -> None:
            order.append(f"begin {one.id}")
            if one.id == "0":
                self.put(EVENTS[1])
            order.append(f"end {one.id}")

        self.subscribe(handler)
        self.put(EVENTS[0])
        self.assertEqual(order, ["begin 0", "end 0", "begin 1", "end 1"])

    def test_many(self) -> None:
        """Any number of events that wait are handled without recursion."""
        self.subscribe(lambda one: self.wait(one) if one.id == "0" else None, limit=10_000)
        for number in range(10_000):
            self.put(event(number))
        self.assertEqual(self.seen, EVENTS[:1])
        self.waits[0].callback(None)
        self.assertEqual(len(self.seen), 10_000)

    def test_busy_handler_is_slow(self) -> None:
        """The event in the handler takes no room, and there is room when half is free."""
        self.subscribe(self.wait, limit=2)
        self.put(*EVENTS[:3])
        self.assertFalse(self.subscription.put(EVENTS[3]))
        room = outcome(self.subscription.room())
        self.waits[0].callback(None)
        self.assertEqual(room, [None])
        self.put(EVENTS[4])
        self.waits[1].callback(None)
        self.waits[2].callback(None)
        self.assertEqual(self.seen, [*EVENTS[:3], EVENTS[4]])

    def test_stopped_within(self) -> None:
        """A handler that ends the subscription is not called again."""
        self.subscribe(lambda _: outcome(self.subscription.stop()) and None)
        self.put(EVENTS[0], EVENTS[1])
        self.assertEqual(self.seen, EVENTS[:1])

    def test_stopped_while_busy(self) -> None:
        """Events that wait for a handler are dropped at the end."""
        self.subscribe(self.wait)
        self.put(*EVENTS[:3])
        self.subscription.stop()
        self.waits[0].callback(None)
        self.put(EVENTS[3])
        self.assertEqual(self.seen, EVENTS[:1])


class StateTests(SynchronousTestCase):
    """A whole state, of which each slice is made when the one before it is taken."""

    def setUp(self) -> None:
        self.feeder = Feeder([])
        self.seen: list[Event] = []
        self.made: list[Event] = []
        self.result: Any = None

    def subscription(self, handler: bool, limit: int = 2) -> Subscription:
        made = Subscription("news", self.handle if handler else None, limit)
        made.feed_from(self.feeder)
        return made

    def handle(self, event: Event) -> Any:
        self.seen.append(event)
        return self.result

    def slices(self, count: int, feed: str = "news") -> Iterator[Event]:
        for number in range(count):
            more = number < count - 1
            self.made.append(Event("snapshot", feed, item=[(str(number), "x")], more=more))
            yield self.made[-1]

    def test_handler(self) -> None:
        """A handler gets one slice in each turn of the reactor, and then what came meanwhile."""
        subscription = self.subscription(handler=True)
        subscription.give_state(self.slices(3))
        self.assertEqual((self.seen, len(self.made)), (self.made[:1], 2))
        self.assertTrue(subscription.put(EVENTS[0]))
        self.feeder.turns.pop().callback(None)
        self.assertEqual(self.seen, self.made[:2])
        self.feeder.turns.pop().callback(None)
        self.assertEqual((self.seen, self.feeder.turns), ([*self.made, EVENTS[0]], []))
        subscription.put(EVENTS[1])
        self.assertEqual((self.seen[-1], self.feeder.turns), (EVENTS[1], []))

    def test_slow_handler(self) -> None:
        """A slice waits until the handler is done with the one before it, or has failed."""
        subscription = self.subscription(handler=True)
        working: Deferred[None] = Deferred()
        self.result = working
        subscription.give_state(self.slices(2))
        self.assertEqual(self.feeder.turns, [])
        self.result = None
        working.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.feeder.turns.pop().callback(None)
        self.assertEqual(self.seen, self.made)

    def test_two_states(self) -> None:
        """The states of two feeds come one after the other, both in slices."""
        subscription = self.subscription(handler=True)
        subscription.give_state(self.slices(2))
        subscription.give_state(self.slices(2, "other"))
        for _ in range(2):
            self.assertEqual(len(self.feeder.turns), 1)
            self.feeder.turns.pop().callback(None)
        self.assertEqual([event.feed for event in self.seen], ["news"] * 2 + ["other"] * 2)

    def test_taken(self) -> None:
        """A state takes the room of one event, whatever the number of its slices."""
        subscription = self.subscription(handler=False)
        waiting = [outcome(subscription.next()) for _ in range(2)]
        subscription.give_state(self.slices(4))
        self.assertEqual(waiting, [[self.made[0]], [self.made[1]]])
        self.assertEqual([subscription.put(EVENTS[0]), subscription.put(EVENTS[1])], [True, False])
        taken = [self.successResultOf(subscription.next()) for _ in range(3)]
        self.assertEqual(taken, [*self.made[2:], EVENTS[0]])

    def test_dropped(self) -> None:
        """The rest of a state is dropped with the feed's events, and when it is stopped."""
        subscription = self.subscription(handler=False)
        subscription.give_state(self.slices(3))
        self.successResultOf(subscription.next())
        subscription.purge("news")
        self.assertEqual((subscription.backlog, len(self.made)), (0, 2))
        handled = self.subscription(handler=True)
        handled.give_state(self.slices(2))
        handled.stop()
        self.feeder.turns.pop().callback(None)
        handled.give_state(self.slices(2))
        self.assertEqual(len(self.seen), 1)


class CurrentTests(SynchronousTestCase):
    """A subscription knows whether it has all events."""

    def test_feeder(self) -> None:
        """A subscription is current while its feeder is, until it is stopped."""
        subscription, feeder = Subscription("news"), Feeder([])
        subscription.feed_from(feeder)
        for is_current in (True, False, True):
            feeder.is_current = is_current
            self.assertIs(subscription.current, is_current)
        subscription.stop()
        self.assertFalse(subscription.current)

    def test_listeners(self) -> None:
        """The listeners of a subscription are notified of its end once."""
        ended: list[Subscription] = []

        class Listener:
            def subscription_stopped(self, subscription: Subscription) -> None:
                ended.append(subscription)

        subscription = Subscription("news")
        subscription.add_listener(Listener())
        subscription.stop()
        subscription.stop()
        self.assertEqual(ended, [subscription])
