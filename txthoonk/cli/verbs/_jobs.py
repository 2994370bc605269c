"""The commands for queues and job feeds."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import attr
import click
from twisted.internet.defer import Deferred, FirstError, gatherResults

from txthoonk.cli._command import Session, command, id_option, json_option, seconds_option
from txthoonk.cli._common import CommandError, existing, for_each, item_from, load_lines
from txthoonk.cli._output import OutputError, check_output, flush, show, show_json, show_rows
from txthoonk.client import ThoonkPub
from txthoonk.errors import (
    FeedDoesNotExist,
    FeedError,
    InvalidInput,
)
from txthoonk.types import Job, JobFailure, PythonQueue, Queue

__all__ = ["COMMANDS"]

_MAINTAINED = {"queue": Queue, "pyqueue": PythonQueue, "job": Job}
_STATES = ("available", "claimed", "stalled", "delayed")

timeout_option = seconds_option(
    "--timeout", default=0.0, help="How long to wait.  [default: without end]"
)
ids_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@command(
    "thoonk put mail 'write to Ann'",
    "thoonk put mail 'write to Bob' --id bob --delay 3600",
    "thoonk put mail 'code 1234' --expires 300 --max-failures 3 --time-limit 20",
    "thoonk put mail < letters.txt",
)
@click.argument("feed")
@click.argument("item", required=False)
@click.option("--high", is_flag=True, help="Put it before all others.")
@id_option(help="The id of the job; not for queues.")
@seconds_option("--delay", help="Make the job available only after this time; not for queues.")
@seconds_option("--expires", help="Stall the job if it is claimed only after this time.")
@click.option(
    "--max-failures", type=int, metavar="N", help="Stall the job when it has failed N times."
)
@seconds_option("--time-limit", help="How long a handler may take for the job.")
async def put(
    session: Session,
    feed: str,
    item: str | None,
    high: bool,
    id_: str | None,
    delay: float | None,
    expires: float | None,
    max_failures: int | None,
    time_limit: float | None,
) -> None:
    """Put an item or job, or each line of standard input.

    Prints the id of the item.
    """
    given = {"expires": expires, "max_failures": max_failures, "time_limit": time_limit}
    options: Any = {name: value for name, value in given.items() if value is not None}
    async with session.publisher() as pub:
        target: Queue | Job = await existing(pub, feed, Queue, Job, stored=False)
        priority = target.HIGH if high else target.NORMAL
        if options and not isinstance(target, Job):
            names = " and ".join(f"--{name.replace('_', '-')}" for name in options)
            raise CommandError(f"feed {feed!r} is a queue: {names} go with jobs")
        if item is None:
            if id_ is not None or delay is not None:
                raise CommandError(
                    "--id and --delay go with an ITEM: lines from standard input get ids of "
                    "their own, and are available at once"
                )
            await load_lines(
                session.reactor, target, lambda data: target.put(data, priority, **options), "put"
            )
            return
        data = item_from(target, os.fsencode(item))
        if isinstance(target, Job):
            show(await target.put(data, priority, id_, delay=delay, **options))
        elif id_ is None and delay is None:
            show(await target.put(data, priority))
        else:
            raise CommandError(f"feed {feed!r} is a queue: --id and --delay are for jobs")


@command("thoonk get mail", "thoonk get mail --timeout 10 --json")
@click.argument("feed")
@timeout_option
@json_option
async def get(session: Session, feed: str, timeout: float, as_json: bool) -> None:
    """Take the next item of a queue, or claim the next job.

    Waits until there is one. Prints the item, after the id if it is a job. An item that cannot be
    printed goes back to the front of the queue.
    """
    async with session.publisher() as pub:
        source: Queue | Job = await existing(pub, feed, Queue, Job)
        check_output()
        got: Any = await source.get(timeout)
        try:
            _show_taken(source, got, as_json)
            flush()
        except OutputError:
            await (
                source.release(got) if isinstance(source, Job) else source.put(got, source.HIGH)
            )
            raise


def _show_taken(source: Queue | Job, got: Any, as_json: bool) -> None:
    fields, line = {"item": got}, got
    if isinstance(source, Job):
        fields, line = got._asdict(), f"{got.id}\t{got.item}"
    if as_json:
        show_json(**fields)
    else:
        show(line)


@command("thoonk jobs mail", "thoonk jobs mail --json")
@click.argument("feed")
@json_option
async def jobs(session: Session, feed: str, as_json: bool) -> None:
    """Count the jobs of a feed, and show their ids by state.

    A job that has failed is shown with its last failure.
    """
    async with session.publisher() as pub:
        job: Job = await existing(pub, feed, Job)
        counts = await job.stats()
        ids = {state: await job.get_ids(state) for state in _STATES}
        if as_json:
            show_json(**counts, ids=ids)
            return
        for name, count in counts.items():
            show(f"{name:10}{count}")
        reasons = {one.id: _reason(one) for one in await job.get_failures()}
        show_rows(
            [
                [state, id_, *filter(None, [reasons.get(id_)])]
                for state in _STATES
                for id_ in ids[state]
            ],
            marked=0,
        )


def _reason(failure: JobFailure) -> str:
    """Give the first line of a failure."""
    return f"{failure.type}: {failure.message}".splitlines()[0]


@command("thoonk finish mail bob", "thoonk finish mail bob sent --keep 3600")
@click.argument("feed")
@click.argument("id_", metavar="ID")
@click.argument("result", required=False)
@seconds_option("--keep", help="How long to keep the result.")
async def finish(
    session: Session, feed: str, id_: str, result: str | None, keep: float | None
) -> None:
    """Finish a claimed job, with a result if you give one."""
    async with session.publisher() as pub:
        job: Job = await existing(pub, feed, Job, stored=False)
        if result is None:
            if keep is not None:
                raise CommandError("--keep goes with a RESULT")
            await job.finish(id_)
        else:
            await job.finish(id_, item_from(job, os.fsencode(result)), keep)


async def _on_each(
    session: Session, feed: str, ids: tuple[str, ...], verb: Callable[[Job, str], Deferred[None]]
) -> None:
    """Do something to each of some jobs, and report those that fail at the end."""
    async with session.publisher() as pub:
        job: Job = await existing(pub, feed, Job)
        errors = []
        for id_ in ids:
            try:
                await verb(job, id_)
            except (FeedError, InvalidInput) as error:
                errors.append(str(error))
        if errors:
            raise CommandError("; ".join(errors))


@command("thoonk cancel mail bob")
@click.argument("feed")
@ids_argument
async def cancel(session: Session, feed: str, ids: tuple[str, ...]) -> None:
    """Give claimed jobs back; each counts as failed once more."""
    await _on_each(session, feed, ids, Job.cancel)


@command("thoonk stall mail bob")
@click.argument("feed")
@ids_argument
async def stall(session: Session, feed: str, ids: tuple[str, ...]) -> None:
    """Set claimed jobs aside, so that no worker gets them."""
    await _on_each(session, feed, ids, Job.stall)


@command("thoonk retry mail bob")
@click.argument("feed")
@ids_argument
async def retry(session: Session, feed: str, ids: tuple[str, ...]) -> None:
    """Make stalled jobs available again."""
    await _on_each(session, feed, ids, Job.retry)


@command("thoonk failures mail", "thoonk failures mail bob")
@click.argument("feed")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@json_option
async def failures(session: Session, feed: str, ids: tuple[str, ...], as_json: bool) -> None:
    """Show why jobs failed, the latest failure first.

    With ids, show only these jobs, with their tracebacks.
    """
    async with session.publisher() as pub:
        job: Job = await existing(pub, feed, Job)
        found = await job.get_failures()
        if ids:
            found = [failure for failure in found if failure.id in ids]
        for failure in found:
            if as_json:
                show_json(**attr.asdict(failure))
                continue
            time = datetime.fromtimestamp(failure.time, UTC)
            show(f"{failure.id}\t{failure.count}\t{time:%Y-%m-%d %H:%M:%S}Z")
            for line in f"{failure.type}: {failure.message}".splitlines():
                show(f"  {line}")
            if ids:
                for line in failure.traceback.splitlines():
                    show(f"    {line}")
        shown = {failure.id for failure in found}
        if missing := [id_ for id_ in ids if id_ not in shown]:
            named = ", ".join(map(repr, missing))
            raise CommandError(f"feed {feed!r} keeps no failure of job {named}")


async def _on_each_feed(
    session: Session, names: tuple[str, ...], change: Callable[[Any], Deferred[None]]
) -> None:
    async with session.publisher() as pub:
        for name in names:
            feed: Queue | Job = await existing(pub, name, Queue, Job)
            await change(feed)


feeds_argument = click.argument("feeds", metavar="FEED...", nargs=-1, required=True)


@command("thoonk pause mail digests")
@feeds_argument
async def pause(session: Session, feeds: tuple[str, ...]) -> None:
    """Pause queues and job feeds: nothing can be taken from them."""
    await _on_each_feed(session, feeds, lambda feed: feed.pause())


@command("thoonk resume mail digests")
@feeds_argument
async def resume(session: Session, feeds: tuple[str, ...]) -> None:
    """Resume queues and job feeds that are paused."""
    await _on_each_feed(session, feeds, lambda feed: feed.resume())


@command("thoonk drain mail", "thoonk drain mail --delayed")
@click.argument("feed")
@click.option("--delayed", is_flag=True, help="Remove delayed jobs too.")
async def drain(session: Session, feed: str, delayed: bool) -> None:
    """Remove all available jobs, and print how many."""
    async with session.publisher() as pub:
        job: Job = await existing(pub, feed, Job)
        show(str(await job.drain(delayed=delayed)))


@command("thoonk result mail bob", "thoonk result mail bob --timeout 60 --json")
@click.argument("feed")
@click.argument("id_", metavar="ID")
@timeout_option
@json_option
async def result(session: Session, feed: str, id_: str, timeout: float, as_json: bool) -> None:
    """Show the result of a job; wait until it is finished.

    Fails if the job is stalled, and shows why.
    """
    async with session.publisher() as pub:
        job: Job = await existing(pub, feed, Job)
        content, found = await _result(job, id_, timeout)
        if as_json:
            show_json(id=id_, item=content, result=found)
        else:
            show(found)


async def _result(job: Job, id_: str, timeout: float) -> tuple[Any, Any]:
    """Wait for the item and the result of a job, or until it is stalled."""
    both: list[Deferred[Any]] = [job.get_result(id_, timeout), job.wait(id_, timeout)]
    try:
        found: tuple[Any, Any] = (await gatherResults(both, consumeErrors=True))[0]
    except FirstError as first:
        for one in both:
            one.cancel()
        raise cast(BaseException, first.subFailure.value) from None
    return found


@command("thoonk maintain", "thoonk maintain mail")
@click.argument("feeds", metavar="[FEED]...", nargs=-1)
@json_option
async def maintain(session: Session, feeds: tuple[str, ...], as_json: bool) -> None:
    """Repair what processes left unfinished in queues and jobs.

    Without names, repair all of them.
    """
    async with session.publisher() as pub:

        async def repair(name: str) -> None:
            try:
                counts = await _maintained(pub, name, wanted=bool(feeds))
            except FeedDoesNotExist:
                if feeds:
                    raise
                return  # it was deleted meanwhile
            if counts is None:
                return
            done = [f"{kind} {count}" for kind, count in counts.items() if count]
            if as_json:
                show_json(feed=name, **counts)
            else:
                show(f"{name}: {', '.join(done) or 'nothing to do'}")

        await for_each(feeds or sorted(await pub.get_feed_names()), repair, "maintained")


async def _maintained(pub: ThoonkPub, name: str, wanted: bool) -> dict[str, int] | None:
    """Repair one feed; return what was done, None if its type needs no maintenance.

    :param wanted: whether the user named it.
    """
    type_ = (await pub.get_config(name)).get("type", "feed")
    if type_ in _MAINTAINED:
        return await _MAINTAINED[type_](pub, name).maintenance()
    if wanted:
        raise CommandError(f"feed {name!r} is of type {type_!r}, which needs no maintenance")
    return None


COMMANDS = (
    *(put, get, jobs, finish, cancel, stall, retry, failures),
    *(pause, resume, drain, result, maintain),
)
