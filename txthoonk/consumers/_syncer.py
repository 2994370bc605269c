"""Calls of a script, each repeated until Redis answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.consumers.gets._patience import Retry
from txthoonk.errors import ConnectionLost
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._transient import refused
from txthoonk.wire._scripts import Script

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Room

__all__ = ["Repeated"]

MOST = 1000  # words in one call


class Repeated:
    """Calls of a script that may run more than once with the same arguments.

    Arguments without an answer are sent again with the next ones, and by :meth:`send`.
    """

    _log = Logger()

    def __init__(self, room: Room, script: Script, prefix: tuple[str | int, ...]) -> None:
        self._room = room
        self._script = script
        self._prefix = prefix
        self._due: list[bytes] = []
        self._retry = Retry(room, f"the answer of {script.name}", self.send)

    def add(self, words: list[bytes]) -> None:
        """Send *words*, an even number of arguments; no caller waits for the answer."""
        self._due += words
        self.send()

    def send(self) -> None:
        """Send the arguments that were not sent yet, or not answered."""
        if not self._room.up:
            self._room.outages.once(self.send)
            return
        self.rest()
        due, self._due = self._due, []
        for first in range(0, len(due), MOST):
            some = due[first : first + MOST]
            called = self._room.pub.redis.call(self._script, (*self._prefix, *some), TEXT)
            called.addCallbacks(self._answered, self._not_answered, errbackArgs=(some,))
            self._room.outages.follow(called)

    def rest(self) -> None:
        """Stop repeating calls by itself."""
        self._retry.stop()
        self._room.outages.rests(self)

    def _answered(self, _: object) -> None:
        self._retry.succeeded()

    def _not_answered(self, reason: Failure, words: list[bytes]) -> None:
        if getattr(reason.value, "code", "") == "WRONGTYPE" or refused(reason.value):
            # The key has another type, or the server always refuses this call.
            self._log.failure("{script} failed", reason, script=self._script.name)
            return
        self._due += words
        if reason.check(ConnectionLost, CancelledError):
            self._room.outages.once(self.send)
        else:  # a replica or a full disk: the problem is temporary
            self._room.outages.will_act(self)
            self._retry.later(reason)
