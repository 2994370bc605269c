"""A worker of ``outage.py`` that works on each job until it reads a line from standard input.

    python -m tests.chaos._outage_worker URL FEED

It prints ``begin ID`` when a handler begins, and ``cancelled ID`` when one is cancelled.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txthoonk import Claim, Thoonk, Worker

CONCURRENCY = 10


class Input(LineReceiver):
    delimiter = b"\n"

    def __init__(self) -> None:
        self.running: list[Deferred[str]] = []
        self.ended: Deferred[None] = Deferred()

    def handle(self, claim: Claim) -> Deferred[str]:
        print("begin", claim.id, flush=True)
        job: Deferred[str] = Deferred(lambda _: print("cancelled", claim.id, flush=True))
        self.running.append(job)
        return job

    def lineReceived(self, line: bytes) -> None:
        running, self.running = self.running, []
        for job in running:
            if not job.called:
                job.callback("done")

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(None)


async def work(reactor: Any, url: str, feed: str) -> None:
    thoonk = await Thoonk(url).connect()
    handled = Input()
    StandardIO(handled)
    Worker(feed, handled.handle, concurrency=CONCURRENCY, thoonk=thoonk).startService()
    await handled.ended


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(work(reactor, *sys.argv[1:])))
