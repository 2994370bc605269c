"""A reactor whose time a test controls, while its connections are real."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock, LoopingCall

__all__ = ["Hours"]


class Hours:
    """A reactor with a separate clock; calls without a delay still run by themselves.

    :ivar clock: the clock, which the test advances.
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
        """Start, and advance the clock by *seconds* in each turn of the reactor."""
        self._turning.a = (seconds,)
        self._turning.start(0)

    def stop(self) -> None:
        """Stop, and leave nothing in the reactor."""
        if self._turning.running:
            self._turning.stop()
