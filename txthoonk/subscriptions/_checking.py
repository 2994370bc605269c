"""Comparing the positions of followers with the server's.

Messages can get lost without an error. So a service compares all positions from time to time, and
followers that lag read what they are missing (docs/subscriptions.rst).
"""

from __future__ import annotations

from contextlib import suppress

from twisted.logger import Logger

from txthoonk.errors import FeedDoesNotExist, FeedNotConfigured, InvalidResponse, ResponseError
from txthoonk.history._reads import Standing, compare, look
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._interfaces import Reader
from txthoonk.subscriptions.following._follower import Follower

__all__ = ["COMPARED", "check_sources"]

COMPARED = 200  # feeds in one call

_log = Logger()


def _live(source: Source) -> list[Follower]:
    """Return the followers of a feed that are live."""
    return [one for one in source.followers if isinstance(one, Follower) and one.is_live]


async def check_sources(reader: Reader, sources: list[Source]) -> None:
    """Compare what is known of each feed with what the server has."""
    for first in range(0, len(sources), COMPARED):
        some = [one for one in sources[first : first + COMPARED] if _live(one)]
        if some:
            await _check_some(reader, some)


async def _check_some(reader: Reader, sources: list[Source]) -> None:
    differ: list[tuple[Source, bool, Standing | None]]
    differ = [(source, False, None) for source in sources]
    for source in sources:
        for one in _live(source):
            one.begin_check()
    with suppress(ResponseError, InvalidResponse):  # otherwise check each by itself
        found = await compare(reader.redis, [source.feed for source in sources])
        differ = [
            (source, True, standing)
            for source, standing in zip(sources, found, strict=True)
            if not all(one.agrees(standing) for one in _live(source))
        ]
    for source, is_known, standing in differ:
        try:
            await _check_history(reader, source)
            if is_known:
                await _check_without_history(reader, source, standing)
        except (ResponseError, FeedNotConfigured) as error:
            _log.warn("feed {feed!r} cannot be checked: {error}", feed=source.feed, error=error)


async def _check_history(reader: Reader, source: Source) -> None:
    """Look where the history stands, and compare the followers' positions with it."""
    followers = _live(source)
    one = next((one for one in followers if one.epoch is not None), None)
    if one is None:
        return
    try:
        found = await look(reader.redis, source.feed, one.epoch or "", one.revision, 0)
        valid, epoch, top = found.verdict == "ok", found.epoch, found.top
    except FeedDoesNotExist:
        valid, epoch, top = False, "", 0
    known = [f for f in followers if f.is_live and f.epoch is not None]
    if valid and all((f.epoch, f.revision) == (epoch, top) for f in known):
        return
    # All messages that were published before that answer arrive before the answer to PING.
    await reader.ping()
    for follower in followers:
        follower.check(epoch, top, valid)


async def _check_without_history(
    reader: Reader, source: Source, standing: Standing | None
) -> None:
    if any(one.epoch is None for one in _live(source)):
        await reader.ping()
        for one in _live(source):
            one.compare(standing)
