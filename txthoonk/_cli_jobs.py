"""The commands of ``thoonk`` for queues and jobs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk._cli_tools import (
    Command,
    CommandError,
    existing,
    item_from,
    load_lines,
    publisher,
    show,
    show_json,
)
from txthoonk._url import Target
from txthoonk.errors import FeedError, InvalidInput
from txthoonk.types import Job, PythonQueue, Queue

__all__ = ["finish", "get", "jobs", "maintain", "on_each", "put", "result"]

_MAINTAINED = {"queue": Queue, "pyqueue": PythonQueue, "job": Job}
_STATES = ("available", "claimed", "stalled")


async def put(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Put an item, or each line of standard input."""
    async with publisher(reactor, target) as pub:
        feed: Queue | Job = await existing(pub, options.feed, Queue, Job, stored=False)
        priority = feed.HIGH if options.high else feed.NORMAL
        if options.item is None:
            if options.id is not None:
                raise CommandError(
                    "--id goes with an ITEM: lines from standard input get ids of their own"
                )
            await load_lines(reactor, feed, lambda data: feed.put(data, priority), "put")
            return
        data = item_from(feed, os.fsencode(options.item))
        if isinstance(feed, Job):
            show(await feed.put(data, priority, options.id))
        elif options.id is None:
            show(await feed.put(data, priority))
        else:
            raise CommandError(f"feed {options.feed!r} is a queue: --id is for jobs")


async def get(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Take an item, or claim a job."""
    async with publisher(reactor, target) as pub:
        feed: Queue | Job = await existing(pub, options.feed, Queue, Job)
        got: Any = await feed.get(options.timeout)
        if isinstance(feed, Queue):
            if options.json:
                show_json(item=got)
            else:
                show(got)
        elif options.json:
            show_json(**got._asdict())
        else:
            show(f"{got.id}\t{got.item}")


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
