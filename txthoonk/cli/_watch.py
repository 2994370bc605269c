"""``thoonk watch``: the events of feeds, as they happen, or since a time before."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txthoonk._values import Progress
from txthoonk.cli._common import CommandError, publisher
from txthoonk.cli._output import OutputError, flush, say, show
from txthoonk.connections._url import Target
from txthoonk.errors import InvalidItem
from txthoonk.events import Event
from txthoonk.service import Thoonk
from txthoonk.subscriptions import Subscription
from txthoonk.wire._glob import glob_matcher, is_pattern

__all__ = ["as_json", "as_text", "watch"]


async def watch(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show events until somebody stops it, or nobody reads them any more."""
    if options.since is not None and (
        len(options.patterns) > 1 or is_pattern(options.patterns[0])
    ):
        raise CommandError("--since goes with one feed")
    async with publisher(reactor, target):
        pass  # it is an error at once, where nobody is there or wants us
    thoonk = Thoonk(options.url, reactor, ca_file=options.ca_file, state_changed=_tell)
    try:
        await thoonk.connect()
        watcher = _Watcher(thoonk, options)
        await watcher.begin()
        say(f"watching {' '.join(options.patterns)}")
        await watcher.ended
    finally:
        await thoonk.close()


def _tell(state: str, reason: BaseException | None) -> None:
    if state == "disconnected":
        say(f"thoonk: {reason}; trying again")


class _Watcher:
    """Shows each event once, though several patterns may match.

    :ivar ended: fails when the events cannot be shown any more.
    """

    def __init__(self, thoonk: Thoonk, options: argparse.Namespace) -> None:
        self.ended: Deferred[None] = Deferred()
        self._thoonk = thoonk
        self._options = options
        self._matchers = {
            text: glob_matcher(text) if is_pattern(text) else text.__eq__
            for text in options.patterns
        }

    async def begin(self) -> None:
        """Subscribe to all."""
        await gatherResults([self._subscribe(text) for text in self._matchers], consumeErrors=True)

    def _subscribe(self, text: str) -> Deferred[Subscription]:
        def take(event: Event) -> None:
            matching = (other for other, matches in self._matchers.items() if matches(event.feed))
            if next(matching) == text:
                self._show(event)

        options = self._options
        if is_pattern(text):
            return self._thoonk.subscribe_pattern(text, take, snapshot=options.snapshot)
        return self._thoonk.subscribe(text, take, since=options.since, snapshot=options.snapshot)

    def _show(self, event: Event) -> None:
        if self.ended.called:
            return
        try:
            show(as_json(event) if self._options.json else as_text(event, datetime.now()))
            flush()
        except OutputError as error:
            self.ended.errback(error)


def _text(item: Any) -> str:
    """Give an item as it is stored."""
    if isinstance(item, InvalidItem):
        item = item.data
    if isinstance(item, Progress):
        item = item._asdict()
    if isinstance(item, bytes):
        return item.decode("utf-8", "surrogateescape")
    return item if isinstance(item, str) else json.dumps(item, separators=(",", ":"))


def as_json(event: Event) -> str:
    """Write an event as one line of JSON, without what it does not have."""
    fields = event._asdict()
    del fields["epoch"]
    if event.kind == "snapshot":
        fields["item"] = [[id_, _text(item)] for id_, item in event.item]
    elif event.item is not None:
        fields["item"] = _text(event.item)
    fields["cursor"] = event.cursor
    given = {name: value for name, value in fields.items() if value not in (None, False)}
    return json.dumps(given)


def as_text(event: Event, now: datetime) -> str:
    """Write an event as lines to be read: one, but for a snapshot."""
    words = [f"{now:%H:%M:%S}", f"{event.kind:8}", event.feed]
    if event.kind == "snapshot":
        lines = ["  ".join([*words, id_, _text(item)]) for id_, item in event.item]
        return "\n".join(lines) or "  ".join([*words, "(no items)"])
    item = None if event.item is None else _text(event.item)
    words += [
        detail for detail in (event.id, event.position, item, event.reason) if detail is not None
    ]
    return "  ".join(words)
