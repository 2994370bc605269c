"""Helpers for the tests of timekeepers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.patience import CONFFEED, NEWFEED, Slow, confirm, subscribe, unsubscribe
from tests.support.wire import Connection
from txthoonk.client import ThoonkPub
from txthoonk.consumers._deadlines import MOST, Timekeeper
from txthoonk.protocol import Redis

DELAYED = b"feed.delayed:j"
CHANNELS = (DELAYED, CONFFEED, NEWFEED)
SUBSCRIBE, UNSUBSCRIBE = subscribe(*CHANNELS), unsubscribe(*CHANNELS)
CONFIRMED = confirm(*CHANNELS)
UNCONFIRMED = [[b"unsubscribe", channel, 0] for channel in CHANNELS]
BLMOVE = [b"BLMOVE", b"feed.ids:j", b"feed.transit:j", b"RIGHT", b"LEFT", b"0"]
UNBLOCK = [b"CLIENT", b"UNBLOCK", b"77"]
DUE = [b"job/due", b"j", b"feed.event:j", b"feed.publishes:j", b"feed.retried:j", b"%d" % MOST]
NOTHING_DUE = [0, None, b"0", None]


def notice(*parts: bytes) -> list[bytes]:
    """Return the message that a job is due earlier than all others."""
    return [b"message", DELAYED, b"\0".join(parts)]


class KeeperTestCase(SynchronousTestCase):
    """A timekeeper whose looks and passes get their results from the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Slow()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.endpoint)
        self.main = Connection(self.pub)
        self.room = self.pub.waiting_room
        self.looks: list[Deferred[Any]] = []
        self.passes: list[Deferred[int | None]] = []
        self.cancelled: list[Deferred[Any]] = []
        self.keeper = Timekeeper(self.room, "j", self.look, self.expire)

    def look(self) -> Deferred[Any]:
        self.looks.append(Deferred(self.cancelled.append))
        return self.looks[-1]

    async def expire(self) -> int | None:
        self.passes.append(Deferred(self.cancelled.append))
        return await self.passes[-1]

    def under_way(self, looks: int, passes: int = 0) -> None:
        """Check the numbers of looks and passes under way."""
        self.assertEqual((len(self.looks), len(self.passes)), (looks, passes))

    def answer(
        self,
        count: int = 0,
        due: int | None = None,
        timeout: int = 0,
        oldest: int | None = None,
    ) -> None:
        """Reply to the look under way, as job/due does: times in milliseconds."""
        self.under_way(1)
        words = [None if time is None else str(time) for time in (due, timeout, oldest)]
        self.looks.pop().callback([count, *words])

    def attend(self) -> Connection:
        """Start, up to the second look, after the subscription; nothing is due."""
        self.keeper.attend()
        self.answer()
        sub = self.endpoint.connections[-1]
        self.assertEqual(sub.sent(), SUBSCRIBE)
        sub.answer(*CONFIRMED)
        self.under_way(1)
        return sub

    def passed(self, seconds: float) -> None:
        """Check that nothing happens for *seconds*, and then a look starts."""
        self.clock.advance(seconds - 0.0005)
        self.under_way(0)
        self.clock.advance(0.0005)
        self.under_way(1)

    def nothing_left(self) -> None:
        """Check that nothing is scheduled, subscribed or under way."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            (self.room.outages.returning, self.room.subscriber.listening), ({}, set())
        )
        self.under_way(0)
