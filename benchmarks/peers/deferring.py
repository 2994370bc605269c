"""Shared by the clients on Twisted: their calls, and their orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from client import Delays, Fill, Order, clock, serve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

__all__ = ["Call", "chain", "make_calls", "one_by_one", "run"]

#: Makes the call with a number.
Call = Callable[[int], "Deferred[Any]"]


async def make_calls(order: Order, call: Call) -> dict[str, float]:
    """Make the calls of an order; return when they began and ended."""
    begin = clock()
    numbers = range(order["first"], order["first"] + order["count"])
    await (in_batches if order["batch"] else in_flight)(call, numbers, order["width"])
    return {"begin": begin, "end": clock()}


async def one_by_one(order: Order, delays: Delays, call: Call) -> dict[str, Any]:
    """Make each call when the message of the last one has arrived; return the delays."""
    for number in range(order["samples"]):
        arrived: Deferred[None] = Deferred()
        delays.sending(partial(arrived.callback, None))
        published = call(number)
        await arrived
        await published
    return {"delays": delays.found}


def in_flight(call: Call, numbers: range, width: int) -> Deferred[None]:
    """Make another call after each answer."""
    done: Deferred[None] = Deferred()
    coming = iter(numbers)
    left = len(numbers)

    def next_call() -> None:
        for number in coming:
            call(number).addCallbacks(answered, failed)
            return

    def answered(_: Any) -> None:
        nonlocal left
        left -= 1
        if left:
            next_call()
        else:
            done.callback(None)

    def failed(failure: Any) -> None:
        if not done.called:
            done.errback(failure)

    for _ in range(min(width, left)):
        next_call()
    return done


async def in_batches(call: Call, numbers: range, width: int) -> None:
    """Make a number of calls in one reactor turn, and the next when all are answered."""
    while numbers:
        batch, numbers = numbers[:width], numbers[width:]
        await gatherResults([call(number) for number in batch], consumeErrors=True)


def chain(send: Callable[..., Deferred[Any]], steps: list[Fill], loose: int) -> Call:
    """Return a call that sends one command after the other.

    :param loose: the number of commands at the end that the call does not wait for.
    """
    first, *others = steps
    if not others:
        return lambda number: send(*first(number, None))
    awaited, rest = others[: len(others) - loose], others[len(others) - loose :]

    def call(number: int) -> Deferred[Any]:
        sent = send(*first(number, None))
        for step in awaited:
            sent.addCallback(lambda answer, step=step: send(*step(number, answer)))
        for step in rest:
            sent.addCallback(lambda answer, step=step: (send(*step(number, answer)), answer)[1])
        return sent

    return call


def run(
    connect: Callable[
        [Any], Coroutine[Any, Any, Mapping[str, Callable[[Order], AsyncIterator[Any]]]]
    ],
) -> None:
    """Run a client.

    :param connect: returns its work, given the reactor.
    """

    async def work(reactor: Any) -> None:
        await serve(await connect(reactor), deferToThread)

    react(lambda reactor: Deferred.fromCoroutine(work(reactor)))
