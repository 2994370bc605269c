"""arq, as a peer: see ``peer.py``.

Its worker polls: without a pause for concurrency 1, where every job waits for the next poll;
otherwise every 10 ms, which is as fast as 0 or 1 ms.  So jobs on an idle worker wait for the
next poll, and an idle worker uses time for polling; the default is 0.5 s.  Results are not kept.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace

from arq import Worker, create_pool, func
from arq.connections import ArqRedis, RedisSettings
from peer import Tasks, async_no_op, main

NAME = "arq:bench"
POLL_DELAY = 0.01  # seconds


class Producer:
    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def put(self, payload: str) -> None:
        await self._redis.enqueue_job("no_op", payload)


async def run(ctx: object, payload: str) -> None:
    await async_no_op(payload)


async def put_async(url: str, options: Namespace) -> None:
    redis = await create_pool(RedisSettings.from_dsn(url), default_queue_name=NAME)
    await Tasks(Producer(redis), asyncio.gather, asyncio.sleep).run(options)


def put(url: str, options: Namespace) -> None:
    asyncio.run(put_async(url, options))


def work(url: str, concurrency: int) -> None:
    Worker(
        [func(run, name="no_op")],
        queue_name=NAME,
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=concurrency,
        poll_delay=0 if concurrency == 1 else POLL_DELAY,
        keep_result=0,
        log_results=False,
    ).run()


if __name__ == "__main__":
    main(put, work)
