"""Publish and subscribe: every event that a feed has.

::

    python examples/pubsub.py

You need no Redis: it starts a private one.  To use your own, pass
``--url redis://localhost:6379/0``.

Each line that it prints is an event that arrived from Redis.  It exits after the last one, the
deletion of the feed.
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
            raise SystemExit(f"error: a feed {FEED!r} exists, and this example would delete it")
        subscription = await thoonk.subscribe(FEED)  # the feed does not have to exist yet
        await together(change(thoonk), show(subscription))


async def change(thoonk: Thoonk) -> None:
    """Cause every kind of event."""
    feed = await thoonk.feed(FEED)  # the feed does not exist, so this creates it
    await feed.set_config({"max_length": 3, "title": "An example"})

    await feed.publish("an item that gets a random id")
    await feed.publish("an item with an id of our own", "note")
    await feed.publish("the same id again edits the item", "note")
    await feed.retract("note")

    # With the first item there are four, but the feed keeps three: it drops the oldest.
    for number in (1, 2, 3):
        await feed.publish(f"item number {number}", str(number))

    await feed.delete_feed()


async def show(subscription: Subscription) -> None:
    """Print the events, in the order of the changes, until the feed is deleted."""
    async for event in subscription:
        print(f"{event.kind:8}", *filter(None, (event.id or event.feed, event.item)), flush=True)
        if event.kind == "delete":
            break


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
