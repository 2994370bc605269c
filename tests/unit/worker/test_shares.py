"""Shares divide pieces among feeds by their weights."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.worker import _fair_share
from txthoonk.worker._fair_share import Shares

MOST = 1000


class ShareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.make(a=1, b=1, c=1)

    def make(self, **weights: float) -> None:
        """Add sharers, by name, that all want pieces."""
        self.shares: Shares[str] = Shares(MOST)
        for name, weight in weights.items():
            self.shares.add(name, weight)
            self.shares.want(name)

    def total(self, count: int, times: int = 1) -> dict[str, int]:
        """Share several times, and return the total of each sharer."""
        total: Counter[str] = Counter()
        for _ in range(times):
            total.update(self.shares.share(count))
        return dict(total)

    def only(self, *names: str) -> None:
        """Let only these sharers want pieces."""
        for name in "abc":
            (self.shares.want if name in names else self.shares.refuse)(name)

    def test_nothing(self) -> None:
        """With no pieces, or no sharer that wants one, nothing is shared."""
        self.assertEqual((self.total(0), self.total(-3)), ({}, {}))
        self.only()
        self.assertEqual(self.total(5), {})

    def test_one(self) -> None:
        """A single sharer gets all pieces, up to its maximum."""
        self.only("a")
        self.assertEqual(self.total(5), {"a": 5})
        self.assertEqual(self.total(MOST + 1), {"a": MOST})

    def test_most(self) -> None:
        """The pieces above one sharer's maximum go to the others."""
        self.make(a=9, b=1)
        self.assertEqual(self.total(MOST + 500), {"a": MOST, "b": 500})
        self.assertEqual(self.total(3 * MOST), {"a": MOST, "b": MOST})

    def test_equal(self) -> None:
        """Equal weights get equal parts, for any number of pieces at a time."""
        for count in (1, 2, 3, 7, 30):
            total = self.total(count, 210 // count)
            self.assertEqual(total, dict.fromkeys("abc", 70), count)

    def test_weights(self) -> None:
        """Each sharer gets its weight's part, for any number of pieces at a time."""
        for weights in ((3, 2, 1), (0.3, 0.2, 0.1), (300, 200, 100)):
            for count in (1, 4, 6, 60):
                self.make(**dict(zip("abc", weights, strict=True)))
                total = self.total(count, 600 // count)
                for name, part in zip("abc", (300, 200, 100), strict=True):
                    self.assertTrue(abs(total[name] - part) <= 6, total)

    def test_none_starves(self) -> None:
        """A sharer with a small weight gets its turn."""
        self.make(a=1, b=0.01)
        self.assertEqual(self.total(1, 1010)["b"], 10)

    def test_longest_ago(self) -> None:
        """Among equals, the sharer that was served longest ago is next."""
        served = [next(iter(self.shares.share(1))) for _ in range(6)]
        self.assertEqual(served, list("abcabc"))

    def test_longest_ago_in_vain(self) -> None:
        """A sharer that gives its piece back does not come first again among equals."""
        served = []
        for _ in range(9):
            ((name, part),) = self.shares.share(1).items()
            served.append(name)
            self.shares.charge(name, -part)
            self.shares.refuse(name)
            self.shares.want(name)
        self.assertEqual(served, list("abcabcabc"))

    def test_nothing_is_saved(self) -> None:
        """A sharer that wanted nothing for a while gets no more than its part later."""
        self.only("a")
        self.total(1, 1000)
        self.only("a", "b")
        self.assertTrue(4 <= self.total(1, 10)["a"] <= 6)

    def test_who_was_alone_owes_nothing(self) -> None:
        """A sharer that was alone for a while gets no less than its part later."""
        self.only("b")
        self.total(100, 1000)
        self.only("a", "b", "c")
        self.assertTrue(4 <= self.total(1, 15)["b"] <= 6)

    def test_paused(self) -> None:
        """A paused sharer gets later what it missed."""
        self.make(a=3, b=1)
        self.shares.pause("a")
        self.assertEqual(self.total(1, 10), {"b": 10})
        self.shares.want("a")
        self.assertEqual(self.total(1, 30), {"a": 30})
        self.assertEqual(self.total(1, 40), {"a": 30, "b": 10})

    def test_paused_for_long(self) -> None:
        """A paused sharer gets no more than its maximum of what it missed."""
        self.make(a=1, b=1)
        self.shares.pause("a")
        self.total(1, 3 * MOST)
        self.shares.want("a")
        self.assertEqual(self.total(1, MOST), {"a": MOST})
        self.assertEqual(self.total(1, 100), {"a": 50, "b": 50})

    def test_refused_after_a_pause(self) -> None:
        """A paused sharer that wanted nothing meanwhile gets nothing of what it missed."""
        self.make(a=1, b=1)
        self.shares.pause("a")
        self.shares.refuse("a")
        self.shares.pause("a")
        self.total(1, 100)
        self.shares.want("a")
        self.assertTrue(4 <= self.total(1, 10)["a"] <= 6)

    def test_charged(self) -> None:
        """Charged pieces count towards a sharer's part; pieces it gives back do not."""
        self.only("a", "b")
        self.shares.charge("a", 4)
        self.assertEqual(self.total(6), {"a": 1, "b": 5})
        self.shares.charge("b", -4)
        self.assertEqual(self.total(6), {"a": 1, "b": 5})

    def test_given_back(self) -> None:
        """A sharer that gives back its pieces gets no more than one piece extra later."""
        self.only("a", "b")
        for _ in range(100):
            for name, part in self.shares.share(1).items():
                if name == "b":
                    self.shares.charge("b", -part)
        self.assertTrue(self.total(1, 10)["b"] <= 6)

    def test_cost(self) -> None:
        """A piece takes a constant number of steps, for any number of sharers."""
        steps: Counter[str] = Counter()
        for name in ("heappush", "heappop"):

            def step(
                *words: object, name: str = name, do: object = getattr(_fair_share, name)
            ) -> object:
                steps[name] += 1
                return do(*words)  # type: ignore[operator]

            self.patch(_fair_share, name, step)
        shares: Shares[int] = Shares(MOST)
        for number in range(10_000):
            shares.add(number, 1)
            shares.want(number)
        steps.clear()
        for _ in range(100):
            shares.share(3)
        self.assertEqual(steps, {"heappush": 300, "heappop": 300})
