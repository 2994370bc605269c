"""Helpers for the unit tests of listening to channels."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.patience import Slow
from tests.support.wire import Connection
from txthoonk.client import ThoonkPub
from txthoonk.consumers._channel_listener import Listening
from txthoonk.protocol import Redis

CHANNEL, OTHER = b"some channel", b"some other channel"


class ListeningTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Slow()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.endpoint)
        self.main = Connection(self.pub)
        self.room = self.pub.waiting_room
        self.told: list[tuple[str, ...]] = []
        self.listening = self.make(CHANNEL)

    def make(self, channel: bytes) -> Listening:
        """Return a Listening that records its messages and starts in order."""
        return self.listen(
            channel, lambda *parts: self.told.append(parts), lambda: self.told.append(("ready",))
        )

    def listen(
        self,
        channel: bytes,
        told: Callable[..., object] = lambda *_: None,
        ready: Callable[[], object] = lambda: None,
    ) -> Listening:
        """Return a Listening on one channel."""
        return Listening(self.room, "nothing", {channel.decode(): told}, ready)

    @property
    def sub(self) -> Connection:
        return self.endpoint.connections[-1]

    def confirm(self, channel: bytes = CHANNEL) -> Connection:
        """Confirm the subscription that was just requested."""
        self.assertEqual(self.sub.sent(), [[b"SUBSCRIBE", channel]])
        self.sub.answer([b"subscribe", channel, 1])
        return self.sub

    def begin(self) -> Connection:
        """Begin, and confirm the subscription."""
        self.listening.begin()
        return self.confirm()

    def seen(self) -> list[tuple[str, ...]]:
        """Return the messages since the last call."""
        told, self.told = self.told, []
        return told

    def nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.room.subscriber.listening, set())
