"""Reading what may be big in slices, so that nobody waits long for anybody.

Redis does nothing else while it reads a slice, nor does this process while it takes one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from txthoonk._support._replies import parsing

__all__ = ["IDS", "SCORED", "read_ids", "read_scored", "scan"]

IDS = 5000  # in one slice
SCORED = 2500  # in one slice with their scores
OVERLAP = 500  # of these that were read before
DETOURS = 20  # until it is read at once

MOST_SCANNED = 500  # fields in one step
BIG = 1_000_000  # bytes that one step looks at, about


async def read_ids(read: Callable[[int, int], Awaitable[list[str]]]) -> list[str]:
    """Read the ids of an order that may change meanwhile.

    Each slice begins with some ids of the one before: so those are not missed that have moved
    because others before them have gone.

    :param read: gives the ids from one rank to another, included.
    :return: the ids in their order: those that are in it all along, each once, and of those that
        come and go meanwhile some.
    """
    found: dict[str, None] = {}
    first, detours, back = 0, 0, IDS
    while detours < DETOURS:
        some = await read(first, first + IDS - 1)
        before = len(found)
        with parsing:
            gone = first and (not some or some[0] not in found)
            for id_ in () if gone else some:
                found.pop(id_, None)  # one that has gone to the end is at the end
                found[id_] = None
            is_last = len(some) < IDS
        if gone:
            # More have gone than the slices have in common.
            first, detours, back = max(0, first - back), detours + 1, 2 * back
            continue
        if is_last:
            return list(found)
        # What comes in before them may push them on faster than they can be read.
        detours += len(found) == before
        first, back = first + IDS - OVERLAP, IDS
    return await read(0, -1)


async def read_scored(read: Callable[[str, int], Awaitable[list[str]]]) -> list[str]:
    """Read the ids of a sorted set in which scores only grow, from which some may go meanwhile.

    :param read: gives ids and scores, id, score, id, score, ..., of up to :data:`SCORED` ids,
        from a score on, without the first so many of them.
    :return: as :func:`read_ids` does.
    """
    found: dict[str, None] = {}
    score, skipped = "-inf", 0
    while True:
        some = await read(score, skipped)
        with parsing:
            for id_ in some[::2]:
                found.pop(id_, None)
                found[id_] = None
            is_last, last = len(some) < 2 * SCORED, some[-1] if some else ""
        if is_last:
            return list(found)
        # Foreign writers give one score to several.
        skipped = skipped + SCORED if last == score else 0
        score = last


async def scan(step: Callable[[str, int], Awaitable[Any]]) -> None:
    """Go through a hash or a set.

    :param step: looks at some fields: gets a cursor and about how many; gives the next cursor,
        and how many bytes they were.
    """
    cursor, count = "", 20
    while cursor != "0":
        cursor, size = await step(cursor or "0", count)
        with parsing:
            is_big = size > BIG
        count = max(1, count // 4) if is_big else min(MOST_SCANNED, 2 * count)
