"""Jobs: worker processes compute the SHA-256 of every file of a folder.

All in one, with two worker processes and a private Redis::

    python examples/file_hashes.py run examples

Or in terminals of your own: workers in one or more, and the files in another; whoever
comes first starts the private server, and the others join it::

    python examples/file_hashes.py --url embedded:/tmp/hashes work
    python examples/file_hashes.py --url embedded:/tmp/hashes put examples

What ``put`` prints is what ``sha256sum`` prints.  Kill workers as you like, with
``kill -9`` too: their jobs come back, because every worker does the maintenance that
cancels claims nobody has renewed.
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

from example_tools import RedisAt, parser, run, together
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from txthoonk import ConnectionLost, Job, JobExists, JobNotClaimed, ThoonkPub, ThoonkSub

FEED = "file-hashes"
TIMEOUT = 6  # seconds after which a claim that was not renewed is taken away
AT_A_TIME = 4  # jobs that one worker has under way
CHUNK = 2**20  # bytes read at a time
KEPT = 60  # seconds that a result waits for whoever wants it
RETRY_PAUSE = 0.5  # seconds between two tries to reach Redis again


async def open_job(pub: ThoonkPub) -> Job:
    config = {"serializer": "json", "timeout": TIMEOUT, "max_failures": 3}
    return await pub.job(FEED, config)


# -- who wants the hashes -------------------------------------------------------


async def put(reactor: Any, options: argparse.Namespace) -> None:
    """Put a job for each file, and print the results as they come."""
    async with RedisAt(options.url, reactor) as redis:
        await put_all(await redis.publisher(), await redis.subscriber(), Path(options.folder))


async def put_all(pub: ThoonkPub, sub: ThoonkSub, folder: Path) -> None:
    job = await open_job(pub)
    paths = sorted(str(path.resolve()) for path in folder.rglob("*") if path.is_file())
    asked = {path: Deferred.fromCoroutine(ask(job, path)) for path in paths}

    given_up: set[str] = set()

    def stalled(id_: str) -> None:
        if id_ in asked:
            given_up.add(id_)
            asked[id_].cancel()  # nobody will finish it, until somebody retries it

    await sub.register_handler(job.channel_stall, stalled)
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
    # The path is the id: two who want the hash of one file share a job.
    with suppress(JobExists):
        await job.put({"path": path}, id_=path)
    _, answer = await job.get_result(path)
    return dict(answer)


# -- workers ----------------------------------------------------------------------


async def work(reactor: Any, options: argparse.Namespace) -> None:
    """Do jobs until Ctrl-C, across lost connections."""
    async with RedisAt(options.url, reactor) as redis:
        job = await open_job(await redis.lasting_publisher())
        print(f"worker {os.getpid()} at {redis.url}", file=sys.stderr, flush=True)
        upkeep = LoopingCall(maintain, job)
        upkeep.start(TIMEOUT / 2)
        try:
            await together(*[work_on(reactor, job) for _ in range(AT_A_TIME)])
        finally:
            upkeep.stop()


def maintain(job: Job) -> Deferred[Any]:
    # While Redis is away there is nothing to maintain.
    return job.maintenance().addErrback(lambda failure: failure.trap(ConnectionLost))


async def work_on(reactor: Any, job: Job) -> None:
    while True:
        try:
            await work_once(job)
        except ConnectionLost:
            await deferLater(reactor, RETRY_PAUSE)
        except JobNotClaimed as error:
            print(error, file=sys.stderr)  # we were too slow, and somebody else has it


async def work_once(job: Job) -> None:
    claim = await job.get()
    renewing = LoopingCall(lambda: job.renew(claim.id).addErrback(lambda _: None))
    renewing.start(TIMEOUT / 3, now=False)
    try:
        answer = await deferToThread(hash_file, claim.item["path"])
    except CancelledError:
        await job.cancel(claim.id)  # we are told to end: somebody else may do it
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


# -- all in one -------------------------------------------------------------------


async def run_all(reactor: Any, options: argparse.Namespace) -> None:
    """Start a private Redis and worker processes, and put the files."""
    async with RedisAt(options.url, reactor) as redis:
        pub, sub = await redis.publisher(), await redis.subscriber()
        workers = [Worker(reactor, redis.url) for _ in range(options.workers)]
        try:
            await put_all(pub, sub, Path(options.folder))
        finally:
            await gatherResults([worker.stop() for worker in workers])


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
