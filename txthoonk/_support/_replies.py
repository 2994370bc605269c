"""Taking replies apart: what goes wrong there is blamed on Redis, and nothing else is.

A reply, or what somebody has stored, may be of another shape than we know.  The code that takes
it apart then raises whatever Python raises; that becomes an
:class:`~txthoonk.errors.InvalidResponse`.  Only that code is marked, so that a mistake of ours,
or one in a function or class of the user, surfaces as what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from txthoonk.errors import InvalidResponse, ThoonkError, shown

__all__ = ["MISFITS", "parses", "parsing"]

#: What may be raised for a reply of another shape.
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
            text = f"what Redis has replied, or holds, is not understood: {shown(error)}"
            raise InvalidResponse(text) from error


#: ``with parsing:`` what is raised within for a reply of another shape is an InvalidResponse.
#: Nothing is awaited within, nor is a function of the user called.
parsing = _Parsing()


def parses(function: Callable[P, T]) -> Callable[P, T]:
    """Mark a function that does nothing but take a reply apart; see :data:`parsing`."""

    @wraps(function)
    def parse(*args: P.args, **kwargs: P.kwargs) -> T:
        with parsing:
            return function(*args, **kwargs)

    return parse
