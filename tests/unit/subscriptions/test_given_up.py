"""A connection that failed and is not closed yet: a request on it leaves nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.dispatching import NEWS, DispatcherTestCase
from tests.support.followers import Reader
from txthoonk.errors import ConnectionLost, NotSent
from txthoonk.events import Event
from txthoonk.subscriptions import Subscription
from txthoonk.subscriptions._groups import follow_feed, follow_pattern
from txthoonk.subscriptions._router import Sources


class GivenUpTests(DispatcherTestCase):
    """Every request fails at once, and is not repeated on the next connection."""

    def setUp(self) -> None:
        super().setUp()
        self.sources = Sources(self.dispatcher, "marks", lambda: self.redis.send("PING"))

    def give_up(self) -> None:
        """Let the peer send bytes that are not the Redis protocol."""
        self.redis.dataReceived(b"garbage\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.transport.clear()

    def follow_pattern(self, pattern: str = "news*") -> Deferred[Subscription]:
        return follow_pattern(self.sources, Subscription(pattern), pattern)

    def assert_left_nothing(self) -> None:
        """Check that the next connection has nothing to subscribe to."""
        self.assert_clean()
        self.lose()
        self.connect()
        self.assertEqual(self.sent(), [])

    def test_pattern(self) -> None:
        """A subscription to a pattern leaves no group."""
        self.give_up()
        self.failureResultOf(self.follow_pattern(), ConnectionLost)
        self.assert_left_nothing()

    def test_feed(self) -> None:
        """A subscription to a feed leaves no group."""
        self.give_up()
        self.failureResultOf(
            follow_feed(self.sources, Subscription("news"), "news"), ConnectionLost
        )
        self.assert_left_nothing()

    def test_handler(self) -> None:
        """A handler leaves no registration."""
        self.give_up()
        self.failureResultOf(self.add(channel=NEWS), ConnectionLost)
        self.assert_left_nothing()

    def test_second_pattern(self) -> None:
        """Other subscriptions stay, and only their channels are subscribed to again."""
        events: list[Event] = []
        first = follow_pattern(self.sources, Subscription("news*", events.append), "news*")
        for kind, *names in [line.split(" ") for line in self.sent()]:
            self.confirm(*names, kind=kind.lower())
        self.successResultOf(first)
        self.give_up()
        self.failureResultOf(self.follow_pattern("other*"), ConnectionLost)
        self.lose()
        self.connect()
        self.assertNotIn("other", " ".join(self.sent()))

    def test_names_cannot_be_read(self) -> None:
        """If reading fails at once although the channels are confirmed, no group is left."""
        reader: Any = Reader()
        first = self.follow_pattern()
        for kind, *names in [line.split(" ") for line in self.sent()]:
            self.confirm(*names, kind=kind.lower())
        subscription = self.successResultOf(first)
        self.sources.reader = reader
        self.patch(reader.redis, "request", self.not_sent)
        self.failureResultOf(self.follow_pattern(), NotSent)
        subscription.stop()
        self.assertEqual((self.dispatcher._groups, self.sources._patterns), ({}, {}))

    def not_sent(self, *_: object) -> Deferred[Any]:
        raise NotSent("there was no connection for too long")
