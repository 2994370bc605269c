"""``thoonk top`` at work: reads the feeds again and again, and shows or prints them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater

from txthoonk.cli._command import Session
from txthoonk.cli._common import CommandError
from txthoonk.cli._output import flush, say, show
from txthoonk.cli.top._model import as_json
from txthoonk.cli.top._rounds import MOST, Rounds
from txthoonk.cli.top._terminal import open_screen, read_keys, screen_size, when_resized
from txthoonk.cli.top._view import UNLIMITED, as_lines, render
from txthoonk.client._registry import Publishing
from txthoonk.connections.addresses._url import Target
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.wire._checks import check_interval
from txthoonk.wire._glob import glob_matcher, is_pattern

__all__ = ["Readings", "read_on", "run"]

INTERVAL = 1.0  # seconds
LOOK = 1.0  # seconds between two looks at whether the server is silent
SILENT = 2.0  # seconds without an answer that are a problem
WORTH_SAYING = 2000  # feeds; fewer are read in no time


async def run(
    session: Session, patterns: Sequence[str], interval: float | None, once: bool, json: bool
) -> None:
    """Show feeds until the user stops it, or once.

    :param interval: seconds between two readings; None: 1, or with *once* a single reading.
    """
    check_interval(INTERVAL if interval is None else interval, "--interval")
    if not (once or json or sys.stdout.isatty()):
        raise CommandError("standard output is not a terminal; use --once to print the state once")
    if once:
        async with session.publisher() as pub:
            looked = _say_looked if sys.stderr.isatty() else lambda count: None
            readings = Readings(pub, session.target, patterns, most=None, looked=looked)
            await _once(session.reactor, readings, interval, json)
            return
    await _live(session, patterns, INTERVAL if interval is None else interval, json)


def _say_looked(count: int) -> None:
    if count >= WORTH_SAYING:
        say(f"{count:,} feeds read", end="\r")


async def _once(reactor: Any, readings: Readings, interval: float | None, json: bool) -> None:
    await readings.read()
    readings.check_names()
    if interval is not None:
        await deferLater(reactor, interval)
        await readings.read()
    if json:
        readings.print_json()
        return
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
    for line in as_lines(readings.view((columns, UNLIMITED)), columns):
        show(line)


async def _live(session: Session, patterns: Sequence[str], interval: float, json: bool) -> None:
    reactor = session.reactor
    thoonk = await session.service(wait=0.0)
    try:
        readings = Readings(thoonk, session.target, patterns, most=None if json else MOST)
        if json:
            await read_on(reactor, readings, interval, readings.print_json)
        else:
            await _on_screen(reactor, readings, interval)
    finally:
        await thoonk.close()


class Readings:
    """The state of the feeds, and at the reading before.

    :ivar problem: why the last reading failed, or empty.
    """

    def __init__(
        self,
        pub: Publishing,
        target: Target,
        patterns: Sequence[str],
        most: int | None = MOST,
        looked: Callable[[int], object] = lambda count: None,
    ) -> None:
        """Prepare readings.

        :param most: see :class:`~txthoonk.cli.top._rounds.Rounds`.
        :param looked: the same.
        """
        self._target = target
        self._patterns = patterns
        self._matchers = [glob_matcher(pattern) for pattern in patterns]
        names = () if any(map(is_pattern, patterns)) else patterns
        self._rounds = Rounds(pub.redis, self._is_wanted, names, most, self.looked)
        self._report = looked
        self._looks = 0  # since the last call of is_late
        self._time = datetime.now()
        self.problem = ""

    async def read(self) -> None:
        """Read the feeds that the user wants."""
        await self._rounds.look()
        self._time = datetime.now()

    async def try_to_read(self) -> None:
        """Read; if that is impossible now, note the problem."""
        try:
            await self.read()
            self.problem = ""
        except (ConnectionLost, ResponseError) as error:
            self.problem = f"{str(error).rstrip('.')}; trying again"

    def is_late(self, seconds: float) -> bool:
        """Note the problem if the server is silent.

        :param seconds: how long the reading takes so far.
        :return: whether it is silent: nothing was read since the last call.
        """
        looks, self._looks = self._looks, 0
        if looks or seconds < SILENT:
            return False
        self.problem = f"no answer for {seconds:.0f} s"
        return True

    def looked(self, count: int) -> None:
        """Learn that feeds were read."""
        self._looks += 1
        self._report(count)

    def _is_wanted(self, name: str) -> bool:
        return not self._patterns or any(matches(name) for matches in self._matchers)

    def check_names(self) -> None:
        """Refuse a name without a feed.

        :raises CommandError: if a feed that the user named does not exist.
        """
        for name in self._patterns:
            if not is_pattern(name) and name not in {**self._rounds.feeds, **self._rounds.failed}:
                raise CommandError(f"feed {name!r} does not exist")

    def view(self, size: tuple[int, int], note: str = "") -> RenderableType:
        """Lay out the state for a screen of this size.

        :param note: a text for the first line, after the server and the time.
        """
        rounds = self._rounds
        return render(
            rounds.feeds.values(),
            rounds.before,
            size,
            about=f"thoonk top  {self._target.text}  {self._time:%H:%M:%S}{note}",
            problem=self._warning(),
            sums=rounds.sums,
        )

    def _warning(self) -> str:
        rounds = self._rounds
        if self.problem:
            return self.problem
        if rounds.failed:
            name, error = min(rounds.failed.items())
            return f"{len(rounds.failed)} cannot be read, such as {name!r}: {error}"
        if rounds.turn:
            met, of = rounds.turn
            return f"{met:,} of {of:,} feeds read in this round; the busiest of them are shown"
        return ""

    def print_json(self) -> None:
        """Print the state as a line of JSON."""
        if self.problem:
            say(f"thoonk: {self.problem}")
            return
        rounds = self._rounds
        show(json.dumps(as_json(rounds.feeds.values(), rounds.before, rounds.failed)))
        flush()


async def read_on(
    reactor: Any, readings: Readings, interval: float, done: Callable[[], object]
) -> None:
    """Read again and again, but spend at most half of the time on it.

    :param done: is called after each reading, and each second while the server is silent.
    """
    begin = 0.0

    def look() -> None:
        if readings.is_late(reactor.seconds() - begin):
            done()

    looking = LoopingCall(look)
    looking.clock = reactor
    while True:
        begin = reactor.seconds()
        looking.start(LOOK, now=False)
        try:
            await readings.try_to_read()
        finally:
            looking.stop()
        done()
        took = reactor.seconds() - begin
        await deferLater(reactor, max(interval - took, took))


async def _on_screen(reactor: Any, readings: Readings, interval: float) -> None:
    """Show the state on the terminal until the user presses q."""
    note = f"  every {interval:g} s, {'q' if sys.stdin.isatty() else 'Ctrl-C'} ends it"
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True
        reading.cancel()

    with open_screen() as paint:

        def show_state() -> None:
            paint(readings.view(screen_size(), note))

        with read_keys(reactor, end), when_resized(reactor, show_state):
            reading = Deferred.fromCoroutine(read_on(reactor, readings, interval, show_state))
            try:
                await reading
            except CancelledError:
                if not ended:
                    raise
