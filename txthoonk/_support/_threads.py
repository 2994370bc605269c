"""Refuses calls from threads other than the reactor's.

Replies are matched to requests by their order.  A call from a second thread could break that
order, and every later caller would get the reply of another.  So every public method checks the
thread before it changes anything: a connection compares it with the thread that made it, all
others compare it with the reactor's thread.
"""

from __future__ import annotations

from threading import current_thread, get_ident

from twisted.python import threadable

from txthoonk.errors import WrongThread

__all__ = ["check_thread", "in_reactor_thread", "wrong_thread"]


def in_reactor_thread() -> bool:
    """Return whether the reactor runs in this thread, or has not started yet."""
    reactor_thread = threadable.ioThread
    return reactor_thread is None or reactor_thread == get_ident()


def check_thread() -> None:
    """Refuse a call from a thread other than the reactor's.

    :raises WrongThread: with a message that names the fix.
    """
    reactor_thread = threadable.ioThread
    if reactor_thread is not None and reactor_thread != get_ident():
        raise wrong_thread()


def wrong_thread() -> WrongThread:
    """Make the error for a call from a thread other than the reactor's."""
    return WrongThread(
        f"txthoonk was called in the thread {current_thread().name!r}, but works only in "
        "the reactor's thread: call twisted.internet.threads.blockingCallFromThread("
        "reactor, method, ...) to wait for the result, or reactor.callFromThread(method, ...)"
    )
