"""Helpers for the integration tests of outages."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.support.server import until_blocked, until_subscribed
from tests.support.service import LeakTestCase
from tests.support.waiting import until
from txthoonk.service import Thoonk


class OutageTestCase(LeakTestCase):
    async def setUp(self) -> None:
        super().setUp()
        options = ("--appendfsync", "always")  # a kill loses nothing that was acknowledged
        folder = os.path.abspath(self.mktemp())
        self.redis_server = await self.server(folder, arguments=options).start()
        self.url = self.redis_server.url

    async def begin(self, **arguments: Any) -> Thoonk:
        self.thoonk = await self.connect(self.url, **arguments)
        return self.thoonk

    async def kill(self) -> None:
        await self.redis_server.kill()
        await until(
            lambda: self.thoonk._connections.up == {"publisher": False, "subscriber": False}
        )

    async def restart(self) -> None:
        await self.redis_server.start()
        await self.thoonk.whenConnected()

    def freeze(self) -> None:
        """Stop the server's process, which keeps its connections."""
        pid = self.redis_server.pid
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)

    def thaw(self) -> None:
        os.kill(self.redis_server.pid, signal.SIGCONT)

    async def subscribed(self, channel: str) -> None:
        await until_subscribed(self.redis_server, channel)

    async def blocked(self, count: int) -> None:
        await until_blocked(self.redis_server, count)
