"""A limit on the looks at the history that messages cause.

Any program can publish messages on a feed's channels. A message that does not fit makes a follower
look at the history, so messages must not be able to cause looks without end.
"""

from __future__ import annotations

__all__ = ["LOOKS", "WINDOW", "Restraint"]

LOOKS, WINDOW = 20, 0.1  # this many looks in this many seconds


class Restraint:
    """Counts the looks of one follower, and delays those above the limit."""

    __slots__ = ("_began", "_looks")

    def __init__(self) -> None:
        self._began = 0.0
        self._looks = 0

    def rest(self, now: float) -> float:
        """Count a look, and return how many seconds to wait before it.

        :param now: the time, in seconds.
        """
        if not 0 <= now - self._began < WINDOW:  # a clock may step back
            self._began, self._looks = now, 0
        self._looks += 1
        return 0.0 if self._looks <= LOOKS else self._began + WINDOW - now
