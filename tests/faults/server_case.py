"""What the tests of server faults share: a test case on a server that things happen to."""

# Trial's TestCase is typed in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.task import Clock, deferLater

from tests.faults.server_faults import FaultyServer, shared
from tests.support import RedisTestCase
from txthoonk._url import parse_url
from txthoonk.service import Thoonk

__all__ = ["HalfClock", "ServerFaultTestCase", "reactor", "turns"]

reactor: Any = installed_reactor
TURNS = 3  # of the reactor, in which it sends what there is to send
STEP = 5.0  # seconds by which the test's clock goes on at a time


class HalfClock(Clock):
    """A reactor on which what is to be done after a second or more waits for the test."""

    def callLater(self, when: float, *arguments: Any, **options: Any) -> Any:
        if when < 1:
            return reactor.callLater(when, *arguments, **options)
        return super().callLater(when, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


async def turns(_: object = None) -> None:
    """Let the reactor send what there is to send."""
    for _ in range(TURNS):
        await deferLater(reactor, 0)


class ServerFaultTestCase(RedisTestCase):
    """A test with :class:`~tests.support.RedisTestCase`'s helpers, on a faulty server.

    :cvar faulty: the server, which is started if it does not run.
    :cvar halfway: whether services wait for :meth:`pass_time`, where they would for a second
        or more.
    """

    timeout = 60  # seconds
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
        """Make a service that is closed after the test, and comes back at once."""
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
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(STEP)
            await turns()

    async def blocked(self, count: int) -> None:
        """Wait until Redis counts so many clients that wait."""
        while await self.faulty.info("blocked_clients") != count:
            pass

    async def fails(self, call: Any, kind: type[Exception], *words: str) -> Exception:
        """Check that a call fails with an error of a class, which names *words*."""
        error: Exception = await self.assertFailure(call, kind)
        for word in words:
            self.assertIn(word, f"{getattr(error, 'code', '')} {error}")
        return error
