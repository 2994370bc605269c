"""A connection that comes back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.support.connections import (
    NAME,
    PING,
    SECRET,
    Calls,
    ConnectionTestCase,
    Endpoint,
    Peer,
)
from tests.support.wire import OK, outcome
from txthoonk.connections._back_off import back_off
from txthoonk.connections._reconnecting import CLOSE_TIMEOUT, LASTING, LEAVE_TIMEOUT
from txthoonk.errors import (
    AuthenticationError,
    ConnectionLost,
    ResponseError,
    WrongServer,
)
from txthoonk.protocol import Redis


class UpTests(ConnectionTestCase):
    def test_up_when_ping_is_answered(self) -> None:
        """TCP alone is not enough; PONG is."""
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

    def test_behind_the_credentials(self) -> None:
        """AUTH and SELECT come first, and PING is held behind them."""
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
        """Who waits before the start is told with the others."""
        connection = self.make()
        waiting = connection.when_connected()
        connection.start()
        self.clock.advance(0)
        peer = self.accept()
        self.assertIs(self.successResultOf(waiting), peer.redis)

    def test_waiter_cancelled(self) -> None:
        """To cancel the wait takes nothing from the others."""
        connection = self.start()
        first, second = connection.when_connected(), connection.when_connected()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        peer = self.accept()
        self.assertIs(self.successResultOf(second), peer.redis)

    def test_waiter_cancels_another(self) -> None:
        """What a waiter does to another one while both are told is no trouble."""
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
        """A call that is made again when it fails is meant for the next connection."""
        peer = self.come_up()
        peer.redis.ping().addErrback(lambda reason: self.told.append(("call", reason.value)))
        peer.lose()
        self.assertEqual(self.kinds(), ["up", "down", "call"])

    def test_last_words(self) -> None:
        """What the server said before it hung up is the reason."""
        peer = self.come_up()
        peer.answer(b"-ERR max number of clients reached\r\n")
        peer.lose()
        self.assertIn("max number of clients", str(self.connection.last_error))

    def test_errors_of_the_owner(self) -> None:
        """Callbacks that raise are logged, and do not end the reconnecting."""

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
        """Each failure is told and counted, and the delay grows with it."""
        connection = self.start()
        for failures in (1, 2, 3):
            self.endpoint.refuse()
            self.assertEqual(connection.failures, failures)
            self.assertIsInstance(connection.last_error, ConnectionRefusedError)
            self.assertEqual(self.told, [("failed", connection.last_error)])
            self.told.clear()
            self.retry(failures)

    def test_delay_after_a_success(self) -> None:
        """An attempt that succeeds ends the row: the next delay is the first one again."""
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
        """An endpoint that fails at once is no trouble, nor is a stop for that reason."""
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
        """A user who may not PING is connected all the same."""
        self.start(lambda: Redis(db=1))
        self.endpoint.accept().answer(OK + b"-NOPERM no permission to run 'ping'\r\n")
        self.assertEqual(self.kinds(), ["up"])

    def test_select_not_permitted(self) -> None:
        """A user who may not SELECT the database is not."""
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
        """A peer that takes the connection and says nothing is given up."""
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
        """What is no Redis is not up."""
        self.start()
        self.endpoint.accept().answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.kinds(), ["failed"])
        self.assertIn("Protocol error", str(self.connection.last_error))

    def test_protocol_cannot_be_made(self) -> None:
        """What make() raises fails the attempt."""
        self.start(lambda: Redis(charset="no such"))
        with self.assertRaises(LookupError) as raised:
            Peer(self.endpoint.attempts[0][0])
        self.endpoint.refuse(raised.exception)
        self.assertIs(self.connection.last_error, raised.exception)

    def test_no_credentials(self) -> None:
        """Neither the log nor an error has them, not even where the server repeats them."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
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
        """One and the same failure is warned of ever more seldom."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.start()
        for failures in range(1, 17):
            self.endpoint.refuse()
            self.retry(failures)
        ours = [event for event in events if "number" in event]
        warned = [event["number"] for event in ours if event["log_level"].name == "warn"]
        self.assertEqual((len(ours), warned), (16, [1, 2, 4, 8, 16]))
        self.endpoint.refuse(OSError("another"))
        self.assertEqual(events[-1]["log_level"].name, "warn")


class BackOffTests(SynchronousTestCase):
    def test_grows(self) -> None:
        """0.1 s at first, 30 s at most, at least half of that."""
        longest = [max(back_off(attempt) for _ in range(300)) for attempt in (1, 2, 9, 10, 10**6)]
        for seconds, most in zip(longest, (0.1, 0.2, 25.6, 30, 30), strict=True):
            self.assertLessEqual(seconds, most)
            self.assertGreater(seconds, most * 0.9)

    def test_jitter(self) -> None:
        """Clients of one server do not come back at once."""
        seconds = [back_off(9) for _ in range(1000)]
        self.assertGreaterEqual(min(seconds), 12.8)
        self.assertLess(min(seconds), 14)
        self.assertGreater(len(set(seconds)), 900)


class StopTests(ConnectionTestCase):
    """stop() works in every state, leaves nothing behind, and start() works after it."""

    def restart(self) -> None:
        """Check that start() brings a connection."""
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
        """It waits until the connection that it aborts is closed."""
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
        """It closes the connection, and down() is told; that is not an error."""
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
        """What cannot be closed in order is aborted after a while."""
        peer = self.come_up()
        stopped = self.connection.stop()
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.assertFalse(peer.transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(peer.transport.disconnected)
        peer.lose()
        self.assert_ended(stopped)

    def test_start_before_it_is_closed(self) -> None:
        """The old connection is not the one that start() brings."""
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
        """A caller who wants no second attempt stops after the first."""
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


class LeaveTests(ConnectionTestCase):
    """A connection to the wrong place is given up."""

    ERROR = WrongServer("a replica")

    def test_idle(self) -> None:
        """It is down at once, dropped, and there is another one."""
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
        """What was sent is answered before it is dropped."""
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
        """But not if that takes too long."""
        peer = self.come_up()
        called = peer.redis.send("GET", "x")
        self.connection.leave(self.ERROR)
        self.clock.advance(LEAVE_TIMEOUT)
        self.assertTrue(peer.transport.disconnected)
        peer.lose()
        self.assertIn("a replica", str(self.failureResultOf(called, ConnectionLost).value))

    def test_twice(self) -> None:
        """One that was left already is not left again, and a stop closes it."""
        peer = self.come_up()
        peer.redis.send("GET", "x").addErrback(lambda _: None)
        self.connection.leave(self.ERROR)
        self.connection.leave(self.ERROR)
        self.assertEqual(self.kinds(), ["up", "down"])
        stopped = self.connection.stop()
        peer.lose()
        self.assert_ended(stopped)

    def test_back_off(self) -> None:
        """The more are left soon after they came up, the longer it takes until the next."""
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
        """The listeners after it do not learn of a connection that is left already."""
        told: list[tuple[str, str]] = []

        def listener(name: str, leave: bool) -> Calls:
            def up(_: object) -> None:
                told.append((name, "up"))
                if leave:
                    self.connection.leave(self.ERROR)

            return Calls(up, lambda _: told.append((name, "down")))

        self.come_up(listeners=[listener("first", leave=True), listener("second", leave=False)])
        self.assertEqual(told, [("first", "up"), ("first", "down"), ("second", "down")])


class CheckTests(ConnectionTestCase):
    """Who owns the connection may look at its server first."""

    def test_looks(self) -> None:
        """The connection is up when that has ended, and not if it fails."""
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
        """A full disk refuses PING as well, and who may not PING may do other things."""
        for text in (b"-NOPERM no permissions\r\n", b"-MISCONF no space left on device\r\n"):
            self.start()
            self.endpoint.accept().answer(text)
            self.assertEqual(self.kinds(), ["up"])
