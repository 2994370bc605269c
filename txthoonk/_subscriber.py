"""Redis' pub/sub side: messages in, confirmations counted."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from twisted.python.failure import Failure

from txthoonk._redis import RedisProtocol
from txthoonk.errors import ConnectionLost

__all__ = ["RedisSubscriber"]


class RedisSubscriber(RedisProtocol):
    """A connection that subscribes, with txredis' interface.

    Override the ``...Received``, ``...Subscribed`` and ``...Unsubscribed`` methods,
    in a subclass or on the object.  An exception from one of them is logged and
    stops nothing.  Strings are decoded as the constructor's *charset* says.
    """

    # The requests whose confirmations have not all come, oldest first, each as the
    # number that is still missing: one request is answered once for every name.
    _unconfirmed: deque[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unconfirmed = deque()
        self._channels: set[Any] = set()
        self._patterns: set[Any] = set()

    def subscribe(self, *channels: str | bytes) -> None:
        """Send SUBSCRIBE; :meth:`channelSubscribed` is called for each channel."""
        self._channels.update(channels)
        self._ask("SUBSCRIBE", channels, len(channels))

    def unsubscribe(self, *channels: str | bytes) -> None:
        """Send UNSUBSCRIBE, without arguments for all channels."""
        self._leave("UNSUBSCRIBE", channels, self._channels)

    def psubscribe(self, *patterns: str | bytes) -> None:
        """Send PSUBSCRIBE; :meth:`channelPatternSubscribed` is called for each pattern."""
        self._patterns.update(patterns)
        self._ask("PSUBSCRIBE", patterns, len(patterns))

    def punsubscribe(self, *patterns: str | bytes) -> None:
        """Send PUNSUBSCRIBE, without arguments for all patterns."""
        self._leave("PUNSUBSCRIBE", patterns, self._patterns)

    def _leave(self, word: str, names: tuple[str | bytes, ...], known: set[Any]) -> None:
        # Where nothing is subscribed the server confirms once all the same.
        confirmations = len(names) or len(known) or 1
        known.difference_update(names or tuple(known))
        self._ask(word, names, confirmations)

    def _ask(self, word: str, names: tuple[str | bytes, ...], confirmations: int) -> None:
        asked = self.request((word, *names))
        if asked.called:  # nothing was sent
            asked.addErrback(self._declined, names)
        else:
            self._unconfirmed.append(confirmations)
            asked.addErrback(self._refusedToSubscribe, names)

    def _refusedToSubscribe(self, reason: Failure, names: tuple[str | bytes, ...]) -> None:
        self._unconfirmed.popleft()
        if not isinstance(reason.value, ConnectionLost):
            self._declined(reason, names)

    def _declined(self, reason: Failure, names: tuple[str | bytes, ...]) -> None:
        self.subscriptionFailed(names, cast(BaseException, reason.value))

    def _replyReceived(self, reply: Any) -> None:
        kind = reply[0] if reply.__class__ is list and reply else None
        try:
            if kind == "message" or kind == b"message":
                self.messageReceived(reply[1], reply[2])
            elif kind == "pmessage" or kind == b"pmessage":
                self.patternMessageReceived(reply[1], reply[2], reply[3])
            elif kind in _CONFIRMATIONS:
                self._confirmed(_CONFIRMATIONS[kind], reply[1], reply[2])
            else:
                super()._replyReceived(reply)
        except Exception:
            self._log.failure("error while dealing with {what!r}", what=reply[:2])

    def _confirmed(self, method: str, name: Any, subscriptions: int) -> None:
        if self._unconfirmed:
            self._unconfirmed[0] -= 1
            if self._unconfirmed[0] == 0:
                self._unconfirmed.popleft()
                self._pending.popleft()
        getattr(self, method)(name, subscriptions)

    def messageReceived(self, channel: Any, message: Any) -> None:
        """Take a message that was published on a subscribed channel."""

    def patternMessageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
        """Take a message whose channel matches a subscribed pattern.

        By default it goes to :meth:`messageReceived`, as in txredis.
        """
        self.messageReceived(channel, message)

    def channelSubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Learn that Redis has confirmed a channel."""

    def channelUnsubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Learn that Redis has ended a channel; None if there was none to end."""

    def channelPatternSubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Learn that Redis has confirmed a pattern."""

    def channelPatternUnsubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Learn that Redis has ended a pattern; None if there was none to end."""

    def subscriptionFailed(self, names: tuple[str | bytes, ...], error: BaseException) -> None:
        """Learn that Redis refused to subscribe, by an ACL for instance.

        :param names: all channels or patterns of the request that was refused.
        """
        self._log.error("not subscribed to {names!r}: {error}", names=names, error=error)


_CONFIRMATIONS: dict[str | bytes | None, str] = {
    "subscribe": "channelSubscribed",
    "unsubscribe": "channelUnsubscribed",
    "psubscribe": "channelPatternSubscribed",
    "punsubscribe": "channelPatternUnsubscribed",
}
_CONFIRMATIONS.update({str(kind).encode(): name for kind, name in list(_CONFIRMATIONS.items())})
