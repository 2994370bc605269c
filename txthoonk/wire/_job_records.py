"""What is recorded of a job beside its item: its last failure, and how far it is."""

from __future__ import annotations

import json
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

MOST_TRACEBACK = 10_000  # characters of a traceback that are kept: the last ones
MOST_MESSAGE = 2_000  # characters of a message that are kept: the first ones


def dump_failure(error: Failure | BaseException | str) -> str:
    """Make what is stored of an error; a text stands for a decision to stall."""
    if isinstance(error, str):
        type_, message, traceback = "Stall", error, ""
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
    """Make a failure of what is stored, which others may have written."""
    count, _, rest = text.partition(" ")
    time, _, stored = rest.partition(" ")
    try:
        words: Any = json.loads(stored)
        type_, message, traceback = (
            # Half a surrogate is JSON, but no text that can be shown.
            str(words.get(part) or "").encode("utf-8", "backslashreplace").decode()
            for part in ("type", "message", "traceback")
        )
        return JobFailure(id_, type_, message, traceback, int(count), float(time) / 1000)
    except (ValueError, AttributeError, RecursionError):
        return JobFailure(id_, "", text, "", 0, 0.0)


def dump_progress(done: float, total: float | None, note: str | None) -> str:
    """Make what is stored of a progress.

    :raises InvalidInput: for what is no number, or no text.
    """
    for what, number in (("done", done), ("total", total)):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            if what == "total" and number is None:
                continue
            raise InvalidType(f"{what} must be a number: {shown(number)}")
        if not 0 <= number < float("inf"):
            raise InvalidInput(f"{what} must be a number from 0: {shown(number)}")
    if note is not None and not isinstance(note, str):
        raise InvalidType(f"a note must be a str: {shown(note)}")
    return json.dumps({"done": done, "total": total, "note": note})


def load_progress(id_: str, text: str) -> Progress | InvalidItem:
    """Make a progress of what is stored, which others may have written."""
    try:
        words: Any = json.loads(text)
        progress = Progress(words["done"], words.get("total"), words.get("note"))
        dump_progress(*progress)  # refuses what is none
        return progress
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return InvalidItem(f"the progress of job {shown(id_)} cannot be read: {error}", id_, text)
