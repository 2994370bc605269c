"""The ``thoonk`` command: feeds from the shell."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import react

from txthoonk import __version__
from txthoonk.cli import _feeds, _jobs
from txthoonk.cli._common import Command, CommandError
from txthoonk.cli._output import OutputError, drop_output, flush, prepare_streams, say, show
from txthoonk.cli._top import add_arguments as add_top_arguments
from txthoonk.cli._top import top
from txthoonk.cli._watch import watch
from txthoonk.connections._url import Target, parse_url, read_url, without_passwords
from txthoonk.errors import ThoonkError
from txthoonk.testing import RedisServer
from txthoonk.types import Job

__all__ = ["main"]

DEFAULT_URL = "redis://localhost:6379/0"
URL_VARIABLE = "THOONK_URL"
INTERRUPTED = 130  # the exit status that shells expect after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 if all went well, else 1.

    2 is wrong usage; 141 that the reader of standard output is gone.

    :param arguments: the words of the command line; None: those of the process.
    """
    prepare_streams()
    options = _parsed(arguments)
    statuses: list[int] = []

    def run(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(_run(reactor, options))
        ended = running.addCallback(statuses.append)

        def stop() -> Deferred[None]:
            ended.cancel()
            return ended

        # A signal stops the reactor; the command ends in an orderly way before.
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        return ended

    try:
        react(run, [])
    except SystemExit as end:
        sys.exit(statuses[0] if statuses else end.code)
    sys.exit(1)  # react always exits


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        try:
            return _parser().parse_args(arguments)
        except SystemExit:  # it has printed something
            flush()
            raise
    except OutputError as error:
        sys.exit(_cannot_print(error))


async def _run(reactor: Any, options: argparse.Namespace) -> int:
    """Run one command; its exit status."""
    try:
        options.url = _url(options)
        async with _redis(options, reactor) as target:
            await options.command(reactor, target, options)
        flush()
    except CancelledError:
        return 0 if options.command in (watch, top) else INTERRUPTED
    except OutputError as error:
        return _cannot_print(error)
    except (ConnectError, DNSLookupError) as error:
        return _complain(
            f"cannot connect to {parse_url(options.url).text}: {error} "
            "(is Redis running? --url embedded:/folder needs none)"
        )
    except (CommandError, ThoonkError, OSError) as error:
        return _complain(str(error))
    return 0


def _complain(message: str) -> int:
    say(f"thoonk: {' '.join(message.split())}")
    return 1


def _cannot_print(error: OutputError) -> int:
    drop_output()
    _complain(str(error))
    return error.status


def _url(options: argparse.Namespace) -> str:
    """Give the URL that was named, on the command line or in the environment."""
    if options.url_file is not None:
        return read_url(options.url_file)
    url: str = options.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    return url


@asynccontextmanager
async def _redis(options: argparse.Namespace, reactor: Any) -> AsyncIterator[Target]:
    """Give the server that the URL names, started if it is an embedded one."""
    target = parse_url(options.url, ca_file=options.ca_file)
    if not target.embedded:
        yield target
        return
    async with RedisServer(target.path or None, reactor=reactor) as server:
        yield parse_url(server.url)


# -- the command line --------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: Any = None) -> None:
        for line in self.format_help().splitlines():
            show(line)

    def error(self, message: str) -> NoReturn:
        shown = without_passwords(message)
        self.exit(2, f"{self.prog}: {shown} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="thoonk", description="Live feeds on Redis.")
    parser.add_argument("--version", action="version", version=f"txthoonk {__version__}")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--url",
        help="redis://[user:password@]host:port/db, rediss:// for TLS, unix:///socket?db=N, "
        "an endpoint of Twisted, or embedded:/folder for a private server that keeps its data "
        f"there (default: {URL_VARIABLE} in the environment, or {DEFAULT_URL})",
    )
    where.add_argument(
        "--url-file",
        metavar="PATH",
        help="a file with the URL: all users of a machine can see its command lines",
    )
    parser.add_argument(
        "--ca-file", help="whom to trust with TLS (default: whom the system trusts)"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str, *words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        for word in words:
            sub.add_argument(word, metavar=word.upper())
        return sub

    json: list[argparse.ArgumentParser] = []
    _add_feeds(add, json)
    _add_jobs(add, json)
    add_top_arguments(add("top", top, "show feeds and workers, as they change"))
    watching = add("watch", watch, "show what happens to feeds, as it happens")
    watching.add_argument("patterns", metavar="FEED_OR_PATTERN", nargs="+")
    watching.add_argument("--since", metavar="CURSOR", help="begin behind that event of a feed")
    watching.add_argument("--snapshot", action="store_true", help="begin with the items")
    for sub in (*json, watching):
        sub.add_argument("--json", action="store_true", help="print JSON, one value a line")
    return parser


Add = Callable[..., argparse.ArgumentParser]


def _add_feeds(add: Add, json: list[argparse.ArgumentParser]) -> None:
    """Add the commands for all feeds, and list those that can print JSON."""
    add("feeds", _feeds.feeds, "list the names of all feeds")
    settings: dict[str, Any] = {"nargs": "*", "metavar": "NAME=VALUE"}
    create = add(
        "create", _feeds.create, "create a feed (or type=sorted_feed, queue, job)", "feed"
    )
    create.add_argument("settings", **settings)
    add("delete", _feeds.delete, "delete a feed with all that is in it", "feed")
    config = add("config", _feeds.config, "show or change a feed's configuration", "feed")
    config.add_argument("settings", **settings)
    publish = add(
        "publish", _feeds.publish, "publish an item, or each line of standard input", "feed"
    )
    publish.add_argument("item", metavar="ITEM", nargs="?")
    publish.add_argument("--id", help="the item's id: a known one replaces its item")
    items = add("items", _feeds.items, "show all items with their ids, in order", "feed")
    add("item", _feeds.item, "show one item", "feed", "id")
    history = add("history", _feeds.history, "show the events that a feed keeps", "feed")
    history.add_argument("--since", metavar="CURSOR", help="those behind that event")
    history.add_argument("--count", type=int, help="so many at the most")
    retract = add("retract", _feeds.retract, "remove items or jobs", "feed")
    retract.add_argument("ids", metavar="ID", nargs="+")
    json += [config, items, history]


def _add_jobs(add: Add, json: list[argparse.ArgumentParser]) -> None:
    """Add the commands for queues and jobs, and list those that can print JSON."""
    seconds: dict[str, Any] = {"metavar": "SECONDS", "type": float}
    put = add("put", _jobs.put, "put an item or job, or each line of standard input", "feed")
    put.add_argument("item", metavar="ITEM", nargs="?")
    put.add_argument("--high", action="store_true", help="put it in front of all others")
    put.add_argument("--id", help="the job's id")
    put.add_argument("--delay", help="let the job be due only after so long", **seconds)
    get = add("get", _jobs.get, "take the next item, or claim the next job", "feed")
    jobs = add("jobs", _jobs.jobs, "count the jobs, and show their ids by state", "feed")
    finish = add("finish", _jobs.finish, "finish a claimed job", "feed", "id")
    finish.add_argument("result", metavar="RESULT", nargs="?")
    finish.add_argument("--keep", help="keep the result for so long", **seconds)
    for verb, text in (
        (Job.cancel, "give claimed jobs back, as failed once more"),
        (Job.stall, "take claimed jobs out of the running"),
        (Job.retry, "put stalled jobs back into the line"),
    ):
        change = add(verb.__name__, _jobs.on_each(verb), text, "feed")
        change.add_argument("ids", metavar="ID", nargs="+")
    failures = add("failures", _jobs.failures, "show why jobs failed, the latest first", "feed")
    failures.add_argument("ids", metavar="ID", nargs="*", help="these only, with the traceback")
    add("edit", _jobs.edit, "give a job another item", "feed", "id", "item")
    for change_all, text in (
        (_jobs.pause, "let nobody take anything from feeds"),
        (_jobs.resume, "let things be taken from feeds again"),
    ):
        paused = add(change_all.__name__, change_all, text)
        paused.add_argument("feeds", metavar="FEED", nargs="+")
    drain = add("drain", _jobs.drain, "remove all jobs that are available", "feed")
    drain.add_argument("--delayed", action="store_true", help="those that are delayed, too")
    result = add("result", _jobs.result, "show a job's result, once there is one", "feed", "id")
    for sub in (get, result):
        sub.add_argument("--timeout", help="wait no longer", default=0, **seconds)
    maintain = add("maintain", _jobs.maintain, "put right what others left behind")
    maintain.add_argument("feeds", metavar="FEED", nargs="*", help="none: all that need it")
    json += [failures, get, jobs, result, maintain]
