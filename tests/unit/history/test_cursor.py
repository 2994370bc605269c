"""Positions, and events with positions: on the wire, and in the history."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support import parts_of
from tests.support.fuzzing import QUICK
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.events import (
    Event,
    channel_for,
    meant_feed,
    parse_cursor,
    parse_entry,
    parse_event,
)

EPOCH = "0123456789abcdef"


class CursorTests(SynchronousTestCase):
    def test_cursor(self) -> None:
        """A cursor is an epoch and a revision. A bare revision is of the present epoch."""
        for since, position in (
            (f"{EPOCH}:17", (EPOCH, 17)),
            (f"{EPOCH}:0", (EPOCH, 0)),
            ("17", ("", 17)),
            (":17", ("", 17)),
            (17, ("", 17)),
            (0, ("", 0)),
        ):
            self.assertEqual(parse_cursor(since), position)

    def test_of_an_event(self) -> None:
        """The cursor of an event is its position. Without a history there is none."""
        event = Event("retract", "news", "1", revision=17, epoch=EPOCH)
        self.assertEqual(parse_cursor(event.cursor), (EPOCH, 17))
        self.assertIsNone(Event("retract", "news", "1").cursor)

    def test_wrong_types(self) -> None:
        """The error names a value that is neither a cursor nor a whole number."""
        for since in (True, False, 1.0, b"1", None, ["1"]):
            error = self.assertRaises(InvalidType, parse_cursor, since)
            self.assertIn(repr(since), str(error))

    def test_malformed(self) -> None:
        """Text that is no position is refused, even signs and digits of other scripts."""
        for since in ("", ":", f"{EPOCH}:", "x", "-1", "+1", " 1", "1.0", "1_0", "\u0661", "²"):
            self.assertRaises(InvalidInput, parse_cursor, since)
        wrong: int | str
        for wrong in (-1, "a b:1", "a:b:1", "a\0b:1", "-:1"):
            self.assertRaises(InvalidInput, parse_cursor, wrong)

    def test_huge(self) -> None:
        """A number that is too long for Python is refused like any other bad input."""
        for since in ("1" * 5000, 10**5000):
            error = self.assertRaises(ValueError, parse_cursor, since)
            self.assertIsInstance(error, InvalidInput)

    @QUICK
    @given(st.text() | st.integers())
    def test_any_text(self, since: str | int) -> None:
        """Any text is a position that Redis understands, or is refused."""
        try:
            epoch, revision = parse_cursor(since)
        except InvalidInput:
            return
        self.assertGreaterEqual(revision, 0)
        self.assertTrue(epoch.isalnum() or not epoch)


class EventTests(SynchronousTestCase):
    def parse(self, *words: str) -> tuple[Event, str] | None:
        return parse_event("news", "\0".join(words))

    def test_kinds(self) -> None:
        """Each kind of event has the parts of its message, and the text of its twin."""
        for kind, words, parts in (
            ("publish", ("1", "x"), {"id": "1", "item": "x"}),
            ("edit", ("1", ""), {"id": "1", "item": ""}),
            ("retract", ("1",), {"id": "1"}),
            ("position", ("1", ":end"), {"id": "1", "position": ":end"}),
            ("put", ("1", "x"), {"id": "1", "item": "x"}),
            ("claim", ("1",), {"id": "1"}),
            ("cancel", ("1",), {"id": "1"}),
            ("stall", ("1",), {"id": "1"}),
            ("retry", ("1",), {"id": "1"}),
            ("finish", ("1", "x"), {"id": "1", "item": "x"}),
            ("finished", ("1",), {"id": "1"}),
        ):
            event = Event(kind, "news", revision=7, epoch=EPOCH, **parts)  # type: ignore[arg-type]
            self.assertEqual(self.parse(EPOCH, "7", kind, *words), (event, "\0".join(words)))

    def test_more(self) -> None:
        """A plus after the revision says that the next event belongs to the same change."""
        event = Event("retract", "news", "1", revision=7, epoch=EPOCH, more=True)
        self.assertEqual(self.parse(EPOCH, "7+", "retract", "1"), (event, "1"))

    def test_items_with_nul(self) -> None:
        """An item keeps its NULs."""
        event = Event("publish", "news", "1", "x\0\0y", revision=7, epoch=EPOCH)
        self.assertEqual(
            self.parse(EPOCH, "7", "publish", "1", "x", "", "y"), (event, "1\0x\0\0y")
        )

    def test_malformed(self) -> None:
        """A message with too few or too many parts, or an invalid revision, makes no event."""
        for words in (
            (),
            (EPOCH,),
            (EPOCH, "7"),
            (EPOCH, "7", "retract"),
            (EPOCH, "7", "publish", "1"),
            (EPOCH, "7", "unheard", "1"),
            (EPOCH, "x", "retract", "1"),
            (EPOCH, "", "retract", "1"),
            (EPOCH, "7++", "retract", "1"),
            (EPOCH, "+", "retract", "1"),
        ):
            self.assertIsNone(self.parse(*words))

    @QUICK
    @given(st.lists(st.sampled_from([EPOCH, "7", "+", "\0", "publish", "position", "x"])))
    def test_anything(self, pieces: list[str]) -> None:
        """No message raises anything."""
        message = "".join(pieces)
        parsed = parse_event("news", message)
        self.assertTrue(parsed is None or message.endswith("\0" + parsed[1]))


class EntryTests(SynchronousTestCase):
    def test_entries(self) -> None:
        """An entry of the history makes the event that was published."""
        for fields, parts in (
            (["kind", "publish", "id", "1", "item", "x\0y"], {"id": "1", "item": "x\0y"}),
            (["kind", "position", "id", "1", "position", "2:"], {"id": "1", "position": "2:"}),
            (["kind", "retract", "id", "1", "more", "1"], {"id": "1", "more": True}),
            (["kind", "retract", "id", "1", "later", "2"], {"id": "1"}),
        ):
            kwargs: dict[str, Any] = {"kind": fields[1], "revision": 7, "epoch": EPOCH, **parts}
            self.assertEqual(
                parse_entry("news", EPOCH, ["7", fields]), Event(feed="news", **kwargs)
            )

    def test_strange(self) -> None:
        """Entries of other programs raise nothing, and their revision counts."""
        for fields in ([], ["kind"], ["id", "1", "kind"]):
            event = parse_entry("news", EPOCH, ["7", fields])
            self.assertEqual((event.kind, event.revision, event.epoch), ("", 7, EPOCH))


class ChannelTests(SynchronousTestCase):
    def test_channels(self) -> None:
        """The kinds of events of whole feeds have channels. Other text is a channel itself."""
        for event, channel in (
            ("create", "newfeed"),
            ("delete", "delfeed"),
            ("config", "conffeed"),
            ("create_notice", "newfeed"),
            ("delete_notice", "delfeed"),
            ("newfeed", "newfeed"),
            ("feed.publish:create", "feed.publish:create"),
            ("mine", "mine"),
        ):
            self.assertEqual((channel_for(event), meant_feed(event)), (channel, None), event)
        self.assertEqual(channel_for("config:news"), "conffeed")
        self.assertEqual(meant_feed("config:news"), "news")

    def test_no_channel(self) -> None:
        """An event without a channel is refused, and the error names the right channel."""
        for event, right in (
            ("publish", "feed.publish:[feed]"),
            ("publish_notice", "feed.publish:[feed]"),
            ("retract_notice", "feed.retract:[feed]"),
            ("position_notice", "feed.position:[feed]"),
            ("finish", "job.finish:[feed]"),
            ("put", "feed.publishes:[feed]"),
            ("feed.edit", "feed.edit:[feed]"),
            ("feed.edit:", "feed.edit:[feed]"),
            ("job.finish", "job.finish:[feed]"),
        ):
            error = self.assertRaises(InvalidInput, channel_for, event)
            self.assertIn(repr(event), str(error))
            self.assertIn(repr(right), str(error))
            self.assertIn("subscribe_pattern", str(error))

    def test_parts(self) -> None:
        """Messages of the contract are split at the first NUL, and others at every NUL."""
        for channel, message, parts in (
            ("feed.publish:a", "1\0x\0y", ["1", "x\0y"]),
            ("feed.publish:a", "1", None),
            ("feed.retract:a", "1", ["1"]),
            ("feed.retract:a", "1\0x", None),
            ("newfeed", "a\0uuid", ["a", "uuid"]),
            ("delfeed", "a", ["a"]),
            ("other", "1\0x\0y", ["1", "x", "y"]),
        ):
            self.assertEqual(parts_of(channel, message), parts)
