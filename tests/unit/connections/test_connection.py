"""A connection that reconnects."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone

from tests.support.connections import (
    NAME,
    PING,
    ConnectionTestCase,
)
from tests.support.wire import OK
from txthoonk.errors import (
    ConnectionLost,
    WrongServer,
)
from txthoonk.protocol import Redis


class UpTests(ConnectionTestCase):
    def test_up_when_ping_is_answered(self) -> None:
        """A TCP connection is not enough; the server must reply to PING."""
        connection = self.start()
        waiting = connection.when_connected()
        peer = self.endpoint.accept()
        self.assertEqual(peer.sent(), [PING])
        self.assertEqual(self.told, [])
        self.assertNoResult(waiting)
        peer.answer()
        self.assertEqual(self.told, [("up", peer.redis)])
        self.assertIs(self.successResultOf(waiting), peer.redis)
        self.assertIs(self.successResultOf(connection.when_connected()), peer.redis)
        self.assertEqual((connection.failures, connection.last_error), (0, None))

    def test_after_the_credentials(self) -> None:
        """AUTH and SELECT come first, and PING is held until they succeed."""
        self.start(lambda: Redis(db=2, password="pw"))
        peer = self.endpoint.accept()
        self.assertEqual(peer.sent(), [[b"AUTH", b"pw"], [b"SELECT", b"2"]])
        peer.answer(OK + OK)
        self.assertEqual(peer.sent(), [PING])
        peer.answer()
        self.assertEqual(self.kinds(), ["up"])

    def test_ping_in_any_charset(self) -> None:
        """The connection's charset does not spoil the PING."""
        self.start(lambda: Redis(charset="utf-16"))
        peer = self.endpoint.accept()
        self.assertEqual(peer.sent(), [PING])

    def test_started_twice(self) -> None:
        """The second start() changes nothing."""
        connection = self.start()
        connection.start()
        self.clock.advance(10)
        self.assertEqual(len(self.endpoint.attempts), 1)
        peer = self.accept()
        connection.start()
        self.clock.advance(0)
        self.assertEqual(len(self.endpoint.attempts), 1)
        self.assertFalse(peer.transport.disconnecting)

    def test_wait_before_start(self) -> None:
        """A wait for a connection may start before start()."""
        connection = self.make()
        waiting = connection.when_connected()
        connection.start()
        self.clock.advance(0)
        peer = self.accept()
        self.assertIs(self.successResultOf(waiting), peer.redis)

    def test_waiter_cancelled(self) -> None:
        """Cancelling one wait does not affect the others."""
        connection = self.start()
        first, second = connection.when_connected(), connection.when_connected()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        peer = self.accept()
        self.assertIs(self.successResultOf(second), peer.redis)

    def test_waiter_cancels_another(self) -> None:
        """A callback of one wait may cancel another one that is about to fire."""
        connection = self.start()
        first, second = connection.when_connected(), connection.when_connected()
        first.addCallback(lambda _: second.cancel())
        self.accept()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_comes_back(self) -> None:
        """A lost connection is made again, with a new protocol."""
        first = self.come_up()
        first.lose(ConnectionDone("cable cut"))
        (_, (kind, error)) = self.told
        self.assertEqual((kind, type(error)), ("down", ConnectionLost))
        for part in (NAME, "cable cut"):
            self.assertIn(part, str(error))
        self.assertIs(self.connection.last_error, error)
        waiting = self.connection.when_connected()
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.clock.advance(0)
        second = self.accept()
        self.assertIsNot(first.redis, second.redis)
        self.assertIs(self.successResultOf(waiting), second.redis)
        self.assertEqual(self.kinds(), ["up", "down", "up"])

    def test_down_comes_before_the_calls_fail(self) -> None:
        """A call that is repeated when it fails goes to the next connection."""
        peer = self.come_up()
        peer.redis.ping().addErrback(lambda reason: self.told.append(("call", reason.value)))
        peer.lose()
        self.assertEqual(self.kinds(), ["up", "down", "call"])

    def test_last_error(self) -> None:
        """An error that the server sends before it closes the connection is the reason."""
        peer = self.come_up()
        peer.answer(b"-ERR max number of clients reached\r\n")
        peer.lose()
        self.assertIn("max number of clients", str(self.connection.last_error))

    def test_errors_of_the_owner(self) -> None:
        """Errors of a listener are logged, and do not end the reconnecting."""

        def bad(_: object) -> None:
            raise KeyError("owner")

        self.start(up=bad, down=bad, attempt_failed=bad)
        waiting = self.connection.when_connected()
        self.endpoint.refuse()
        self.clock.advance(1)
        self.clock.advance(0)
        peer = self.accept()
        self.assertIs(self.successResultOf(waiting), peer.redis)
        peer.lose()
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(len(self.endpoint.attempts), 3)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 3)


class CheckTests(ConnectionTestCase):
    """The owner may check the server of a new connection."""

    def test_looks(self) -> None:
        """The connection is up once the check has ended, and not if it fails."""
        looks: list[Deferred[None]] = []

        def look(redis: Redis) -> Deferred[None]:
            looks.append(Deferred())
            return looks[-1]

        self.start(check=look)
        peer = self.endpoint.accept()
        self.assertEqual(looks, [])
        peer.answer()
        self.assertEqual(self.told, [])
        looks.pop().errback(WrongServer("a replica"))
        self.assertEqual(self.kinds(), ["failed"])
        self.assertTrue(peer.transport.disconnected)
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept()
        looks.pop().callback(None)
        self.assertEqual(self.kinds(), ["up"])

    def test_refused_ping(self) -> None:
        """A full disk refuses PING, and so may an ACL that allows other commands."""
        for text in (b"-NOPERM no permissions\r\n", b"-MISCONF no space left on device\r\n"):
            self.start()
            self.endpoint.accept().answer(text)
            self.assertEqual(self.kinds(), ["up"])
