"""Reading in slices while the data changes: every entry that stays is read, and it ends."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.protocol.bounds._slices import (
    BIG,
    DETOURS,
    IDS,
    MOST_SCANNED,
    OVERLAP,
    SCORED,
    read_ids,
    read_scored,
    read_set,
    scan,
)


class ReadIdsTests(SynchronousTestCase):
    """The ids of a list that changes after each slice."""

    def setUp(self) -> None:
        self.order = [str(number) for number in range(3 * IDS)]
        self.changes: list[Callable[[], object]] = []
        self.most = self.slices = 0
        self.at_once = False

    def read(self, first: int, last: int) -> Deferred[list[str]]:
        some = self.order[first:] if last == -1 else self.order[first : last + 1]
        self.at_once = self.at_once or last == -1
        self.slices += 1
        self.most = max(self.most, len(some))
        if self.changes:
            self.changes.pop(0)()
        return succeed(some)

    def ids(self) -> list[str]:
        return self.successResultOf(Deferred.fromCoroutine(read_ids(self.read)))

    def test_quiet(self) -> None:
        """A list that does not change is read in order, whatever the size of its last slice."""
        for length in (0, 1, IDS - 1, IDS, IDS + 1, 2 * IDS - OVERLAP, 2 * IDS, 3 * IDS):
            self.order = [str(number) for number in range(length)]
            self.assertEqual(self.ids(), self.order)
        self.assertEqual((self.most, self.at_once), (IDS, False))

    def test_oldest_go(self) -> None:
        """After removals at the front, later ids are still read, however many are gone."""
        for gone in (1, OVERLAP, OVERLAP + 1, IDS, 2 * IDS):
            self.setUp()
            all_ids = list(self.order)

            def drop(gone: int = gone) -> None:
                del self.order[:gone]

            self.changes = [drop]
            self.assertEqual(self.ids(), all_ids if gone <= IDS else all_ids[:IDS] + self.order)
            self.assertEqual(self.most, IDS)

    def test_new_ones_come_first(self) -> None:
        """Ids that new ones push back are read once, in order."""
        all_ids = list(self.order)
        self.changes = [lambda: self.order.insert(0, "new")] * 3
        self.assertEqual(self.ids(), all_ids)

    def test_moved_to_the_end(self) -> None:
        """An id that moves to the end meanwhile is read once, at the end."""
        self.changes = [lambda: self.order.append(self.order.pop(7))]
        ids = self.ids()
        self.assertEqual((ids[-1], ids.count("7"), len(ids)), ("7", 1, 3 * IDS))

    def test_too_fast(self) -> None:
        """If new ids push the list back faster than it is read, all of it is read at once."""

        def push() -> None:
            self.order[:0] = [f"{self.slices} {number}" for number in range(IDS)]

        self.changes = [push] * (2 * DETOURS)
        self.assertEqual(self.ids()[-1], str(3 * IDS - 1))
        self.assertTrue(self.at_once)
        self.assertLessEqual(self.slices, 2 * DETOURS + 1)


class ReadScoredTests(SynchronousTestCase):
    """The ids of a sorted set, whose first members are removed while it is read."""

    def check(self, pairs: list[tuple[str, str]], drop: int = 0) -> int:
        """Read all ids, check them, and return the number of slices."""
        left, slices = list(pairs), 0

        def read(score: str, skipped: int) -> Deferred[list[str]]:
            nonlocal slices
            slices += 1
            some = [pair for pair in left if float(pair[1]) >= float(score)]
            some = some[skipped : skipped + SCORED]
            del left[:drop]
            return succeed([word for pair in some for word in pair])

        ids = self.successResultOf(Deferred.fromCoroutine(read_scored(read)))
        kept = set(left)
        self.assertEqual(len(ids), len(set(ids)))
        stayed = [id_ for id_, score in pairs if (id_, score) in kept]
        there = set(stayed)
        self.assertEqual([id_ for id_ in ids if id_ in there], stayed)
        return slices

    def pairs(self, many: int, ties: int = 1) -> list[tuple[str, str]]:
        return [(str(number), str(number // ties)) for number in range(many)]

    def test_quiet(self) -> None:
        """A set that does not change is read in order, whatever the size of its last slice."""
        for many in (0, 1, SCORED - 1, SCORED, SCORED + 1, 2 * SCORED - 1, 2 * SCORED):
            self.check(self.pairs(many))

    def test_many_go(self) -> None:
        """However many ids are removed between two slices, the others are read once each."""
        self.assertLess(self.check(self.pairs(8 * SCORED), drop=SCORED), 10)

    def test_ties(self) -> None:
        """The members with one score may fill more than a slice."""
        for ties in (2, SCORED, SCORED + 1, 3 * SCORED):
            self.check(self.pairs(4 * SCORED, ties))


class ScanTests(SynchronousTestCase):
    def counts(self, *sizes: int) -> list[int]:
        """Return the number of fields that each step reads, if they have so many bytes."""
        counts: list[int] = []

        async def step(cursor: str, count: int) -> tuple[str, int]:
            self.assertEqual(cursor, str(len(counts)))
            counts.append(count)
            at = len(counts)
            return str(at) if at < len(sizes) else "0", sizes[at - 1]

        self.successResultOf(Deferred.fromCoroutine(scan(step)))
        return counts

    def test_small(self) -> None:
        """Each step reads more fields while the values are small, up to MOST_SCANNED."""
        self.assertEqual(self.counts(*[1] * 7), [20, 40, 80, 160, 320, MOST_SCANNED, MOST_SCANNED])

    def test_big(self) -> None:
        """Each step reads fewer fields while the values are big, down to one."""
        self.assertEqual(self.counts(*[2 * BIG] * 4, 1, 1), [20, 5, 1, 1, 1, 2])

    def test_set(self) -> None:
        """A set is read in slices, a small one in one call; each member is listed once."""
        self.assertEqual(self.members(["0", ["a", "b"]]), ["a", "b"])
        self.assertEqual(self.sent, [("SSCAN", "s", "0", "COUNT", MOST_SCANNED)])
        self.assertEqual(self.members(["5", ["a", "b"]], ["0", ["b", "c"]]), ["a", "b", "c"])
        self.assertEqual([command[2] for command in self.sent], ["0", "5"])

    def members(self, *replies: list[Any]) -> list[str]:
        """Read a set with these replies."""
        self.sent: list[tuple[Any, ...]] = []
        left = list(replies)

        def request(command: tuple[Any, ...], encoding: Any) -> Deferred[Any]:
            self.sent.append(command)
            return succeed(left.pop(0))

        redis: Any = SimpleNamespace(request=request)
        return self.successResultOf(Deferred.fromCoroutine(read_set(redis, "s")))
