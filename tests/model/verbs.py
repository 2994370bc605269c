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

    :cvar takes: whether it is a get; a batch contains at most one.
    """

    takes: ClassVar[bool] = False

    @property
    def doubts(self) -> bool:
        """Return whether a client without a reply looks for what this verb took."""
        return self.takes

    def bind(self, model: Any) -> tuple[Any, ...] | None:
        """Return the arguments for the present state; None if there is nothing to do."""
        raise NotImplementedError

    def call(self, feed: Any, *args: Any) -> Deferred[Any]:
        """Call the method on the feed."""
        raise NotImplementedError

    def apply(self, model: Any, *args: Any) -> Any:
        """Apply it to the model, and return what it should fire; raise Refused."""
        raise NotImplementedError

    def called(self, model: Any, *args: Any) -> None:
        """Note that it was called, whatever its outcome."""

    def answered(self, model: Any, outcome: Any, *args: Any) -> None:
        """Note that it has its reply."""


@attr.define
class Planned:
    """A verb with its arguments and its expected outcome.

    :ivar after: the model after it.
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
        """Compare its outcome with the expected one."""
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
