"""The terminal of ``thoonk top``: a screen of its own, its size, and its keys."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.control import Control
from rich.screen import Screen
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk.cli._output import OutputError

__all__ = ["open_screen", "read_keys", "screen_size", "when_resized"]

UNKNOWN_SIZE = (80, 24)


def screen_size() -> tuple[int, int]:
    """Give the columns and lines of the terminal."""
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return (columns or UNKNOWN_SIZE[0], lines or UNKNOWN_SIZE[1])


@contextmanager
def open_screen() -> Iterator[Callable[[RenderableType], None]]:
    """Switch to another screen, and give a function that paints it.

    :raises OutputError: if the terminal cannot be written.
    """
    out: Any = sys.stdout
    out.reconfigure(errors="replace")  # an escape sequence would be wider than its character
    # rich would take COLUMNS and LINES from the environment, which do not follow the window.
    console = Console(width=UNKNOWN_SIZE[0], height=UNKNOWN_SIZE[1])

    def paint(view: RenderableType) -> None:
        console.size = ConsoleDimensions(*screen_size())
        with _checked(), console:
            console.control(Control.home())
            console.print(Screen(view), end="")

    with _checked(), console:
        console.set_alt_screen()
        console.show_cursor(False)
    try:
        yield paint
    finally:
        with _checked(), console:
            console.show_cursor()
            console.set_alt_screen(False)


@contextmanager
def _checked() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(error) from error


@contextmanager
def when_resized(reactor: Any, paint: Callable[[], object]) -> Iterator[None]:
    """Call *paint* when the size of the terminal changes."""
    before = signal.signal(signal.SIGWINCH, lambda *_: reactor.callFromThread(paint))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextmanager
def read_keys(reactor: Any, end: Callable[[], object]) -> Iterator[None]:
    """Call *end* when the user presses q; do not echo keys."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, _without_echo(descriptor))
    keys = Keys(descriptor, end)
    reactor.addReader(keys)
    try:
        yield
    finally:
        reactor.removeReader(keys)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _without_echo(descriptor: int) -> list[Any]:
    """Give the settings with which a terminal delivers each key at once, and echoes none."""
    changed = termios.tcgetattr(descriptor)
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    # Ctrl-Z would leave a shell on our screen.
    nothing = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    changed[6][termios.VSUSP] = nothing
    return changed


@implementer(IReadDescriptor)
class Keys:
    """Reads keys; q, Ctrl-D and the end of the terminal call *end*."""

    def __init__(self, descriptor: int, end: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._end = end

    def fileno(self) -> int:
        """Give what the reactor watches."""
        return self._descriptor

    def doRead(self) -> Any:
        """Read the keys that were pressed."""
        try:
            typed = os.read(self._descriptor, 1024)
        except OSError:
            typed = b""
        if b"q" in typed or b"\x04" in typed or not typed:
            self._end()
        return None if typed else ConnectionDone()

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the end was already called."""

    def logPrefix(self) -> str:
        """Name this in the log."""
        return "keys"
