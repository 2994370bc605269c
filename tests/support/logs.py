"""Observation of the log by tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

__all__ = ["observe_log"]


def observe_log(test: SynchronousTestCase, observer: Callable[[dict[str, Any]], object]) -> None:
    """Call *observer* with each logged event until the test ends."""
    added = cast(ILogObserver, observer)
    globalLogPublisher.addObserver(added)
    test.addCleanup(globalLogPublisher.removeObserver, added)
