"""Who gets how much, by weight."""

from __future__ import annotations

from collections import Counter

import attr
from twisted.trial.unittest import SynchronousTestCase

from txthoonk._shares import share


@attr.define(eq=False)
class Sharer:
    """Somebody who takes part, by name."""

    name: str
    weight: float = 1.0
    turn: float = 0.0


class ShareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.a, self.b, self.c = (Sharer(name) for name in "abc")
        self.all = [self.a, self.b, self.c]

    def shares(self, sharers: list[Sharer], count: int, times: int = 1) -> dict[str, int]:
        """Share some times, and add up who had how much."""
        total: Counter[str] = Counter()
        for _ in range(times):
            for sharer, part in share(sharers, count).items():
                total[sharer.name] += part
        return dict(total)

    def test_nothing(self) -> None:
        """Where there is nothing, or nobody, nothing is shared, and no turn changes."""
        self.assertEqual(share(self.all, 0), {})
        self.assertEqual(share(self.all, -3), {})
        self.assertEqual(share([], 5), {})
        self.assertEqual([one.turn for one in self.all], [0, 0, 0])

    def test_one(self) -> None:
        """Who is alone gets all."""
        self.a.weight = 2.0
        self.assertEqual(share([self.a], 5), {self.a: 5})
        self.assertEqual(self.a.turn, 2.5)

    def test_equal(self) -> None:
        """Equal weights get equal parts, however many pieces at a time."""
        for count in (1, 2, 3, 7, 30):
            self.assertEqual(
                self.shares(self.all, count, 210 // count), dict.fromkeys("abc", 70), count
            )

    def test_weights(self) -> None:
        """Each gets its weight's part, however many pieces at a time."""
        for weights in ((3, 2, 1), (0.3, 0.2, 0.1), (300, 200, 100)):
            for count in (1, 4, 6, 60):
                for one, weight in zip(self.all, weights, strict=True):
                    one.weight, one.turn = weight, 0.0
                total = self.shares(self.all, count, 600 // count)
                for name, part in zip("abc", (300, 200, 100), strict=True):
                    self.assertTrue(abs(total[name] - part) <= 6, total)

    def test_none_starves(self) -> None:
        """However small a weight is, its turn comes."""
        self.b.weight = 0.01
        self.assertEqual(self.shares([self.a, self.b], 1, 1010)["b"], 10)

    def test_every_share(self) -> None:
        """All pieces are shared, and nobody is missing in what is given."""
        found = share(self.all, 2)
        self.assertEqual((sorted(found.values()), len(found)), ([0, 1, 1], 3))

    def test_nothing_is_saved(self) -> None:
        """Who did not take part for a while does not get all of it later."""
        self.shares([self.a], 1, 1000)
        total = self.shares([self.a, self.b], 1, 10)
        self.assertTrue(4 <= total["a"] <= 6, total)

    def test_who_was_alone_owes_nothing(self) -> None:
        """Nor does who was alone for a while get less later."""
        self.shares([self.b], 100, 1000)
        self.assertTrue(4 <= self.shares([self.a, self.b, self.c], 1, 15)["b"] <= 6)

    def test_given_back(self) -> None:
        """Who had no use for its piece, and gave it back, is not further behind than one piece."""
        for _ in range(100):
            for sharer, part in share([self.a, self.b], 1).items():
                if sharer is self.b:
                    sharer.turn -= part / sharer.weight
        self.assertTrue(self.shares([self.a, self.b], 1, 10)["b"] <= 6)
