"""The queue of Python objects of thoonk.py, whose items are pickles."""

from __future__ import annotations

import pickle
from typing import Any

from twisted.python.reflect import safe_str

from txthoonk.errors import InvalidInput, shown
from txthoonk.types.queue import Queue

__all__ = ["PythonQueue"]

PROTOCOL = 2  # the last one that Python 2, and so thoonk.py, can read


class PythonQueue(Queue):
    """A :class:`~txthoonk.types.queue.Queue` of any objects that can be pickled.

    Every client that may write to the feed can run code in every process that reads it.  Only
    this class unpickles; no configuration makes another one do so.
    """

    _FOLLOWS = False  # no configuration switches it on or off

    def _use_serializer(self, name: str) -> None:
        super()._use_serializer("bytes")
        self.serializer = "a pickle"
        self._dumps = _dumps
        self._loads = _loads


def _dumps(item: Any) -> bytes:
    try:
        return pickle.dumps(item, PROTOCOL)
    except BaseException as error:  # objects may raise anything while they are pickled
        raise InvalidInput(f"cannot be pickled: {safe_str(error)}: {shown(item)}") from error


def _loads(data: bytes) -> Any:
    try:
        # Python 2 pickles text as bytes.
        return pickle.loads(  # noqa: S301  (asked for by name: see the class)
            data, encoding="utf-8", errors="surrogateescape"
        )
    except BaseException as error:  # a broken pickle may raise anything
        raise ValueError(f"{type(error).__name__}: {safe_str(error)}") from error
