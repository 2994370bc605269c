"""Timekeepers with failed looks and lost connections."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.keepers import (
    CONFIRMED,
    DUE,
    SUBSCRIBE,
    UNBLOCK,
    UNSUBSCRIBE,
    KeeperTestCase,
    notice,
)
from tests.support.patience import GONE, HEALTH, REPLY, PatienceTestCase
from tests.support.wire import Connection, lose
from txthoonk.consumers._deadlines import LEAST_WAIT, MARGIN
from txthoonk.errors import ConnectionLost, FeedDoesNotExist
from txthoonk.protocol import Redis


class FailureTests(KeeperTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sub = self.attend()

    def test_again_later(self) -> None:
        """After a failed look the timekeeper tries again, more rarely after each failure."""
        times = []
        for number in range(20):
            error = ConnectionLost("no reply") if number % 2 else FeedDoesNotExist("no feed")
            while not self.looks:
                self.clock.advance(0.05)
            times.append(self.clock.seconds())
            self.looks.pop().errback(error)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLess(gaps[0], 0.2)
        self.assertLess(max(gaps), 30.1)
        self.assertGreater(min(gaps[10:]), 14.9)

    def test_success(self) -> None:
        """A look that succeeds resets the delay after a failure."""
        for _ in range(10):
            self.looks.pop().errback(ConnectionLost("no reply"))
            self.clock.advance(31)
        self.answer(due=1_000)
        self.passed(1 + MARGIN)
        self.looks.pop().errback(ConnectionLost("no reply"))
        self.clock.advance(0.1)
        self.under_way(1)

    def test_pass(self) -> None:
        """If claims cannot be ended, the timekeeper tries again after a delay."""
        self.answer(timeout=60_000, oldest=60_000)
        self.passes.pop().errback(ConnectionLost("no reply"))
        self.clock.advance(LEAST_WAIT)
        self.under_way(0)
        self.clock.advance(0.1)
        self.answer(timeout=60_000, oldest=60_000)
        self.under_way(0, 1)
        self.passes.pop().callback(None)
        self.passed(LEAST_WAIT)

    def test_notice_meanwhile(self) -> None:
        """A notice counts while the timekeeper waits to try again."""
        for _ in range(10):
            self.looks.pop().errback(ConnectionLost("no reply"))
            self.clock.advance(31)
        self.looks.pop().errback(ConnectionLost("no reply"))
        self.sub.answer(notice(b"a", b"2000"))
        self.passed(2 + MARGIN)

    def test_no_connection(self) -> None:
        """While the room has no connection, the timekeeper does not look, whatever is due."""
        self.answer(due=1_000)
        self.room.up = False
        self.clock.advance(1 + MARGIN)
        self.sub.answer(notice(b"a", b"2000"))
        self.clock.advance(2 + MARGIN)
        self.under_way(0)
        self.room.resume()
        self.under_way(1)

    def test_subscriber_lost(self) -> None:
        """A timekeeper that lost its subscriber subscribes again, and looks for what it missed."""
        self.answer(due=60_000)
        lose(self.sub.protocol)
        self.clock.advance(0.2)
        again = self.endpoint.connections[-1]
        self.assertEqual(again.sent(), SUBSCRIBE)
        self.under_way(0)
        again.answer(*CONFIRMED)
        self.answer(due=10_000)
        again.answer(notice(b"a", b"2000"))
        self.passed(2 + MARGIN)
        self.assertEqual(len(self.endpoint.connections), 2)

    def test_no_subscriber(self) -> None:
        """While it cannot subscribe, the timekeeper looks when the known jobs are due."""
        self.answer(due=2_000)
        self.endpoint.error = OSError("too many open files")
        lose(self.sub.protocol)
        self.passed(2 + MARGIN)
        self.answer(count=1, due=2_000)
        self.passed(2 + MARGIN)
        self.answer()
        self.keeper.leave()
        self.nothing_left()

    def test_publisher_lost(self) -> None:
        """Without the publisher's connection the timekeeper pauses until the next one."""
        self.answer(due=2_000)
        lose(self.pub)
        self.assertTrue(self.sub.transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(list(self.room.outages.returning), [self.keeper])
        self.clock.advance(100)
        self.under_way(0)
        self.pub.set_redis(Redis())
        self.main = Connection(self.pub)
        self.answer(due=60_000)
        again = self.endpoint.connections[-1]
        self.assertIsNot(again, self.sub)
        self.assertEqual(again.sent(), SUBSCRIBE)
        again.answer(*CONFIRMED)
        self.answer()
        self.keeper.leave()
        self.nothing_left()

    def test_publisher_lost_while_it_looks(self) -> None:
        """A pending look is cancelled with the connection, and not repeated."""
        lose(self.pub)
        self.assertEqual(self.cancelled, [self.looks.pop()])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.keeper.leave()
        self.nothing_left()

    def test_closed(self) -> None:
        """After the publisher is closed, the timekeeper leaves nothing scheduled."""
        self.answer(due=2_000)
        closed = self.pub.close()
        lose(self.sub.protocol)
        lose(self.pub)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.keeper.leave()
        self.nothing_left()


class OutageTests(PatienceTestCase):
    """Timekeepers in the waiting room of a service."""

    def wait_for_job(self) -> tuple[Deferred[Any], Connection, Connection]:
        """Wait for a job until BLMOVE is sent; the next job is due in a minute."""
        get = self.job.get()
        self.main.sent()
        self.main.answer([b"5.5", 0])
        sub, waiting = self.endpoint.connections[-2:]
        self.main.answer([0, b"60000", b"0", None])
        self.assertEqual(sub.sent(), SUBSCRIBE)
        sub.answer(*CONFIRMED)
        waiting.answer(77, 0)
        self.main.answer([0, b"60000", b"0", None])
        self.assertEqual(self.main.sent(), [DUE, DUE])
        return get, sub, waiting

    def test_resumed(self) -> None:
        """The timekeeper does nothing during the outage, and looks at once after it."""
        get, sub, waiting = self.wait_for_job()
        self.down()
        sub.answer(notice(b"a", b"2000"))
        self.pass_time(10)
        self.assertFalse(sub.transport.disconnected)
        self.up()
        self.assertEqual(self.main.sent(), [DUE, UNBLOCK])
        self.assertEqual(sub.sent(), [[b"PING"]])
        self.main.answer([0, b"3000", b"0", None])
        self.clock.advance(3 + MARGIN)
        self.assertEqual(self.main.sent(), [DUE])
        self.main.answer(1)
        waiting.answer(None)
        self.leave(get)

    def test_looking(self) -> None:
        """A look that was not answered is repeated on the next connection."""
        get, _, _ = self.wait_for_job()
        self.clock.advance(60 + MARGIN)
        self.assertIn(DUE, self.main.sent())
        self.down()
        self.pass_time(100)
        self.up()
        self.assertEqual(self.main.sent()[0], DUE)
        self.leave(get)

    def test_all_lost(self) -> None:
        """If the subscriber is lost, too, the timekeeper subscribes again after the outage."""
        get, sub, _ = self.wait_for_job()
        self.down()
        lose(sub.protocol)
        self.endpoint.error = OSError("connection refused")
        self.pass_time(100)
        self.endpoint.error = None
        self.up()
        self.assertEqual(self.main.sent()[0], DUE)
        again = self.endpoint.connections[-1]
        self.assertIsNot(again, sub)
        self.assertEqual(again.sent(), [*SUBSCRIBE, [b"PING"]])
        self.main.answer([0, b"60000", b"0", None])
        again.answer(*CONFIRMED)
        self.assertIn(DUE, self.main.sent())
        self.leave(get)

    def test_cancelled_during_the_outage(self) -> None:
        """A get that is cancelled during the outage leaves no timekeeper."""
        get, sub, waiting = self.wait_for_job()
        self.down()
        self.leave(get)
        lose(waiting.protocol)
        self.nothing_left()
        self.assertEqual(
            (self.room.outages.returning, self.room.subscriber.listening), ({}, set())
        )
        self.up()
        self.assertEqual(self.main.sent(), [])
        self.assertEqual(sub.sent(), UNSUBSCRIBE)

    def test_dropped(self) -> None:
        """A dropped room leaves no timekeeper, whatever was pending."""
        get, _, waiting = self.wait_for_job()
        waiting.answer(b"a")
        self.down()
        self.room.drop(GONE)
        self.failureResultOf(get, ConnectionLost)
        self.nothing_left()
        self.assertEqual(
            (self.room.outages.returning, self.room.subscriber.listening), ({}, set())
        )

    def test_silent(self) -> None:
        """A subscriber that does not answer a PING is replaced."""
        get, sub, waiting = self.wait_for_job()
        self.clock.advance(HEALTH)
        self.assertEqual(sub.sent(), [[b"PING"]])
        self.main.answer(1)
        waiting.answer(None)
        self.main.answer([b"5.5", 0])
        self.pass_time(REPLY)
        self.assertTrue(sub.transport.disconnected)
        lose(sub.protocol)
        self.clock.advance(0.1)
        again = self.endpoint.connections[-1]
        self.assertEqual(again.sent(), SUBSCRIBE)
        self.leave(get)

    def test_closed(self) -> None:
        """A service that stops leaves no timekeeper."""
        get, sub, waiting = self.wait_for_job()
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        lose(sub.protocol)
        lose(waiting.protocol)
        self.assertIsNone(self.successResultOf(closing))
        self.nothing_left()
        self.assertEqual(
            (self.room.outages.returning, self.room.subscriber.listening), ({}, set())
        )
