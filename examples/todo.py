"""A sorted feed: a to-do list that several terminals share, live.

Start it in two terminals; the first one starts a private Redis, and the other joins it::

    python examples/todo.py --url embedded:./todo

Then type in either of them: ``add TEXT``, ``top TEXT``, ``edit N TEXT``, ``done N``, ``move N M``
(N to the place of M), ``quit``.  Both show every change at once.  When the first one quits, the
other continues with a Redis that it starts in the same folder.
"""

from __future__ import annotations

import argparse
from typing import Any

from example_tools import connected, parser, run
from twisted.internet.defer import DeferredQueue
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from txthoonk import ConnectionLost, ItemDoesNotExist, Mirror, NotSent, SortedFeed

FEED = "todo"
HELP = "add TEXT | top TEXT | edit N TEXT | done N | move N M | quit"


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with connected(options.url, reactor) as thoonk:
        feed = await thoonk.sorted_feed(FEED)
        print(f"at {thoonk.url}: {HELP}", flush=True)
        screen = Screen(await feed.mirror())
        keyboard = Keyboard()
        stdio = StandardIO(keyboard, reactor=reactor)
        try:
            while (line := await keyboard.lines.get()) != "quit":
                await obey(feed, screen.ids, line)
        finally:
            stdio.loseConnection()


class Screen:
    """Shows the list, again after every change of any terminal.

    :ivar ids: the ids of the numbers on the screen.
    """

    def __init__(self, mirror: Mirror) -> None:
        self.ids: list[str] = []
        self._mirror = mirror
        self._shown: str | None = None
        mirror.on_change(lambda _: self.show())
        self.show()

    def show(self) -> None:
        if not self._mirror.current:  # changes were missed; the mirror reads the list again
            return
        items = dict(self._mirror)
        lines = [f"{number:3}  {plain(item)}" for number, item in enumerate(items.values(), 1)]
        text = "\n".join(["-- to do --", *lines])
        self.ids = list(items)
        if text != self._shown:
            self._shown = text
            print(text, flush=True)


class Keyboard(LineReceiver):
    """Reads commands; the end of the input counts as ``quit``."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: DeferredQueue[str] = DeferredQueue()

    def lineReceived(self, line: bytes) -> None:
        self.lines.put(line.decode("utf-8", "replace").strip())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lines.put("quit")


async def obey(feed: SortedFeed, ids: list[str], line: str) -> None:
    """Run a command; print a line if it fails."""
    try:
        match line.split(maxsplit=1):
            case ["add", text]:
                await feed.append(text)
            case ["top", text]:
                await feed.prepend(text)
            case ["edit", text]:
                number, item = text.split(maxsplit=1)
                await feed.edit(chosen(ids, number), item)
            case ["done", number]:
                await feed.retract(chosen(ids, number))
            case ["move", text]:
                number, place = text.split()
                move = feed.move_before if int(place) < int(number) else feed.move_after
                await move(chosen(ids, place), chosen(ids, number))
            case _:
                print(HELP, flush=True)
    except ItemDoesNotExist:
        print("not done: another terminal has removed that item", flush=True)
    except NotSent as error:
        print(f"not done: {error}", flush=True)
    except ConnectionLost as error:
        print(f"check whether it was done: {error}", flush=True)
    except (IndexError, ValueError):
        print(HELP, flush=True)


def chosen(ids: list[str], number: str) -> str:
    """Return the id of a number on the screen."""
    if int(number) < 1:
        raise IndexError(number)
    return ids[int(number) - 1]


def plain(text: str) -> str:
    """Escape control characters, so that text from other terminals cannot control this one."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
