"""The subscriber: handlers for what is published on channels, over one connection."""

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

    The parts of a message are given as ``str``; bytes that are not UTF-8 survive as
    surrogate escapes: ``item.encode("utf-8", "surrogateescape")`` gives them back.
    """

    def __init__(self, redis: RedisSubscriber) -> None:
        super().__init__(redis)
        self._maker = SubscriptionMaker(self._dispatcher, self._uuid)

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

        :param pattern: as Redis has it (PSUBSCRIBE): ``*``, ``?``, ``[a-z]``, and a
            backslash before what is meant literally.
        :param handler: see :meth:`subscribe`.
        :param snapshot: begin with the items of each feed that there is; queues and
            jobs have no snapshot.
        :param limit: see :meth:`subscribe`.
        :return: see :meth:`subscribe`.
        """
        return self._maker.pattern(pattern, handler, snapshot, limit)()
