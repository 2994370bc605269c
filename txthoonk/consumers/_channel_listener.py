"""Listens to channels on the shared subscriber, for as long as that is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txthoonk.consumers._subscriber import Handlers, Wanted, remove
from txthoonk.consumers.gets._patience import Retry
from txthoonk.errors import ConnectionLost, ThoonkError
from txthoonk.wire._keys import CONFFEED, NEWFEED

if TYPE_CHECKING:
    from txthoonk.consumers._interfaces import Room

__all__ = ["Listening"]

LASTING = 60.0  # seconds after which an attempt to listen counts as a success


class Listening:
    """Listens between :meth:`begin` and :meth:`end`, across lost connections.

    :param what: what the owner waits for, for log lines.
    :param channels: each channel, and the function to call with the parts of its messages.
    :param ready: called once Redis has confirmed the channels; earlier messages may be missing.
    :param configured: the name of a feed, and the function to call when its configuration
        changes.  It is not called for other feeds.
    """

    def __init__(
        self,
        room: Room,
        what: str,
        channels: Mapping[str, Callable[..., object]],
        ready: Callable[[], object],
        configured: tuple[str, Callable[..., object]] | None = None,
    ) -> None:
        self._room = room
        self._channels: list[Wanted] = [
            (channel, told, None) for channel, told in channels.items()
        ]
        if configured is not None:
            feed, told = configured
            self._channels += [(channel, told, feed) for channel in (CONFFEED, NEWFEED)]
        self._ready = ready
        self._handlers: Handlers = []
        self._since = 0.0  # when Redis confirmed the channels
        self._attempt: Deferred[Any] | None = None
        self._retry = Retry(room, what, self._listen)
        self._wanted = False

    def begin(self) -> None:
        """Start to listen, if it does not listen already."""
        self._wanted = True
        self._room.subscriber.join(self)
        self._listen()

    def end(self) -> None:
        """Stop listening."""
        self._wanted = False
        self._room.subscriber.leave(self)
        self._stop()

    def _stop(self) -> None:
        self._retry.stop()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        remove(self._take_handlers())

    def _take_handlers(self) -> Handlers:
        handlers, self._handlers = self._handlers, []
        if handlers and self._room.reactor.seconds() - self._since > LASTING:
            self._retry.succeeded()
        return handlers

    def _listen(self) -> None:
        if self._wanted and not self._handlers and self._attempt is None:
            attempt = self._attempt = Deferred.fromCoroutine(self._subscribe())
            attempt.addCallbacks(self._listens, self._cannot, (attempt,), {}, (attempt,), {})

    async def _subscribe(self) -> Handlers:
        sub = await self._room.subscriber.get()
        return await sub.listen(self._channels)

    def _listens(self, handlers: Handlers, attempt: Deferred[Any]) -> None:
        if self._attempt is not attempt:
            remove(handlers)
            return
        self._attempt = None
        self._handlers = handlers
        self._since = self._room.reactor.seconds()
        self._ready()

    def _cannot(self, reason: Failure, attempt: Deferred[Any]) -> None:
        if self._attempt is not attempt:
            reason.trap(CancelledError, ThoonkError)
            return
        self._attempt = None
        self._retry.later(reason)

    def lost(self, error: ConnectionLost) -> None:
        """Listen again, because the subscriber was lost."""
        if self._handlers:
            self._take_handlers()
            self._retry.later(Failure(error))
