"""A worker whose time of day steps back by an hour as soon as it has a job.

tests/integration/_support/test_clock.py runs it with a URL and the name of a feed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import runtime

_back = 0.0


def _seconds() -> float:
    return time.time() - _back


runtime.seconds = _seconds  # set before a reactor exists, which takes it


def handle(claim: Any) -> Deferred[None]:
    global _back
    _back = 3600.0
    print("claimed", flush=True)
    return Deferred()


async def work(reactor: Any, url: str, feed: str) -> None:
    from txthoonk import Thoonk, Worker

    thoonk = await Thoonk(url).connect()
    Worker(feed, handle, thoonk=thoonk, maintenance=False).startService()
    await Deferred()


if __name__ == "__main__":
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(work(reactor, *sys.argv[1:])))
