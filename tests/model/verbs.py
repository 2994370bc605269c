"""Calls of a feed's methods: on the feed, and on its model."""

from __future__ import annotations

from typing import Any, ClassVar

import attr
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.model.model import Model, Refused
from txthoonk.errors import Conflict, ConnectionLost

__all__ = ["PENDING", "Planned", "Verb"]

PENDING = object()


class Verb:
    """A call of a feed's method, on the feed and on its model.

    :cvar takes: whether it is a get, of which there is one in a batch.
    """

    takes: ClassVar[bool] = False

    @property
    def doubts(self) -> bool:
        """Whether a client that is not answered looks for what is taken for nobody."""
        return self.takes

    def bind(self, model: Any) -> tuple[Any, ...] | None:
        """Give the arguments for what there is; None if there is nothing to do."""
        raise NotImplementedError

    def call(self, feed: Any, *args: Any) -> Deferred[Any]:
        """Do it."""
        raise NotImplementedError

    def apply(self, model: Any, *args: Any) -> Any:
        """Do it to the model, and give what it fires; raise Refused."""
        raise NotImplementedError

    def called(self, model: Any, *args: Any) -> None:
        """Learn that it was called, whatever came of it."""

    def answered(self, model: Any, outcome: Any, *args: Any) -> None:
        """Learn that it was answered."""


@attr.define
class Planned:
    """A verb with its arguments, and what should come of it.

    :ivar after: the model behind it.
    """

    verb: Verb
    args: tuple[Any, ...]
    expected: Any
    after: Model
    outcome: Any = PENDING

    def call(self, feed: Any) -> Deferred[Any]:
        called = self.verb.call(feed, *self.args)
        return called.addBoth(self._fired)

    def _fired(self, outcome: Any) -> None:
        self.outcome = outcome

    @property
    def is_answered(self) -> bool:
        lost = isinstance(self.outcome, Failure) and self.outcome.check(ConnectionLost)
        return self.outcome is not PENDING and not lost

    def check(self) -> None:
        """Compare what came of it with what should."""
        outcome, expected = self.outcome, self.expected
        if isinstance(outcome, Failure):
            if not isinstance(expected, Refused) or not outcome.check(expected.error):
                raise AssertionError(f"{self.verb} failed: {outcome}, instead of {expected!r}")
            if outcome.check(Conflict):
                error: Any = outcome.value
                outcome, expected = (error.item, error.revision), expected.detail
            else:
                return
        if outcome != expected:
            raise AssertionError(f"{self.verb} fired {outcome!r} instead of {expected!r}")
