"""The subscriber connection of a publisher: all listeners share one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.patience import configured
from tests.support.wire import Connection, Endpoint, lose
from txthoonk.client import ThoonkPub
from txthoonk.consumers._channel_listener import Listening
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis

MANY = 500  # several times the depth of nested calls that Python allows


class Gate(Endpoint):
    """An endpoint whose connections wait until the test lets them in."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Any, Deferred[Any]]] = []
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred(self._cancelled)
        self.waiting.append((factory, waiting))
        return waiting

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1

    def let_in(self) -> Connection:
        """Let the first waiting connection in."""
        factory, waiting = self.waiting.pop(0)
        connection = Connection(factory.buildProtocol(None))
        self.connections.append(connection)
        waiting.callback(connection.protocol)
        return connection


class SubscriberTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.gate = Clock(), Gate()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.gate)
        self.main = Connection(self.pub)
        self.room = self.pub.waiting_room


class JoinTests(SubscriberTestCase):
    def test_one_connection(self) -> None:
        """Calls during the attempt to connect get the same connection as later calls."""
        joining = [self.room.subscriber.get() for _ in range(3)]
        self.gate.let_in()
        found = {self.successResultOf(one) for one in (*joining, self.room.subscriber.get())}
        self.assertEqual((len(found), self.gate.waiting), (1, []))

    def test_cancelled(self) -> None:
        """Cancelling one call, even the first, does not affect the others."""
        joining = [self.room.subscriber.get() for _ in range(3)]
        for one in (joining[0], joining[2]):
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertEqual(self.gate.cancelled, 0)
        self.gate.let_in()
        self.successResultOf(joining[1])

    def test_all_cancelled(self) -> None:
        """Cancelling the last call cancels the attempt; the next call makes another."""
        for _ in range(2):
            joining = self.room.subscriber.get()
            joining.cancel()
            self.failureResultOf(joining, CancelledError)
        self.assertEqual(self.gate.cancelled, 2)
        joining = self.room.subscriber.get()
        del self.gate.waiting[:2]
        self.gate.let_in()
        self.successResultOf(joining)

    def test_cancelled_by_another(self) -> None:
        """A call that the callback of an earlier call cancels does not get the connection."""
        first, second = self.room.subscriber.get(), self.room.subscriber.get()
        first.addCallback(lambda _: second.cancel())
        self.gate.let_in()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_refused(self) -> None:
        """If no connection can be made, each call fails with an error of its own."""
        joining = [self.room.subscriber.get() for _ in range(3)]
        self.gate.waiting.pop()[1].errback(OSError("no"))
        reasons = [self.failureResultOf(one, ConnectionLost) for one in joining]
        self.assertEqual(len(set(map(id, reasons))), 3)
        joining = [self.room.subscriber.get()]
        self.gate.let_in()
        self.successResultOf(joining[0])


class ManyTests(SubscriberTestCase):
    """Many feeds are listened to at once, as by a worker on many feeds."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        self.ready = 0
        self.all = [self.make(f"f{number}") for number in range(MANY)]
        for listening in self.all:
            listening.begin()

    def make(self, feed: str) -> Listening:
        channels = {f"feed.delayed:{feed}": lambda *_: None}
        told = (feed, lambda *_: self.told.append(feed))
        return Listening(self.room, feed, channels, self.is_ready, told)

    def is_ready(self) -> None:
        self.ready += 1

    def confirm(self, sub: Connection) -> None:
        """Confirm all requested channels."""
        asked = [word for command in sub.sent() for word in command[1:]]
        self.assertEqual((len(asked), len(set(asked))), (MANY + 2, MANY + 2))
        sub.answer(*[[b"subscribe", channel, 1] for channel in asked])

    def test_all_listen(self) -> None:
        """All listeners are ready once there is a connection, and again on the next one."""
        self.confirm(self.gate.let_in())
        self.assertEqual(self.ready, MANY)
        lose(self.gate.connections[-1].protocol)
        self.clock.advance(60)
        self.confirm(self.gate.let_in())
        self.assertEqual(self.ready, 2 * MANY)

    def test_one_feed(self) -> None:
        """A message about one feed calls only the listener of that feed."""
        sub = self.gate.let_in()
        self.confirm(sub)
        for feed in (b"f7", b"f499", b"other"):
            sub.answer(configured(feed), configured(feed, b"newfeed"))
        self.assertEqual(self.told, ["f7", "f7", "f499", "f499"])

    def test_refused(self) -> None:
        """All listeners try again when no connection could be made."""
        self.gate.waiting.pop()[1].errback(OSError("no"))
        self.clock.advance(60)
        self.confirm(self.gate.let_in())
        self.assertEqual(self.ready, MANY)

    def test_ended(self) -> None:
        """All listeners can end before there is a connection."""
        for listening in self.all:
            listening.end()
        self.assertEqual((self.gate.cancelled, self.room.subscriber.listening), (1, set()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
