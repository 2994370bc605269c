"""The subscriber by which a publisher learns of results."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._support._deferreds import deferring
from txthoonk.channels._dispatcher import Handler
from txthoonk.channels._subscriber import ChannelSubscriber
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import RedisSubscriber

__all__ = ["ResultSub"]


class ResultSub(ChannelSubscriber):
    """The subscriber of those who wait; it tells when its connection is lost."""

    def __init__(
        self, redis: RedisSubscriber, lost: Callable[[ResultSub, ConnectionLost], object]
    ) -> None:
        super().__init__(redis)
        self._lost = lost

    @deferring
    def listen(self, channel: str, handler: Handler, feed: str | None = None) -> Deferred[int]:
        """Call a handler for the messages of a channel, or for those of one feed on it.

        :return: as :meth:`register_handler`.
        """
        return self._dispatcher.add(channel, handler, feed)

    def connectionLost(self, reason: Failure) -> None:
        """Be told that the connection is gone."""
        super().connectionLost(reason)
        self._lost(
            self, ConnectionLost(f"the connection to Redis was lost: {reason.getErrorMessage()}")
        )
