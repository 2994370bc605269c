"""Deferreds: bad input told through one, and one that several wait for."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

__all__ = ["also", "deferring"]

P = ParamSpec("P")
T = TypeVar("T")


def deferring(function: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
    """Make a function that fails its Deferred where the given one would raise."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            return function(*args, **kwargs)
        except Exception:
            return fail()

    return call


def also(first: Deferred[None]) -> Deferred[None]:
    """Wait for a Deferred that others wait for too."""
    told: Deferred[None] = Deferred(lambda _: None)

    def tell(result: Failure | None) -> Failure | None:
        if not told.called:
            told.callback(None)
        return result

    first.addBoth(tell)
    return told
