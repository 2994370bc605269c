"""Followers: lost connections, and followers that cannot read."""

from __future__ import annotations

from typing import Any

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
    state,
)
from tests.support.wire import lose, outcome
from txthoonk.errors import ConnectionLost, ResponseError, ThoonkError
from txthoonk.history._recovery import SLOW, UNRECORDED
from txthoonk.subscriptions.following._follower import UNSEEN


class LossTests(FollowerTestCase):
    def test_replayed(self) -> None:
        """After a lost connection the history is read from the position."""
        self.start()
        self.follower.lost()
        self.assert_stays()
        self.follower.ready()
        self.answer(found(7, 6, 7))
        self.assertEqual((self.asked, self.seen()), (["look a 5 1000"], changes(6, 7)))

    def test_not_replayed(self) -> None:
        """Without a history a resync reports the gap, with the position of a new history."""
        for answer, event in ((OFF, resync(UNRECORDED)), (found(3), resync(UNRECORDED, "a", 3))):
            self.start(OFF)
            self.follower.lost()
            self.follower.ready()
            self.answer(answer)
            self.assertEqual(self.seen(), [event])

    def test_told_once(self) -> None:
        """A gap is reported once, after any number of lost connections."""
        self.start(OFF)
        for _ in range(2):
            self.follower.lost()
            self.follower.ready()
        self.answer(OFF)
        self.answer(OFF)
        self.assertEqual(self.seen(), [resync(UNRECORDED)])
        self.tell(of_the_feed("config"))
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config")])

    def test_before_the_first_look(self) -> None:
        """A connection that is lost before the position is known leaves no gap."""
        self.make()
        self.follower.ready()
        self.follower.lost()
        self.follower.ready()
        self.answer(found(5))
        self.assertEqual(self.first, [])
        self.answer(OFF)
        self.assertEqual((self.first, self.seen()), ([None], []))

    def test_superseded(self) -> None:
        """An answer to a reading of the last connection is ignored."""
        self.start()
        self.tell(change(8))
        self.follower.lost()
        self.follower.ready()
        self.answer(found(8, 6, 7, 8))
        self.assertEqual(self.seen(), [])
        self.answer(found(9, 6, 7, 8, 9))
        self.assertEqual((self.seen(), self.position), (changes(6, 7, 8, 9), ("a", 9)))

    def test_superseded_without_a_feed(self) -> None:
        """A reply that the feed does not exist is ignored if it belongs to the last connection."""
        self.start()
        self.follower.lost()
        self.follower.ready()
        self.follower.stop()
        self.answer(NOFEED)
        self.assert_stays()

    def test_publisher_is_away(self) -> None:
        """If the publisher's connection is lost, the reading waits for the next one."""
        for arguments, answer in (({}, found(5)), ({"snapshot": True}, state(5))):
            self.make(**arguments)
            self.follower.ready()
            lose(self.reader.redis)
            self.assertEqual(self.first, [])
            self.reader.connect()
            self.reader.returns.pop().callback(None)
            self.answer(answer)
            self.assertEqual(self.first, [None])

    def test_stopped_while_the_publisher_is_away(self) -> None:
        """A follower that is stopped while the publisher is away reads no more."""
        self.make()
        self.follower.ready()
        lose(self.reader.redis)
        self.follower.stop()
        self.reader.connect()
        self.reader.returns.pop().callback(None)
        self.assert_stays()

    def test_publisher_is_gone(self) -> None:
        """If the publisher is gone for good, the start fails, and the follower ends."""
        for begun in (False, True):
            self.reader.connect()
            self.start() if begun else self.make()
            self.follower.ready()
            lose(self.reader.redis)
            error = ConnectionLost("stopped")
            self.reader.returns.pop().errback(error)
            self.assertEqual((self.first, self.seen()), ([None] if begun else [error], []))

    def test_cannot_be_read(self) -> None:
        """If Redis refuses a later read, one resync says so, and the read is retried."""
        self.start()
        self.tell(change(8))
        self.answer("NOPERM look")
        self.assertEqual(self.seen(), [resync("the feed cannot be read: NOPERM look")])
        self.tell(*changes(9, 10))
        self.reader.pauses.pop().callback(None)
        self.answer("OOM look")
        self.reader.pauses.pop().callback(None)
        self.answer(found(10, 6, 7, 8, 9))
        self.assertEqual((self.seen(), self.position), (changes(6, 7, 8, 9, 10), ("a", 10)))

    def test_lost_while_it_cannot_be_read(self) -> None:
        """A lost connection ends the pause before a retry."""
        self.start()
        self.tell(change(8))
        self.answer("NOPERM look")
        self.seen()
        pause = outcome(self.reader.pauses.pop())
        self.follower.lost()
        self.assertEqual(len(pause), 1)
        self.assert_stays()

    def test_refused(self) -> None:
        """If Redis refuses the channels on a later connection, a resync says so, and all ends."""
        self.start()
        self.follower.refused(ResponseError("NOPERM"))
        self.assertEqual(self.seen(), [resync("the feed cannot be followed: NOPERM")])
        self.assert_stays()


class AloneTests(FollowerTestCase):
    """Without a publisher nothing can be read."""

    def begin(self, **arguments: Any) -> None:
        self.make(reader=False, **arguments)
        self.follower.ready()
        self.assertEqual((self.first, self.follower.is_live), ([None], True))

    def test_live(self) -> None:
        """Live events are delivered, except those at revisions that were delivered before."""
        self.begin()
        told = [change(None), of_the_feed("config"), change(5), change(5), change(6)]
        self.tell(*told, of_the_feed("delete"), of_the_feed("create"), change(1, "b"))
        del told[3]
        seen = [*told, of_the_feed("delete"), of_the_feed("create"), change(1, "b")]
        self.assertEqual(self.seen(), seen)

    def test_missing(self) -> None:
        """If an event shows that others are missing or void, a resync comes before it."""
        for event in (change(7), change(6, "b"), change(None)):
            self.begin()
            self.tell(change(5), event)
            self.assertEqual(self.seen(), [change(5), resync(UNSEEN), event])
            self.assertEqual(self.position, (event.epoch, event.revision or 0))

    def test_loss(self) -> None:
        """A lost connection is reported once, on the next connection."""
        self.begin()
        self.follower.lost()
        self.assert_stays()
        self.follower.ready()
        self.tell(change(None))
        self.assertEqual(self.seen(), [resync(UNRECORDED), change(None)])
        self.make(reader=False)
        self.follower.lost()
        self.follower.ready()
        self.assertEqual(self.seen(), [])

    def test_nothing_to_read_with(self) -> None:
        """Reading without a publisher raises an error."""
        self.begin()
        self.assertRaises(ThoonkError, lambda: self.follower._present_reader)

    def test_slow(self) -> None:
        """A subscriber that is too slow gets a resync, and then the events after it."""
        self.begin(limit=2)
        self.tell(*[change(None)] * 3)
        self.assertEqual(free(self.subscription), 1)
        self.tell(change(None))
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.tell(change(None))
        self.assertEqual(self.seen(), [change(None)])
