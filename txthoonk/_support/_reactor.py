"""The reactor to use where you give none.

In a program that asyncio runs, Twisted's own reactor would never run: there it is a reactor on
the loop that runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase
from twisted.internet.main import installReactor
from twisted.python import threadable

from txthoonk._support._threads import check_thread

__all__ = ["current_reactor"]


class LoopReactor(AsyncioSelectorReactor):
    """A reactor on an event loop that asyncio starts and stops."""

    def crash(self) -> None:
        """End the reactor, and let the loop continue."""
        ReactorBase.crash(self)

    def release(self) -> None:
        """Close what the reactor itself has open."""
        self.removeReader(self.waker)  # type: ignore[no-untyped-call]
        self.waker.connectionLost(None)


# Each loop's reactor, and the generator that ends it.
_reactors: dict[AbstractEventLoop, tuple[LoopReactor, AsyncGenerator[None]]] = {}


def current_reactor() -> Any:
    """Return the reactor of this program.

    It is the installed one, or, in a program that asyncio runs, a reactor on the running loop. The
    first one of these is installed, if no other is.

    :raises WrongThread: if another thread runs a reactor.
    """
    loop = _get_running_loop()
    installed: Any = sys.modules.get("twisted.internet.reactor")
    if loop is None:
        from twisted.internet import reactor

        return reactor
    if loop in _reactors:
        return _reactors[loop][0]
    check_thread()
    if _runs_a_loop(installed):
        return installed
    before = threadable.ioThread
    made = LoopReactor(loop)
    if installed is None:
        installReactor(made)
    made.startRunning(installSignalHandlers=False)
    # Other threads would keep the program alive if nothing closes the loop.
    made.getThreadPool().threadFactory = _DaemonThread
    _notice_children(loop)
    ending = _until_shutdown(made, loop, before)
    _reactors[loop] = made, ending
    step = ending.__anext__()  # the loop closes the generators that have begun
    with suppress(StopIteration):
        step.send(None)
    return made


def _runs_a_loop(reactor: Any) -> bool:
    """Return whether it is an asyncio reactor that the program runs itself."""
    if isinstance(reactor, LoopReactor):  # of another loop
        return False
    return isinstance(reactor, AsyncioSelectorReactor) and reactor.running


def _forked() -> None:
    """Forget the reactor's thread, which a forked process does not have."""
    if _reactors:
        threadable.ioThread = None


os.register_at_fork(after_in_child=_forked)


class _DaemonThread(threading.Thread):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options, daemon=True)


def _notice_children(loop: AbstractEventLoop) -> None:
    """Let Twisted notice when its child processes end, if no one else handles that signal."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL:
        from twisted.internet.process import reapAllProcesses

        loop.add_signal_handler(signal.SIGCHLD, reapAllProcesses)


async def _until_shutdown(
    reactor: LoopReactor, loop: AbstractEventLoop, before: int | None
) -> AsyncGenerator[None]:
    """Shut the reactor down before the loop is closed.

    ``asyncio.run`` and others close all asynchronous generators before they close the loop.
    """
    try:
        yield
    finally:
        del _reactors[loop]
        ended = loop.create_future()
        reactor.addSystemEventTrigger("after", "shutdown", ended.set_result, None)
        reactor.fireSystemEvent("shutdown")
        await ended
        reactor.release()
        threadable.ioThread = before  # type: ignore[assignment]
