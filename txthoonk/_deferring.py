"""What a caller gave is checked at the call, but told through the Deferred."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail

__all__ = ["deferring"]

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
