"""One channel or pattern, and everything that wants its messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attr
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txthoonk._support._deferreds import begun
from txthoonk._support._rate_limit import LogLimit
from txthoonk.channels._interfaces import GroupListener
from txthoonk.wire._keys import SEPARATOR

__all__ = ["Group", "Handler", "Topic"]

#: Gets the parts of a message; may return a Deferred or a coroutine.
Handler = Callable[..., Any]

_log = Logger()


@attr.frozen(eq=False)
class Group:
    """Channels and patterns that are wanted together.

    :ivar channels: channel -> the function that gets its messages.
    :ivar patterns: pattern -> the function that gets the channel and the message, for each message
        whose channel matches.
    :ivar listener: learns whether Redis has confirmed all of them.
    """

    channels: Mapping[str, Callable[[str], object]]
    patterns: Mapping[str, Callable[[str, str], object]]
    listener: GroupListener


@attr.define(eq=False)
class Topic:
    """A channel or pattern that is wanted, or for which an answer of Redis is due.

    :ivar shape: of its messages: see :func:`~txthoonk.events.message_shape`.
    :ivar handlers: handler id -> the function that takes messages for it.
    :ivar by_feed: feed -> the same, for handlers that want the messages of one feed.
    :ivar feeds: handler id -> that feed.
    :ivar waiting: handler id -> what to fire at the confirmation, and the function.
    :ivar groups: the groups that it belongs to.
    :ivar sinks: the functions that these groups have for its messages.
    :ivar subscribed: whether the last request that was sent is SUBSCRIBE.
    :ivar unconfirmed: how many SUBSCRIBE requests are not answered. Only the last answer counts:
        an earlier one is older than the UNSUBSCRIBE between them.
    :ivar log_limit: logs what is wrong with messages.
    """

    name: str
    pattern: bool
    shape: tuple[int, int]
    handlers: dict[int, Callable[[str], object]] = attr.Factory(dict)
    by_feed: dict[str, dict[int, Callable[[str], object]]] = attr.Factory(dict)
    feeds: dict[int, str] = attr.Factory(dict)
    waiting: dict[int, tuple[Deferred[int], Callable[[str], object]]] = attr.Factory(dict)
    groups: dict[Group, None] = attr.Factory(dict)
    sinks: tuple[Callable[..., object], ...] = ()
    subscribed: bool = False
    unconfirmed: int = 0
    log_limit: LogLimit = attr.Factory(lambda: LogLimit(_log))

    @property
    def live(self) -> bool:
        """Whether Redis has confirmed it."""
        return self.subscribed and not self.unconfirmed

    @property
    def wanted(self) -> bool:
        """Whether a handler or a group wants its messages."""
        return bool(self.handlers or self.by_feed or self.waiting or self.groups)

    def keep(self, id_: int, tell: Callable[[str], object]) -> None:
        """Hand messages to a handler from now on."""
        feed = self.feeds.get(id_)
        if feed is None:
            self.handlers[id_] = tell
        else:
            self.by_feed.setdefault(feed, {})[id_] = tell

    def forget(self, id_: int) -> None:
        """Hand no more messages to a handler."""
        self.handlers.pop(id_, None)
        self.waiting.pop(id_, None)
        feed = self.feeds.pop(id_, None)
        if feed is not None and feed in self.by_feed:
            same = self.by_feed[feed]
            same.pop(id_, None)
            if not same:
                del self.by_feed[feed]

    def join(self, group: Group) -> None:
        """Hand messages to a group from now on."""
        self.groups[group] = None
        self._collect_sinks()

    def leave(self, group: Group) -> None:
        """Hand no more messages to a group."""
        self.groups.pop(group, None)
        self._collect_sinks()

    def _collect_sinks(self) -> None:
        if self.pattern:
            self.sinks = tuple(group.patterns[self.name] for group in self.groups)
        else:
            self.sinks = tuple(group.channels[self.name] for group in self.groups)

    def route(self) -> Callable[[str], object]:
        """Return the function that takes the channel's messages, by the shortest way."""
        if self.by_feed:
            return self._message
        if not self.handlers and len(self.sinks) == 1:
            return self.sinks[0]
        if not self.sinks and len(self.handlers) == 1:
            return next(iter(self.handlers.values()))
        return self._message

    def teller(self, handler: Handler) -> Callable[[str], object]:
        """Make the function that takes messages for a handler."""
        most, wanted = self.shape

        # Every message runs this, so it makes no call that it can avoid.
        def tell(message: str) -> None:
            parts = message.split(SEPARATOR, most)
            if wanted and len(parts) != wanted:
                self._malformed()
                return
            try:
                result = handler(*parts)
            except BaseException:
                _log.failure("a handler of channel {name!r} failed", name=self.name)
                return
            if result is not None:
                self._follow(result)

        return tell

    def _message(self, message: str) -> None:
        """Hand a message to all that want it."""
        most, wanted = self.shape
        if self.handlers and wanted and len(message.split(SEPARATOR, most)) != wanted:
            self._malformed()
            return
        for sink in self.sinks:
            sink(message)
        for id_, tell in tuple(self.handlers.items()):
            if id_ in self.handlers:  # a handler that was called before it may have removed it
                tell(message)
        if self.by_feed:
            for id_, tell in tuple(self.by_feed.get(message.partition(SEPARATOR)[0], {}).items()):
                if id_ in self.feeds:
                    tell(message)

    def pattern_message(self, channel: str, message: str) -> None:
        """Hand a message of a channel that matches the pattern to all that want it."""
        for sink in self.sinks:
            sink(channel, message)

    def _malformed(self) -> None:
        self.log_limit.error("malformed message on channel {name!r} ignored", name=self.name)

    def _follow(self, result: Any) -> None:
        """Log the failure of what a handler has begun."""
        if (doing := begun(result)) is not None:
            doing.addErrback(
                lambda failure: _log.failure(
                    "a handler of channel {name!r} failed", failure, name=self.name
                )
            )
