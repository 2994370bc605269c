"""redis-py without asyncio, as a client: see ``client.py``.

With hiredis, one connection that is not taken from the pool for each command, and answers as
bytes: the fastest settings.  Calls in flight are a pipeline, which is sent as a whole and then
read as a whole: a thread for each call would be several times slower.  A listener blocks in
``parse_response``, which ``listen()`` and ``get_message()`` call, and which is a little faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from client import Counter, Order, clock, fills, serve, url
from pipelines import make_calls
from redis import Redis


def connect(url: str) -> dict[str, Any]:
    redis = Redis.from_url(url, single_connection_client=True, protocol=2)

    async def send(commands: list[list[Any]]) -> list[Any]:
        if len(commands) == 1:
            return [redis.execute_command(*commands[0])]
        pipeline = redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute()

    async def calls(order: Order) -> AsyncIterator[Any]:
        yield await make_calls(order, fills(order), send)

    async def listen(order: Order) -> AsyncIterator[Any]:
        listener = Redis.from_url(url, protocol=2).pubsub()
        names = order["channels"] + order["patterns"]
        (listener.subscribe if order["channels"] else listener.psubscribe)(*names)
        for _ in names:
            listener.parse_response()
        yield {"ready": True}
        counter = Counter(order["messages"], lambda _: None)
        for _ in range(order["messages"]):
            counter(listener.parse_response())
        yield {"end": clock()}
        listener.close()

    return {"calls": calls, "listen": listen}


async def run() -> None:
    async def in_thread(function: Any) -> str:
        return function()  # there is nothing else to do

    await serve(connect(url()), in_thread)


if __name__ == "__main__":
    asyncio.run(run())
