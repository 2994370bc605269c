"""A feed that another implementation deleted, which knows only the contract's keys, made anew."""

from __future__ import annotations

from typing import Any

from tests.support import RedisTestCase
from txthoonk.errors import Empty
from txthoonk.types import Job
from txthoonk.wire._keys import feed_key, feed_keys

# What thoonk.py deletes of a job feed; thoonk.js and txthoonk 0.1 delete no more.
KNOWN = ("config", "ids", "items", "publishes", "claimed", "stalled", "cancelled")
CONTRACT = (*KNOWN, "published")

# Others delete the counter of ids, and registrations of listeners end by themselves.
LEFT = ("idincr", "listeners")


class MadeAnewTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()

    def made(self) -> list[Any]:
        """Return the two ways to make the feed."""
        config = {"type": "job"}
        return [lambda: self.pub_.job("x"), lambda: self.pub_.create_feed("x", config)]

    async def delete(self, *parts: str) -> None:
        """Delete the feed as another implementation does."""
        await self.raw.srem("feeds", "x")
        await self.raw.delete(*[feed_key(part, "x") for part in parts])

    async def fill(self) -> None:
        """Give every key of the feed a value."""
        for key in feed_keys("x"):
            if key not in {feed_key(part, "x") for part in ("results", *LEFT)}:
                await self.raw.hset(key, "some", "thing")

    async def test_former_life(self) -> None:
        """Delayed jobs, failures, claims, results and counters of the former life are gone."""
        for make in self.made():
            job: Job = await self.pub_.job("x")
            await job.put("later", id_="later", delay=1000)
            await job.put("failed", id_="failed")
            await job.fail(await job.get(), ValueError("broken"))
            await job.put("kept", id_="kept")
            for _ in range(2):
                claim = await job.get()
                if claim.id == "kept":
                    await job.finish(claim, "result", timeout=1000)
            await self.delete(*KNOWN)
            await make()
            self.assertEqual(await job.get_ids(), [])
            self.assertEqual(await job.get_failures(), [])
            self.assertEqual(await self.raw.exists("feed.failures:x"), 0)
            self.assertEqual((await job.stats())["finishes"], 0)
            await self.assertFailure(job.get_result("kept"), Empty)
            await job.put("later", id_="later")
            self.assertEqual((await job.get(1)).id, "later")
            await self.pub_.delete_feed("x")
            self.assertEqual(await self.state(), {})

    async def test_every_key(self) -> None:
        """No key remains, whichever it is: another implementation deletes the configuration."""
        for make in self.made():
            await self.fill()
            await self.delete("config", "items")
            await make()
            self.assertEqual(set(await self.state()), {b"feeds", b"feed.config:x"})

    async def test_items_remain(self) -> None:
        """Items that were put before the feed is made stay, with the contract's other keys."""
        for make in self.made():
            await self.fill()
            await self.delete("config")
            await make()
            keys = {feed_key(part, "x").encode() for part in CONTRACT}
            self.assertEqual(set(await self.state()), {b"feeds", *keys})

    async def test_registry_lost(self) -> None:
        """If only the name in the registry was lost, a feed keeps all but its history."""
        for make in self.made():
            job: Job = await self.pub_.job("x", {"history": 10, "keep_results_for": 1000})
            await job.put("later", id_="later", delay=1000)
            await job.put("kept", id_="kept")
            await job.finish(await job.get(), "result")
            await self.raw.delete("feeds")
            await make()
            self.assertEqual(await job.get_ids(), ["later"])
            self.assertEqual(await job.get_result("kept"), ("kept", "result"))
            self.assertEqual(await self.raw.exists("feed.history:x"), 0)
            await self.pub_.delete_feed("x")
