"""Shared by the clients that have pipelines: send some commands, then read all answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from client import Fill, Order, clock

__all__ = ["make_calls"]

Send = Callable[[list[list[Any]]], Awaitable[list[Any]]]


async def make_calls(order: Order, steps: list[Fill], send: Send) -> dict[str, float]:
    """Make the calls of an order, its width at a time; return when they began and ended."""
    numbers = range(order["first"], order["first"] + order["count"])
    begin = clock()
    while numbers:
        now, numbers = numbers[: order["width"]], numbers[order["width"] :]
        answers: list[Any] = [None] * len(now)
        for step in steps:
            answers = await send([step(*both) for both in zip(now, answers, strict=True)])
    return {"begin": begin, "end": clock()}
