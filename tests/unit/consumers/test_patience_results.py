"""Waiting for results across an outage."""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import Deferred

from tests.support.patience import (
    FINISH,
    HEALTH,
    UNBLOCK,
    ResultTestCase,
)
from tests.support.wire import lose
from txthoonk.consumers.results._result_waiters import ATTEMPT, RENEWAL
from txthoonk.errors import ConnectionLost, Empty, ResponseError


class SubscriberLostTests(ResultTestCase):
    def test_replaced(self) -> None:
        """After a lost subscriber, a wait asks for its result to be kept, and subscribes again."""
        result, sub = self.wait()
        lose(sub.protocol)
        again = self.listen(b"10.5")
        self.assertIsNot(again, sub)
        again.answer([b"message", FINISH, b"a\0done"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.nothing_left()

    def test_finished_meanwhile(self) -> None:
        """A result that was kept meanwhile is found before the new subscription."""
        result, sub = self.wait()
        lose(sub.protocol)
        self.looked()
        self.main.answer([b"kept", b"done", b"item"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.nothing_left()

    def test_finished_before_it_was_noticed(self) -> None:
        """A result that was published without a subscriber, and not kept, is lost."""
        result, sub = self.wait()
        lose(sub.protocol)
        self.main.answer([])
        self.failureResultOf(result, Empty)
        self.nothing_left()

    def test_nobody_waits(self) -> None:
        """A lost subscriber is not replaced before the next wait."""
        result, sub = self.wait()
        self.leave(result)
        self.main.answer(1)
        lose(sub.protocol)
        self.nothing_left()
        self.assertEqual(self.endpoint.attempts, 1)
        self.main.sent()
        result, _ = self.wait()
        self.leave(result)

    def test_again_and_again(self) -> None:
        """A subscriber that is always lost at once is replaced more and more rarely."""
        result, _ = self.wait()
        times = []
        for _ in range(20):
            lose(self.endpoint.connections[-1].protocol)
            while not (sent := self.main.sent()):
                self.clock.advance(0.05)
            self.assertEqual(len(sent), 1)
            times.append(self.clock.seconds())
            self.active(b"10.5")
            self.subscribe()
            self.looked(b"10.5")
            self.active(b"10.5")
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLessEqual(max(gaps), RENEWAL + 0.1)
        self.assertGreater(min(gaps[10:]), 2)
        self.leave(result)

    def test_lost_while_looking(self) -> None:
        """A subscriber that is lost during the last look is replaced."""
        result = self.job.get_result("a")
        self.looked()
        self.active(b"9.5")
        sub = self.subscribe()
        self.looked(b"9.5")
        lose(sub.protocol)
        self.active(b"9.5")
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)

    def test_lost_while_subscribing(self) -> None:
        """A subscriber that is lost before the confirmation is replaced."""
        result = self.job.get_result("a")
        self.looked()
        self.active(b"9.5")
        self.allowed()
        lose(self.endpoint.connections[-1].protocol)
        self.clock.advance(0.2)
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)

    def test_the_note_stands(self) -> None:
        """While there is no subscriber, the wait keeps asking for its result to be kept."""
        result, sub = self.wait()
        self.endpoint.slow = True
        lose(sub.protocol)
        times = []
        for _ in range(400):
            if self.main.sent():
                times.append(self.clock.seconds())
                self.active(b"10.5")
            self.clock.advance(0.25)
        gaps = [after - before for before, after in pairwise(times)]
        self.assertGreater(len(gaps), 10)
        self.assertLessEqual(max(gaps), ATTEMPT + RENEWAL + 0.25)
        self.assertLess(ATTEMPT + RENEWAL, 9)
        self.leave(result)
        self.nothing_left()

    def test_several(self) -> None:
        """All waits share one attempt to connect, and its failure."""
        self.endpoint.slow = True
        results = [self.job.get_result("a") for _ in range(5)]
        for attempts in (1, 2):
            self.assertEqual(len(self.main.sent()), 5)
            self.main.answer(*[[b"active", b"item", b"9.5"]] * 5)
            self.assertEqual(self.endpoint.attempts, attempts)
            self.clock.advance(ATTEMPT)
            self.assertEqual(self.endpoint.attempts, attempts)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(0.2)
        self.leave(*results)
        self.nothing_left()

    def test_ping(self) -> None:
        """A subscriber is pinged at intervals."""
        result, sub = self.wait()
        for _ in range(3):
            self.clock.advance(HEALTH)
            self.assertEqual(sub.sent(), [[b"PING"]])
            sub.answer([b"pong", b""])
        self.leave(result)
        self.nothing_left()

    def test_silent(self) -> None:
        """A subscriber that does not answer is replaced."""
        result, sub = self.wait()
        self.clock.advance(HEALTH)
        while not sub.transport.disconnected:
            self.allowed()
            self.clock.advance(0.25)
        self.allowed()
        self.assertTrue(sub.transport.disconnected)
        lose(sub.protocol)
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)

    def test_refused(self) -> None:
        """A subscription that Redis refuses fails the wait."""
        result = self.job.get_result("a")
        self.main.sent()
        self.active(b"9.5")
        self.allowed()
        self.endpoint.connections[-1].answer(Exception("NOPERM no access to the channel"))
        self.failureResultOf(result, ResponseError)


class ResultOutageTests(ResultTestCase):
    def test_looking(self) -> None:
        """A wait whose look is lost with the connection looks again on the next one."""
        result = self.job.get_result("a")
        self.looked()
        self.down()
        self.pass_time(100)
        self.assertNoResult(result)
        self.up()
        self.looked()
        self.main.answer([b"kept", b"done", b"item"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))

    def test_subscribing(self) -> None:
        """A wait that subscribes during the outage looks again afterwards."""
        result = self.job.get_result("a")
        self.looked()
        self.active(b"9.5")
        self.allowed()
        self.down()
        sub = self.confirmed()
        self.assertNoResult(result)
        self.up()
        self.looked()
        self.active(b"10.5")
        self.looked(b"10.5")
        self.active(b"10.5")
        sub.answer([b"pong", b""], [b"message", FINISH, b"a\0done"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.nothing_left()

    def test_listening(self) -> None:
        """A wait that is subscribed stays subscribed."""
        result, sub = self.wait()
        self.down()
        self.up()
        self.assertEqual(self.main.sent(), [])
        self.assertEqual(sub.sent(), [[b"PING"]])
        sub.answer([b"pong", b""], [b"message", FINISH, b"a\0done"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))

    def test_message_behind_the_answer(self) -> None:
        """A wait that looks again and finds no job lets a pending message arrive first."""
        first, sub = self.wait()
        second = self.job.get_result("a")
        self.looked()
        self.active(b"10.5")
        self.looked(b"10.5")
        self.down()
        self.up()
        self.looked()
        self.main.answer([])
        self.assertNoResult(second)
        sub.answer([b"pong", b""], [b"message", FINISH, b"a\0done"], [b"pong", b""])
        for result in (first, second):
            self.assertEqual(self.successResultOf(result), ("item", "done"))

    def test_all_lost(self) -> None:
        """Without any connection the waits pause, until the publisher's connection is back."""
        result, sub = self.wait()
        self.down()
        lose(sub.protocol)
        self.pass_time(100)
        self.assertEqual(len(self.endpoint.connections), 1)
        self.up()
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)
        self.nothing_left()

    def test_time_is_up(self) -> None:
        """The timeout of a wait counts during the outage."""
        result, sub = self.wait(5)
        self.down()
        lose(sub.protocol)
        self.clock.advance(5)
        self.failureResultOf(result, Empty)
        self.nothing_left()

    def test_finished_here(self) -> None:
        """A finish keeps the result for waits of the same publisher: its answer may be lost."""
        result = self.job.get_result("a")
        self.main.sent()
        self.active(b"9.5")
        self.allowed()
        self.job.finish("a", "done")
        (finish,) = self.main.sent()
        # No token; the configured time; "0": keep the result for the waits, too.
        self.assertEqual(finish[-6:], [b"a", b"", b"", b"0", b"text", b"done"])
        self.main.answer([b"5.5", 0, [1], [], []])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.looked(b"9.5")
        self.nothing_left()


class ClosingTests(ResultTestCase):
    def closed(self, closing: Deferred[None]) -> None:
        self.assertIsNone(self.successResultOf(closing))
        self.nothing_left()

    def test_during_the_outage(self) -> None:
        """close() fails all waits during an outage, and waits for nothing that cannot arrive."""
        gets = [self.queue.get(), self.queue.get(7)]
        self.waiting()
        result, _ = self.wait()
        self.down()
        closing = self.close()
        for one in (*gets, result):
            self.failureResultOf(one, ConnectionLost)
        for connection in self.endpoint.connections:
            lose(connection.protocol)
        self.closed(closing)

    def test_connecting(self) -> None:
        """close() does not wait for a connection that is being made."""
        self.endpoint.slow = True
        get, result = self.queue.get(), self.job.get_result("a")
        self.main.answer([b"5.5", 0], [b"active", b"item", b"9.5"])
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.failureResultOf(result, ConnectionLost)
        self.closed(closing)

    def test_resting(self) -> None:
        """close() cancels the next attempt."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.closed(closing)

    def test_later(self) -> None:
        """A call after close() fails at once, until the service starts."""
        self.successResultOf(self.close())
        self.failureResultOf(self.queue.get(), ConnectionLost)
        self.failureResultOf(self.job.get_result("a"), ConnectionLost)
        self.down()
        self.room.started()
        get = self.queue.get()
        self.assertNoResult(get)
        self.up()
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")

    def test_get_again_when_it_fails(self) -> None:
        """A get in the errback of another one fails as well."""
        get = self.queue.get()
        again = get.addErrback(lambda _: self.queue.get())
        waiting = self.waiting()
        closing = self.close()
        self.failureResultOf(again, ConnectionLost)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        lose(waiting.protocol)
        self.closed(closing)

    def test_connection_comes_back_while_it_closes(self) -> None:
        """A connection that comes back does not reopen a room that closes."""
        get = self.queue.get()
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.down()
        self.up()
        self.closed(closing)
        self.failureResultOf(self.queue.get(), ConnectionLost)

    def test_own_error(self) -> None:
        """The waits fail with the error that the service passes to close()."""
        get = self.queue.get()
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.successResultOf(get)
        self.main.answer(1)
        get = self.queue.get()
        closing = Deferred.fromCoroutine(self.room.close(ConnectionLost("stopped")))
        self.assertEqual(str(self.failureResultOf(get).value), "stopped")
        self.main.answer([b"5.5", 0])
        self.closed(closing)
