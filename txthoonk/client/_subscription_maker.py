"""What ``subscribe`` and ``subscribe_pattern`` do, for a subscriber and for a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk.channels._dispatcher import Dispatcher
from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.events import parse_cursor
from txthoonk.subscriptions import EventHandler, Subscription
from txthoonk.subscriptions._groups import follow_feed, follow_pattern
from txthoonk.subscriptions._router import ALL_KINDS, Sources
from txthoonk.wire._keys import check_name, feed_channel

if TYPE_CHECKING:
    from txthoonk.types._base import BaseFeed

__all__ = ["SubscriptionMaker"]


class SubscriptionMaker:
    """Checks arguments, and makes subscriptions.

    :ivar sources: the feeds that are followed.

    :param dispatcher: calls the handlers of channels.
    :param own_id: identifies the subscriber.
    :param ping: sends a PING on its connection.
    """

    def __init__(
        self, dispatcher: Dispatcher, own_id: str, ping: Callable[[], Deferred[Any]]
    ) -> None:
        self.sources = Sources(dispatcher, feed_channel("mark", own_id), ping)
        self._dispatcher = dispatcher

    def feed(
        self,
        feed: BaseFeed | str,
        handler: EventHandler | None,
        since: int | str | None,
        snapshot: bool,
        limit: int,
    ) -> Callable[[], Deferred[Subscription]]:
        """Check the arguments, and return a function that subscribes to a feed."""
        name, kinds = _feed_of(feed)
        position = None if since is None else parse_cursor(since)
        self._check(handler, since, snapshot, limit)

        def subscribe() -> Deferred[Subscription]:
            self._check_connected()
            subscription = Subscription(name, handler, limit)
            return follow_feed(self.sources, subscription, name, kinds, position, snapshot)

        return subscribe

    def pattern(
        self, pattern: str, handler: EventHandler | None, snapshot: bool, limit: int
    ) -> Callable[[], Deferred[Subscription]]:
        """Check the arguments, and return a function that subscribes to a pattern."""
        if not isinstance(pattern, str) or not pattern:
            raise InvalidType(f"a pattern must be a str and not empty: {shown(pattern)}")
        self._check(handler, None, snapshot, limit)

        def subscribe() -> Deferred[Subscription]:
            self._check_connected()
            subscription = Subscription(pattern, handler, limit)
            return follow_pattern(self.sources, subscription, pattern, snapshot)

        return subscribe

    def _check_connected(self) -> None:
        if self.sources.reader is None:  # a service waits for its connection
            self._dispatcher.check_connected()

    def _check(
        self, handler: EventHandler | None, since: object, snapshot: bool, limit: int
    ) -> None:
        if handler is not None and not callable(handler):
            raise InvalidType(f"a handler must be callable: {shown(handler)}")
        if type(limit) is not int or limit < 1:
            raise InvalidInput(f"a limit must be a whole number from 1: {shown(limit)}")
        if self.sources.reader is None and (since is not None or snapshot):
            raise InvalidInput(
                "since and snapshot need a publisher, which ThoonkSub does not have: subscribe "
                "with Thoonk"
            )


def _feed_of(feed: object) -> tuple[str, tuple[str, ...]]:
    """Return a feed's name, and the kinds of events that it may have."""
    if isinstance(feed, str):
        return check_name(feed), ALL_KINDS
    name, kinds = getattr(feed, "name", None), getattr(feed, "_KINDS", ALL_KINDS)
    if not isinstance(name, str):
        raise InvalidType(f"subscribe takes a feed or its name, not {shown(feed)}")
    return name, kinds
