"""Pub/sub on one connection: receives messages and counts confirmations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.python.failure import Failure

from txthoonk._support._rate_limit import LogLimit
from txthoonk.errors import ConnectionLost, InvalidData, InvalidResponse, shown
from txthoonk.protocol._client import _NOT_YET, RedisProtocol
from txthoonk.protocol._waiting import Waiting

__all__ = ["RedisSubscriber"]

_MESSAGES = ("message", b"message", "pmessage", b"pmessage")

_ALL = -1  # stands for the confirmations of an UNSUBSCRIBE from all, until its turn comes


class RedisSubscriber(RedisProtocol):
    """A connection that subscribes, with txredis' interface.

    Override the ``...Received``, ``...Subscribed`` and ``...Unsubscribed`` methods in a subclass
    or on the object.  If one of them raises, the error is logged and the connection goes on.
    The constructor's *charset* decodes all strings.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the protocol; the arguments are those of :class:`~txthoonk.protocol.Redis`."""
        super().__init__(*args, **kwargs)
        # The names that the server has confirmed.
        self._channels: set[Any] = set()
        self._patterns: set[Any] = set()
        self._routes: Mapping[Any, Callable[[Any], object]] = {}
        self._pattern_routes: Mapping[Any, Callable[[Any, Any], object]] = {}
        self._routed: object = None
        self._log_limit = LogLimit(self._log)

    def subscribe(self, *channels: str | bytes) -> None:
        """Send SUBSCRIBE; :meth:`channelSubscribed` is called for each channel."""
        self._ask("SUBSCRIBE", channels)

    def unsubscribe(self, *channels: str | bytes) -> None:
        """Send UNSUBSCRIBE; without arguments, for all channels."""
        self._ask("UNSUBSCRIBE", channels)

    def psubscribe(self, *patterns: str | bytes) -> None:
        """Send PSUBSCRIBE; :meth:`channelPatternSubscribed` is called for each pattern."""
        self._ask("PSUBSCRIBE", patterns)

    def punsubscribe(self, *patterns: str | bytes) -> None:
        """Send PUNSUBSCRIBE; without arguments, for all patterns."""
        self._ask("PUNSUBSCRIBE", patterns)

    def _ask(self, word: str, names: tuple[str | bytes, ...]) -> None:
        asked = cast(Waiting, self.request((word, *names)))
        asked.confirmations = len(names) or _ALL
        asked.addErrback(self._declined, word, names, sent=not asked.called)

    def _declined(
        self, reason: Failure, word: str, names: tuple[str | bytes, ...], sent: bool
    ) -> None:
        # If the connection was lost, connectionLost reports it once, for all requests.
        if not (sent and isinstance(reason.value, ConnectionLost)):
            patterns = word.startswith("P")
            failed = self.patternSubscriptionFailed if patterns else self.subscriptionFailed
            failed(names, cast(BaseException, reason.value))

    def route(
        self,
        received: Callable[[Any, Any], None],
        routes: Mapping[Any, Callable[[Any], object]],
        patterns: Mapping[Any, Callable[[Any, Any], object]],
    ) -> None:
        """Call *received* for each message, as an override of ``messageReceived``.

        :param routes: channel -> the function that gets its messages instead, which is faster.
            If ``messageReceived`` is overridden after this call, it gets all messages.
        :param patterns: pattern -> the function that gets the channel and the message of each
            match.
        """
        self.messageReceived = received  # type: ignore[method-assign, assignment]
        self._routed, self._routes, self._pattern_routes = received, routes, patterns

    def set_encoding(self, charset: str | None, errors: str = "strict") -> None:
        """Change how names are encoded, and how later messages are decoded."""
        super().set_encoding(charset, errors)
        # If the parser failed on a message, that error would pass for the reply to a request.
        # So the parser accepts any bytes, and _is_text checks the result.
        self._strict = errors == "strict" and charset is not None
        if self._strict:
            self._own = self._own._replace(errors="surrogateescape")

    def dataReceived(self, data: bytes) -> None:
        """Deliver each message, confirmation and reply."""
        if self._lost is not None:
            return
        self.heard += 1
        self._reader.feed(data)
        if self._routed is self.messageReceived and self._current is self._own:
            self._take_messages()
        else:
            self._parse()

    def _take_messages(self) -> None:
        """Deliver messages on a fast path, up to the first reply of another kind."""
        gets = self._reader.gets
        route, pattern_route = self._routes.get, self._pattern_routes.get
        while True:
            try:
                reply = gets()
            except (InvalidResponse, TypeError, MemoryError) as error:
                self._malformed(error)
                return
            if reply.__class__ is not list or len(reply) < 3:
                break
            what = reply[0]
            try:
                if what == "message" and (sink := route(reply[1])) is not None:
                    sink(reply[2])
                elif what == "pmessage" and (taker := pattern_route(reply[1])) is not None:
                    taker(reply[2], reply[3])
                else:
                    break
            except BaseException:
                self._log.failure("error while handling {what}", what=shown(reply[:2]))
        if reply is not _NOT_YET:
            self._replyReceived(reply)
            self._parse()

    def _replyReceived(self, reply: Any) -> None:
        kind = reply[0] if reply.__class__ is list and reply else None
        try:
            if kind in _MESSAGES:
                self._messageReceived(reply)
            elif isinstance(kind, (str, bytes)) and kind in _CONFIRMATIONS:
                self._confirmed(*_CONFIRMATIONS[kind], reply[1], reply[2])
            elif self._strict and not _is_text(reply):
                reason = f"a reply is not valid {self.charset}: {shown(reply)}"
                super()._replyReceived(InvalidData(reason))
            else:
                super()._replyReceived(reply)
        except BaseException:
            self._log.failure("error while handling {what}", what=shown(reply[:2]))

    def _messageReceived(self, reply: list[Any]) -> None:
        if self._strict and not _is_text(reply):
            text = "a message that is not valid {c} was ignored: {m}"
            self._log_limit.error(text, c=self.charset, m=shown(reply))
        elif len(reply) == 3:
            self.messageReceived(reply[1], reply[2])
        else:
            self.patternMessageReceived(reply[1], reply[2], reply[3])

    def _confirmed(
        self, hook: str, known: str, subscribed: bool, name: Any, subscriptions: int
    ) -> None:
        """Count a confirmation: Redis sends one for each name of a request."""
        names: set[Any] = getattr(self, known)
        head = self._pending[0] if self._pending else None
        if head is not None and head.confirmations:
            if head.confirmations == _ALL:
                # All earlier requests are answered, so we know how many names this one ends.
                # If there are none, the server confirms once.
                head.confirmations = len(names) or 1
            head.confirmations -= 1
            if not head.confirmations:
                self._pending.popleft()
        (names.add if subscribed else names.discard)(name)
        getattr(self, hook)(name, subscriptions)

    def messageReceived(self, channel: Any, message: Any) -> None:
        """Receive a message of a subscribed channel."""

    def patternMessageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
        """Receive a message whose channel matches a subscribed pattern.

        By default, calls :meth:`messageReceived`, as txredis does.
        """
        self.messageReceived(channel, message)

    def channelSubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Called when Redis has subscribed to a channel."""

    def channelUnsubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Called when Redis has unsubscribed from a channel; None if there was no channel."""

    def channelPatternSubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Called when Redis has subscribed to a pattern."""

    def channelPatternUnsubscribed(self, channel: Any, numSubscriptions: int) -> None:
        """Called when Redis has unsubscribed from a pattern; None if there was no pattern."""

    def subscriptionFailed(self, names: tuple[str | bytes, ...], error: BaseException) -> None:
        """Called when Redis refuses to subscribe, for example because of an ACL.

        :param names: all channels or patterns of the refused request.
        """
        self._log.error("not subscribed to {names!r}: {error}", names=names, error=error)

    def patternSubscriptionFailed(
        self, names: tuple[str | bytes, ...], error: BaseException
    ) -> None:
        """Called when Redis refuses to subscribe to patterns.

        By default, calls :meth:`subscriptionFailed`.

        :param names: all patterns of the refused request.
        """
        self.subscriptionFailed(names, error)


def _is_text(reply: Any) -> bool:
    """Return whether all strings of a reply were valid in their charset."""
    for text in reply if isinstance(reply, list) else (reply,):
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                return False
    return True


# Kind of confirmation -> the hook, the set of names, and whether the name is now in it.
_CONFIRMATIONS: dict[str | bytes, tuple[str, str, bool]] = {
    "subscribe": ("channelSubscribed", "_channels", True),
    "unsubscribe": ("channelUnsubscribed", "_channels", False),
    "psubscribe": ("channelPatternSubscribed", "_patterns", True),
    "punsubscribe": ("channelPatternUnsubscribed", "_patterns", False),
}
_CONFIRMATIONS.update({str(kind).encode(): row for kind, row in list(_CONFIRMATIONS.items())})
