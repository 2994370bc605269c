"""Followers: how they start, and how they handle live events."""

from __future__ import annotations

from weakref import ref

from tests.support.followers import (
    NOFEED,
    OFF,
    FollowerTestCase,
    change,
    changes,
    found,
    resync,
    snapshot,
    state,
)
from txthoonk.errors import ResponseError
from txthoonk.history._reads import REASONS
from txthoonk.history._recovery import FOREIGN, Position


class Thing:
    """An item that a weak reference can watch."""


class CurrentTests(FollowerTestCase):
    def test_check_missed(self) -> None:
        """A follower is not current while a check of the connection has no reply."""
        self.start()
        for is_heard in (True, False, True):
            self.reader.is_heard = is_heard
            self.assertIs(self.follower.is_current, is_heard)

    def test_lost(self) -> None:
        """A follower is not current after a lost connection until it has caught up."""
        current: list[bool] = []
        self.then = lambda _: current.append(self.follower.is_current)
        self.start()
        self.follower.lost()
        self.assertFalse(self.follower.is_current)
        self.follower.ready()
        self.assertFalse(self.follower.is_current)
        self.answer(found(8, 6, 7))
        self.assertFalse(self.follower.is_current)
        self.answer(found(8, 8))
        self.assertEqual(current, [False, False, True])
        self.assertTrue(self.follower.is_current)

    def test_slow(self) -> None:
        """A follower is not current while events wait in the history for room, or are dropped."""
        self.start(limit=1)
        self.tell(*changes(6, 7))
        self.assertFalse(self.follower.is_current)
        self.start(OFF, limit=1)
        self.tell(change(None), change(None))
        self.assertFalse(self.follower.is_current)


class ReleaseTests(FollowerTestCase):
    def test_event_that_was_ahead(self) -> None:
        """An event that arrives too early is kept only until it is delivered."""
        for answer in (found(8, 6, 7), found(5)):  # the second one: there is no such revision
            self.start()
            item = Thing()
            kept = ref(item)
            self.tell(change(8, item=item))
            del item
            self.answer(answer)
            self.seen()
            self.assertIsNone(kept())
        self.flushLoggedErrors()


class StartTests(FollowerTestCase):
    def test_present(self) -> None:
        """A follower starts at the present: it delivers the events after the first look."""
        self.make()
        self.tell(change(4))
        self.follower.ready()
        self.assertEqual(self.reader.sent(), ["look   0"])
        self.tell(*changes(5, 6))
        self.assertEqual((self.first, self.seen()), ([], []))
        self.answer(found(5))
        self.assertEqual((self.first, self.seen()), ([None], changes(6)))
        self.tell(*changes(7))
        self.assertEqual((self.seen(), self.position), (changes(7), ("a", 7)))

    def test_no_history(self) -> None:
        """Without a history, or a feed, all events after the confirmation are delivered."""
        for answer in (OFF, NOFEED):
            self.make()
            self.follower.ready()
            self.tell(change(None))
            self.answer(answer)
            self.tell(change(None))
            self.assertEqual((self.seen(), self.position), ([change(None)] * 2, (None, 0)))

    def test_since(self) -> None:
        """A follower starts after a position with the entries of the history, and goes on live."""
        for position, asked in ((Position("a", 3), "a 3"), (Position("", 3), " 3")):
            self.make(position=position, gap=REASONS["off"], snapshot=True)
            self.follower.ready()
            self.tell(*changes(5, 6))
            self.answer(found(5, 4, 5))
            self.assertEqual(self.asked, [f"look {asked} 1000"])
            self.assertEqual((self.first, self.seen()), ([None], changes(4, 5, 6)))

    def test_since_is_void(self) -> None:
        """A resync gives the reason when the events after the position cannot be read."""
        for answer, event in (
            (found(9, verdict="trimmed"), resync(REASONS["trimmed"], "a", 9)),
            (found(9, epoch="b", verdict="recreated"), resync(REASONS["recreated"], "b", 9)),
            (OFF, resync(REASONS["off"])),
            (NOFEED, resync(REASONS["off"])),
        ):
            self.make(position=Position("a", 3), gap=REASONS["off"])
            self.follower.ready()
            self.answer(answer)
            self.assertEqual((self.first, self.seen()), ([None], [event]))
            self.assertEqual(self.position, (event.epoch, event.revision or 0))

    def test_new_feed(self) -> None:
        """All events of a new feed are delivered, including those before the confirmation."""
        self.make(from_start=True)
        self.follower.ready()
        self.tell(*changes(2, 3))
        self.answer(found(2, 1, 2))
        self.assertEqual((self.asked, self.seen()), (["look  0 1000"], changes(1, 2, 3)))

    def test_state_of_a_new_feed(self) -> None:
        """With snapshots, the state of a new feed is delivered, too."""
        self.make(from_start=True, snapshot=True)
        self.follower.ready()
        self.tell(*changes(2, 3))
        self.answer(state(2, a="y"))
        self.assertEqual(self.seen(), [snapshot([("a", "y"), ("3", "x")], "a", 3)])

    def test_refused(self) -> None:
        """If Redis refuses the channels or the look, the start fails."""
        error = ResponseError("NOPERM")
        self.make()
        self.follower.refused(error)
        self.assertEqual(self.first, [error])
        self.make()
        self.follower.ready()
        self.answer("NOPERM look")
        self.assertEqual([str(one) for one in self.first], ["NOPERM look"])
        self.assert_stays()

    def test_stopped(self) -> None:
        """A follower that is stopped while it reads ignores the answer."""
        for snapshot_ in (False, True):
            self.make(snapshot=snapshot_)
            self.follower.ready()
            self.follower.stop()
            self.answer("ERR" if snapshot_ else found(5))
            self.assertEqual(self.first, [])
            self.assert_stays()

    def test_stopped_when_started(self) -> None:
        """A callback of the start may stop the follower."""
        for arguments, answer in (
            ({"position": Position("a", 4)}, found(5, 5)),
            ({"snapshot": True}, state(5, a="x")),
        ):
            self.make(**arguments)
            self.first_fires.addCallback(lambda _: self.follower.stop())
            self.follower.ready()
            self.answer(answer)
            self.assert_stays()

    def test_stopped_within(self) -> None:
        """A handler may stop the follower at each kind of event."""
        lost = resync(REASONS["lost"], "a", 9)
        for arguments, answer, event in (
            ({"position": Position("a", 3)}, found(5, 4, 5), change(4)),
            ({"position": Position("a", 4)}, found(5, 5), change(5)),
            ({"position": Position("a", 3)}, found(9, verdict="lost"), lost),
            ({"snapshot": True}, state(5, a="x"), snapshot([("a", "x")], "a", 5)),
        ):
            self.then = lambda _: self.follower.stop()
            self.make(**arguments)
            self.follower.ready()
            self.answer(answer)
            self.assertEqual((self.seen(), self.follower.is_live), ([event], False))
            self.assert_stays()


class LiveTests(FollowerTestCase):
    def test_known(self) -> None:
        """Events that were already delivered are dropped."""
        self.start()
        self.tell(*changes(4, 5, 6, 6, 5))
        self.assertEqual((self.seen(), self.reader.sent()), (changes(6), []))

    def test_jump(self) -> None:
        """Events missing before another one are read from the history, and delivered first."""
        self.start()
        self.tell(*changes(8, 9))
        self.answer(found(8, 6, 7, 8))
        self.assertEqual((self.asked, self.seen()), (["look a 5 1000"], changes(6, 7, 8, 9)))

    def test_jump_past_the_history(self) -> None:
        """A resync reports a gap that the history no longer covers."""
        self.start()
        self.tell(*changes(8, 9))
        self.answer(found(8, verdict="trimmed"))
        self.assertEqual(self.seen(), [resync(REASONS["trimmed"], "a", 8), change(9)])

    def test_jump_and_history_is_off(self) -> None:
        """A resync reports a gap when the feed no longer has a history."""
        self.start()
        self.tell(*changes(8))
        self.answer(OFF)
        self.assertEqual([event.kind for event in self.seen()], ["resync", "publish"])

    def test_history_begins(self) -> None:
        """The first event with a revision sets the position, at any revision."""
        self.start(OFF)
        self.tell(change(None), change(7), change(8))
        self.assertEqual(self.seen(), [change(None), change(7), change(8)])
        self.assertEqual((self.position, self.reader.sent()), (("a", 8), []))

    def test_foreign(self) -> None:
        """A foreign writer voids the history: a resync with the last revision follows."""
        self.start()
        self.tell(change(None), change(6))
        self.assertEqual(self.seen(), [])
        self.answer(found(6))
        self.assertEqual(self.seen(), [resync(FOREIGN, "a", 6)])
        self.tell(change(7))
        self.assertEqual((self.seen(), self.reader.sent()), ([change(7)], []))

    def test_foreign_and_counted(self) -> None:
        """One resync is delivered even if the counters show the foreign writer as well."""
        self.start()
        self.tell(change(None), change(7, "b"))
        self.answer(found(6, epoch="b", verdict="foreign"))
        self.assertEqual(self.seen(), [resync(FOREIGN, "b", 6), change(7, "b")])

    def test_foreign_while_reading(self) -> None:
        """A foreign event that arrives while the history is read causes one more look."""
        self.start()
        self.tell(change(7), change(None), change(8))
        self.answer(found(7, 6, 7))
        self.assertEqual(self.seen(), changes(6, 7))
        self.answer(found(8))
        self.assertEqual(self.seen(), [resync(FOREIGN, "a", 8)])
        self.tell(change(9))
        self.assertEqual((self.seen(), self.reader.sent()), ([change(9)], []))

    def test_another_epoch(self) -> None:
        """A resync reports a history that was started again, and later events are delivered."""
        self.start()
        self.tell(*changes(2, 3, epoch="b"))
        self.answer(found(2, epoch="b", verdict="recreated"))
        self.assertEqual(self.asked, ["look a 5 1000"])
        self.assertEqual(self.seen(), [resync(REASONS["recreated"], "b", 2), change(3, "b")])

    def test_epoch_goes_on(self) -> None:
        """No event is missing when a new epoch continues the old one."""
        self.start()
        self.tell(*changes(6, 7, epoch="b"))
        self.answer(found(6, 6, epoch="b"))
        self.assertEqual(self.seen(), changes(6, 7, epoch="b"))

    def test_serializer(self) -> None:
        """The feed's serializer loads items, of live events and of the history."""
        self.start(["ok", "feed", "json", "a", "5", []])
        self.tell(change(6, item="[6]"), change(8, item="[8]"))
        entry = ["kind", "publish", "id", "7", "item", "[7]"]
        self.answer(["ok", "feed", "json", "a", "8", [["7", entry]]])
        self.assertEqual(self.seen(), [change(number, item=[number]) for number in (6, 7, 8)])

    def test_check(self) -> None:
        """A check reads the history only when the follower's position lags."""
        self.start()
        for epoch, top in (("a", 5), ("a", 4)):
            self.follower.check(epoch, top, True)
            self.assertEqual(self.reader.sent(), [])
        for epoch, top, valid in (("a", 6, True), ("b", 5, True), ("a", 5, False)):
            self.follower.check(epoch, top, valid)
            self.assertFalse(self.follower.is_live)
            self.follower.check("a", 7, True)  # the history is being read already
            revision = self.follower.revision + 1
            self.answer(found(revision, revision))
            self.assertEqual((len(self.asked), self.seen()), (1, changes(revision)))

    def test_check_without_history(self) -> None:
        """Without a history there is no position to compare."""
        self.start(OFF)
        self.follower.check("a", 6, True)
        self.assertEqual(self.reader.sent(), [])

    def test_feed_is_gone(self) -> None:
        """A resync follows when a check finds no feed and no delete has arrived."""
        self.start()
        self.follower.check("", 0, False)
        self.answer(NOFEED)
        self.assertEqual([event.kind for event in self.seen()], ["resync"])
        self.assertEqual(self.position, (None, 0))
