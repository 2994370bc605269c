"""Deferreds: what functions of users begin or raise, and one that several wait for.

A function of the user may raise anything: SystemExit and KeyboardInterrupt are treated like
any other failure, as Twisted does with its callbacks.  One that is called for an event is
logged, and stops nothing; one that is called for a call of the user fails that call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutine
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txthoonk._support._threads import check_thread
from txthoonk.errors import WrongThread

__all__ = ["also", "begun", "deferring", "passing"]

P = ParamSpec("P")
T = TypeVar("T")


def passing(function: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
    """Make a function that fails its Deferred where the given one would raise.

    For the calls that are made most often, and whose reply is what they fire.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            return function(*args, **kwargs)
        except WrongThread:
            raise
        except BaseException:  # serializers and iterables of others raise anything
            return fail()

    return call


def deferring(function: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
    """Make a function that fails its Deferred where the given one would raise.

    :raises WrongThread: in a thread other than the reactor's.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        check_thread()
        try:
            return function(*args, **kwargs)
        except BaseException:  # serializers of others raise anything
            return fail()

    return call


def begun(result: Any) -> Deferred[Any] | None:
    """Give the Deferred of what a user's function has begun; None if it is done."""
    if iscoroutine(result):
        return Deferred.fromCoroutine(result)
    return result if isinstance(result, Deferred) else None


def also(first: Deferred[None]) -> Deferred[None]:
    """Wait for a Deferred that others wait for too."""
    told: Deferred[None] = Deferred(lambda _: None)

    def tell(result: Failure | None) -> Failure | None:
        if not told.called:
            told.callback(None)
        return result

    first.addBoth(tell)
    return told
