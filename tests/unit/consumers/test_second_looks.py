"""Looks at jobs that calls wait for: when, how many at once, and what follows."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.consumers.results._second_looks import LAST, SecondLooks
from txthoonk.errors import ConnectionLost

Found = tuple[list[str], list[str]]


class LookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Clock()
        self.up = True
        self.waits: dict[str, float] = {"a": 0.0}
        self.asked: list[tuple[float, list[str]]] = []
        self.answers: list[Deferred[Found]] = []
        self.told: list[tuple[str, str]] = []
        self.looks = SecondLooks(
            self,  # type: ignore[arg-type]
            self.look,
            lambda: self.waits.items(),
            lambda id_: self.told.append(("gone", id_)),
            lambda id_: self.told.append(("stalled", id_)),
        )
        self.looks.begin()

    def look(self, ids: list[str]) -> Deferred[Found]:
        self.asked.append((self.reactor.seconds(), ids))
        self.answers.append(Deferred())
        return self.answers[-1]

    def answer(self, gone: tuple[str, ...] = (), stalled: tuple[str, ...] = ()) -> None:
        self.answers.pop(0).callback((list(gone), list(stalled)))

    def times(self, until: float) -> list[float]:
        """Let time pass; return when there were looks, each of which finds nothing."""
        while self.reactor.seconds() < until:
            self.reactor.advance(0.5)
            while self.answers:
                self.answer()
        times = [time for time, _ in self.asked]
        self.asked.clear()
        return times

    def test_times(self) -> None:
        """A wait is looked at often while it is new, and every 30 seconds later."""
        self.assertEqual(self.times(130), [1, 2, 4, 8, 16, 32, 62, 92, 122])

    def test_new(self) -> None:
        """A new wait is looked at soon, although another one is old."""
        self.times(40)
        self.waits["b"] = 40
        self.looks.begin()
        self.assertEqual(self.times(LAST + 32)[:3], [41, 42, 44])

    def test_shared(self) -> None:
        """One call looks at all jobs that are due, at most 500, and at most one a second."""
        self.waits = {str(number): number / 1500 for number in range(700)}
        self.reactor.advance(1)
        self.answer()
        self.reactor.advance(0.5)
        self.reactor.advance(0.5)
        self.assertEqual([time for time, _ in self.asked], [1, 2])
        self.assertEqual(len(self.asked[1][1]), 500)
        self.answer()
        self.assertEqual(len(self.asked[2][1]), 200)

    def test_found(self) -> None:
        """Jobs that are gone or stalled are reported."""
        self.reactor.advance(1)
        self.answer(("a",), ("b",))
        self.assertEqual(self.told, [("gone", "a"), ("stalled", "b")])

    def test_pending(self) -> None:
        """There is one call at a time."""
        for _ in range(10):
            self.reactor.advance(1)
        self.assertEqual(len(self.asked), 1)
        self.answer()
        self.assertEqual(self.times(20)[1:], [16])

    def test_refused(self) -> None:
        """A call that fails is repeated with the next look."""
        self.reactor.advance(1)
        self.answers.pop(0).errback(ConnectionLost("no"))
        self.assertEqual(self.times(5)[1:], [2, 4])

    def test_down(self) -> None:
        """Without a connection there are no looks."""
        self.up = False
        self.assertEqual(self.times(10), [])
        self.up = True
        self.assertEqual(self.times(17), [16])

    def test_stopped(self) -> None:
        """Nothing is left in the reactor."""
        self.reactor.advance(1)
        self.looks.stop()
        self.looks.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
