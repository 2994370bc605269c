"""A subscriber receives messages and confirmations of any shape, and garbage."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fuzzing import CUTS, GARBAGE, QUICK, VALUES, FuzzTestCase, pieces
from tests.support.wire import lose, outcome, plug, resp
from txthoonk.client._subscriber import ThoonkSub
from txthoonk.protocol import RedisSubscriber

KINDS = st.sampled_from(
    ["message", "pmessage", "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "pong"]
)
PARTS = st.sampled_from(["a", "b", "feed.publish:a", "1\0x", "", "x" * 5000]) | VALUES
MESSAGES = st.lists(
    st.tuples(KINDS | VALUES, st.lists(PARTS, max_size=4)).map(lambda m: [m[0], *m[1]]) | VALUES,
    max_size=8,
)
# Messages without a request; each has a known kind.
UNASKED = st.tuples(KINDS, st.lists(PARTS, max_size=4)).map(lambda m: [m[0], *m[1]])


class SubscriberTests(FuzzTestCase):
    def tearDown(self) -> None:
        self.logged()
        super().tearDown()

    @QUICK
    @given(MESSAGES, CUTS, st.sampled_from(["utf8", None]), st.booleans())
    @example([1, ["subscribe", "a", 1], ["subscribe", "b", 2]], [], None, True)
    def test_lists(
        self, messages: list[Any], cuts: list[int], charset: str | None, ask: bool
    ) -> None:
        """Lists of any shape raise nothing in a subscriber, and no request hangs."""
        subscriber, _ = plug(RedisSubscriber(charset=charset))
        fired: list[Any] = []
        if ask:
            subscriber.subscribe("a", "b")
            fired = outcome(subscriber.send("PING"))
            subscriber.punsubscribe()
        for piece in pieces(b"".join(map(resp, messages)), cuts):
            subscriber.dataReceived(piece)
        lose(subscriber)
        self.assertEqual(len(fired), int(ask))
        self.assert_sober(self.logged())

    @QUICK
    @given(GARBAGE, CUTS)
    def test_garbage(self, wire: bytes, cuts: list[int]) -> None:
        """Bytes that are not lists raise nothing in a subscriber."""
        subscriber, _ = plug(RedisSubscriber())
        subscriber.subscribe("a", "b")
        for piece in pieces(wire, cuts):
            subscriber.dataReceived(piece)
        lose(subscriber)

    @QUICK
    @given(st.lists(UNASKED, max_size=6), CUTS, st.booleans())
    @example([["pmessage", "p*", "x"]], [], True)
    @example([["pmessage", "p*"]], [], True)
    @example([["message", "a"], ["message", ["a"], "x"], ["message", "a", ["x"]]], [], True)
    @example([["message", "feed.publish:a", 5], ["pmessage", "p*", 5, None]], [], True)
    @example([["subscribe", ["a"], 1], ["subscribe"], ["unsubscribe", None, "x"]], [], True)
    def test_in_step(self, messages: list[Any], cuts: list[int], routed: bool) -> None:
        """Messages without a request leave all later messages and replies intact."""
        sub = ThoonkSub(RedisSubscriber())
        subscriber, _ = plug(sub.redis)
        sub._dispatcher.connected(subscriber)
        heard: list[Any] = []
        adding = sub.register_handler("feed.publish:good", lambda *parts: heard.append(parts))
        added = outcome(adding)
        subscriber.dataReceived(resp(["subscribe", "feed.publish:good", 1]))
        good = resp(["message", "feed.publish:good", "1\0x"])
        if not routed:
            subscriber.route(lambda *message: sub.messageReceived(*message), {}, {})
        wire = good + b"".join(good + resp(message) for message in messages) + good
        for piece in pieces(wire, cuts):
            subscriber.dataReceived(piece)
        self.assertEqual((added, heard), ([0], [("1", "x")] * (len(messages) + 2)))
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(resp(["pong", ""]))
        self.assertEqual(fired, [["pong", ""]])
        self.assert_sober(self.logged())

    def test_logged_once(self) -> None:
        """A message that cannot be parsed is logged once, with its channel, cut to length."""
        big = "\x1b[2J" + "x" * 10_000_000
        for message in (
            ["pmessage", "feed.publish:*"],
            ["message", "feed.publish:good"],
            ["message", "feed.publish:good", 5],
            ["subscribe", "feed.publish:good"],
            ["message", big, [big]],
            ["nothing of the kind", big],
            [[big]],
            big,
        ):
            for charset in ("utf8", None):
                with self.subTest(message=str(message)[:60], charset=charset):
                    sub = ThoonkSub(RedisSubscriber(charset=charset))
                    subscriber, _ = plug(sub.redis)
                    sub._dispatcher.connected(subscriber)
                    sub.register_handler("feed.publish:good", lambda *parts: None)
                    subscriber.dataReceived(resp(["subscribe", "feed.publish:good", 1]))
                    subscriber.dataReceived(resp(message))
                    lines = self.logged()
                    self.assert_sober(lines)
                    if message[0] != "message" or message[1] != big:  # no handler has this channel
                        self.assertEqual(len(lines), 1, [line[:200] for line in lines])
                    if "feed.publish" in str(message[1:2]):
                        self.assertIn("feed.publish", lines[0])
