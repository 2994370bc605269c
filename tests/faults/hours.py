"""A reactor whose time is in a test's hands, while its connections are real."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock, LoopingCall

__all__ = ["Hours"]


class Hours:
    """The reactor, with a clock of its own: what is due at once comes by itself.

    :ivar clock: to be advanced.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds
        self._turning = LoopingCall(self.clock.advance, 0)
        self._turning.clock = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def start(self, seconds: float = 0) -> None:
        """Begin, with so many seconds in each turn of the reactor."""
        self._turning.a = (seconds,)
        self._turning.start(0)

    def stop(self) -> None:
        """End: nothing is left in the reactor."""
        if self._turning.running:
            self._turning.stop()
