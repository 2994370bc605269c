"""A minimal client on Twisted and hiredis: pack, write, parse, fire.

txthoonk can approach its speed, but not exceed it if each call is sent separately.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import hiredis
from client import Counter, Delays, Order, fills, url
from deferring import chain, make_calls, one_by_one, run
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol


class Caller(Protocol):
    """Matches answers to calls by their order."""

    def __init__(self) -> None:
        self.waiting: deque[Deferred[Any]] = deque()
        self.reader = hiredis.Reader(encoding="utf-8")

    def send(self, *command: Any) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self.waiting.append(waiting)
        self.transport.write(hiredis.pack_command(command))
        return waiting

    def dataReceived(self, data: bytes) -> None:
        reader = self.reader
        reader.feed(data)
        answer = reader.gets()
        while answer is not False:
            self.waiting.popleft().callback(answer)
            answer = reader.gets()


class Listener(Protocol):
    """Checks the kind of each message, and counts it."""

    def __init__(self, confirmations: int, counter: Callable[[], None]) -> None:
        self.reader = hiredis.Reader(encoding="utf-8")
        self.left = confirmations
        self.counter = counter
        self.confirmed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        reader = self.reader
        reader.feed(data)
        message = reader.gets()
        while message is not False:
            if message[0] == "message" or message[0] == "pmessage":
                self.counter()
            else:
                self.left -= 1
                if not self.left:
                    self.confirmed.callback(None)
            message = reader.gets()


async def connect(reactor: Any) -> dict[str, Any]:
    where = urlsplit(url())
    endpoint = TCP4ClientEndpoint(reactor, str(where.hostname), int(where.port or 0))
    caller = await connectProtocol(endpoint, Caller())

    async def calls(order: Order) -> AsyncIterator[Any]:
        call = chain(caller.send, fills(order), order["loose"])
        made = await make_calls(order, call)
        await caller.send("PING")  # after the commands that no call waited for
        yield made

    async def listen(order: Order) -> AsyncIterator[Any]:
        end: Deferred[float] = Deferred()
        names = order["channels"] + order["patterns"]
        counter = Counter(order["messages"], end.callback)
        listener = await connectProtocol(endpoint, Listener(len(names), counter))
        verb = "SUBSCRIBE" if order["channels"] else "PSUBSCRIBE"
        listener.transport.write(hiredis.pack_command((verb, *names)))
        await listener.confirmed
        yield {"ready": True}
        yield {"end": await end}
        listener.transport.loseConnection()

    async def late(order: Order) -> AsyncIterator[Any]:
        delays = Delays()
        listener = await connectProtocol(endpoint, Listener(1, delays))
        listener.transport.write(hiredis.pack_command(("SUBSCRIBE", "feed.publish:bench")))
        await listener.confirmed
        yield await one_by_one(order, delays, chain(caller.send, fills(order), 0))
        listener.transport.loseConnection()

    return {"calls": calls, "listen": listen, "late": late}


if __name__ == "__main__":
    run(connect)
