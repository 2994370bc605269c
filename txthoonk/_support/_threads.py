"""The reactor's thread, and what happens to a call that is made in another one.

Requests and replies are matched by their order, so a call from a second thread would give
every caller after it the reply of another one.  All that a program can call compares the
thread before it changes anything: a connection with the one in which it was made, everything
else with the one in which the reactor runs.
"""

from __future__ import annotations

from threading import current_thread, get_ident

from twisted.python import threadable

from txthoonk.errors import WrongThread

__all__ = ["check_thread", "in_reactor_thread", "wrong_thread"]


def in_reactor_thread() -> bool:
    """Tell whether the reactor runs in this thread, or has not been started yet."""
    reactor_thread = threadable.ioThread
    return reactor_thread is None or reactor_thread == get_ident()


def check_thread() -> None:
    """Refuse a call from a thread other than the reactor's.

    :raises WrongThread: which names the fix.
    """
    reactor_thread = threadable.ioThread
    if reactor_thread is not None and reactor_thread != get_ident():
        raise wrong_thread()


def wrong_thread() -> WrongThread:
    """Make the error of a call from a thread other than the reactor's."""
    return WrongThread(
        f"txthoonk was called in the thread {current_thread().name!r}, and works in "
        "that of the reactor only: call twisted.internet.threads.blockingCallFromThread("
        "reactor, method, ...) to wait for the result, or reactor.callFromThread(method, ...)"
    )
