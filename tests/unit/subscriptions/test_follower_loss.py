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
from txthoonk.subscriptions._follower import UNSEEN


class LossTests(FollowerTestCase):
    def test_replayed(self) -> None:
        """After a lost connection the history is read on."""
        self.start()
        self.follower.lost()
        self.assert_stays()
        self.follower.ready()
        self.answer(found(7, 6, 7))
        self.assertEqual((self.asked, self.seen()), (["look a 5 1000"], changes(6, 7)))

    def test_not_replayed(self) -> None:
        """Without a history the gap is told; with one that began meanwhile, its top as well."""
        for answer, event in ((OFF, resync(UNRECORDED)), (found(3), resync(UNRECORDED, "a", 3))):
            self.start(OFF)
            self.follower.lost()
            self.follower.ready()
            self.answer(answer)
            self.assertEqual(self.seen(), [event])

    def test_told_once(self) -> None:
        """A gap is told once, however often the connection was lost."""
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
        """The answer that a reading of the last connection gets is of no use."""
        self.start()
        self.tell(change(8))
        self.follower.lost()
        self.follower.ready()
        self.answer(found(8, 6, 7, 8))
        self.assertEqual(self.seen(), [])
        self.answer(found(9, 6, 7, 8, 9))
        self.assertEqual((self.seen(), self.position), (changes(6, 7, 8, 9), ("a", 9)))

    def test_superseded_without_a_feed(self) -> None:
        """Nor is the answer that there is no feed."""
        self.start()
        self.follower.lost()
        self.follower.ready()
        self.follower.stop()
        self.answer(NOFEED)
        self.assert_stays()

    def test_publisher_is_away(self) -> None:
        """Where the publisher's connection is lost, the reading waits for the next one."""
        for arguments, answer in (({}, found(5)), ({"snapshot": True}, state(5))):
            self.make(**arguments)  # type: ignore[arg-type]
            self.follower.ready()
            lose(self.reader.redis)
            self.assertEqual(self.first, [])
            self.reader.connect()
            self.reader.returns.pop().callback(None)
            self.answer(answer)
            self.assertEqual(self.first, [None])

    def test_stopped_while_the_publisher_is_away(self) -> None:
        """A follower that is stopped meanwhile does not read on."""
        self.make()
        self.follower.ready()
        lose(self.reader.redis)
        self.follower.stop()
        self.reader.connect()
        self.reader.returns.pop().callback(None)
        self.assert_stays()

    def test_publisher_is_gone(self) -> None:
        """Where there will be no publisher, all is over; who waits for the start is told."""
        for begun in (False, True):
            self.reader.connect()
            self.start() if begun else self.make()
            self.follower.ready()
            lose(self.reader.redis)
            error = ConnectionLost("stopped")
            self.reader.returns.pop().errback(error)
            self.assertEqual((self.first, self.seen()), ([None] if begun else [error], []))

    def test_cannot_be_read(self) -> None:
        """If Redis refuses the reading later on, it is told once, and tried again."""
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
        """A pause that is of no use any more is over."""
        self.start()
        self.tell(change(8))
        self.answer("NOPERM look")
        self.seen()
        pause = outcome(self.reader.pauses.pop())
        self.follower.lost()
        self.assertEqual(len(pause), 1)
        self.assert_stays()

    def test_refused(self) -> None:
        """If Redis does not let it listen on a later connection, it is told, and the end."""
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
        """What is told is delivered; revisions show what is known already."""
        self.begin()
        told = [change(None), of_the_feed("config"), change(5), change(5), change(6)]
        self.tell(*told, of_the_feed("delete"), of_the_feed("create"), change(1, "b"))
        del told[3]
        seen = [*told, of_the_feed("delete"), of_the_feed("create"), change(1, "b")]
        self.assertEqual(self.seen(), seen)

    def test_missing(self) -> None:
        """What is missing before an event, or void because of it, is told."""
        for event in (change(7), change(6, "b"), change(None)):
            self.begin()
            self.tell(change(5), event)
            self.assertEqual(self.seen(), [change(5), resync(UNSEEN), event])
            self.assertEqual(self.position, (event.epoch, event.revision or 0))

    def test_loss(self) -> None:
        """A lost connection is told once, by what was not heard meanwhile."""
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
        """What would be read all the same is refused."""
        self.begin()
        self.assertRaises(ThoonkError, lambda: self.follower._present_reader)

    def test_slow(self) -> None:
        """A subscriber who is too slow is told, and gets what comes after that."""
        self.begin(limit=2)
        self.tell(*[change(None)] * 3)
        self.assertEqual(free(self.subscription), 1)
        self.tell(change(None))
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.tell(change(None))
        self.assertEqual(self.seen(), [change(None)])
