"""Deferreds and coroutines that work in Twisted's coroutines and in asyncio's tasks.

A coroutine hands what it awaits to the code that runs it: Twisted expects a Deferred, an asyncio
task a future. Nothing says which of the two runs it, so an :class:`AwaitableDeferred` is both: it
has the few methods that a task calls on a future.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine as generator_based
from typing import Any, TypeVar

import attr
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

__all__ = ["AwaitableDeferred", "in_task"]

T = TypeVar("T")

_TWISTED = object()  # the default that asyncio never passes

# An event loop keeps weak references only: a task that nothing else refers to would vanish.
_running: set[asyncio.Task[Any]] = set()


@attr.frozen
class _Settled:
    """The future that a task reads when it continues."""

    failure: Failure | None
    aborted: bool

    def result(self) -> None:
        """Raise what the task raises where it awaits."""
        if self.failure is None:
            return
        if self.aborted and self.failure.check(CancelledError):
            raise asyncio.CancelledError
        self.failure.raiseException()


class AwaitableDeferred(Deferred[T]):
    """A Deferred that asyncio's tasks can await, too.

    A task continues as soon as it fires, like a coroutine of Twisted, and not in a later turn of
    the loop: a task that is cancelled in between would lose the result, such as a queue's item.

    Cancelling a task cancels the Deferred that it awaits, and raises
    :class:`asyncio.CancelledError` there.

    :ivar aborted: whether a task has cancelled it.
    """

    aborted = False

    @classmethod
    def fromCoroutine(cls, coro: Coroutine[Any, Any, T]) -> AwaitableDeferred[T]:  # type: ignore[override]
        """Run a coroutine that awaits Deferreds; fires its result."""
        made: Any = super().fromCoroutine(coro)
        made.__class__ = cls  # a second Deferred would be fired later, and cancelled otherwise
        return made  # type: ignore[no-any-return]

    def __await__(self) -> Generator[Any, None, T]:
        return self.__iter__() if _get_running_loop() is None else self._steps()

    def _steps(self) -> Generator[Any, None, T]:
        while not self.called or self.paused:
            # Of the instance, not of the class: asyncio must not take it for one of its futures.
            self._asyncio_future_blocking = True
            yield self
        return (yield from self.__iter__())

    # -- what a task calls -----------------------------------------------------------

    def get_loop(self) -> AbstractEventLoop:
        """Return the loop of the task that awaits it."""
        return asyncio.get_running_loop()

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        """Call *wake* with a future, once it has fired."""
        loop = self.get_loop()

        def settled(result: T | Failure) -> T | None:
            failure = result if isinstance(result, Failure) else None
            future = _Settled(failure, self.aborted)
            # Within cancel(), the code that cancels expects that the task continues later.
            if self.aborted or not _continue(loop, context, wake, future):
                loop.call_soon(wake, future, context=context)
            return None if isinstance(result, Failure) else result

        self.addBoth(settled)

    def cancel(self, msg: object = _TWISTED) -> bool | None:  # type: ignore[override]
        """Cancel it, see :meth:`twisted.internet.defer.Deferred.cancel`.

        :param msg: only a task passes it.
        :return: to a task, whether it need not raise CancelledError itself.
        """
        if msg is _TWISTED:
            return super().cancel()
        if self.called and not self.paused:
            return False
        self.aborted = True
        super().cancel()
        return True


def _continue(
    loop: AbstractEventLoop, context: Context, wake: Callable[[Any], object], future: _Settled
) -> bool:
    """Continue a task now. Return False if that is impossible because another one is running."""
    if asyncio.current_task(loop) is not None:
        return False
    try:
        context.run(wake, future)
    except RuntimeError:  # the context is in use; errors of the task itself do not get here
        return False
    except (SystemExit, KeyboardInterrupt) as error:  # these end the loop
        loop.call_soon(_raise, error)
    return True


def _raise(error: BaseException) -> None:
    raise error


def in_task(coroutine: Coroutine[Any, Any, T], loop: AbstractEventLoop) -> Deferred[T]:
    """Run a coroutine as a task of asyncio; it may also await any Deferred.

    :return: fires what the coroutine returns. Cancelling it cancels the task, and waits for it.
    """
    task = loop.create_task(_outcome(coroutine))
    _running.add(task)
    running: _Running[T] = _Running(task)
    task.add_done_callback(running.ended)
    return running


class _Running(Deferred[T]):
    """Fires the outcome of a task. You can cancel it more than once, like a task."""

    def __init__(self, task: asyncio.Task[T | Failure]) -> None:
        super().__init__()
        self._task = task

    def cancel(self) -> None:
        """Cancel the task, which may take time to end."""
        if not self.called:
            self._task.cancel()
        else:
            super().cancel()

    def ended(self, task: asyncio.Task[T | Failure]) -> None:
        """Fire the outcome."""
        _running.discard(task)
        outcome: Any = Failure(CancelledError()) if task.cancelled() else task.result()
        if isinstance(outcome, Failure) and task.cancelling():
            outcome = (
                Failure(CancelledError()) if outcome.check(asyncio.CancelledError) else outcome
            )
        self.callback(outcome)


async def _outcome(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns, or its Failure: SystemExit must not end the loop."""
    try:
        return await _accepting(coroutine)
    except BaseException:  # noqa: BLE001  (the Deferred fails with it)
        return Failure()


@generator_based
def _accepting(coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a coroutine step by step, so that it may await Deferreds of any class."""
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            awaited = step(value)
        except StopIteration as end:
            return end.value
        try:
            if isinstance(awaited, Deferred) and not isinstance(awaited, AwaitableDeferred):
                yield from _settling(awaited).__await__()
                value = None  # the coroutine reads the Deferred's result itself
            else:
                value = yield awaited
        except BaseException as error:  # noqa: BLE001  (the coroutine gets it)
            step, value = coroutine.throw, error
        else:
            step = coroutine.send


def _settling(deferred: Deferred[Any]) -> AwaitableDeferred[None]:
    """Return a Deferred that fires None, or fails, once another one does."""
    settling: AwaitableDeferred[None] = AwaitableDeferred(lambda _: deferred.cancel())

    def settled(result: Any) -> Any:
        if settling.called:  # it was cancelled before
            failed = isinstance(result, Failure) and not result.check(CancelledError)
            return result if failed else None
        if isinstance(result, Failure):
            settling.errback(result)
            return None
        settling.callback(None)
        return result

    deferred.addBoth(settled)
    return settling
