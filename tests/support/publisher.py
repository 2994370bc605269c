"""Helpers for the integration tests of publishers."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support import RedisTestCase

INSTANCE = re.compile(rb"[0-9a-f]{32}")


class PublisherTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.spied = await self.spy()

    async def told(self) -> list[tuple[str, str]]:
        """Return the notices since the last call as (channel, feed); check their instance."""
        notices = []
        for channel, message in await self.spied.messages():
            name, instance = message.split(b"\0")
            self.assertRegex(instance, INSTANCE)
            notices.append((channel.decode(), name.decode()))
        return notices

    async def outcomes(self, *calls: Deferred[Any]) -> list[Any]:
        """Wait for all calls, and return their results, with errors as results."""
        for call in calls:
            call.addErrback(lambda reason: reason.value)
        return await gatherResults(calls)
