"""Listening to channels for as long as anyone needs them, across lost connections."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.listening import CHANNEL, OTHER, ListeningTestCase
from tests.support.wire import Connection, lose
from txthoonk.consumers._channel_listener import LASTING
from txthoonk.protocol import Redis


class MessageTests(ListeningTestCase):
    def test_told(self) -> None:
        """A listener is ready once Redis has confirmed; from then on it receives each message."""
        self.listening.begin()
        self.assertEqual(self.seen(), [])
        sub = self.confirm()
        self.assertEqual(self.seen(), [("ready",)])
        sub.answer([b"message", CHANNEL, b"a\x0012\0"], [b"message", CHANNEL, b""])
        self.assertEqual(self.seen(), [("a", "12", ""), ("",)])
        self.assertEqual(self.room.subscriber.listening, {self.listening})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_others(self) -> None:
        """A listener does not receive messages of other channels."""
        sub = self.begin()
        sub.answer([b"message", OTHER, b"a"])
        self.assertEqual(self.seen(), [("ready",)])

    def test_begun_twice(self) -> None:
        """Beginning again while listening, or while connecting, changes nothing."""
        self.listening.begin()
        self.begin()
        self.listening.begin()
        self.assertEqual(self.sub.sent(), [])
        self.assertEqual(self.endpoint.attempts, 1)
        self.assertEqual(self.seen(), [("ready",)])
        self.listening.end()
        self.nothing_left()

    def test_ended(self) -> None:
        """A listener that ended receives nothing; it unsubscribes, and its connection stays."""
        sub = self.begin()
        self.listening.end()
        self.assertEqual(sub.sent(), [[b"UNSUBSCRIBE", CHANNEL]])
        sub.answer([b"message", CHANNEL, b"late"], [b"unsubscribe", CHANNEL, 0])
        self.assertEqual(self.seen(), [("ready",)])
        self.assertFalse(sub.transport.disconnected)
        self.listening.end()
        self.assertEqual(sub.sent(), [])
        self.nothing_left()

    def test_again(self) -> None:
        """A listener can begin again on the same connection, and is ready again."""
        sub = self.begin()
        self.listening.end()
        sub.sent()
        self.listening.begin()
        self.assertEqual(sub.sent(), [[b"SUBSCRIBE", CHANNEL]])
        sub.answer([b"unsubscribe", CHANNEL, 0], [b"subscribe", CHANNEL, 1])
        sub.answer([b"message", CHANNEL, b"a"])
        self.assertEqual(self.seen(), [("ready",), ("ready",), ("a",)])
        self.assertEqual(self.endpoint.attempts, 1)

    def test_ended_before_the_confirmation(self) -> None:
        """A listener that ends before the confirmation is never ready."""
        self.listening.begin()
        self.listening.end()
        sub = self.sub
        self.assertEqual(sub.sent(), [[b"SUBSCRIBE", CHANNEL], [b"UNSUBSCRIBE", CHANNEL]])
        sub.answer([b"subscribe", CHANNEL, 1], [b"message", CHANNEL, b"a"])
        sub.answer([b"unsubscribe", CHANNEL, 0])
        self.assertEqual(self.seen(), [])
        self.nothing_left()

    def test_ended_while_connecting(self) -> None:
        """Ending cancels the attempt to connect; beginning again makes another."""
        cancelled: list[Deferred[Any]] = []
        attempt: Deferred[Any] = Deferred(cancelled.append)
        with self.patch(self.endpoint, "connect", lambda _: attempt):
            self.listening.begin()
            self.listening.begin()
            self.listening.end()
        self.assertEqual(cancelled, [attempt])
        self.nothing_left()
        self.begin()
        self.assertEqual(self.seen(), [("ready",)])

    def test_ended_within_a_message(self) -> None:
        """The callback of a message may end the listener."""
        ends = self.listen(OTHER, told=lambda _: ends.end())
        ends.begin()
        sub = self.confirm(OTHER)
        sub.answer([b"message", OTHER, b"a"])
        self.assertEqual(sub.sent(), [[b"UNSUBSCRIBE", OTHER]])
        self.nothing_left()

    def test_ended_when_ready(self) -> None:
        """The ready callback may end the listener."""
        ends = self.listen(OTHER, ready=lambda: ends.end())
        ends.begin()
        sub = self.confirm(OTHER)
        self.assertEqual(sub.sent(), [[b"UNSUBSCRIBE", OTHER]])
        self.nothing_left()

    def test_two_of_one_channel(self) -> None:
        """Several listeners of one channel share one subscription, until the last one ends."""
        other = self.make(CHANNEL)
        sub = self.begin()
        other.begin()
        self.assertEqual(sub.sent(), [])
        sub.answer([b"message", CHANNEL, b"a"])
        self.assertEqual(self.seen(), [("ready",), ("ready",), ("a",), ("a",)])
        self.listening.end()
        self.assertEqual(sub.sent(), [])
        other.end()
        self.assertEqual(sub.sent(), [[b"UNSUBSCRIBE", CHANNEL]])
        self.nothing_left()

    def test_handler_fails(self) -> None:
        """An error in a callback is logged, and other listeners are not affected."""
        bad = self.listen(OTHER, told=lambda _: 1 // 0)
        bad.begin()
        sub = self.confirm(OTHER)
        self.begin()
        sub.answer([b"message", OTHER, b"a"], [b"message", CHANNEL, b"b"])
        self.assertEqual(self.seen(), [("ready",), ("b",)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LossTests(ListeningTestCase):
    def test_lost(self) -> None:
        """When the connection is lost, the listener uses another after a short delay."""
        lose(self.begin().protocol)
        self.assertEqual((self.seen(), self.endpoint.attempts), ([("ready",)], 1))
        self.clock.advance(0.1)
        self.confirm()
        self.sub.answer([b"message", CHANNEL, b"a"])
        self.assertEqual(self.seen(), [("ready",), ("a",)])
        self.assertEqual(len(self.endpoint.connections), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_before_the_confirmation(self) -> None:
        """A connection that is lost before the confirmation is replaced, too."""
        self.listening.begin()
        lose(self.sub.protocol)
        self.clock.advance(0.1)
        self.confirm()
        self.assertEqual(self.seen(), [("ready",)])
        self.assertEqual(len(self.endpoint.connections), 2)

    def test_shared(self) -> None:
        """All listeners share one connection, and after its loss one other."""
        other = self.make(OTHER)
        first = self.begin()
        other.begin()
        self.confirm(OTHER)
        lose(first.protocol)
        self.clock.advance(0.2)
        self.assertEqual(len(self.endpoint.connections), 2)
        asked = sorted(self.sub.sent())
        self.assertEqual(asked, [[b"SUBSCRIBE", CHANNEL], [b"SUBSCRIBE", OTHER]])
        self.seen()
        self.sub.answer([b"subscribe", CHANNEL, 1], [b"subscribe", OTHER, 2])
        self.assertEqual(self.seen(), [("ready",), ("ready",)])

    def test_ended_after_the_loss(self) -> None:
        """A listener that ends while it waits to reconnect leaves nothing scheduled."""
        lose(self.begin().protocol)
        self.listening.end()
        self.nothing_left()
        self.clock.advance(100)
        self.assertEqual(self.endpoint.attempts, 1)

    def test_begun_after_the_loss(self) -> None:
        """A listener that begins after the loss connects at once; only one attempt is made."""
        lose(self.begin().protocol)
        self.begin()
        self.assertEqual(self.seen(), [("ready",), ("ready",)])
        self.clock.advance(100)
        self.assertEqual(self.endpoint.attempts, 2)
        self.assertEqual(self.sub.sent(), [])
        self.listening.end()
        self.nothing_left()

    def test_lost_with_nobody(self) -> None:
        """A connection that is lost while there are no listeners is not replaced."""
        sub = self.begin()
        self.listening.end()
        lose(sub.protocol)
        self.nothing_left()
        self.assertEqual(self.endpoint.attempts, 1)

    def test_back_off(self) -> None:
        """While no connection can be made, the attempts become rare but go on."""
        self.endpoint.error = OSError("too many open files")
        times, attempts = [], 0
        self.listening.begin()
        for _ in range(4000):
            if self.endpoint.attempts > attempts:
                attempts = self.endpoint.attempts
                times.append(self.clock.seconds())
            self.clock.advance(0.05)
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLess(gaps[0], 0.2)
        self.assertTrue(all(gap < 30.1 for gap in gaps), gaps)
        self.assertTrue(all(gap > 14.9 for gap in gaps[10:]), gaps)
        self.endpoint.error = None
        self.clock.advance(31)
        self.confirm()
        self.assertEqual(self.seen(), [("ready",)])
        self.listening.end()
        self.nothing_left()

    def begin_late(self) -> Connection:
        """Begin, and listen only after many failed attempts."""
        self.endpoint.error = OSError("too many open files")
        self.listening.begin()
        self.clock.pump([31] * 10)
        self.endpoint.error = None
        self.clock.advance(31)
        return self.confirm()

    def test_lost_after_long(self) -> None:
        """A connection that lasted is replaced soon, however many attempts it took."""
        sub = self.begin_late()
        self.clock.advance(LASTING + 0.1)
        lose(sub.protocol)
        self.clock.advance(0.1)
        self.confirm()

    def test_lost_soon(self) -> None:
        """A connection that did not last is no success: the attempts before it count."""
        sub = self.begin_late()
        self.clock.advance(LASTING - 0.1)
        lose(sub.protocol)
        attempts = self.endpoint.attempts
        self.clock.advance(14)
        self.assertEqual(self.endpoint.attempts, attempts)
        self.clock.advance(16.1)
        self.confirm()

    def test_ended_after_long(self) -> None:
        """A connection that lasted until the listener ended is a success for the next one, too."""
        self.begin_late()
        self.clock.advance(LASTING + 0.1)
        self.listening.end()
        self.sub.sent()
        self.sub.answer([b"unsubscribe", CHANNEL, 0])
        lose(self.begin().protocol)
        self.clock.advance(0.1)
        self.confirm()

    def test_again_and_again(self) -> None:
        """A connection that is always lost at once is replaced more and more rarely."""
        self.listening.begin()
        times = []
        for attempts in range(1, 21):
            while self.endpoint.attempts < attempts:
                self.clock.advance(0.05)
            times.append(self.clock.seconds())
            lose(self.confirm().protocol)
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLess(gaps[0], 0.2)
        self.assertGreater(min(gaps[10:]), 2)
        self.assertLess(max(gaps), 30.1)
        self.listening.end()
        self.nothing_left()

    def test_refused(self) -> None:
        """A subscription that Redis refuses is requested again later."""
        self.listening.begin()
        sub = self.sub
        for _ in range(3):
            self.assertEqual(sub.sent(), [[b"SUBSCRIBE", CHANNEL]])
            sub.answer(Exception("NOPERM no access to one of the channels"))
            self.assertEqual(sub.sent(), [])
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(1)
        self.confirm()
        self.assertEqual(self.seen(), [("ready",)])
        self.assertEqual(self.endpoint.attempts, 1)
        self.listening.end()
        self.nothing_left()

    def test_dropped(self) -> None:
        """After the room drops its connections, a listener that begins gets another."""
        sub = self.begin()
        self.listening.end()
        lose(self.pub)
        self.assertTrue(sub.transport.disconnected)
        self.nothing_left()
        self.pub.set_redis(Redis())
        self.main = Connection(self.pub)
        self.begin()
        self.assertEqual(self.seen(), [("ready",), ("ready",)])
        self.assertEqual(len(self.endpoint.connections), 2)
