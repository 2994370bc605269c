"""Child processes, with waits for their output and for their end."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, DeferredList, FirstError, ensureDeferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["ROOT", "Child", "environment"]

T = TypeVar("T")

reactor: Any = installed_reactor
ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child that imports what this process can import."""
    paths = [str(ROOT), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


class Child(ProcessProtocol):
    """A child process.

    A wait for its output fails as soon as the process ends, with the whole output. Use
    :meth:`during` to tie a wait for something else to the process.

    :ivar out: its output so far.
    :ivar err: its output on standard error so far.
    :ivar status: its exit status, or minus the signal that ended it; None while it runs.
    :ivar ended: fires the status when it has ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.out = self.err = ""
        self.status: int | None = None
        self.ended: Deferred[Any] = Deferred()
        self._command = ""
        self._waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def spawn(self, *command: str, env: Mapping[str, str] | None = None, **options: Any) -> None:
        """Start the process.

        :param command: the program and its arguments.
        :param env: its environment; None: that of this process.
        :param options: further arguments of ``spawnProcess``.
        """
        self._command = shlex.join(command)
        given = None if env is None else dict(env)
        reactor.spawnProcess(self, command[0], command, env=given, **options)

    def spawn_python(self, *arguments: str) -> None:
        """Start Python with the modules of this process."""
        self.spawn(sys.executable, *arguments, env=environment())

    # -- its output ----------------------------------------------------------------------

    def outReceived(self, data: bytes) -> None:
        self.out += data.decode("utf-8", "surrogateescape")
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode("utf-8", "surrogateescape")
        self._look()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.status = ended.exitCode if ended.signal is None else -ended.signal
        self._look()
        waiting, self._waiting = self._waiting, []
        for _, one in waiting:
            one.errback(self._error())
        self.ended.callback(self.outcome(ended))

    def outcome(self, ended: Any) -> Any:
        """Return the result that :attr:`ended` fires.

        :param ended: ``ProcessDone`` or ``ProcessTerminated``.
        """
        return self.status

    def check_running(self) -> None:
        """Check that the process has not ended.

        :raises AssertionError: with its output.
        """
        if self.status is not None:
            raise self._error()

    def _error(self) -> AssertionError:
        said = f"{self.out}{self.err}" or "(no output)"
        return AssertionError(f"{self._command} ended with status {self.status}:\n{said}")

    # -- waiting ------------------------------------------------------------------------

    def wait(self, look: Callable[[], T | None]) -> Deferred[T]:
        """Fire the first result of *look* that is not None.

        :param look: is called whenever there is more output, and at the end.
        """
        waiting: Deferred[T] = Deferred(self._forget)
        self._waiting.append((look, waiting))
        self._look()
        if self.status is not None and not waiting.called:
            self._forget(waiting)
            waiting.errback(self._error())
        return waiting

    def seen(self, pattern: str) -> Deferred[re.Match[str]]:
        """Fire the match once the output matches a regular expression."""
        return self.wait(lambda: re.search(pattern, self.out + self.err))

    async def during(self, awaitable: Awaitable[T]) -> T:
        """Wait for something else, which fails if this process ends before it."""
        waiting: Deferred[T] = ensureDeferred(awaitable)  # type: ignore[arg-type]
        end: Deferred[Any] = self.wait(lambda: None)
        try:
            first: Any = await DeferredList(
                [waiting, end], fireOnOneCallback=True, fireOnOneErrback=True
            )
        except FirstError as error:
            raise error.subFailure.value from error  # type: ignore[misc]
        finally:
            for one in (end, waiting):
                one.addErrback(lambda _: None)
                one.cancel()
        result: T = first[0]
        return result

    def _look(self) -> None:
        for one in list(self._waiting):
            look, waiting = one
            found = look()
            if found is not None and one in self._waiting:
                self._waiting.remove(one)
                waiting.callback(found)

    def _forget(self, waiting: Deferred[Any]) -> None:
        self._waiting = [one for one in self._waiting if one[1] is not waiting]

    # -- ending it ----------------------------------------------------------------------

    def signal(self, name: str) -> Deferred[Any]:
        """Send a signal, such as ``"TERM"``, unless the process has ended; return ``ended``."""
        if self.status is None:
            with contextlib.suppress(ProcessExitedAlready):
                self.transport.signalProcess(signal.Signals[f"SIG{name}"])
        return self.ended

    def kill(self) -> Deferred[Any]:
        """End the process without a warning, unless it has ended."""
        return self.signal("KILL")
