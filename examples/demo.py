"""Live events from a real file, within seconds.

::

    python examples/demo.py

(or ``make demo``, which creates the virtual environment first).  It starts a private
redis-server, imports a copy of ``news.atom`` into a feed, edits one entry of the copy, removes
another, and finally deletes the feed.  It prints the events as they arrive from Redis.
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
This demo imports a copy of {source} into a feed, and keeps the feed in step with it.
Then it changes the copy, and finally it deletes the feed. Each line with a time is an
event that arrived from Redis, at {url}
"""
INTERVAL = 0.5  # seconds between two checks of the file
PATIENCE = 30.0  # seconds to wait for an event that should arrive at once


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        if await thoonk.feed_exists(FEED):
            raise SystemExit(f"error: a feed {FEED!r} exists, and this demo would delete it")
        print(INTRODUCTION.format(source=SOURCE.name, url=thoonk.url))
        screen = Screen(await thoonk.subscribe(FEED), reactor)
        feed = await open_feed(thoonk, FEED, max_length=100, serializer="json")
        try:
            await screen.show("create")
            with tempfile.TemporaryDirectory() as folder:
                await play(feed, screen, Path(folder, SOURCE.name), reactor)
        finally:
            with suppress(ConnectionLost):  # on Ctrl-C a private server may have ended first
                await feed.delete_feed()
        await screen.show("delete")
    print("Done: the feed is deleted.")


async def play(feed: Feed, screen: Screen, path: Path, reactor: Any) -> None:
    """Change the file, and show the events that the changes cause."""
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
        """Print events as they arrive, until *count* of a kind have arrived."""
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
    """Change the file atomically: a new file replaces the old one."""
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
