"""Helpers for the tests of waiting across an outage."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import NUMBER, SCRIPTS, Connection, Endpoint, lose
from txthoonk.client import ThoonkPub
from txthoonk.connections._offline_queue import OfflineQueue
from txthoonk.consumers._room import WaitingRoom
from txthoonk.consumers.results import _second_looks
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis
from txthoonk.types import Job, Queue

HEALTH, REPLY = 25.0, 30.0  # seconds
GONE = ConnectionLost("the cable was cut")
UNBLOCK = [b"CLIENT", b"UNBLOCK", b"77"]
BLMOVE = [b"BLMOVE", b"feed.ids:q", b"feed.transit:q", b"RIGHT", b"LEFT", b"0"]
FINISH, FINISHES, STALLED = b"job.finish:j", b"feed.finishes:j", b"feed.stalled:j"
CONFFEED, NEWFEED = b"conffeed", b"newfeed"


def subscribe(*channels: bytes) -> list[list[bytes]]:
    """Return the request that subscribes to channels."""
    return [[b"SUBSCRIBE", *channels]]


def unsubscribe(*channels: bytes) -> list[list[bytes]]:
    """Return the commands that unsubscribe from channels."""
    return [[b"UNSUBSCRIBE", channel] for channel in channels]


def confirm(*channels: bytes) -> list[list[bytes | int]]:
    """Return the first confirmations of channels on a connection."""
    return [[b"subscribe", channel, count] for count, channel in enumerate(channels, 1)]


def configured(feed: bytes, channel: bytes = CONFFEED) -> list[bytes]:
    """Return the message about a feed's new configuration, on one of two channels."""
    return [b"message", channel, feed + b"\0instance"]


class Slow(Endpoint):
    """An endpoint that can be made to never connect."""

    slow = False
    attempts = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        return Deferred() if self.slow else super().connect(factory)


class PatienceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Slow()
        self.offline_queue = OfflineQueue(reactor=self.clock, name="there")
        self.pub = ThoonkPub(self.offline_queue, self.clock, self.endpoint)  # type: ignore[arg-type]
        self.room = self.pub.waiting_room = WaitingRoom(
            self.pub, self.clock, self.endpoint, patient=True, health=HEALTH, reply_timeout=REPLY
        )
        self.queue = Queue(self.pub, "q")
        self.job = Job(self.pub, "j")
        self.up()

    def up(self) -> None:
        """Do what the service does when the publisher gets a connection."""
        redis = Redis()
        self.main = Connection(redis)
        redis._loaded.update(sha.decode() for sha in SCRIPTS)
        self.offline_queue.connected(redis)
        self.room.resume()

    def down(self) -> None:
        """Do what the service does when the publisher's connection is lost."""
        self.offline_queue.disconnected(GONE)
        self.room.lost()
        lose(self.main.protocol)

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.room.close())

    def asked(self, count: int, moved: bytes = b"") -> None:
        """Check that the only request was for items."""
        self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"%d" % count, moved]])

    def waiting(self) -> Connection:
        """Reply that there are no items; return the connection that the line waits on."""
        self.main.sent()
        self.main.answer([b"5.5", 0])
        connection = self.endpoint.connections[-1]
        if connection.sent() == NUMBER:
            connection.answer(77, 0)
            self.assertEqual(connection.sent(), [BLMOVE])
        return connection

    def nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.room.outages.waiting, set())

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def leave(self, *waiting: Deferred[Any]) -> None:
        for each in waiting:
            each.cancel()
            self.failureResultOf(each, CancelledError)


class ResultTestCase(PatienceTestCase):
    def setUp(self) -> None:
        self.patch(_second_looks, "FIRST", 1000.0)  # later than all that these tests do
        super().setUp()

    def looked(self, noted: bytes = b"") -> None:
        """Check that the only request was a look at the job."""
        self.assertEqual(self.main.sent(), [[b"job/result", b"a", b"10000", noted]])

    def active(self, noted: bytes) -> None:
        self.main.answer([b"active", b"item", noted])

    def subscribe(self) -> Connection:
        """Confirm the subscriptions, which are requested in one command."""
        self.allowed()
        return self.confirmed()

    def allowed(self) -> None:
        """Reply to each request to listen to all results that it may."""
        for command in self.main.sent():
            self.assertEqual(command[0], b"job/listen")
            self.main.answer([1])

    def confirmed(self) -> Connection:
        sub = self.endpoint.connections[-1]
        self.assertEqual(sub.sent(), subscribe(FINISH, FINISHES, STALLED))
        sub.answer(*confirm(FINISH, FINISHES, STALLED))
        return sub

    def wait(self, timeout: float = 0) -> tuple[Deferred[Any], Connection]:
        """Start to wait for a result, until a connection is subscribed."""
        result = self.job.get_result("a", timeout)
        return result, self.listen(b"9.5")

    def listen(self, noted: bytes) -> Connection:
        """Reply to the look that the job is active, and confirm the subscriptions after it."""
        self.looked()
        self.active(noted)
        sub = self.subscribe()
        self.looked(noted)
        self.active(noted)
        return sub
