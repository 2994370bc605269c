"""A listener of several channels."""

from __future__ import annotations

import gc

from tests.support.listening import ListeningTestCase
from tests.support.patience import confirm, subscribe, unsubscribe
from tests.support.wire import Connection, lose
from txthoonk.consumers._channel_listener import Listening

CHANNELS = (b"first", b"second", b"third")
FIRST, SECOND, THIRD = confirm(*CHANNELS)
NOPERM = Exception("NOPERM no access to one of the channels")


class ChannelsTestCase(ListeningTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.listening = self.make_one("")

    def make_one(self, mark: str) -> Listening:
        """Return a listener of all channels that records each message, and its mark when ready."""
        told = {
            name: lambda *parts, name=name: self.told.append((name, *parts))
            for name in (channel.decode() for channel in CHANNELS)
        }
        return Listening(self.room, "several", told, lambda: self.told.append(("ready", mark)))

    def asked(self) -> Connection:
        """Check that the last connection only received the subscriptions to all channels."""
        self.assertEqual(self.sub.sent(), subscribe(*CHANNELS))
        return self.sub

    def begin_all(self) -> Connection:
        """Begin, and confirm all channels."""
        self.listening.begin()
        self.asked().answer(FIRST, SECOND, THIRD)
        self.assertEqual(self.seen(), [("ready", "")])
        return self.sub


class ChannelsTests(ChannelsTestCase):
    def test_ready(self) -> None:
        """All channels are requested at once; the listener is ready when all are confirmed."""
        self.listening.begin()
        sub = self.asked()
        sub.answer(FIRST, SECOND)
        self.assertEqual(self.seen(), [])
        sub.answer(THIRD)
        self.assertEqual(self.seen(), [("ready", "")])
        self.assertEqual(sub.sent(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_told(self) -> None:
        """Each channel has its own callback."""
        sub = self.begin_all()
        for channel in reversed(CHANNELS):
            sub.answer([b"message", channel, b"a\x00" + channel])
        self.assertEqual(
            self.seen(),
            [("third", "a", "third"), ("second", "a", "second"), ("first", "a", "first")],
        )

    def test_begun_twice(self) -> None:
        """Beginning again while some channels are not confirmed changes nothing."""
        self.listening.begin()
        sub = self.asked()
        sub.answer(FIRST)
        self.listening.begin()
        sub.answer(SECOND, THIRD)
        self.listening.begin()
        self.assertEqual((self.seen(), sub.sent()), ([("ready", "")], []))

    def test_ended(self) -> None:
        """The end of a listener unsubscribes from all its channels."""
        sub = self.begin_all()
        self.listening.end()
        self.assertEqual(sub.sent(), unsubscribe(*CHANNELS))
        self.nothing_left()

    def test_ended_between(self) -> None:
        """An end before all confirmations unsubscribes from all; late messages are ignored."""
        for confirmed in ([], [FIRST], [THIRD], [FIRST, SECOND]):
            self.listening.begin()
            sub = self.asked()
            sub.answer(*confirmed)
            self.listening.end()
            self.assertCountEqual(sub.sent(), unsubscribe(*CHANNELS))
            self.nothing_left()
            sub.answer(*[each for each in (FIRST, SECOND, THIRD) if each not in confirmed])
            sub.answer(*[[b"message", channel, b"late"] for channel in CHANNELS])
            sub.answer(*[[b"unsubscribe", channel, 0] for channel in CHANNELS])
            self.assertEqual((self.seen(), sub.sent()), ([], []))

    def test_ended_and_begun_between(self) -> None:
        """A listener that begins again needs new confirmations; the earlier ones do not count."""
        self.listening.begin()
        sub = self.asked()
        sub.answer(FIRST)
        self.listening.end()
        self.listening.begin()
        sub.sent()
        sub.answer(SECOND, THIRD, *[[b"unsubscribe", channel, 0] for channel in CHANNELS])
        self.assertEqual(self.seen(), [])
        sub.answer(FIRST, SECOND, THIRD)
        self.assertEqual(self.seen(), [("ready", "")])
        sub.answer([b"message", b"second", b"a"])
        self.assertEqual(self.seen(), [("second", "a")])
        self.listening.end()
        self.assertEqual(sub.sent(), unsubscribe(*CHANNELS))
        self.nothing_left()

    def test_two(self) -> None:
        """A second listener of the same channels needs no subscription, and keeps them all."""
        sub = self.begin_all()
        other = self.make_one("other")
        other.begin()
        self.assertEqual((self.seen(), sub.sent()), ([("ready", "other")], []))
        self.listening.end()
        self.assertEqual(sub.sent(), [])
        sub.answer([b"message", b"second", b"a"])
        self.assertEqual(self.seen(), [("second", "a")])
        other.end()
        self.assertEqual(sub.sent(), unsubscribe(*CHANNELS))
        self.nothing_left()

    def test_ended_by_another(self) -> None:
        """A listener that the ready callback of another one ends is never ready."""
        other = self.make_one("other")
        ends = Listening(self.room, "ends", {"third": lambda *_: None}, other.end)
        ends.begin()
        other.begin()
        self.assertEqual(self.sub.sent(), subscribe(b"third") + subscribe(b"first", b"second"))
        self.sub.answer(FIRST, SECOND, THIRD)
        self.assertEqual(self.sub.sent(), unsubscribe(b"first", b"second"))
        self.assertEqual(self.seen(), [])
        self.assertEqual(self.room.subscriber.listening, {ends})

    def test_shared_in_part(self) -> None:
        """A channel that is confirmed for another listener does not make this one ready."""
        other = self.make(b"second")
        other.begin()
        self.assertEqual(self.sub.sent(), subscribe(b"second"))
        self.sub.answer(*confirm(b"second"))
        self.seen()
        self.listening.begin()
        self.assertEqual(self.sub.sent(), subscribe(b"first", b"third"))
        self.sub.answer(THIRD)
        self.assertEqual(self.seen(), [])
        self.sub.answer(FIRST)
        self.assertEqual(self.seen(), [("ready", "")])
        self.listening.end()
        self.assertEqual(self.sub.sent(), unsubscribe(b"first", b"third"))
        other.end()
        self.assertEqual(self.sub.sent(), unsubscribe(b"second"))
        self.nothing_left()


class RefusalTests(ChannelsTestCase):
    def test_one(self) -> None:
        """If Redis refuses one channel, all are requested again later, as one."""
        self.listening.begin()
        sub = self.asked()
        sub.answer(NOPERM)
        self.assertEqual((self.seen(), sub.sent()), ([], []))
        sub.answer(*[[b"message", channel, b"late"] for channel in CHANNELS])
        self.assertEqual(self.seen(), [])
        (attempt,) = self.clock.getDelayedCalls()
        self.clock.advance(attempt.getTime() - self.clock.seconds())
        self.asked().answer(FIRST, SECOND, THIRD)
        self.assertEqual(self.seen(), [("ready", "")])
        self.assertEqual(self.endpoint.attempts, 1)
        self.listening.end()
        sub.sent()
        sub.answer(*[[b"unsubscribe", channel, 0] for channel in CHANNELS])
        self.nothing_left()

    def test_shared_with_another(self) -> None:
        """After a refusal, a channel that another listener uses stays subscribed until it ends."""
        other = self.make(b"second")
        other.begin()
        self.sub.sent()
        self.listening.begin()
        self.sub.sent()
        self.sub.answer(*confirm(b"second"), NOPERM)
        self.assertEqual((self.seen(), self.sub.sent()), ([("ready",)], []))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        other.end()
        self.assertEqual(self.sub.sent(), unsubscribe(b"second"))

    def test_all(self) -> None:
        """Repeated refusals schedule one attempt at a time, and unsubscribe from nothing."""
        self.listening.begin()
        for _ in range(5):
            sub = self.asked()
            sub.answer(NOPERM)
            self.assertEqual(sub.sent(), [])
            (attempt,) = self.clock.getDelayedCalls()
            self.clock.advance(attempt.getTime() - self.clock.seconds())
        self.asked()
        self.assertEqual(self.seen(), [])

    def test_for_another(self) -> None:
        """A refusal does not affect the channels of another listener."""
        other = self.make(b"second")
        other.begin()
        self.sub.answer(*confirm(b"second"))
        self.sub.sent()
        self.listening.begin()
        self.sub.sent()
        self.sub.answer(NOPERM)
        self.assertEqual(self.sub.sent(), [])
        self.seen()
        self.sub.answer([b"message", b"second", b"a"])
        self.assertEqual(self.seen(), [("a",)])

    def test_ended(self) -> None:
        """A listener that ends after a refusal does not try again."""
        self.listening.begin()
        sub = self.asked()
        sub.answer(NOPERM)
        self.listening.end()
        self.assertEqual(sub.sent(), [])
        self.nothing_left()
        self.assertEqual(self.seen(), [])

    def test_ended_between(self) -> None:
        """A listener that ends before the refusal does not try again, and no error is logged."""
        self.listening.begin()
        sub = self.asked()
        self.listening.end()
        self.assertEqual(sub.sent(), unsubscribe(*CHANNELS))
        sub.answer(NOPERM, *[[b"unsubscribe", channel, 0] for channel in CHANNELS])
        self.nothing_left()
        gc.collect()
        self.assertEqual((self.flushLoggedErrors(), self.seen()), ([], []))


class LossTests(ChannelsTestCase):
    def test_lost(self) -> None:
        """After a lost connection all channels are requested on another."""
        lose(self.begin_all().protocol)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0.1)
        self.asked().answer(FIRST, SECOND)
        self.assertEqual(self.seen(), [])
        self.sub.answer(THIRD, [b"message", b"first", b"a"])
        self.assertEqual(self.seen(), [("ready", ""), ("first", "a")])
        self.assertEqual(self.endpoint.attempts, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_between(self) -> None:
        """Confirmations of a lost connection do not count on the next one."""
        self.listening.begin()
        self.asked().answer(FIRST, THIRD)
        lose(self.sub.protocol)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0.1)
        self.asked().answer(SECOND)
        self.assertEqual(self.seen(), [])
        self.sub.answer(FIRST, THIRD)
        self.assertEqual(self.seen(), [("ready", "")])
        self.assertEqual(self.endpoint.attempts, 2)
        self.listening.end()
        self.nothing_left()

    def test_lost_after_a_refusal(self) -> None:
        """A connection that is lost after a refusal is replaced when the next attempt is due."""
        self.listening.begin()
        self.asked().answer(NOPERM)
        lose(self.sub.protocol)
        (attempt,) = self.clock.getDelayedCalls()
        self.assertEqual(self.endpoint.attempts, 1)
        self.clock.advance(attempt.getTime() - self.clock.seconds())
        self.assertEqual(self.endpoint.attempts, 2)
        self.asked().answer(FIRST, SECOND, THIRD)
        self.assertEqual(self.seen(), [("ready", "")])
