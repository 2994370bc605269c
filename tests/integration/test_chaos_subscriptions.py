"""With connections cut and servers killed at random, subscriptions miss nothing silently.

``TXTHOONK_CHAOS_CHANGES`` is the number of changes (15,000); ``make chaos`` makes 50,000.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.support.children import Child
from txthoonk import ConnectionLost, ItemDoesNotExist, Thoonk
from txthoonk.testing import RedisServer

reactor: Any = installed_reactor
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "chaos" / "_follower.py"
SEED = 20261121

FOLLOWERS, FEEDS, WRITERS = 10, 20, 8
CHANGES = int(os.environ.get("TXTHOONK_CHAOS_CHANGES", "15000"))
CUTS, RESTARTS = 50, 3
AT_A_TIME = 10  # changes in progress on each connection


class Follower(Child):
    """One process of ``tests/chaos/_follower.py``."""

    def __init__(self, url: str, names: list[str]) -> None:
        super().__init__()
        self.spawn_python(str(PROGRAM), url, *names)

    async def report(self, revisions: dict[str, int]) -> dict[str, Any]:
        """Ask the follower what it saw up to these revisions."""
        self.transport.write(json.dumps(revisions).encode() + b"\n")
        found: dict[str, Any] = json.loads((await self.seen(r"(?m)^\{.*\}$"))[0])
        return found


class Writer:
    """Makes random changes one by one; a change whose reply was lost is repeated."""

    def __init__(self, thoonk: Thoonk, feeds: list[Any], number: int) -> None:
        self.thoonk = thoonk
        self.feeds = feeds
        self.name = f"w{number}"
        self.random = random.Random(SEED + number)
        self.counts: dict[str, int] = {}

    async def change(self) -> None:
        """Make one change."""
        feed = self.random.choice(self.feeds)
        roll = self.random.random()
        if roll < 0.7:
            number = self.counts[feed.name] = self.counts.get(feed.name, 0) + 1
            await self.until_done(lambda: self.write(feed, f"{self.name} {number}", roll))
        else:
            await self.until_done(lambda: self.remove_or_move(feed, roll))

    async def until_done(self, call: Any) -> None:
        while True:
            try:
                await call()
                return
            except ConnectionLost:
                pass
            except ItemDoesNotExist:
                return

    async def write(self, feed: Any, item: str, roll: float) -> None:
        if feed.name.startswith("feed"):
            await feed.publish(item, str(self.random.randrange(50)))
        elif roll < 0.3:
            await feed.append(item)
        else:
            try:
                await feed.edit(await self.some_id(feed), item)
            except ItemDoesNotExist:
                await feed.prepend(item)

    async def remove_or_move(self, feed: Any, roll: float) -> None:
        id_ = await self.some_id(feed)
        if feed.name.startswith("feed") or roll < 0.9:
            await feed.retract(id_)
        else:
            await feed.move_before(await self.some_id(feed), id_)

    async def some_id(self, feed: Any) -> str:
        """Choose an id; in a sorted feed an early one, which keeps the feed short."""
        if feed.name.startswith("feed"):
            return str(self.random.randrange(50))
        pairs = await self.thoonk.redis.lrange(feed.feed_ids, 0, 20)
        return self.random.choice(pairs) if pairs else "0"


class SubscriptionChaosTests(TestCase):
    timeout = 900

    async def chaos(self, config: dict[str, Any]) -> dict[str, Any]:
        """Run the writers, cuts and kills; return the final state of the feeds."""
        # The server must not lose published changes, as each loss would cause a resync.
        self.server = RedisServer(self.mktemp(), arguments=("--appendfsync", "always"))
        self.addCleanup(self.server.stop)
        await self.server.start()
        self.random = random.Random(SEED)
        self.thoonk = Thoonk(self.server.url, reactor, retry_policy=lambda attempt: 0.02)
        await self.thoonk.connect()
        self.addCleanup(self.thoonk.close)
        self.names = [f"{'feed' if n % 2 else 'sorted'}:{n}" for n in range(FEEDS)]
        for name in self.names:
            await self.open(self.thoonk, name, config)
        self.followers = [Follower(self.server.url, self.names) for _ in range(FOLLOWERS)]
        self.addCleanup(lambda: gatherResults([one.kill() for one in self.followers]))
        await gatherResults([one.seen("ready\n") for one in self.followers])
        await self.write()
        return {name: await self.final(name) for name in self.names}

    async def open(self, thoonk: Thoonk, name: str, config: Any = None) -> Any:
        kind = thoonk.feed if name.startswith("feed") else thoonk.sorted_feed
        return await kind(name, config)

    async def write(self) -> None:
        """Make all changes while connections are cut and the server is killed."""
        self.left, self.awaited, self.cuts, self.restarts = CHANGES, -1, 0, 0
        writers: list[Writer] = []
        for number in range(WRITERS):
            thoonk = Thoonk(self.server.url, reactor, retry_policy=lambda attempt: 0.02)
            await thoonk.connect()
            self.addCleanup(thoonk.close)
            feeds = [await self.open(thoonk, name) for name in self.names]
            first = number * AT_A_TIME
            writers += [Writer(thoonk, feeds, first + one) for one in range(AT_A_TIME)]
        writing = gatherResults(
            [Deferred.fromCoroutine(self.keep_writing(writer)) for writer in writers]
        )
        await self.trouble()
        await writing

    async def keep_writing(self, writer: Writer) -> None:
        while self.left > 0:
            self.left -= 1
            if self.left == self.awaited:
                self.reached.callback(None)
            await writer.change()

    def until(self, moment: int) -> Deferred[None]:
        """Wait until that many changes have begun."""
        self.awaited = CHANGES - moment
        self.reached: Deferred[None] = Deferred()
        if self.left <= self.awaited:
            self.reached.callback(None)
            self.awaited = -1
        return self.reached

    async def trouble(self) -> None:
        """Cut all subscribers at random moments, and restart the server now and then."""
        moments = sorted(self.random.sample(range(CHANGES // 20, CHANGES), CUTS))
        for number, moment in enumerate(moments):
            await self.until(moment)
            with contextlib.suppress(ConnectionLost):
                self.cuts += await self.thoonk.redis.send("CLIENT", "KILL", "TYPE", "pubsub")
            if number % (CUTS // RESTARTS) == CUTS // RESTARTS // 2:
                await (self.server.stop() if self.restarts == 1 else self.server.kill())
                await self.server.start()
                self.restarts += 1

    async def final(self, name: str) -> Any:
        """Return the items of a feed in order, and its revision."""
        feed = await self.open(self.thoonk, name)
        items = [[id_, item] for id_, item in (await feed.get_all()).items()]
        config = await feed.get_config()
        return items, await feed.revision() if "history" in config else 0

    async def reports(self, final: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what each follower saw of each feed."""
        revisions = {name: revision for name, (_, revision) in final.items()}
        reports: list[dict[str, Any]] = await gatherResults(
            [Deferred.fromCoroutine(one.report(revisions)) for one in self.followers]
        )
        self.assertGreater(self.cuts, CUTS * FOLLOWERS // 2)
        self.assertGreaterEqual(self.restarts, RESTARTS)
        for report in reports:
            for name, (items, _) in final.items():
                self.assertEqual(report[name]["items"], items, name)
                self.assertEqual(report[name]["errors"], [], name)
        return reports

    async def test_with_history(self) -> None:
        """Each follower sees each revision once, in order; each mirror equals its feed."""
        final = await self.chaos({"history": 10_000})
        self.assertGreater(sum(revision for _, revision in final.values()), CHANGES * 0.9)
        for report in await self.reports(final):
            for name, (_, revision) in final.items():
                self.assertEqual(report[name]["resyncs"], 0, name)
                self.assertEqual(report[name]["revision"], revision, name)
                self.assertEqual(report[name]["events"], revision, name)
                self.assertEqual(report[name]["mirror"], revision, name)

    async def test_without_history(self) -> None:
        """Each gap is announced by a resync; each mirror equals its feed."""
        final = await self.chaos({})
        for report in await self.reports(final):
            for name in final:
                self.assertGreater(report[name]["resyncs"], 5, name)
                self.assertGreater(report[name]["events"], CHANGES / FEEDS / 3, name)
