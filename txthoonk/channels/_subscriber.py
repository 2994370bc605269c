"""A subscriber that calls handlers for the messages of channels, over one connection."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport
from twisted.python.failure import Failure

from txthoonk._support._deferreds import deferring
from txthoonk._support._threads import check_thread
from txthoonk.channels._dispatcher import Dispatcher, Handler
from txthoonk.connections._wrapper import ThoonkBase
from txthoonk.errors import ConnectionLost, InvalidType, shown
from txthoonk.events import channel_for, meant_feed
from txthoonk.protocol import RedisSubscriber
from txthoonk.protocol._encoding import TEXT

__all__ = ["ChannelSubscriber", "check_handler"]


class ChannelSubscriber(ThoonkBase[RedisSubscriber]):
    """Calls handlers for the messages of channels.

    Handlers get the parts of a message as ``str``. Bytes that are not UTF-8 become surrogate
    escapes: ``item.encode("utf-8", "surrogateescape")`` gives them back.
    """

    def __init__(self, redis: RedisSubscriber, dispatcher: Dispatcher | None = None) -> None:
        """Make the object.

        :param dispatcher: has the channels; None: a new one.
        """
        self._dispatcher = dispatcher or Dispatcher()
        super().__init__(redis)

    def set_redis(self, redis: RedisSubscriber) -> None:
        """Use *redis* from now on. A factory calls this when it reconnects."""
        super().set_redis(redis)
        if not isinstance(redis, RedisSubscriber):
            return  # 0.1 accepted any protocol; makeConnection refuses it
        redis.set_encoding(*TEXT)
        # As in 0.1, the subscriber calls us through its own attributes.
        redis.channelSubscribed = self.channelSubscribed  # type: ignore[method-assign]
        redis.subscriptionFailed = self._dispatcher.refused  # type: ignore[method-assign]
        self._take_messages(redis)

    def _take_messages(self, redis: RedisSubscriber) -> None:
        dispatcher = self._dispatcher
        redis.patternMessageReceived = self._pattern_message  # type: ignore[method-assign]
        redis.patternSubscriptionFailed = dispatcher.refused_patterns  # type: ignore[method-assign]
        redis.channelPatternSubscribed = dispatcher.pattern_confirmed  # type: ignore[method-assign]
        overridden = type(self).messageReceived is not ChannelSubscriber.messageReceived
        if overridden:
            redis.route(self.messageReceived, {}, {})
        else:
            redis.route(self.messageReceived, dispatcher.routes, dispatcher.pattern_routes)

    def _pattern_message(self, pattern: str, channel: str, message: str) -> None:
        if not self._dispatcher.pattern_message(pattern, channel, message):
            self.redis.messageReceived(channel, message)  # txredis does so with all

    def makeConnection(self, transport: ITransport) -> None:
        """Take the transport of a new connection, and subscribe to all channels on it.

        :raises InvalidType: if the protocol is not a :class:`~txthoonk.protocol.RedisSubscriber`.
        """
        if not isinstance(self.redis, RedisSubscriber):
            kind = type(self.redis).__name__
            raise InvalidType(f"{type(self).__name__} needs a RedisSubscriber, not a {kind}")
        super().makeConnection(transport)
        self._dispatcher.connected(self.redis)

    def connectionLost(self, reason: Failure) -> None:
        """Learn that the connection is lost: registrations that wait for it fail."""
        # First, because code that learns of the loss may register handlers.
        self._dispatcher.disconnected(
            ConnectionLost(f"the connection to Redis was lost: {reason.getErrorMessage()}")
        )
        super().connectionLost(reason)

    def messageReceived(self, channel: str, message: str) -> None:
        """Take a message from the connection."""
        self._dispatcher.message(channel, message)

    def channelSubscribed(self, channel: str, numSubscriptions: int) -> None:
        """Take a confirmation from the connection."""
        self._dispatcher.confirmed(channel)

    @deferring
    def register_handler(self, event: str, handler: Handler) -> Deferred[int]:
        """Call *handler* for every message of a channel, from the confirmation on.

        :param event: ``create``, ``delete`` or ``config`` for all feeds, ``config:[feed]`` for
            one, or a channel such as ``feed.publish:[feed]``.  ``create_notice`` and
            ``delete_notice`` of thoonk.py are the first two.
        :param handler: gets the parts of the message: the feed's name and more for events of a
            feed as a whole, (id, item) for publish and edit, (id) for retract. It may return a
            Deferred or a coroutine, but the next message does not wait for that. A failure is
            logged, and does not affect other handlers.
        :return: fires the handler's id once Redis confirms the channel; fails with
            :class:`~txthoonk.errors.ConnectionLost`, with
            :class:`~txthoonk.errors.InvalidInput` for an event that has no channel for all
            feeds, such as ``publish``, and with
            :class:`~txthoonk.errors.ResponseError` if Redis refuses the channel. If you cancel
            it, the handler is removed.
        """
        check_handler(event, handler)
        return self._dispatcher.add(channel_for(event), handler, meant_feed(event))

    def remove_handler(self, id_: int) -> None:
        """Remove a handler. The last one of a channel unsubscribes.

        :param id_: the id that :meth:`register_handler` fired. An unknown one is ignored.
        """
        check_thread()
        self._dispatcher.remove(id_)


def check_handler(event: object, handler: object) -> None:
    """Check that *event* has a channel, and that *handler* can be called.

    :raises InvalidType: if one of them is of the wrong type.
    :raises InvalidInput: if nothing is ever published for the event.
    """
    if not isinstance(event, str) or not event:
        raise InvalidType(f"an event must be a str that is not empty, not {shown(event)}")
    channel_for(event)
    if not callable(handler):
        raise InvalidType(f"a handler must be callable, not {shown(handler)}")
