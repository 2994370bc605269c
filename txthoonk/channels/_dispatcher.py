"""Which channel's messages go to which handlers, and which channels Redis has confirmed.

A handler wants one channel (``register_handler``). A group wants several channels and patterns (a
subscription). A group is ready once Redis has confirmed all of them, because a message on one can
belong to a message on another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.channels._topic import Group, Handler, Topic
from txthoonk.errors import ConnectionLost
from txthoonk.events import message_shape
from txthoonk.protocol._pubsub import RedisSubscriber

__all__ = ["Dispatcher", "Group", "Handler"]

AT_ONCE = 500  # unconfirmed channels, before a new connection asks for more of them

_log = Logger()


class Dispatcher:
    """Handlers and groups by channel, over one subscriber connection at a time.

    :ivar routes: channel -> the function that gets its messages, for confirmed channels.
    :ivar pattern_routes: the same for patterns.
    """

    def __init__(self) -> None:
        self._redis: RedisSubscriber | None = None
        self._topics: dict[tuple[str, bool], Topic] = {}
        self._by_id: dict[int, Topic] = {}
        # How many channels and patterns of each group are not confirmed.
        self._groups: dict[Group, int] = {}
        self._new_id: Iterator[int] = count()
        # On a new connection: what to ask for next, and how many answers are due.
        self._unasked: deque[Group | Topic] = deque()
        self._unconfirmed = 0
        self.routes: dict[str, Callable[[str], object]] = {}
        self.pattern_routes: dict[str, Callable[[str, str], object]] = {}

    # -- what the user does ------------------------------------------------

    def add(self, name: str, handler: Handler, feed: str | None = None) -> Deferred[int]:
        """Add a handler; fires its id once Redis has confirmed the channel.

        :param feed: take only messages that begin with this name, on a channel for all feeds;
            None: take all.
        """
        (added,) = self.add_all([(name, handler, feed)])
        return added

    def add_all(self, wanted: Iterable[tuple[str, Handler, str | None]]) -> list[Deferred[int]]:
        """Add handlers as :meth:`add` does, with one SUBSCRIBE for all of their channels."""
        self.check_connected()
        added: list[Deferred[int]] = []
        topics: dict[Topic, None] = {}
        for name, handler, feed in wanted:
            topic = self._topic(name, pattern=False)
            added.append(self._add(topic, handler, feed))
            topics[topic] = None
        self._subscribe(topics)
        return added

    def _add(self, topic: Topic, handler: Handler, feed: str | None) -> Deferred[int]:
        id_ = next(self._new_id)
        self._by_id[id_] = topic
        if feed is not None:
            topic.feeds[id_] = feed
        tell = topic.teller(handler)
        if topic.live:
            topic.keep(id_, tell)
            self._reroute(topic)
            return succeed(id_)
        added: Deferred[int] = AwaitableDeferred(lambda _: self.remove(id_))
        topic.waiting[id_] = (added, tell)
        return added

    def check_connected(self) -> None:
        """Raise ConnectionLost if there is no connection."""
        if self._redis is None:
            raise ConnectionLost("not connected to Redis")

    def remove(self, id_: int) -> None:
        """Remove a handler. The last one of a channel unsubscribes."""
        topic = self._by_id.pop(id_, None)
        if topic is not None:
            topic.forget(id_)
            self._reroute(topic)
            self._leave_unwanted([topic])

    def join(self, group: Group) -> None:
        """Add a group. Its listener is notified when it is ready."""
        for topic in self._topics_of(group):
            topic.join(group)
            self._reroute(topic)
        self.ask_again(group)

    def ask_again(self, group: Group) -> None:
        """Ask for what Redis has not confirmed of a group, or has refused."""
        topics = self._topics_of(group)
        self._groups[group] = missing = sum(not topic.live for topic in topics)
        self._subscribe(topics)
        if not missing:
            group.listener.ready()

    def leave(self, group: Group) -> None:
        """Remove a group, and unsubscribe from what no other wants."""
        if self._groups.pop(group, None) is None:
            return
        topics = self._topics_of(group)
        for topic in topics:
            topic.leave(group)
            self._reroute(topic)
        self._leave_unwanted(topics)

    def _topic(self, name: str, pattern: bool) -> Topic:
        topic = self._topics.get((name, pattern))
        if topic is None:
            topic = self._topics[name, pattern] = Topic(name, pattern, message_shape(name))
        return topic

    def _topics_of(self, group: Group) -> list[Topic]:
        channels = [self._topic(name, pattern=False) for name in group.channels]
        return channels + [self._topic(name, pattern=True) for name in group.patterns]

    def _subscribe(self, topics: Iterable[Topic]) -> None:
        """Ask for all of them in one request: Redis accepts or refuses it as a whole."""
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

    def _leave_unwanted(self, topics: Iterable[Topic]) -> None:
        ended = []
        for topic in topics:
            if topic.wanted:
                continue
            if topic.subscribed and self._redis is not None:
                topic.subscribed = False
                ended.append(topic)
            self._reroute(topic)
            key = (topic.name, topic.pattern)
            # A Deferred that fired meanwhile may have made a new one of that name.
            if not topic.unconfirmed and self._topics.get(key) is topic:
                del self._topics[key]
        if ended and self._redis is not None:
            redis = self._redis
            for ask, pattern in ((redis.unsubscribe, False), (redis.punsubscribe, True)):
                names = [topic.name for topic in ended if topic.pattern is pattern]
                if names:
                    ask(*names)

    def _reroute(self, topic: Topic) -> None:
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
        """Subscribe to all channels on a new connection."""
        self._redis = redis
        self._unasked.extend(self._groups)
        self._unasked.extend(topic for topic in self._topics.values() if not topic.groups)
        self._ask_some()

    def _ask_some(self) -> None:
        """Ask for some more channels. There may be very many, and each takes time."""
        while self._unasked and self._unconfirmed < AT_ONCE:
            one = self._unasked.popleft()
            if isinstance(one, Topic):
                self._subscribe([one] if one.wanted else [])
            elif one in self._groups:
                self._subscribe(self._topics_of(one))

    def disconnected(self, error: BaseException) -> None:
        """Forget what the connection had confirmed, and fail what waits for a confirmation."""
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
            if group in self._groups:  # the listener of one before it may have removed it
                self._groups[group] = len(group.channels) + len(group.patterns)
                group.listener.lost()

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
            if id_ in self._by_id:  # one that fired before it may have cancelled it
                added.callback(id_)
        for group in tuple(topic.groups):
            self._confirmed_one(group)
        self._leave_unwanted([topic])

    def _confirmed_one(self, group: Group) -> None:
        if group in self._groups:  # the listener of one before it may have removed it
            self._groups[group] -= 1
            if not self._groups[group]:
                group.listener.ready()

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
                group.listener.refused(error)
        self._ask_some()

    def refused_patterns(self, names: tuple[Any, ...], error: BaseException) -> None:
        """Take Redis' refusal to subscribe to patterns."""
        self.refused(names, error, pattern=True)

    def _fail_waiting(self, topic: Topic, error: BaseException) -> None:
        waiting, topic.waiting = topic.waiting, {}
        for id_, (added, _) in waiting.items():
            if self._by_id.pop(id_, None):  # one that failed before it may have cancelled it
                topic.feeds.pop(id_, None)
                added.errback(error)

    def message(self, name: str, message: str) -> None:
        """Take a message of a channel."""
        route = self.routes.get(name)
        if route is not None:
            route(message)

    def pattern_message(self, pattern: str, channel: str, message: str) -> bool:
        """Take a message of a channel that matches a pattern.

        :return: whether the pattern was subscribed to here.
        """
        route = self.pattern_routes.get(pattern)
        if route is not None:
            route(channel, message)
        return (pattern, True) in self._topics
