"""A process that works on jobs until it is killed.

    python tests/chaos/_worker.py URL FEED

It works on twenty jobs at a time, each for some milliseconds.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from tests.chaos._support import PATIENCE, again_and_again, returning
from txthoonk.connections.addresses._url import parse_url
from txthoonk.types import Job

AT_A_TIME = 20
LONGEST = 0.04  # seconds


async def main(reactor: Any, url: str, feed: str) -> None:
    pub = await returning(reactor, parse_url(url))
    jobs: list[Job] = []

    async def open_feed() -> None:
        jobs.append(await pub.job(feed))

    await again_and_again(reactor, open_feed, lambda: not jobs)
    job = jobs[0]

    async def work() -> None:
        id_, item, _ = await job.get(PATIENCE)
        await deferLater(reactor, random.uniform(0, LONGEST))
        await job.finish(id_, f"done: {item}")

    await gatherResults(
        [
            Deferred.fromCoroutine(again_and_again(reactor, work, lambda: True))
            for _ in range(AT_A_TIME)
        ]
    )


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
