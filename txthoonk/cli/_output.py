"""What the commands of ``thoonk`` print, and what happens if they cannot print."""

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
    "printable",
    "say",
    "show",
    "show_json",
]

BROKEN_PIPE = 141  # the exit status that shells report for a process that SIGPIPE ended

# A stream that was closed when the process began -> how to open its substitute. Reading or
# writing then fails as with any other file, and no other file gets the descriptor.
_CLOSED = {"stdin": (os.O_WRONLY, "r"), "stdout": (os.O_RDONLY, "w"), "stderr": (os.O_RDWR, "w")}


class OutputError(Exception):
    """Standard output cannot be written.

    :ivar status: the exit status for it.
    """

    def __init__(self, error: OSError) -> None:
        broken = error.errno == errno.EPIPE
        self.status = BROKEN_PIPE if broken else 1
        why = "its reader is gone" if broken else error.strerror or str(error)
        super().__init__(f"cannot write to standard output: {why}")


def prepare_streams() -> None:
    """Open the streams that are closed, and write items unchanged in every locale.

    A terminal gets characters that its encoding does not have as escape sequences.
    """
    for name, (flags, mode) in _CLOSED.items():
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
    out: Any = sys.stdout
    if out.isatty():
        out.reconfigure(errors="backslashreplace")
    else:
        out.reconfigure(encoding="utf-8", errors="surrogateescape")


def printable(text: str, keep: str = "") -> str:
    """Escape what is not printable, so that stored text cannot control the terminal.

    :param keep: other characters to leave as they are.
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def show(text: str) -> None:
    """Print a line.

    :raises OutputError: if it cannot be printed.
    """
    if sys.stdout.isatty():
        text = printable(text, keep="\t")
    try:
        print(text)
    except OSError as error:
        raise OutputError(error) from error


def show_json(**values: Any) -> None:
    """Print a line of JSON."""
    show(json.dumps(values))


def flush() -> None:
    """Write everything that was printed.

    :raises OutputError: if that is impossible.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(error) from error


def check_output() -> None:
    """Check that standard output can be written, as far as that can be known in advance.

    :raises OutputError: if it cannot.
    """
    flush()
    try:
        descriptor = sys.stdout.fileno()
    except io.UnsupportedOperation:  # it is not a file
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
    """Print a message on standard error; ignore it if that is impossible."""
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def drop_output() -> None:
    """Discard what could not be printed, or Python would try again and complain at exit."""
    _drop(sys.stdout)


def _drop(stream: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
