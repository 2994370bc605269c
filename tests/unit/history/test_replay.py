"""The decisions on positions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.events import Event
from txthoonk.history._reads import REASONS, Look
from txthoonk.history._recovery import (
    FOREIGN,
    NOWHERE,
    SLOW,
    UNRECORDED,
    Outcome,
    Position,
    Step,
    after_look,
    drop_void,
    step,
)


def change(revision: int | None, epoch: str | None = "a") -> Event:
    return Event("publish", "news", "1", "x", revision=revision, epoch=epoch)


class PositionTests(SynchronousTestCase):
    def test_cursor(self) -> None:
        """A cursor is what ``since`` takes. Without a history there is none."""
        self.assertEqual(Position("a", 7).cursor, "a:7")
        self.assertIsNone(NOWHERE.cursor)


class StepTests(SynchronousTestCase):
    def test_without_a_position(self) -> None:
        """Without a position, each event is the next one."""
        for event in (change(None, None), change(1), change(9)):
            self.assertIs(step(None, 0, event), Step.DELIVER)

    def test_next(self) -> None:
        """The next revision is delivered, a known one is dropped, and a jump needs a look."""
        for revision, what in (
            (1, Step.DROP),
            (5, Step.DROP),
            (6, Step.DELIVER),
            (7, Step.LOOK),
            (700, Step.LOOK),
        ):
            self.assertIs(step("a", 5, change(revision)), what)

    def test_another_epoch(self) -> None:
        """Any revision of another epoch needs a look."""
        for revision in (1, 5, 6, 7):
            self.assertIs(step("a", 5, change(revision, "b")), Step.LOOK)

    def test_foreign(self) -> None:
        """In a feed with a history, an event without a revision is from a foreign writer."""
        self.assertIs(step("a", 5, change(None, None)), Step.FOREIGN)


class AfterLookTests(SynchronousTestCase):
    OK = Look("ok", "feed", "text", "a", 9)
    OFF = Look("off", "feed")
    AT = Position("a", 5)

    def test_no_history(self) -> None:
        """Without a feed or a history, a gap is a resync, and there is no position."""
        for found in (None, self.OFF):
            for position in (NOWHERE, self.AT):
                for options in ((False, False), (True, False), (False, True), (True, True)):
                    self.assertEqual(after_look(position, found, None, *options), Outcome(NOWHERE))
                    for gap in (UNRECORDED, SLOW):
                        self.assertEqual(
                            after_look(position, found, gap, *options), Outcome(NOWHERE, gap)
                        )

    def test_void(self) -> None:
        """A position that is void goes to the top, with the reason."""
        for verdict in ("foreign", "lost", "recreated", "trimmed"):
            found = Look(verdict, "feed", "text", "b", 9)
            for gap in (None, UNRECORDED):
                self.assertEqual(
                    after_look(self.AT, found, gap), Outcome(Position("b", 9), REASONS[verdict])
                )

    def test_unknown_verdict(self) -> None:
        """An unknown verdict, of a later version, is its own reason."""
        found = Look("melted", "feed", "text", "b", 9)
        self.assertEqual(after_look(self.AT, found), Outcome(Position("b", 9), "melted"))

    def test_foreign(self) -> None:
        """After an event of a foreign writer, a resync follows even if the look is ok."""
        for position in (NOWHERE, self.AT):
            self.assertEqual(
                after_look(position, self.OK, None, foreign=True),
                Outcome(Position("a", 9), FOREIGN),
            )
        found = Look("trimmed", "feed", "text", "a", 9)
        self.assertEqual(
            after_look(self.AT, found, None, foreign=True),
            Outcome(Position("a", 9), REASONS["trimmed"]),
        )

    def test_replay(self) -> None:
        """Entries after the position are replayed, so a gap in the connection is no gap."""
        for gap in (None, UNRECORDED):
            self.assertEqual(
                after_look(self.AT, self.OK, gap), Outcome(Position("a", 5), replay=True)
            )

    def test_bare_revision(self) -> None:
        """A revision without an epoch is taken as one of the present epoch."""
        self.assertEqual(
            after_look(Position("", 5), self.OK), Outcome(Position("a", 5), replay=True)
        )

    def test_epoch_goes_on(self) -> None:
        """If the old epoch is still valid, the replay continues in the new one."""
        found = Look("ok", "feed", "text", "b", 9)
        self.assertEqual(after_look(self.AT, found), Outcome(Position("b", 5), replay=True))

    def test_from_start(self) -> None:
        """A new feed is replayed from its first event, although no position is known."""
        self.assertEqual(
            after_look(NOWHERE, self.OK, None, from_start=True),
            Outcome(Position("a", 0), replay=True),
        )

    def test_beginning(self) -> None:
        """Without a position it begins at the last revision, and a gap before is a resync."""
        for gap in (None, UNRECORDED):
            self.assertEqual(after_look(NOWHERE, self.OK, gap), Outcome(Position("a", 9), gap))


class VoidTests(SynchronousTestCase):
    """The events that are left of those that were held when a look was sent."""

    def test_present_epoch(self) -> None:
        """Events that the server knew stay, in their order. Others are forged."""
        held = (change(4), change(None, None), change(5), change(6))
        dropped = drop_void(held, Position("a", 5), 5, "a")
        self.assertEqual(dropped, (False, [change(6)], list(held[:3])))

    def test_last_epoch(self) -> None:
        """Events of the epoch before are dropped: the resync covers them."""
        held = (change(9, "z"), change(1))
        self.assertEqual(drop_void(held, Position("a", 0), 5, "z"), (False, [], [change(1)]))

    def test_void(self) -> None:
        """Events of a third epoch are dropped, and need a resync."""
        held = (change(9, "y"), change(1))
        self.assertEqual(drop_void(held, Position("a", 0), 5, "z"), (True, [], [change(1)]))

    def test_nothing_is_changed(self) -> None:
        """The arguments are not changed."""
        held = [change(9, "y"), change(6), change(1)]
        before = list(held)
        drop_void(held, Position("a", 5), 5, None)
        self.assertEqual(held, before)
