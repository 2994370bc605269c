"""Puts many items in few calls, with a bounded number of pending calls."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk._support._replies import parses
from txthoonk.errors import InvalidInput, InvalidType, shown

__all__ = ["Progressed", "put_many", "with_ids"]

MOST_ITEMS = 500  # in one call
MOST_BYTES = 500_000  # of items after which a call is full
IN_FLIGHT = 4  # calls

#: Called with the number of items put so far.
Progressed = Callable[[int], object]


async def put_many(
    items: Iterable[Any] | AsyncIterable[Any],
    pair: Callable[[Any], tuple[str, str | bytes]],
    send: Callable[[list[str | bytes]], Deferred[list[str]]],
    progress: Progressed | None,
    front: bool,
) -> list[str]:
    """Put items, some in each call.

    :param pair: returns the id of an item, and the serialized item.
    :param send: puts id, item, id, item, ...
    :param front: whether each call puts its items before those of earlier calls.  All items are
        then read first, and the last ones sent first.
    :return: the ids, in the order of the items.
    """
    if progress is not None and not callable(progress):
        raise InvalidType(f"progress must be callable: {shown(progress)}")
    ids: list[str] = []
    held: list[list[str | bytes]] = []
    calls = _Calls(send, progress)
    try:
        async for some, words in _in_parts(items, pair):
            ids += some
            if front:
                held.append(words)
            else:
                await calls.make(words)
        while held:
            await calls.make(_turned(held.pop()))
        await calls.answered(0)
    finally:
        calls.abandon()
    return ids


async def _in_parts(
    items: Iterable[Any] | AsyncIterable[Any], pair: Callable[[Any], tuple[str, str | bytes]]
) -> AsyncIterator[tuple[list[str], list[str | bytes]]]:
    """Yield the ids and the arguments of each call."""
    ids: list[str] = []
    words: list[str | bytes] = []
    size = 0
    async for item in _each(items):
        id_, stored = pair(item)
        ids.append(id_)
        words += (id_, stored)
        size += len(stored)
        if len(ids) == MOST_ITEMS or size >= MOST_BYTES:
            yield ids, words
            ids, words, size = [], [], 0
    if ids:
        yield ids, words


class _Calls:
    """The pending calls, in order."""

    def __init__(
        self,
        send: Callable[[list[str | bytes]], Deferred[list[str]]],
        progress: Progressed | None,
    ) -> None:
        self._send = send
        self._progress = progress
        self._sent: deque[Deferred[int]] = deque()
        self._done = 0

    async def make(self, words: list[str | bytes]) -> None:
        """Make a call, and wait until there is room for another one."""
        self._sent.append(self._send(words).addCallback(parses(len)))
        await self.answered(IN_FLIGHT - 1)

    async def answered(self, left: int) -> None:
        """Wait until at most *left* calls are pending."""
        while len(self._sent) > left:
            self._done += await self._sent[0]
            self._sent.popleft()
            if self._progress is not None:
                self._progress(self._done)

    def abandon(self) -> None:
        """Ignore the results: the caller has the first failure, or no longer waits."""
        for call in self._sent:
            call.addErrback(lambda _: None)


def _turned(words: list[str | bytes]) -> list[str | bytes]:
    """Reverse the pairs of id, item, id, item, ...: the last put to the front is taken first."""
    return [word for at in range(len(words) - 2, -2, -2) for word in words[at : at + 2]]


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    # A Deferred iterates without end.
    if isinstance(items, (str, bytes, Deferred)) or not isinstance(items, Iterable):
        raise InvalidType(f"items must be an iterable of items: {shown(items)}")
    for item in items:
        yield item


def with_ids(
    items: Iterable[Any] | AsyncIterable[Any], ids: Iterable[str]
) -> AsyncIterator[tuple[Any, str]]:
    """Pair items with their ids.

    :raises InvalidType: if *ids* is not an iterable of ids.
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
