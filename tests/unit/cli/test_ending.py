"""How the ``thoonk`` command ends after a signal."""

from __future__ import annotations

import os
import signal
import threading

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli import _ending
from txthoonk.cli._ending import Ending


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        for number in _ending.SIGNALS:
            # A shell without job control makes what it starts in the background ignore SIGINT.
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_DFL))
        self.events: list[str] = []
        self.exits = threading.Event()
        self.ending = Ending(self._exit)

    def _exit(self, status: int) -> None:
        self.events.append(f"exit {status}")
        self.exits.set()

    def kill(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def test_no_command(self) -> None:
        """Before there is a command, a signal ends the process at once."""
        self.ending.handle_signals()
        self.kill(signal.SIGINT)
        self.assertEqual(self.events, ["exit 130"])

    def test_cancel(self) -> None:
        """The first signal cancels the command, and the second ends the process at once."""
        self.ending.handle_signals(lambda: self.events.append("cancel"))
        self.assertEqual(self.ending.status(3), 3)
        self.kill(signal.SIGTERM)
        self.assertEqual((self.events, self.ending.status(3)), (["cancel"], 143))
        self.kill(signal.SIGINT)
        self.assertEqual(self.events, ["cancel", "exit 130"])

    def test_lingers(self) -> None:
        """A command that does not end after a signal is ended by another thread."""
        self.patch(_ending, "GRACE", 0.01)
        self.ending.handle_signals(lambda: self.events.append("cancel"))
        self.kill(signal.SIGINT)
        self.exits.wait()
        self.assertEqual(self.events, ["cancel", "exit 130"])

    def test_ignored(self) -> None:
        """A signal that the parent process made us ignore stays ignored."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.ending.handle_signals()
        self.kill(signal.SIGINT)
        self.assertEqual(self.events, [])
