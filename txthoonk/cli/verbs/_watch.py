"""``thoonk watch``: the events of feeds, as they happen or after a cursor."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

import click
from twisted.internet.defer import Deferred

from txthoonk._values import Progress
from txthoonk.cli._command import Session, command, json_option
from txthoonk.cli._common import CommandError
from txthoonk.cli._output import OutputError, flush, say, show, show_line
from txthoonk.errors import InvalidItem, ThoonkError
from txthoonk.events import Event
from txthoonk.service import Thoonk
from txthoonk.subscriptions import Subscription
from txthoonk.types import Job
from txthoonk.wire._glob import glob_matcher, is_pattern

__all__ = ["as_json", "as_lines", "watch"]

FAILURES = ("cancel", "stall")  # kinds of events of jobs that failed


@command(
    "thoonk watch news",
    "thoonk watch 'team:*' --json",
    "thoonk watch news --snapshot",
    endless=True,
)
@click.argument("patterns", metavar="FEED_OR_PATTERN...", nargs=-1, required=True)
@click.option("--since", metavar="CURSOR", help="Begin after this event; for one feed only.")
@click.option("--snapshot", is_flag=True, help="Begin with the items that the feeds have now.")
@json_option
async def watch(
    session: Session,
    patterns: tuple[str, ...],
    since: str | None,
    snapshot: bool,
    as_json: bool,
) -> None:
    """Show the events of feeds as they happen.

    In a pattern, * stands for any text, ? for one character and [abc] for one of these. Ctrl-C
    ends the command.
    """
    if since is not None and (len(patterns) > 1 or is_pattern(patterns[0])):
        raise CommandError("--since goes with one feed")
    thoonk = await session.service(state_changed=_report_state)
    try:
        watcher = _Watcher(thoonk, patterns, since, snapshot, as_json)
        await watcher.begin()
        say(f"watching {' '.join(patterns)}")
        await watcher.ended
    finally:
        await thoonk.close()


def _report_state(state: str, reason: BaseException | None) -> None:
    if state == "disconnected":
        say(f"thoonk: {str(reason).rstrip('.')}; trying again")


class _Watcher:
    """Shows each event once, even if several patterns match.

    :ivar ended: fails when the events can no longer be shown.
    """

    def __init__(
        self,
        thoonk: Thoonk,
        patterns: Iterable[str],
        since: str | None,
        snapshot: bool,
        as_json: bool,
    ) -> None:
        self.ended: Deferred[None] = Deferred()
        self._thoonk = thoonk
        self._since = since
        self._snapshot = snapshot
        self._as_json = as_json
        self._matchers = {
            text: glob_matcher(text) if is_pattern(text) else text.__eq__ for text in patterns
        }

    async def begin(self) -> None:
        """Subscribe to all feeds and patterns."""
        for text in self._matchers:
            await self._subscribe(text)

    def _subscribe(self, text: str) -> Deferred[Subscription]:
        def take(event: Event) -> Deferred[None] | None:
            matching = (other for other, matches in self._matchers.items() if matches(event.feed))
            if next(matching) != text:
                return None
            if event.kind in FAILURES:
                return Deferred.fromCoroutine(self._show_failure(event))
            self._show(event)
            return None

        if is_pattern(text):
            return self._thoonk.subscribe_pattern(text, take, snapshot=self._snapshot)
        return self._thoonk.subscribe(text, take, since=self._since, snapshot=self._snapshot)

    def _show(self, event: Event) -> None:
        if self.ended.called:
            return
        try:
            if self._as_json:
                show(as_json(event))
            else:
                for line in as_lines(event, datetime.now()):
                    show_line(line, marked=1)
            flush()
        except OutputError as error:
            self.ended.errback(error)

    async def _show_failure(self, event: Event) -> None:
        """Show an event of a job that failed, with the reason if it is recorded."""
        failure = None
        with suppress(ThoonkError):  # the event counts, even if its reason cannot be read
            failure = await Job(self._thoonk, event.feed).get_failure(event.id or "")
        if failure is not None:
            event = event._replace(reason=f"{failure.type}: {failure.message}")
        self._show(event)


def _text(item: Any) -> str:
    """Write an item as it is stored."""
    if isinstance(item, InvalidItem):
        item = item.data
    if isinstance(item, Progress):
        item = item._asdict()
    if isinstance(item, bytes):
        return item.decode("utf-8", "surrogateescape")
    return item if isinstance(item, str) else json.dumps(item, separators=(",", ":"))


def as_json(event: Event) -> str:
    """Write an event as one line of JSON, without the fields that it does not have."""
    fields = event._asdict()
    del fields["epoch"]
    if event.kind == "snapshot":
        fields["item"] = [[id_, _text(item)] for id_, item in event.item]
    elif event.item is not None:
        fields["item"] = _text(event.item)
    fields["cursor"] = event.cursor
    given = {name: value for name, value in fields.items() if value not in (None, False)}
    return json.dumps(given)


def as_lines(event: Event, now: datetime) -> list[list[str]]:
    """Write an event for people: the words of one line, or of one for each item of a snapshot."""
    words = [f"{now:%H:%M:%S}", f"{event.kind:8}", event.feed]
    if event.kind == "snapshot":
        lines = [[*words, id_, _text(item)] for id_, item in event.item]
        return lines or [[*words, "(no items)"]]
    item = None if event.item is None else _text(event.item)
    details = (event.id, event.position, item, event.reason)
    return [[*words, *(detail for detail in details if detail is not None)]]
