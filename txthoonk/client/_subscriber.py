"""The subscriber: handlers for messages and events, over one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring
from txthoonk.channels._subscriber import ChannelSubscriber
from txthoonk.client._subscription_maker import SubscriptionMaker
from txthoonk.protocol import RedisSubscriber
from txthoonk.subscriptions import LIMIT, EventHandler, Subscription

if TYPE_CHECKING:
    from txthoonk.types._base import BaseFeed

__all__ = ["ThoonkSub"]


class ThoonkSub(ChannelSubscriber):
    """Calls handlers for what is published on channels.

    Handlers receive the parts of a message as ``str``.  Bytes that are not UTF-8 become surrogate
    escapes: ``item.encode("utf-8", "surrogateescape")`` restores them.
    """

    def __init__(self, redis: RedisSubscriber) -> None:
        super().__init__(redis)
        self._maker = SubscriptionMaker(
            self._dispatcher, self.uuid, lambda: self.redis.send("PING")
        )

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

        A ``ThoonkSub`` receives the events from now on.  After a lost connection, a ``resync``
        event says that events may be missing.  A :class:`~txthoonk.service.Thoonk` can do more.

        :param feed: a feed, or its name.  A name subscribes to the channels of all types of
            feeds, and items are then text, unless there is a publisher.
        :param handler: called with each :class:`~txthoonk.events.Event`.  If it returns a
            Deferred or a coroutine, the next event waits for that.  Failures are logged.  None to
            take the events from the subscription.
        :param since: the ``cursor`` of an event, or a revision, to start after it.
        :param snapshot: whether to start with the present items, as ``snapshot`` events; not for
            queues and jobs.  With *since*, only if the events after that are no longer kept.
        :param limit: the most events that may wait in the subscription, from 1.
        :return: fires a :class:`~txthoonk.subscriptions.Subscription` as soon as it can no longer
            miss an event; fails with
            :class:`~txthoonk.errors.ConnectionLost`,
            :class:`~txthoonk.errors.InvalidInput`, with
            :class:`~txthoonk.errors.FeedTypeMismatch` for a snapshot of a queue or a job feed, and
            with :class:`~txthoonk.errors.ResponseError` if Redis refuses it.  Cancel it to end the
            subscription.  A feed that is made anew as a queue or a job feed later has no snapshot
            either: a ``resync`` says so.
        """
        return self._maker.feed(feed, handler, since, snapshot, limit)()

    @deferring
    def subscribe_pattern(
        self,
        pattern: str,
        handler: EventHandler | None = None,
        snapshot: bool = False,
        limit: int = LIMIT,
    ) -> Deferred[Subscription]:
        """Subscribe to the events of all feeds whose names match, now or later.

        :param pattern: a pattern of Redis (PSUBSCRIBE): ``*``, ``?``, ``[a-z]``, and a backslash
            before a literal character.
        :param handler: see :meth:`subscribe`.
        :param snapshot: whether to start with the items of each existing feed; queues and jobs
            have no snapshot.
        :param limit: see :meth:`subscribe`.
        :return: see :meth:`subscribe`.
        """
        return self._maker.pattern(pattern, handler, snapshot, limit)()
