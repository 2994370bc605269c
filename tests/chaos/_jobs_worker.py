"""A process that works on the jobs of ``_jobs.py`` until it is stopped or killed.

    python -m tests.chaos._jobs_worker URL LOG MODE FEED=WEIGHT...

An item is a word that says what its handler does. MODE is ``plain``, or ``thread`` for
handlers that run in threads. LOG gets a line for each handler that begins
(``begin FEED ID TOKEN``), for each outcome (``end OUTCOME``), and for each thing that should not
happen (``error TEXT``).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogLevel, eventAsText, globalLogBeginner

from txthoonk import Claim, ConnectionLost, JobNotClaimed, Retry, Stall, Thoonk, Worker

CONCURRENCY = 10
SHORT = 0.03  # seconds, the most that most handlers take
LONG = 1.6  # seconds, longer than a claim lasts without renewal
RETRY = 0.05  # seconds
LEFT = 2.0  # seconds, the most that handlers get at the end


def result_of(claim: Claim) -> str:
    """Return the result of a job, which names the claim."""
    return json.dumps({"id": claim.id, "token": claim.token})


def decide(claim: Claim) -> Any:
    """Return or raise at once what the item says."""
    if claim.item == "never":
        raise ValueError("it fails always")
    if claim.item == "sometimes" and random.random() < 0.5:
        raise ValueError("it fails sometimes")
    if claim.item == "again" and claim.cancelled < 2:
        raise Retry(RETRY)
    if claim.item == "stall":
        raise Stall("it is of no use")
    return object() if claim.item == "odd" else result_of(claim)


def seconds_for(claim: Claim) -> float:
    """Return the time that the handler takes."""
    return LONG if claim.item == "long" else random.uniform(0, SHORT)


def in_thread(claim: Claim) -> Any:
    """Work on a job in a thread."""
    time.sleep(seconds_for(claim))
    return decide(claim)


async def in_coroutine(reactor: Any, claim: Claim) -> Any:
    """Work on a job for some time."""
    if claim.item == "progress":
        with contextlib.suppress(ConnectionLost, JobNotClaimed):
            await claim.progress(1, 2, "half of it")
    await deferLater(reactor, seconds_for(claim))
    return decide(claim)


def plain(reactor: Any) -> Callable[[Claim], Any]:
    """Return a handler whose kind differs from job to job."""

    def handle(claim: Claim) -> Any:
        if claim.item == "now":
            return decide(claim)
        if claim.item == "deferred":
            return deferLater(reactor, seconds_for(claim), decide, claim)
        return in_coroutine(reactor, claim)

    return handle


class Log:
    """A file that has each line at once, even if this process is killed."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *words: str) -> None:
        os.write(self._file, (" ".join(words) + "\n").encode())

    def observe(self, event: Any) -> None:
        """Handle an event of Twisted's logger."""
        if event["log_level"] >= LogLevel.critical:
            self.write("error", json.dumps(eventAsText(event)))

    def ended(self, feed: str, outcome: str, seconds: float) -> None:
        self.write("end", outcome)

    def begun(self, handler: Callable[[Claim], Any]) -> Callable[[Claim], Any]:
        """Record each job before its handler begins."""

        def handle(claim: Claim) -> Any:
            self.write("begin", claim.job.name, claim.id, claim.token)
            return handler(claim)

        return handle


def main(url: str, path: str, mode: str, *feeds: str) -> None:
    """Work until SIGTERM."""
    from twisted.internet import reactor as installed_reactor

    reactor: Any = installed_reactor
    log = Log(path)
    globalLogBeginner.beginLoggingTo([cast(ILogObserver, log.observe)], redirectStandardIO=False)
    weights = {name: float(weight) for name, _, weight in (one.rpartition("=") for one in feeds)}
    services = MultiService()
    thoonk = Thoonk(url, reactor, retry_policy=lambda attempt: 0.05)
    worker = Worker(
        weights,
        log.begun(in_thread if mode == "thread" else plain(reactor)),
        CONCURRENCY,
        thoonk=thoonk,
        in_thread=mode == "thread",
        grace=random.uniform(0, LEFT),
        back_off=lambda failures: random.uniform(0.02, 0.2),
    )
    worker.ended.append(log.ended)
    thoonk.setServiceParent(services)
    worker.setServiceParent(services)

    def stop() -> Deferred[Any]:
        return services.stopService().addCallback(lambda _: check())

    def check() -> None:
        for call in reactor.getDelayedCalls():
            log.write("error", json.dumps(f"left in the reactor: {call}"))
        if worker.running_jobs and mode != "thread":
            log.write("error", json.dumps(f"still running: {worker.running_jobs}"))

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    services.startService()
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
