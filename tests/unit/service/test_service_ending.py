"""Calls, gets and subscriptions when the service stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.support.service_cases import NO_FEED
from tests.support.service_stop import StopTestCase
from tests.support.wire import outcome, resp
from txthoonk.connections._reconnecting import CLOSE_TIMEOUT
from txthoonk.errors import ConnectionLost, SubscriptionEnded
from txthoonk.service._thoonk import DRAIN_TIMEOUT
from txthoonk.types import Queue


class UnderWayTests(StopTestCase):
    def test_answered(self) -> None:
        """A stop waits for pending calls."""
        thoonk = self.come_up()
        calls = [outcome(thoonk.redis.get(key)) for key in "ab"]
        stopped = outcome(thoonk.stopService())
        self.assertEqual(thoonk.state, "stopping")
        self.clock.advance(DRAIN_TIMEOUT - 0.1)
        self.assertEqual(self.names(self.pub), [b"GET", b"GET", b"PING"])
        self.pub.answer(resp("A"))
        self.assertFalse(self.pub.transport.disconnecting)
        self.pub.answer(resp("B"))
        self.pub.answer()
        self.settle()
        self.assertEqual((calls, stopped), ([["A"], ["B"]], [None]))
        self.goes_on()

    def test_not_answered(self) -> None:
        """After 5 seconds pending calls fail; a peer that does not close is dropped."""
        thoonk = self.come_up()
        call = thoonk.redis.get("a")
        stopped = outcome(thoonk.stopService())
        self.clock.advance(DRAIN_TIMEOUT)
        self.assertTrue(self.pub.transport.disconnecting)
        self.assertFalse(self.pub.transport.disconnected)
        self.assertEqual(stopped, [])
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(self.pub.transport.disconnected)
        self.pub.sent()
        self.settle()
        self.assertEqual(stopped, [None])
        self.failureResultOf(call, ConnectionLost)
        self.goes_on()

    def test_lost_meanwhile(self) -> None:
        """A connection that is lost during the wait is not made again."""
        thoonk = self.come_up()
        call = thoonk.redis.get("a")
        stopped = outcome(thoonk.stopService())
        self.endpoint.lose(self.pub)
        self.settle()
        self.failureResultOf(call, ConnectionLost)
        self.assertEqual(stopped, [None])
        self.assertEqual(self.states, ["connecting", "connected", "stopping", "stopped"])
        self.goes_on()

    def test_ping_refused(self) -> None:
        """A refused PING does not prevent the stop."""
        thoonk = self.come_up()
        stopped = outcome(thoonk.stopService())
        self.pub.sent()
        self.pub.answer(b"-NOPERM this user has no permissions\r\n")
        self.settle()
        self.assertEqual(stopped, [None])
        self.goes_on()

    def test_get_waits(self) -> None:
        """A waiting get fails, and its BLMOVE is ended first."""
        thoonk = self.come_up()
        get, waiting = self.blocked(thoonk)
        stopped = outcome(thoonk.stopService())
        self.fails(get)
        self.assertEqual(self.pub.sent(), [[b"CLIENT", b"UNBLOCK", b"77"]])
        self.fails(Queue(thoonk, "q").get())
        self.pub.answer(resp(1))
        waiting.answer(resp(None))
        self.settle()
        self.assertEqual(stopped, [None])
        self.goes_on()

    def test_get_takes_an_id(self) -> None:
        """An id that arrives too late is put back before the connection is closed."""
        thoonk = self.come_up()
        get, waiting = self.blocked(thoonk)
        stopped = outcome(thoonk.stopService())
        self.fails(get)
        self.pub.sent()
        self.pub.answer(resp(0))
        waiting.answer(resp("a"))
        self.assertEqual(self.names(self.pub), [b"CLIENT", b"queue/put_back"])
        self.pub.answer(resp(0) + resp(1))
        self.settle()
        self.assertEqual(stopped, [None])
        self.goes_on()

    def test_get_waits_and_the_server_is_silent(self) -> None:
        """A get does not delay the stop longer than other calls, for any reply_timeout."""
        for reply_timeout in (None, 30.0):
            thoonk = self.come_up(reply_timeout=reply_timeout)
            get, _ = self.blocked(thoonk)
            call = thoonk.redis.get("a")
            stopped = outcome(thoonk.stopService())
            self.fails(get)
            self.wait(DRAIN_TIMEOUT)
            self.settle()
            self.failureResultOf(call, ConnectionLost)
            self.assertEqual(stopped, [None])
            self.nothing_left()
            self.goes_on()

    def test_get_waits_for_its_connection(self) -> None:
        """An attempt to connect for a get is cancelled."""
        thoonk = self.come_up()
        get = Queue(thoonk, "q").get()
        self.pub.sent()
        self.pub.answer(resp([b"5.5", 0]))
        self.assertEqual(len(self.endpoint.pending), 1)
        self.stop()
        self.fails(get)
        self.goes_on()

    def test_get_waits_for_a_connection(self) -> None:
        """A get during an outage fails."""
        thoonk = self.come_up()
        get, waiting = self.blocked(thoonk)
        self.lose_both()
        other = Queue(thoonk, "other").get()
        self.stop()
        self.fails(get, other)
        self.assertTrue(waiting.transport.disconnected)
        self.goes_on()


class SubscriptionTests(StopTestCase):
    def subscribed(self) -> Any:
        """Return a subscription to a feed that does not exist."""
        made = self.thoonk.subscribe("x")
        self.confirm()
        self.assertEqual(self.names(self.pub), [b"history/look"])
        self.pub.answer(NO_FEED)
        return self.successResultOf(made)

    def test_made(self) -> None:
        """Subscriptions end, and do not come back."""
        self.come_up()
        subscription = self.subscribed()
        waiting = subscription.next()
        self.stop()
        self.assertTrue(subscription.stopped)
        self.fails(waiting, with_=SubscriptionEnded)
        self.goes_on()
        self.assertEqual(self.thoonk._sub._dispatcher._topics, {})

    def test_stopped_before(self) -> None:
        """Subscriptions that ended before the stop are ignored."""
        self.come_up()
        subscription = self.subscribed()
        subscription.stop()
        self.assertEqual(self.thoonk._subscribing.made, {})
        self.stop_and_go_on()

    def test_during_an_outage(self) -> None:
        """Subscriptions that wait for the next connection end."""
        self.come_up()
        subscription = self.subscribed()
        self.lose_both()
        self.assertFalse(subscription.stopped)
        self.stop()
        self.assertTrue(subscription.stopped)
        self.goes_on()

    def begin(self) -> list[Deferred[Any]]:
        thoonk = self.thoonk
        return [
            thoonk.subscribe("x"),
            thoonk.subscribe("y", snapshot=True),
            thoonk.subscribe_pattern("z*"),
        ]

    def check_failed(self, made: list[Deferred[Any]]) -> None:
        self.fails(*made)
        self.goes_on()
        self.assertEqual(self.thoonk._sub._dispatcher._topics, {})
        self.assertEqual(self.thoonk._subscribing.under_way, set())

    def test_not_confirmed(self) -> None:
        """Subscriptions that Redis has not confirmed fail."""
        self.come_up()
        made = self.begin()
        self.stop()
        self.check_failed(made)

    def test_reading(self) -> None:
        """Subscriptions that read the history or the state fail."""
        thoonk = self.come_up()
        made = self.begin()
        self.confirm()
        stopped = outcome(thoonk.stopService())
        self.pub.answer(NO_FEED + NO_FEED + resp([]))
        self.pub.answer()
        self.settle()
        self.assertEqual(stopped, [None])
        self.check_failed(made)

    def test_connection_lost(self) -> None:
        """Subscriptions that lost their connection while they were made fail."""
        self.come_up()
        made = self.begin()
        self.lose_both()
        self.stop()
        self.check_failed(made)

    def test_waiting_for_the_connection(self) -> None:
        """Subscriptions that wait for the first connection fail."""
        self.start()
        made = self.begin()
        self.stop()
        self.check_failed(made)

    def test_cancelled(self) -> None:
        """A cancelled subscription fails with CancelledError, and nothing is left of it."""
        thoonk = self.come_up()
        made = self.begin()
        for one in made:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertEqual(thoonk._subscribing.under_way, set())
        self.stop_and_go_on()
        self.assertEqual(self.thoonk._sub._dispatcher._topics, {})

    def test_mirror(self) -> None:
        """A mirror that is being made fails."""
        thoonk = self.come_up()
        first = thoonk.mirror("x")
        self.pub.sent()
        self.pub.answer(NO_FEED)
        second = thoonk.mirror("y")
        stopped = outcome(thoonk.stopService())
        self.endpoint.lose(self.pub)
        self.settle()
        self.assertEqual(stopped, [None])
        for mirror in (first, second):
            self.failureResultOf(mirror, ConnectionLost)
        self.goes_on()
