"""What the commands of ``thoonk`` print, and what happens if they cannot print."""

from __future__ import annotations

import errno
import io
import json
import os
import select
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, TextIO
from unicodedata import combining, east_asian_width

import click

__all__ = [
    "OutputError",
    "check_output",
    "coloured",
    "drop_output",
    "flush",
    "prepare_streams",
    "printable",
    "say",
    "show",
    "show_json",
    "show_line",
    "show_rows",
]

BROKEN_PIPE = 141  # the exit status that shells report for a process that SIGPIPE ended

# A stream that was closed when the process began -> how to open its substitute. Reading or
# writing then fails as with any other file, and no other file gets the descriptor.
_CLOSED = {"stdin": (os.O_WRONLY, "r"), "stdout": (os.O_RDONLY, "w"), "stderr": (os.O_RDWR, "w")}


# The colours of kinds of events and of states of jobs.
COLOURS = {
    **dict.fromkeys(("publish", "put", "finish", "finished"), "green"),
    **dict.fromkeys(("retract", "delete", "cancel", "stall", "stalled", "resync"), "red"),
    **dict.fromkeys(("edit", "position", "config", "retry", "delayed"), "yellow"),
    **dict.fromkeys(("create", "claim", "claimed", "progress", "available", "snapshot"), "cyan"),
}
GAP = "  "  # between the columns at a terminal
WIDEST = 40  # columns that a cell is padded to, at most
CUT = "..."  # the end of a text that was cut


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
    _print(text)


def _print(text: str) -> None:
    try:
        print(text)
    except OSError as error:
        raise OutputError(error) from error


def show_rows(rows: Iterable[Sequence[str]], marked: int | None = None) -> None:
    """Print a table: with tabs between columns, or aligned at a terminal.

    :param marked: the column that gets the colours of :data:`COLOURS`.
    :raises OutputError: if it cannot be printed.
    """
    if not sys.stdout.isatty():
        for row in rows:
            show("\t".join(row))
        return
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [min(WIDEST, max(map(_width, cells))) for cells in zip_longest(*table, fillvalue="")]
    for row in table:
        _print_words(row, widths, marked)


def show_line(words: Iterable[str], marked: int) -> None:
    """Print words in a line; at a terminal, cut the line at the right edge.

    :param marked: which word gets a colour of :data:`COLOURS`.
    :raises OutputError: if they cannot be printed.
    """
    if not sys.stdout.isatty():
        show(GAP.join(words))
        return
    room = shutil.get_terminal_size().columns
    kept = []
    for word in words:
        kept.append(_cut(word, room))
        room -= _width(kept[-1]) + len(GAP)
        if room <= 0:
            break
    _print_words(kept, (), marked)


def _print_words(words: Sequence[str], widths: Sequence[int], marked: int | None) -> None:
    """Print words at a terminal, all but the last padded to these widths."""
    padding = [width - _width(word) for word, width in zip(words[:-1], widths, strict=False)]
    shown = list(words)
    if marked is not None:
        shown[marked] = coloured(words[marked], COLOURS.get(words[marked].strip()), sys.stdout)
    for at, room in enumerate(padding):
        shown[at] += " " * room
    _print(GAP.join(shown))


def _cut(word: str, room: int) -> str:
    """Make a word printable, and cut it if it takes more columns than *room*."""
    text = printable(word[:room])
    if len(word) <= room and _width(text) <= room:
        return text
    while text and _width(text) + len(CUT) > room:
        text = text[:-1]
    return text + CUT[:room]


def _width(text: str) -> int:
    """Count the columns that a printable text takes."""
    return sum(1 + (east_asian_width(c) in "FW") - (combining(c) > 0) for c in text)


def coloured(text: str, colour: str | None, stream: TextIO) -> str:
    """Give a text its colour, if the stream is a terminal and the user wants colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "dumb")
    if colour is None or plain or not stream.isatty():
        return text
    return click.style(text, fg=colour)


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
