"""Parsing of messages into events."""

from __future__ import annotations

from datetime import datetime

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli.verbs._watch import as_json, as_lines
from txthoonk.events import ITEM_KINDS, Event
from txthoonk.subscriptions._decoder import Source


class Heard:
    """A follower that records its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.live = self.events.append


class MessageTests(SynchronousTestCase):
    def heard(self, channel: str, message: str) -> list[Event]:
        """Return the events of a message on a channel of the feed ``a:b``."""
        source, heard = Source("a:b"), Heard()
        self.patch(source, "followers", (heard,))
        source.channels(tuple(ITEM_KINDS))[channel](message)
        return heard.events

    def test_events(self) -> None:
        """Each channel of the contract makes its kind of event, and items keep their NULs."""
        for channel, message, kind, *fields in (
            ("feed.publish:a:b", "1\0x\0y", "publish", "1", "x\0y"),
            ("feed.edit:a:b", "\0", "edit", "", ""),
            ("feed.retract:a:b", "1", "retract", "1"),
            ("feed.position:a:b", "1\0:end", "position", "1", None, ":end"),
            ("feed.publishes:a:b", "1\0x\0y", "put", "1", "x\0y"),
            ("feed.claimed:a:b", "1", "claim", "1"),
            ("feed.cancelled:a:b", "1", "cancel", "1"),
            ("feed.stalled:a:b", "1", "stall", "1"),
            ("feed.retried:a:b", "1", "retry", "1"),
            ("job.finish:a:b", "1\0x\0y", "finish", "1", "x\0y"),
            ("feed.finishes:a:b", "1", "finished", "1"),
        ):
            self.assertEqual(self.heard(channel, message), [Event(kind, "a:b", *fields)])

    def test_not_of_the_contract(self) -> None:
        """Messages with too few or too many parts make no event, and are logged."""
        malformed = (
            ("feed.publish:a:b", "1"),
            ("feed.retract:a:b", "1\0x"),
            ("feed.publishes:a:b", "1"),
            ("feed.claimed:a:b", "1\0x"),
            ("job.finish:a:b", "1"),
        )
        for channel, message in malformed:
            self.assertEqual(self.heard(channel, message), [])

    def test_lines(self) -> None:
        """As text or JSON, an event leaves out fields without a value."""
        event = Event("retract", "a", "1")
        self.assertEqual(as_json(event), '{"kind": "retract", "feed": "a", "id": "1"}')
        lines = as_lines(event, datetime(2026, 1, 1, 9, 5))
        self.assertEqual(lines, [["09:05:00", "retract ", "a", "1"]])
