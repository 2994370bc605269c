"""Calls that wait for a connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.connections import (
    NAME,
    PING,
    SCRIPT,
    SECRET,
    ConnectionTestCase,
)
from tests.support.wire import OK, Transport, commands, outcome, resp, sent
from txthoonk.connections._offline_queue import OfflineQueue
from txthoonk.errors import (
    ConnectionLost,
    InvalidCommand,
    InvalidData,
    NotSent,
)
from txthoonk.protocol import Redis
from txthoonk.protocol._encoding import RAW, TEXT


class OfflineQueueTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = self.make()

    def make(self, **arguments: Any) -> OfflineQueue:
        self.queue = OfflineQueue(reactor=self.clock, name=NAME, **arguments)
        return self.queue

    def connect(self) -> tuple[Redis, Transport]:
        redis, transport = Redis(), Transport()
        redis.makeConnection(transport)
        self.queue.connected(redis)
        return redis, transport

    def lose(self, redis: Redis, text: str = "cable cut") -> None:
        self.queue.disconnected(ConnectionLost(text))
        redis.connectionLost(Failure(ConnectionDone()))

    def sent(self, transport: Transport) -> list[list[bytes]]:
        words = commands(transport.value())
        transport.clear()
        return words


class OfflineQueueTests(OfflineQueueTestCase):
    def test_connected(self) -> None:
        """While connected, calls go directly to the connection."""
        redis, transport = self.connect()
        self.assertEqual(self.queue.request, redis.request)
        self.assertEqual(self.queue.call, redis.call)
        self.assertTrue(self.queue.usable)
        got = outcome(self.queue.hget("a", "b"))
        redis.dataReceived(b"+x\r\n")
        self.assertEqual((got, transport.value()), ([{"b": "x"}], sent("HGET", "a", "b")))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_credentials(self) -> None:
        """The credentials are available for other connections to the same server."""
        queue = self.make(db=3, username="me", password=SECRET)
        self.assertEqual((queue.db, queue.username, queue.password), (3, "me", SECRET))

    def test_away(self) -> None:
        """Calls of every kind are sent in order, before any later call."""
        queue = self.queue
        self.assertFalse(queue.usable)
        got = [
            outcome(queue.set("a", 1)),
            outcome(queue.call(SCRIPT, ("EVALSHA", SCRIPT.sha, 0), RAW)),
            outcome(queue.request(("GET", "a"), TEXT)),
            outcome(queue.smembers("s")),
        ]
        redis, transport = self.connect()
        last = outcome(queue.get("z"))
        self.assertEqual(
            self.sent(transport),
            [
                [b"SET", b"a", b"1"],
                [b"SCRIPT", b"LOAD", b"return 1"],
                [b"EVALSHA", b"0" * 40, b"0"],
                [b"GET", b"a"],
                [b"SMEMBERS", b"s"],
                [b"GET", b"z"],
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])
        redis.dataReceived(OK + resp("sha") + resp("raw") + resp("1") + resp(["x"]) + resp("z"))
        self.assertEqual(got, [["OK"], [b"raw"], ["1"], [{"x"}]])
        self.assertEqual(last, ["z"])

    def test_call_from_a_call_that_fails(self) -> None:
        """A call that is made while the queue is being sent goes to the end of the queue."""
        self.queue.send(object()).addErrback(lambda _: self.queue.get("late"))  # type: ignore[arg-type]
        self.queue.get("b")
        _, transport = self.connect()
        self.assertEqual(self.sent(transport), [[b"GET", b"b"], [b"GET", b"late"]])

    def test_bad_arguments(self) -> None:
        """A call that cannot be sent fails in its turn, and no other call fails."""
        bad, good = self.queue.set("a", None), outcome(self.queue.get("a"))
        redis, _ = self.connect()
        self.failureResultOf(bad, InvalidData)
        redis.dataReceived(resp("x"))
        self.assertEqual(good, ["x"])

    def test_lost(self) -> None:
        """Calls that were sent fail and are not sent again; later calls wait."""
        redis, _ = self.connect()
        first = outcome(self.queue.get("a"))
        self.lose(redis)
        self.assertIs(type(first[0]), ConnectionLost)
        self.assertFalse(self.queue.usable)
        second = outcome(self.queue.get("b"))
        redis, transport = self.connect()
        self.assertEqual(self.sent(transport), [[b"GET", b"b"]])
        redis.dataReceived(resp("x"))
        self.assertEqual(second, ["x"])

    def test_lost_again(self) -> None:
        """A call that waited and was then sent fails with its connection, like any other."""
        call = outcome(self.queue.get("a"))
        redis, _ = self.connect()
        self.lose(redis)
        self.assertIs(type(call[0]), ConnectionLost)

    def test_expiry(self) -> None:
        """Each call waits for its own time; its error gives the time, address and reason."""
        first = outcome(self.queue.get("a"))
        self.clock.advance(4)
        second = outcome(self.queue.get("b"))
        self.queue.disconnected(ConnectionRefusedError("refused there"))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(5.9)
        self.assertEqual(first, [])
        self.clock.advance(0.1)
        self.assertIs(type(first[0]), NotSent)
        for part in ("waited 10 seconds", NAME, "refused there"):
            self.assertIn(part, str(first[0]))
        self.clock.advance(3.9)
        self.assertEqual(second, [])
        self.clock.advance(0.1)
        self.assertIs(type(second[0]), NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        _, transport = self.connect()
        self.assertEqual(self.sent(transport), [])

    def test_call_when_one_expires(self) -> None:
        """A call made when another one expires waits for its own time, as the last."""
        again: list[Any] = []
        self.queue.get("a").addErrback(lambda _: again.append(self.queue.get("a")))
        self.clock.advance(1)
        second = outcome(self.queue.get("b"))
        self.clock.advance(9)
        self.clock.advance(1)
        self.assertIs(type(second[0]), NotSent)
        self.assertNoResult(again[0])
        self.clock.advance(9)
        self.failureResultOf(again[0], NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fractions(self) -> None:
        """Times that are not binary fractions do not make the timer fire forever."""
        self.make(wait=0.3)
        calls = []
        for _ in range(50):
            calls.append(outcome(self.queue.get("a")))
            self.clock.advance(0.1)
        self.clock.advance(0.3)
        self.assertEqual([type(error) for (error,) in calls], [NotSent] * 50)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_wait(self) -> None:
        """With wait=0 a call fails at once, and MULTI starts no transaction."""
        self.make(wait=0)
        self.queue.disconnected(ConnectionLost("cable cut"))
        error = self.failureResultOf(self.queue.multi(), NotSent).value
        self.assertIn(NAME, str(error))
        self.assertIn("cable cut", str(error))
        self.assertFalse(self.queue.transaction)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        redis, _ = self.connect()
        self.assertFalse(redis.transaction)

    def test_limit(self) -> None:
        """One call too many fails at once; those before it are sent."""
        self.make(limit=2)
        self.queue.get("a")
        second = self.queue.get("b")
        error = self.failureResultOf(self.queue.get("c"), NotSent).value
        self.assertIn("2 calls wait", str(error))
        self.assertIn(NAME, str(error))
        second.addErrback(lambda _: None).cancel()
        self.queue.get("d")
        _, transport = self.connect()
        self.assertEqual(self.sent(transport), [[b"GET", b"a"], [b"GET", b"d"]])

    def test_cancel_a_call_that_waits(self) -> None:
        """A cancelled call is not sent, and the timer ends with the last waiting call."""
        first, second = self.queue.get("a"), self.queue.get("b")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.queue.get("c")
        _, transport = self.connect()
        self.assertEqual(self.sent(transport), [[b"GET", b"c"]])

    def test_cancel_a_call_that_was_sent(self) -> None:
        """The reply of a cancelled call is dropped, and the others stay in step."""
        first, second = self.queue.get("a"), outcome(self.queue.get("b"))
        redis, _ = self.connect()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        redis.dataReceived(resp("a") + resp("b"))
        self.assertEqual(second, ["b"])

    def test_encoding(self) -> None:
        """set_encoding() applies to the present connection and to later ones."""
        self.queue.set_encoding(None)
        got = outcome(self.queue.get("a"))
        redis, _ = self.connect()
        redis.dataReceived(resp("x"))
        self.assertEqual(got, [b"x"])
        self.queue.set_encoding("latin-1")
        got = outcome(self.queue.get("a"))
        redis.dataReceived(resp(b"\xe4"))
        self.assertEqual(got, ["ä"])

    def test_abort_and_close(self) -> None:
        """abort() and close() end the present connection, and do nothing without one."""
        self.queue.abort()
        self.assertIsNone(self.successResultOf(self.queue.close()))
        redis, transport = self.connect()
        call = outcome(self.queue.get("a"))
        self.queue.abort(ConnectionLost("enough"))
        self.assertTrue(transport.disconnected)
        closed = self.queue.close()
        self.assertTrue(transport.disconnecting)
        self.lose(redis)
        self.assertIsNone(self.successResultOf(closed))
        self.assertIn("enough", str(call[0]))


class StoppedTests(OfflineQueueTestCase):
    def test_stopped(self) -> None:
        """Waiting calls fail with the error of the stop, and so do later calls."""
        waiting = [outcome(self.queue.get("a")) for _ in range(3)]
        error = ConnectionLost("no more")
        self.queue.stopped(error)
        self.assertEqual(waiting, [[error]] * 3)
        self.assertIs(self.failureResultOf(self.queue.get("b")).value, error)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_connected(self) -> None:
        """After a stop no call reaches the connection, and its end changes nothing."""
        redis, transport = self.connect()
        error = ConnectionLost("no more")
        self.queue.stopped(error)
        self.lose(redis)
        self.assertIs(self.failureResultOf(self.queue.get("b")).value, error)
        self.assertEqual((transport.value(), self.queue.usable), (b"", False))

    def test_started(self) -> None:
        """After a new start, calls wait again."""
        self.queue.stopped(ConnectionLost("no more"))
        self.queue.started()
        self.assertNoResult(self.queue.get("a"))
        _, transport = self.connect()
        self.assertEqual(self.sent(transport), [[b"GET", b"a"]])

    def test_connected(self) -> None:
        """A new connection also ends the stopped state."""
        self.queue.stopped(ConnectionLost("no more"))
        redis, _ = self.connect()
        self.lose(redis)
        self.assertNoResult(self.queue.get("a"))

    def test_call_from_a_call_that_fails(self) -> None:
        """A call made when another one fails with the stop fails too, and does not wait."""
        again: list[Any] = []
        self.queue.get("a").addErrback(lambda _: again.append(self.queue.get("a")))
        self.queue.stopped(ConnectionLost("no more"))
        self.failureResultOf(again[0], ConnectionLost)


class TransactionTests(OfflineQueueTestCase):
    def transaction(self) -> list[list[Any]]:
        calls = (self.queue.multi(), self.queue.smembers("s"), self.queue.execute())
        return [outcome(call) for call in calls]

    def test_connected(self) -> None:
        """While connected, a transaction is the connection's own: feeds cannot be used in it."""
        redis, _ = self.connect()
        self.queue.multi()
        self.assertTrue(self.queue.transaction)
        self.assertTrue(redis.transaction)
        self.failureResultOf(self.queue.request(("GET", "a"), TEXT), InvalidCommand)
        self.queue.execute()
        self.assertFalse(self.queue.transaction)

    def test_away(self) -> None:
        """A waiting transaction is sent whole, between the calls before and after it."""
        before = outcome(self.queue.request(("GET", "a"), TEXT))
        calls = self.transaction()
        after = outcome(self.queue.request(("GET", "b"), TEXT))
        redis, transport = self.connect()
        self.assertEqual(
            [words[0] for words in self.sent(transport)],
            [b"GET", b"MULTI", b"SMEMBERS", b"EXEC", b"GET"],
        )
        queued = resp("a") + OK + b"+QUEUED\r\n" + resp([["x"]]) + resp("b")
        redis.dataReceived(queued)
        self.assertEqual(calls, [["OK"], ["QUEUED"], [[["x"]]]])
        self.assertEqual((before, after), (["a"], ["b"]))
        self.assertFalse(self.queue.transaction)

    def test_begun_away(self) -> None:
        """A transaction that is still open continues on the connection."""
        self.queue.multi()
        self.assertTrue(self.queue.transaction)
        feed = self.queue.request(("GET", "a"), TEXT)
        redis, transport = self.connect()
        self.failureResultOf(feed, InvalidCommand)
        self.assertTrue(self.queue.transaction)
        self.queue.execute()
        self.assertEqual(self.sent(transport), [[b"MULTI"], [b"EXEC"]])
        self.assertFalse(redis.transaction)

    def test_lost(self) -> None:
        """A transaction ends when its connection is lost."""
        redis, _ = self.connect()
        self.queue.multi().addErrback(lambda _: None)
        self.lose(redis)
        self.assertFalse(self.queue.transaction)
        redis, _ = self.connect()
        self.assertFalse(self.queue.transaction)
        self.assertFalse(redis.transaction)

    def test_two(self) -> None:
        """Two transactions are independent."""
        first = self.transaction()
        self.clock.advance(9)
        self.transaction()
        self.clock.advance(1)
        self.assertEqual([type(error) for (error,) in first], [NotSent] * 3)
        _, transport = self.connect()
        self.assertEqual(
            [words[0] for words in self.sent(transport)], [b"MULTI", b"SMEMBERS", b"EXEC"]
        )

    def test_expired_in_the_middle(self) -> None:
        """If MULTI has expired, the rest of its transaction is not sent."""
        multi = outcome(self.queue.multi())
        self.clock.advance(5)
        value, done = outcome(self.queue.set("a", 1)), outcome(self.queue.execute())
        other = self.queue.get("b")
        self.clock.advance(5)
        redis, transport = self.connect()
        self.assertEqual([type(call[0]) for call in (multi, value, done)], [NotSent] * 3)
        self.assertIn("MULTI", str(value[0]))
        self.assertEqual(self.sent(transport), [[b"GET", b"b"]])
        self.assertNoResult(other)
        self.assertFalse(redis.transaction)

    def test_expired_and_not_over(self) -> None:
        """A MULTI that has expired starts no transaction."""
        multi = outcome(self.queue.multi())
        self.clock.advance(10)
        self.assertIs(type(multi[0]), NotSent)
        redis, _ = self.connect()
        self.assertFalse(redis.transaction)

    def test_cancelled(self) -> None:
        """A transaction with a cancelled call is not sent, because that call might be EXEC."""
        multi, value, done = self.queue.multi(), self.queue.set("a", 1), self.queue.execute()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.failureResultOf(multi, NotSent)
        redis, transport = self.connect()
        self.failureResultOf(value, NotSent)
        self.assertEqual(self.sent(transport), [])
        self.assertFalse(redis.transaction)

    def test_multi_cancelled(self) -> None:
        """A transaction whose MULTI was cancelled is not sent."""
        multi, value, done = self.queue.multi(), self.queue.set("a", 1), self.queue.execute()
        multi.cancel()
        self.failureResultOf(multi, CancelledError)
        _, transport = self.connect()
        self.failureResultOf(value, NotSent)
        self.failureResultOf(done, NotSent)
        self.assertEqual(self.sent(transport), [])

    def test_limit(self) -> None:
        """A full queue accepts the end of a transaction, or later calls would belong to it."""
        self.make(limit=1)
        self.transaction()
        self.failureResultOf(self.queue.multi(), NotSent)
        self.failureResultOf(self.queue.get("a"), NotSent)
        self.assertFalse(self.queue.transaction)
        redis, transport = self.connect()
        self.assertEqual(len(self.sent(transport)), 3)
        self.assertFalse(redis.transaction)


class TogetherTests(ConnectionTestCase):
    """The queue and its connection."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = OfflineQueue(reactor=self.clock, name=NAME)
        self.start(listeners=[self.queue])

    def test_outage(self) -> None:
        """A call made when another fails waits for the next connection and its PING."""
        first = outcome(self.queue.get("a"))
        peer = self.endpoint.accept()
        self.assertEqual(peer.sent(), [PING])
        peer.answer()
        self.assertEqual(peer.sent(), [[b"GET", b"a"]])
        peer.answer(resp("x"))
        self.assertEqual(first, ["x"])
        again: list[Any] = []
        lost = self.queue.get("b")
        lost.addErrback(lambda _: again.append(outcome(self.queue.get("b"))))
        peer.lose()
        self.clock.advance(1)
        self.clock.advance(0)
        peer = self.endpoint.accept()
        self.assertEqual(peer.sent(), [PING])
        peer.answer()
        peer.answer(resp("y"))
        self.assertEqual(again, [["y"]])
        self.assertEqual(self.kinds(), [])

    def test_why(self) -> None:
        """The error of an expired call gives the reason of the last failed attempt."""
        call = outcome(self.queue.get("a"))
        self.endpoint.refuse(ConnectionRefusedError("refused there"))
        self.clock.advance(10)
        self.assertIn("refused there", str(call[0]))
