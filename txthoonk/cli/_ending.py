"""How the process of a command ends after a signal, and how it never lingers.

A signal cancels the command, which then closes its connections. If that takes longer than
:data:`GRACE`, for example because the name server is silent or the reader of the output does not
read, the process ends all the same. A second signal ends it at once. Redis keeps what the process
did not give back, as if it had crashed; the supervisor of an embedded server stops the server.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["Ending"]

GRACE = 2.0  # seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Ends the process.

    :ivar signal: the signal that the process got, or None.

    :param exit: ends the process at once with a status.
    """

    def __init__(self, exit: Callable[[int], object] = os._exit) -> None:
        self.signal: int | None = None
        self._exit = exit
        self._cancel: Callable[[], object] | None = None

    def handle_signals(self, cancel: Callable[[], object] | None = None) -> None:
        """Handle SIGINT and SIGTERM, except one that the parent process made us ignore.

        :param cancel: cancels the command; None: there is none yet, so that a signal ends the
            process at once.
        """
        self._cancel = cancel
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def status(self, otherwise: int = 0) -> int:
        """Give the exit status that shells report for the signal.

        :param otherwise: the status if there was no signal.
        """
        return otherwise if self.signal is None else 128 + self.signal

    def end_soon(self, status: int) -> None:
        """End the process after :data:`GRACE`, whatever the main thread waits for."""
        timer = threading.Timer(GRACE, self._exit, [status])
        timer.daemon = True
        timer.start()

    def _handle(self, number: int, _: FrameType | None) -> None:
        again, self.signal = self.signal is not None, number
        if again or self._cancel is None:
            self._exit(self.status())
            return
        self.end_soon(self.status())
        self._cancel()
