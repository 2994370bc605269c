"""``thoonk top``: all feeds and those who work on them, looked at again and again."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk.cli._common import CommandError, publisher
from txthoonk.cli._output import OutputError, flush, say, show
from txthoonk.cli._rounds import MOST, Rounds
from txthoonk.cli._top_view import UNLIMITED, Line, as_json, render
from txthoonk.client._registry import Publishing
from txthoonk.connections._url import Target, parse_url
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.service import Thoonk
from txthoonk.wire._checks import check_interval
from txthoonk.wire._glob import glob_matcher, is_pattern

__all__ = ["add_arguments", "top"]

INTERVAL = 1.0  # seconds
WORTH_SAYING = 2000  # feeds; to look at fewer takes no time
UNKNOWN_SIZE = (80, 24)

# What terminals understand (ECMA-48, and the alternate screen of xterm).
ENTER = "\x1b[?1049h\x1b[?25l"  # another screen, without the cursor
LEAVE = "\x1b[?25h\x1b[?1049l"
HOME = "\x1b[H"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
ERASE_LINE, ERASE_BELOW = "\x1b[K", "\x1b[J"  # from the cursor on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "feeds", metavar="FEED_OR_PATTERN", nargs="*", help="which feeds (default: all)"
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=float,
        help="look again after so long (default: 1); with --once: look twice, to tell the rates",
    )
    parser.add_argument("--once", action="store_true", help="print what there is, and end")
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each look")


async def top(reactor: Any, target: Target, options: argparse.Namespace) -> None:
    """Show feeds until somebody stops it, or once."""
    interval = INTERVAL if options.interval is None else options.interval
    check_interval(interval, "--interval")
    if not (options.once or options.json or sys.stdout.isatty()):
        raise CommandError("there is no terminal to show this on; --once prints it once")
    async with publisher(reactor, target) as pub:
        if options.once:
            looked = _say_looked if sys.stderr.isatty() else lambda count: None
            view = _View(pub, target, options.feeds, most=None, looked=looked)
            await _once(reactor, view, options)
            return
        await pub.redis.ping()  # it is an error at once, where nobody is there or wants us
    url = target.text if parse_url(options.url).embedded else options.url
    thoonk = Thoonk(url, reactor, ca_file=options.ca_file, wait=0.0)
    try:
        await thoonk.connect()
        most = None if options.json else MOST
        view = _View(thoonk, target, options.feeds, most=most)
        if options.json:
            await _look_on(reactor, view, interval, view.print_json)
        else:
            await _on_screen(reactor, view, interval)
    finally:
        await thoonk.close()


def _say_looked(count: int) -> None:
    if count >= WORTH_SAYING:
        say(f"{count:,} feeds looked at", end="\r")


async def _once(reactor: Any, view: _View, options: argparse.Namespace) -> None:
    await view.look()
    view.check_names()
    if options.interval is not None:
        await deferLater(reactor, options.interval)
        await view.look()
    if options.json:
        view.print_json()
        return
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
    for line in view.lines((columns, UNLIMITED)):
        show(line.text)


class _View:
    """What there is, and what there was at the look before.

    :ivar problem: why it could not be looked at.
    """

    def __init__(
        self, pub: Publishing, target: Target, patterns: Sequence[str], **options: Any
    ) -> None:
        """Make a view.

        :param options: those of :class:`~txthoonk.cli._rounds.Rounds`.
        """
        self._target = target
        self._patterns = patterns
        self._matchers = [glob_matcher(pattern) for pattern in patterns]
        names = () if any(map(is_pattern, patterns)) else patterns
        self._rounds = Rounds(pub.redis, self._is_wanted, names, **options)
        self._time = datetime.now()
        self.problem = ""

    async def look(self) -> None:
        """Look at the feeds that are wanted, some at a time."""
        await self._rounds.look()
        self._time = datetime.now()

    async def try_to_look(self) -> None:
        """Look; it is no more than a problem if that cannot be done now."""
        try:
            await self.look()
            self.problem = ""
        except (ConnectionLost, ResponseError) as error:
            self.problem = f"{error}; trying again"

    def _is_wanted(self, name: str) -> bool:
        return not self._patterns or any(matches(name) for matches in self._matchers)

    def check_names(self) -> None:
        """Complain of a feed that was named and does not exist."""
        for name in self._patterns:
            if not is_pattern(name) and name not in {**self._rounds.feeds, **self._rounds.failed}:
                raise CommandError(f"feed {name!r} does not exist")

    def lines(self, size: tuple[int, int], note: str = "") -> list[Line]:
        """Give the lines to show.

        :param note: what to say beside where and when this is.
        """
        about = f"thoonk top  {self._target.text}  {self._time:%H:%M:%S}{note}"
        rounds = self._rounds
        problem = self.problem
        if rounds.failed and not problem:
            name, error = min(rounds.failed.items())
            problem = f"{len(rounds.failed)} cannot be read, such as {name!r}: {error}"
        if rounds.turn and not problem:
            problem = (
                "{:,} of {:,} feeds met in this round; the busiest that were met are shown"
            ).format(*rounds.turn)
        return render(
            rounds.feeds.values(),
            rounds.before,
            size,
            about=about,
            problem=problem,
            sums=rounds.sums,
        )

    def print_json(self) -> None:
        """Print what there is, as a line of JSON."""
        if self.problem:
            say(f"thoonk: {self.problem}")
            return
        rounds = self._rounds
        show(json.dumps(as_json(rounds.feeds.values(), rounds.before, rounds.failed)))
        flush()


async def _look_on(
    reactor: Any, view: _View, interval: float, looked: Callable[[], object]
) -> None:
    """Look again and again, but for no more than half of the time."""
    while True:
        begin = reactor.seconds()
        await view.try_to_look()
        looked()
        took = reactor.seconds() - begin
        await deferLater(reactor, max(interval - took, took))


# -- the terminal ---------------------------------------------------------------------------


async def _on_screen(reactor: Any, view: _View, interval: float) -> None:
    """Show it on the terminal, until somebody presses q."""
    note = f"  every {interval:g} s, {'q' if sys.stdin.isatty() else 'Ctrl-C'} ends it"
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True
        looking.cancel()

    def paint() -> None:
        _paint(view.lines(_size(), note))

    with _screen(), _keys(reactor, end), _when_resized(reactor, paint):
        looking = Deferred.fromCoroutine(_look_on(reactor, view, interval, paint))
        try:
            await looking
        except CancelledError:
            if not ended:
                raise


def _size() -> tuple[int, int]:
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return (columns or UNKNOWN_SIZE[0], lines or UNKNOWN_SIZE[1])


def _write(text: str) -> None:
    # What the terminal has no characters for must not end this.
    try:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(error) from error


def _paint(lines: Sequence[Line]) -> None:
    shown = [f"{ERASE_LINE}{BOLD * line.bold}{line.text}{PLAIN * line.bold}" for line in lines]
    # A line below the last one would scroll the others away.
    below = f"\r\n{ERASE_BELOW}" if len(lines) < _size()[1] else ""
    _write(HOME + "\r\n".join(shown) + below)


@contextmanager
def _screen() -> Iterator[None]:
    """Show things on another screen than what was there before."""
    _write(ENTER)
    try:
        yield
    finally:
        _write(LEAVE)


@contextmanager
def _when_resized(reactor: Any, paint: Callable[[], object]) -> Iterator[None]:
    """Paint anew when the terminal gets another size."""
    before = signal.signal(signal.SIGWINCH, lambda *_: reactor.callFromThread(paint))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextmanager
def _keys(reactor: Any, end: Callable[[], object]) -> Iterator[None]:
    """Call *end* when somebody presses q; what is typed is not shown."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, _without_echo(descriptor))
    keys = _Keys(descriptor, end)
    reactor.addReader(keys)
    try:
        yield
    finally:
        reactor.removeReader(keys)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _without_echo(descriptor: int) -> list[Any]:
    """Give the settings of a terminal with which keys come one by one, and are not shown."""
    changed = termios.tcgetattr(descriptor)
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    # Ctrl-Z would leave a shell on our screen.
    nothing = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    changed[6][termios.VSUSP] = nothing
    return changed


@implementer(IReadDescriptor)
class _Keys:
    def __init__(self, descriptor: int, end: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._end = end

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Any:
        try:
            typed = os.read(self._descriptor, 1024)
        except OSError:
            typed = b""
        if b"q" in typed or b"\x04" in typed or not typed:
            self._end()
        return None if typed else ConnectionDone()

    def connectionLost(self, reason: Failure) -> None:
        pass

    def logPrefix(self) -> str:
        return "keys"
