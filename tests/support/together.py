"""Helpers for the integration tests of batches."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList


def each(calls: list[Deferred[Any]]) -> Deferred[list[Any]]:
    """Fire the results of all calls, with errors as results."""
    every = DeferredList(calls, consumeErrors=True)
    return every.addCallback(lambda all_: [r if done else r.value for done, r in all_])
