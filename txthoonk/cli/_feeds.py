"""The commands of ``thoonk`` for all feeds, and for those whose items stay."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from txthoonk.cli._common import (
    CommandError,
    existing,
    item_from,
    load_lines,
    publisher,
)
from txthoonk.cli._output import show, show_json
from txthoonk.cli._watch import as_json
from txthoonk.client import ThoonkPub
from txthoonk.connections._url import Target
from txthoonk.errors import FeedDoesNotExist
from txthoonk.types import Feed, Job, Queue, SortedFeed
from txthoonk.types._base import BaseFeed

__all__ = [
    "config",
    "create",
    "delete",
    "feeds",
    "history",
    "item",
    "items",
    "publish",
    "retract",
]


async def feeds(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """List the names."""
    async with publisher(reactor, target) as pub:
        for name in sorted(await pub.get_feed_names()):
            show(name)


async def create(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Create a feed."""
    async with publisher(reactor, target) as pub:
        await pub.create_feed(options.feed, {"type": "feed", **_settings(options.settings)})


async def delete(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Delete a feed."""
    async with publisher(reactor, target) as pub:
        await pub.delete_feed(options.feed)


async def config(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show or change a configuration."""
    async with publisher(reactor, target) as pub:
        if options.settings:
            await pub.set_config(options.feed, _settings(options.settings))
            return
        stored = await pub.get_config(options.feed)
        if options.json:
            show(json.dumps(stored))
        else:
            for field, value in sorted(stored.items()):
                show(f"{field}={value}")


def _settings(words: list[str]) -> dict[str, str]:
    settings = dict(word.partition("=")[::2] for word in words if "=" in word)
    if len(settings) < len(words):
        raise CommandError(f"settings are given once each, as NAME=VALUE: {' '.join(words)}")
    return settings


async def publish(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Publish an item, or each line of standard input."""
    async with publisher(reactor, target) as pub:
        feed = await _to_publish(pub, options.feed)
        if options.item is None:
            if options.id is not None:
                raise CommandError(
                    "--id goes with an ITEM: lines from standard input get ids of their own"
                )
            await load_lines(reactor, feed, feed.publish, "published")
            return
        data = item_from(feed, os.fsencode(options.item))
        if isinstance(feed, Feed):
            show(await feed.publish(data, options.id))
        elif options.id is None:
            show(await feed.publish(data))
        else:
            await feed.edit(options.id, data)
            show(options.id)


async def _to_publish(pub: ThoonkPub, name: str) -> Feed | SortedFeed:
    try:
        return await existing(pub, name, Feed, SortedFeed, stored=False)
    except FeedDoesNotExist:
        return await pub.feed(name)


async def items(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show all items in their order."""
    async with publisher(reactor, target) as pub:
        feed: Feed | SortedFeed = await existing(pub, options.feed, Feed, SortedFeed)
        for id_, content in (await feed.get_all()).items():
            if options.json:
                show_json(id=id_, item=content)
            else:
                show(f"{id_}\t{content}")


async def item(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show one item."""
    async with publisher(reactor, target) as pub:
        feed = await existing(pub, options.feed, Feed, SortedFeed, Queue, Job)
        content = await feed.get_item(options.id)
        if content is None:
            raise CommandError(f"feed {options.feed!r} has no item {options.id!r}")
        show(content)


async def history(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show the events that a feed keeps, each with the cursor to go on from."""
    async with publisher(reactor, target) as pub:
        feed: BaseFeed = await existing(pub, options.feed, Feed, SortedFeed, Queue, Job)
        for event in await feed.get_history(options.since, options.count):
            if options.json:
                show(as_json(event))
            else:
                details = (event.cursor, event.kind, event.id, event.position, event.item)
                show("\t".join([detail for detail in details if detail is not None]))


async def retract(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Remove items."""
    async with publisher(reactor, target) as pub:
        feed: Feed | SortedFeed | Job = await existing(pub, options.feed, Feed, SortedFeed, Job)
        missing = [id_ for id_ in options.ids if not await feed.retract(id_)]
        if missing:
            raise CommandError(
                f"feed {options.feed!r} has no item {', '.join(map(repr, missing))}"
            )
