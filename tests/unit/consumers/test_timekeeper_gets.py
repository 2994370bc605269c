"""A get that waits for a job keeps a timekeeper."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.keepers import (
    BLMOVE,
    CONFIRMED,
    DUE,
    NOTHING_DUE,
    SUBSCRIBE,
    UNBLOCK,
    UNSUBSCRIBE,
    notice,
)
from tests.support.patience import Slow
from tests.support.wire import NUMBER, SCRIPTS, Connection, lose
from txthoonk.client import ThoonkPub
from txthoonk.consumers._deadlines import LEAST_WAIT, MARGIN
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis
from txthoonk.types import Job, Queue


class GetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Slow()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.endpoint)
        self.main = Connection(self.pub)
        self.main.know_scripts()
        self.room = self.pub.waiting_room
        self.job = Job(self.pub, "j")

    def wait(self) -> tuple[Deferred[Any], Connection, Connection]:
        """Wait for a job until BLMOVE is sent and the channels are confirmed."""
        get = self.job.get()
        self.main.sent()
        self.main.answer([b"5.5", 0])
        sub, waiting = self.endpoint.connections
        self.assertEqual(self.main.sent(), [DUE])
        self.assertEqual(sub.sent(), SUBSCRIBE)
        sub.answer(*CONFIRMED)
        waiting.answer(77, 0)
        self.assertEqual(waiting.sent(), [*NUMBER, BLMOVE])
        self.main.answer(NOTHING_DUE)
        self.clock.advance(LEAST_WAIT)
        self.assertEqual(self.main.sent(), [DUE])
        self.main.answer(NOTHING_DUE)
        return get, sub, waiting

    def nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            (self.room.outages.returning, self.room.subscriber.listening), ({}, set())
        )

    def test_notice(self) -> None:
        """A waiting get puts delayed jobs into the line when they are due, and claims them."""
        get, sub, waiting = self.wait()
        sub.answer(notice(b"a", b"2000"))
        self.clock.advance(2 + MARGIN)
        self.assertEqual(self.main.sent(), [DUE])
        self.main.answer([1, None, b"0", None])
        waiting.answer(b"a")
        (asked,) = self.main.sent()
        self.assertEqual((asked[0], asked[-2:]), (b"job/get", [b"1", b"a"]))
        self.main.answer([b"6.5", 0, b"a", b"A", 0])
        self.assertEqual(self.successResultOf(get), ("a", "A", 0))
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left()

    def test_claims(self) -> None:
        """A waiting get ends claims that are too old."""
        _, sub, _ = self.wait()
        sub.answer(notice(b"a", b"0"))
        self.clock.advance(LEAST_WAIT)
        self.main.sent()
        self.main.answer([0, None, b"60000", b"60000"])
        (expired,) = self.main.sent()
        self.assertEqual(expired[0], b"job/expire_claims")
        self.main.answer([1, 1, 0, 0, None])
        self.clock.advance(LEAST_WAIT)
        self.assertEqual(self.main.sent(), [DUE])

    def test_cancelled(self) -> None:
        """A cancelled get leaves nothing once its BLMOVE has ended."""
        get, sub, waiting = self.wait()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left()

    def test_gets_of_one_feed(self) -> None:
        """The timekeeper stays while any object of the feed has a waiting get."""
        first, sub, waiting = self.wait()
        second = Job(self.pub, "j").get()
        waiting.answer(b"a")
        self.main.answer([b"6.5", 0, b"a", b"A", 0])
        self.successResultOf(first)
        self.assertEqual((sub.sent(), len(self.room.outages.returning)), ([], 1))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.main.answer(1)
        waiting.answer(None)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left()

    def test_nothing_to_wait_for(self) -> None:
        """A get that finds a job at once sends only its own call."""
        get = self.job.get()
        self.main.sent()
        self.main.answer([b"5.5", 0, b"a", b"A", 0])
        self.successResultOf(get)
        self.assertEqual((self.main.sent(), self.endpoint.attempts), ([], 0))
        self.nothing_left()

    def test_queue(self) -> None:
        """A get of a queue has no timekeeper."""
        get = Queue(self.pub, "j").get()
        self.main.sent()
        self.main.answer([b"5.5", 0])
        (waiting,) = self.endpoint.connections
        self.assertEqual(waiting.sent(), NUMBER)
        self.assertEqual(self.main.sent(), [])
        self.nothing_left()
        self.assertNoResult(get)

    def test_publisher_lost(self) -> None:
        """A lost publisher connection ends the timekeeper; the next connection has none."""
        get, sub, _ = self.wait()
        lose(self.pub)
        self.failureResultOf(get, ConnectionLost)
        self.assertTrue(sub.transport.disconnected)
        self.nothing_left()
        redis = Redis()
        redis._loaded.update(sha.decode() for sha in SCRIPTS)
        self.pub.set_redis(redis)
        self.main = Connection(self.pub)
        self.assertEqual(self.main.sent(), [])

    def test_waiting_connection_lost(self) -> None:
        """A get that fails because its waiting connection is lost ends the timekeeper."""
        get, sub, waiting = self.wait()
        lose(waiting.protocol)
        self.failureResultOf(get, ConnectionLost)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left()
