"""Making subscriptions: the followers of one feed, or of all feeds that match a pattern."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._rate_limit import LogLimit
from txthoonk._support._replies import parsing
from txthoonk.channels._dispatcher import Group
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.events import Event
from txthoonk.history._reads import REASONS
from txthoonk.history._recovery import UNRECORDED, Position
from txthoonk.protocol._encoding import TEXT
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._interfaces import Reader
from txthoonk.subscriptions._pace import Pace
from txthoonk.subscriptions._router import ALL_KINDS, Pattern, Sources
from txthoonk.subscriptions._subscription import Subscription
from txthoonk.subscriptions.following._follower import UNCONFIRMED, Follower
from txthoonk.wire._keys import FEEDS

__all__ = ["follow_feed", "follow_pattern"]

SCANNED = 1000  # names that Redis looks at in one call
AT_ONCE = 100  # feeds that read their positions at a time, and feeds in one turn of the reactor


def follow_feed(
    sources: Sources,
    subscription: Subscription,
    feed: str,
    kinds: tuple[str, ...] = ALL_KINDS,
    since: tuple[str, int] | None = None,
    snapshot: bool = False,
) -> Deferred[Subscription]:
    """Have a subscription follow one feed.

    :return: fires the subscription once its position is known.
    """
    position = None if since is None else Position(*since)
    first: Deferred[None] = Deferred(lambda _: None)

    def make(source: Source) -> Follower:
        return Follower(
            subscription,
            source,
            sources.reader,
            sources.pairing,
            position=position,
            snapshot=snapshot,
            gap=None if since is None else REASONS["off"],
            first=first,
        )

    subscription.feed_from(sources.follow(feed, kinds, make))
    return _started(subscription, first)


def _started(subscription: Subscription, first: Deferred[None]) -> Deferred[Subscription]:
    """Make a Deferred that fires the subscription. Cancelling it stops the subscription."""

    def cancelled(_: object) -> None:
        subscription.stop()

    started: Deferred[Subscription] = AwaitableDeferred(cancelled)

    def fire(_: object) -> None:
        if not started.called:
            started.callback(subscription)

    def give_up(reason: Failure) -> None:
        subscription.stop()
        if not started.called:
            started.errback(reason)

    first.addCallbacks(fire, give_up)
    return started


def follow_pattern(
    sources: Sources, subscription: Subscription, pattern: str, snapshot: bool = False
) -> Deferred[Subscription]:
    """Have a subscription follow all feeds whose names match.

    :return: fires the subscription once all positions are known.
    """
    return _PatternFollowers(sources, subscription, pattern, snapshot).started


class _PatternFollowers:
    """A follower for each feed that matches.

    There may be very many, so only a few at a time begin. A lost connection touches none of them:
    all are set aside. Each learns of the loss on the next connection, when its turn comes, or when
    the first message of its feed arrives.

    It is the listener of its followers and of its group, and the feeder of its subscription.

    :ivar started: fires the subscription once all positions are known.
    """

    first_slice = 5  # entries: a follower that reserves all the room makes the others wait
    _log = Logger()

    def __init__(
        self, sources: Sources, subscription: Subscription, pattern: str, snapshot: bool
    ) -> None:
        self._sources = sources
        self._subscription = subscription
        self._name = pattern
        self._snapshot = snapshot
        self._followers: dict[str, Follower] = {}
        # Followers that have not learned yet what happened to the connection.
        self._aside: dict[str, Follower] = {}
        self._pace = Pace(sources)
        self._deleted: set[str] = set()
        self._is_ready = False
        self._finding = False
        self._log_limit = LogLimit(self._log)
        self._first: Deferred[None] = Deferred()
        self.started = _started(subscription, self._first)
        self._pattern = Pattern(pattern, self._heard)
        # Before it joins: a connection that was given up refuses it at once.
        subscription.feed_from(self)
        group = Group({}, self._pattern.patterns, self)
        sources.follow_pattern(self._pattern, self._of_a_feed, group)

    @property
    def is_current(self) -> bool:
        """Whether no event is missing, as far as can be known."""
        if not self._is_ready or self._finding or self._aside:
            return False
        return all(follower.is_current for follower in self._followers.values())

    def next_turn(self) -> Deferred[Any]:
        """Wait until the reactor has done what else there is to do."""
        return self._sources.next_turn()

    def stop(self) -> None:
        """Follow no feed any longer."""
        self._pace.interrupt()
        self._sources.unfollow_pattern(self._pattern)
        for follower in (*self._followers.values(), *self._aside.values()):
            if not follower.is_live:
                follower.stop()

    # -- the connection -----------------------------------------------------------

    def ready(self) -> None:
        """Learn that the patterns are confirmed."""
        self._is_ready = True
        self._finding = True
        self._pace.interrupt()
        for follower in list(self._followers.values()):
            follower.ready()
        found = Deferred.fromCoroutine(self._begin_all(self._pace.turn))
        found.addErrback(self._cannot_find)

    def lost(self) -> None:
        """Learn that the connection is lost."""
        self._is_ready = False
        self._pace.interrupt()
        self._sweep()
        self._deleted.clear()  # they may be created again, and no message says so
        self._set_aside()
        if self._sources.reader is None and not self._first.called:
            self._first.errback(ConnectionLost(UNCONFIRMED))

    def refused(self, error: BaseException) -> None:
        """Learn that Redis refuses a pattern."""
        self._is_ready = False
        if not self._first.called:
            self._first.errback(error)
        self._pace.interrupt()
        self._set_aside()
        refused = Deferred.fromCoroutine(self._refuse_all(self._pace.turn, error))
        refused.addErrback(lambda reason: reason.trap(CancelledError))

    def _set_aside(self) -> None:
        self._aside.update(self._followers)
        self._followers = {}
        self._pattern.sources.clear()

    async def _refuse_all(self, turn: int, error: BaseException) -> None:
        for count, follower in enumerate(list(self._aside.values()), start=1):
            follower.refused(error)
            if not count % AT_ONCE:
                await self._pace.rest()
            if turn != self._pace.turn:
                return

    # -- one feed after the other ---------------------------------------------------

    async def _begin_all(self, turn: int) -> None:
        """Follow all known feeds again, and then those that are found."""
        again = self._first.called
        count = 0
        while self._aside:
            self._take_up(next(iter(self._aside)))
            count += 1
            if not count % AT_ONCE:
                await self._pace.rest()
            await self._pace.fewer_than(AT_ONCE)
            if turn != self._pace.turn:
                return
        if self._sources.reader is not None:
            await self._find(turn, self._sources.reader, again)
        if turn != self._pace.turn:
            return
        self._finding = False
        await self._pace.fewer_than(1)
        if turn == self._pace.turn and not self._first.called:
            self._first.callback(None)

    async def _find(self, turn: int, reader: Reader, again: bool) -> None:
        """Follow all feeds that exist. The events of new ones were missed so far."""
        cursor = b"0"
        while True:
            command = ("SSCAN", FEEDS, cursor, "MATCH", self._name, "COUNT", SCANNED)
            try:
                reply = await reader.redis.request(command, TEXT)
            except ConnectionLost as error:
                if isinstance(error, NotSent) and not again:
                    raise
                await reader.available()
                cursor = b"0"  # the next server may have them in another order
                continue
            with parsing:
                cursor, names = reply
                names = list(names)
            for name in names:
                if turn != self._pace.turn:
                    return
                if name not in self._followers and name not in self._aside:
                    self._begin(self._follow(name, UNRECORDED if again else None, again))
                    await self._pace.fewer_than(AT_ONCE)
            if cursor in ("0", b"0") or turn != self._pace.turn:
                return

    def _begin(self, follower: Follower) -> None:
        if self._sources.reader is not None:  # without one it is live at once
            self._pace.begin(follower.source.feed)
        follower.ready()

    def settled(self, feed: str) -> None:
        """Learn that a feed is live, or cannot be for now."""
        self._pace.settled(feed)

    def waits(self, feed: str) -> None:
        """Learn that the reading of a feed waits."""
        if not self.started.called:  # no one takes events yet, so there may be no room
            self.settled(feed)

    def went_live(self, feed: str, absent: bool) -> None:
        """Learn that events of a feed are delivered when they arrive."""
        self.settled(feed)
        if absent:  # any program may publish messages with such names
            self.forget(feed)

    def _cannot_find(self, reason: Failure) -> None:
        if reason.check(CancelledError):
            return
        if not self._first.called:
            self._first.errback(reason)
        elif not reason.check(ConnectionLost):
            self._log.failure("feeds cannot be listed", reason)

    # -- which feeds there are ------------------------------------------------------

    def _follow(
        self, feed: str, gap: str | None, from_start: bool = False, contiguous: bool = False
    ) -> Follower:
        source = self._pattern.sources[feed] = Source(feed, self._log_limit)
        follower = self._followers[feed] = Follower(
            self._subscription,
            source,
            self._sources.reader,
            self._sources.pairing,
            snapshot=self._snapshot,
            gap=gap,
            from_start=from_start,
            contiguous=contiguous,
            strict=False,
            begun=self._first.called,
            listener=self,
        )
        source.followers = (follower,)
        return follower

    def _take_up(self, feed: str) -> None:
        """Go on with a feed that was set aside."""
        follower = self._aside.pop(feed)
        follower.source.lost()
        follower.lost()
        self._followers[feed] = follower
        self._pattern.sources[feed] = follower.source
        if self._is_ready:
            self._begin(follower)

    def cannot_follow(self, feed: str, error: BaseException) -> None:
        """Learn that the position of a feed cannot be found."""
        self._log.error("feed {feed!r} cannot be followed: {error}", feed=feed, error=error)
        text = f"the feed cannot be followed: {error}"
        self._subscription.force(Event("resync", feed, reason=text))

    def _heard(self, feed: str) -> Source:
        """Follow a feed from its first message on. There may have been no create."""
        if feed in self._aside:
            self._take_up(feed)
            return self._pattern.sources[feed]
        if self._finding and self._first.called:
            # It is new since the connection was lost.
            follower = self._follow(feed, UNRECORDED, from_start=True)
        else:
            follower = self._follow(feed, None, contiguous=not self._finding)
        if self._is_ready:
            follower.ready()
        return self._pattern.sources[feed]

    def _of_a_feed(self, feed: str, event: Event) -> None:
        self._sweep()
        (self._deleted.add if event.kind == "delete" else self._deleted.discard)(feed)
        if feed in self._aside:
            self._take_up(feed)
        if feed in self._followers:
            self._followers[feed].live(event)
            return
        self._subscription.force(event)
        if event.kind == "create":
            follower = self._follow(feed, None, from_start=True)
            if self._is_ready:
                follower.ready()

    def _sweep(self) -> None:
        """Forget the deleted feeds whose delete is delivered."""
        for feed in [feed for feed in self._deleted if self._is_delivered(feed)]:
            self._deleted.remove(feed)
            self.forget(feed)

    def forget(self, feed: str) -> None:
        """Stop following a feed."""
        self._pattern.sources.pop(feed, None)
        follower = self._followers.pop(feed, None)
        if follower is not None:
            follower.stop()

    def _is_delivered(self, feed: str) -> bool:
        return feed not in self._followers or self._followers[feed].is_live
