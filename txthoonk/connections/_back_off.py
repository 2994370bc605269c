"""The back-off: how long to wait before the next attempt, and how loudly to log a failure."""

from __future__ import annotations

import random
from typing import Any

from twisted.logger import LogLevel

__all__ = ["FIRST_DELAY", "LAST_DELAY", "back_off", "level_of"]

FIRST_DELAY = 0.1  # seconds, at most
LAST_DELAY = 30.0  # seconds, at most

_DOUBLINGS = 30  # 2.0 ** attempt overflows for an outage of days


def back_off(attempt: int, first: float = FIRST_DELAY, last: float = LAST_DELAY) -> float:
    """Return the seconds to wait before the next attempt: doubling, half of it random.

    The random half spreads the clients of one server, so that they do not all reconnect at once.

    :param attempt: how many attempts failed in a row, from 1.
    :param first: the longest first delay, in seconds.
    :param last: the longest delay, in seconds.
    """
    longest = min(last, first * 2.0 ** min(attempt - 1, _DOUBLINGS))
    return longest * random.uniform(0.5, 1)


def level_of(failures: int) -> Any:
    """Return the level to log a failure at.

    A failure may repeat for days, so only the 1st, 2nd, 4th, 8th ... is a warning.

    :param failures: how many there were in a row, from 1.
    """
    repeated = failures & (failures - 1)
    return LogLevel.debug if repeated else LogLevel.warn
