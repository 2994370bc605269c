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
import json
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from example_tools import RedisAt, open_feed, parser, run
from news_feed import NewsFeed, read_entries
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import TimeoutError

from txthoonk import ConnectionLost, Feed, ThoonkSub

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
    async with RedisAt(options.url, reactor) as redis:
        pub = await redis.publisher()
        sub = await redis.subscriber()
        if await pub.feed_exists(FEED):
            raise SystemExit(f"there is a feed {FEED!r} already, which this would delete")
        print(INTRODUCTION.format(source=SOURCE.name, url=redis.url))
        screen = Screen(reactor)
        await subscribe(sub, screen)
        feed = await open_feed(pub, FEED, max_length=100, serializer="json")
        try:
            with tempfile.TemporaryDirectory() as folder:
                await play(feed, screen, Path(folder, SOURCE.name), reactor)
        finally:
            with suppress(ConnectionLost):  # on Ctrl-C a private server may be gone before us
                await feed.delete_feed()
        await screen.seen("delete", 1)
    print("That was all: the feed is deleted again.")


async def play(feed: Feed, screen: Screen, path: Path, reactor: Any) -> None:
    """Let things happen to the file, and wait for the events that they cause."""
    shutil.copy(SOURCE, path)
    entries = read_entries(path.read_bytes())
    watching = Deferred.fromCoroutine(NewsFeed(feed, path).watch(INTERVAL, reactor))
    watching.addErrback(lambda failure: failure.trap(CancelledError))
    try:
        print(f"Importing {path} ...")
        await screen.seen("publish", len(entries))
        print("Editing one entry of the file ...")
        rewrite(path, edit_one)
        await screen.seen("edit", 1)
        print("Removing another one ...")
        rewrite(path, remove_one)
        await screen.seen("retract", 1)
    finally:
        watching.cancel()


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


class Screen:
    """Prints events, and tells when enough of a kind have come."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._counts: Counter[str] = Counter()
        self._waiting: list[tuple[str, int, Deferred[None]]] = []

    def seen(self, kind: str, count: int) -> Deferred[None]:
        """Fire once *count* events of that kind were seen since the start."""
        waiter: Deferred[None] = Deferred()
        waiter.addTimeout(PATIENCE, self._reactor, partial(_missing, kind))
        self._waiting.append((kind, count, waiter))
        self._tell()
        return waiter

    def show(self, kind: str, *details: str) -> None:
        words = (f"{datetime.now():%H:%M:%S.%f}", f"{kind:8}", *filter(None, details))
        print("  " + "  ".join(words), flush=True)
        self._counts[kind] += 1
        self._tell()

    def _tell(self) -> None:
        for waiting in list(self._waiting):
            kind, count, waiter = waiting
            if self._counts[kind] >= count:
                self._waiting.remove(waiting)
                waiter.callback(None)


def _missing(kind: str, *_: object) -> None:
    raise TimeoutError(f"no {kind} event within {PATIENCE:g} seconds")


async def subscribe(sub: ThoonkSub, screen: Screen) -> None:
    def feed_event(kind: str, name: str, *_: str) -> None:
        if name == FEED:  # these channels tell of every feed in the database
            screen.show(kind, name)

    def item_event(kind: str, id_: str, item: str = "{}") -> None:
        # A handler gets the item as it is on the wire, in this feed JSON.
        screen.show(kind, id_, json.loads(item).get("title", ""))

    for kind in ("create", "config", "delete"):
        await sub.register_handler(kind, partial(feed_event, kind))
    for kind in ("publish", "edit", "retract"):
        await sub.register_handler(f"feed.{kind}:{FEED}", partial(item_event, kind))


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
