"""Logs for programs: one JSON object a line.

Each object has ``time`` (ISO 8601, UTC), ``level``, ``namespace`` and ``message``. An error has a
``traceback``. ``values`` are the parameters of the message that JSON can represent.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.logger import FileLogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure

__all__ = ["format_json", "json_observer"]

# Fields that twisted.python.log adds to an event, besides the message.
_LEGACY = {"format", "isError", "logLevel", "message", "printed", "system", "time", "why"}


def json_observer(file: TextIO) -> FileLogObserver:
    """Make an observer that writes events to a file as JSON."""
    return FileLogObserver(file, format_json)


def format_json(event: LogEvent) -> str:
    """Format an event as a line of JSON."""
    record = {
        "time": _time(event),
        "level": (event.get("log_level") or LogLevel.info).name,
        "namespace": event.get("log_namespace") or "",
        "message": formatEvent(event),
    }
    failure = event.get("log_failure") or event.get("failure")
    if isinstance(failure, Failure):
        record["traceback"] = failure.getTraceback()
    values = {name: value for name, value in event.items() if _belongs(name, value, event)}
    if values:
        record["values"] = values
    return json.dumps(record) + "\n"


def _time(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(event["log_time"], UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _belongs(name: str, value: Any, event: LogEvent) -> bool:
    """Check that a field is a parameter of the message, and that JSON can represent it."""
    if name.startswith("log_") or ("log_text" in event and name in _LEGACY):
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))
