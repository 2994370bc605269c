"""A limit for log lines that published data causes, so that a publisher cannot fill the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

__all__ = ["LINES", "PERIOD", "LogLimit"]

LINES = 20  # in one period
PERIOD = 60.0  # seconds


class LogLimit:
    """Logs up to :data:`LINES` lines in a minute, and counts the others.

    The first line after that minute gives the number of lines that were not logged.

    :param clock: returns seconds.
    """

    __slots__ = ("_began", "_clock", "_count", "_log")

    def __init__(self, log: Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._began = clock()
        self._count = 0

    def error(self, text: str, /, **fields: Any) -> None:
        """Log an error, or only count it when the limit is reached."""
        now = self._clock()
        if not 0 <= now - self._began < PERIOD:
            fields["more"] = max(0, self._count - LINES)
            self._began, self._count = now, 0
            text += " ({more:,} similar lines were not logged)" if fields["more"] else ""
        self._count += 1
        if self._count == LINES:
            text += " (similar lines are only counted for the rest of the minute)"
        if self._count <= LINES:
            self._log.error(text, **fields)
