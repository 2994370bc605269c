"""The stored records of a job: its last failure and its progress."""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.python.failure import Failure

from txthoonk._values import JobFailure, Progress
from txthoonk.errors import InvalidInput, InvalidItem, InvalidType, shown

__all__ = [
    "dump_failure",
    "dump_progress",
    "load_failure",
    "load_progress",
]

MOST_TRACEBACK = 10_000  # the last characters of a traceback are stored
MOST_MESSAGE = 2_000  # the first characters of a message are stored


def dump_failure(error: Failure | BaseException | str, kind: str = "Stall") -> str:
    """Make the stored record of an error.

    :param kind: its type if it is only a reason in words.
    """
    if isinstance(error, str):
        type_, message, traceback = kind, error, ""
    else:
        failure = error if isinstance(error, Failure) else Failure(error)
        type_ = failure.type.__name__ if failure.type else "Exception"
        message, traceback = failure.getErrorMessage(), failure.getTraceback()
    words = {
        "type": type_,
        "message": message[:MOST_MESSAGE],
        "traceback": traceback[-MOST_TRACEBACK:],
    }
    return json.dumps(words)


def load_failure(id_: str, text: str) -> JobFailure:
    """Parse the stored record of a failure, which another program may have written."""
    count, _, rest = text.partition(" ")
    time, _, stored = rest.partition(" ")
    try:
        words: Any = json.loads(stored)
        type_, message, traceback = (
            # JSON may contain lone surrogates, which cannot be displayed.
            str(words.get(part) or "").encode("utf-8", "backslashreplace").decode()
            for part in ("type", "message", "traceback")
        )
        return JobFailure(id_, type_, message, traceback, int(count), float(time) / 1000)
    except (ValueError, AttributeError, RecursionError):
        return JobFailure(id_, "", text, "", 0, 0.0)


def dump_progress(done: float, total: float | None, note: str | None) -> str:
    """Make the stored record of a progress.

    :raises InvalidInput: if *done* or *total* is no valid number, or *note* no ``str``.
    """
    for what, number in (("done", done), ("total", total)):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            if what == "total" and number is None:
                continue
            raise InvalidType(f"{what} must be a number, not {shown(number)}")
        if not 0 <= number <= sys.float_info.max:
            raise InvalidInput(f"{what} must be a finite number from 0, not {shown(number)}")
    if note is not None and not isinstance(note, str):
        raise InvalidType(f"note must be a str or None, not {shown(note)}")
    return json.dumps({"done": done, "total": total, "note": note})


def load_progress(id_: str, text: str) -> Progress | InvalidItem:
    """Parse the stored record of a progress, which another program may have written."""
    try:
        words: Any = json.loads(text)
        progress = Progress(words["done"], words.get("total"), words.get("note"))
        dump_progress(*progress)  # checks the values
        return progress
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return InvalidItem(f"the progress of job {shown(id_)} cannot be read: {error}", id_, text)
