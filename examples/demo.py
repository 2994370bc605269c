"""Live events from a real file, within seconds.

::

    python examples/demo.py

(or ``make demo``, which makes the virtual environment for it).  It starts a private
redis-server, imports a copy of ``news.atom`` into a feed, edits one entry of the copy
and removes another one, and in the end deletes the feed.  What it prints are the events
that come back from Redis meanwhile, each as it arrives.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from example_tools import connected, open_feed, parser, run
from news_feed import NewsFeed, read_entries
from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from txthoonk import ConnectionLost, Event, Feed, Subscription

FEED = "news-demo"
SOURCE = Path(__file__).with_name("news.atom")
ATOM = "http://www.w3.org/2005/Atom"
INTRODUCTION = """\
A copy of {source} is imported into a feed and kept in step with it. Then the copy is
changed, and in the end the feed is deleted. Each line with a time is an event that came
back from Redis, at {url}
"""
INTERVAL = 0.5  # seconds between two looks at the file
PATIENCE = 30.0  # seconds to wait for an event that should come at once


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        if await thoonk.feed_exists(FEED):
            raise SystemExit(f"there is a feed {FEED!r} already, which this would delete")
        print(INTRODUCTION.format(source=SOURCE.name, url=thoonk.url))
        screen = Screen(await thoonk.subscribe(FEED), reactor)
        feed = await open_feed(thoonk, FEED, max_length=100, serializer="json")
        try:
            await screen.show("create")
            with tempfile.TemporaryDirectory() as folder:
                await play(feed, screen, Path(folder, SOURCE.name), reactor)
        finally:
            with suppress(ConnectionLost):  # on Ctrl-C a private server may be gone before us
                await feed.delete_feed()
        await screen.show("delete")
    print("That was all: the feed is deleted again.")


async def play(feed: Feed, screen: Screen, path: Path, reactor: Any) -> None:
    """Let things happen to the file, and show the events that they cause."""
    shutil.copy(SOURCE, path)
    entries = read_entries(path.read_bytes())
    watching = Deferred.fromCoroutine(NewsFeed(feed, path).watch(INTERVAL, reactor))
    watching.addErrback(lambda failure: failure.trap(CancelledError))
    try:
        print(f"Importing {path} ...")
        await screen.show("publish", len(entries))
        print("Editing one entry of the file ...")
        rewrite(path, edit_one)
        await screen.show("edit")
        print("Removing another one ...")
        rewrite(path, remove_one)
        await screen.show("retract")
    finally:
        watching.cancel()


class Screen:
    """Prints events."""

    def __init__(self, subscription: Subscription, reactor: Any) -> None:
        self._subscription = subscription
        self._reactor = reactor

    async def show(self, kind: str, count: int = 1) -> None:
        """Print the events that come, until there were *count* of that kind."""
        while count:
            try:
                event = await self._subscription.next().addTimeout(PATIENCE, self._reactor)
            except TimeoutError:
                raise SystemExit(f"error: no {kind} event within {PATIENCE:g} seconds") from None
            print_event(event)
            count -= event.kind == kind


def print_event(event: Event) -> None:
    words = [f"{datetime.now():%H:%M:%S.%f}", f"{event.kind:8}", event.id or event.feed]
    if event.item:
        words.append(event.item["title"])
    print("  " + "  ".join(words), flush=True)


def rewrite(path: Path, change: Callable[[ElementTree.Element], None]) -> None:
    """Change the file as a good program does: the new one takes the old one's place."""
    ElementTree.register_namespace("", ATOM)
    tree = ElementTree.parse(path)
    change(tree.getroot())
    new = path.with_suffix(".new")
    tree.write(new, encoding="utf-8", xml_declaration=True)
    new.replace(path)


def edit_one(root: ElementTree.Element) -> None:
    entry = root.findall(f"{{{ATOM}}}entry")[1]
    for field, text in (("title", "The old crane is down again"), ("updated", now())):
        element = entry.find(f"{{{ATOM}}}{field}")
        assert element is not None
        element.text = text


def remove_one(root: ElementTree.Element) -> None:
    root.remove(root.findall(f"{{{ATOM}}}entry")[-1])


def now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
