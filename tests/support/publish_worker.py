"""A process that starts many publishes at once.

    python publish_worker.py URL FEED NAME COUNT

It prints ``ready``, waits for a line on standard input, publishes the ids ``NAME-0``, ``NAME-1``,
... without waiting for any, and prints ``done`` when it has all replies.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react

from txthoonk.client import ThoonkPubFactory
from txthoonk.connections.addresses._url import parse_url


class Signal(Protocol):
    """Fires at the first byte of standard input."""

    def __init__(self) -> None:
        self.given: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.given.callback(None)


async def main(reactor: Any, url: str, name: str, worker: str, count: str) -> None:
    target = parse_url(url)
    pub: Any = await target.endpoint(reactor).connect(ThoonkPubFactory(**target.credentials))
    feed = await pub.feed(name)
    signal = Signal()
    stdio = StandardIO(signal)
    print("ready", flush=True)
    await signal.given
    ids = [f"{worker}-{number}" for number in range(int(count))]
    published = await gatherResults([feed.publish(f"item of {id_}", id_) for id_ in ids])
    assert published == ids
    print("done", flush=True)
    await pub.close()
    stdio.loseConnection()


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
