"""Jobs: worker processes compute the SHA-256 of every file in a folder.

With one command, which starts two worker processes and a private Redis::

    python examples/file_hashes.py run examples

Or in several terminals: start workers in one or more, and put the files in another.  The first
program starts the private server, and the others join it::

    python examples/file_hashes.py --url embedded:./hashes work
    python examples/file_hashes.py --url embedded:./hashes put examples

``put`` prints the same lines as ``sha256sum``.  Kill workers as you like, even with ``kill -9``:
their jobs become available again, because every worker does maintenance, which cancels claims that
were not renewed.  While Redis is unavailable, all programs wait.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from example_tools import connected, parser, run, together
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from txthoonk import Claim, ConnectionLost, Event, Job, JobExists, JobNotClaimed, Thoonk

FEED = "file-hashes"
TIMEOUT = 6  # seconds after which a claim that was not renewed expires
AT_A_TIME = 4  # jobs that one worker runs at a time
CHUNK = 2**20  # bytes read at a time
KEPT = 60  # seconds for which Redis keeps a result


async def open_job(thoonk: Thoonk) -> Job:
    config = {"serializer": "json", "timeout": TIMEOUT, "max_failures": 3}
    return await thoonk.job(FEED, config)


# -- putting jobs ---------------------------------------------------------------


async def put(reactor: Any, options: argparse.Namespace) -> None:
    """Put a job for each file, and print the results as they arrive."""
    async with connected(options.url, reactor) as thoonk:
        await put_all(thoonk, Path(options.folder))


async def put_all(thoonk: Thoonk, folder: Path) -> None:
    job = await open_job(thoonk)
    paths = sorted(str(path.resolve()) for path in folder.rglob("*") if path.is_file())
    asked: dict[str, Deferred[dict[str, str]]] = {}
    given_up: set[str] = set()

    def give_up(*paths: str) -> None:
        for path in asked.keys() & paths:
            given_up.add(path)
            asked[path].cancel()  # no worker finishes it until it is retried

    async def watch(event: Event) -> None:
        if event.kind == "stall":
            give_up(str(event.id))
        elif event.kind == "resync":  # events may be missing
            give_up(*await job.get_ids("stalled"))

    await thoonk.subscribe(job, watch)
    asked.update((path, Deferred.fromCoroutine(ask(job, path))) for path in paths)
    numbers = count(1)

    async def show(path: str) -> None:
        try:
            answer = await asked[path]
        except CancelledError:
            if path not in given_up:
                raise
            answer = {"error": "given up"}
        if sys.stderr.isatty():
            print(f"{next(numbers)} of {len(paths)}", end="\r", file=sys.stderr, flush=True)
        if "error" in answer:
            print(f"{path}: {answer['error']}", file=sys.stderr, flush=True)
        else:
            print(f"{answer['sha256']}  {path}", flush=True)

    await together(*map(show, paths))


async def ask(job: Job, path: str) -> dict[str, str]:
    # The path is the id: two programs that want the hash of the same file share a job.
    with suppress(JobExists):
        await job.put({"path": path}, id_=path)
    _, answer = await job.get_result(path)
    return dict(answer)


# -- workers ----------------------------------------------------------------------


async def work(reactor: Any, options: argparse.Namespace) -> None:
    """Work on jobs until Ctrl-C, across lost connections."""
    async with connected(options.url, reactor) as thoonk:
        job = await open_job(thoonk)
        print(f"worker {os.getpid()} at {thoonk.url}", file=sys.stderr, flush=True)
        upkeep = LoopingCall(maintain, job)
        upkeep.start(TIMEOUT / 2)
        try:
            await together(*[work_on(job) for _ in range(AT_A_TIME)])
        finally:
            upkeep.stop()


def maintain(job: Job) -> Deferred[Any]:
    # Without a connection, the next call does the maintenance.
    return job.maintenance().addErrback(lambda failure: failure.trap(ConnectionLost))


async def work_on(job: Job) -> None:
    while True:
        claim = await job.get()  # continues to wait across lost connections
        try:
            await do(job, claim)
        except (ConnectionLost, JobNotClaimed) as error:
            # If the job is not finished, or our claim has expired, another worker gets it.
            print(error, file=sys.stderr)


async def do(job: Job, claim: Claim) -> None:
    renewing = LoopingCall(lambda: job.renew(claim.id).addErrback(lambda _: None))
    renewing.start(TIMEOUT / 3, now=False)
    try:
        answer = await deferToThread(hash_file, claim.item["path"])
    except CancelledError:
        # The program stops: give the job back. close() waits for the reply.
        job.cancel(claim.id).addErrback(lambda _: None)
        raise
    finally:
        renewing.stop()
    await job.finish(claim.id, answer, timeout=KEPT)


def hash_file(path: str) -> dict[str, str]:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        return {"error": str(error)}
    return {"sha256": digest.hexdigest()}


# -- everything in one command ----------------------------------------------------


async def run_all(reactor: Any, options: argparse.Namespace) -> None:
    """Start a private Redis and worker processes, and put the files."""
    async with connected(options.url, reactor) as thoonk:
        workers = [Worker(reactor, thoonk.url) for _ in range(options.workers)]
        try:
            await put_all(thoonk, Path(options.folder))
        finally:
            for ended in [worker.stop() for worker in workers]:
                await ended


class Worker(ProcessProtocol):
    """A worker process."""

    def __init__(self, reactor: Any, url: str) -> None:
        self.ended: Deferred[None] = Deferred()
        words = [sys.executable, __file__, "--url", url, "work"]
        reactor.spawnProcess(self, words[0], words, env=None, childFDs={0: "w", 1: 1, 2: 2})

    def stop(self) -> Deferred[None]:
        if not self.ended.called:
            self.transport.signalProcess("TERM")  # type: ignore[union-attr]
        return self.ended

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    for name, command, text in (
        ("run", run_all, "all in one"),
        ("put", put, "put a job for each file, and print the results"),
        ("work", work, "do jobs"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(command=command)
        if name != "work":
            sub.add_argument("folder")
        if name == "run":
            sub.add_argument("--workers", type=int, default=2)
    return made.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    run(chosen.command, chosen)
