"""Messages that a subscriber sends itself, to learn where other messages stand.

Redis delivers the messages of a connection in one order. A script publishes a mark at the moment
that it reads. When the mark arrives, all messages before it are older than what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from twisted.internet.defer import Deferred

__all__ = ["Marks"]


class Marks:
    """The marks that have not arrived yet."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[Callable[[], object], Deferred[None]]] = {}
        self._numbers = count()

    def make(self, passed: Callable[[], object]) -> tuple[str, Deferred[None]]:
        """Make a mark.

        :param passed: is called when it arrives, between the messages around it.
        :return: the message to publish, and a Deferred that fires after *passed*. It fails if the
            connection is lost before.
        """
        message = str(next(self._numbers))

        def forget(_: object) -> None:
            self._due.pop(message, None)

        came: Deferred[None] = Deferred(forget)
        self._due[message] = (passed, came)
        return message, came

    def arrived(self, message: str) -> None:
        """Take a message on the channel of marks. Ignore it if it is not ours."""
        passed, came = self._due.pop(message, (None, None))
        if passed is not None and came is not None:
            passed()
            came.callback(None)

    def fail(self, error: BaseException) -> None:
        """Fail all marks that are due: they will not arrive."""
        due, self._due = self._due, {}
        for _, came in due.values():
            came.errback(error)
