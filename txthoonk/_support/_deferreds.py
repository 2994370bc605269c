"""Helpers for Deferreds: calling users' functions, and sharing one Deferred.

A user's function may raise anything.  SystemExit and KeyboardInterrupt count as failures, as in
Twisted's callbacks.  If the function handles an event, its failure is logged and stops nothing.
If it runs within a user's call, that call fails.
"""

from __future__ import annotations

from asyncio import _get_running_loop, isfuture
from collections.abc import Callable
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred, in_task
from txthoonk._support._threads import check_thread
from txthoonk.errors import WrongThread

__all__ = ["also", "begun", "deferring", "passing"]

P = ParamSpec("P")
T = TypeVar("T")


def passing(function: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
    """Decorate a function so that it returns a failed Deferred instead of raising.

    Unlike :func:`deferring`, it does not check the thread: the functions that are called most
    often reach a check in the connection anyway.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            return function(*args, **kwargs)
        except WrongThread:
            raise
        except BaseException:  # users' serializers and iterables raise anything
            return fail()

    return call


def deferring(function: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
    """Decorate a function so that it returns a failed Deferred instead of raising.

    :raises WrongThread: when it is called in a thread other than the reactor's.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        check_thread()
        try:
            return function(*args, **kwargs)
        except BaseException:  # users' serializers raise anything
            return fail()

    return call


def begun(result: Any) -> Deferred[Any] | None:
    """Return the Deferred for the result of a user's function; None if the function is done.

    Where asyncio's event loop runs, a coroutine becomes a task, and may await futures, too.
    """
    if isinstance(result, CoroutineType):
        loop = _get_running_loop()
        return Deferred.fromCoroutine(result) if loop is None else in_task(result, loop)
    if result is None or isinstance(result, Deferred):
        return result
    return Deferred.fromFuture(result) if isfuture(result) else None


def also(first: Deferred[None]) -> Deferred[None]:
    """Return a new Deferred that fires with *first*; cancelling it does not cancel *first*."""
    second: Deferred[None] = AwaitableDeferred(lambda _: None)

    def fire(result: Failure | None) -> Failure | None:
        if not second.called:
            second.callback(None)
        return result

    first.addBoth(fire)
    return second
