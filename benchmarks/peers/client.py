"""What the clients in Python share: their orders, and the commands that they call.

A client is a process that lives for a whole run.  ``peers/<name>_client.py --url URL`` reads
orders from its standard input, one JSON object in a line, and answers each with lines of JSON:

- ``{"do": "calls", "verb": V, "steps": [...], "count": N, "width": W, "batch": B, "first": F,
  "spread": R}`` makes N calls, W at a time: the next one with each answer, or, as a batch, the
  next W when all are answered.  Answered with ``{"begin": SECONDS, "end": SECONDS}``.
- ``{"do": "listen", "way": WAY, "channels": [...], "patterns": [...], "messages": N}`` listens,
  answers ``{"ready": true}`` once Redis has confirmed that, and when so many messages have been
  handled ``{"end": SECONDS}``.

Two of them know ``{"do": "late", "steps": [[...]], "samples": N}``, too: publish, wait for the
message, publish again.  It is answered with ``{"delays": [SECONDS, ...]}``.

``{"do": "hello"}`` is answered with ``{}``, and an order that fails with ``{"error": TEXT}``.
Times are seconds of CLOCK_MONOTONIC, one clock for all processes of a machine.

A call is one command, or some, each sent with the answer for the last; nobody waits for the
last ``loose`` ones.  ``steps`` has their words, in which ``{n}`` stands for the number of the
call (from F, 24 digits), ``{r}`` for a random number below ``spread`` (12 digits), and ``{id}``
and ``{time}`` for what the last answer names.  txthoonk calls its own verb instead.

The programs for Node have the same orders: see ``client.mjs``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from random import random
from typing import Any

__all__ = [
    "ITEM",
    "Counter",
    "Delays",
    "Fill",
    "Order",
    "fills",
    "new_number",
    "old_id",
    "serve",
    "url",
]

ITEM = "x" * 100

Order = Mapping[str, Any]
Fill = Callable[[int, Any], "list[Any]"]

clock = time.monotonic


def new_number(number: int) -> str:
    """Give the id of a call's new item."""
    return f"{number:024}"


def old_id(spread: int) -> str:
    """Give the id of an item that is there."""
    return f"{int(random() * spread):012}"


def text(part: Any) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def fills(order: Order) -> list[Fill]:
    """Give what makes the command of each step, from the call's number and the last answer."""
    return [_fill(words, order["spread"]) for words in order["steps"]]


def _fill(words: list[str], spread: int) -> Fill:
    makers = {
        "{n}": lambda number, _: new_number(number),
        "{r}": lambda *_: old_id(spread),
        "{id}": lambda _, answer: text(answer[2]),
        "{time}": lambda _, answer: text(answer[0]),
    }
    slots = [(i, _slot(word, makers)) for i, word in enumerate(words) if "{" in word]

    def fill(number: int, answer: Any) -> list[Any]:
        filled: list[Any] = words.copy()
        for index, make in slots:
            filled[index] = make(number, answer)
        return filled

    return fill


def _slot(word: str, makers: Mapping[str, Callable[[int, Any], str]]) -> Any:
    name = next(name for name in makers if name in word)
    make = makers[name]
    if word == name:
        return make
    before, after = word.split(name)
    return lambda number, answer: before + make(number, answer) + after


class Delays:
    """Measures how long each of some messages is under way, as its handler."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self._sent = 0.0
        self._arrived: Callable[[], object] = lambda: None

    def sending(self, arrived: Callable[[], object]) -> None:
        """Note that a message is about to be sent.

        :param arrived: to be called when it has arrived.
        """
        self._arrived = arrived
        self._sent = clock()

    def __call__(self, *_: Any) -> None:
        self.found.append(clock() - self._sent)
        self._arrived()


class Counter:
    """Counts calls, whatever their arguments, and calls *done* at the last."""

    def __init__(self, count: int, done: Callable[[float], object]) -> None:
        self._left = count
        self._done = done

    def __call__(self, *_: Any) -> None:
        self._left -= 1
        if not self._left:
            self._done(clock())


def url() -> str:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    return str(parser.parse_args().url)


async def serve(
    work: Mapping[str, Callable[[Order], AsyncIterator[Any]]],
    in_thread: Callable[[Callable[[], str]], Awaitable[str]],
) -> None:
    """Do what the orders say, until there are no more.

    :param work: generators of the answers, by ``do``.
    :param in_thread: calls a function that blocks, in a thread.
    """
    work = {"hello": hello, **work}
    while line := await in_thread(sys.stdin.readline):
        order = json.loads(line)
        try:
            async for answer in work[order["do"]](order):
                say(answer)
        except Exception as error:  # noqa: BLE001 (the one who asked is told)
            say({"error": f"{type(error).__name__}: {error}"})


async def hello(_: Order) -> AsyncIterator[Any]:
    yield {}


def say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
