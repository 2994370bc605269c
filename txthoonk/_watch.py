"""``thoonk watch``: the events of feeds whose names match patterns, as they happen."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from txthoonk import events
from txthoonk._glob import glob_matcher
from txthoonk._redis import TEXT
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import RedisSubscriber

__all__ = ["Watcher", "as_json", "as_text"]


class Watcher(RedisSubscriber):
    """A subscriber that hands on each event of the feeds that match, once.

    :ivar ready: fires None once Redis has confirmed all subscriptions.
    :ivar ended: fails when watching cannot go on.
    """

    def __init__(
        self, patterns: list[str], show: Callable[[events.Event], object], **credentials: Any
    ) -> None:
        super().__init__(**credentials)
        self.set_encoding(*TEXT)
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._show = show
        self._matchers = {pattern: glob_matcher(pattern) for pattern in patterns}
        # The pattern that Redis matches -> the one that the user gave.
        self._asked = {
            events.item_channel(kind, pattern): pattern
            for pattern in self._matchers
            for kind in events.ITEM_KINDS
        }

    def connectionMade(self) -> None:
        """Subscribe."""
        super().connectionMade()
        self.psubscribe(*self._asked)
        self.subscribe(*events.CHANNELS.values())

    def channelSubscribed(self, channel: str, numSubscriptions: int) -> None:
        """Learn that Redis has confirmed a channel."""
        if numSubscriptions == len(self._asked) + len(events.CHANNELS):
            self.ready.callback(None)

    def patternMessageReceived(self, pattern: str, channel: str, message: str) -> None:
        """Take an event of an item."""
        event = events.parse(channel, message)
        # Where several patterns match, Redis sends the message for each of them.
        if event is None or self._first_match(event.feed) == self._asked[pattern]:
            self._take(event, channel)

    def messageReceived(self, channel: str, message: str) -> None:
        """Take an event of a whole feed."""
        event = events.parse(channel, message)
        if event is None or self._first_match(event.feed) is not None:
            self._take(event, channel)

    def _first_match(self, feed: str) -> str | None:
        matching = (text for text, matches in self._matchers.items() if matches(feed))
        return next(matching, None)

    def _take(self, event: events.Event | None, channel: str) -> None:
        if event is None:
            self._log.error("malformed message on channel {channel!r} ignored", channel=channel)
            return
        try:
            self._show(event)
        except OSError as error:  # whoever reads the output has gone
            self._end(error)

    def subscriptionFailed(self, names: tuple[str | bytes, ...], error: BaseException) -> None:
        """Give up: Redis does not let us watch."""
        self._end(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give up: what happens from now on would be missed."""
        super().connectionLost(reason)
        self._end(self._lost or ConnectionLost())

    def _end(self, error: BaseException) -> None:
        if not self.ended.called:
            self.ended.errback(error)


def as_json(event: events.Event) -> str:
    """Write an event as one line of JSON, without what it does not have."""
    fields = event._asdict().items()
    return json.dumps({name: value for name, value in fields if value not in (None, False)})


def as_text(event: events.Event, now: datetime) -> str:
    """Write an event as one line to be read."""
    words = [f"{now:%H:%M:%S}", f"{event.kind:8}", event.feed]
    for detail in (event.id, event.position, event.item):
        if detail is not None:
            words.append(detail)
    return "  ".join(words)
