"""What the commands of ``thoonk`` share."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from txthoonk._support._deferreds import deferring
from txthoonk.cli._output import say
from txthoonk.cli._stdin import LineLoad
from txthoonk.client import ThoonkPub
from txthoonk.client._sources import is_source
from txthoonk.client._types import TYPES
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedTypeMismatch,
    InvalidInput,
    ThoonkError,
)
from txthoonk.types._base import BaseFeed
from txthoonk.wire._settings import setting_from

__all__ = ["CommandError", "existing", "for_each", "item_from", "load_lines"]

PROGRESS_INTERVAL = 0.2  # seconds between two updates of the progress display

AnyFeed = TypeVar("AnyFeed", bound=BaseFeed)


class CommandError(Exception):
    """The command cannot do what the user asked for; the text is shown to the user."""


async def existing(
    pub: ThoonkPub, name: str, *classes: type[AnyFeed], stored: bool = True
) -> AnyFeed:
    """Open a feed that exists and has one of these types.

    :param stored: whether to read its items as they are stored, without the serializer.
    :raises FeedDoesNotExist: if there is no feed of that name.
    :raises FeedTypeMismatch: if it has another type.
    :raises CommandError: if it is a job feed of thoonk.js 0.6 to 1.0.
    """
    try:
        config = await pub.get_config(name)
    except FeedDoesNotExist:
        if await is_source(pub.redis, name):
            raise CommandError(
                f"{name!r} is a job feed of thoonk.js 0.6 to 1.0: "
                "'thoonk import' takes over its jobs"
            ) from None
        raise
    type_ = config.get("type", "feed")
    cls = TYPES.get(type_)
    if cls not in classes:
        wanted = [word for word, cls in TYPES.items() if cls in classes]
        raise FeedTypeMismatch(f"feed {name!r} is of type {type_!r}, not {' or '.join(wanted)}")
    if stored:
        return cls(pub, name, follow=False)
    return cls(pub, name, setting_from(config, "serializer"))


async def for_each(
    names: Collection[str], act: Callable[[str], Awaitable[None]], done: str
) -> None:
    """Call *act* with each name; report the feeds for which it fails, and go on.

    :param done: what the others were, such as "maintained".
    :raises ConnectionLost: if the connection is lost.
    :raises CommandError: in the end, if it failed for a feed.
    """
    failed = 0
    for name in names:
        try:
            await act(name)
        except ConnectionLost:
            raise  # the next feed would fail, too
        except (CommandError, ThoonkError) as error:
            failed += 1
            say(f"thoonk: {name}: {error}")
    if failed:
        raise CommandError(f"{failed} of {len(names)} feeds could not be {done}")


def item_from(feed: BaseFeed, data: bytes) -> Any:
    """Make an item of a feed from the bytes that the user gave.

    :raises InvalidInput: if a feed of JSON gets something else.
    """
    if feed.serializer != "json":
        return data
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidInput(
            f"{data!r} is not JSON, which feed {feed.name!r} takes: {error}"
        ) from None


async def load_lines(
    reactor: Any, feed: BaseFeed, take: Callable[[Any], Deferred[Any]], done: str
) -> None:
    """Call *take* with each line of standard input, and show the progress.

    :param done: the verb of the progress display, such as "published".
    :raises CommandError: if standard input cannot be read.
    """
    load = LineLoad(deferring(lambda line: take(item_from(feed, line))), reactor)
    begin = time.monotonic()

    def show_progress(end: str) -> None:
        seconds = time.monotonic() - begin
        rate = load.count / max(seconds, 1e-9)
        items = "item" if load.count == 1 else "items"
        text = f"{done} {load.count:,} {items} in {seconds:.1f} s ({rate:,.0f} items/s)"
        say(text, end)

    progress = LoopingCall(show_progress, end="\r")
    if sys.stdin.isatty():
        say("reading items from the keyboard, one a line; Ctrl-D ends the input")
    elif sys.stderr.isatty():
        progress.start(PROGRESS_INTERVAL)
    try:
        await load.run(sys.stdin.fileno())
    except OSError as error:
        raise CommandError(f"cannot read standard input: {error.strerror or error}") from None
    finally:
        if progress.running:
            progress.stop()
        show_progress(end="\n")
