"""Helpers for the tests of the dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import commands, lose, plug, resp
from txthoonk.channels._dispatcher import Dispatcher, Group
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import RedisSubscriber

DENIED = "NOPERM no permission"
NEWS = "feed.publish:news"


class Member:
    """A group that records what happens to it."""

    def __init__(self, *channels: str, patterns: tuple[str, ...] = ()) -> None:
        self.told: list[Any] = []
        self.group = Group(
            channels={name: self.sink(name) for name in channels},
            patterns={name: self.sink(name) for name in patterns},
            listener=self,
        )
        self.then: Callable[[Any], object] = lambda _: None

    def sink(self, name: str) -> Callable[..., object]:
        return lambda *message: self.hear((name, *message))

    def ready(self) -> None:
        self.hear("ready")

    def lost(self) -> None:
        self.hear("lost")

    def refused(self, error: BaseException) -> None:
        self.hear(f"refused: {error}")

    def hear(self, what: Any) -> None:
        self.told.append(what)
        self.then(what)

    def seen(self) -> list[Any]:
        told = list(self.told)
        self.told.clear()
        return told


class DispatcherTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.dispatcher = Dispatcher()
        self.messages: list[tuple[str, ...]] = []
        self.connect()

    def connect(self) -> None:
        """Make a connection, and wire it up as ThoonkSub does."""
        dispatcher = self.dispatcher
        self.redis = RedisSubscriber()
        redis: Any = self.redis  # its hooks are replaced
        redis.channelSubscribed = lambda name, _: dispatcher.confirmed(name)
        redis.channelPatternSubscribed = dispatcher.pattern_confirmed
        redis.subscriptionFailed = dispatcher.refused
        redis.patternSubscriptionFailed = dispatcher.refused_patterns
        redis.patternMessageReceived = dispatcher.pattern_message
        redis.route(dispatcher.message, dispatcher.routes, dispatcher.pattern_routes)
        _, self.transport = plug(redis)
        dispatcher.connected(redis)

    def lose(self) -> None:
        self.dispatcher.disconnected(ConnectionLost("cable cut"))
        lose(self.redis)

    def sent(self) -> list[str]:
        words = [b" ".join(command).decode() for command in commands(self.transport.value())]
        self.transport.clear()
        return words

    def receive(self, *words: Any) -> None:
        self.redis.dataReceived(resp(list(words)))

    def confirm(self, *names: str, kind: str = "subscribe") -> None:
        for name in names:
            self.receive(kind, name, 1)

    def pconfirm(self, *names: str) -> None:
        self.confirm(*names, kind="psubscribe")

    def deny(self) -> None:
        self.redis.dataReceived(f"-{DENIED}\r\n".encode())

    def tell(self, message: str, channel: str = NEWS) -> None:
        self.receive("message", channel, message)

    def handler(self, name: str) -> Callable[..., None]:
        return lambda *parts: self.messages.append((name, *parts))

    def add(self, name: str = "h", channel: str = NEWS) -> Deferred[int]:
        return self.dispatcher.add(channel, self.handler(name))

    def added(self, name: str = "h", channel: str = NEWS) -> int:
        """Add a handler and confirm its channel."""
        adding = self.add(name, channel)
        self.confirm(channel)
        return self.successResultOf(adding)

    def join(self, *channels: str, patterns: tuple[str, ...] = ()) -> Member:
        member = Member(*channels, patterns=patterns)
        self.dispatcher.join(member.group)
        return member

    def assert_clean(self) -> None:
        """The dispatcher holds no handler, group or route any more."""
        dispatcher = self.dispatcher
        self.assertEqual((dispatcher._topics, dispatcher._by_id), ({}, {}))
        self.assertEqual((dispatcher._groups, dispatcher.routes), ({}, {}))
