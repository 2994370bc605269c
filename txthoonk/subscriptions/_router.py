"""Who listens to which feed: one source for all who follow a feed, or a pattern of names.

What is told of feeds as a whole (created, deleted, configured) comes on three channels
for all feeds; it goes to the sources of the feed that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.channels._dispatcher import Dispatcher, Group
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedNotConfigured,
    InvalidResponse,
    ResponseError,
)
from txthoonk.events import CHANNELS, ITEM_KINDS, Event, item_channel
from txthoonk.history._reads import Standing, compare, look
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._follower import Follower
from txthoonk.subscriptions._interfaces import Reader
from txthoonk.wire._glob import glob_matcher
from txthoonk.wire._keys import SEPARATOR, feed_channel

__all__ = ["ALL_KINDS", "Pattern", "Sources"]

ALL_KINDS = tuple(ITEM_KINDS)
COMPARED = 200  # feeds in one call


class _Literal:
    """The source of one feed, on channels of its own."""

    def __init__(self, feed: str, kinds: tuple[str, ...]) -> None:
        self.source = Source(feed)
        self.is_ready = False
        self.is_refused = False
        self.group = Group(
            channels=self.source.channels(kinds),
            patterns={},
            ready=self._ready,
            lost=self._lost,
            refused=self._refused,
        )

    def _ready(self) -> None:
        self.is_ready, self.is_refused = True, False
        for follower in self.source.followers:
            follower.ready()

    def _lost(self) -> None:
        self.is_ready = self.is_refused = False
        self.source.lost()
        for follower in self.source.followers:
            follower.lost()

    def _refused(self, error: BaseException) -> None:
        self.is_ready, self.is_refused = False, True
        for follower in self.source.followers:
            follower.refused(error)


class Pattern:
    """The sources of all feeds whose names match.

    :ivar matches: tells whether the name of a feed matches.
    :ivar sources: feed -> source.
    :ivar patterns: pattern -> what gets the messages.
    """

    def __init__(self, pattern: str, heard: Callable[[str], Source]) -> None:
        self.matches = glob_matcher(pattern)
        self.sources: dict[str, Source] = {}
        self._heard = heard
        self.patterns: dict[str, Callable[[str, str], None]] = {
            item_channel(kind, pattern): self._sink(kind) for kind in ALL_KINDS
        }
        self._event_prefix = len(feed_channel("event", ""))
        self.patterns[feed_channel("event", pattern)] = self._told_with_revision

    def _sink(self, kind: str) -> Callable[[str, str], None]:
        prefix = len(item_channel(kind, ""))

        def told(channel: str, message: str) -> None:
            source = self.source(channel[prefix:])
            sink = source.sinks.get(kind)
            if sink is None:
                sink = source.sinks[kind] = source.sink(kind)
            sink(message)

        return told

    def _told_with_revision(self, channel: str, message: str) -> None:
        self.source(channel[self._event_prefix :]).told_with_revision(message)

    def source(self, feed: str) -> Source:
        """Give the source of a feed that matches."""
        source = self.sources.get(feed)
        return self._heard(feed) if source is None else source


def _live(source: Source) -> list[Follower]:
    """Give the followers of a feed to which events are delivered as they come."""
    return [one for one in source.followers if isinstance(one, Follower) and one.is_live]


class Sources:
    """All sources on one subscriber.

    :ivar reader: how followers read; None where they cannot.
    """

    _log = Logger()

    def __init__(self, dispatcher: Dispatcher, own_channel: str) -> None:
        self.reader: Reader | None = None
        self.mark_channel = own_channel
        self._dispatcher = dispatcher
        self._literal: dict[tuple[str, tuple[str, ...]], _Literal] = {}
        self._by_feed: dict[str, list[Source]] = {}
        self._patterns: dict[Pattern, Callable[[str, Event], None]] = {}
        self._pattern_groups: dict[Pattern, Group] = {}
        self._marks: dict[str, tuple[Callable[[], object], Deferred[None]]] = {}
        self._new_mark = count()
        self._registry = Group(
            channels={
                **{CHANNELS[kind]: partial(self._of_a_feed, kind) for kind in CHANNELS},
                own_channel: self._marked,
            },
            patterns={},
            ready=lambda: None,
            lost=self._lost,
            refused=self._refused,
        )
        self._joined = False
        self._is_refused = False

    # -- following --------------------------------------------------------------

    def follow(
        self, feed: str, kinds: tuple[str, ...], make: Callable[[Source], Follower]
    ) -> tuple[Follower, Callable[[], None]]:
        """Follow one feed; gives the follower, and what ends it.

        :param kinds: whose channels are subscribed to.
        :param make: makes the follower.
        """
        key = (feed, kinds)
        literal = self._literal.get(key)
        new = literal is None
        if literal is None:
            self._join()
            literal = self._literal[key] = _Literal(feed, kinds)
            others = self._by_feed.setdefault(feed, [])
            if others:  # the second message of a pair may be the first one that it hears
                literal.source.take_over(others[0])
            others.append(literal.source)
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
        return follower, partial(self._unfollow, key, literal, follower)

    def _unfollow(
        self, key: tuple[str, tuple[str, ...]], literal: _Literal, follower: Follower
    ) -> None:
        follower.stop()
        source = literal.source
        source.followers = tuple(one for one in source.followers if one is not follower)
        if source.followers or self._literal.get(key) is not literal:
            return
        del self._literal[key]
        self._dispatcher.leave(literal.group)
        others = self._by_feed[key[0]]
        others.remove(source)
        if not others:
            del self._by_feed[key[0]]
        self._leave()

    def follow_pattern(
        self, pattern: Pattern, of_a_feed: Callable[[str, Event], None], group: Group
    ) -> None:
        """Follow all feeds whose names match.

        The group may be ready, or refused, before this returns.

        :param of_a_feed: gets what is told of feeds that match as a whole.
        :param group: has the patterns.
        """
        self._join()
        self._patterns[pattern] = of_a_feed
        self._pattern_groups[pattern] = group
        self._dispatcher.join(group)

    def unfollow_pattern(self, pattern: Pattern) -> None:
        """End what :meth:`follow_pattern` began; a pattern that is not followed is ignored."""
        if self._patterns.pop(pattern, None) is not None:
            self._dispatcher.leave(self._pattern_groups.pop(pattern))
            self._leave()

    def _join(self) -> None:
        # Its confirmation comes before those of the groups that join behind it.
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
            self._lost()

    def next_turn(self) -> Deferred[Any]:
        """Wait until the reactor has done what else there was to do."""
        if self.reader is not None:
            return self.reader.later(0)
        from twisted.internet import reactor

        return deferLater(cast(Any, reactor), 0)

    # -- messages about feeds, and marks --------------------------------------------

    def _of_a_feed(self, kind: str, message: str) -> None:
        feed = message.partition(SEPARATOR)[0]
        event = Event(kind, feed)
        for source in tuple(self._by_feed.get(feed, ())):
            source.tell(event)
        for pattern, tell in tuple(self._patterns.items()):
            if pattern.matches(feed):
                tell(feed, event)

    def mark(self, passed: Callable[[], object]) -> tuple[str, Deferred[None]]:
        """Make a message for the channel of marks; see :class:`Reader`."""
        message = str(next(self._new_mark))

        def forget(_: object) -> None:
            self._marks.pop(message, None)

        came: Deferred[None] = Deferred(forget)
        self._marks[message] = (passed, came)
        return message, came

    def _marked(self, message: str) -> None:
        passed, came = self._marks.pop(message, (None, None))
        if passed is not None and came is not None:
            passed()
            came.callback(None)

    def _lost(self) -> None:
        self._is_refused = False
        self._fail_marks(ConnectionLost("the subscriber's connection was lost"))

    def _fail_marks(self, error: BaseException) -> None:
        marks, self._marks = self._marks, {}
        for _, came in marks.values():
            came.errback(error)

    def _refused(self, error: BaseException) -> None:
        # The next one who subscribes asks again, and so does the next connection.
        self._is_refused = True
        self._fail_marks(error)
        for literal in list(self._literal.values()):
            literal._refused(error)
        for group in list(self._pattern_groups.values()):
            group.refused(error)

    # -- silence is not health ------------------------------------------------------

    async def check(self) -> None:
        """Compare what is known of every feed with what the server has."""
        reader = self.reader
        if reader is None:
            return
        sources = [source for found in self._by_feed.values() for source in found]
        for pattern in list(self._patterns):
            sources += pattern.sources.values()
        for first in range(0, len(sources), COMPARED):
            some = [one for one in sources[first : first + COMPARED] if _live(one)]
            if some:
                await self._check_some(reader, some)

    async def _check_some(self, reader: Reader, sources: list[Source]) -> None:
        differ: list[tuple[Source, bool, Standing | None]]
        differ = [(source, False, None) for source in sources]
        with suppress(ResponseError, InvalidResponse):  # then each for itself
            found = await compare(reader.redis, [source.feed for source in sources])
            differ = [
                (source, True, standing)
                for source, standing in zip(sources, found, strict=True)
                if not all(one.agrees(standing) for one in _live(source))
            ]
        for source, is_known, standing in differ:
            try:
                await self._check(reader, source)
                if is_known and any(one.epoch is None for one in _live(source)):
                    # What was published before that answer arrives before the answer to PING.
                    await reader.ping()
                    for one in _live(source):
                        one.compare(standing)
            except (ResponseError, FeedNotConfigured) as error:
                self._log.warn(
                    "feed {feed!r} cannot be checked: {error}", feed=source.feed, error=error
                )

    async def _check(self, reader: Reader, source: Source) -> None:
        followers = _live(source)
        one = next((one for one in followers if one.epoch is not None), None)
        if one is None:
            return
        try:
            found = await look(reader.redis, source.feed, one.epoch or "", one.revision, 0)
            valid, epoch, top = found.verdict == "ok", found.epoch, found.top
        except FeedDoesNotExist:
            valid, epoch, top = False, "", 0
        known = [f for f in followers if f.is_live and f.epoch is not None]
        if valid and all((f.epoch, f.revision) == (epoch, top) for f in known):
            return
        # What was told before this answer arrives before the answer to PING.
        await reader.ping()
        for follower in followers:
            follower.check(epoch, top, valid)

    def checking(self, clock: Any) -> LoopingCall:
        """Make the loop that checks."""
        loop = LoopingCall(
            lambda: Deferred.fromCoroutine(self.check()).addErrback(self._unchecked)
        )
        loop.clock = clock
        return loop

    def _unchecked(self, reason: Failure) -> None:
        # Without a connection there is nothing to check; afterwards all is read anyway.
        if not reason.check(ConnectionLost):
            self._log.failure("the positions cannot be checked", reason)
