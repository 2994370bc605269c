"""How a claim is ended by the user's own call, for the worker whose handler holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.python.failure import Failure

from txthoonk.errors import InvalidInput

__all__ = ["Ending", "NoFeed"]


class Ended(Protocol):
    """A claim.

    :ivar ending: the present call that ends it, or the one that has.
    """

    ending: Ending | None


class Ending:
    """A call that ends a claim.

    If it fails, the claim is not ended: then it is no longer the ``ending`` of the claim.

    :ivar outcome: ``finished``, ``failed``, ``stalled`` or ``released``.
    """

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome
        self._answered = False
        self._reason: Failure | None = None
        self._waiting: Callable[[Failure | None], object] | None = None

    def answer(self, result: Any, claim: Ended) -> Any:
        """Take what the call fires."""
        self._answered = True
        if isinstance(result, Failure):
            self._reason = result
            if claim.ending is self:
                claim.ending = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting(self._reason)
        return result

    def when_answered(self, function: Callable[[Failure | None], object]) -> None:
        """Call a function with the failure of the call, or None, once it is answered."""
        if self._answered:
            function(self._reason)
        else:
            self._waiting = function


class NoFeed:
    """The feed of a claim that the user made: using it is an error.

    It defines no ``__set__``, so the feed of other claims is an ordinary attribute.
    """

    def __get__(self, claim: object, owner: object) -> Any:
        if claim is None:
            return self
        raise InvalidInput(
            f"{claim!r} was made by hand and has no feed: set its 'job', or pass it to a method "
            "of the feed"
        )
