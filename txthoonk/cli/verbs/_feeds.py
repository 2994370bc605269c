"""The commands for all feeds, and for feeds and sorted feeds."""

from __future__ import annotations

import json
import os
from typing import Any

import click
from twisted.internet.defer import DeferredList

from txthoonk.cli._command import Session, command, id_option, json_option
from txthoonk.cli._common import CommandError, existing, item_from, load_lines
from txthoonk.cli._output import say, show, show_json, show_rows
from txthoonk.cli._settings_help import settings_help
from txthoonk.cli.verbs._watch import as_json as event_as_json
from txthoonk.client import ThoonkPub
from txthoonk.client._sources import source_names
from txthoonk.errors import FeedDoesNotExist
from txthoonk.events import Event
from txthoonk.types import Feed, Job, Queue, SortedFeed
from txthoonk.types._base import BaseFeed

__all__ = ["COMMANDS"]

force_option = click.option(
    "--force",
    is_flag=True,
    help="Store what is probably a mistake: a name close to that of a setting, a feed type that "
    "thoonk does not know, or a setting that feeds of the type do not have.",
)


@command("thoonk feeds", "thoonk feeds --url redis://redis.example.org/2", "thoonk feeds --json")
@json_option
async def feeds(session: Session, as_json: bool) -> None:
    """List the names of all feeds, with --json also their types."""
    async with session.publisher() as pub:
        sources = await source_names(pub.redis)
        if sources:
            say(
                f"thoonk: there are job feeds of thoonk.js 0.6 to 1.0, too: {', '.join(sources)} "
                "('thoonk import' takes over their jobs)"
            )
        names = sorted(await pub.get_feed_names())
        if not as_json:
            for name in names:
                show(name)
            return
        reads = [pub.get_config(name) for name in names]
        configs: list[tuple[bool, Any]] = await DeferredList(reads, consumeErrors=True)
        for name, (found, config) in zip(names, configs, strict=True):
            if found:
                show_json(feed=name, type=config.get("type", "feed"))
            elif config.check(FeedDoesNotExist) is None:  # it was not deleted meanwhile
                show_json(feed=name, type=None, error=config.getErrorMessage())


@command(
    "thoonk create news max_length=100 history=1000", "thoonk create mail type=job timeout=60"
)
@click.argument("feed")
@click.argument("settings", metavar="[NAME=VALUE]...", nargs=-1)
@force_option
async def create(session: Session, feed: str, settings: tuple[str, ...], force: bool) -> None:
    """Create a feed.

    Its type is feed, unless you give type=sorted_feed, type=queue or type=job.
    """
    async with session.publisher() as pub:
        await pub.create_feed(feed, _settings(settings), force=force)


create.epilog = f"\b\n{settings_help()}\n\n{create.epilog}"


@command("thoonk delete news")
@click.argument("feed")
async def delete(session: Session, feed: str) -> None:
    """Delete a feed and all its items."""
    async with session.publisher() as pub:
        await pub.delete_feed(feed)


@command("thoonk config news", "thoonk config news max_length=500")
@click.argument("feed")
@click.argument("settings", metavar="[NAME=VALUE]...", nargs=-1)
@force_option
@json_option
async def config(
    session: Session, feed: str, settings: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Show or change the configuration of a feed.

    'thoonk create --help' lists the settings.
    """
    async with session.publisher() as pub:
        if settings:
            await pub.set_config(feed, _settings(settings), force=force)
            return
        stored = await pub.get_config(feed)
        if as_json:
            show(json.dumps(stored))
        else:
            for field, value in sorted(stored.items()):
                show(f"{field}={value}")


def _settings(words: tuple[str, ...]) -> dict[str, str]:
    settings = dict(word.partition("=")[::2] for word in words if "=" in word)
    if len(settings) < len(words):
        raise CommandError(f"give each setting once, as NAME=VALUE: {' '.join(words)}")
    return settings


@command(
    "thoonk publish news hello",
    "thoonk publish news 'hello again' --id greeting",
    "tail -f access.log | thoonk publish requests",
)
@click.argument("feed")
@click.argument("item", required=False)
@id_option(help="Publish under this id. If the id exists, replace its item.")
async def publish(session: Session, feed: str, item: str | None, id_: str | None) -> None:
    """Publish an item, or each line of standard input.

    Prints the id of the item. Creates the feed if it does not exist.
    """
    async with session.publisher() as pub:
        target = await _to_publish(pub, feed)
        if item is None:
            if id_ is not None:
                raise CommandError(
                    "--id goes with an ITEM: lines from standard input get ids of their own"
                )
            await load_lines(session.reactor, target, target.publish, "published")
            return
        data = item_from(target, os.fsencode(item))
        if isinstance(target, Feed):
            show(await target.publish(data, id_))
        elif id_ is None:
            show(await target.publish(data))
        else:
            await target.edit(id_, data)
            show(id_)


async def _to_publish(pub: ThoonkPub, name: str) -> Feed | SortedFeed:
    try:
        return await existing(pub, name, Feed, SortedFeed, stored=False)
    except FeedDoesNotExist:
        return await pub.feed(name)


@command("thoonk items news", "thoonk items news --json")
@click.argument("feed")
@json_option
async def items(session: Session, feed: str, as_json: bool) -> None:
    """Show all items of a feed with their ids, in order."""
    async with session.publisher() as pub:
        source: Feed | SortedFeed = await existing(pub, feed, Feed, SortedFeed)
        found = await source.get_all()
        if not as_json:
            show_rows(found.items())
            return
        for id_, content in found.items():
            show_json(id=id_, item=content)


@command("thoonk item news greeting")
@click.argument("feed")
@click.argument("id_", metavar="ID")
async def item(session: Session, feed: str, id_: str) -> None:
    """Show one item of a feed."""
    async with session.publisher() as pub:
        source = await existing(pub, feed, Feed, SortedFeed, Queue, Job)
        content = await source.get_item(id_)
        if content is None:
            raise CommandError(f"feed {feed!r} has no item {id_!r}")
        show(content)


@command("thoonk history news --count 10", "thoonk history news --since 41 --json")
@click.argument("feed")
@click.option(
    "--since", metavar="CURSOR", help="Show only the events after this cursor or revision."
)
@click.option("--count", type=int, metavar="N", help="Show at most N events.")
@json_option
async def history(
    session: Session, feed: str, since: str | None, count: int | None, as_json: bool
) -> None:
    """Show the events that a feed keeps, each with its cursor.

    A feed keeps events if its setting history is not 0.
    """
    async with session.publisher() as pub:
        source: BaseFeed = await existing(pub, feed, Feed, SortedFeed, Queue, Job)
        events = await source.get_history(since, count)
        if not as_json:
            show_rows(map(_details, events), marked=1)
            return
        for event in events:
            show(event_as_json(event))


def _details(event: Event) -> list[str]:
    details = (event.cursor, event.kind, event.id, event.position, event.item)
    return [detail for detail in details if detail is not None]


@command("thoonk retract news greeting")
@click.argument("feed")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
async def retract(session: Session, feed: str, ids: tuple[str, ...]) -> None:
    """Remove items from a feed, or jobs from a job feed."""
    async with session.publisher() as pub:
        target: Feed | SortedFeed | Job = await existing(pub, feed, Feed, SortedFeed, Job)
        missing = [id_ for id_ in ids if not await target.retract(id_)]
        if missing:
            raise CommandError(f"feed {feed!r} has no item {', '.join(map(repr, missing))}")


COMMANDS = (feeds, create, delete, config, publish, items, item, history, retract)
