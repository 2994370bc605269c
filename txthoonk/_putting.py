"""Many items in few calls: what is under way is bounded, however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk._deferring import misfit
from txthoonk.errors import InvalidInput, InvalidType, shown

__all__ = ["Progressed", "put_many", "with_ids"]

MOST_ITEMS = 500  # in one call
MOST_BYTES = 500_000  # of items in one call, and one item more
IN_FLIGHT = 4  # calls

#: Is called with how many items are put so far.
Progressed = Callable[[int], object]

Pairs = list[tuple[str, Any]]


async def put_many(
    items: Iterable[Any] | AsyncIterable[Any],
    pair: Callable[[Any], tuple[str, str | bytes]],
    send: Callable[[list[str | bytes]], Deferred[list[str]]],
    progress: Progressed | None,
    front: bool,
) -> list[str]:
    """Put items, some in each call.

    :param pair: gives the id of an item, and how it is stored.
    :param send: puts id, item, id, item, ...
    :param front: whether each call's come before those of the call before: then all are read
        first, and the last ones sent first.
    :return: the ids, in the order of the items.
    """
    if progress is not None and not callable(progress):
        raise InvalidType(f"progress must be callable: {shown(progress)}")
    ids: list[str] = []
    words: list[str | bytes] = []
    held: list[list[str | bytes]] = []
    size = done = 0
    sent: deque[Deferred[int]] = deque()

    async def put(words: list[str | bytes], left: int) -> None:
        sent.append(send(words).addCallback(len).addErrback(misfit))
        await answered(left)

    async def answered(left: int) -> None:
        nonlocal done
        while len(sent) > left:
            done += await sent[0]
            sent.popleft()
            if progress is not None:
                progress(done)

    try:
        async for item in _each(items):
            id_, stored = pair(item)
            ids.append(id_)
            words += (id_, stored)
            size += len(stored)
            if len(words) == 2 * MOST_ITEMS or size >= MOST_BYTES:
                if front:
                    held.append(words)
                else:
                    await put(words, IN_FLIGHT - 1)
                words, size = [], 0
        if words:
            held.append(words)
        while held:
            await put(_turned(held.pop()) if front else held.pop(), IN_FLIGHT - 1)
        await answered(0)
    finally:
        for call in sent:
            # Who called is told of the first failure, or does not wait any more.
            call.addErrback(lambda _: None)
    return ids


def _turned(words: list[str | bytes]) -> list[str | bytes]:
    """Turn id, item, id, item, ... around: what goes to the front last is taken first."""
    return [word for at in range(len(words) - 2, -2, -2) for word in words[at : at + 2]]


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise InvalidType(f"items must be an iterable of items: {shown(items)}")
    for item in items:
        yield item


def with_ids(
    items: Iterable[Any] | AsyncIterable[Any], ids: Iterable[str]
) -> AsyncIterator[tuple[Any, str]]:
    """Pair items with the ids that they shall have.

    :raises InvalidType: if *ids* are none.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidType(f"ids must be an iterable of ids: {shown(ids)}")
    return _with_ids(items, iter(ids))


async def _with_ids(items: Any, ids: Iterator[Any]) -> AsyncIterator[tuple[Any, str]]:
    nothing = object()
    async for item in _each(items):
        id_: Any = next(ids, nothing)
        if id_ is nothing:
            raise InvalidInput("there are more items than ids")
        yield item, id_
    if next(ids, nothing) is not nothing:
        raise InvalidInput("there are more ids than items")
