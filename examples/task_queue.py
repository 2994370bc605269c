"""Tasks as for Celery or RQ: ordinary functions that run later, in other processes.

Start a worker in one terminal, or several, and put tasks in another.  The first one starts a
private Redis::

    python examples/task_queue.py --url embedded:./tasks work
    python examples/task_queue.py --url embedded:./tasks mail ada@example.org "Fair in July"
    python examples/task_queue.py --url embedded:./tasks count README.rst

What was ``@app.task`` of Celery or ``@job`` of RQ is ``@task`` here, and what was
``function.delay(...)`` is ``await delay(job, function, ...)``.  The functions stay as they are:
they block, and run in threads of the worker.  A task that fails is tried again, with growing
delays; after five failures it is stalled, and ``thoonk failures tasks`` shows why.
"""

from __future__ import annotations

import argparse
import mailbox
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from example_tools import connected, parser, run
from twisted.internet.defer import Deferred

from txthoonk import Job, Retry, Stall, Thoonk, Worker
from txthoonk.types import ThreadClaim

FEED = "tasks"
CONFIG = {"serializer": "json", "timeout": 60, "max_failures": 5, "keep_results_for": 3600}
MAILBOX = Path("outbox")

#: Name -> the handler that calls the function of that name.
HANDLERS: dict[str, Callable[[ThreadClaim], Any]] = {}


def task(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let workers call a function; jobs name it."""

    def handler(claim: ThreadClaim) -> Any:
        return function(*claim.item["args"], **claim.item["kwargs"])

    HANDLERS[function.__name__] = handler
    return function


async def delay(job: Job, function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Have a worker call a function, with arguments that JSON can express; return the job's id."""
    return await job.put({"task": function.__name__, "args": args, "kwargs": kwargs})


# -- the tasks -------------------------------------------------------------------------


@task
def send_mail(to: str, subject: str) -> None:
    """Send a message; this example puts it into a folder."""
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    try:
        mailbox.Maildir(MAILBOX).add(message)
    except OSError as error:
        raise Retry(10, f"no mail at the moment: {error}") from error  # Celery: self.retry(...)


@task
def count_words(path: str) -> int:
    """Count the words of a file."""
    try:
        return len(Path(path).read_text("utf-8").split())
    except FileNotFoundError as error:
        raise Stall(str(error)) from error  # another attempt is useless


# -- the programs ----------------------------------------------------------------------


async def open_tasks(thoonk: Thoonk) -> Job:
    return await thoonk.job(FEED, CONFIG)


async def work(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        worker = Worker(await open_tasks(thoonk), handlers=HANDLERS, in_thread=True, concurrency=4)
        worker.startService()
        print(f"working at {thoonk.url}", flush=True)
        await Deferred()  # until Ctrl-C; then close() stops the worker, which ends its tasks first


async def mail(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        print(
            await delay(await open_tasks(thoonk), send_mail, options.to, subject=options.subject)
        )


async def count(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        job = await open_tasks(thoonk)
        print(await job.wait(await delay(job, count_words, options.path)))


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    for command, text, *names in (
        (work, "work on tasks until Ctrl-C"),
        (mail, "send a message", "to", "subject"),
        (count, "count the words of a file, and print their number", "path"),
    ):
        sub = commands.add_parser(command.__name__, help=text)
        sub.set_defaults(command=command)
        for name in names:
            sub.add_argument(name)
    return made.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    run(chosen.command, chosen)
