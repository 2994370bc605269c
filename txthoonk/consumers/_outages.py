"""The objects that wait on a publisher, and what they do when its connection is lost or back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.errors import ConnectionLost

__all__ = ["Outages", "Resting", "Returning", "Waiter"]


class Returning(Protocol):
    """Works on the publisher's connection."""

    def __hash__(self) -> int: ...

    def resume(self) -> None:
        """Continue on a new connection."""


class Resting(Protocol):
    """Acts later by itself, for example by a timer."""

    def __hash__(self) -> int: ...

    def rest(self) -> None:
        """Stop acting by itself."""


class Waiter(Protocol):
    """Has calls of the user that wait for an item or a result."""

    def __hash__(self) -> int: ...

    def resume(self) -> None:
        """Ask again on a new connection."""

    def drop(self, error: ConnectionLost) -> None:
        """Fail all calls that wait."""

    def close(self, error: ConnectionLost) -> Deferred[None]:
        """Fail all calls that wait; fires when nothing can take an item for them any more."""


class Outages:
    """Informs the objects that wait on one publisher.

    :ivar waiting: the objects with calls that wait.
    :ivar returning: the objects to resume on each new connection.
    :ivar resting: the objects that must rest when the connections are dropped.
    :ivar unanswered: the functions to call on the next connection.
    :ivar under_way: calls without a caller that must be answered before the connection closes.

    :param patient: whether calls go on waiting across an outage.
    """

    def __init__(self, patient: bool) -> None:
        self._patient = patient
        self.waiting: set[Waiter] = set()
        self.returning: dict[Returning, None] = {}
        self.resting: set[Resting] = set()
        self.unanswered: dict[Callable[[], object], None] = {}
        self.under_way: set[Deferred[Any]] = set()

    # -- the objects ---------------------------------------------------------------------

    def wait(self, waiter: Waiter) -> None:
        """Resume a waiter on each new connection, and fail its calls if there is none."""
        self.waiting.add(waiter)

    def end_wait(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        self.waiting.discard(waiter)

    def join(self, one: Returning) -> None:
        """Resume an object on each new connection."""
        self.returning[one] = None

    def leave(self, one: Returning) -> None:
        """Forget an object that has joined."""
        self.returning.pop(one, None)

    def will_act(self, one: Resting) -> None:
        """Have an object rest when the connections are dropped."""
        self.resting.add(one)

    def rests(self, one: Resting) -> None:
        """Forget an object that rests by itself."""
        self.resting.discard(one)

    def once(self, call: Callable[[], object]) -> None:
        """Call a function on the next connection."""
        self.unanswered[call] = None

    def follow(self, called: Deferred[Any]) -> None:
        """Wait for a call without a caller before the connection closes."""
        self.under_way.add(called)
        called.addBoth(self._over, called)

    def _over(self, result: object, called: Deferred[Any]) -> object:
        self.under_way.discard(called)
        return result

    # -- the publisher's connection --------------------------------------------------------

    def resume(self) -> None:
        """Repeat unanswered calls on a new connection, and resume all objects."""
        unanswered, self.unanswered = self.unanswered, {}
        for call in unanswered:
            call()
        for returning in list(self.returning):
            returning.resume()
        if self._patient:
            for waiter in list(self.waiting):
                waiter.resume()

    def drop(self, error: ConnectionLost) -> None:
        """Fail all calls that wait, and let all objects rest."""
        waiting, self.waiting = self.waiting, set()
        for waiter in waiting:
            waiter.drop(error)
        for resting in list(self.resting):
            resting.rest()

    async def close(self, error: ConnectionLost) -> None:
        """Fail all calls that wait, and wait until the items taken for them are put back."""
        for closed in [waiter.close(error) for waiter in list(self.waiting)]:
            await closed
        for answered in list(self.under_way):
            await answered
