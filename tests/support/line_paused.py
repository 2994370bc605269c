"""Helpers for the unit tests of paused lines."""

from __future__ import annotations

from typing import Any

from tests.support.patience import (
    CONFFEED,
    NEWFEED,
    configured,
    confirm,
    subscribe,
    unsubscribe,
)
from tests.support.wire import Connection, Endpoint

SUBSCRIBE, UNSUBSCRIBE = subscribe(CONFFEED, NEWFEED), unsubscribe(CONFFEED, NEWFEED)
CONFIRMED = confirm(CONFFEED, NEWFEED)
PAUSED, NOTHING = [b"5.5", 1], [b"5.6", 0]
ITEM = [b"5.7", 0, b"a", b"A"]


class Held:
    """Steps by which a get is held, for both kinds of waiting rooms."""

    asked: Any
    main: Connection
    endpoint: Endpoint
    assertEqual: Any

    def hold(self) -> Connection:
        """Reply that the feed is paused, twice: before and after the line listens."""
        sub = self.paused()
        self.listens(sub)
        self.asked(1)
        self.main.answer(PAUSED)
        return sub

    def paused(self) -> Connection:
        """Reply that the feed is paused, and return the connection for listening."""
        self.asked(1)
        self.main.answer(PAUSED)
        return self.endpoint.connections[-1]

    def listens(self, sub: Connection) -> None:
        """Confirm the subscriptions to new configurations and new feeds."""
        self.assertEqual(sub.sent(), SUBSCRIBE)
        sub.answer(*CONFIRMED)

    def configure(self, sub: Connection, feed: bytes = b"q", channel: bytes = CONFFEED) -> None:
        """Publish that the configuration of a feed has changed."""
        sub.answer(configured(feed, channel))
