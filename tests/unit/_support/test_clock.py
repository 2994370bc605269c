"""The reactor's clock is kept steady, and other clocks are left alone."""

from __future__ import annotations

import time

from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock
from twisted.python import runtime
from twisted.trial.unittest import SynchronousTestCase

from txthoonk._support._clock import keep_steady


class Reactor(ReactorBase):
    def installWaker(self) -> None:
        pass


class SteadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.passed = 100.0
        self.patch(time, "clock_gettime", lambda _: self.passed)

    def test_goes_on(self) -> None:
        """A steady clock starts with the time of day, and counts the seconds that pass."""
        reactor = Reactor()
        begin = time.time()
        keep_steady(reactor)
        self.assertTrue(begin <= reactor.seconds() <= time.time())
        before = reactor.seconds()
        self.passed += 7.5
        self.assertAlmostEqual(reactor.seconds() - before, 7.5, 3)

    def test_timers(self) -> None:
        """A timer of one second fires after one second."""
        reactor = Reactor()
        done: list[int] = []
        keep_steady(reactor)
        reactor.callLater(1, done.append, 1)
        reactor.runUntilCurrent()
        self.assertEqual(done, [])
        self.passed += 1.001
        reactor.runUntilCurrent()
        self.assertEqual(done, [1])

    def test_once(self) -> None:
        """A reactor that already has a steady clock keeps it."""
        reactor = Reactor()
        keep_steady(reactor)
        kept = reactor.seconds
        keep_steady(reactor)
        self.assertIs(reactor.seconds, kept)

    def test_others(self) -> None:
        """A fake clock, and a reactor with its own time, are left alone."""

        class Other(Reactor):
            seconds = staticmethod(lambda: 5.0)

        for one in (Clock(), Other(), None):
            keep_steady(one)
        self.assertEqual(Other().seconds(), 5.0)
        self.assertEqual(vars(ReactorBase)["seconds"].__func__, runtime.seconds)
