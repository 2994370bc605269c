"""Reads large collections in slices.

While Redis reads a slice it does nothing else, and neither does this process while it parses one.
Small slices keep others from waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from txthoonk._support._replies import parsing
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT

__all__ = ["IDS", "SCORED", "read_ids", "read_scored", "read_set", "scan"]

IDS = 5000  # in one slice
SCORED = 2500  # in one slice with their scores
OVERLAP = 500  # ids at the start of a slice that the slice before also had
DETOURS = 20  # steps back or without progress, then everything is read at once

MOST_SCANNED = 500  # fields in one step
BIG = 1_000_000  # bytes in one step, about


async def read_ids(read: Callable[[int, int], Awaitable[list[str]]]) -> list[str]:
    """Read ordered ids that may change during the read.

    Slices overlap, so that an id is not missed when others before it are removed.

    :param read: returns the ids from one rank to another, inclusive.
    :return: the ids in their order.  An id that exists during the whole read is in it once; one
        that is added or removed meanwhile may or may not be in it.
    """
    found: dict[str, None] = {}
    first, detours, back = 0, 0, IDS
    while detours < DETOURS:
        some = await read(first, first + IDS - 1)
        before = len(found)
        with parsing:
            gone = first and (not some or some[0] not in found)
            for id_ in () if gone else some:
                found.pop(id_, None)  # an id that has moved to the end must be last
                found[id_] = None
            is_last = len(some) < IDS
        if gone:
            # More ids were removed than the slices overlap.
            first, detours, back = max(0, first - back), detours + 1, 2 * back
            continue
        if is_last:
            return list(found)
        # Ids that are added in front may push the rest on faster than we read.
        detours += len(found) == before
        first, back = first + IDS - OVERLAP, IDS
    return await read(0, -1)


async def read_scored(read: Callable[[str, int], Awaitable[list[str]]]) -> list[str]:
    """Read the ids of a sorted set whose scores only grow, and that may shrink meanwhile.

    :param read: takes a score and a number to skip; returns id, score, id, score, ... of up to
        :data:`SCORED` ids from that score on.
    :return: as :func:`read_ids`.
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
        # Other implementations may give several ids the same score.
        skipped = skipped + SCORED if last == score else 0
        score = last


async def scan(step: Callable[[str, int], Awaitable[Any]], first: int = 20) -> None:
    """Scan a hash or a set, with steps that adapt to the size of its fields.

    :param step: takes a cursor and an approximate number of fields; returns the next cursor, and
        the bytes of the fields that it scanned.
    :param first: the number of fields for the first step.
    """
    cursor, count = "", first
    while cursor != "0":
        cursor, size = await step(cursor or "0", count)
        with parsing:
            is_big = size > BIG
        count = max(1, count // 4) if is_big else min(MOST_SCANNED, 2 * count)


async def read_set(redis: Commands, key: str) -> list[str]:
    """Read the members of a set that may change during the read.

    :return: a member that exists during the whole read is in it once; one that is added or
        removed meanwhile may or may not be in it.  A set of up to some hundred members is read at
        one moment.
    """
    found: dict[str, None] = {}

    async def step(cursor: str, count: int) -> tuple[str, int]:
        reply = await redis.request(("SSCAN", key, cursor, "COUNT", count), TEXT)
        with parsing:
            cursor, members = reply
            found.update(dict.fromkeys(members))
            return cursor, sum(map(len, members))

    await scan(step, MOST_SCANNED)
    return list(found)
