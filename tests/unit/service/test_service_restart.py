"""The service can be stopped and started while it stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError

from tests.support.service_cases import NO_FEED
from tests.support.service_stop import StopTestCase
from tests.support.wire import outcome, resp
from txthoonk.errors import ConnectionLost
from txthoonk.service import Thoonk


class RestartTests(StopTestCase):
    """Stops and starts while the service stops."""

    def stopping(self) -> list[Any]:
        self.come_up()
        return outcome(self.thoonk.stopService())

    def test_stopped_twice(self) -> None:
        """Both stops wait for the end."""
        stops = [self.stopping(), outcome(self.thoonk.close())]
        cancelled = self.thoonk.stopService()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(stops, [[], []])
        self.settle()
        self.assertEqual(stops, [[None], [None]])
        self.assertIsNone(self.successResultOf(self.thoonk.stopService()))
        self.goes_on()

    def test_started(self) -> None:
        """A start during a stop takes effect after the stop."""
        stopped = self.stopping()
        self.thoonk.startService()
        self.assertEqual(self.thoonk.state, "stopping")
        self.assertEqual(self.endpoint.pending, [])
        self.settle()
        self.assertEqual(stopped, [None])
        self.clock.advance(0)
        self.accept_both()
        self.assertEqual(
            self.states,
            ["connecting", "connected", "stopping", "stopped", "connecting", "connected"],
        )
        self.stop_and_go_on()

    def test_started_and_stopped(self) -> None:
        """After several starts and stops, the last one counts."""
        stops = [self.stopping()]
        for _ in range(3):
            self.thoonk.startService()
            stops.append(outcome(self.thoonk.stopService()))
        self.settle()
        self.assertEqual(stops, [[None]] * 4)
        self.assertEqual(self.states[2:], ["stopping", "stopped"])
        self.goes_on()

    def test_started_and_stopped_and_started(self) -> None:
        """After several starts and stops that end with a start, the service starts once."""
        self.stopping()
        self.thoonk.startService()
        self.thoonk.stopService()
        self.thoonk.startService()
        self.settle()
        self.assertEqual(self.states[2:], ["stopping", "stopped", "connecting"])
        self.assertEqual(len(self.endpoint.pending), 2)
        self.stop_and_go_on()

    def test_connect(self) -> None:
        """connect() during a stop waits for the next connections."""
        thoonk = self.come_up()
        call = thoonk.redis.get("a")
        thoonk.stopService()
        waits = [outcome(thoonk.connect()), outcome(thoonk.whenConnected())]
        self.assertEqual(waits, [[], []])
        self.pub.answer(resp("A"))
        self.successResultOf(call)
        self.pub.answer()
        self.settle()
        self.accept()
        self.assertEqual(waits, [[], []])
        self.accept()
        self.assertEqual(waits, [[thoonk], [thoonk]])
        self.stop_and_go_on()

    def test_connect_and_stop(self) -> None:
        """A second stop fails the calls that wait."""
        self.stopping()
        connecting, waiting = self.thoonk.connect(), self.thoonk.whenConnected()
        self.thoonk.stopService()
        self.settle()
        for wait in (connecting, waiting):
            self.failureResultOf(wait, ConnectionLost)
        self.goes_on()

    def test_connect_cancelled(self) -> None:
        """Cancelling connect() during a stop takes the start back."""
        self.stopping()
        connecting = self.thoonk.connect()
        connecting.cancel()
        self.settle()
        self.failureResultOf(connecting, CancelledError)
        self.goes_on()

    def test_calls(self) -> None:
        """Handlers and subscriptions made after the start belong to the next connections."""
        self.stopping()
        thoonk = self.thoonk
        thoonk.startService()
        handler, subscription = thoonk.register_handler("create", print), thoonk.subscribe("x")
        self.settle()
        self.accept_both()
        self.confirm()
        self.successResultOf(handler)
        self.pub.answer(NO_FEED)
        self.successResultOf(subscription)
        self.stop()

    def when(self, wanted: str, call: Callable[[Thoonk], object]) -> Thoonk:
        """Create a service that calls *call* when it first enters a state."""
        done: list[str] = []

        def changed(state: str, reason: BaseException | None) -> None:
            self.changed(state, reason)
            if state == wanted and not done:
                done.append(state)
                call(self.thoonk)

        return self.make(state_changed=changed)

    def test_stopped_by_its_owner(self) -> None:
        """state_changed may stop the service in each state."""
        for state in ("connecting", "connected", "disconnected", "stopping", "stopped"):
            thoonk = self.when(state, lambda thoonk: thoonk.stopService())
            thoonk.startService()
            self.settle()
            if self.endpoint.pending:
                self.accept_both()
                self.settle()
            if thoonk.running:
                self.lose_both()
                self.settle()
            if thoonk.running:
                thoonk.stopService()
                self.settle()
            self.nothing_left()
            self.goes_on()

    def test_started_by_its_owner(self) -> None:
        """state_changed may start the service again, once."""
        for state in ("stopping", "stopped"):
            self.states.clear()
            thoonk = self.when(state, lambda thoonk: thoonk.startService())
            thoonk.startService()
            stopped = outcome(thoonk.stopService())
            self.settle()
            self.assertEqual(stopped, [None])
            self.assertEqual(self.states, ["connecting", "stopping", "stopped", "connecting"])
            self.accept_both()
            self.assertEqual(thoonk.state, "connected")
            self.stop_and_go_on()
