"""Marks the code that parses replies, so that only its errors are blamed on Redis.

A reply, or data that another program stored, can have an unexpected shape.  The code that parses
it then raises one of Python's errors, which becomes an
:class:`~txthoonk.errors.InvalidResponse`.  Only that code is marked: a bug of ours, or one in a
user's function, keeps its own exception.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from txthoonk.errors import InvalidResponse, ThoonkError, shown

__all__ = ["MISFITS", "parses", "parsing"]

#: The errors that parsing a reply of an unexpected shape raises.
MISFITS = (TypeError, ValueError, LookupError, AttributeError)

P = ParamSpec("P")
T = TypeVar("T")


class _Parsing:
    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, MISFITS) and not isinstance(error, ThoonkError):
            text = f"a reply, or data in Redis, has an unexpected shape: {shown(error)}"
            raise InvalidResponse(text) from error


#: ``with parsing:`` turns an error within it into an InvalidResponse.  Do not await, and do not
#: call a user's function, within it.
parsing = _Parsing()


def parses(function: Callable[P, T]) -> Callable[P, T]:
    """Mark a function that only parses a reply; see :data:`parsing`."""

    @wraps(function)
    def parse(*args: P.args, **kwargs: P.kwargs) -> T:
        with parsing:
            return function(*args, **kwargs)

    return parse
