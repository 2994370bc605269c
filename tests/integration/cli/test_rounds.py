"""Reads of many feeds: a bounded number at a time, and the busiest in each."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support import RedisTestCase
from txthoonk.cli.top import _rounds
from txthoonk.cli.top._model import Sums
from txthoonk.cli.top._rounds import Rounds
from txthoonk.errors import ConnectionLost
from txthoonk.monitoring import _inspector

FEEDS = 1000
MOST = 100


class RoundsTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publisher = await self.pub()
        self.patch(_inspector, "PAGE", 20)
        self.patch(_rounds, "KEPT", 10)
        await self.raw.send("SADD", "feeds", *[f"f{n:04}" for n in range(FEEDS)])
        self.busy = await self.publisher.feed("z")

    def rounds(self, **options: Any) -> Rounds:
        return Rounds(self.publisher.redis, **{"wanted": lambda name: True, **options})

    async def calls(self) -> int:
        """Return the number of commands the server has executed, including those of scripts."""
        stats = str(await self.raw.send("INFO", "commandstats"))
        await self.raw.send("CONFIG", "RESETSTAT")
        return sum(int(line.split("calls=")[1].split(",")[0]) for line in stats.splitlines()[1:])

    async def test_bounded(self) -> None:
        """Each read is bounded, and about ten reads make a round that covers every feed."""
        one = await self.cost_of_one()
        rounds = self.rounds(most=MOST)
        turns: list[Any] = []
        while not turns or turns[-1][0] < FEEDS + 1:
            await self.calls()
            await rounds.look()
            # The bound allows for one more page, the kept feeds, and finding them.
            self.assertLessEqual(await self.calls(), one * (MOST + 30 + 10) + 50)
            assert rounds.turn is not None
            turns.append(rounds.turn)
        self.assertLessEqual(len(turns), FEEDS // MOST + 2)
        self.assertEqual(turns[-1], (FEEDS + 1, FEEDS + 1))
        self.assertEqual(rounds.sums, Sums(FEEDS + 1))
        self.assertEqual(len(rounds.feeds), 10)

    async def cost_of_one(self) -> int:
        await _inspector.read_overview(self.publisher.redis, "f0000")
        await self.calls()
        await _inspector.read_overview(self.publisher.redis, "f0000")
        return await self.calls()

    async def test_busiest(self) -> None:
        """A busy feed is shown first, from its first read until it is deleted."""
        rounds = self.rounds(most=MOST)
        for _ in range(2 * (FEEDS // MOST + 2)):
            await self.busy.publish("x")
            await rounds.look()
        for _ in range(3):
            await self.busy.publish("x")
            await rounds.look()
            self.assertEqual(next(iter(rounds.feeds)), "z")
        await self.busy.delete_feed()
        await rounds.look()
        self.assertNotIn("z", rounds.feeds)

    async def test_all(self) -> None:
        """Each read covers all feeds if there is no limit, or if they are below it."""
        for most in (None, FEEDS + 50):
            counts: list[int] = []
            rounds = self.rounds(most=most, looked=counts.append)
            for _ in range(2):
                await rounds.look()
                self.assertEqual(len(rounds.feeds), FEEDS + 1)
                self.assertEqual((rounds.sums, rounds.turn), (None, None))
            self.assertEqual(counts[-1], FEEDS + 1)
            self.assertGreater(len(counts), 50)  # reports its progress repeatedly

    async def test_outage(self) -> None:
        """A round starts again after a lost connection; its cursor is void on another server."""
        rounds = self.rounds(most=MOST)
        await rounds.look()
        self.publisher.redis.abort()
        await self.assertFailure(Deferred.fromCoroutine(rounds.look()), ConnectionLost)
        rounds._redis = rounds._names._redis = (await self.pub()).redis
        await rounds.look()
        assert rounds.turn is not None
        self.assertLess(rounds.turn[0], 2 * MOST)

    async def test_named(self) -> None:
        """Only the named feeds are read."""
        rounds = self.rounds(names=["z", "missing", "f0001"])
        await rounds.look()
        await self.calls()
        await rounds.look()
        self.assertLess(await self.calls(), 60)
        self.assertEqual(set(rounds.feeds), {"z", "f0001"})

    async def test_pattern(self) -> None:
        """Names that do not match are skipped, a bounded number in each read."""
        self.patch(_rounds, "PAGES", 10)
        rounds = self.rounds(wanted="z".__eq__, most=MOST)
        met = []
        while not rounds.feeds:
            await rounds.look()
            assert rounds.turn is not None
            met.append(rounds.turn[0])
        self.assertLess(max(b - a for a, b in zip([0, *met], met, strict=False)), 400)
