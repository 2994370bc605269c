"""``thoonk top`` while it runs: its timing, lost connections, and keys."""

from __future__ import annotations

import io
import os
import sys

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli.top._live import Readings, read_on
from txthoonk.cli.top._terminal import Keys, read_keys
from txthoonk.cli.top._view import as_lines
from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import NotSent


class Looks:
    """A view whose reads take as long as the test decides."""

    def __init__(self) -> None:
        self.under_way: list[Deferred[None]] = []

    def try_to_read(self) -> Deferred[None]:
        self.under_way.append(Deferred())
        return self.under_way[-1]

    def is_late(self, seconds: float) -> bool:
        return seconds > 100


class LookOnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.looks = Clock(), Looks()
        self.shown: list[float] = []
        looking = read_on(
            self.clock,
            self.looks,  # type: ignore[arg-type]
            2.0,
            lambda: self.shown.append(self.clock.seconds()),
        )
        self.looking = Deferred.fromCoroutine(looking)

    def test_interval(self) -> None:
        """Reads begin once per interval, regardless of how long the last one took."""
        for begin in (0.0, 2.0, 4.0):
            self.looks.under_way.pop().callback(None)
            self.assertEqual(self.shown[-1], begin)
            self.clock.advance(1.9)
            self.assertEqual(self.looks.under_way, [])
            self.clock.advance(0.1)
            self.assertEqual(len(self.looks.under_way), 1)

    def test_slow(self) -> None:
        """A pause as long as the read follows a slow read."""
        self.clock.advance(5.0)
        self.looks.under_way.pop().callback(None)
        self.clock.advance(4.9)
        self.assertEqual(self.looks.under_way, [])
        self.clock.advance(0.1)
        self.assertEqual((len(self.looks.under_way), self.shown), (1, [5.0]))

    def test_silent(self) -> None:
        """While the server is silent, the state is shown each second, with the problem."""
        self.clock.pump([1.0] * 103)
        self.assertEqual(self.shown, [101.0, 102.0, 103.0])
        self.looks.under_way.pop().callback(None)
        self.assertEqual(len(self.shown), 4)

    def tearDown(self) -> None:
        self.looking.addErrback(lambda _: None).cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Nobody:
    """A publisher that has no connection."""

    @property
    def redis(self) -> Nobody:
        return self

    def request(self, *_: object) -> Deferred[set[str]]:
        raise NotSent("nobody\nis there")


class ProblemTests(SynchronousTestCase):
    def test_no_connection(self) -> None:
        """A read that fails is shown as a problem, and the JSON output skips it."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        readings = Readings(Nobody(), parse_url("redis://there"), [])  # type: ignore[arg-type]
        self.successResultOf(Deferred.fromCoroutine(readings.try_to_read()))
        self.assertEqual(
            as_lines(readings.view((80, 24)), 80)[2], r"nobody\nis there; trying again"
        )
        readings.print_json()
        self.assertEqual(out.getvalue(), "")
        self.assertEqual(err.getvalue(), "thoonk: nobody\nis there; trying again\n")

    def test_silent(self) -> None:
        """A server that does not answer is a problem after two seconds, unless it is only slow."""
        readings = Readings(Silent(), parse_url("redis://there"), [])  # type: ignore[arg-type]
        reading = Deferred.fromCoroutine(readings.try_to_read())
        late = [readings.is_late(seconds) for seconds in (1.0, 2.0, 3.0)]
        self.assertEqual(late, [False, True, True])
        self.assertEqual(as_lines(readings.view((80, 24)), 80)[2], "no answer for 3 s")
        reading.addErrback(lambda _: None).cancel()
        readings.looked(1)
        self.assertEqual([readings.is_late(4.0), readings.is_late(5.0)], [False, True])


class Silent(Nobody):
    """A publisher whose server does not answer."""

    def request(self, *_: object) -> Deferred[set[str]]:
        return Deferred()


class KeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ends = 0
        descriptor, self.writes = os.pipe()
        self.addCleanup(os.close, descriptor)
        self.keys = Keys(descriptor, self.end)

    def end(self) -> None:
        self.ends += 1

    def test_keys(self) -> None:
        """q and Ctrl-D end ``top``; other keys do not, and the reactor keeps reading."""
        for typed, ends in ((b"abc", 0), (b"q", 1), (b"\x04", 2), (b"Q", 2)):
            os.write(self.writes, typed)
            self.assertIsNone(self.keys.doRead())
            self.assertEqual(self.ends, ends, typed)
        os.close(self.writes)

    def test_end_of_input(self) -> None:
        """A terminal that is closed ends ``top``."""
        os.close(self.writes)
        reason = self.keys.doRead()
        self.assertIsInstance(reason, ConnectionDone)
        self.keys.connectionLost(reason)
        unreadable = Keys(os.open(os.devnull, os.O_WRONLY), self.end)
        self.addCleanup(os.close, unreadable.fileno())
        self.assertIsInstance(unreadable.doRead(), ConnectionDone)
        self.assertEqual((self.ends, unreadable.logPrefix()), (2, "keys"))

    def test_no_terminal(self) -> None:
        """Standard input that is not a terminal is not read."""
        os.close(self.writes)
        self.patch(sys, "stdin", io.StringIO("q"))
        with read_keys(None, self.end):
            self.assertEqual(sys.stdin.read(), "q")
        self.assertEqual(self.ends, 0)
