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
from typing import Any

from example_tools import connected, parser, run, together

from txthoonk import Subscription, Thoonk

FEED = "pubsub-example"


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        if await thoonk.feed_exists(FEED):
            raise SystemExit(f"there is a feed {FEED!r} already, which this would delete")
        subscription = await thoonk.subscribe(FEED)  # which need not exist yet
        await together(change(thoonk), show(subscription))


async def change(thoonk: Thoonk) -> None:
    """Make every kind of event happen."""
    feed = await thoonk.feed(FEED)  # it is not there, so this creates it
    await feed.set_config({"max_length": 3, "title": "An example"})

    await feed.publish("an item that gets a random id")
    await feed.publish("an item with an id of our own", "note")
    await feed.publish("the same id again edits the item", "note")
    await feed.retract("note")

    # With the first one these are four, and the feed keeps three: the oldest goes.
    for number in (1, 2, 3):
        await feed.publish(f"item number {number}", str(number))

    await feed.delete_feed()


async def show(subscription: Subscription) -> None:
    """Print the events, in the order of the changes, up to the end of the feed."""
    async for event in subscription:
        print(f"{event.kind:8}", *filter(None, (event.id or event.feed, event.item)), flush=True)
        if event.kind == "delete":
            break


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
