"""RedisSubscriber: refusals, lost connections, and hooks that fail."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent

from tests.support.logs import observe_log
from tests.support.wire import SubscriberTestCase, lose, outcome, plug, resp
from txthoonk.errors import (
    AuthenticationError,
    ConnectionLost,
    InvalidData,
    InvalidResponse,
    ResponseError,
)
from txthoonk.protocol import RedisSubscriber

NOPERM = b"-NOPERM this user has no permissions to access one of the channels\r\n"


class RefusalTests(SubscriberTestCase):
    """A refused subscription is reported with all its names."""

    def test_refused(self) -> None:
        """An error fails the whole request, and the later confirmations still match theirs."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a")
        subscriber.subscribe("b", "c")
        subscriber.psubscribe("d*")
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(
            resp(["subscribe", "a", 1]) + NOPERM + resp(["psubscribe", "d*", 2]) + b"+PONG\r\n"
        )
        first, (hook, names, error), last = self.seen()
        self.assertEqual(first, ("channelSubscribed", "a", 1))
        self.assertEqual((hook, names), ("subscriptionFailed", ("b", "c")))
        self.assertIsInstance(error, ResponseError)
        self.assertEqual(error.code, "NOPERM")
        self.assertEqual(last, ("channelPatternSubscribed", "d*", 2))
        self.assertEqual(fired, ["PONG"])

    def test_refused_after_unsubscribing_from_all(self) -> None:
        """The refusal belongs to its own request, after each channel's confirmation."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a", "b")
        subscriber.dataReceived(resp(["subscribe", "a", 1]) + resp(["subscribe", "b", 2]))
        self.seen()
        subscriber.unsubscribe()
        subscriber.subscribe("c")
        subscriber.dataReceived(
            resp(["unsubscribe", "a", 1]) + resp(["unsubscribe", "b", 0]) + NOPERM
        )
        *ended, (hook, names, _) = self.seen()
        self.assertEqual(len(ended), 2)
        self.assertEqual((hook, names), ("subscriptionFailed", ("c",)))
        self.in_step(subscriber)

    def test_unsubscribe_from_all_after_a_refusal(self) -> None:
        """An UNSUBSCRIBE of all channels does not wait for refused ones."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a")
        subscriber.subscribe("b", "c")
        subscriber.dataReceived(resp(["subscribe", "a", 1]) + NOPERM)
        self.seen()
        subscriber.unsubscribe()
        subscriber.dataReceived(resp(["unsubscribe", "a", 0]))
        self.in_step(subscriber)

    def test_refused_again_though_subscribed(self) -> None:
        """A refusal of a channel that is subscribed to does not end it."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a")
        subscriber.subscribe("a", "b")
        subscriber.dataReceived(resp(["subscribe", "a", 1]) + NOPERM)
        subscriber.unsubscribe()
        subscriber.dataReceived(resp(["unsubscribe", "a", 0]))
        self.in_step(subscriber)

    def test_names_that_cannot_be_sent(self) -> None:
        """Names that cannot be sent are refused at once, and nothing is sent."""
        subscriber, transport = self.connect()
        subscriber.subscribe("a", None, object())  # type: ignore[arg-type]
        self.assertEqual(transport.value(), b"")
        ((hook, names, error),) = self.seen()
        self.assertEqual((hook, names[0]), ("subscriptionFailed", "a"))
        self.assertIsInstance(error, InvalidData)
        subscriber.unsubscribe()
        subscriber.dataReceived(resp(["unsubscribe", None, 0]))
        self.in_step(subscriber)

    def test_logged_by_default(self) -> None:
        """Without an override a refusal is in the log."""
        events: list[LogEvent] = []
        observe_log(self, events.append)
        subscriber, _ = plug(RedisSubscriber())
        subscriber.subscribe("a")
        subscriber.dataReceived(NOPERM)
        (event,) = events
        text = formatEvent(event)
        self.assertEqual(event["log_level"], LogLevel.error)
        self.assertIn("'a'", text)
        self.assertIn("no permissions", text)

    def test_no_names(self) -> None:
        """After Redis' error for a SUBSCRIBE without names, later replies still match."""
        subscriber, _ = self.connect()
        subscriber.subscribe()
        subscriber.subscribe("a")
        subscriber.dataReceived(
            b"-ERR wrong number of arguments for 'subscribe' command\r\n"
            + resp(["subscribe", "a", 1])
        )
        (_, names, _), confirmed = self.seen()
        self.assertEqual((names, confirmed), ((), ("channelSubscribed", "a", 1)))
        self.in_step(subscriber)

    def test_refused_handshake(self) -> None:
        """Held requests fail with the error of the handshake."""
        subscriber, _ = self.connect(password="pw")
        subscriber.subscribe("a")
        subscriber.dataReceived(b"-WRONGPASS no\r\n")
        lose(subscriber)
        ((hook, names, error),) = self.seen()
        self.assertEqual((hook, names), ("subscriptionFailed", ("a",)))
        self.assertIsInstance(error, AuthenticationError)

    def test_garbage(self) -> None:
        """A peer that is no Redis makes the subscriber close the connection."""
        subscriber, transport = self.connect()
        fired = outcome(subscriber.send("PING"))
        subscriber.dataReceived(b"garbage\r\n")
        self.assertIsInstance(fired[0], InvalidResponse)
        self.assertTrue(transport.disconnecting)


class LostTests(SubscriberTestCase):
    """A lost connection is not a refusal."""

    def test_confirmations_outstanding(self) -> None:
        """At a loss no hook is called for subscriptions, and requests fail."""
        subscriber, _ = self.connect()
        subscriber.subscribe("a", "b")
        fired = outcome(subscriber.send("PING"))
        subscriber.unsubscribe("c")
        subscriber.psubscribe("d*")
        subscriber.dataReceived(resp(["subscribe", "a", 1]))
        lose(subscriber)
        self.assertEqual(self.seen(), [("channelSubscribed", "a", 1)])
        self.assertIsInstance(fired[0], ConnectionLost)

    def test_subscribe_without_a_connection(self) -> None:
        """Without a connection, subscribe() fails at once."""
        subscriber, _ = self.connect()
        lose(subscriber)
        subscriber.subscribe("a")
        ((hook, names, error),) = self.seen()
        self.assertEqual((hook, names), ("subscriptionFailed", ("a",)))
        self.assertIsInstance(error, ConnectionLost)


class HookTests(SubscriberTestCase):
    """Hooks may be overridden in a class or on an object, and may fail."""

    def test_subclass(self) -> None:
        """Methods of a subclass are called."""
        calls: list[tuple[Any, ...]] = []

        class Mine(RedisSubscriber):
            def messageReceived(self, channel: Any, message: Any) -> None:
                calls.append((channel, message))

            def channelSubscribed(self, channel: Any, numSubscriptions: int) -> None:
                calls.append((channel, numSubscriptions))

        subscriber, _ = plug(Mine())
        subscriber.subscribe("a")
        subscriber.dataReceived(resp(["subscribe", "a", 1]) + resp(["message", "a", "x"]))
        self.assertEqual(calls, [("a", 1), ("a", "x")])

    def test_without_hooks(self) -> None:
        """A plain subscriber accepts everything, and does nothing."""
        subscriber, _ = plug(RedisSubscriber())
        subscriber.subscribe("a")
        for reply in (
            ["subscribe", "a", 1],
            ["message", "a", "x"],
            ["pmessage", "a*", "a", "x"],
            ["psubscribe", "a", 1],
            ["unsubscribe", "a", 1],
            ["punsubscribe", "a", 1],
        ):
            subscriber.dataReceived(resp(reply))
        self.in_step(subscriber)

    def test_hook_that_fails(self) -> None:
        """The error of a hook is logged, and the next message is still delivered."""
        subscriber, _ = self.connect()

        def fail(channel: Any, message: Any) -> None:
            if message == "bad":
                raise ZeroDivisionError
            self.calls.append((message,))

        self.patch(subscriber, "messageReceived", fail)
        subscriber.dataReceived(
            resp(["message", "a", "bad"])
            + resp(["pmessage", "a*", "a", "bad"])
            + resp(["message", "a", "good"])
        )
        self.assertEqual(self.seen(), [("good",)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_confirmation_hook_that_fails(self) -> None:
        """After an error of a confirmation hook, later replies still match their requests."""
        subscriber, _ = self.connect()

        def fail(channel: Any, number: int) -> None:
            raise ZeroDivisionError

        self.patch(subscriber, "channelSubscribed", fail)
        subscriber.subscribe("a", "b")
        subscriber.dataReceived(resp(["subscribe", "a", 1]) + resp(["subscribe", "b", 2]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.in_step(subscriber)

    def test_subscribe_from_a_hook(self) -> None:
        """A hook may subscribe, unsubscribe and close."""
        subscriber, transport = self.connect()

        def more(channel: Any, message: Any) -> None:
            subscriber.subscribe(message)
            subscriber.unsubscribe(channel)
            subscriber.close()

        self.patch(subscriber, "messageReceived", more)
        subscriber.subscribe("a")
        subscriber.dataReceived(resp(["subscribe", "a", 1]) + resp(["message", "a", "b"]))
        subscriber.dataReceived(resp(["subscribe", "b", 2]) + resp(["unsubscribe", "a", 1]))
        self.assertTrue(transport.disconnecting)
        self.assertEqual(
            self.seen(),
            [
                ("channelSubscribed", "a", 1),
                ("channelSubscribed", "b", 2),
                ("channelUnsubscribed", "a", 1),
            ],
        )

    def test_malformed_message(self) -> None:
        """A message with missing parts is logged, and the next one is delivered."""
        subscriber, _ = self.connect()
        for reply in (["message"], ["message", "a"], ["pmessage", "a"], ["subscribe"]):
            subscriber.dataReceived(resp(reply))
        subscriber.dataReceived(resp(["message", "a", "x"]))
        self.assertEqual(self.seen(), [("messageReceived", "a", "x")])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 4)
