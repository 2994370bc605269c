"""Making subscriptions: who follows what, for one feed and for a pattern of names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferring import also
from txthoonk._dispatch import Group
from txthoonk._encoding import TEXT
from txthoonk._follower import UNCONFIRMED, Follower
from txthoonk._history import REASONS
from txthoonk._keys import FEEDS
from txthoonk._replay import UNRECORDED, Position
from txthoonk._source import Source
from txthoonk._sources import ALL_KINDS, Sources
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.events import Event
from txthoonk.subscriptions import Subscription

__all__ = ["follow_feed", "follow_pattern"]


def follow_feed(
    sources: Sources,
    subscription: Subscription,
    feed: str,
    kinds: tuple[str, ...] = ALL_KINDS,
    since: tuple[str, int] | None = None,
    snapshot: bool = False,
) -> Deferred[Subscription]:
    """Have a subscription follow one feed; fires it once its position is known."""
    position = None if since is None else Position(*since)

    def make(source: Source) -> Follower:
        return Follower(
            subscription,
            source,
            sources.reader,
            position=position,
            snapshot=snapshot,
            gap=None if since is None else REASONS["off"],
        )

    follower, subscription._end = sources.follow(feed, kinds, make)
    return _started(subscription, follower.first)


def _started(subscription: Subscription, first: Deferred[None]) -> Deferred[Subscription]:
    """Give what fires the subscription; to cancel that stops it."""

    def cancelled(_: object) -> None:
        subscription.stop()

    started: Deferred[Subscription] = Deferred(cancelled)

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
    """Have a subscription follow all feeds whose names match."""
    return _PatternFollowers(sources, subscription, pattern, snapshot).started


class _Passing(Follower):
    """A follower of a feed that may not be there.

    :ivar forget: is called once all is told of a feed that is not there: anybody may publish
        messages of such.
    """

    __slots__ = ("forget",)
    forget: Callable[[], object]

    def _go_live(self) -> None:
        super()._go_live()
        if self.absent and self.is_live:
            self.forget()


class _PatternFollowers:
    """A follower for each feed that matches.

    :ivar started: fires the subscription once all positions are known.
    """

    _log = Logger()

    def __init__(
        self, sources: Sources, subscription: Subscription, pattern: str, snapshot: bool
    ) -> None:
        self._sources = sources
        self._subscription = subscription
        self._snapshot = snapshot
        self._followers: dict[str, Follower] = {}
        self._deleted: set[str] = set()
        self._is_ready = False
        self._finding = False
        self._turn = 0
        self._first: Deferred[None] = Deferred()
        self.started = _started(subscription, self._first)
        self._pattern, end = sources.follow_pattern(
            pattern, self._heard, self._of_a_feed, self._group
        )
        subscription._end = lambda: self._stop(end)

    def _group(self, patterns: dict[str, Callable[[str, str], None]]) -> Group:
        return Group({}, dict(patterns), self._ready, self._lost, self._refused)

    def _stop(self, end: Callable[[], None]) -> None:
        self._turn += 1
        end()
        for follower in self._followers.values():
            follower.stop()

    # -- the connection -----------------------------------------------------------

    def _ready(self) -> None:
        self._is_ready = True
        self._finding = True
        self._turn += 1
        for follower in list(self._followers.values()):
            follower.ready()
        found = Deferred.fromCoroutine(self._find(self._turn))
        found.addErrback(self._cannot_find)

    def _lost(self) -> None:
        self._is_ready = False
        self._turn += 1
        self._sweep()
        self._deleted.clear()  # they may be there again, and nobody tells us
        for source in self._pattern.sources.values():
            source.lost()
        for follower in list(self._followers.values()):
            follower.lost()
        if self._sources.reader is None and not self._first.called:
            self._first.errback(ConnectionLost(UNCONFIRMED))

    def _refused(self, error: BaseException) -> None:
        self._is_ready = False
        if not self._first.called:
            self._first.errback(error)
        for follower in list(self._followers.values()):
            follower.refused(error)

    # -- which feeds there are ------------------------------------------------------

    async def _find(self, turn: int) -> None:
        """Follow all feeds that there are; those that are new were missed until now."""
        again = self._first.called
        reader = self._sources.reader
        if reader is not None:
            names: list[str] | None = None
            while names is None:
                try:
                    names = await reader.redis.request(("SMEMBERS", FEEDS), TEXT)
                except ConnectionLost as error:
                    if isinstance(error, NotSent) and not again:
                        raise
                    await reader.available()
            if turn != self._turn:
                return
            for name in names:
                if name not in self._followers and self._pattern.matches(name):
                    self._follow(name, UNRECORDED if again else None, from_start=again).ready()
        self._finding = False
        for follower in list(self._followers.values()):
            await also(follower.first)
        if not self._first.called:
            self._first.callback(None)

    def _cannot_find(self, reason: Failure) -> None:
        if not self._first.called:
            self._first.errback(reason)
        elif not reason.check(ConnectionLost):
            self._log.failure("feeds cannot be listed", reason)

    def _follow(
        self, feed: str, gap: str | None, from_start: bool = False, contiguous: bool = False
    ) -> Follower:
        source = self._pattern.sources[feed] = Source(feed)
        follower = _Passing(
            self._subscription,
            source,
            self._sources.reader,
            snapshot=self._snapshot,
            gap=gap,
            from_start=from_start,
            contiguous=contiguous,
            strict=False,
            begun=self._first.called,
        )
        follower.forget = partial(self._forget, feed)
        follower.first.addErrback(self._cannot_follow, feed)
        self._followers[feed] = follower
        source.followers = (follower,)
        return follower

    def _cannot_follow(self, reason: Failure, feed: str) -> None:
        self._log.failure("feed {feed!r} cannot be followed", reason, feed=feed)
        text = f"the feed cannot be followed: {reason.getErrorMessage()}"
        self._subscription.force(Event("resync", feed, reason=text))

    def _heard(self, feed: str) -> Source:
        """Follow a feed that nobody has announced, from its first message on."""
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
        if feed in self._followers:
            self._followers[feed].live(event)
            return
        self._subscription.force(event)
        if event.kind == "create":
            follower = self._follow(feed, None, from_start=True)
            if self._is_ready:
                follower.ready()

    def _sweep(self) -> None:
        """Forget the feeds that are deleted, once that is told."""
        for feed in [feed for feed in self._deleted if self._is_told(feed)]:
            self._deleted.remove(feed)
            self._forget(feed)

    def _forget(self, feed: str) -> None:
        self._pattern.sources.pop(feed, None)
        follower = self._followers.pop(feed, None)
        if follower is not None:
            follower.stop()

    def _is_told(self, feed: str) -> bool:
        return feed not in self._followers or self._followers[feed].is_live
