"""The start and the connections of a service, on a fake clock and in memory."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tests.support.connections import PONG, SECRET
from tests.support.service_cases import NO_INFO, ServiceTestCase
from tests.support.wire import OK, resp
from txthoonk.errors import (
    InvalidInput,
    InvalidType,
)
from txthoonk.service import Thoonk
from txthoonk.types import Queue

#: What a feed that does not exist answers.
GREETING = [[b"AUTH", b"me", SECRET.encode()], [b"SELECT", b"2"]]


class MakeTests(ServiceTestCase):
    def test_nothing_is_connected(self) -> None:
        """Creating the object does not connect."""
        thoonk = self.make()
        self.nothing_left()
        self.assertEqual((thoonk.state, self.states), ("stopped", []))

    def test_options(self) -> None:
        """Invalid options are refused at once, with their names."""
        for name, value in (
            ("wait", -1),
            ("wait", float("nan")),
            ("wait", "1"),
            ("health", -1),
            ("reply_timeout", 0),
            ("reply_timeout", -1),
            ("limit", -1),
            ("limit", 1.5),
            ("limit", True),
        ):
            error = self.assertRaises(InvalidInput, self.make, **{name: value})
            self.assertIn(name, str(error))

    def test_urls(self) -> None:
        """Invalid URLs are refused at once, and the error does not show the password."""
        for url in ("", "there", "http://there", f"redis://me:{SECRET}@there:x/0", "unix://"):
            self.assertNotIn(SECRET, str(self.assertRaises(InvalidInput, Thoonk, url, Clock())))
        self.assertRaises(InvalidType, Thoonk, None, Clock())

    def test_shown(self) -> None:
        """The repr shows the place and the state."""
        thoonk = self.come_up(f"redis://me:{SECRET}@there:7/2")
        self.assertEqual(repr(thoonk), "<Thoonk 'redis://***@there:7/2' connected>")
        self.stop()
        self.assertEqual(repr(thoonk), "<Thoonk 'redis://***@there:7/2' stopped>")

    def test_credentials(self) -> None:
        """Every connection sends the user, password and database, however they are given."""
        given = {"username": "me", "password": SECRET, "db": 2}
        for url, words in (
            (f"redis://me:{SECRET}@there/2", {}),
            ("tcp:there:6379", given),
            ("unix:///run/redis.sock", given),
        ):
            thoonk = self.start(url, **words)
            get = Queue(thoonk, "q").get()
            for _ in range(2):
                self.endpoint.accept()
            self.pub, self.sub = self.endpoint.peers
            for peer in (self.pub, self.sub):
                self.assertEqual(peer.sent(), GREETING)
                peer.answer(OK + OK + PONG + NO_INFO)
            self.assertEqual(self.names(self.pub), [b"PING", b"INFO", b"SCRIPT", b"queue/get"])
            self.pub.answer(OK + resp([b"5.5", 0]))
            self.assertEqual(self.endpoint.accept().sent(), GREETING)
            get.cancel()
            self.failureResultOf(get, CancelledError)
            self.stop()
