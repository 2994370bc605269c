"""Logs with one JSON object per line."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python import log as legacy_log
from twisted.trial.unittest import SynchronousTestCase

from tests.support.logs import observe_log
from txthoonk.tap._json_log import json_observer

FAILED = {"level", "namespace", "message", "traceback"}


class JsonLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = io.StringIO()
        self.observer = json_observer(self.file)
        self.log = Logger("a.namespace", observer=self.observer)

    def lines(self) -> list[dict[str, Any]]:
        """Return the logged lines, without their times."""
        lines = [json.loads(line) for line in self.file.getvalue().splitlines()]
        for line in lines:
            self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        return lines

    def test_lines(self) -> None:
        """Each event is one line, whatever it contains, with the values that JSON supports."""
        self.log.info("nothing else")
        self.log.warn(
            "{id} of {feed}: {error}",
            id="1\n\udcff",
            feed="x",
            error=ValueError("oh\nno"),
            count=3,
            late=True,
            nothing=None,
            part=0.5,
            far=float("inf"),
            bytes=b"x",
        )
        self.assertEqual(
            self.lines(),
            [
                {"level": "info", "namespace": "a.namespace", "message": "nothing else"},
                {
                    "level": "warn",
                    "namespace": "a.namespace",
                    "message": "1\n\udcff of x: oh\nno",
                    "values": {
                        "id": "1\n\udcff",
                        "feed": "x",
                        "count": 3,
                        "late": True,
                        "nothing": None,
                        "part": 0.5,
                    },
                },
            ],
        )

    def test_time(self) -> None:
        """The time of a line is that of the event, in UTC."""
        self.observer({"log_time": 1.25, "log_level": LogLevel.info, "log_format": "x"})
        self.assertEqual(json.loads(self.file.getvalue())["time"], "1970-01-01T00:00:01.250000Z")

    def test_failure(self) -> None:
        """A logged failure has its traceback."""
        with self.log.failuresHandled("it failed: {what}", what="this"):
            raise ValueError("oh")
        (line,) = self.lines()
        self.assertRegex(
            line.pop("traceback"), r"(?s)^Traceback .*test_json_log.*ValueError.*: oh\n$"
        )
        self.assertEqual(
            line,
            {
                "level": "critical",
                "namespace": "a.namespace",
                "message": "it failed: this",
                "values": {"what": "this"},
            },
        )

    def test_cannot_be_formatted(self) -> None:
        """An event whose text cannot be formatted is still logged."""
        self.log.info("{missing}")
        (line,) = self.lines()
        self.assertRegex(line["message"], "(?i)unable to format")

    def test_old_events(self) -> None:
        """An event of ``twisted.python.log`` is logged as text, with the traceback if any."""
        observe_log(self, self.observer)
        legacy_log.msg("one", "two", kept=1)
        legacy_log.err(ValueError("oh"), "it failed")
        told, failed = self.lines()
        self.assertEqual(
            told,
            {
                "level": "info",
                "namespace": "log_legacy",
                "message": "one two",
                "values": {"kept": 1},
            },
        )
        self.assertEqual((failed["level"], set(failed)), ("critical", FAILED))
        self.assertRegex(failed["message"], "^it failed\n")
        self.assertIn("ValueError: oh", failed["traceback"])
        self.flushLoggedErrors(ValueError)
