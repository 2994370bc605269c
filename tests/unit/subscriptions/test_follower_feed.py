"""Followers: feeds that come and go, and snapshots."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from tests.support.followers import (
    ANEW,
    NOFEED,
    OFF,
    FollowerTestCase,
    change,
    changes,
    found,
    of_the_feed,
    resync,
    snapshot,
    state,
)
from txthoonk.errors import FeedTypeMismatch
from txthoonk.history._reads import REASONS
from txthoonk.history._recovery import UNRECORDED, Position
from txthoonk.subscriptions.following import _catching_up


class FeedTests(FollowerTestCase):
    def test_created_anew(self) -> None:
        """A feed that is deleted and created is followed from its first event."""
        self.start()
        self.tell(of_the_feed("delete"))
        self.assertEqual((self.position, self.reader.sent()), ((None, 0), []))
        self.tell(of_the_feed("create"), *changes(1, 2, epoch="b"))
        self.answer(found(1, 1, epoch="b"))
        self.assertEqual(self.asked, ["look  0 1000"])
        seen = [of_the_feed("delete"), of_the_feed("create"), *changes(1, 2, epoch="b")]
        self.assertEqual((self.seen(), self.position), (seen, ("b", 2)))

    def test_configured(self) -> None:
        """A new configuration is read, and no event is missed meanwhile."""
        self.start()
        self.tell(of_the_feed("config"), change(6, item="1"))
        self.answer(["ok", "feed", "json", "a", "5", []])
        self.assertEqual((self.asked, self.source.loads is None), (["look a 5 1000"], False))
        self.assertEqual(self.seen(), [of_the_feed("config"), change(6, item=1)])

    def test_history_switched_on(self) -> None:
        """Events that arrive while a new history is discovered are delivered."""
        self.start(OFF)
        self.tell(of_the_feed("config"), *changes(1, 2, 3))
        self.answer(found(2))
        self.assertEqual(self.seen(), [of_the_feed("config"), *changes(1, 2, 3)])

    def test_history_switched_off(self) -> None:
        """Events that arrive while the end of the history is discovered are delivered."""
        self.start()
        self.tell(of_the_feed("config"), change(None))
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config"), change(None)])
        self.assertEqual(self.position, (None, 0))

    def test_created_while_reading(self) -> None:
        """Held events of the old feed and of the new one are delivered in their order."""
        self.start()
        self.tell(of_the_feed("config"), change(6), of_the_feed("delete"), of_the_feed("create"))
        self.tell(change(1, "b"))
        self.answer(NOFEED)
        self.answer(found(1, 1, epoch="b"))
        seen = [event for event in self.seen() if event.kind != "resync"]
        kinds = [event.kind for event in seen]
        self.assertEqual(kinds, ["config", "publish", "delete", "create", "publish"])
        self.assertEqual((seen[1], seen[4]), (change(6), change(1, "b")))

    def test_created_behind_a_replay(self) -> None:
        """Replayed entries may be of either feed: a resync follows, and the new feed is read."""
        self.start()
        self.tell(change(7), of_the_feed("delete"), of_the_feed("create"))
        self.answer(found(7, 6, 7))
        self.tell(change(3, "b"))
        self.answer(found(2, epoch="b"))
        self.assertEqual(self.asked, ["look   0"])
        kinds = [of_the_feed("delete"), of_the_feed("create")]
        seen = [*changes(6, 7), *kinds, resync(ANEW), change(3, "b")]
        self.assertEqual(self.seen(), seen)

    def test_created_behind_a_state(self) -> None:
        """A state that was read may be of either feed, so it is read again."""
        self.start(position=Position("a", 5), snapshot=True)
        self.tell(change(7), of_the_feed("create"))
        self.answer(found(7, 6, 7))
        self.assertEqual(self.seen(), [*changes(6, 7), of_the_feed("create"), resync(ANEW)])
        self.answer(state(2, a="y"))
        self.assertEqual(self.seen(), [snapshot([("a", "y")], "a", 2)])

    def test_old_events_behind_a_new_feed(self) -> None:
        """An event that is older than the look does not cause looks without end."""
        self.start()
        self.tell(of_the_feed("config"), change(6), of_the_feed("delete"), of_the_feed("create"))
        self.answer(found(0, epoch="b", verdict="recreated"))
        self.settle(found(0, epoch="b"))
        kinds = {event.kind for event in self.seen()}
        self.assertGreaterEqual(kinds, {"delete", "create", "resync"})

    def test_old_events_behind_a_foreign_writer(self) -> None:
        """An old event causes no endless looks after a foreign writer changed the epoch."""
        self.start()
        self.tell(of_the_feed("config"), change(6), change(None))
        self.answer(found(8, epoch="b", verdict="foreign"))
        self.settle(found(8, epoch="b"))
        self.seen()
        self.tell(change(9, "b"))
        self.assertEqual(self.seen(), [change(9, "b")])

    def settle(self, answer: list[Any]) -> None:
        """Give the same answer until nothing more is requested, a few times at most."""
        for _ in range(5):
            if not self.follower.is_live:
                self.answer(answer)
        self.assertTrue(self.follower.is_live)


class SnapshotTests(FollowerTestCase):
    def test_with_history(self) -> None:
        """The state comes first, with its position, and then exactly what follows."""
        self.make(snapshot=True)
        self.follower.ready()
        self.assertEqual(self.reader.sent(), ["snapshot 1000 marks 1 0"])
        self.tell(*changes(5, 6))
        self.answer(state(5, a="x", b="y"))
        self.assertEqual(self.first, [None])
        items = [("a", "x"), ("b", "y"), ("6", "x")]
        self.assertEqual(self.seen(), [snapshot(items, "a", 6)])
        self.tell(change(7))
        self.assertEqual((self.seen(), self.reader.sent()), ([change(7)], []))

    def test_without_history(self) -> None:
        """Without a history, a mark separates what the state includes from what follows."""
        self.make(snapshot=True)
        self.follower.ready()
        self.tell(change(None)._replace(id="a"))
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        self.tell(change(None))
        self.assertEqual(self.seen(), [snapshot([("a", "y")]), change(None)])

    def test_behind_a_resync(self) -> None:
        """If a message shows that there was another feed, the state comes next."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(state(5, a="x"))
        self.seen()
        self.follower.lost()
        self.follower.ready()
        self.tell(change(2, "z"))
        self.answer(found(7, 6))
        self.answer(found(7, 7))
        self.assertEqual(self.seen(), [change(6), resync(ANEW, "a", 6)])
        self.tell(change(8))
        self.answer(state(7, a="x"))
        self.tell(change(9))
        items = [("a", "x"), ("8", "x")]
        self.assertEqual(self.seen(), [snapshot(items, "a", 8), change(9)])

    def test_slices(self) -> None:
        """A big state comes in slices, and all but the last say that there is more."""
        self.patch(_catching_up, "SLICE", 1)
        first = snapshot([("a", "x")], "a", 6)._replace(more=True)
        for stop, seen in ((False, [first, snapshot([("6", "x")], "a", 6)]), (True, [first])):
            self.then = lambda _, stop=stop: self.subscription.stop() if stop else None  # type: ignore[misc]
            self.make(snapshot=True)
            self.follower.ready()
            self.tell(change(6))
            self.answer(state(5, a="x"))
            self.assertEqual(self.seen(), seen)

    def test_no_feed(self) -> None:
        """A feed that does not exist is empty."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(NOFEED)
        self.assertEqual((self.first, self.seen()), ([None], [snapshot([])._replace(type=None)]))

    def test_unordered(self) -> None:
        """A queue or job feed has no state. That is an error, except for feeds of a pattern."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(["neither", "queue", None])
        self.assertIsInstance(self.first[0], FeedTypeMismatch)
        self.make(snapshot=True, strict=False)
        self.follower.ready()
        self.answer(["neither", "queue", None])
        self.answer(found(5))
        self.tell(change(6), change(9))
        self.answer(found(9, verdict="trimmed"))
        seen = [change(6), resync(REASONS["trimmed"], "a", 9)]
        self.assertEqual((self.first, self.seen(), self.reader.sent()), ([None], seen, []))

    def test_made_anew_without_a_state(self) -> None:
        """A feed that is made anew as a job feed gives a resync, and a line in the log."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(state(5, a="x"))
        self.seen()
        self.tell(of_the_feed("delete"), of_the_feed("create"))
        with capturedLogs() as logged:
            self.answer(["neither", "job", None])
        text = "feed 'news' is of type 'job', which has no snapshot"
        self.assertIn(f"the feed cannot be read: {text}", self.seen()[-1].reason)
        (line,) = [formatEvent(event) for event in logged]
        self.assertIn(text, line)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_unordered_too_late(self) -> None:
        """A feed without a state is followed on the next connection as well."""
        self.make(snapshot=True, strict=False)
        self.follower.ready()
        self.follower.lost()
        self.answer(["neither", "queue", None])
        self.follower.ready()
        self.assertEqual(self.reader.sent(), ["snapshot 1000 marks 2 0"])

    def test_afresh(self) -> None:
        """After a resync the state is read again."""
        self.start(position=Position("a", 5), snapshot=True)
        self.tell(change(9))
        self.answer(found(9, verdict="trimmed"))
        self.assertEqual(self.seen(), [resync(REASONS["trimmed"], "a", 9)])
        self.answer(state(9, a="y"))
        self.assertEqual(self.asked, ["snapshot 1000 marks 1 0"])
        self.tell(change(10))
        self.assertEqual(self.seen(), [snapshot([("a", "y")], "a", 9), change(10)])

    def test_stopped_while_an_attempt_breaks(self) -> None:
        """A follower that is stopped makes no further attempt to read a changing state."""
        for stop in (False, True):
            self.make(snapshot=True)
            self.follower.ready()
            for attempt in range(2):
                self.tell(of_the_feed("create"))
                if stop and attempt:
                    self.follower.stop()
                self.answer(state(5, a="x"))
            self.assertEqual(len(self.reader.pauses), 0 if stop else 1)
            self.reader.pauses.clear()
            self.follower.stop()

    def test_told_before_the_state_is_read(self) -> None:
        """Events of the feed as a whole that arrive before a new state is read are not lost."""
        self.make(snapshot=True, gap=UNRECORDED, position=Position("a", 5))
        self.follower.ready()
        self.tell(of_the_feed("delete"), of_the_feed("create"))
        self.answer(OFF)
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        kinds = [event.kind for event in self.seen()]
        self.assertEqual(kinds, ["delete", "create", "resync", "snapshot"])

    def test_told_between(self) -> None:
        """Nothing is delivered between a resync and its snapshot, nor what the snapshot shows."""
        for answer, kinds in (
            (state(None, a="y"), ["resync", "snapshot", "config"]),
            (NOFEED, ["resync", "snapshot", "config", "delete"]),
        ):
            self.make(snapshot=True)
            self.follower.ready()
            self.read_state(state(None))
            self.follower.lost()
            self.follower.ready()
            self.seen()
            self.answer(OFF)
            self.tell(*map(of_the_feed, ("create", "config", "delete")))
            self.read_state(answer)
            self.assertEqual([event.kind for event in self.seen()], kinds[:1])
            self.read_state(answer)  # a second time, because it is another feed
            self.assertEqual([event.kind for event in self.seen()], kinds[1:])

    def read_state(self, answer: Any) -> None:
        """Answer with a state, and let its mark arrive."""
        self.answer(answer)
        if answer is not NOFEED:
            self.reader.pass_mark()

    def test_told_while_the_state_is_read(self) -> None:
        """Events of the feed as a whole are delivered meanwhile, and a new feed is read again."""
        self.make(snapshot=True)
        self.follower.ready()
        self.tell(of_the_feed("create"))
        self.answer(state(5, a="x"))
        self.tell(of_the_feed("config"))
        self.answer(state(6, a="y"))
        seen = [of_the_feed("create"), of_the_feed("config"), snapshot([("a", "y")], "a", 6)]
        self.assertEqual(self.seen(), seen)
