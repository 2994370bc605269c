"""A channel that is listened to on the subscriber of a waiting room, as long as somebody wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txthoonk._patience import Retry
from txthoonk.errors import ConnectionLost

if TYPE_CHECKING:
    from txthoonk._results import ResultSub
    from txthoonk._waiting import WaitingRoom

__all__ = ["Listening"]


class Listening:
    """Listens to a channel between :meth:`begin` and :meth:`end`, across lost connections.

    :param told: is called with the parts of each message.
    :param ready: is called whenever messages come from now on; some may have been missed.
    """

    def __init__(
        self,
        room: WaitingRoom,
        channel: str,
        told: Callable[..., object],
        ready: Callable[[], object],
    ) -> None:
        self._room = room
        self._channel = channel
        self._told = told
        self._ready = ready
        self._handler: tuple[ResultSub, int] | None = None
        self._attempt: Deferred[Any] | None = None
        self._retry = Retry(room, f"messages on {channel!r}", self._listen)
        self._wanted = False

    def begin(self) -> None:
        """Listen, if that is not done already."""
        self._wanted = True
        self._room.listening.add(self)
        self._listen()

    def end(self) -> None:
        """Stop listening."""
        self._wanted = False
        self._room.listening.discard(self)
        self._stop()

    def _stop(self) -> None:
        self._retry.stop()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler[0].remove_handler(handler[1])

    def _listen(self) -> None:
        if self._wanted and self._handler is None and self._attempt is None:
            attempt = self._attempt = Deferred.fromCoroutine(self._subscribe())
            attempt.addCallbacks(self._listens, self._cannot, (attempt,), {}, (attempt,), {})

    async def _subscribe(self) -> tuple[ResultSub, int]:
        sub = await self._room.subscriber()
        return sub, await sub.register_handler(self._channel, self._told)

    def _listens(self, handler: tuple[ResultSub, int], attempt: Deferred[Any]) -> None:
        if self._attempt is not attempt:
            handler[0].remove_handler(handler[1])
            return
        self._attempt = None
        self._handler = handler
        self._retry.succeeded()
        self._ready()

    def _cannot(self, reason: Failure, attempt: Deferred[Any]) -> None:
        if self._attempt is not attempt:
            reason.trap(CancelledError, ConnectionLost)
            return
        self._attempt = None
        self._retry.later(reason)

    def lost(self, error: ConnectionLost) -> None:
        """Listen again, because the subscriber was lost."""
        if self._handler is not None:
            self._handler = None
            self._retry.later(Failure(error))
