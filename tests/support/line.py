"""Helpers for the unit tests of lines."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import NUMBER, Connection, Endpoint
from txthoonk.client import ThoonkPub
from txthoonk.protocol import Redis
from txthoonk.types import Queue


class LineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.endpoint)
        self.main = Connection(self.pub)
        self.queue = Queue(self.pub, "q")
        self.main.know_scripts()

    def asked(self, *counts: int) -> None:
        """Check that the only requests were for items."""
        expected = [[b"queue/get", b"q", b"%d" % count, b""] for count in counts]
        self.assertEqual(self.main.sent(), expected)

    def waiting(self) -> Connection:
        """Bring the line to wait, and return the connection that it waits on."""
        self.main.sent()
        self.main.answer([b"5.5", 0])
        (connection,) = self.endpoint.connections
        if connection.sent() == NUMBER:
            connection.answer(77, 0)
            self.assertEqual(connection.sent(), [BLMOVE])
        return connection


BLMOVE = [b"BLMOVE", b"feed.ids:q", b"feed.transit:q", b"RIGHT", b"LEFT", b"0"]
UNBLOCK = [b"CLIENT", b"UNBLOCK", b"77"]
