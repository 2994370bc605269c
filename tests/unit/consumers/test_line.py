"""Waiting gets, driven byte by byte: the races that a real server shows only by chance."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import ISSLTransport
from zope.interface import directlyProvides

from tests.support.line import BLMOVE, UNBLOCK, LineTestCase
from tests.support.wire import NUMBER, Connection, lose
from txthoonk.client import ThoonkPub
from txthoonk.connections._back_off import LAST_DELAY
from txthoonk.consumers._pool import SPARE
from txthoonk.consumers.gets._get_queue import MOST, TRIES
from txthoonk.errors import ConnectionError, ConnectionLost, Empty, ResponseError
from txthoonk.protocol import Redis
from txthoonk.types import Queue

BRIEFLY = [*BLMOVE[:-1], b"3.0"]


class AskingTests(LineTestCase):
    def test_many(self) -> None:
        """All gets that came meanwhile are sent as one call, up to a limit."""
        gets = [self.queue.get() for _ in range(MOST + 20)]
        self.asked(1)
        self.main.answer([b"5.5", 0, b"0", b"item 0"])
        self.assertEqual(self.successResultOf(gets.pop(0)), "item 0")
        self.assertEqual(self.main.sent()[1:], [[b"queue/get", b"q", b"%d" % MOST, b""]])

    def test_order(self) -> None:
        """Items go to the gets in the order of their calls, and are then acknowledged."""
        first, second, third = (self.queue.get() for _ in range(3))
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(
            self.main.sent(), [[b"queue/delivered", b"a"], [b"queue/get", b"q", b"2", b""]]
        )
        self.main.answer(1, [b"5.6", 0, b"b", b"B", b"c", b"C"])
        self.assertEqual(self.successResultOf(second), "B")
        self.assertEqual(self.successResultOf(third), "C")
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"b", b"c"]])

    def test_timeout_just_before_the_item(self) -> None:
        """An item that arrives for a get that timed out goes back to the front."""
        get = self.queue.get(5)
        self.clock.advance(5)
        self.failureResultOf(get, Empty)
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b"5.5"]])

    def test_cancelled_just_before_the_item(self) -> None:
        """An item that arrives for a get that was cancelled goes back to the front."""
        get = self.queue.get()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.main.sent()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b"5.5"]])

    def test_several_go_back(self) -> None:
        """Items go back in their order: the one to be taken first is named last."""
        first, second, third = (self.queue.get() for _ in range(3))
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.main.sent()
        second.cancel()
        third.cancel()
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(third, CancelledError)
        self.main.answer(1, [b"6.5", 0, b"b", b"B", b"c", b"C"])
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"c", b"6.5", b"b", b"6.5"]])
        self.assertEqual(self.successResultOf(first), "A")

    def test_late_item_goes_to_the_next(self) -> None:
        """An item that arrives too late for one get goes to the next one."""
        first, second = self.queue.get(5), self.queue.get()
        self.clock.advance(5)
        self.failureResultOf(first, Empty)
        self.main.sent()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(second), "A")
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])

    def test_cancelled_by_the_one_before(self) -> None:
        """A callback may cancel the next get, whose item goes back."""
        first, second, third = (self.queue.get() for _ in range(3))
        self.main.answer([b"5.5", 0])
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second.addCallback(lambda _: third.cancel())
        waiting = self.waiting_after_cancel()
        waiting.answer(b"b")
        self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"2", b"b"]])
        self.main.answer([b"6.5", 0, b"b", b"B", b"c", b"C"])
        self.successResultOf(second)
        self.failureResultOf(third, CancelledError)
        self.assertEqual(
            self.main.sent(),
            [[b"queue/delivered", b"b"], [b"queue/put_back", b"c", b"6.5"]],
        )

    def waiting_after_cancel(self) -> Connection:
        (waiting,) = self.endpoint.connections
        waiting.answer(77, 0)
        waiting.sent()
        self.main.sent()
        return waiting

    def test_get_within_a_callback(self) -> None:
        """A get in the callback of another one takes what is left, and asks once."""
        again: list[Any] = []
        first, second = self.queue.get(), self.queue.get()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.main.sent()
        second.addCallback(lambda _: again.append(self.queue.get()))
        self.main.answer(1, [b"6.5", 0, b"b", b"B"])
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(
            self.main.sent(), [[b"queue/delivered", b"b"], [b"queue/get", b"q", b"1", b""]]
        )
        self.assertNoResult(again[0])

    def test_refused(self) -> None:
        """An error of the script fails all waiting gets; the next get asks again."""
        gets = [self.queue.get(), self.queue.get(7)]
        self.main.sent()
        self.main.answer(Exception("NOFEED feed 'q' does not exist"))
        for get in gets:
            self.assertIn("'q' does not exist", str(self.failureResultOf(get).value))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.queue.get()
        self.asked(1)


class WaitingTests(LineTestCase):
    def test_item(self) -> None:
        """The script takes the id that BLMOVE returns, and more items for the other gets."""
        first, second = self.queue.get(), self.queue.get()
        waiting = self.waiting()
        waiting.answer(b"a")
        self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"2", b"a"]])
        self.main.answer([b"5.5", 0, b"a", b"A", b"b", b"B"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(self.successResultOf(second), "B")
        self.assertEqual(waiting.sent(), [])

    def test_connection_is_used_again(self) -> None:
        """The next get that waits uses the same connection."""
        for _ in range(2):
            get = self.queue.get()
            waiting = self.waiting()
            waiting.answer(b"a")
            self.main.answer([b"5.5", 0, b"a", b"A"])
            self.successResultOf(get)
            self.main.answer(1)
            waiting.sent()
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_nobody_left(self) -> None:
        """When the last get leaves, BLMOVE is ended; an id that it returns meanwhile goes back."""
        get = self.queue.get(5)
        waiting = self.waiting()
        self.clock.advance(5)
        self.failureResultOf(get, Empty)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        waiting.answer(b"a")
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
        self.main.answer(0, 1)
        self.assertEqual(self.main.sent(), [])

    def test_somebody_new(self) -> None:
        """A get that comes before BLMOVE has ended keeps waiting, and receives the next item."""
        get = self.queue.get()
        waiting = self.waiting()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        get = self.queue.get()
        self.main.answer(1)
        waiting.answer(None)
        self.asked(1)
        self.assertNoResult(get)

    def test_unblocked_too_early(self) -> None:
        """UNBLOCK is repeated, because the server may receive it before BLMOVE."""
        get = self.queue.get()
        waiting = self.waiting()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        for _ in range(3):
            self.assertEqual(self.main.sent(), [UNBLOCK])
            self.main.answer(0)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        self.assertEqual(self.main.sent(), [])

    def test_never_unblocked(self) -> None:
        """A BLMOVE that cannot be ended loses its connection."""
        get = self.queue.get()
        waiting = self.waiting()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        for _ in range(TRIES):
            self.assertEqual(self.main.sent(), [UNBLOCK])
            self.main.answer(0)
        self.assertEqual(self.main.sent(), [])
        self.assertTrue(waiting.transport.disconnected)

    def test_may_not_unblock(self) -> None:
        """A BLMOVE loses its connection if the server refuses UNBLOCK."""
        get = self.queue.get()
        waiting = self.waiting()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.main.answer(Exception("NOPERM this user has no permissions"))
        self.assertTrue(waiting.transport.disconnected)

    def test_waiting_connection_lost(self) -> None:
        """A lost waiting connection fails its get; the next get opens another."""
        get = self.queue.get()
        waiting = self.waiting()
        lose(waiting.protocol)
        self.failureResultOf(get, ConnectionLost)
        self.queue.get()
        self.asked(1)
        self.main.answer([b"5.5", 0])
        self.assertEqual(len(self.endpoint.connections), 2)

    def test_main_connection_lost(self) -> None:
        """A publisher that loses its own connection fails the waiting gets."""
        get = self.queue.get()
        waiting = self.waiting()
        lose(self.pub)
        self.failureResultOf(get, ConnectionLost)
        self.assertTrue(waiting.transport.disconnected)

    def test_get_when_all_is_lost(self) -> None:
        """A get in the errback of another one fails as well, without a loop."""
        get = self.queue.get()
        again = get.addErrback(lambda _: self.queue.get())
        self.waiting()
        lose(self.pub)
        self.failureResultOf(again, ConnectionLost)

    def test_cannot_connect(self) -> None:
        """A connection that cannot be opened fails the waiting gets with the reason."""
        self.endpoint.error = OSError("too many open files")
        gets = [self.queue.get(), self.queue.get()]
        self.main.answer([b"5.5", 0])
        for get in gets:
            error = self.failureResultOf(get, ConnectionLost).value
            self.assertIn("too many open files", str(error))

    def test_refused_by_the_server(self) -> None:
        """A server that requires authentication fails the waiting get."""
        get = self.queue.get()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        waiting.answer(Exception("NOAUTH Authentication required."))
        self.failureResultOf(get, ResponseError)
        self.assertTrue(waiting.transport.disconnected)

    def test_wait_that_cannot_be_ended(self) -> None:
        """Where CLIENT or UNBLOCK is forbidden, BLMOVE waits briefly, again and again."""
        no = Exception("NOPERM this user has no permissions to run the 'client' command")
        for answers in ((no, no), (77, no), (Exception("ERR unknown command 'CLIENT'"), no)):
            get = self.queue.get()
            self.main.sent()
            self.main.answer([b"5.5", 0])
            waiting = self.endpoint.connections[-1]
            waiting.answer(*answers)
            self.assertEqual(waiting.sent(), [*NUMBER, BRIEFLY])
            waiting.answer(None)
            self.assertEqual(waiting.sent(), [BRIEFLY])
            waiting.answer(b"a")
            self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"1", b"a"]])
            self.main.answer([b"6.5", 0, b"a", b"A"], 1)
            self.assertEqual(self.successResultOf(get), "A")
            self.main.sent()
            self.pub.waiting_room.pool.forget(self.pub.waiting_room.pool._spare.pop())

    def test_cancelled_wait_that_cannot_be_ended(self) -> None:
        """A cancelled BLMOVE that cannot be unblocked ends by itself; its id goes back."""
        no = Exception("NOPERM this user has no permissions to run the 'client' command")
        cancelled = self.queue.get()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        waiting.answer(no, no)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.main.sent()
        waiting.answer(b"a")
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
        self.main.answer(1)
        again = self.queue.get()
        self.main.answer([b"5.5", 0])
        again.cancel()
        self.failureResultOf(again, CancelledError)
        waiting.sent()
        waiting.answer(None)
        self.assertEqual(waiting.sent(), [])
        self.assertFalse(waiting.transport.disconnected)

    def test_encrypted(self) -> None:
        """A get over TLS fails without an endpoint, and its error names that argument."""
        pub = ThoonkPub(Redis(), reactor=self.clock)
        main = Connection(pub)
        main.know_scripts()
        get = Queue(pub, "q").get()
        directlyProvides(main.transport, ISSLTransport)
        main.answer([b"5.5", 0])
        error = self.failureResultOf(get, ConnectionError).value
        self.assertNotIsInstance(error, ConnectionLost)
        self.assertIn("endpoint=", str(error))

    def test_other_database(self) -> None:
        """A waiting connection repeats SELECT and AUTH."""
        self.pub.redis.auth("secret")
        self.pub.redis.select(7)
        self.main.answer(b"OK", b"OK")
        self.queue.get()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        self.assertEqual(waiting.sent(), [[b"AUTH", b"secret"], [b"SELECT", b"7"]])

    def test_few_are_kept(self) -> None:
        """Only a few of many connections are kept for later gets."""
        gets = [Queue(self.pub, str(number)).get() for number in range(SPARE + 3)]
        self.main.answer(*[[b"5.5", 0] for _ in gets])
        for number, connection in enumerate(self.endpoint.connections):
            connection.answer(number)
        for get in gets:
            get.cancel()
            self.failureResultOf(get, CancelledError)
        for connection in self.endpoint.connections:
            connection.answer(None)
        dropped = [each.transport.disconnected for each in self.endpoint.connections]
        self.assertEqual(dropped.count(False), SPARE)


class ClosingTests(LineTestCase):
    def test_while_asking(self) -> None:
        """close() waits for the pending call, and gives its items back before it closes."""
        get = self.queue.get()
        closed = [self.pub.close(), self.pub.close()]
        self.failureResultOf(get, ConnectionLost)
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b"5.5"]])
        self.assertFalse(self.main.transport.disconnecting)
        self.main.answer(1)
        self.assertTrue(self.main.transport.disconnecting)
        lose(self.pub)
        for each in closed:
            self.assertIsNone(self.successResultOf(each))

    def test_while_waiting(self) -> None:
        """close() ends BLMOVE, and gives back an id that it returns meanwhile."""
        get = self.queue.get()
        waiting = self.waiting()
        closed = self.pub.close()
        self.failureResultOf(get, ConnectionLost)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        waiting.answer(b"a")
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
        self.main.answer(0, 1)
        self.assertTrue(waiting.transport.disconnecting)
        lose(waiting.protocol)
        self.assertTrue(self.main.transport.disconnecting)
        lose(self.pub)
        self.assertIsNone(self.successResultOf(closed))

    def test_within_a_callback(self) -> None:
        """Items delivered before close() are acknowledged; the rest go back."""
        first, second, third = (self.queue.get() for _ in range(3))
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.main.sent()
        second.addCallback(lambda _: self.pub.close() and None)  # type: ignore[call-overload]
        self.main.answer(1, [b"6.5", 0, b"b", b"B", b"c", b"C"])
        self.successResultOf(first)
        self.successResultOf(second)
        self.failureResultOf(third, ConnectionLost)
        self.assertEqual(
            self.main.sent(),
            [[b"queue/delivered", b"b"], [b"queue/put_back", b"c", b"6.5"]],
        )

    def test_cancelled(self) -> None:
        """Cancelling close() drops the connections at once."""
        get = self.queue.get()
        waiting = self.waiting()
        closed = self.pub.close()
        self.failureResultOf(get, ConnectionLost)
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.assertTrue(waiting.transport.disconnected)
        self.assertTrue(self.main.transport.disconnected)


class RepeatedTests(LineTestCase):
    def deliver(self, id_: bytes) -> None:
        get = self.queue.get()
        self.main.answer([b"5.5", 0, id_, b"item"])
        self.successResultOf(get)

    def test_reconnected(self) -> None:
        """An acknowledgement that was not answered is sent again on the next connection."""
        self.deliver(b"a")
        self.main.sent()
        lose(self.pub)
        self.pub.set_redis(Redis())
        again = Connection(self.pub)
        self.assertEqual(again.sent(), [[b"queue/delivered", b"a"]])
        again.answer(b"sha", 1)
        lose(self.pub)
        self.pub.set_redis(Redis())
        self.assertEqual(Connection(self.pub).sent(), [])

    def test_refused(self) -> None:
        """A refused acknowledgement is sent again with the next one, or after a delay."""
        no = Exception("READONLY You can't write against a read only replica.")
        self.deliver(b"a")
        self.main.answer(no)
        self.main.sent()
        self.deliver(b"b")
        self.assertEqual(self.main.sent()[1:], [[b"queue/delivered", b"a", b"b"]])
        self.main.answer(no)
        self.clock.advance(LAST_DELAY)
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a", b"b"]])
        self.main.answer(no)
        self.pub.waiting_room.drop(ConnectionLost("the end"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_something_else_there(self) -> None:
        """An acknowledgement that can never succeed is not sent again."""
        self.deliver(b"a")
        self.main.answer(Exception("WRONGTYPE Operation against a key"))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.main.sent()
        self.deliver(b"b")
        self.assertEqual(self.main.sent()[1:], [[b"queue/delivered", b"b"]])
