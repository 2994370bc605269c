"""Messages taken apart."""

from __future__ import annotations

from datetime import datetime

from twisted.trial.unittest import SynchronousTestCase

from txthoonk._watch import as_json, as_text
from txthoonk.events import Event, parse


class ParseTests(SynchronousTestCase):
    def test_events(self) -> None:
        """Each channel of the contract gives its kind of event; items keep their NULs."""
        for channel, message, event in (
            ("feed.publish:a:b", "1\0x\0y", Event("publish", "a:b", "1", "x\0y")),
            ("feed.edit:a", "\0", Event("edit", "a", "", "")),
            ("feed.retract:a", "1", Event("retract", "a", "1")),
            ("feed.position:a", "1\0:end", Event("position", "a", "1", position=":end")),
            ("feed.publishes:a", "1\0x\0y", Event("put", "a", "1", "x\0y")),
            ("feed.claimed:a", "1", Event("claim", "a", "1")),
            ("feed.cancelled:a", "1", Event("cancel", "a", "1")),
            ("feed.stalled:a", "1", Event("stall", "a", "1")),
            ("feed.retried:a", "1", Event("retry", "a", "1")),
            ("job.finish:a", "1\0x\0y", Event("finish", "a", "1", "x\0y")),
            ("feed.finishes:a", "1", Event("finished", "a", "1")),
            ("newfeed", "a\0uuid", Event("create", "a")),
            ("delfeed", "a", Event("delete", "a")),
            ("conffeed", "a\0uuid", Event("config", "a")),
        ):
            self.assertEqual(parse(channel, message), event)

    def test_not_of_the_contract(self) -> None:
        """Other channels, and messages with too few or too many parts, give nothing."""
        for channel, message in (
            ("feed.publish:a", "1"),
            ("feed.retract:a", "1\0x"),
            ("feed.publishes:a", "1"),
            ("feed.claimed:a", "1\0x"),
            ("job.finish:a", "1"),
            ("job.publish:a", "1\0x"),
            ("feed.put:a", "1\0x"),
            ("other", "1\0x"),
            ("", ""),
        ):
            self.assertIsNone(parse(channel, message))

    def test_lines(self) -> None:
        """An event is shown without what it does not have."""
        event = Event("retract", "a", "1")
        self.assertEqual(as_json(event), '{"kind": "retract", "feed": "a", "id": "1"}')
        self.assertEqual(as_text(event, datetime(2026, 1, 1, 9, 5)), "09:05:00  retract   a  1")
