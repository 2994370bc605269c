"""The commands of ``thoonk`` for queues and jobs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attr
from twisted.internet.defer import Deferred

from txthoonk.cli._common import (
    Command,
    CommandError,
    existing,
    item_from,
    load_lines,
    publisher,
)
from txthoonk.cli._output import OutputError, check_output, flush, show, show_json
from txthoonk.connections._url import Target
from txthoonk.errors import FeedError, InvalidInput
from txthoonk.types import Job, PythonQueue, Queue

__all__ = [
    "drain",
    "edit",
    "failures",
    "finish",
    "get",
    "jobs",
    "maintain",
    "on_each",
    "pause",
    "put",
    "result",
    "resume",
]

_MAINTAINED = {"queue": Queue, "pyqueue": PythonQueue, "job": Job}
_STATES = ("available", "claimed", "stalled", "delayed")


async def put(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Put an item, or each line of standard input."""
    async with publisher(reactor, target) as pub:
        feed: Queue | Job = await existing(pub, options.feed, Queue, Job, stored=False)
        priority = feed.HIGH if options.high else feed.NORMAL
        if options.item is None:
            if options.id is not None or options.delay is not None:
                raise CommandError(
                    "--id and --delay go with an ITEM: lines from standard input get ids of "
                    "their own, and are available at once"
                )
            await load_lines(reactor, feed, lambda data: feed.put(data, priority), "put")
            return
        data = item_from(feed, os.fsencode(options.item))
        if isinstance(feed, Job):
            show(await feed.put(data, priority, options.id, delay=options.delay))
        elif options.id is None and options.delay is None:
            show(await feed.put(data, priority))
        else:
            raise CommandError(f"feed {options.feed!r} is a queue: --id and --delay are for jobs")


async def get(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Take an item, or claim a job; what cannot be printed goes back to the front."""
    async with publisher(reactor, target) as pub:
        feed: Queue | Job = await existing(pub, options.feed, Queue, Job)
        check_output()
        got: Any = await feed.get(options.timeout)
        try:
            _show_taken(feed, got, options.json)
            flush()
        except OutputError:
            await (feed.release(got) if isinstance(feed, Job) else feed.put(got, feed.HIGH))
            raise


def _show_taken(feed: Queue | Job, got: Any, as_json: bool) -> None:
    fields, line = {"item": got}, got
    if isinstance(feed, Job):
        fields, line = got._asdict(), f"{got.id}\t{got.item}"
    if as_json:
        show_json(**fields)
    else:
        show(line)


async def jobs(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show how many jobs there are in each state, and their ids."""
    async with publisher(reactor, target) as pub:
        job: Job = await existing(pub, options.feed, Job)
        counts = await job.stats()
        ids = {state: await job.get_ids(state) for state in _STATES}
        if options.json:
            show_json(**counts, ids=ids)
            return
        for name, count in counts.items():
            show(f"{name:10}{count}")
        for state in _STATES:
            for id_ in ids[state]:
                show(f"{state}\t{id_}")


async def failures(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show the last failures of jobs, the latest first."""
    async with publisher(reactor, target) as pub:
        job: Job = await existing(pub, options.feed, Job)
        found = await job.get_failures()
        if options.ids:
            found = [failure for failure in found if failure.id in options.ids]
        for failure in found:
            if options.json:
                show_json(**attr.asdict(failure))
                continue
            time = datetime.fromtimestamp(failure.time, UTC)
            show(f"{failure.id}\t{failure.count}\t{time:%Y-%m-%d %H:%M:%S}Z")
            for line in f"{failure.type}: {failure.message}".splitlines():
                show(f"  {line}")
            if options.ids:
                for line in failure.traceback.splitlines():
                    show(f"    {line}")


async def edit(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Give a job another item."""
    async with publisher(reactor, target) as pub:
        job: Job = await existing(pub, options.feed, Job, stored=False)
        await job.edit(options.id, item_from(job, os.fsencode(options.item)))


async def pause(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Let nobody take anything from feeds."""
    await _each_feed(reactor, target, options.feeds, lambda feed: feed.pause())


async def resume(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Let things be taken from feeds again."""
    await _each_feed(reactor, target, options.feeds, lambda feed: feed.resume())


async def _each_feed(
    reactor: Any, target: Target, names: list[str], change: Callable[[Any], Deferred[None]]
) -> None:
    async with publisher(reactor, target) as pub:
        for name in names:
            feed: Queue | Job = await existing(pub, name, Queue, Job)
            await change(feed)


async def drain(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Remove the jobs that are available."""
    async with publisher(reactor, target) as pub:
        job: Job = await existing(pub, options.feed, Job)
        show(str(await job.drain(delayed=options.delayed)))


async def finish(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Finish a claimed job."""
    async with publisher(reactor, target) as pub:
        job: Job = await existing(pub, options.feed, Job, stored=False)
        if options.result is None:
            if options.keep is not None:
                raise CommandError("--keep goes with a RESULT")
            await job.finish(options.id)
        else:
            data = item_from(job, os.fsencode(options.result))
            await job.finish(options.id, data, options.keep)


async def result(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show the result of a job, once it is finished."""
    async with publisher(reactor, target) as pub:
        job: Job = await existing(pub, options.feed, Job)
        content, found = await job.get_result(options.id, options.timeout)
        if options.json:
            show_json(id=options.id, item=content, result=found)
        else:
            show(found)


def on_each(verb: Callable[[Job, str], Deferred[None]]) -> Command:
    """Make the command that does something to each of some jobs."""

    async def command(reactor: Any, target: Target, options: argparse.Namespace) -> None:
        async with publisher(reactor, target) as pub:
            job: Job = await existing(pub, options.feed, Job)
            errors = []
            for id_ in options.ids:
                try:
                    await verb(job, id_)
                except (FeedError, InvalidInput) as error:
                    errors.append(str(error))
            if errors:
                raise CommandError("; ".join(errors))

    return command


async def maintain(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Do the maintenance of some feeds, or of all that need it."""
    async with publisher(reactor, target) as pub:
        for name in options.feeds or sorted(await pub.get_feed_names()):
            type_ = (await pub.get_config(name)).get("type", "feed")
            if type_ in _MAINTAINED:
                counts = await _MAINTAINED[type_](pub, name).maintenance()
                done = [f"{kind} {count}" for kind, count in counts.items() if count]
                if options.json:
                    show_json(feed=name, **counts)
                else:
                    show(f"{name}: {', '.join(done) or 'nothing to do'}")
            elif options.feeds:
                raise CommandError(
                    f"feed {name!r} is of type {type_!r}, which needs no maintenance"
                )
