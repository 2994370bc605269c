"""Publish and subscribe: a walk through every event that a feed has.

::

    python examples/pubsub.py

It needs no Redis, because it starts one of its own.  To use yours:
``--url redis://localhost:6379/0``.

Each line that it prints is an event that came back from Redis.  Once the last one
was seen, that the feed is deleted, it exits.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from example_tools import RedisAt, parser, run
from twisted.internet.defer import Deferred

from txthoonk import Feed, ThoonkSub

FEED = "pubsub-example"


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with RedisAt(options.url, reactor) as redis:
        # A connection that subscribes can do nothing else, so there are two of them.
        pub = await redis.publisher()
        sub = await redis.subscriber()
        if await pub.feed_exists(FEED):
            raise SystemExit(f"there is a feed {FEED!r} already, which this would delete")

        deleted: Deferred[None] = Deferred()
        await watch_feeds(sub, deleted)
        feed = await pub.feed(FEED)  # it is not there, so this creates it
        await watch_items(sub, feed)
        await change(feed)

        # One subscriber gets its events in the order of the changes: this is the last.
        await deleted


async def watch_feeds(sub: ThoonkSub, deleted: Deferred[None]) -> None:
    """Print what happens to the feed as a whole."""

    def handler(kind: str, name: str, *_: str) -> None:
        if name == FEED:  # these channels tell of every feed in the database
            show(kind, name)
            if kind == "delete":
                deleted.callback(None)

    for kind in ("create", "config", "delete"):
        await sub.register_handler(kind, partial(handler, kind))


async def watch_items(sub: ThoonkSub, feed: Feed) -> None:
    """Print what happens to the items of the feed."""
    await sub.register_handler(feed.channel_publish, partial(show, "publish"))
    await sub.register_handler(feed.channel_edit, partial(show, "edit"))
    await sub.register_handler(feed.channel_retract, partial(show, "retract"))


async def change(feed: Feed) -> None:
    """Make every kind of event happen."""
    await feed.set_config({"max_length": 3, "title": "An example"})

    await feed.publish("an item that gets a random id")
    await feed.publish("an item with an id of our own", "note")
    await feed.publish("the same id again edits the item", "note")
    await feed.retract("note")

    # With the first one these are four, and the feed keeps three: the oldest goes.
    for number in (1, 2, 3):
        await feed.publish(f"item number {number}", str(number))

    await feed.delete_feed()


def show(kind: str, *details: str) -> None:
    print(f"{kind:8}", *details, flush=True)


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
