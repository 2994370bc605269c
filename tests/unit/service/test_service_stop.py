"""The service can be stopped and started again in every state, and cleans up."""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import succeed

from tests.support.service_stop import StopTestCase
from tests.support.wire import outcome
from txthoonk.errors import ConnectionLost


class StateTests(StopTestCase):
    """One test for each state that the service can be stopped in."""

    def test_never_started(self) -> None:
        """Stopping a service that was never started does nothing."""
        thoonk = self.make()
        for stop in (thoonk.stopService, thoonk.close):
            self.assertIsNone(self.successResultOf(stop()))
        self.assertEqual(self.states, [])
        self.goes_on()

    def test_just_started(self) -> None:
        """A service can be stopped in the turn of the reactor in which it was started."""
        self.make().startService()
        waiting = self.thoonk.whenConnected()
        self.stop()
        self.fails(waiting)
        self.assertEqual(self.endpoint.attempts, [])
        self.goes_on()

    def test_just_started_again_and_again(self) -> None:
        """A service can be started and stopped repeatedly when each stop ends at once."""
        thoonk = self.make()
        for _ in range(3):
            thoonk.startService()
            self.stop()
        self.assertEqual(self.states, ["connecting", "stopping", "stopped"] * 3)
        self.goes_on()

    def test_connecting(self) -> None:
        """A stop while the service connects cancels the attempts."""
        thoonk = self.start()
        waiting = thoonk.whenConnected()
        self.stop()
        self.fails(waiting)
        self.assertEqual(self.endpoint.cancelled, 2)
        self.goes_on()

    def test_half_connected(self) -> None:
        """The service can be stopped with the first connection only."""
        self.start()
        self.accept()
        self.stop_and_go_on()

    def test_other_half_connected(self) -> None:
        """The service can be stopped with the second connection only."""
        self.start()
        self.endpoint.refuse()
        self.clock.advance(1)
        self.clock.advance(0)
        self.endpoint.attempts.reverse()
        self.accept()
        self.stop_and_go_on()

    def test_waiting(self) -> None:
        """The service can be stopped between two attempts to connect."""
        self.start()
        self.endpoint.refuse()
        waiting = self.thoonk.whenConnected()
        self.stop()
        self.fails(waiting)
        self.goes_on()

    def test_ping_not_answered(self) -> None:
        """The service can be stopped while PING is not answered."""
        self.start()
        for _ in range(2):
            self.endpoint.accept()
        self.stop_and_go_on()

    def test_authenticating(self) -> None:
        """The service can be stopped while AUTH is not answered."""
        self.start("redis://me:pw@there/1")
        for _ in range(2):
            self.endpoint.accept()
        self.stop()

    def test_connected(self) -> None:
        """The service can be stopped when it is connected and idle."""
        self.come_up()
        self.stop_and_go_on()

    def test_long_connected(self) -> None:
        """The service can be stopped after many PINGs, with one pending on each connection."""
        self.come_up(health=7)
        for _ in range(30):
            self.clock.advance(1)
            for peer in (self.pub, self.sub):
                if peer.sent():
                    peer.answer()
        self.clock.advance(5)
        self.assertEqual((len(self.pub.sent()), len(self.sub.sent())), (1, 1))
        stopped = outcome(self.thoonk.stopService())
        self.pub.answer()
        self.settle()
        self.assertEqual(stopped, [None])
        self.goes_on()

    def test_lost(self) -> None:
        """The service can be stopped after it lost its connections."""
        self.come_up()
        self.lose_both()
        self.stop_and_go_on()

    def test_reconnecting(self) -> None:
        """The service can be stopped while it reconnects."""
        self.come_up()
        self.lose_both()
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(len(self.endpoint.pending), 2)
        self.stop_and_go_on()

    def test_calls_wait(self) -> None:
        """A stop fails the calls that wait for a connection."""
        thoonk = self.start()
        calls = [thoonk.redis.get("a"), thoonk.feed("x"), thoonk.register_handler("create", print)]
        self.stop()
        for call in calls:
            self.failureResultOf(call, ConnectionLost)
        self.goes_on()

    def test_registering(self) -> None:
        """A stop fails a handler whose channel is not confirmed."""
        thoonk = self.come_up()
        handler = thoonk.register_handler("feed.publish:x", print)
        self.stop()
        self.fails(handler)
        self.goes_on()


class ParentTests(StopTestCase):
    def test_child(self) -> None:
        """The service starts and stops with its parent."""
        parent: Any = MultiService()
        thoonk = self.make()
        thoonk.setName("thoonk")
        thoonk.setServiceParent(parent)
        self.assertIs(parent.getServiceNamed("thoonk"), thoonk)
        self.nothing_left()
        parent.privilegedStartService()
        parent.startService()
        self.clock.advance(0)
        self.accept_both()
        self.assertEqual(thoonk.state, "connected")
        stopped = outcome(parent.stopService())
        self.assertEqual(stopped, [])
        self.settle()
        self.assertEqual(len(stopped), 1)
        self.goes_on()

    def test_adopted(self) -> None:
        """The service starts with a running parent, and stops when it leaves that parent."""
        parent: Any = MultiService()
        parent.startService()
        thoonk = self.make()
        thoonk.setServiceParent(parent)
        self.clock.advance(0)
        self.accept_both()
        left = outcome(thoonk.disownServiceParent() or succeed(None))
        self.settle()
        self.assertEqual(left, [None])
        self.goes_on()
