"""The log has one line for what happens to the connections of a service."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.connections._reports import Reports

URL = "redis://h"
ATTEMPT = "attempt {} to connect to redis://h failed: refused (the next in 0.5 s)"


class ReportsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reports = Reports(URL, connections=2)

    def lines(self, *calls: tuple[Any, ...]) -> list[str]:
        """Report what happens; return what the log has, debug messages excluded."""
        with capturedLogs() as logged:
            for name, *arguments in calls:
                getattr(self.reports, name)(*arguments)
        return [formatEvent(event) for event in logged if event["log_level"] > LogLevel.debug]

    def test_connected(self) -> None:
        """Connections are reported once all are up."""
        self.assertEqual(self.lines(("connected", "a")), [])
        self.assertEqual(self.lines(("connected", "b")), ["connected to redis://h"])
        self.lines(("stopped", "b"))
        self.assertEqual(self.lines(("connected", "b")), ["connected to redis://h"])

    def test_lost(self) -> None:
        """A loss is reported once, and again after all connections were up."""
        self.lines(("connected", "a"), ("connected", "b"))
        for _ in range(2):
            self.assertEqual(self.lines(("lost", "gone"), ("lost", "gone")), ["gone"])
            self.lines(("stopped", "a"), ("stopped", "b"))
            self.lines(("connected", "a"), ("connected", "b"))
        self.assertEqual(self.lines(("lost", "gone"), ("lost", "silent")), ["gone", "silent"])

    def test_failed(self) -> None:
        """Each attempt is reported once, with its reason."""
        for number in (1, 2):
            failed = ("failed", number, "refused", 0.5, True)
            self.assertEqual(self.lines(failed, failed), [ATTEMPT.format(number)])
        other = ("failed", 2, "silent", 0.5, True)
        self.assertEqual(self.lines(other), [ATTEMPT.format(2).replace("refused", "silent")])
