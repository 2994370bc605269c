"""Helpers for the integration tests of ``together``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList


def each(calls: list[Deferred[Any]]) -> Deferred[list[Any]]:
    """Fire what each call fires, an error in the place of a result."""
    every = DeferredList(calls, consumeErrors=True)
    return every.addCallback(lambda all_: [r if done else r.value for done, r in all_])
