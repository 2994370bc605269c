"""Which channel goes to whom, and which channels Redis has confirmed.

Those who want messages are handlers, each of one channel (``register_handler``), and
groups, each of several channels and patterns (subscriptions): a group counts once Redis
has confirmed all of it, because a message may be a part of what others tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any

import attr
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txthoonk._support._deferreds import begun
from txthoonk._support._rate_limit import LogLimit
from txthoonk.errors import ConnectionLost
from txthoonk.events import message_shape
from txthoonk.protocol._pubsub import RedisSubscriber
from txthoonk.wire._keys import SEPARATOR

__all__ = ["Dispatcher", "Group", "Handler"]

AT_ONCE = 500  # channels that are not confirmed yet, before more of them are asked for

#: Gets the parts of a message; may return a Deferred or a coroutine.
Handler = Callable[..., Any]

_log = Logger()


@attr.define(eq=False)
class Group:
    """Channels and patterns that are wanted together.

    :ivar channels: channel -> what gets its messages.
    :ivar patterns: pattern -> what gets channel and message of those that match.
    :ivar ready: is called when all are confirmed, at first and on each new connection.
    :ivar lost: is called when the connection is lost.
    :ivar refused: is called with the reason where Redis refuses one of them.
    """

    channels: Mapping[str, Callable[[str], object]]
    patterns: Mapping[str, Callable[[str, str], object]]
    ready: Callable[[], object]
    lost: Callable[[], object]
    refused: Callable[[BaseException], object]
    _missing: int = 0


@attr.define(eq=False)
class _Topic:
    """A channel or pattern that somebody wants, or that Redis still has to answer for.

    :ivar shape: of its messages, see :func:`~txthoonk.events.message_shape`.
    :ivar handlers: by handler id, what takes messages for it.
    :ivar by_feed: the same for those that want the messages of one feed, by its name.
    :ivar feeds: by handler id, that name.
    :ivar waiting: by handler id, those that wait for the confirmation.
    :ivar groups: those that it belongs to.
    :ivar sinks: what they have for its messages.
    :ivar subscribed: whether the last request that was sent is SUBSCRIBE.
    :ivar unconfirmed: SUBSCRIBE requests that are not answered.  Only the last
        answer counts: an earlier one is older than the UNSUBSCRIBE behind it.
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
        return self.subscribed and not self.unconfirmed

    @property
    def wanted(self) -> bool:
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

    def collect_sinks(self) -> None:
        if self.pattern:
            self.sinks = tuple(group.patterns[self.name] for group in self.groups)
        else:
            self.sinks = tuple(group.channels[self.name] for group in self.groups)

    def route(self) -> Callable[[str], object]:
        """Give what takes the messages of the channel: the shortest way there is."""
        if self.by_feed:
            return self._message
        if not self.handlers and len(self.sinks) == 1:
            return self.sinks[0]
        if not self.sinks and len(self.handlers) == 1:
            return next(iter(self.handlers.values()))
        return self._message

    def teller(self, handler: Handler) -> Callable[[str], object]:
        """Make what takes messages for a handler."""
        most, wanted = self.shape

        # All that every message passes through, without a call that can be spared.
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
        """Hand a message to all who want it."""
        most, wanted = self.shape
        if self.handlers and wanted and len(message.split(SEPARATOR, most)) != wanted:
            self._malformed()
            return
        for sink in self.sinks:
            sink(message)
        for id_, tell in tuple(self.handlers.items()):
            if id_ in self.handlers:  # not removed by one that was called before it
                tell(message)
        if self.by_feed:
            for id_, tell in tuple(self.by_feed.get(message.partition(SEPARATOR)[0], {}).items()):
                if id_ in self.feeds:
                    tell(message)

    def pattern_message(self, channel: str, message: str) -> None:
        """Hand a message of a channel that matches the pattern to all who want it."""
        for sink in self.sinks:
            sink(channel, message)

    def _malformed(self) -> None:
        self.log_limit.error("malformed message on channel {name!r} ignored", name=self.name)

    def _follow(self, result: Any) -> None:
        """See to it that what a handler has begun is logged where it fails."""
        if (doing := begun(result)) is not None:
            doing.addErrback(
                lambda failure: _log.failure(
                    "a handler of channel {name!r} failed", failure, name=self.name
                )
            )


class Dispatcher:
    """Handlers and groups by channel, over one subscriber connection at a time.

    :ivar routes: channel -> what gets its messages, for those that are confirmed.
    :ivar pattern_routes: the same for patterns.
    """

    def __init__(self) -> None:
        self._redis: RedisSubscriber | None = None
        self._topics: dict[tuple[str, bool], _Topic] = {}
        self._by_id: dict[int, _Topic] = {}
        self._groups: dict[Group, None] = {}
        self._new_id: Iterator[int] = count()
        # Of a new connection: what is still to be asked for, and how many are unconfirmed.
        self._unasked: deque[Group | _Topic] = deque()
        self._unconfirmed = 0
        self.routes: dict[str, Callable[[str], object]] = {}
        self.pattern_routes: dict[str, Callable[[str, str], object]] = {}

    # -- what the user does ------------------------------------------------

    def add(self, name: str, handler: Handler, feed: str | None = None) -> Deferred[int]:
        """Add a handler; fires its id once Redis has confirmed the channel.

        :param feed: which the messages must begin with, on a channel of all feeds; None: any.
        """
        self.check_connected()
        topic = self._topic(name, pattern=False)
        id_ = next(self._new_id)
        self._by_id[id_] = topic
        if feed is not None:
            topic.feeds[id_] = feed
        tell = topic.teller(handler)
        if topic.live:
            topic.keep(id_, tell)
            self._reroute(topic)
            return succeed(id_)
        added: Deferred[int] = Deferred(lambda _: self.remove(id_))
        topic.waiting[id_] = (added, tell)
        self._subscribe([topic])
        return added

    def check_connected(self) -> None:
        """Raise ConnectionLost where there is no connection."""
        if self._redis is None:
            raise ConnectionLost("not connected to Redis")

    def remove(self, id_: int) -> None:
        """Remove a handler; the last one of a channel unsubscribes."""
        topic = self._by_id.pop(id_, None)
        if topic is not None:
            topic.forget(id_)
            self._reroute(topic)
            self._leave_unwanted([topic])

    def join(self, group: Group) -> None:
        """Add a group; it is told when it is ready."""
        self._groups[group] = None
        topics = self._topics_of(group)
        for topic in topics:
            topic.groups[group] = None
            topic.collect_sinks()
            self._reroute(topic)
        group._missing = sum(not topic.live for topic in topics)
        self._subscribe(topics)
        if not group._missing:
            group.ready()

    def ask_again(self, group: Group) -> None:
        """Ask once more for what Redis has refused of a group."""
        topics = self._topics_of(group)
        group._missing = sum(not topic.live for topic in topics)
        self._subscribe(topics)
        if not group._missing:
            group.ready()

    def leave(self, group: Group) -> None:
        """Remove a group; what nobody else wants is unsubscribed."""
        if self._groups.pop(group, self) is self:
            return
        topics = self._topics_of(group)
        for topic in topics:
            topic.groups.pop(group, None)
            topic.collect_sinks()
            self._reroute(topic)
        self._leave_unwanted(topics)

    def _topic(self, name: str, pattern: bool) -> _Topic:
        topic = self._topics.get((name, pattern))
        if topic is None:
            topic = self._topics[name, pattern] = _Topic(name, pattern, message_shape(name))
        return topic

    def _topics_of(self, group: Group) -> list[_Topic]:
        channels = [self._topic(name, pattern=False) for name in group.channels]
        return channels + [self._topic(name, pattern=True) for name in group.patterns]

    def _subscribe(self, topics: Iterable[_Topic]) -> None:
        """Ask for all of them at once: Redis refuses a request as a whole."""
        redis = self._redis
        if redis is None:
            return
        new = [topic for topic in topics if not topic.subscribed]
        for topic in new:
            topic.subscribed = True
            topic.unconfirmed += 1
        self._unconfirmed += len(new)
        for ask, pattern in ((redis.subscribe, False), (redis.psubscribe, True)):
            names = [topic.name for topic in new if topic.pattern is pattern]
            if names:
                ask(*names)

    def _leave_unwanted(self, topics: Iterable[_Topic]) -> None:
        ended = []
        for topic in topics:
            if topic.wanted:
                continue
            if topic.subscribed and self._redis is not None:
                topic.subscribed = False
                ended.append(topic)
            self._reroute(topic)
            key = (topic.name, topic.pattern)
            # Somebody fired or failed meanwhile may have made a new one of that name.
            if not topic.unconfirmed and self._topics.get(key) is topic:
                del self._topics[key]
        if ended and self._redis is not None:
            redis = self._redis
            for ask, pattern in ((redis.unsubscribe, False), (redis.punsubscribe, True)):
                names = [topic.name for topic in ended if topic.pattern is pattern]
                if names:
                    ask(*names)

    def _reroute(self, topic: _Topic) -> None:
        live = topic.live and topic.wanted
        if topic.pattern:
            self.pattern_routes.pop(topic.name, None)
            if live:
                self.pattern_routes[topic.name] = topic.pattern_message
        else:
            self.routes.pop(topic.name, None)
            if live:
                self.routes[topic.name] = topic.route()

    # -- what the connection does -------------------------------------------

    def connected(self, redis: RedisSubscriber) -> None:
        """Take up all channels on a new connection."""
        self._redis = redis
        self._unasked.extend(self._groups)
        self._unasked.extend(topic for topic in self._topics.values() if not topic.groups)
        self._ask_some()

    def _ask_some(self) -> None:
        """Ask for some more channels; there may be very many, and all take their time."""
        while self._unasked and self._unconfirmed < AT_ONCE:
            one = self._unasked.popleft()
            if isinstance(one, _Topic):
                self._subscribe([one] if one.wanted else [])
            elif one in self._groups:
                self._subscribe(self._topics_of(one))

    def disconnected(self, error: BaseException) -> None:
        """Forget what the connection had confirmed, and fail who waits for it."""
        self._redis = None
        self._unasked.clear()
        self._unconfirmed = 0
        self.routes.clear()
        self.pattern_routes.clear()
        for topic in list(self._topics.values()):
            topic.subscribed = False
            topic.unconfirmed = 0
            if topic.waiting:
                self._fail_waiting(topic, error)
            if not topic.wanted:
                self._leave_unwanted([topic])
        for group in list(self._groups):
            if group in self._groups:  # not removed by one that was told before it
                group._missing = len(group.channels) + len(group.patterns)
                group.lost()

    def confirmed(self, name: str, pattern: bool = False) -> None:
        """Take Redis' confirmation of a channel or a pattern."""
        topic = self._topics.get((name, pattern))
        if topic is None or not topic.unconfirmed:
            return
        topic.unconfirmed -= 1
        self._unconfirmed -= 1
        if self._unasked:
            self._ask_some()
        if topic.unconfirmed:
            return
        waiting, topic.waiting = topic.waiting, {}
        for id_, (_, tell) in waiting.items():
            topic.keep(id_, tell)
        self._reroute(topic)
        for id_, (added, _) in waiting.items():
            if id_ in self._by_id:  # not cancelled by one that was fired before it
                added.callback(id_)
        for group in tuple(topic.groups):
            group._missing -= 1
            if not group._missing and group in self._groups:
                group.ready()
        self._leave_unwanted([topic])

    def pattern_confirmed(self, channel: str, numSubscriptions: int) -> None:
        """Take Redis' confirmation of a pattern."""
        self.confirmed(channel, pattern=True)

    def refused(self, names: tuple[Any, ...], error: BaseException, pattern: bool = False) -> None:
        """Take Redis' refusal to subscribe to channels or patterns."""
        groups: dict[Group, None] = {}
        for name in names:
            topic = self._topics.get((name, pattern))
            if topic is None or not topic.unconfirmed:
                continue
            topic.unconfirmed -= 1
            self._unconfirmed -= 1
            if topic.unconfirmed:
                continue
            topic.subscribed = False
            self._reroute(topic)
            self._fail_waiting(topic, error)
            groups.update(topic.groups)
            if topic.handlers or topic.by_feed:
                _log.error("no more messages of channel {name!r}: {error}", name=name, error=error)
            self._leave_unwanted([topic])
        for group in groups:
            if group in self._groups:
                group.refused(error)
        self._ask_some()

    def refused_patterns(self, names: tuple[Any, ...], error: BaseException) -> None:
        """Take Redis' refusal to subscribe to patterns."""
        self.refused(names, error, pattern=True)

    def _fail_waiting(self, topic: _Topic, error: BaseException) -> None:
        waiting, topic.waiting = topic.waiting, {}
        for id_, (added, _) in waiting.items():
            if self._by_id.pop(id_, None):  # not cancelled by one that was failed before it
                topic.feeds.pop(id_, None)
                added.errback(error)

    def message(self, name: str, message: str) -> None:
        """Take a message of a channel."""
        route = self.routes.get(name)
        if route is not None:
            route(message)

    def pattern_message(self, pattern: str, channel: str, message: str) -> bool:
        """Take a message of a channel that matches a pattern; whether it is one of ours."""
        route = self.pattern_routes.get(pattern)
        if route is not None:
            route(channel, message)
        return (pattern, True) in self._topics
