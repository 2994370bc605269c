"""Calls that end claims, each repeated until Redis answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.consumers._room import WaitingRoom
from txthoonk.consumers.gets._patience import Retry
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedTypeMismatch,
    JobNotClaimed,
    ResponseError,
)
from txthoonk.protocol._transient import refused

__all__ = ["EndCalls"]

EndCall = Callable[[], Deferred[Any]]


class EndCalls:
    """The calls of one feed consumer.

    :param name: the name of the feed, for log lines.
    :param answered: called when a call no longer needs to be repeated.
    """

    _log = Logger()

    def __init__(self, room: WaitingRoom, name: str, answered: Callable[[], object]) -> None:
        self._name = name
        self._answered = answered
        self._pending: set[EndCall] = set()
        self._failed: list[EndCall] = []
        self._retry = Retry(room, f"an end of a job of {name!r}", self._try_again)
        self._stopped = False

    @property
    def pending(self) -> bool:
        """Whether a call has no answer yet."""
        return bool(self._pending)

    def add(self, call: EndCall) -> None:
        """Make a call, and repeat it until it is answered."""
        self._pending.add(call)
        self._try(call)

    def resume(self) -> None:
        """Repeat at once the calls that wait for their next attempt."""
        if self._retry.pending:
            self._retry.now()

    def stop(self) -> None:
        """Stop repeating calls."""
        self._stopped = True
        self._retry.stop()

    def _try(self, call: EndCall) -> None:
        call().addCallbacks(self._done, self._not_done, (call,), {}, (call,), {})

    def _try_again(self) -> None:
        failed, self._failed = self._failed, []
        for call in failed:
            self._try(call)

    def _done(self, _: object, call: EndCall) -> None:
        self._retry.succeeded()
        self._pending.discard(call)
        self._answered()

    def _not_done(self, reason: Failure, call: EndCall) -> None:
        if reason.check(JobNotClaimed, FeedDoesNotExist, FeedTypeMismatch) or self._stopped:
            self._done(None, call)
        elif reason.check(ConnectionLost, CancelledError, ResponseError) and not refused(
            reason.value
        ):
            self._failed.append(call)
            self._retry.later(reason)
        else:
            self._log.failure("a job of {name!r} stays claimed", reason, name=self._name)
            self._done(None, call)
