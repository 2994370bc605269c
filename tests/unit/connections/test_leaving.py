"""A connection that leads to the wrong server."""

from __future__ import annotations

from tests.support.connections import (
    PING,
    Calls,
    ConnectionTestCase,
)
from txthoonk.connections._reconnecting import LASTING, LEAVE_TIMEOUT
from txthoonk.errors import (
    ConnectionLost,
    WrongServer,
)


class LeaveTests(ConnectionTestCase):
    """A connection to the wrong server is dropped."""

    ERROR = WrongServer("a replica")

    def test_idle(self) -> None:
        """A connection that is left goes down at once, and another one is made."""
        peer = self.come_up()
        self.kinds()
        self.connection.leave(self.ERROR)
        (down,) = self.told
        self.assertEqual(down[0], "down")
        self.assertIn("a replica", str(down[1]))
        self.assertTrue(peer.transport.disconnected)
        self.assertNoResult(waiting := self.connection.when_connected())
        peer.lose()
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept()
        self.successResultOf(waiting)

    def test_answered_first(self) -> None:
        """The server may reply to calls before the connection is dropped."""
        peer = self.come_up()
        called = peer.redis.send("GET", "x")
        self.connection.leave(self.ERROR)
        self.assertEqual(peer.sent(), [[b"GET", b"x"], PING])
        peer.answer(b"$1\r\ny\r\n")
        self.assertEqual(self.successResultOf(called), "y")
        self.assertFalse(peer.transport.disconnected)
        peer.answer()
        self.assertTrue(peer.transport.disconnected)

    def test_not_answered(self) -> None:
        """A server that does not reply before the timeout is disconnected."""
        peer = self.come_up()
        called = peer.redis.send("GET", "x")
        self.connection.leave(self.ERROR)
        self.clock.advance(LEAVE_TIMEOUT)
        self.assertTrue(peer.transport.disconnected)
        peer.lose()
        self.assertIn("a replica", str(self.failureResultOf(called, ConnectionLost).value))

    def test_twice(self) -> None:
        """leave() does nothing the second time, and stop() closes the connection."""
        peer = self.come_up()
        peer.redis.send("GET", "x").addErrback(lambda _: None)
        self.connection.leave(self.ERROR)
        self.connection.leave(self.ERROR)
        self.assertEqual(self.kinds(), ["up", "down"])
        stopped = self.connection.stop()
        peer.lose()
        self.assert_ended(stopped)

    def test_back_off(self) -> None:
        """The delay grows with each connection that is left soon after it came up."""
        peer = self.come_up()
        waits = []
        for _ in range(4):
            self.connection.leave(self.ERROR)
            peer.lose()
            attempts, since = len(self.endpoint.attempts), self.clock.seconds()
            while len(self.endpoint.attempts) == attempts:
                self.clock.advance(0.5)
            waits.append(round(self.clock.seconds() - since))
            peer = self.accept()
        self.assertEqual(waits, [1, 2, 3, 4])
        self.wait(LASTING + 1)
        peer.sent()
        peer.answer()
        self.connection.leave(self.ERROR)
        peer.lose()
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(len(self.endpoint.attempts), 6)

    def test_left_by_a_listener(self) -> None:
        """If a listener leaves the connection, the listeners after it do not get it."""
        told: list[tuple[str, str]] = []

        def listener(name: str, leave: bool) -> Calls:
            def up(_: object) -> None:
                told.append((name, "up"))
                if leave:
                    self.connection.leave(self.ERROR)

            return Calls(up, lambda _: told.append((name, "down")))

        self.come_up(listeners=[listener("first", leave=True), listener("second", leave=False)])
        self.assertEqual(told, [("first", "up"), ("first", "down"), ("second", "down")])
