"""What the commands of ``thoonk`` print, and what becomes of it where that cannot be done."""

from __future__ import annotations

import errno
import io
import json
import os
import select
import sys
from typing import Any

__all__ = [
    "OutputError",
    "check_output",
    "drop_output",
    "flush",
    "prepare_streams",
    "say",
    "show",
    "show_json",
]

BROKEN_PIPE = 141  # the exit status that shells give to what SIGPIPE has ended

# A stream that was closed when the process began -> how to open what takes its place: reading
# or writing fails then as it does with any other file, and its number is nobody else's.
_CLOSED = {"stdin": (os.O_WRONLY, "r"), "stdout": (os.O_RDONLY, "w"), "stderr": (os.O_RDWR, "w")}


class OutputError(Exception):
    """Standard output takes nothing.

    :ivar status: what to exit with.
    """

    def __init__(self, error: OSError) -> None:
        broken = error.errno == errno.EPIPE
        self.status = BROKEN_PIPE if broken else 1
        why = "its reader is gone" if broken else error.strerror or str(error)
        super().__init__(f"cannot write to standard output: {why}")


def prepare_streams() -> None:
    """Have all three streams, and let items leave as they are, whatever the locale.

    A terminal gets the characters that it has, and the others escaped.
    """
    for name, (flags, mode) in _CLOSED.items():
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
    out: Any = sys.stdout
    if out.isatty():
        out.reconfigure(errors="backslashreplace")
    else:
        out.reconfigure(encoding="utf-8", errors="surrogateescape")


def show(text: str) -> None:
    """Print a line.

    :raises OutputError: if it cannot be printed.
    """
    if sys.stdout.isatty():
        # What others stored must not steer the terminal.
        text = "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)
    try:
        print(text)
    except OSError as error:
        raise OutputError(error) from error


def show_json(**values: Any) -> None:
    """Print a line of JSON."""
    show(json.dumps(values))


def flush() -> None:
    """Write what was printed.

    :raises OutputError: if that cannot be done.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(error) from error


def check_output() -> None:
    """See whether something can be printed, as far as that can be known before.

    :raises OutputError: if it cannot.
    """
    flush()
    try:
        descriptor = sys.stdout.fileno()
    except io.UnsupportedOperation:  # it is no file
        return
    try:
        os.write(descriptor, b"")
    except OSError as error:
        raise OutputError(error) from error
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise OutputError(BrokenPipeError(errno.EPIPE, ""))


def say(text: str, end: str = "\n") -> None:
    """Print something to the user; that it cannot be read is no reason to fail."""
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def drop_output() -> None:
    """Forget what could not be printed: Python would try, and complain, at exit."""
    _drop(sys.stdout)


def _drop(stream: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
