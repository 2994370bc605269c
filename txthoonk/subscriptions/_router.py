"""Which messages go to which feed: one source for all that follow a feed, or a pattern of names.

Messages about feeds as a whole (create, delete, config) come on three channels for all feeds. They
go to the sources of the feed that they name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attr
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._reactor import current_reactor
from txthoonk.channels._dispatcher import Dispatcher, Group
from txthoonk.errors import ConnectionLost
from txthoonk.events import CHANNELS, ITEM_KINDS, Event, item_channel
from txthoonk.subscriptions._checking import check_sources
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._interfaces import Feeder, Reader
from txthoonk.subscriptions._marks import Marks
from txthoonk.subscriptions.following._follower import Follower
from txthoonk.subscriptions.following._unpaired import Unpaired
from txthoonk.wire._glob import glob_matcher
from txthoonk.wire._keys import SEPARATOR, feed_channel

__all__ = ["ALL_KINDS", "Pattern", "Sources"]

ALL_KINDS = tuple(ITEM_KINDS)

_log = Logger()


class _Literal:
    """The source of one feed, on channels of its own, and the listener of their group."""

    def __init__(self, feed: str, kinds: tuple[str, ...]) -> None:
        self.key = (feed, kinds)
        self.source = Source(feed)
        if "position" in kinds and kinds != ALL_KINDS:
            self.source.type = "sorted_feed"
        self.is_ready = False
        self.is_refused = False
        self.group = Group(self.source.channels(kinds), {}, self)

    def ready(self) -> None:
        """Pass on that the channels are confirmed."""
        self.is_ready, self.is_refused = True, False
        for follower in self.source.followers:
            follower.ready()

    def lost(self) -> None:
        """Pass on that the connection is lost."""
        self.is_ready = self.is_refused = False
        self.source.lost()
        for follower in self.source.followers:
            follower.lost()

    def refused(self, error: BaseException) -> None:
        """Pass on that Redis refuses a channel."""
        self.is_ready, self.is_refused = False, True
        for follower in self.source.followers:
            follower.refused(error)


class Pattern:
    """The sources of all feeds whose names match.

    :ivar matches: returns whether the name of a feed matches.
    :ivar sources: feed -> source.
    :ivar patterns: pattern -> the function that gets the messages.

    :param heard: makes the source of a feed when its first message arrives.
    """

    def __init__(self, pattern: str, heard: Callable[[str], Source]) -> None:
        self.matches = glob_matcher(pattern)
        self.sources: dict[str, Source] = {}
        self._heard = heard
        self.patterns: dict[str, Callable[[str, str], None]] = {
            item_channel(kind, pattern): self._sink(kind) for kind in ALL_KINDS
        }
        self._event_prefix = len(feed_channel("event", ""))
        self.patterns[feed_channel("event", pattern)] = self._with_revision

    def _sink(self, kind: str) -> Callable[[str, str], None]:
        prefix = len(item_channel(kind, ""))

        def take(channel: str, message: str) -> None:
            source = self.source(channel[prefix:])
            sink = source.sinks.get(kind)
            if sink is None:
                sink = source.sinks[kind] = source.sink(kind)
            sink(message)

        return take

    def _with_revision(self, channel: str, message: str) -> None:
        self.source(channel[self._event_prefix :]).take_with_revision(message)

    def source(self, feed: str) -> Source:
        """Return the source of a feed that matches."""
        source = self.sources.get(feed)
        return self._heard(feed) if source is None else source


@attr.frozen(eq=False)
class _OneFeed:
    """The feeder of a subscription to one feed."""

    _sources: Sources
    _literal: _Literal
    _follower: Follower

    @property
    def is_current(self) -> bool:
        """Whether no event is missing, as far as can be known."""
        return self._follower.is_current

    def next_turn(self) -> Deferred[Any]:
        """Wait until the reactor has done what else there is to do."""
        return self._sources.next_turn()

    def stop(self) -> None:
        """Follow the feed no longer."""
        self._sources.unfollow(self._literal, self._follower)


class Sources:
    """All sources on one subscriber, and the listener of the channels for all feeds.

    :ivar reader: how followers read; None: they cannot.
    :ivar mark_channel: the channel on which marks come back.
    :ivar mark: makes a mark: see :meth:`Marks.make`.
    :ivar ping: sends a PING on the subscriber's connection.
    :ivar pairing: ends the waits for the positions of new items.
    """

    def __init__(
        self, dispatcher: Dispatcher, own_channel: str, ping: Callable[[], Deferred[Any]]
    ) -> None:
        self.reader: Reader | None = None
        self.mark_channel = own_channel
        self.ping = ping
        self.pairing = Unpaired(self.next_turn, ping)
        self._dispatcher = dispatcher
        self._literal: dict[tuple[str, tuple[str, ...]], _Literal] = {}
        self._by_feed: dict[str, list[Source]] = {}
        self._patterns: dict[Pattern, Callable[[str, Event], None]] = {}
        self._pattern_groups: dict[Pattern, Group] = {}
        self._marks = Marks()
        self.mark = self._marks.make
        channels = {CHANNELS[kind]: partial(self._of_a_feed, kind) for kind in CHANNELS}
        self._registry = Group({**channels, own_channel: self._marks.arrived}, {}, self)
        self._joined = False
        self._is_refused = False

    # -- following --------------------------------------------------------------

    def follow(
        self, feed: str, kinds: tuple[str, ...], make: Callable[[Source], Follower]
    ) -> Feeder:
        """Follow one feed.

        :param kinds: the kinds of events whose channels to subscribe to.
        :param make: makes the follower.
        """
        literal = self._literal.get((feed, kinds))
        new = literal is None
        if literal is None:
            literal = self._add(_Literal(feed, kinds))
        source = literal.source
        follower = make(source)
        source.followers = (*source.followers, follower)
        if new:
            self._dispatcher.join(literal.group)
        elif literal.is_ready:
            follower.ready()
        elif literal.is_refused:
            literal.is_refused = False
            self._join()
            self._dispatcher.ask_again(literal.group)
        return _OneFeed(self, literal, follower)

    def _add(self, literal: _Literal) -> _Literal:
        self._join()
        self._literal[literal.key] = literal
        others = self._by_feed.setdefault(literal.key[0], [])
        if others:  # the second message of a pair may be the first one that arrives
            literal.source.take_over(others[0])
        others.append(literal.source)
        return literal

    def unfollow(self, literal: _Literal, follower: Follower) -> None:
        """End what :meth:`follow` began."""
        follower.stop()
        source = literal.source
        source.followers = tuple(one for one in source.followers if one is not follower)
        if source.followers or self._literal.get(literal.key) is not literal:
            return
        del self._literal[literal.key]
        self._dispatcher.leave(literal.group)
        others = self._by_feed[source.feed]
        others.remove(source)
        if not others:
            del self._by_feed[source.feed]
        self._leave()

    def follow_pattern(
        self, pattern: Pattern, of_a_feed: Callable[[str, Event], None], group: Group
    ) -> None:
        """Follow all feeds whose names match.

        The group may be ready, or refused, before this returns.

        :param of_a_feed: gets the events of matching feeds as a whole.
        :param group: has the patterns.
        """
        self._join()
        self._patterns[pattern] = of_a_feed
        self._pattern_groups[pattern] = group
        self._dispatcher.join(group)

    def unfollow_pattern(self, pattern: Pattern) -> None:
        """End what :meth:`follow_pattern` began. A pattern that is not followed is ignored."""
        if self._patterns.pop(pattern, None) is not None:
            self._dispatcher.leave(self._pattern_groups.pop(pattern))
            self._leave()

    def _join(self) -> None:
        # Redis confirms these channels before those of groups that join later.
        if not self._joined:
            self._joined = True
            self._dispatcher.join(self._registry)
        elif self._is_refused:
            self._is_refused = False
            self._dispatcher.ask_again(self._registry)

    def _leave(self) -> None:
        if not self._literal and not self._patterns and self._joined:
            self._joined = self._is_refused = False
            self._dispatcher.leave(self._registry)
            self.lost()

    def next_turn(self) -> Deferred[Any]:
        """Wait until the reactor has done what else there is to do."""
        if self.reader is not None:
            return self.reader.later(0)
        return deferLater(current_reactor(), 0)

    # -- the channels for all feeds ---------------------------------------------------

    def _of_a_feed(self, kind: str, message: str) -> None:
        feed = message.partition(SEPARATOR)[0]
        event = Event(kind, feed)
        for source in tuple(self._by_feed.get(feed, ())):
            source.tell(event)
        for pattern, take in tuple(self._patterns.items()):
            if pattern.matches(feed):
                take(feed, event)

    def ready(self) -> None:
        """Do nothing: each feed and pattern has a group of its own."""

    def lost(self) -> None:
        """Fail the marks: they do not arrive any more."""
        self._is_refused = False
        self._marks.fail(ConnectionLost("the subscriber's connection was lost"))

    def refused(self, error: BaseException) -> None:
        """Pass on that Redis refuses a channel that all need."""
        # The next subscription asks again, and so does the next connection.
        self._is_refused = True
        self._marks.fail(error)
        for literal in list(self._literal.values()):
            literal.refused(error)
        for group in list(self._pattern_groups.values()):
            group.listener.refused(error)

    # -- comparing with the server -----------------------------------------------------

    async def check(self) -> None:
        """Compare what is known of every feed with what the server has."""
        if self.reader is not None:
            sources = [source for found in self._by_feed.values() for source in found]
            for pattern in list(self._patterns):
                sources += pattern.sources.values()
            await check_sources(self.reader, sources)

    def checking(self, clock: Any) -> LoopingCall:
        """Make the loop that checks."""
        loop = LoopingCall(
            lambda: Deferred.fromCoroutine(self.check()).addErrback(self._unchecked)
        )
        loop.clock = clock
        return loop

    def _unchecked(self, reason: Failure) -> None:
        # Without a connection there is nothing to check, and the next one reads everything.
        if not reason.check(ConnectionLost):
            _log.failure("the positions cannot be checked", reason)
