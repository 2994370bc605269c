"""Helpers for the tests of hostile peers: samples of garbage, and listeners of all kinds."""

from __future__ import annotations

import gc
import re
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from tests.support import RedisTestCase, server_url
from tests.support.fuzzing import QUICK, Log
from tests.support.waiting import until
from txthoonk import Event, Thoonk
from txthoonk.cli.verbs._watch import as_json, as_lines
from txthoonk.types import Claim
from txthoonk.worker import Worker

reactor: Any = installed_reactor
FEED, JOB, QUEUE = "feed-one", "job-one", "queue-one"
CALLS = re.compile(r"cmdstat_(?:evalsha|eval|smembers):calls=(\d+)")


def samples(strategy: Any, count: int) -> list[Any]:
    """Return random values, the same in each run."""
    found: list[Any] = []

    @settings(QUICK, max_examples=count)
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


class Seen:
    """A handler that formats events as ``thoonk watch`` does, and records the good ones."""

    def __init__(self) -> None:
        self.good: list[Any] = []
        self.kinds: list[str] = []

    def __call__(self, event: Event) -> None:
        as_json(event)
        as_lines(event, datetime.now())
        self.kinds.append(event.kind)
        if isinstance(event.item, str) and event.item.startswith("good"):
            self.good.append(event.item)

    def handle(self, *parts: str) -> None:
        if len(parts) > 1 and parts[1].startswith("good"):
            self.good.append(parts[1])


class HostileTestCase(RedisTestCase):
    """A service with listeners of all kinds."""

    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = Thoonk(await server_url(), reactor)
        self.addCleanup(self.thoonk.close)
        await self.thoonk.connect()
        self.log = Log(self)

    def logged(self) -> list[str]:
        gc.collect()
        self.flushLoggedErrors()
        return self.log.take()

    def assert_sober(self, lines: list[str]) -> None:
        """Check that lines are short, harmless to a terminal, and expected."""
        for line in lines:
            self.assertLess(len(line), 3000, line[:300])
            self.assertTrue(all(c.isprintable() or c in "\n\t" for c in line), ascii(line))
            self.assertNotIn("Unhandled", line)

    async def everybody(self) -> None:
        """Start every kind of listener."""
        thoonk = self.thoonk
        self.feed = await thoonk.feed(FEED, {"history": 1000})
        self.job = await thoonk.job(JOB, {"timeout": 60})
        self.queue = await thoonk.queue(QUEUE)
        self.followed, self.matched, self.handled = Seen(), Seen(), Seen()
        await thoonk.subscribe(FEED, self.followed)
        await thoonk.subscribe(JOB, Seen())
        await thoonk.subscribe_pattern("*", self.matched)
        await thoonk.register_handler(f"feed.publish:{FEED}", self.handled.handle)
        for event in ("create", "delete", "config"):
            await thoonk.register_handler(event, self.handled.handle)
        self.mirror = await thoonk.mirror(FEED)
        self.worked: list[str] = []
        self.worker = Worker(JOB, self.work, thoonk=thoonk)
        self.worker.startService()
        self.waiting: Deferred[Any] = self.queue.get()
        self.addCleanup(lambda: self.waiting.addErrback(lambda _: None) and None)
        await self.numsub(f"feed.delayed:{JOB}", 1)

    def work(self, claim: Claim) -> str:
        self.worked.append(claim.item)
        return f"done {claim.item}"

    async def good(self, number: int) -> None:
        """Publish good items, and check that each arrives once."""
        item = f"good {number}"
        await self.feed.publish(item)
        self.assertEqual(await self.job.wait(await self.job.put(item)), f"done {item}")
        await self.queue.put(item)
        self.assertEqual(await self.waiting, item)
        self.waiting = self.queue.get()

    async def settled(self) -> None:
        """Wait until all earlier messages have arrived, and their consequences are over."""
        for _ in range(500):
            before = await self.calls()
            await self.thoonk._sub.redis.send("PING")
            await self.thoonk.redis.ping()
            if await self.calls() == before:
                return

    async def at_rest(self) -> None:
        """Wait until all followers are live; a resync covers what was published before."""
        sources = self.thoonk._sources

        def live() -> bool:
            each: list[Any] = [one.source for one in sources._literal.values()]
            for pattern in sources._patterns:
                each += pattern.sources.values()
            return all(one.is_live for source in each for one in source.followers)

        await self.settled()
        await until(live)

    async def calls(self) -> int:
        """Return the number of calls of scripts and of reads of the registry."""
        info = await self.raw.send("INFO", "commandstats")
        return sum(map(int, CALLS.findall(info.decode())))
