"""A feed's overview accepts anything that other programs have stored."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.monitoring._inspector import Held, Overview, WorkerInfo, _overview


class OverviewTests(SynchronousTestCase):
    def parse(self, workers: list[str], held: list[str], since: str | None = None) -> Overview:
        return _overview(["9000", "job", 0, 0, 0, 0, 0, 0, 0, since, workers, held], "x")

    def test_workers(self) -> None:
        """A worker with a malformed record is shown without a name."""
        nothing = WorkerInfo("o", 0.0)
        for stored in ("", "x {}", "1 [", "1 []", "1 " + "[" * 100_000):
            self.assertEqual(self.parse(["o", stored], []).workers, [nothing], stored[:9])
        for stored in (
            '{"pid": 1e999, "concurrency": "many"}',
            '{"pid": -1, "concurrency": true}',
            '{"pid": 1.5, "concurrency": 1000000001}',
        ):
            self.assertEqual(
                self.parse(["o", "1000 " + stored], []).workers, [WorkerInfo("o", 8.0)], stored
            )

    def test_times(self) -> None:
        """A value that is not a time in the past counts as now."""
        for since in ("inf", "-inf", "nan", "9001", "-1e300"):
            self.assertEqual(self.parse([], [], since).oldest, 0.0, since)
            self.assertEqual(self.parse(["o", since + " {}"], []).workers[0].seen, 0.0)
            self.assertEqual(self.parse([], ["1", since, ""]).held, [Held("1", "", 0.0)])
        self.assertEqual(self.parse([], [], "8500").oldest, 0.5)

    def test_held(self) -> None:
        """A claim is as old as its token, unless the job was claimed again since."""
        for entry, expected in (
            ("owner:1000 5000", Held("1", "owner", 8.0)),
            ("own:er:1000 5000", Held("1", "own:er", 8.0)),
            ("owner:1000 4999", Held("1", "", 4.0)),
            ("owner:x 5000", Held("1", "", 4.0)),
            ("nonsense", Held("1", "", 4.0)),
            ("", Held("1", "", 4.0)),
        ):
            self.assertEqual(self.parse([], ["1", "5000", entry]).held, [expected], entry)
