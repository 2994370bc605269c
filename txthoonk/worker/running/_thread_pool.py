"""The threads in which a worker's handlers run, and their calls in the reactor's thread.

A worker has threads of its own.  Twisted resolves host names in the reactor's thread pool: if
blocking handlers filled that pool, no connection would come back, and all claims would expire.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure

from txthoonk._support._threads import in_reactor_thread

__all__ = ["Pool"]

Answer = SimpleQueue[Any]  # gets one result, or a Failure


class Pool:
    """Some threads, until they are stopped.

    A thread cannot be ended.  If it still runs a function after the function was cancelled, or
    after :meth:`stop`, it ends when the function returns; the process does not end before that.

    :ivar busy: the number of threads that run a function, cancelled functions included.
    :ivar lost: the number of threads that run a function that was cancelled.

    :param size: the most threads.
    :param name: the prefix of the names of the threads.
    :param freed: called when a function ends that was cancelled before.
    """

    def __init__(self, reactor: Any, size: int, name: str, freed: Callable[[], object]) -> None:
        self.busy = self.lost = 0
        self._reactor = reactor
        self._freed = freed
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._asking: set[Answer] | None = set()  # None: stopped
        # A thread that waits for the reactor must not wait for one that has ended.
        self._trigger: Any = reactor.addSystemEventTrigger("during", "shutdown", self._shut_down)

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a function in a thread.

        :return: fires what the function returns; fails with any exception that it raises.
        """
        running = self._threads.submit(function, *args)
        self.busy += 1

        def cancel(_: object) -> None:
            if not running.cancel():  # a thread has begun it
                self.lost += 1

        ended: Deferred[Any] = Deferred(cancel)
        running.add_done_callback(
            lambda _: self._reactor.callFromThread(self._ended, running, ended)
        )
        return ended

    def _ended(self, running: Future[Any], ended: Deferred[Any]) -> None:
        self.busy -= 1
        if ended.called:
            if not running.cancelled():
                self.lost -= 1
            if self._asking is not None:
                self._freed()
        elif (error := running.exception()) is not None:
            ended.errback(Failure(error))
        else:
            ended.callback(running.result())

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the reactor's thread, and block this one until it has a result.

        In the reactor's thread itself, which must not block, it is an ordinary call.

        :return: what the function returns, or its Deferred fires.
        :raises CancelledError: if the pool is stopped before.
        """
        if in_reactor_thread():
            return function(*args)
        answer: Answer = SimpleQueue()
        with self._lock:
            if self._asking is None:
                raise _stopped()
            self._asking.add(answer)
        self._reactor.callFromThread(self._call, answer, function, args)
        result = answer.get()
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def _call(self, answer: Answer, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        maybeDeferred(function, *args).addBoth(self._answer, answer)

    def _answer(self, result: Any, answer: Answer) -> None:
        answer.put(result)
        with self._lock:
            if self._asking is not None:
                self._asking.discard(answer)

    def stop(self) -> None:
        """Start no more functions, and let no thread wait for the reactor."""
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            asking, self._asking = self._asking or set(), None
        for answer in asking:
            answer.put(Failure(_stopped()))

    def _shut_down(self) -> None:
        self._trigger = None
        self.stop()


def _stopped() -> CancelledError:
    return CancelledError("the worker was stopped, and this job given up")
