"""The subscriber that all waiting calls of one publisher share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure

from txthoonk._support._deferreds import deferring
from txthoonk.channels._dispatcher import Handler
from txthoonk.channels._subscriber import ChannelSubscriber
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import RedisSubscriber

__all__ = ["Handlers", "ResultSub", "SharedSubscriber", "SubscriberListener", "Wanted", "remove"]

#: A channel, the handler of its messages, and the feed that they must name; None for any feed.
Wanted = tuple[str, Handler, str | None]


class ResultSub(ChannelSubscriber):
    """The connection of the shared subscriber.

    :param lost: called with this object and the reason when the connection is lost.
    """

    def __init__(
        self, redis: RedisSubscriber, lost: Callable[[ResultSub, ConnectionLost], object]
    ) -> None:
        super().__init__(redis)
        self._lost = lost

    @deferring
    def listen(self, wanted: Iterable[Wanted]) -> Deferred[Handlers]:
        """Call handlers for the messages of channels, with one SUBSCRIBE for all channels.

        :return: fires the handlers once Redis has confirmed all channels.  If it refuses one,
            this fails, and no handler is left.
        """
        adding = DeferredList(self._dispatcher.add_all(wanted), consumeErrors=True)
        return adding.addCallback(self._added)

    def _added(self, results: list[tuple[bool, Any]]) -> Handlers:
        handlers = [(self, result) for succeeded, result in results if succeeded]
        for succeeded, result in results:
            if not succeeded:
                remove(handlers)
                result.raiseException()
        return handlers

    def connectionLost(self, reason: Failure) -> None:
        """Pass on that the connection is lost."""
        super().connectionLost(reason)
        self._lost(
            self, ConnectionLost(f"the connection to Redis was lost: {reason.getErrorMessage()}")
        )


#: Handlers, each with the subscriber that calls it.
Handlers = list[tuple[ResultSub, int]]


def remove(handlers: Handlers) -> None:
    """Remove handlers from their subscribers."""
    for sub, handler in handlers:
        sub.remove_handler(handler)


class SubscriberListener(Protocol):
    """Listens on the shared subscriber."""

    def __hash__(self) -> int: ...

    def lost(self, error: ConnectionLost) -> None:
        """Listen again, because the subscriber was lost."""


class SharedSubscriber:
    """One subscriber, connected while it is needed.

    :ivar listening: the objects to call when it is lost.
    :ivar sub: the subscriber, if it is connected.

    :param connect: connects a subscriber; its argument makes one.
    :param forget: drops one.
    :param others: returns further objects to call when it is lost.
    :param changed: called when ``listening`` changes.
    """

    def __init__(
        self,
        connect: Callable[[Callable[..., ResultSub]], Awaitable[ResultSub]],
        forget: Callable[[ResultSub], object],
        others: Callable[[], Iterable[SubscriberListener]],
        changed: Callable[[], object],
    ) -> None:
        self._connect = connect
        self._forget = forget
        self._others = others
        self._changed = changed
        self.listening: set[SubscriberListener] = set()
        self.sub: ResultSub | None = None
        self._connecting: Deferred[ResultSub] | None = None
        self._joining: dict[Deferred[ResultSub], None] = {}

    def join(self, listener: SubscriberListener) -> None:
        """Call an object when the subscriber is lost."""
        self.listening.add(listener)
        self._changed()

    def leave(self, listener: SubscriberListener) -> None:
        """Forget an object."""
        self.listening.discard(listener)
        self._changed()

    def get(self) -> Deferred[ResultSub]:
        """Fire the subscriber, once it is connected."""
        if self.sub is not None:
            return succeed(self.sub)
        joining: Deferred[ResultSub] = Deferred(self._cancelled)
        self._joining[joining] = None
        if self._connecting is None:
            connecting = self._connecting = Deferred.fromCoroutine(self._make())
            connecting.addBoth(self._connected, connecting)
        return joining

    async def _make(self) -> ResultSub:
        return await self._connect(
            lambda **credentials: ResultSub(RedisSubscriber(**credentials), self._lost)
        )

    def _connected(self, sub: ResultSub | Failure, connecting: Deferred[ResultSub]) -> None:
        """Fire all Deferreds that wait for the subscriber."""
        if self._connecting is not connecting:  # all of them were cancelled
            if not isinstance(sub, Failure):
                self._forget(sub)
            return
        self._connecting = None
        if not isinstance(sub, Failure):
            self.sub = sub
        joining, self._joining = self._joining, {}
        for one in joining:
            if one.called:  # cancelled by a callback of one before it
                continue
            if isinstance(sub, Failure):
                one.errback(Failure(sub.value))
            else:
                one.callback(sub)

    def _cancelled(self, joining: Deferred[ResultSub]) -> None:
        self._joining.pop(joining, None)
        if not self._joining and self._connecting is not None:
            connecting, self._connecting = self._connecting, None
            connecting.cancel()

    def _lost(self, sub: ResultSub, error: ConnectionLost) -> None:
        self._forget(sub)
        if self.sub is sub:
            self.sub = None
            for listener in [*self.listening, *self._others()]:
                listener.lost(error)

    def drop(self) -> None:
        """Forget the subscriber, whose connection is dropped."""
        self.sub = None
