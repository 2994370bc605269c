"""txthoonk, measured like its peers: see ``peer.py``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Coroutine, Iterator
from typing import Any

from peer import Tasks, main, no_op
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.logger import globalLogBeginner, textFileLogObserver

from txthoonk import Claim, Job, Thoonk, Worker

NAME = "bench"


class Producer:
    def __init__(self, job: Job) -> None:
        self.put = job.put
        self._job = job

    def put_many(self, payloads: Iterator[str]) -> Deferred[Any]:
        return self._job.put_many(payloads)


def gather(*coroutines: Coroutine[Any, Any, None]) -> Deferred[Any]:
    return gatherResults(map(Deferred.fromCoroutine, coroutines))


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def open_job(url: str) -> Job:
    thoonk = await Thoonk(url).connect()
    return await thoonk.job(NAME)


async def put_async(url: str, options: Namespace) -> None:
    await Tasks(Producer(await open_job(url)), gather, sleep).run(options)


def put(url: str, options: Namespace) -> None:
    react(lambda _: Deferred.fromCoroutine(put_async(url, options)))


def handle(claim: Claim) -> str | None:
    return no_op(claim.item)


async def start(url: str, concurrency: int) -> None:
    Worker(await open_job(url), handle, concurrency=concurrency).startService()


def work(url: str, concurrency: int) -> None:
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    Deferred.fromCoroutine(start(url, concurrency)).addErrback(print, file=sys.stderr)
    reactor.run()


if __name__ == "__main__":
    main(put, work)
