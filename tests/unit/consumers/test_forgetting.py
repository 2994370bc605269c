"""Forgetting results: one call at a time, with pauses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.consumers._outages import Outages
from txthoonk.consumers.results._result_trimming import MOST, PAUSE, Forgetting
from txthoonk.errors import ConnectionLost

FULL = ["id"] * MOST


class ForgettingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.room: Any = SimpleNamespace(reactor=self.clock, outages=Outages(patient=False))
        self.calls: list[tuple[list[str], Deferred[list[str]]]] = []
        self.forgetting = Forgetting(self.room, self.forget)

    def forget(self, ids: list[str]) -> Deferred[list[str]]:
        called: Deferred[list[str]] = Deferred()
        self.calls.append((ids, called))
        return called

    def finish(self, *ids: str) -> int:
        """Send a finish and take its reply; return how many ids it asked for."""
        wanted = self.forgetting.wanted()
        self.forgetting.found(list(ids[:wanted]))
        return wanted

    def reply(self, *ids: str) -> None:
        self.calls[-1][1].callback(list(ids))

    def called(self) -> list[list[str]]:
        return [ids for ids, _ in self.calls]

    def test_at_once(self) -> None:
        """The ids of one finish are forgotten at once, until no more are found."""
        self.assertEqual(self.finish("a"), MOST)
        self.assertEqual(self.called(), [["a"]])
        self.reply("")
        self.reply()
        self.assertEqual(self.called(), [["a"], [""]])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.finish(), MOST)

    def test_one_call(self) -> None:
        """Finishes during a call ask for no ids, and begin no other call."""
        self.finish("a")
        self.assertEqual([self.finish("") for _ in range(5)], [0] * 5)
        self.assertEqual(len(self.calls), 1)

    def test_rest(self) -> None:
        """After finishes during a call, the next call follows a pause and serves them all."""
        self.finish("a")
        self.finish()
        self.reply("")
        self.finish()
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(PAUSE)
        self.assertEqual(self.called(), [["a"], [""]])
        self.finish()
        self.reply()
        self.clock.advance(PAUSE)
        self.assertEqual(self.called(), [["a"], [""], []])
        self.reply()
        self.assertEqual((self.clock.getDelayedCalls(), self.room.outages.resting), ([], set()))

    def test_backlog(self) -> None:
        """While each call finds as many ids as it can take, the next one follows at once."""
        self.finish("a")
        for _ in range(3):
            self.finish()
            self.reply(*FULL)
        self.assertEqual(self.called(), [["a"], FULL, FULL, FULL])

    def test_failure(self) -> None:
        """After a failed call, forgetting continues with the next finish."""
        self.finish("a")
        self.finish()
        self.calls[-1][1].errback(ConnectionLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.finish(""), MOST)
        self.assertEqual(self.called(), [["a"], [""]])

    def test_close(self) -> None:
        """A closed publisher leaves no timer."""
        self.finish("a")
        self.finish()
        self.reply()
        self.assertEqual(self.room.outages.resting, {self.forgetting})
        self.forgetting.rest()
        self.assertEqual((self.clock.getDelayedCalls(), self.room.outages.resting), ([], set()))
        self.assertEqual(self.finish(""), MOST)
