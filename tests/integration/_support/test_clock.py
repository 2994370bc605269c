"""A client's time of the day that steps: timers go on."""

from __future__ import annotations

from tests.support import RedisTestCase, server_url
from tests.support.children import ROOT, Child

PROGRAM = ROOT / "tests" / "support" / "stepping_clock.py"


class StepTests(RedisTestCase):
    timeout = 30

    async def test_back(self) -> None:
        """A worker whose clock is set back by an hour goes on renewing its claims."""
        job = await (await self.pub()).job("x", {"timeout": 1})
        await job.put("item", id_="a")
        program = Child()
        program.spawn_python(str(PROGRAM), await server_url(), "x")
        self.addCleanup(program.kill)
        await program.seen("")
        scores = [await self.raw.send("ZSCORE", "feed.claimed:x", "a")]
        while len(scores) < 4:
            words = ("ZSCORE", "feed.claimed:x", "a")
            renewed = self.until_reply(*words, holds=lambda score: score != scores[-1])
            scores.append(await program.during(renewed))
