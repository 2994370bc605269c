"""The ``thoonk`` command: feeds from the shell."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NoReturn, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, react

from txthoonk import __version__
from txthoonk._deferring import deferring
from txthoonk._lines import LineLoad
from txthoonk._url import Target, parse_url
from txthoonk._watch import Watcher, as_json, as_text
from txthoonk.client import ThoonkPub, ThoonkPubFactory
from txthoonk.errors import FeedTypeMismatch, InvalidInput, ThoonkError
from txthoonk.events import Event
from txthoonk.testing import RedisServer
from txthoonk.types import Feed

__all__ = ["main"]

DEFAULT_URL = "redis://localhost:6379/0"
PROGRESS_INTERVAL = 0.2  # seconds between two updates of the progress display
INTERRUPTED = 130  # the exit status that shells expect after Ctrl-C

Command = Callable[[Any, Target, argparse.Namespace], Coroutine[Any, Any, None]]


class CommandError(Exception):
    """The command cannot do what it is asked to; the text is shown to the user."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 if all went well, else 1 (2: wrong usage).

    :param arguments: the words of the command line; None: those of the process.
    """
    options = _parser().parse_args(arguments)
    # Items may be any bytes: they leave as they are, unless a terminal shows them.
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    statuses: list[int] = []

    def run(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(_run(reactor, options))
        ended = running.addCallback(statuses.append)

        def stop() -> Deferred[None]:
            ended.cancel()
            return ended

        # A signal stops the reactor; the command ends in an orderly way before.
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        return ended

    try:
        react(run, [])
    except SystemExit as end:
        sys.exit(statuses[0] if statuses else end.code)
    sys.exit(1)  # react always exits


async def _run(reactor: Any, options: argparse.Namespace) -> int:
    """Run one command; its exit status."""
    try:
        async with _redis(options.url, reactor) as target:
            await options.command(reactor, target, options)
        sys.stdout.flush()
    except CancelledError:
        return 0 if options.command is _watch else INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it closes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ConnectError, DNSLookupError) as error:
        return _complain(
            f"cannot connect to {parse_url(options.url).text}: {error} "
            "(is Redis running? --url embedded:/folder needs none)"
        )
    except (CommandError, ThoonkError, OSError) as error:
        return _complain(str(error))
    return 0


def _complain(message: str) -> int:
    print("thoonk:", " ".join(message.split()), file=sys.stderr)
    return 1


@asynccontextmanager
async def _redis(url: str, reactor: Any) -> AsyncIterator[Target]:
    """Give the server that the URL names, started if it is an embedded one."""
    target = parse_url(url)
    if not target.embedded:
        yield target
        return
    async with RedisServer(target.path or None, reactor=reactor) as server:
        yield parse_url(server.url)


# -- the commands -----------------------------------------------------------


@asynccontextmanager
async def _publisher(reactor: Any, target: Target) -> AsyncIterator[ThoonkPub]:
    factory = ThoonkPubFactory(**target.credentials)
    pub = cast(ThoonkPub, await target.endpoint(reactor).connect(factory))
    try:
        yield pub
    finally:
        await pub.close()


async def _existing(pub: ThoonkPub, name: str) -> Feed:
    """Give an existing feed; its items as they are stored, whatever the serializer."""
    config = await pub.get_config(name)
    if config.get("type", "feed") != "feed":
        raise FeedTypeMismatch(f"feed {name!r} is of type {config['type']!r}, not 'feed'")
    return Feed(pub, name)


async def _feeds(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        for name in sorted(await pub.get_feed_names()):
            _show(name)


async def _create(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        await pub.create_feed(options.feed, {"type": "feed", **_settings(options.settings)})


async def _delete(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        await pub.delete_feed(options.feed)


async def _config(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        if options.settings:
            await pub.set_config(options.feed, _settings(options.settings))
            return
        config = await pub.get_config(options.feed)
        if options.json:
            _show(json.dumps(config))
        else:
            for field, value in sorted(config.items()):
                _show(f"{field}={value}")


def _settings(words: list[str]) -> dict[str, str]:
    settings = dict(word.partition("=")[::2] for word in words if "=" in word)
    if len(settings) < len(words):
        raise CommandError(f"settings are given once each, as NAME=VALUE: {' '.join(words)}")
    return settings


async def _publish(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        feed = await pub.feed(options.feed)
        if options.item is not None:
            _show(await feed.publish(_item(feed, os.fsencode(options.item)), options.id))
        elif options.id is not None:
            raise CommandError(
                "--id goes with an ITEM: lines from standard input get ids of their own"
            )
        else:
            await _publish_lines(reactor, feed)


async def _publish_lines(reactor: Any, feed: Feed) -> None:
    load = LineLoad(lambda line: _publish_line(feed, line), reactor)
    begin = time.monotonic()
    progress = LoopingCall(lambda: _show_progress(load.count, begin, end="\r"))
    if sys.stderr.isatty():
        progress.start(PROGRESS_INTERVAL)
    try:
        await load.run(sys.stdin.fileno())
    finally:
        if progress.running:
            progress.stop()
        _show_progress(load.count, begin, end="\n")


@deferring
def _publish_line(feed: Feed, line: bytes) -> Deferred[str]:
    return feed.publish(_item(feed, line))


def _item(feed: Feed, data: bytes) -> Any:
    """Read an item of a feed from the bytes that the user gave."""
    if feed.serializer != "json":
        return data
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidInput(
            f"{data!r} is not JSON, which feed {feed.name!r} takes: {error}"
        ) from None


def _show_progress(count: int, begin: float, end: str) -> None:
    seconds = time.monotonic() - begin
    text = (
        f"published {count:,} items in {seconds:.1f} s ({count / max(seconds, 1e-9):,.0f} items/s)"
    )
    print(text, end=end, file=sys.stderr, flush=True)


async def _items(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        feed = await _existing(pub, options.feed)
        for id_, item in (await feed.get_all()).items():
            _show(json.dumps({"id": id_, "item": item}) if options.json else f"{id_}\t{item}")


async def _item_command(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        feed = await _existing(pub, options.feed)
        item = await feed.get_item(options.id)
        if item is None:
            raise CommandError(f"feed {options.feed!r} has no item {options.id!r}")
        _show(item)


async def _retract(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    async with _publisher(reactor, target) as pub:
        feed = await _existing(pub, options.feed)
        missing = [id_ for id_ in options.ids if not await feed.retract(id_)]
        if missing:
            raise CommandError(
                f"feed {options.feed!r} has no item {', '.join(map(repr, missing))}"
            )


async def _watch(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    def show(event: Event) -> None:
        _show(as_json(event) if options.json else as_text(event, datetime.now()))
        sys.stdout.flush()

    def build() -> Watcher:
        return Watcher(options.patterns, show, **target.credentials)

    factory = Factory.forProtocol(build)
    watcher = cast(Watcher, await target.endpoint(reactor).connect(factory))
    watcher.ready.addCallback(
        lambda _: print(f"watching {' '.join(options.patterns)}", file=sys.stderr)
    )
    try:
        await watcher.ended
    finally:
        await watcher.close()


def _show(text: str) -> None:
    if sys.stdout.isatty():
        # What others stored must not steer the terminal.
        text = "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)
    print(text)


# -- the command line --------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="thoonk", description="Live feeds on Redis.")
    parser.add_argument("--version", action="version", version=f"txthoonk {__version__}")
    parser.add_argument(
        "--url",
        default=DEFAULT_URL,
        help="redis://[user:password@]host:port/db, unix:///socket?db=N, or embedded:/folder "
        f"for a private server that keeps its data there (default: {DEFAULT_URL})",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str, *words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        for word in words:
            sub.add_argument(word, metavar=word.upper())
        return sub

    add("feeds", _feeds, "list the names of all feeds")
    settings: dict[str, Any] = {"nargs": "*", "metavar": "NAME=VALUE"}
    add("create", _create, "create a feed", "feed").add_argument("settings", **settings)
    add("delete", _delete, "delete a feed with all that is in it", "feed")
    config = add("config", _config, "show or change a feed's configuration", "feed")
    config.add_argument("settings", **settings)
    publish = add("publish", _publish, "publish an item, or each line of standard input", "feed")
    publish.add_argument("item", metavar="ITEM", nargs="?")
    publish.add_argument("--id", help="the item's id: a known one replaces its item")
    items = add("items", _items, "show all items with their ids, oldest first", "feed")
    add("item", _item_command, "show one item", "feed", "id")
    retract = add("retract", _retract, "remove items", "feed")
    retract.add_argument("ids", metavar="ID", nargs="+")
    watch = add("watch", _watch, "show what happens to feeds, as it happens")
    watch.add_argument("patterns", metavar="FEED_OR_PATTERN", nargs="+")
    for sub in (config, items, watch):
        sub.add_argument("--json", action="store_true", help="print JSON, one value a line")
    return parser
