"""A sorted feed: a to-do list that several terminals share, live.

Start it in two terminals; the first one runs a private Redis, which the other joins::

    python examples/todo.py --url embedded:/tmp/todo

Then type, in either of them: ``add TEXT``, ``top TEXT``, ``edit N TEXT``, ``done N``,
``move N M`` (N to where M is), ``quit``.  Every change shows in both at once.
"""

from __future__ import annotations

import argparse
from typing import Any

from example_tools import RedisAt, parser, run
from twisted.internet.defer import DeferredQueue
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from txthoonk import ItemDoesNotExist, SortedFeed, ThoonkSub

FEED = "todo"
HELP = "add TEXT | top TEXT | edit N TEXT | done N | move N M | quit"


async def main(reactor: Any, options: argparse.Namespace) -> None:
    async with RedisAt(options.url, reactor) as redis:
        feed = await (await redis.publisher()).sorted_feed(FEED)
        screen = Screen(feed)
        await screen.watch(await redis.subscriber())
        print(f"at {redis.url}: {HELP}", flush=True)
        await screen.refresh()
        keyboard = Keyboard()
        stdio = StandardIO(keyboard, reactor=reactor)
        try:
            while (line := await keyboard.lines.get()) != "quit":
                await obey(feed, screen.ids, line)
                await screen.refresh()
        finally:
            stdio.loseConnection()


class Screen:
    """Shows the list after every change, by whomever.

    An event says what has changed; the list is read afresh then.  Several may be on
    their way, but what is read last is the newest.

    :ivar ids: what the numbers on the screen stand for.
    """

    def __init__(self, feed: SortedFeed) -> None:
        self.ids: list[str] = []
        self._feed = feed
        self._shown: str | None = None

    async def watch(self, sub: ThoonkSub) -> None:
        for channel in (
            self._feed.channel_publish,
            self._feed.channel_position,
            self._feed.channel_retract,
        ):
            await sub.register_handler(channel, self.refresh)

    async def refresh(self, *_: str) -> None:
        items = await self._feed.get_all()
        self.ids = list(items)
        lines = [f"{number:3}  {plain(item)}" for number, item in enumerate(items.values(), 1)]
        text = "\n".join(["-- to do --", *lines])
        if text != self._shown:
            self._shown = text
            print(text, flush=True)


class Keyboard(LineReceiver):
    """What is typed; the end of the input is taken for ``quit``."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: DeferredQueue[str] = DeferredQueue()

    def lineReceived(self, line: bytes) -> None:
        self.lines.put(line.decode("utf-8", "replace").strip())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lines.put("quit")


async def obey(feed: SortedFeed, ids: list[str], line: str) -> None:
    """Do what was typed; say so if it cannot be done."""
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
        print("somebody was quicker: it is gone", flush=True)
    except (IndexError, ValueError):
        print(HELP, flush=True)


def chosen(ids: list[str], number: str) -> str:
    """Give the id that a number on the screen stands for."""
    if int(number) < 1:
        raise IndexError(number)
    return ids[int(number) - 1]


def plain(text: str) -> str:
    """Make text harmless: what others have typed must not steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
