"""Times that callers give."""

from __future__ import annotations

import math

from txthoonk.errors import InvalidInput, InvalidType, shown

__all__ = ["MOST_SECONDS", "check_seconds"]

#: What counts as a time at all; some thirty years.
MOST_SECONDS = 10**9


def check_seconds(seconds: object, what: str) -> float:
    """Give back a number of seconds.

    :param what: whose time it is, for the text of an error.
    :raises InvalidType: if it is no number.
    :raises InvalidInput: if it is negative, no finite number, or too long.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InvalidType(
            f"{what} must be a number of seconds, not {type(seconds).__name__}: {shown(seconds)}"
        )
    if not 0 <= seconds <= MOST_SECONDS or math.isnan(seconds):
        raise InvalidInput(f"{what} must be 0 to {MOST_SECONDS:,} seconds: {shown(seconds)}")
    return seconds
