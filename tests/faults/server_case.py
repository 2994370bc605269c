"""The test case for server faults."""

from __future__ import annotations

from typing import Any

from tests.faults.server_faults import FaultyServer, shared
from tests.support import RedisTestCase
from tests.support.server import HalfClock, reactor
from txthoonk.connections.addresses._url import parse_url
from txthoonk.service import Thoonk

__all__ = ["ServerFaultTestCase"]


class ServerFaultTestCase(RedisTestCase):
    """A :class:`~tests.support.RedisTestCase` on a faulty server.

    :cvar faulty: the server, which is started if it does not run.
    :cvar halfway: whether delays of services of a second or more wait for :meth:`pass_time`.
    """

    faulty: FaultyServer = shared
    halfway = False

    async def setUp(self) -> None:
        await self.faulty.start()
        self.addCleanup(self.faulty.leave)
        assert self.faulty.server is not None
        self.url = self.faulty.server.url
        self.target = parse_url(self.url)
        self.clock = HalfClock()
        self.raw = await self.redis(charset=None)
        await self.raw.send("FLUSHALL")

    def make(self, **options: Any) -> Thoonk:
        """Make a service that is closed after the test, and reconnects almost without delay."""
        self.clock = HalfClock()
        time: Any = self.clock if self.halfway else reactor
        options = {"reactor": time, "retry_policy": lambda _: 0.01, **options}
        thoonk = Thoonk(self.url, **options)
        self.addCleanup(thoonk.close)
        return thoonk

    async def thoonk(self, **options: Any) -> Thoonk:
        """Connect a service."""
        return await self.make(**options).connect()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the last service."""
        await self.clock.go_on(seconds)

    async def fails(self, call: Any, kind: type[Exception], *words: str) -> Exception:
        """Check that a call fails with an error of a class, which names *words*."""
        error: Exception = await self.assertFailure(call, kind)
        for word in words:
            self.assertIn(word, f"{getattr(error, 'code', '')} {error}")
        return error
