"""A connection that is stopped."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

from tests.support.connections import (
    PING,
    ConnectionTestCase,
    Peer,
)
from tests.support.wire import outcome
from txthoonk.connections._reconnecting import CLOSE_TIMEOUT
from txthoonk.errors import (
    ConnectionLost,
)


class StopTests(ConnectionTestCase):
    """stop() works and cleans up in every state, and start() works after it."""

    def restart(self) -> None:
        """Check that start() makes a connection."""
        self.told.clear()
        self.connection.start()
        waiting = self.connection.when_connected()
        self.clock.advance(0)
        peer = self.accept()
        self.assertEqual(self.told, [("up", peer.redis)])
        self.assertIs(self.successResultOf(waiting), peer.redis)
        stopped = self.connection.stop()
        peer.lose()
        self.assert_ended(stopped)

    def test_never_started(self) -> None:
        connection = self.make()
        waiting = connection.when_connected()
        self.assert_ended(connection.stop())
        self.failureResultOf(waiting, ConnectionLost)
        self.restart()

    def test_before_the_attempt(self) -> None:
        connection = self.make()
        connection.start()
        self.assert_ended(connection.stop())
        self.assertEqual(self.endpoint.attempts, [])
        self.restart()

    def test_connecting(self) -> None:
        connection = self.start()
        waiting = connection.when_connected()
        stopped = connection.stop()
        self.failureResultOf(waiting, ConnectionLost)
        self.assertEqual(self.endpoint.cancelled, 1)
        self.assert_ended(stopped)
        self.assertEqual((self.told, connection.failures), ([], 0))
        self.restart()

    def test_preparing(self) -> None:
        """stop() waits until the connection that it aborts is closed."""
        connection = self.start()
        peer = self.endpoint.accept()
        stopped = connection.stop()
        self.assertTrue(peer.transport.disconnected)
        self.assertNoResult(stopped)
        peer.lose()
        self.assert_ended(stopped)
        self.assertEqual((self.told, connection.failures), ([], 0))
        self.restart()

    def test_waiting_for_the_next_attempt(self) -> None:
        connection = self.start()
        self.endpoint.refuse()
        self.assert_ended(connection.stop())
        self.assertEqual(self.kinds(), ["failed"])
        self.restart()
        self.assertEqual(connection.failures, 0)

    def test_waiting_after_a_loss(self) -> None:
        self.come_up().lose()
        self.assert_ended(self.connection.stop())
        self.restart()

    def test_up(self) -> None:
        """stop() closes the connection and notifies the listeners; that is not an error."""
        peer = self.come_up()
        call = outcome(peer.redis.ping())
        stopped = self.connection.stop()
        self.assertTrue(peer.transport.disconnecting)
        self.assertFalse(peer.transport.disconnected)
        self.assertNoResult(stopped)
        self.failureResultOf(self.connection.when_connected(), ConnectionLost)
        peer.lose()
        self.assert_ended(stopped)
        self.assertIsInstance(call[0], ConnectionLost)
        self.assertIn("stopped", str(self.told[-1][1]))
        self.assertEqual(self.kinds(), ["up", "down"])
        self.assertIsNone(self.connection.last_error)
        self.restart()

    def test_health_check_under_way(self) -> None:
        peer = self.come_up()
        self.wait(26)
        self.assertEqual(peer.sent(), [PING])
        stopped = self.connection.stop()
        peer.lose()
        self.assert_ended(stopped)

    def test_twice(self) -> None:
        peer = self.come_up()
        first, second = self.connection.stop(), self.connection.stop()
        self.assertNoResult(second)
        peer.lose()
        self.assert_ended(first)
        self.assert_ended(second)
        self.assert_ended(self.connection.stop())
        self.restart()

    def test_peer_that_takes_nothing(self) -> None:
        """A connection that does not close in order is aborted after a timeout."""
        peer = self.come_up()
        stopped = self.connection.stop()
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.assertFalse(peer.transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(peer.transport.disconnected)
        peer.lose()
        self.assert_ended(stopped)

    def test_start_before_it_is_closed(self) -> None:
        """start() before the old connection is closed makes a new connection."""
        old = self.come_up()
        stopped = self.connection.stop()
        self.connection.start()
        waiting = self.connection.when_connected()
        self.assertNoResult(waiting)
        old.lose()
        self.assertIsNone(self.successResultOf(stopped))
        self.clock.advance(0)
        new = self.accept()
        self.assertIs(self.successResultOf(waiting), new.redis)
        self.assertEqual(self.kinds(), ["up", "down", "up"])

    def test_start_and_stop_before_it_is_closed(self) -> None:
        peer = self.come_up()
        first = self.connection.stop()
        self.connection.start()
        second = self.connection.stop()
        peer.lose()
        self.assert_ended(first)
        self.assert_ended(second)
        self.restart()

    def test_start_while_an_attempt_is_dropped(self) -> None:
        old = self.endpoint_accepts()
        stopped = self.connection.stop()
        self.connection.start()
        self.clock.advance(0)
        new = self.accept()
        old.lose()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIs(self.successResultOf(self.connection.when_connected()), new.redis)

    def endpoint_accepts(self) -> Peer:
        self.start()
        return self.endpoint.accept()

    def test_check_that_ignores_its_end(self) -> None:
        """A connection that passes its check after stop() is not used."""

        async def check(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await Deferred()

        connection = self.start(check=check)
        peer = self.accept()
        stopped = connection.stop()
        self.assertTrue(peer.transport.disconnected)
        peer.lose()
        self.assert_ended(stopped)
        self.assertEqual(self.told, [])
        connection.start()
        self.assert_ended(connection.stop())

    def test_from_connect(self) -> None:
        """The endpoint may stop the connection while it connects."""
        stopped: list[Any] = []
        connection = self.make()
        connect = self.endpoint.connect

        def stop(factory: Any) -> Deferred[Any]:
            stopped.append(connection.stop())
            return connect(factory)

        self.patch(self.endpoint, "connect", stop)
        connection.start()
        self.clock.advance(0)
        self.assertEqual(self.endpoint.cancelled, 1)
        self.assert_ended(stopped[0])
        self.patch(self.endpoint, "connect", connect)
        self.restart()

    def test_from_policy(self) -> None:
        """The policy may stop the connection that asks it for a delay."""
        stopped: list[Any] = []

        def policy(_: int) -> float:
            stopped.append(self.connection.stop())
            return 1.0

        self.start(policy=policy)
        self.endpoint.refuse()
        self.assert_ended(stopped[0])

    def test_from_up(self) -> None:
        stopped: list[Any] = []
        connection = self.make(up=lambda _: stopped.append(connection.stop()))
        waiting = connection.when_connected()
        connection.start()
        self.clock.advance(0)
        peer = self.endpoint.accept()
        peer.answer()
        self.failureResultOf(waiting, ConnectionLost)
        peer.lose()
        self.assert_ended(stopped[0])

    def test_from_down(self) -> None:
        stopped: list[Any] = []
        peer = self.come_up(down=lambda _: stopped.append(self.connection.stop()))
        peer.lose()
        self.assert_ended(stopped[0])

    def test_from_a_call_that_fails(self) -> None:
        stopped: list[Any] = []
        peer = self.come_up()
        peer.redis.ping().addErrback(lambda _: stopped.append(self.connection.stop()))
        peer.lose()
        self.assert_ended(stopped[0])

    def test_from_attempt_failed(self) -> None:
        """A listener stops the connection after the first failed attempt."""
        stopped: list[Any] = []
        self.start(attempt_failed=lambda _: stopped.append(self.connection.stop()))
        self.endpoint.refuse()
        self.assert_ended(stopped[0])
        self.assertIsInstance(self.connection.last_error, ConnectionRefusedError)

    def test_from_when_connected(self) -> None:
        stopped: list[Any] = []
        self.start()
        waiting = self.connection.when_connected()
        waiting.addCallback(lambda _: stopped.append(self.connection.stop()))
        peer = self.accept()
        peer.lose()
        self.assert_ended(stopped[0])
