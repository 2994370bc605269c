"""Looks at many feeds: a part of them at a time, and the busiest at each."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support import RedisTestCase
from txthoonk.cli import _rounds
from txthoonk.cli._rounds import Rounds
from txthoonk.cli._top_model import Sums
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
        """Give how many commands the server has done, those of scripts included."""
        stats = str(await self.raw.send("INFO", "commandstats"))
        await self.raw.send("CONFIG", "RESETSTAT")
        return sum(int(line.split("calls=")[1].split(",")[0]) for line in stats.splitlines()[1:])

    async def test_bounded(self) -> None:
        """A look is bounded, and ten or so of them are a round in which each feed is met."""
        one = await self.cost_of_one()
        rounds = self.rounds(most=MOST)
        turns: list[Any] = []
        while not turns or turns[-1][0] < FEEDS + 1:
            await self.calls()
            await rounds.look()
            # A page more, those that are kept, and what finds them.
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
        """A feed that is busy is shown from when it was met, until it is gone."""
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
        """Without a limit, or below it, a look is at all feeds, and the next one, too."""
        for most in (None, FEEDS + 50):
            counts: list[int] = []
            rounds = self.rounds(most=most, looked=counts.append)
            for _ in range(2):
                await rounds.look()
                self.assertEqual(len(rounds.feeds), FEEDS + 1)
                self.assertEqual((rounds.sums, rounds.turn), (None, None))
            self.assertEqual(counts[-1], FEEDS + 1)
            self.assertGreater(len(counts), 50)  # it says so again and again

    async def test_outage(self) -> None:
        """After a lost connection a round begins again: its place on another server is nowhere."""
        rounds = self.rounds(most=MOST)
        await rounds.look()
        self.publisher.redis.abort()
        await self.assertFailure(Deferred.fromCoroutine(rounds.look()), ConnectionLost)
        rounds._redis = rounds._names._redis = (await self.pub()).redis
        await rounds.look()
        assert rounds.turn is not None
        self.assertLess(rounds.turn[0], 2 * MOST)

    async def test_named(self) -> None:
        """Feeds that are named are looked at, and no others."""
        rounds = self.rounds(names=["z", "missing", "f0001"])
        await rounds.look()
        await self.calls()
        await rounds.look()
        self.assertLess(await self.calls(), 60)
        self.assertEqual(set(rounds.feeds), {"z", "f0001"})

    async def test_pattern(self) -> None:
        """Names that do not match are passed over, so many in a look."""
        self.patch(_rounds, "PAGES", 10)
        rounds = self.rounds(wanted="z".__eq__, most=MOST)
        met = []
        while not rounds.feeds:
            await rounds.look()
            assert rounds.turn is not None
            met.append(rounds.turn[0])
        self.assertLess(max(b - a for a, b in zip([0, *met], met, strict=False)), 400)
