"""A limit for log lines that data causes: so many per minute, and a count of the others."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txthoonk._support._rate_limit import LINES, PERIOD, LogLimit


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.lines: list[str] = []
        observer: Any = lambda event: self.lines.append(str(formatEvent(event)))  # noqa: E731
        log = Logger(observer=observer)
        self.limit = LogLimit(log, lambda: self.now)

    def log(self, count: int) -> list[str]:
        """Log *count* errors, and return the lines."""
        self.lines.clear()
        for number in range(count):
            self.limit.error("bad: {number}", number=number)
        return list(self.lines)

    def test_few(self) -> None:
        """A few lines are logged unchanged."""
        self.assertEqual(self.log(2), ["bad: 0", "bad: 1"])

    def test_many(self) -> None:
        """Of many lines some are logged, and the last of them says that others are not."""
        lines = self.log(50_000)
        self.assertEqual(len(lines), LINES)
        self.assertEqual(lines[-2], f"bad: {LINES - 2}")
        self.assertIn("only counted", lines[-1])

    def test_count(self) -> None:
        """The first line of the next period gives the number of lines that were not logged."""
        self.log(LINES + 1234)
        self.now += PERIOD - 1
        self.assertEqual(self.log(1), [])
        self.now += 1
        self.assertEqual(self.log(2), ["bad: 0 (1,235 similar lines were not logged)", "bad: 1"])
        self.now += PERIOD
        self.assertEqual(self.log(1), ["bad: 0"])

    def test_clock_steps_back(self) -> None:
        """A clock that steps back starts a new period."""
        self.log(LINES)
        self.now -= 3600
        self.assertEqual(self.log(1), ["bad: 0"])
