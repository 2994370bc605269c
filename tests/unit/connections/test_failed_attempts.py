"""Attempts to connect that fail."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionRefusedError

from tests.support.connections import (
    SECRET,
    ConnectionTestCase,
    Endpoint,
    Peer,
)
from tests.support.logs import observe_log
from tests.support.wire import OK
from txthoonk.errors import (
    AuthenticationError,
    ResponseError,
)
from txthoonk.protocol import Redis


class FailedAttemptTests(ConnectionTestCase):
    def retry(self, seconds: float) -> None:
        """Check that the next attempt comes after *seconds*, and not before."""
        attempts = len(self.endpoint.attempts)
        self.clock.advance(seconds - 0.01)
        self.clock.advance(0)
        self.assertEqual(len(self.endpoint.attempts), attempts)
        self.clock.advance(0.02)
        self.clock.advance(0)
        self.assertEqual(len(self.endpoint.attempts), attempts + 1)

    def test_refused(self) -> None:
        """Each failure is reported and counted, and the delay grows."""
        connection = self.start()
        for failures in (1, 2, 3):
            self.endpoint.refuse()
            self.assertEqual(connection.failures, failures)
            self.assertIsInstance(connection.last_error, ConnectionRefusedError)
            self.assertEqual(self.told, [("failed", connection.last_error)])
            self.told.clear()
            self.retry(failures)

    def test_delay_after_a_success(self) -> None:
        """A successful attempt resets the delay to the first one."""
        connection = self.start()
        for failures in (1, 2):
            self.endpoint.refuse()
            self.retry(failures)
        peer = self.accept()
        self.assertEqual(connection.failures, 0)
        peer.lose()
        self.assertEqual(connection.failures, 0)
        self.retry(1)
        self.endpoint.refuse()
        self.retry(1)

    def test_refused_within_connect(self) -> None:
        """An endpoint may fail at once, and the owner may stop for that reason."""
        self.endpoint.refuse_at_once = True
        stopped: list[Any] = []
        connection = self.start(attempt_failed=lambda _: stopped.append(self.connection.stop()))
        self.assertEqual((connection.failures, len(stopped)), (1, 1))
        self.assert_ended(stopped[0])

    def test_error_replies(self) -> None:
        """A server that answers PING with an error is not up."""
        self.start(lambda: Redis(password="pw"))
        for number, (replies, expected) in enumerate(
            (
                (b"-WRONGPASS no\r\n", AuthenticationError),
                (OK + b"-LOADING Redis is loading\r\n", ResponseError),
                (OK + b"-NOAUTH Authentication required.\r\n", AuthenticationError),
            ),
            start=1,
        ):
            peer = self.endpoint.accept()
            peer.answer(replies)
            self.assertIs(type(self.connection.last_error), expected)
            self.assertTrue(peer.transport.disconnected)
            peer.lose()
            self.assertEqual(self.connection.failures, number)
            self.retry(number)
        self.assertEqual(self.kinds(), ["failed"] * 3)

    def test_ping_not_permitted(self) -> None:
        """A user without the right to PING is connected."""
        self.start(lambda: Redis(db=1))
        self.endpoint.accept().answer(OK + b"-NOPERM no permission to run 'ping'\r\n")
        self.assertEqual(self.kinds(), ["up"])

    def test_select_not_permitted(self) -> None:
        """A user who may not SELECT the database is not connected."""
        self.start(lambda: Redis(db=1))
        self.endpoint.accept().answer(b"-NOPERM no permission to run 'select'\r\n")
        self.assertEqual(self.kinds(), ["failed"])

    def test_lost_while_prepared(self) -> None:
        """A connection that ends before PONG is a failed attempt, and never was down."""
        self.start()
        self.endpoint.accept().lose(ConnectionDone("hung up"))
        self.assertEqual(self.kinds(), ["failed"])
        self.assertIn("hung up", str(self.connection.last_error))
        self.retry(1)
        self.accept()
        self.assertEqual(self.kinds(), ["up"])

    def test_failed_one_ends_late(self) -> None:
        """The end of a connection that failed does not touch the next one."""
        self.start()
        failed = self.endpoint.accept()
        failed.answer(b"-LOADING\r\n")
        self.retry(1)
        peer = self.accept()
        failed.lose()
        self.assertIs(self.successResultOf(self.connection.when_connected()), peer.redis)
        self.assertEqual(self.kinds(), ["failed", "up"])

    def test_silent_peer(self) -> None:
        """A peer that accepts the connection and never replies is dropped."""
        for reply_timeout, expected in ((30.0, 30), (None, 10)):
            self.endpoint = Endpoint()
            self.start(reply_timeout=reply_timeout)
            peer = self.endpoint.accept()
            self.clock.advance(expected - 0.01)
            self.assertFalse(peer.transport.disconnected)
            self.clock.advance(0.02)
            self.assertTrue(peer.transport.disconnected)
            self.assertIn(f"no reply for {expected} s", str(self.connection.last_error))
            peer.lose()
            self.assertEqual(self.kinds(), ["failed"])

    def test_garbage(self) -> None:
        """A server that does not speak the protocol is not up."""
        self.start()
        self.endpoint.accept().answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.kinds(), ["failed"])
        self.assertIn("Protocol error", str(self.connection.last_error))

    def test_protocol_cannot_be_made(self) -> None:
        """An error in the protocol's factory fails the attempt."""
        self.start(lambda: Redis(charset="no such"))
        with self.assertRaises(LookupError) as raised:
            Peer(self.endpoint.attempts[0][0])
        self.endpoint.refuse(raised.exception)
        self.assertIs(self.connection.last_error, raised.exception)

    def test_no_credentials(self) -> None:
        """Neither the log nor an error contains the credentials that a server repeats."""
        events: list[Any] = []
        observe_log(self, events.append)
        self.start(lambda: Redis(username="me", password=SECRET))
        peer = self.endpoint.accept()
        self.assertIn(SECRET.encode(), peer.transport.value())
        peer.answer(
            b"-ERR unknown command 'AUTH', with args beginning with: 'me' '%s'\r\n"
            % SECRET.encode()
        )
        peer.lose()
        self.assertIs(type(self.connection.last_error), ResponseError)
        self.assertEqual(str(self.connection.last_error), "unknown command 'AUTH'")
        self.assertTrue(events)
        self.assertIn("unknown command 'AUTH'", repr(events))
        self.assertNotIn(SECRET, repr(events) + repr(self.told))

    def test_log(self) -> None:
        """A failure that repeats is logged as a warning less and less often."""
        events: list[Any] = []
        observe_log(self, events.append)
        self.start()
        for failures in range(1, 17):
            self.endpoint.refuse()
            self.retry(failures)
        ours = [event for event in events if "number" in event]
        warned = [event["number"] for event in ours if event["log_level"].name == "warn"]
        self.assertEqual((len(ours), warned), (16, [1, 2, 4, 8, 16]))
        self.endpoint.refuse(OSError("another"))
        self.assertEqual(events[-1]["log_level"].name, "warn")
