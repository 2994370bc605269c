"""A worker on many feeds and a slow line serves all feeds in turn, and sends no needless calls.

The worker has 300 feeds on a server that is 20 milliseconds away. At first it must come to rest.
Then it must run a job of any feed, give all feeds the same share if all have jobs, and begin jobs
of the other feeds in between if one feed has a backlog. The server counts the calls.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.chaos._support import in_time
from tests.support.proxy import Link, Proxy
from tests.support.waiting import until, until_answer
from txthoonk.service import Thoonk
from txthoonk.testing import RedisServer
from txthoonk.types import Claim, Job
from txthoonk.worker import Worker

FEEDS = 300
AWAY = 0.02  # seconds, there and back
CONCURRENCY = 10
TAKES = 0.01  # seconds of a job
BACKLOG = 2000  # jobs
IDLE = 3.0  # seconds that the worker is observed at rest
PATIENCE = 15.0  # seconds, many times what anything takes
ROUNDS = 3

# What may be asked: at rest a renewal, in parts; for a configuration what it means for the
# feed's claims, and for its delayed jobs.
AT_REST = 10
EACH_CONFIGURATION = 4
CONFIGURATIONS = 50


class Many:
    """The feeds, and a worker on them.

    :ivar begun: the feeds whose jobs were begun, in their order.
    """

    def __init__(self, reactor: Any, near: Thoonk, endpoint: Any, feeds: list[Job]) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._near = near
        self.feeds = feeds
        self.begun: list[str] = []

    def work(self, far: Thoonk) -> Worker:
        """Make the worker."""
        names = [feed.name for feed in self.feeds]
        return Worker(names, self._begin, CONCURRENCY, thoonk=far, maintenance=False)

    def _begin(self, claim: Claim) -> Deferred[None]:
        self.begun.append(claim.job.name)
        return deferLater(self._reactor, TAKES)

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for a condition that must come true within PATIENCE."""
        await in_time(self._reactor, until(condition), PATIENCE, what)

    async def at_rest(self) -> None:
        """Wait until all feeds are watched."""
        watched = until_answer(
            self._endpoint,
            lambda: self._info("clients", r"blocked_clients:(\d+)"),
            lambda count: count >= FEEDS,
        )
        await in_time(self._reactor, watched, PATIENCE, f"{FEEDS} feeds that are watched")

    async def scripts(self) -> int:
        """Count the script calls since the last time."""
        count = await self._info("commandstats", r"cmdstat_evalsha:calls=(\d+)")
        await self._near.redis.send("CONFIG", "RESETSTAT")
        return count

    async def _info(self, section: str, pattern: str) -> int:
        found = re.search(pattern, await self._near.redis.send("INFO", section))
        return int(found[1]) if found else 0

    async def put(self, count: int = 1) -> None:
        """Put jobs into each feed."""
        self.begun.clear()
        await gatherResults([feed.put_many(["item"] * count) for feed in self.feeds])


async def rests(many: Many, reactor: Any) -> str:
    """Let the worker come to rest, and check that it makes no calls."""
    await many.at_rest()
    await deferLater(reactor, 1.0)
    await many.scripts()
    await deferLater(reactor, IDLE)
    asked = await many.scripts()
    assert asked <= AT_REST, f"{asked} scripts in {IDLE:g} seconds, with nothing to do"
    return f"{asked} scripts in {IDLE:g} s at rest"


async def serves_the_last(many: Many) -> None:
    """Put a job into the last feed."""
    many.begun.clear()
    await many.feeds[-1].put("item")
    await many.until("a job of the last feed", lambda: len(many.begun) == 1)


async def serves_all(many: Many) -> str:
    """Put some jobs into each feed: no feed gets a second job before all got a first."""
    await many.put(ROUNDS)
    total = ROUNDS * FEEDS
    await many.until("all jobs of all feeds", lambda: len(many.begun) == total)
    # The first jobs find idle handlers.
    first = Counter(many.begun[CONCURRENCY:][: FEEDS // 2])
    assert max(first.values()) == 1, first.most_common(3)
    half = Counter(many.begun[: total // 2])
    # Half of all jobs is one and a half of each feed.
    spread = max(half.values()) - min(half[feed.name] for feed in many.feeds)
    assert spread <= 2, half.most_common(3)
    await many.at_rest()
    return f"shares differ by {spread} at half time"


async def serves_others(many: Many) -> str:
    """Put jobs into the others while one feed has a backlog."""
    many.begun.clear()
    busy, others = many.feeds[0], many.feeds[1:]
    await busy.put_many(["item"] * BACKLOG)
    await many.until("a backlog", lambda: len(many.begun) > 5 * CONCURRENCY)
    await gatherResults([feed.put("item") for feed in others])
    begin = len(many.begun)
    names = {feed.name for feed in others}
    await many.until("jobs beside a backlog", lambda: names <= set(many.begun))
    last = max(many.begun.index(name) for name in names)
    between = many.begun[begin:last].count(busy.name)
    assert between < FEEDS, f"{between} jobs of the backlog came before one of each other feed"
    await busy.drain()
    await many.at_rest()
    return f"{between} jobs of a backlog between one of each other feed"


async def hears_of_one(many: Many) -> str:
    """Configure one feed: the others cause no calls."""
    await many.scripts()
    for number in range(CONFIGURATIONS):
        await many.feeds[7].set_config({"timeout": 60 + number})
    await many.at_rest()
    asked = await many.scripts() / CONFIGURATIONS
    assert asked <= EACH_CONFIGURATION, f"{asked:g} scripts for a configuration of one feed"
    return f"{asked:.1f} scripts for a configuration"


@asynccontextmanager
async def far_away(reactor: Any, server: RedisServer) -> AsyncIterator[Thoonk]:
    """Connect to a server on a slow line."""
    proxy = Proxy(reactor, server.endpoint())

    def opened(link: Link) -> None:
        link.request.delay(AWAY / 2)
        link.reply.delay(AWAY / 2)

    proxy.opened = opened
    await proxy.start()
    thoonk = Thoonk(f"redis://127.0.0.1:{proxy.port}", reactor)
    try:
        yield await thoonk.connect()
    finally:
        await thoonk.close()
        await proxy.stop()


async def run(reactor: Any) -> str:
    """Run the scenario."""
    server = RedisServer()
    await server.start()
    near = await Thoonk(server.url, reactor).connect()
    try:
        config = {"timeout": 60, "max_failures": 3}
        feeds = [await near.job(f"f{number}", config) for number in range(FEEDS)]
        many = Many(reactor, near, server.endpoint(), feeds)
        async with far_away(reactor, server) as far:
            many.work(far).startService()
            resting = await rests(many, reactor)
            await serves_the_last(many)
            found = [resting, await serves_all(many), await serves_others(many)]
            found.append(await hears_of_one(many))
        return f"{FEEDS} feeds: {'; '.join(found)}"
    finally:
        await near.close()
        await server.stop()
