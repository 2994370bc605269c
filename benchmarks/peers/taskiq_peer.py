"""taskiq with its list broker on Redis, as a peer: see ``peer.py``.

It does not acknowledge: a job that a worker has taken is lost with that worker.  The timeout of
its Redis client, which would end the wait for jobs after 5 seconds, is off.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace

from peer import Tasks, async_no_op, main
from taskiq import AsyncBroker
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker


def make(url: str) -> AsyncBroker:
    broker = ListQueueBroker(
        url, queue_name="taskiq:bench", max_connection_pool_size=200, socket_timeout=None
    )
    broker.register_task(async_no_op, task_name="no_op")
    return broker


class Producer:
    def __init__(self, broker: AsyncBroker) -> None:
        self._no_op = broker.find_task("no_op")

    async def put(self, payload: str) -> None:
        await self._no_op.kiq(payload)


async def put_async(url: str, options: Namespace) -> None:
    broker = make(url)
    await broker.startup()
    await Tasks(Producer(broker), asyncio.gather, asyncio.sleep).run(options)


def put(url: str, options: Namespace) -> None:
    asyncio.run(put_async(url, options))


def work(url: str, concurrency: int) -> None:
    broker = make(url)
    asyncio.run(run_receiver_task(broker, max_async_tasks=concurrency, run_startup=True))


if __name__ == "__main__":
    main(put, work)
