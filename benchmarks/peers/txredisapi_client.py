"""txredisapi, as a client: see ``client.py``.

With hiredis, and its bare protocol (its connection handlers add another Deferred to each call);
answers are bytes, not converted.  Its own pipelines hold all answers until the last one; single
calls, which it sends at once, are faster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from client import Counter, Order, fills, url
from deferring import chain, make_calls, run
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from txredisapi import RedisProtocol, SubscriberProtocol

AS_THEY_COME = {"charset": None, "convertNumbers": False}


class Listener(SubscriberProtocol):
    def __init__(self, counter: Counter) -> None:
        super().__init__(**AS_THEY_COME)
        self.messageReceived = counter


async def connect(reactor: Any) -> dict[str, Any]:
    where = urlsplit(url())
    endpoint = TCP4ClientEndpoint(reactor, str(where.hostname), int(where.port or 0))
    redis = await connectProtocol(endpoint, RedisProtocol(**AS_THEY_COME))

    async def calls(order: Order) -> AsyncIterator[Any]:
        call = chain(redis.execute_command, fills(order), order["loose"])
        made = await make_calls(order, call)
        await redis.ping()  # after the commands that no call waited for
        yield made

    async def listen(order: Order) -> AsyncIterator[Any]:
        end: Deferred[float] = Deferred()
        listener = Listener(Counter(order["messages"], end.callback))
        await connectProtocol(endpoint, listener)
        for channel in order["channels"]:
            await listener.subscribe(channel)
        for pattern in order["patterns"]:
            await listener.psubscribe(pattern)
        yield {"ready": True}
        yield {"end": await end}
        listener.transport.loseConnection()

    return {"calls": calls, "listen": listen}


if __name__ == "__main__":
    run(connect)
