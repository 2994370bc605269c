"""redis-py with asyncio, as a client: see ``client.py``.

With hiredis, one connection, and answers as bytes.  Calls in flight are a pipeline: separate
calls on a pool of connections are several times slower, because each call then has its own
connection.  A listener awaits ``parse_response``, which ``listen()`` and ``get_message()`` await,
too, and which is a little faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from client import Counter, Order, clock, fills, serve, url
from pipelines import make_calls
from redis.asyncio import Redis


def connect(url: str) -> dict[str, Any]:
    redis = Redis.from_url(url, single_connection_client=True, protocol=2)

    async def send(commands: list[list[Any]]) -> list[Any]:
        if len(commands) == 1:
            return [await redis.execute_command(*commands[0])]
        pipeline = redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()

    async def calls(order: Order) -> AsyncIterator[Any]:
        yield await make_calls(order, fills(order), send)

    async def listen(order: Order) -> AsyncIterator[Any]:
        listener = Redis.from_url(url, protocol=2).pubsub()
        names = order["channels"] + order["patterns"]
        await (listener.subscribe if order["channels"] else listener.psubscribe)(*names)
        for _ in names:
            await listener.parse_response()
        yield {"ready": True}
        counter = Counter(order["messages"], lambda _: None)
        for _ in range(order["messages"]):
            counter(await listener.parse_response())
        yield {"end": clock()}
        await listener.aclose()

    return {"calls": calls, "listen": listen}


async def run() -> None:
    await serve(connect(url()), asyncio.to_thread)


if __name__ == "__main__":
    asyncio.run(run())
