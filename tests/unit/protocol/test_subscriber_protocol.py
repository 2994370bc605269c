"""RedisSubscriber: the hooks receive messages and confirmations, and requests stay in step."""

from __future__ import annotations

from tests.support.wire import OK, SubscriberTestCase, outcome, resp, sent
from txthoonk.errors import InvalidData


class MessageTests(SubscriberTestCase):
    """Messages reach messageReceived."""

    def test_message(self) -> None:
        """A message is delivered with its channel."""
        subscriber, _ = self.connect()
        subscriber.dataReceived(resp(["message", "news", "héllo"]))
        self.assertEqual(self.seen(), [("messageReceived", "news", "héllo")])

    def test_split_at_every_byte(self) -> None:
        """Messages and confirmations may be split at any byte."""
        wire = (
            resp(["subscribe", "a", 1])
            + resp(["message", "a", "x\r\ny"])
            + resp(["pmessage", "a*", "ab", ""])
        )
        for cut in range(1, len(wire)):
            subscriber, _ = self.connect()
            subscriber.subscribe("a")
            subscriber.dataReceived(wire[:cut])
            subscriber.dataReceived(wire[cut:])
            self.assertEqual(
                self.seen(),
                [
                    ("channelSubscribed", "a", 1),
                    ("messageReceived", "a", "x\r\ny"),
                    ("messageReceived", "ab", ""),
                ],
            )

    def test_pattern_message(self) -> None:
        """A pattern message reaches messageReceived if no patternMessageReceived is defined."""
        subscriber, _ = self.connect()
        wire = resp(["pmessage", "n*", "news", "hello"])
        subscriber.dataReceived(wire)
        self.assertEqual(self.seen(), [("messageReceived", "news", "hello")])
        self.patch(subscriber, "patternMessageReceived", self.recorder("pattern"))
        subscriber.dataReceived(wire)
        self.assertEqual(self.seen(), [("pattern", "n*", "news", "hello")])

    def test_no_charset(self) -> None:
        """Without a charset all strings are bytes, and all kinds of messages are recognized."""
        subscriber, _ = self.connect(charset=None)
        subscriber.subscribe(b"\xff")
        subscriber.psubscribe("p*")
        for reply in (
            ["subscribe", b"\xff", 1],
            ["psubscribe", "p*", 2],
            ["message", b"\xff", b"\0\xfe"],
            ["pmessage", "p*", "p1", b"\xfd"],
            ["unsubscribe", b"\xff", 1],
            ["punsubscribe", "p*", 0],
        ):
            subscriber.dataReceived(resp(reply))
        self.assertEqual(
            self.seen(),
            [
                ("channelSubscribed", b"\xff", 1),
                ("channelPatternSubscribed", b"p*", 2),
                ("messageReceived", b"\xff", b"\0\xfe"),
                ("messageReceived", b"p1", b"\xfd"),
                ("channelUnsubscribed", b"\xff", 1),
                ("channelPatternUnsubscribed", b"p*", 0),
            ],
        )

    def test_error_handler(self) -> None:
        """Bytes that are not text are delivered as the error handler decodes them."""
        subscriber, _ = self.connect(errors="surrogateescape")
        subscriber.dataReceived(resp(["message", "a", b"x\xff"]))
        self.assertEqual(self.seen(), [("messageReceived", "a", "x\udcff")])

    def test_message_that_is_not_text(self) -> None:
        """A message that cannot be decoded affects no request and no other message."""
        subscriber, transport = self.connect()
        subscriber.subscribe("b", "c")
        subscriber.dataReceived(
            resp(["subscribe", "b", 1])
            + resp(["message", "b", b"\xff"])
            + resp(["message", "b", "x"])
            + resp(["subscribe", "c", 2])
        )
        self.assertEqual(
            self.seen(),
            [
                ("channelSubscribed", "b", 1),
                ("messageReceived", "b", "x"),
                ("channelSubscribed", "c", 2),
            ],
        )
        self.in_step(subscriber)
        self.assertFalse(transport.disconnecting)

    def test_ping_beside_a_message_that_is_not_text(self) -> None:
        """A message that cannot be decoded is not taken for the reply of a pending PING."""
        subscriber, _ = self.connect()
        subscriber.subscribe("b")
        subscriber.dataReceived(resp(["subscribe", "b", 1]))
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(resp(["message", "b", b"\xff"]) + resp(["pong", ""]))
        self.assertEqual(fired, [["pong", ""]])

    def test_channel_that_is_not_text(self) -> None:
        """A confirmation whose name cannot be decoded still ends its request."""
        subscriber, _ = self.connect()
        subscriber.subscribe(b"\xff", "a")
        subscriber.dataReceived(resp(["subscribe", b"\xff", 1]) + resp(["subscribe", "a", 2]))
        self.assertIn(("channelSubscribed", "a", 2), self.seen())
        self.in_step(subscriber)
        subscriber.unsubscribe()
        subscriber.dataReceived(resp(["unsubscribe", "a", 1]) + resp(["unsubscribe", b"\xff", 0]))
        self.in_step(subscriber)

    def test_reply_that_is_not_text(self) -> None:
        """A request whose own reply cannot be decoded fails, subscribed or not."""
        subscriber, _ = self.connect()
        fired = [outcome(subscriber.send("PING", b"\xff"))]
        subscriber.dataReceived(resp(b"\xff"))
        subscriber.subscribe("a")
        subscriber.dataReceived(resp(["subscribe", "a", 1]))
        fired.append(outcome(subscriber.send("PING", b"\xff")))
        subscriber.dataReceived(resp(["pong", b"\xff"]))
        self.in_step(subscriber)
        for (reason,) in fired:
            self.assertIsInstance(reason, InvalidData)


class ConfirmationTests(SubscriberTestCase):
    """Each name is confirmed, and each request ends with its last confirmation."""

    def test_words(self) -> None:
        """Each call is one command in one write."""
        subscriber, transport = self.connect()
        subscriber.subscribe("a", b"b")
        subscriber.psubscribe("a*")
        subscriber.unsubscribe("a")
        subscriber.unsubscribe()
        subscriber.punsubscribe("a*")
        subscriber.punsubscribe()
        self.assertEqual(
            transport.writes,
            [
                sent("SUBSCRIBE", "a", "b"),
                sent("PSUBSCRIBE", "a*"),
                sent("UNSUBSCRIBE", "a"),
                sent("UNSUBSCRIBE"),
                sent("PUNSUBSCRIBE", "a*"),
                sent("PUNSUBSCRIBE"),
            ],
        )

    def test_nothing_is_returned(self) -> None:
        """subscribe() and unsubscribe() return None, as in txredis; the hooks report results."""
        subscriber, _ = self.connect()
        self.assertIsNone(subscriber.subscribe("a"))
        self.assertIsNone(subscriber.unsubscribe("a"))

    def test_every_name(self) -> None:
        """Each name is confirmed with one call, which has the number of subscriptions."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a", "b")
        subscriber.psubscribe("c*", "d*")
        for number, name in enumerate("ab", 1):
            subscriber.dataReceived(resp(["subscribe", name, number]))
        for number, name in enumerate(("c*", "d*"), 3):
            subscriber.dataReceived(resp(["psubscribe", name, number]))
        self.assertEqual(
            self.seen(),
            [
                ("channelSubscribed", "a", 1),
                ("channelSubscribed", "b", 2),
                ("channelPatternSubscribed", "c*", 3),
                ("channelPatternSubscribed", "d*", 4),
            ],
        )
        self.in_step(subscriber)

    def test_unsubscribe_from_all(self) -> None:
        """unsubscribe() without names confirms every channel; the next request stays in step."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a", "b", "a")
        for name, number in (("a", 1), ("b", 2), ("a", 2)):
            subscriber.dataReceived(resp(["subscribe", name, number]))
        self.seen()
        subscriber.unsubscribe()
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(resp(["unsubscribe", "b", 1]) + resp(["unsubscribe", "a", 0]))
        self.assertEqual(
            self.seen(), [("channelUnsubscribed", "b", 1), ("channelUnsubscribed", "a", 0)]
        )
        self.assertEqual(fired, [])
        subscriber.dataReceived(b"+PONG\r\n")
        self.assertEqual(fired, ["PONG"])

    def test_unsubscribe_from_none(self) -> None:
        """Unsubscribing from all without a subscription is confirmed once, with None."""
        subscriber, _ = self.connect()
        subscriber.unsubscribe()
        subscriber.punsubscribe()
        subscriber.dataReceived(resp(["unsubscribe", None, 0]) + resp(["punsubscribe", None, 0]))
        self.assertEqual(
            self.seen(),
            [("channelUnsubscribed", None, 0), ("channelPatternUnsubscribed", None, 0)],
        )
        self.in_step(subscriber)

    def test_unsubscribe_from_what_is_not_subscribed(self) -> None:
        """Unsubscribing from a channel without a subscription is confirmed like any other."""
        subscriber, _ = self.connect()
        subscriber.unsubscribe("x", "y")
        subscriber.dataReceived(resp(["unsubscribe", "x", 0]) + resp(["unsubscribe", "y", 0]))
        self.in_step(subscriber)

    def test_unsubscribe_from_all_after_some(self) -> None:
        """Channels and patterns that were already unsubscribed are not expected again."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a", "b")
        subscriber.psubscribe("p*")
        subscriber.unsubscribe("a")
        subscriber.unsubscribe()
        subscriber.punsubscribe("p*")
        subscriber.punsubscribe()
        for reply in (
            ["subscribe", "a", 1],
            ["subscribe", "b", 2],
            ["psubscribe", "p*", 3],
            ["unsubscribe", "a", 2],
            ["unsubscribe", "b", 1],
            ["punsubscribe", "p*", 0],
            ["punsubscribe", None, 0],
        ):
            subscriber.dataReceived(resp(reply))
        self.assertEqual(len(self.seen()), 7)
        self.in_step(subscriber)

    def test_the_same_channel_as_text_and_bytes(self) -> None:
        """A channel named as text and as bytes is the same channel."""
        subscriber, _ = self.connect()
        subscriber.subscribe("ä", "ä".encode())
        subscriber.dataReceived(resp(["subscribe", "ä", 1]) * 2)
        subscriber.unsubscribe()
        subscriber.dataReceived(resp(["unsubscribe", "ä", 0]))
        self.in_step(subscriber)

    def test_requests_beside_confirmations(self) -> None:
        """PING and AUTH between subscriptions get their replies in order."""
        subscriber, _ = self.connect()
        first = outcome(subscriber.send("PING"))
        subscriber.subscribe("a", "b")
        second = outcome(subscriber.send("AUTH", "pw"))
        subscriber.subscribe("c")
        third = outcome(subscriber.send("PING", "x"))
        subscriber.dataReceived(
            b"+PONG\r\n"
            + resp(["subscribe", "a", 1])
            + resp(["message", "a", "m"])
            + resp(["subscribe", "b", 2])
            + OK
            + resp(["subscribe", "c", 3])
            + resp(["pong", "x"])
        )
        self.assertEqual((first, second, third), (["PONG"], ["OK"], [["pong", "x"]]))
        self.assertEqual(len(self.seen()), 4)

    def test_cancelled_request(self) -> None:
        """A cancelled PING keeps the confirmations in step."""
        subscriber, _ = self.connect()
        ping = subscriber.send("PING")
        fired = outcome(ping)
        subscriber.subscribe("a")
        ping.cancel()
        subscriber.dataReceived(b"+PONG\r\n" + resp(["subscribe", "a", 1]))
        self.assertEqual(len(fired), 1)
        self.assertEqual(self.seen(), [("channelSubscribed", "a", 1)])
        self.in_step(subscriber)

    def test_held_until_the_handshake(self) -> None:
        """Subscriptions wait for AUTH and SELECT like any command."""
        subscriber, transport = self.connect(password="pw", db=2)
        subscriber.subscribe("a")
        self.assertEqual(transport.value(), sent("AUTH", "pw") + sent("SELECT", 2))
        transport.clear()
        subscriber.dataReceived(OK + OK)
        self.assertEqual(transport.value(), sent("SUBSCRIBE", "a"))
        subscriber.dataReceived(resp(["subscribe", "a", 1]))
        self.assertEqual(self.seen(), [("channelSubscribed", "a", 1)])

    def test_confirmation_that_nobody_asked_for(self) -> None:
        """An unexpected confirmation is reported, and leaves the requests in step."""
        subscriber, _ = self.connect()
        subscriber.dataReceived(resp(["unsubscribe", "a", 0]))
        self.assertEqual(self.seen(), [("channelUnsubscribed", "a", 0)])
        self.in_step(subscriber)

    def test_reply_whose_first_element_is_an_array(self) -> None:
        """A reply of nested arrays reaches its request."""
        subscriber, _ = self.connect()
        fired = outcome(subscriber.send("COMMAND", "INFO", "get"))
        subscriber.dataReceived(resp([["get", 2, ["readonly"]]]))
        self.assertEqual(fired, [[["get", 2, ["readonly"]]]])
