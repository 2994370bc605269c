"""The subscriber: handlers for what is published on channels, over one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring
from txthoonk.channels._subscriber import ChannelSubscriber
from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.events import parse_cursor
from txthoonk.protocol import RedisSubscriber
from txthoonk.subscriptions import LIMIT, EventHandler, Subscription
from txthoonk.subscriptions._groups import follow_feed, follow_pattern
from txthoonk.subscriptions._router import ALL_KINDS, Sources
from txthoonk.wire._keys import check_name, feed_channel

if TYPE_CHECKING:
    from txthoonk.types._base import BaseFeed

__all__ = ["ThoonkSub"]


class ThoonkSub(ChannelSubscriber):
    """Calls handlers for what is published on channels.

    The parts of a message are given as ``str``; bytes that are not UTF-8 survive as
    surrogate escapes: ``item.encode("utf-8", "surrogateescape")`` gives them back.
    """

    def __init__(self, redis: RedisSubscriber) -> None:
        super().__init__(redis)
        self._sources = Sources(self._dispatcher, feed_channel("mark", self._uuid))

    @deferring
    def subscribe(
        self,
        feed: BaseFeed | str,
        handler: EventHandler | None = None,
        since: int | str | None = None,
        snapshot: bool = False,
        limit: int = LIMIT,
    ) -> Deferred[Subscription]:
        """Subscribe to the events of one feed, which need not exist yet.

        A subscriber alone hears what happens from now on; what it may have missed, after
        a lost connection, is told by a ``resync``.  A :class:`~txthoonk.service.Thoonk`
        can do more.

        :param feed: a feed, or its name.  Of a name all channels are subscribed to that
            any type of feed has; items come as text then, unless there is a publisher.
        :param handler: gets each :class:`~txthoonk.events.Event`; it may return a
            Deferred or a coroutine, and is called with the next event after that.  What
            fails is logged.  None: take the events from the subscription.
        :param since: the ``cursor`` of an event, or a revision: begin behind it.
        :param snapshot: begin with the items that there are, as ``snapshot`` events; not
            for queues and jobs.  With *since* only where that is not to be had.
        :param limit: how many events may wait for the subscriber, from 1.
        :return: fires a :class:`~txthoonk.subscriptions.Subscription` once no event can
            be missed any more; fails with
            :class:`~txthoonk.errors.ConnectionLost`,
            :class:`~txthoonk.errors.InvalidInput`, and with
            :class:`~txthoonk.errors.ResponseError` if Redis refuses it.  Cancelling it
            ends the subscription.
        """
        return self._to_subscribe(feed, handler, since, snapshot, limit)()

    def _to_subscribe(
        self,
        feed: BaseFeed | str,
        handler: EventHandler | None,
        since: int | str | None,
        snapshot: bool,
        limit: int,
    ) -> Callable[[], Deferred[Subscription]]:
        """Check everything, and give what subscribes."""
        name, kinds = _feed_of(feed)
        position = None if since is None else parse_cursor(since)
        self._check_subscription(handler, since, snapshot, limit)

        def subscribe() -> Deferred[Subscription]:
            self._check_connected()
            subscription = Subscription(name, handler, limit)
            return follow_feed(self._sources, subscription, name, kinds, position, snapshot)

        return subscribe

    @deferring
    def subscribe_pattern(
        self,
        pattern: str,
        handler: EventHandler | None = None,
        snapshot: bool = False,
        limit: int = LIMIT,
    ) -> Deferred[Subscription]:
        """Subscribe to the events of all feeds whose names match, now or later.

        :param pattern: as Redis has it (PSUBSCRIBE): ``*``, ``?``, ``[a-z]``, and a
            backslash before what is meant literally.
        :param handler: see :meth:`subscribe`.
        :param snapshot: begin with the items of each feed that there is; queues and
            jobs have no snapshot.
        :param limit: see :meth:`subscribe`.
        :return: see :meth:`subscribe`.
        """
        return self._to_subscribe_pattern(pattern, handler, snapshot, limit)()

    def _to_subscribe_pattern(
        self, pattern: str, handler: EventHandler | None, snapshot: bool, limit: int
    ) -> Callable[[], Deferred[Subscription]]:
        """Check everything, and give what subscribes."""
        if not isinstance(pattern, str) or not pattern:
            raise InvalidType(f"a pattern must be a str and not empty: {shown(pattern)}")
        self._check_subscription(handler, None, snapshot, limit)

        def subscribe() -> Deferred[Subscription]:
            self._check_connected()
            subscription = Subscription(pattern, handler, limit)
            return follow_pattern(self._sources, subscription, pattern, snapshot)

        return subscribe

    def _check_connected(self) -> None:
        if self._sources.reader is None:  # else there will be a connection
            self._dispatcher.check_connected()

    def _check_subscription(
        self, handler: EventHandler | None, since: object, snapshot: bool, limit: int
    ) -> None:
        if handler is not None and not callable(handler):
            raise InvalidType(f"a handler must be callable: {shown(handler)}")
        if type(limit) is not int or limit < 1:
            raise InvalidInput(f"a limit must be a whole number from 1: {shown(limit)}")
        if self._sources.reader is None and (since is not None or snapshot):
            raise InvalidInput(
                "a subscriber alone has no past: since and snapshot need a publisher "
                "beside it, as Thoonk has"
            )


def _feed_of(feed: object) -> tuple[str, tuple[str, ...]]:
    """Give a feed's name, and the kinds of events that it may have."""
    if isinstance(feed, str):
        return check_name(feed), ALL_KINDS
    name, kinds = getattr(feed, "name", None), getattr(feed, "_KINDS", ALL_KINDS)
    if not isinstance(name, str):
        raise InvalidType(f"a feed is subscribed to by itself or its name, not {shown(feed)}")
    return name, kinds
