"""How a claim is ended by the user's own call, for the worker whose handler holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk.consumers._claims import Claims
from txthoonk.errors import InvalidInput
from txthoonk.wire._job_options import JobOptions
from txthoonk.wire._keys import check_id

__all__ = ["Claimed", "Ending", "NoFeed", "ends", "held"]

Fired = TypeVar("Fired")


class _Parts(NamedTuple):
    id: str
    item: Any
    cancelled: int


class Claimed(_Parts):
    """A job that this process has claimed; see :class:`txthoonk.types.Claim`."""

    token: str = ""
    options: JobOptions | None = None
    ending: Ending | None = None


class Ending:
    """A call that ends a claim.

    If it fails, the claim is not ended by it: then the ``ending`` of the claim is an earlier one
    that has not failed, or None.

    :ivar outcome: ``finished``, ``failed``, ``stalled`` or ``released``.

    :param before: the ending that the claim had before.
    """

    def __init__(self, outcome: str, before: Ending | None) -> None:
        self.outcome = outcome
        self._before = before
        self._answered = False
        self._reason: Failure | None = None
        self._waiting: Callable[[Failure | None], object] | None = None

    def answer(self, result: Any, claim: Claimed) -> Any:
        """Take what the call fires."""
        self._answered = True
        if isinstance(result, Failure):
            self._reason = result
            if claim.ending is self:
                claim.ending = self.standing()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting(self._reason)
        return result

    def standing(self) -> Ending | None:
        """Return the last call, of this and those before it, that has not failed."""
        if self._reason is None:
            return self
        return self._before.standing() if self._before is not None else None

    @property
    def has_ended(self) -> bool:
        """Whether the call has ended the claim."""
        return self._answered and self._reason is None

    def when_answered(self, function: Callable[[Failure | None], object]) -> None:
        """Call a function with the failure of the call, or None, once it is answered."""
        if self._answered:
            function(self._reason)
        else:
            self._waiting = function


def held(claims: Claims, id_: str | Claimed) -> tuple[str, str]:
    """Return the id of a job and the token of its claim; an empty token means any claim."""
    if isinstance(id_, Claimed):
        return id_.id, id_.token
    id_ = check_id(id_)
    return id_, claims.token(id_)


def ends(id_: str | Claimed, outcome: str, called: Deferred[Fired]) -> Deferred[Fired]:
    """Note, for its worker, that a call ends a claim, which may be given by its id."""
    if isinstance(id_, Claimed) and not (id_.ending is not None and id_.ending.has_ended):
        id_.ending = Ending(outcome, id_.ending)
        called.addBoth(id_.ending.answer, id_)
    return called


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
