"""A connection that went silent is dropped."""

from __future__ import annotations

from tests.support.connections import (
    PING,
    ConnectionTestCase,
    Endpoint,
    Turns,
)
from tests.support.wire import OK, outcome, resp
from txthoonk.connections._keepalive import HEALTH, REPLY_TIMEOUT
from txthoonk.errors import (
    ConnectionLost,
)
from txthoonk.protocol import RedisSubscriber


class HealthTests(ConnectionTestCase):
    def test_alive(self) -> None:
        """An idle connection is checked every *health* seconds, and stays up."""
        peer = self.come_up(health=25.0)
        for _ in range(5):
            self.wait(24.8)
            self.assertEqual(peer.sent(), [])
            self.wait(0.2)
            self.assertEqual(peer.sent(), [PING])
            peer.answer()
        self.assertFalse(peer.transport.disconnected)
        self.assertEqual(self.kinds(), ["up"])

    def test_dead(self) -> None:
        """Without a reply the connection is aborted, and pending calls fail with the reason."""
        for reply_timeout, expected in ((4.0, 4), (None, 10)):
            self.endpoint = Endpoint()
            peer = self.come_up(health=25.0, reply_timeout=reply_timeout)
            self.wait(25.1)
            call = outcome(peer.redis.get("a"))
            self.wait(expected - 0.5)
            self.assertFalse(peer.transport.disconnected)
            self.wait(0.6)
            self.assertTrue(peer.transport.disconnected)
            peer.lose()
            reason = f"no reply for {expected} seconds"
            self.assertIsInstance(call[0], ConnectionLost)
            self.assertIn(reason, str(call[0]))
            self.assertIn(reason, str(self.told[-1][1]))
            self.assertEqual(self.kinds(), ["up", "down"])

    def test_busy(self) -> None:
        """While a call is pending, no PING is sent: its reply shows that the server lives."""
        peer = self.come_up(reply_timeout=None)
        peer.redis.get("a").addErrback(lambda _: None)
        peer.sent()
        self.wait(100)
        self.assertEqual(peer.sent(), [])

    def test_transaction(self) -> None:
        """No PING is sent in a transaction, where it would be one more command."""
        peer = self.come_up()
        peer.redis.multi()
        peer.answer(OK)
        peer.sent()
        self.wait(100)
        self.assertEqual(peer.sent(), [])

    def test_none(self) -> None:
        """With health=0 no PING is sent."""
        peer = self.come_up(health=0.0)
        self.wait(100)
        self.assertEqual(peer.sent(), [])

    def test_error_is_an_answer(self) -> None:
        """A server that is busy or forbids PING is alive."""
        for error in (b"-BUSY\r\n", b"-NOPERM\r\n", b"-MISCONF\r\n"):
            self.endpoint = Endpoint()
            peer = self.come_up()
            self.wait(HEALTH)
            peer.answer(error)
            self.wait(HEALTH - 1)
            self.assertFalse(peer.transport.disconnected)

    def test_error_that_is_none(self) -> None:
        """A server without its data is dropped, although it replies."""
        for error in (b"-LOADING\r\n", b"-MASTERDOWN\r\n"):
            self.endpoint = Endpoint()
            peer = self.come_up()
            self.wait(HEALTH)
            peer.answer(error)
            self.assertTrue(peer.transport.disconnected)

    def test_answer_of_another_command(self) -> None:
        """A wrong reply to PING drops the connection, because replies reach the wrong calls."""
        for reply in (b":1\r\n", b"+OK\r\n", resp(["message"]), b"$-1\r\n", b"*0\r\n"):
            self.endpoint = Endpoint()
            peer = self.come_up()
            self.wait(HEALTH)
            peer.answer(reply)
            self.assertTrue(peer.transport.disconnected)
            peer.lose()
            self.assertIn("PING was answered with", str(self.connection.last_error))

    def test_default(self) -> None:
        """A dead connection is noticed within 15 seconds, idle or not."""
        for busy in (False, True):
            self.endpoint = Endpoint()
            peer = self.come_up()
            if busy:
                self.wait(4.9)
                peer.redis.get("a").addErrback(lambda _: None)
            self.wait(15.1)
            self.assertTrue(peer.transport.disconnected)

    def test_missed(self) -> None:
        """The next check notices a missed reply; any data that arrives clears it."""
        peer = self.come_up(protocol=RedisSubscriber)
        self.wait(HEALTH)
        self.assertTrue(self.connection.answers)
        self.wait(HEALTH - 0.5)
        self.assertTrue(self.connection.answers)
        self.wait(0.5)
        self.assertFalse(self.connection.answers)
        peer.answer(resp(["message", "a", "1"]))
        self.assertTrue(self.connection.answers)
        peer.answer()
        self.wait(2 * HEALTH)
        peer.lose()
        self.assertFalse(self.connection.answers)

    def test_slow_answer(self) -> None:
        """Incoming bytes keep the connection alive, even before a reply is complete."""
        peer = self.come_up()
        peer.redis.get("a").addErrback(lambda _: None)
        peer.answer(b"$100\r\n")
        for _ in range(10):
            self.wait(REPLY_TIMEOUT - 1)
            peer.answer(b"x")
        self.assertFalse(peer.transport.disconnected)
        self.assertTrue(self.connection.answers)

    def test_subscriber(self) -> None:
        """With subscriptions PONG is an array, and messages may come before it."""
        peer = self.come_up(protocol=RedisSubscriber, health=25.0, reply_timeout=30.0)
        peer.redis.subscribe("a")
        peer.answer(resp(["subscribe", "a", 1]))
        peer.sent()
        self.wait(25.1)
        self.assertEqual(peer.sent(), [PING])
        peer.answer(resp(["message", "a", "1"]) + resp(["pong", ""]))
        self.wait(20)
        self.assertIsNone(peer.redis.oldest)
        self.assertFalse(peer.transport.disconnected)
        self.wait(5)
        self.assertEqual(peer.sent(), [PING])
        self.wait(31)
        self.assertTrue(peer.transport.disconnected)

    def test_given_up_but_not_closed(self) -> None:
        """A connection that failed is dropped even if its peer reads nothing more."""
        peer = self.come_up()
        peer.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertFalse(peer.transport.disconnected)
        self.assertNoResult(self.connection.when_connected())
        self.wait(25.1)
        self.assertTrue(peer.transport.disconnected)
        peer.lose()
        self.assertIn("Protocol error", str(self.connection.last_error))

    def test_held_up(self) -> None:
        """After a long turn of the reactor, arrived data is read before the timeout is judged."""
        for busy in (False, True):
            self.clock = clock = Turns()
            self.endpoint = Endpoint()
            peer = self.come_up()
            if busy:
                peer.redis.get("a").addErrback(lambda _: None)
            self.wait(HEALTH)
            self.patch(clock, "read", peer.answer if peer.redis.oldest else None)
            clock.advance(100)
            self.assertFalse(peer.transport.disconnected)
            self.assertTrue(self.connection.answers)

    def test_none_for_a_lost_connection(self) -> None:
        """All timers end with the connection, even during a check."""
        peer = self.come_up(policy=lambda _: 1000.0)
        self.wait(25.1)
        peer.lose()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class ReplyTimeoutTests(ConnectionTestCase):
    def test_oldest_call(self) -> None:
        """A call fails after its reply_timeout, and at most half of that later."""
        for offset in (0.1, 2.0, 4.9):
            self.endpoint = Endpoint()
            peer = self.come_up(reply_timeout=10.0, health=0.0)
            self.wait(offset)
            calls = [outcome(peer.redis.get("a")) for _ in range(3)]
            self.wait(9.9)
            self.assertFalse(peer.transport.disconnected)
            self.wait(5.2)
            self.assertTrue(peer.transport.disconnected)
            peer.lose()
            for (error,) in calls:
                self.assertIsInstance(error, ConnectionLost)
                self.assertIn("no reply for 10 seconds (3 unanswered", str(error))

    def test_slow_but_alive(self) -> None:
        """A long row of calls continues as long as each gets its reply in time."""
        peer = self.come_up(reply_timeout=10.0, health=0.0)
        calls = [outcome(peer.redis.get("a")) for _ in range(10)]
        for _ in range(10):
            self.wait(9)
            peer.answer(b":1\r\n")
        self.assertEqual(calls, [[1]] * 10)
        self.assertFalse(peer.transport.disconnected)

    def test_confirmations(self) -> None:
        """A request with many names is alive as long as names are confirmed."""
        peer = self.come_up(protocol=RedisSubscriber, reply_timeout=10.0, health=0.0)
        names = [str(number) for number in range(5)]
        peer.redis.subscribe(*names)
        for number, name in enumerate(names[:4]):
            self.wait(9)
            peer.answer(resp(["subscribe", name, number + 1]))
        self.assertFalse(peer.transport.disconnected)
        self.wait(15.1)
        self.assertTrue(peer.transport.disconnected)

    def test_none(self) -> None:
        """With reply_timeout=None a call may take any time."""
        peer = self.come_up(reply_timeout=None, health=0.0)
        call = outcome(peer.redis.get("a"))
        self.wait(1000)
        self.assertEqual(call, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
