"""What messages without a revision do not say: edits in sorted feeds, and places in plain ones."""

from __future__ import annotations

from typing import Any

from tests.support.followers import OFF, FollowerTestCase, found, of_the_feed, state
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.events import Event
from txthoonk.history._reads import Standing
from txthoonk.subscriptions.following import _unpaired
from txthoonk.subscriptions.following._follower import Follower

SORTED: list[Any] = ["off", "sorted_feed", None]


def publish(id_: str, item: str = "x", kind: str = "publish") -> Event:
    return Event(kind, "news", id_, item)


def edit(id_: str) -> Event:
    return publish(id_, kind="edit")


def position(id_: str) -> Event:
    return Event("position", "news", id_, position=":end")


class OrderTests(FollowerTestCase):
    """A plain feed without a history, whose last id shows if an item went elsewhere."""

    def is_compared(self, last: str | None, *meanwhile: Event) -> bool:
        """Compare with what the server has. Return whether the state is read again."""
        self.follower.begin_check()
        self.tell(*meanwhile)
        self.follower.compare(Standing(1, last=last))
        return bool(self.reader.sent())

    def begin(self) -> None:
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(state(None, a="x"))
        self.reader.pass_mark()
        self.reader.sent()

    def test_elsewhere(self) -> None:
        """If the newest item is not the last one, the state is read again."""
        self.begin()
        self.assertFalse(self.is_compared("a"))
        self.tell(publish("b"))
        self.assertFalse(self.is_compared("b"))
        self.assertTrue(self.is_compared("a"))
        self.answer(OFF)

    def test_cannot_be_known(self) -> None:
        """Other events, and events that arrive meanwhile, leave it open."""
        self.begin()
        self.tell(publish("b"))
        self.assertFalse(self.is_compared(None))
        self.assertFalse(self.is_compared("a", publish("c")))
        self.tell(Event("retract", "news", "c"))
        self.assertFalse(self.is_compared("a"))


class EditTests(FollowerTestCase):
    def start(self, answer: list[Any] | None = None, **arguments: Any) -> Follower:
        """Make a live follower of a sorted feed without a history."""
        return super().start(answer or SORTED, **arguments)

    def next_turn(self) -> None:
        self.reader.pauses.pop().callback(None)

    def test_new(self) -> None:
        """A new item is published and has a position; nothing is sent for that."""
        self.start()
        self.tell(publish("1"), position("1"))
        self.assertEqual(self.seen(), [publish("1"), position("1")])
        self.next_turn()
        self.assertEqual((self.reader.pings, self.reader.pauses), ([], []))

    def test_next_message(self) -> None:
        """Any other message of the feed shows that the one before it was an edit."""
        for other in (
            position("2"),
            Event("retract", "news", "1"),
            edit("1"),
            of_the_feed("delete"),
        ):
            self.start()
            self.tell(publish("1"), other)
            self.assertEqual(self.seen(), [edit("1"), other])
            self.reader.pauses.clear()

    def test_edits(self) -> None:
        """Several edits are delivered in their order, and one PING is enough for the last."""
        self.start()
        self.tell(publish("1"), publish("2"), publish("3"))
        self.assertEqual(self.seen(), [edit("1"), edit("2")])
        self.next_turn()
        self.assertEqual(self.seen(), [])
        self.reader.pings.pop().callback(None)
        self.assertEqual((self.seen(), self.reader.pauses), ([edit("3")], []))

    def test_known(self) -> None:
        """The edit of an item that was seen before is delivered at once, also before a move."""
        self.start()
        self.tell(publish("1"), position("1"), position("2"), edit("3"))
        self.next_turn()
        self.seen()
        for id_ in "123":
            self.tell(publish(id_), position(id_))
            self.assertEqual(self.seen(), [edit(id_), position(id_)])
        self.assertEqual((self.reader.pings, self.reader.pauses), ([], []))

    def test_known_from_the_state(self) -> None:
        """The items of a snapshot are known."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(["off", "sorted_feed", None, None, None, ["1"], ["x"]])
        self.reader.pass_mark()
        self.tell(publish("1"), position("1"))
        self.assertEqual(self.seen()[1:], [edit("1"), position("1")])

    def test_forgotten(self) -> None:
        """Ids are known until their items, the feed or the connection is gone."""

        def lose() -> None:
            self.follower.lost()
            self.follower.ready()
            self.answer(SORTED)

        for go in (
            lambda: self.tell(Event("retract", "news", "1")),
            lambda: self.tell(of_the_feed("delete")),
            lose,
        ):
            self.start()
            self.tell(edit("1"))
            go()
            self.seen()
            self.tell(publish("1"), position("1"))
            self.assertEqual(self.seen(), [publish("1"), position("1")])

    def test_many_known(self) -> None:
        """The ids that were seen last are known."""
        self.patch(_unpaired, "LIMIT", 2)
        self.start()
        self.tell(edit("1"), edit("2"), edit("3"))
        self.seen()
        self.tell(publish("1"), position("1"), publish("3"))
        self.assertEqual(self.seen(), [publish("1"), position("1"), edit("3")])

    def test_late_position(self) -> None:
        """A position may arrive after the PING was sent."""
        self.start()
        self.tell(publish("1"))
        self.next_turn()
        self.tell(position("1"), publish("2"))
        self.assertEqual(self.seen(), [publish("1"), position("1")])
        self.reader.pings.pop().callback(None)
        self.assertEqual(self.seen(), [])
        self.next_turn()
        self.reader.pings.pop().callback(None)
        self.assertEqual(self.seen(), [edit("2")])

    def test_refused(self) -> None:
        """If Redis refuses PING, that is a reply as well."""
        self.start()
        self.tell(publish("1"))
        self.next_turn()
        self.reader.pings.pop().errback(ResponseError("NOPERM"))
        self.assertEqual(self.seen(), [edit("1")])

    def test_lost(self) -> None:
        """What was kept back when the connection is lost is missing after the resync."""
        self.start()
        self.tell(publish("1"))
        self.next_turn()
        self.follower.lost()
        self.reader.pings.pop().errback(ConnectionLost("gone"))
        self.follower.ready()
        self.answer(SORTED)
        self.assertEqual([event.kind for event in self.seen()], ["resync"])

    def test_before_the_type_is_known(self) -> None:
        """Events that arrive before the first answer are delivered like later ones."""
        self.make()
        self.follower.ready()
        self.tell(publish("1"), publish("2"), position("2"), publish("3"))
        self.answer(SORTED)
        self.assertEqual(self.seen(), [edit("1"), publish("2"), position("2")])
        self.tell(position("3"))
        self.assertEqual(self.seen(), [publish("3"), position("3")])

    def test_read_meanwhile(self) -> None:
        """If the follower must read, what is kept back waits, too."""
        self.start()
        self.tell(publish("1"))
        self.follower.compare(None)
        self.tell(position("1"))
        self.assertEqual(self.seen(), [])
        self.answer(SORTED)
        seen = self.seen()
        self.assertEqual([event.kind for event in seen], ["resync", "publish", "position"])

    def test_history(self) -> None:
        """With a history, an edit has its kind already, and nothing is kept back."""
        self.start(["ok", "sorted_feed", *found(5)[2:]])
        event = publish("1")._replace(revision=6, epoch="a")
        self.tell(event)
        self.assertEqual((self.seen(), self.reader.pauses), ([event], []))

    def test_plain_feed(self) -> None:
        """In a plain feed, a publish is a publish."""
        self.start(OFF)
        self.tell(publish("1"), publish("2"))
        self.assertEqual((self.seen(), self.reader.pauses), ([publish("1"), publish("2")], []))

    def test_no_room(self) -> None:
        """An edit that finds no room is missing after a resync, like any event."""
        self.start(limit=1)
        self.tell(publish("1"), publish("2"))
        self.next_turn()
        self.reader.pings.pop().callback(None)
        self.assertEqual([event.kind for event in self.seen()], ["resync"])
