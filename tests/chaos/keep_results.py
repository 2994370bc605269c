"""keep_results under a backlog: a few scripts for each finish, and workers that do not grow.

Several workers at once keep results, of which all but a few are too many. Each worker also finds
the results that the others have to forget.
"""

from __future__ import annotations

import re
import resource
from functools import partial
from typing import Any

from tests.support.waiting import until, until_answer
from txthoonk import Thoonk, Worker
from txthoonk.testing import RedisServer

JOBS = 6000
KEPT = 100
WORKERS = 3
CONCURRENCY = 10
MOST_SCRIPTS = 0.3  # for each job: ten are finished in one call, and the next ones claimed with it
MOST_GROWTH = 40  # megabytes


async def run(reactor: Any) -> str:
    """Run the scenario."""
    async with RedisServer(port=0, reactor=reactor) as server:
        services = [await Thoonk(server.url, reactor).connect() for _ in range(WORKERS)]
        try:
            return await work(server.endpoint(), services)
        finally:
            for thoonk in services:
                await thoonk.close()


async def work(endpoint: Any, services: list[Thoonk]) -> str:
    thoonk = services[0]
    config = {"timeout": 60, "max_failures": 10, "keep_results": KEPT}
    job = await thoonk.job("jobs", config)
    await job.put_many("x" * 100 for _ in range(JOBS))
    await thoonk.redis.send("CONFIG", "RESETSTAT")
    before = memory()
    ended: list[str] = []
    for one in services:
        options: dict[str, Any] = {"concurrency": CONCURRENCY, "thoonk": one, "maintenance": False}
        worker = Worker("jobs", lambda claim: claim.item, **options)
        worker.ended.append(lambda name, outcome, _: ended.append(outcome))
        worker.startService()
    await until(lambda: len(ended) >= JOBS)
    await until_answer(endpoint, job.stats, lambda stats: stats["finishes"] >= JOBS)
    scripts = await calls(thoonk)
    zcard = partial(thoonk.redis.zcard, "feed.results:jobs")
    await until_answer(endpoint, zcard, lambda count: count <= KEPT)
    grown = memory() - before
    if scripts > MOST_SCRIPTS * JOBS or grown > MOST_GROWTH:
        raise AssertionError(f"{JOBS} jobs: {scripts} scripts, {grown:.0f} MB more")
    return f"{JOBS} jobs on {WORKERS} workers: {scripts} scripts, {grown:.0f} MB more, {KEPT} kept"


async def calls(thoonk: Thoonk) -> int:
    """Count the calls of scripts."""
    stats = await thoonk.redis.send("INFO", "commandstats")
    return int(re.findall(r"cmdstat_evalsha:calls=(\d+)", stats)[0])


def memory() -> float:
    """Return the most memory that this process has used, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
