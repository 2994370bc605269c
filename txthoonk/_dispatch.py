"""Which channel goes to which handlers, and which channels Redis has confirmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import iscoroutine
from itertools import count
from typing import Any

import attr
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txthoonk._subscriber import RedisSubscriber
from txthoonk.errors import ConnectionLost
from txthoonk.events import message_parser

__all__ = ["Dispatcher", "Handler"]

#: Gets the parts of a message; may return a Deferred or a coroutine.
Handler = Callable[..., Any]


@attr.define(eq=False)
class _Channel:
    """One channel that somebody wants, or that Redis still has to answer for.

    :ivar handlers: by handler id, those that get messages.
    :ivar waiting: by handler id, those that wait for the confirmation.
    :ivar subscribed: whether the last request that was sent is SUBSCRIBE.
    :ivar unconfirmed: SUBSCRIBE requests that are not answered.  Only the last
        answer counts: an earlier one is older than the UNSUBSCRIBE behind it.
    """

    name: str
    parse: Callable[[str], list[str] | None]
    handlers: dict[int, Handler] = attr.Factory(dict)
    waiting: dict[int, tuple[Deferred[int], Handler]] = attr.Factory(dict)
    subscribed: bool = False
    unconfirmed: int = 0

    @property
    def live(self) -> bool:
        return self.subscribed and not self.unconfirmed


class Dispatcher:
    """Handlers by channel, over one subscriber connection at a time."""

    _log = Logger()

    def __init__(self) -> None:
        self._redis: RedisSubscriber | None = None
        self._channels: dict[str, _Channel] = {}
        self._by_id: dict[int, _Channel] = {}
        self._new_id: Iterator[int] = count()

    # -- what the user does ------------------------------------------------

    def add(self, name: str, handler: Handler) -> Deferred[int]:
        """Add a handler; fires its id once Redis has confirmed the channel."""
        if self._redis is None:
            raise ConnectionLost("not connected to Redis")
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel(name, message_parser(name))
        id_ = next(self._new_id)
        self._by_id[id_] = channel
        if channel.live:
            channel.handlers[id_] = handler
            return succeed(id_)
        added: Deferred[int] = Deferred(lambda _: self.remove(id_))
        channel.waiting[id_] = (added, handler)
        self._subscribe(channel)
        return added

    def remove(self, id_: int) -> None:
        """Remove a handler; the last one of a channel unsubscribes."""
        channel = self._by_id.pop(id_, None)
        if channel is not None:
            channel.handlers.pop(id_, None)
            channel.waiting.pop(id_, None)
            self._leave_if_unwanted(channel)

    def _subscribe(self, *channels: _Channel) -> None:
        for channel in channels:
            if self._redis is not None and not channel.subscribed:
                channel.subscribed = True
                channel.unconfirmed += 1
                # Each by itself: Redis refuses a request as a whole.
                self._redis.subscribe(channel.name)

    def _leave_if_unwanted(self, channel: _Channel) -> None:
        if channel.handlers or channel.waiting:
            return
        if channel.subscribed and self._redis is not None:
            channel.subscribed = False
            self._redis.unsubscribe(channel.name)
        # Somebody fired or failed meanwhile may have made a new one of that name.
        if not channel.unconfirmed and self._channels.get(channel.name) is channel:
            del self._channels[channel.name]

    # -- what the connection does -------------------------------------------

    def connected(self, redis: RedisSubscriber) -> None:
        """Take up all channels on a new connection."""
        self._redis = redis
        self._subscribe(*list(self._channels.values()))

    def disconnected(self, error: BaseException) -> None:
        """Forget what the connection had confirmed, and fail who waits for it."""
        self._redis = None
        for channel in list(self._channels.values()):
            channel.subscribed = False
            channel.unconfirmed = 0
            self._fail_waiting(channel, error)
            self._leave_if_unwanted(channel)

    def confirmed(self, name: str) -> None:
        """Take Redis' confirmation of a channel."""
        channel = self._channels.get(name)
        if channel is None or not channel.unconfirmed:
            return
        channel.unconfirmed -= 1
        if channel.unconfirmed:
            return
        waiting, channel.waiting = channel.waiting, {}
        for id_, (added, handler) in waiting.items():
            if id_ in self._by_id:  # not cancelled by one that was fired before it
                channel.handlers[id_] = handler
                added.callback(id_)
        self._leave_if_unwanted(channel)

    def refused(self, names: tuple[Any, ...], error: BaseException) -> None:
        """Take Redis' refusal to subscribe to channels."""
        for name in names:
            channel = self._channels.get(name)
            if channel is None or not channel.unconfirmed:
                continue
            channel.unconfirmed -= 1
            channel.subscribed = False
            self._fail_waiting(channel, error)
            if channel.handlers:
                self._log.error(
                    "no more messages of channel {name!r}: {error}", name=name, error=error
                )
            self._leave_if_unwanted(channel)

    def _fail_waiting(self, channel: _Channel, error: BaseException) -> None:
        waiting, channel.waiting = channel.waiting, {}
        for id_, (added, _) in waiting.items():
            if self._by_id.pop(id_, None):  # not cancelled by one that was failed before it
                added.errback(error)

    def message(self, name: str, message: str) -> None:
        """Call the handlers of a channel with the parts of a message."""
        channel = self._channels.get(name)
        if channel is None or not channel.live:
            return
        parts = channel.parse(message)
        if parts is None:
            self._log.error("malformed message on channel {name!r} ignored", name=name)
            return
        for id_, handler in list(channel.handlers.items()):
            if id_ in channel.handlers:  # not removed by one that was called before it
                self._call(name, handler, parts)

    def _call(self, name: str, handler: Handler, parts: list[str]) -> None:
        try:
            result = handler(*parts)
            if iscoroutine(result):
                result = Deferred.fromCoroutine(result)
        except Exception:
            self._log.failure("a handler of channel {name!r} failed", name=name)
            return
        if isinstance(result, Deferred):
            result.addErrback(
                lambda failure: self._log.failure(
                    "a handler of channel {name!r} failed", failure, name=name
                )
            )
