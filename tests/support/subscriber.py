"""Helpers for the integration tests of subscribers."""

from __future__ import annotations

from twisted.logger import LogEvent, LogLevel

from tests.support import Recorder, RedisTestCase
from tests.support.logs import observe_log
from txthoonk.client import ThoonkSub
from txthoonk.types import Feed

CHANNEL = "feed.publish:x"


class SubscriberTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.sub_: ThoonkSub = await self.sub()
        self.feed: Feed = await self.pub_.feed("x")

    async def counted(self, channel: str) -> int:
        """Return the number of subscribers of a channel."""
        reply = await self.raw.send("PUBSUB", "NUMSUB", channel)
        return int(reply[1])

    async def settle(self) -> None:
        """Wait until the handlers were called for everything that was published before."""
        done = Recorder()
        id_ = await self.sub_.register_handler("settled", done)
        await self.raw.publish("settled", "")
        await done.wait(1)
        self.sub_.remove_handler(id_)

    def complaints(self) -> list[LogEvent]:
        """Return a list that collects warnings and errors from the log until the test ends."""
        events: list[LogEvent] = []

        def observe(event: LogEvent) -> None:
            if event.get("log_level", LogLevel.info) >= LogLevel.warn:
                events.append(event)

        observe_log(self, observe)
        return events
