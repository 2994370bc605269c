"""Keep a feed in step with an Atom or RSS file.

::

    python examples/news_feed.py examples/news.atom

It imports the file into the feed "news".  Whenever the file changes, it publishes new entries,
edits changed ones and retracts removed ones, until Ctrl-C.  The feed has only the newest entries
of the file (``--max-length``).  You need no Redis: it starts a private one, and its first line
says how to watch the feed.  To import into your own Redis once, and exit:

::

    python examples/news_feed.py --url redis://localhost:6379/0 --once examples/news.atom

It does not publish entries again that are already in the feed, not even after a restart.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax import SAXException

import feedparser
from example_tools import connected, open_feed, parser, run
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk import Feed, ThoonkError

log = Logger(namespace="news_feed")

Item = dict[str, str]  # title, link, summary, updated


class NotAFeed(Exception):
    """The file is not valid Atom or RSS; it may be incomplete."""


def read_entries(data: bytes) -> dict[str, Item]:
    """Parse a file; return its entries as id -> item, oldest first."""
    document = feedparser.parse(BytesIO(data))
    problem = document.get("bozo_exception")
    # A truncated file lacks entries, and importing it would retract them.  Other problems, such
    # as a wrong charset, do no harm.
    if isinstance(problem, SAXException) or (problem and not document.entries):
        raise NotAFeed(f"not well-formed: {problem}")
    if not document.get("version"):
        raise NotAFeed("neither Atom nor RSS")
    # For entries without a date, assume the usual order, newest first.
    entries = sorted(reversed(document.entries), key=_date)
    named = [(entry.get("id") or entry.get("link"), _item(entry)) for entry in entries]
    return {id_: item for id_, item in named if id_}


def _date(entry: Any) -> tuple[int, ...]:
    field = "updated_parsed" if "updated_parsed" in entry else "published_parsed"
    return tuple(entry.get(field) or ())


def _item(entry: Any) -> Item:
    updated = entry.get("updated" if "updated" in entry else "published", "")
    fields = {field: entry.get(field, "") for field in ("title", "link", "summary")}
    return {**fields, "updated": updated}


class NewsFeed:
    """Keeps a feed in step with the newest entries of a file, up to its ``max_length``."""

    def __init__(self, feed: Feed, path: Path) -> None:
        self.feed = feed
        self.path = path
        self._seen: tuple[int, ...] | None = None

    async def watch(self, interval: float, clock: Any) -> None:
        """Check the file now, and *interval* seconds after each check, until cancelled."""
        while True:
            await self.look()
            await deferLater(clock, interval)

    async def look(self) -> None:
        """Update the feed if the file has changed since the last check; log errors."""
        signature = self._signature()
        if signature == self._seen:
            return
        try:
            await self.update()
        except ThoonkError as error:
            self._seen = None  # so that the next check tries again
            log.warn("{path}: not imported: {error}", path=self.path, error=error)
        except (OSError, NotAFeed) as error:
            self._seen = signature  # the next check does not log the same error again
            log.warn("{path}: the feed was not changed: {error}", path=self.path, error=error)
        else:
            self._seen = signature

    def _signature(self) -> tuple[int, ...]:
        """Identify the version of the file without reading it."""
        try:
            stat = self.path.stat()
        except OSError:
            return ()
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    async def update(self) -> None:
        """Update the feed from the file; fails if either cannot be read."""
        entries = read_entries(self.path.read_bytes())
        size = int((await self.feed.get_config()).get("max_length", 0))
        newest = dict(list(entries.items())[-size:])  # [-0:] takes all
        stored = await self.feed.get_all()
        # Retract first: in a full feed each publish drops the oldest item, which may be one
        # that has to stay.
        for id_ in stored:
            if id_ not in newest:
                await self.feed.retract(id_)
                log.info("retracted {id}", id=id_)
        for id_, item in newest.items():
            if stored.get(id_) != item:
                await self.feed.publish(item, id_)  # edits if the id is known
                verb = "edited" if id_ in stored else "published"
                log.info("{verb} {id}: {title}", verb=verb, id=id_, title=item["title"])


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        print(f"watch it with: thoonk --url '{thoonk.url}' watch {options.feed}", flush=True)
        config = {"max_length": options.max_length, "serializer": "json"}
        news = NewsFeed(await open_feed(thoonk, options.feed, **config), options.file)
        if not options.once:
            await news.watch(options.interval, reactor)
        try:
            await news.update()
        except NotAFeed as error:
            raise SystemExit(f"error: {options.file}: {error}") from None


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("file", type=Path, help="an Atom or RSS file")
    made.add_argument("--feed", default="news", help="the feed's name (default: news)")
    made.add_argument("--max-length", type=int, default=100, help="newest entries to keep, 0: all")
    made.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")
    made.add_argument("--once", action="store_true", help="import the file and exit")
    return made


if __name__ == "__main__":
    run(main, arguments().parse_args(), talkative=("news_feed",))
