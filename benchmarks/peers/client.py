"""Shared by the clients in Python: their orders, and the commands that they call.

A client is a process that runs for a whole benchmark.  ``peers/<name>_client.py --url URL`` reads
orders from its standard input, one JSON object a line, and answers each with lines of JSON:

- ``{"do": "calls", "verb": V, "steps": [...], "count": N, "width": W, "batch": B, "first": F,
  "spread": R}`` makes N calls, W at a time: the next one after each answer, or, as a batch, the
  next W when all are answered.  The answer is ``{"begin": SECONDS, "end": SECONDS}``.
- ``{"do": "listen", "way": WAY, "channels": [...], "patterns": [...], "messages": N}`` listens.
  The first answer is ``{"ready": true}``, once Redis has confirmed that; the second, after N
  messages, ``{"end": SECONDS}``.

Two of them also know ``{"do": "late", "steps": [[...]], "samples": N}``: publish, wait for the
message, publish again.  The answer is ``{"delays": [SECONDS, ...]}``.

The answer to ``{"do": "hello"}`` is ``{}``, that to an order that fails ``{"error": TEXT}``.
Times are seconds of CLOCK_MONOTONIC, one clock for all processes of a machine.

A call is one or more commands, each sent after the answer to the last one; the answers to the
last ``loose`` commands do not count.  ``steps`` has their words, in which ``{n}`` stands for the
number of the call (from F, 24 digits), ``{r}`` for a random number below ``spread`` (12 digits),
and ``{id}`` and ``{time}`` for values of the last answer.  txthoonk calls its own verb instead.

The programs in Node have the same orders: see ``client.mjs``.
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
    """Return the id of an existing item."""
    return f"{int(random() * spread):012}"


def text(part: Any) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def fills(order: Order) -> list[Fill]:
    """Return functions that make each command, from the call's number and the last answer."""
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
    """A handler that measures the delay of each message."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self._sent = 0.0
        self._arrived: Callable[[], object] = lambda: None

    def sending(self, arrived: Callable[[], object]) -> None:
        """Record that a message is about to be sent.

        :param arrived: called when it has arrived.
        """
        self._arrived = arrived
        self._sent = clock()

    def __call__(self, *_: Any) -> None:
        self.found.append(clock() - self._sent)
        self._arrived()


class Counter:
    """Counts calls with any arguments, and calls *done* at the last one."""

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
    """Follow orders until there are no more.

    :param work: generators of the answers, by ``do``.
    :param in_thread: calls a blocking function in a thread.
    """
    work = {"hello": hello, **work}
    while line := await in_thread(sys.stdin.readline):
        order = json.loads(line)
        try:
            async for answer in work[order["do"]](order):
                say(answer)
        except Exception as error:  # noqa: BLE001 (the answer has the error)
            say({"error": f"{type(error).__name__}: {error}"})


async def hello(_: Order) -> AsyncIterator[Any]:
    yield {}


def say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
