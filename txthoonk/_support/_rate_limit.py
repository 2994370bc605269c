"""Lines of the log that data causes: anybody who may publish could fill the disk with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

__all__ = ["LINES", "PERIOD", "LogLimit"]

LINES = 20  # in one period
PERIOD = 60.0  # seconds


class LogLimit:
    """Logs so many lines of a kind in a minute; the others are counted.

    The first line of a later period says how many were not logged.

    :param clock: gives seconds.
    """

    __slots__ = ("_began", "_clock", "_count", "_log")

    def __init__(self, log: Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._began = clock()
        self._count = 0

    def error(self, text: str, /, **fields: Any) -> None:
        """Log an error, if there are not too many."""
        now = self._clock()
        if not 0 <= now - self._began < PERIOD:
            fields["more"] = max(0, self._count - LINES)
            self._began, self._count = now, 0
            text += " ({more:,} more like it were not logged)" if fields["more"] else ""
        self._count += 1
        if self._count == LINES:
            text += " (more like it in this minute are only counted)"
        if self._count <= LINES:
            self._log.error(text, **fields)
