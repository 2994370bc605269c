"""Followers: slow subscribers, and too many events at once."""

from __future__ import annotations

from tests.support.followers import (
    NOFEED,
    OFF,
    FollowerTestCase,
    change,
    changes,
    found,
    free,
    of_the_feed,
    resync,
    snapshot,
    state,
)
from txthoonk.events import Event
from txthoonk.history._recovery import SLOW, Position
from txthoonk.subscriptions.following import _held


class SlowTests(FollowerTestCase):
    def test_with_history(self) -> None:
        """A slow subscriber misses nothing: the history is read when there is room."""
        self.start(limit=4)
        self.tell(*changes(6, 7, 8, 9, 10, 11))
        self.assertEqual((self.reader.sent(), self.position), ([], ("a", 9)))
        self.take_one()
        self.tell(change(12))
        self.assertEqual(self.reader.sent(), [])
        self.take_one()
        self.answer(found(12, 10, 11))
        self.assertEqual(self.asked, ["look a 9 2"])
        self.assertEqual(self.reader.sent(), [])
        self.take_one(2)
        self.answer(found(12, 12))
        self.assertEqual(self.asked, ["look a 11 2"])
        self.assertEqual(self.seen(), changes(6, 7, 8, 9, 10, 11, 12))
        self.assertTrue(self.follower.is_live)

    def test_held_events_connect(self) -> None:
        """Events that are held are not read from the history."""
        self.start(limit=4)
        self.tell(change(8))
        self.answer(found(9, 6, 7))
        self.tell(change(9))
        self.assertEqual((self.seen(), self.reader.sent()), (changes(6, 7, 8, 9), []))

    def test_held_events_of_no_revision(self) -> None:
        """Held events without a revision do not stop the reading of the history."""
        self.start(limit=4)
        self.tell(of_the_feed("config"), of_the_feed("config"))
        self.answer(found(8, 6, 7, 8))
        self.assertEqual(len(self.seen()), 5)

    def test_without_history(self) -> None:
        """Without a history, waiting events are dropped, and a resync takes their place."""
        self.start(OFF, limit=2)
        self.tell(*[change(None)] * 3)
        self.assertEqual(free(self.subscription), 1)
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.tell(change(None))
        self.answer(OFF)
        self.tell(change(None))
        self.assertEqual(self.seen(), [change(None)] * 2)

    def test_without_history_beside_others(self) -> None:
        """Events after the resync are delivered, or another resync says that they were not."""
        self.start(OFF, limit=4)
        self.tell(*[change(None)] * 5)
        self.subscription.put(Event("retract", "other", "1"))
        self.take_one()
        self.assertEqual(self.events, [resync(SLOW)])
        self.tell(change(None))
        self.take_one()
        if self.reader.transport.value():
            self.answer(OFF)
        self.assertIn(self.seen()[-1], [change(None), resync(SLOW)])

    def test_without_history_and_with_a_snapshot(self) -> None:
        """With snapshots, the state follows the resync of a slow subscriber."""
        self.start(OFF, limit=2, position=Position(None, 0), snapshot=True)
        self.tell(*[change(None)] * 3)
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        self.assertEqual(self.seen(), [snapshot([("a", "y")])])

    def test_first_revision_finds_no_room(self) -> None:
        """A slow subscriber gets a resync when there is no room for a history's first event."""
        self.start(OFF, limit=2)
        self.tell(change(None), change(None), change(1))
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.answer(found(1))
        self.tell(change(2))
        self.assertEqual((self.seen(), self.position), ([change(2)], ("a", 2)))

    def test_feed_is_gone(self) -> None:
        """A delete that arrives while the subscriber is busy is delivered."""
        self.start(limit=2)
        self.tell(*changes(6, 7, 8), of_the_feed("delete"))
        self.assertEqual(self.seen(), changes(6, 7))
        self.answer(NOFEED)
        kinds = [event.kind for event in self.seen()]
        self.assertTrue(kinds and kinds[-1] in ("delete", "resync"), kinds)

    def test_history_is_off(self) -> None:
        """A resync follows when the history is switched off while the subscriber is busy."""
        self.start(limit=2)
        self.tell(*changes(6, 7, 8), of_the_feed("config"))
        self.assertEqual(self.seen(), changes(6, 7))
        self.answer(OFF)
        self.assertIn("resync", [event.kind for event in self.seen()])

    def test_lost_while_paused(self) -> None:
        """Room that comes after a lost connection is not used before the next one."""
        self.start(limit=2)
        self.tell(*changes(6, 7, 8))
        self.follower.lost()
        self.assertEqual((self.seen(), self.reader.sent()), (changes(6, 7), []))
        self.follower.ready()
        self.answer(found(8, 8))
        self.assertEqual(self.seen(), changes(8))

    def test_paused_by_held_events(self) -> None:
        """Held events for which there is no room are read later."""
        self.start(limit=2)
        self.tell(of_the_feed("config"), *changes(6, 7, 8))
        self.answer(found(5))
        self.assertEqual(self.seen(), [of_the_feed("config"), change(6)])
        self.answer(found(8, 7, 8))
        self.assertEqual(self.seen(), changes(7, 8))


class OverflowTests(FollowerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(_held, "LIMIT", 3)

    def test_with_history(self) -> None:
        """At the limit, held events are dropped, and read from the history."""
        self.start()
        self.tell(of_the_feed("config"), *changes(6, 7, 8, 9))
        self.answer(found(5))
        self.assertEqual(self.seen(), [of_the_feed("config")])
        self.answer(found(9, 6, 7, 8, 9))
        self.assertEqual((self.seen(), self.follower.is_live), (changes(6, 7, 8, 9), True))

    def test_without_history(self) -> None:
        """Without a history, a resync takes the place of the dropped events."""
        self.start(OFF)
        self.tell(of_the_feed("config"), *[change(None)] * 4)
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config"), resync(SLOW)])
        self.tell(change(None))
        self.answer(OFF)
        self.assertEqual(self.seen(), [change(None)])

    def test_with_a_snapshot(self) -> None:
        """With snapshots, the state follows the resync for the dropped events."""
        self.start(OFF, position=Position(None, 0), snapshot=True)
        self.tell(of_the_feed("config"), *[change(None)] * 4)
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config"), resync(SLOW)])
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        self.assertEqual(self.seen(), [snapshot([("a", "y")])])
        self.assertTrue(self.follower.is_live)

    def test_alone(self) -> None:
        """A follower without a publisher also continues, with the events after the resync."""
        self.make(reader=False, limit=2)
        self.follower.ready()
        self.tell(*[change(None)] * 3, *[of_the_feed("config")] * 4)
        self.assertEqual([event.kind for event in self.seen()], ["resync", "config", "resync"])
        self.tell(change(None))
        self.assertEqual((self.seen(), self.follower.is_live), ([change(None)], True))
