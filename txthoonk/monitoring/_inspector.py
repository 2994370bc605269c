"""The state of a feed at one moment, for monitoring."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import attr
from twisted.internet.defer import CancelledError, Deferred

from txthoonk._support._replies import parses, parsing
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._keys import FEEDS
from txthoonk.wire._scripts import load

__all__ = [
    "SILENT",
    "FeedNames",
    "Held",
    "Overview",
    "WorkerInfo",
    "read_overview",
    "read_overviews",
]

_OVERVIEW = load("registry/overview")

SILENT = 60.0  # seconds without a sign of life after which a worker counts as dead
AT_A_TIME = 16  # feeds that are read at the same time
PAGE = 1000  # names of feeds that one call reads, about
LONGEST = 1e12  # seconds; a stored time that is longer ago is not valid
MOST_NUMBER = 10**9  # the highest valid number in a worker's record


@attr.frozen
class WorkerInfo:
    """A worker, as it describes itself in Redis.

    :ivar owner: the beginning of the tokens of its claims.
    :ivar seen: the seconds since its last sign of life.
    :ivar name: its name.
    :ivar host: the name of its machine.
    :ivar pid: the id of its process.
    :ivar concurrency: how many jobs it works on at a time.
    """

    owner: str
    seen: float
    name: str = ""
    host: str = ""
    pid: int = 0
    concurrency: int = 0


@attr.frozen
class Held:
    """A claimed job.

    :ivar id: the job's id.
    :ivar owner: the owner of the claim; empty if it is not known.
    :ivar seconds: the age of the claim; if that is not known, the time since its last renewal.
    """

    id: str
    owner: str
    seconds: float


@attr.frozen
class Overview:
    """The state of a feed of any type at one moment.

    :ivar name: the feed's name.
    :ivar time: the time of this state, in seconds since 1970 by the server's clock.
    :ivar type: the feed's type; ``feed`` if it has none.
    :ivar paused: whether it is paused.
    :ivar available: the number of items; for a queue or a job feed, of those in the line.
    :ivar claimed: the number of claimed jobs, or of items that are being delivered.
    :ivar stalled: the number of stalled jobs.
    :ivar delayed: the number of jobs that are not due yet.
    :ivar publishes: how many items were ever published or put.
    :ivar finishes: how many jobs were ever finished.
    :ivar oldest: for how many seconds the oldest available job has been available; None if there
        is none, and for a queue.
    :ivar workers: the workers of the feed.
    :ivar held: the claims whose last renewal is longest ago.
    """

    name: str
    time: float
    type: str
    paused: bool
    available: int
    claimed: int
    stalled: int
    delayed: int
    publishes: int
    finishes: int
    oldest: float | None
    workers: list[WorkerInfo]
    held: list[Held]


def read_overview(redis: Commands, feed: str, most: int = 100) -> Deferred[Overview]:
    """Read the state of a feed.

    :param most: the most claims to list.
    :return: fires an :class:`Overview`, even if the feed does not exist.
    """
    called = redis.call(_OVERVIEW, (*_OVERVIEW.bind(feed), most), TEXT)
    return called.addCallback(_overview, feed)


async def read_overviews(
    redis: Commands, feeds: Iterable[str], most: int = 100
) -> tuple[dict[str, Overview], dict[str, ResponseError]]:
    """Read the state of many feeds, several at a time.

    :param most: see :func:`read_overview`.
    :return: the states by feed, and the errors of the feeds that cannot be read.
    :raises ConnectionLost: if a call was not answered.
    """
    found: dict[str, Overview] = {}
    failed: dict[str, ResponseError] = {}
    rest = iter(feeds)
    readers = [
        Deferred.fromCoroutine(_read_some(redis, rest, most, found, failed))
        for _ in range(AT_A_TIME)
    ]
    try:
        for reader in readers:
            await reader
    finally:
        for reader in readers:
            reader.addErrback(lambda reason: reason.trap(CancelledError, ConnectionLost))
            reader.cancel()
    return found, failed


async def _read_some(
    redis: Commands,
    feeds: Iterator[str],
    most: int,
    found: dict[str, Overview],
    failed: dict[str, ResponseError],
) -> None:
    for feed in feeds:
        try:
            found[feed] = await read_overview(redis, feed, most)
        except ResponseError as error:
            failed[feed] = error


class FeedNames:
    """Reads the names of all feeds in pages, round after round.

    A feed that exists during a whole round is on at least one of its pages.

    :ivar at_start: whether the next page is the first of a round.
    """

    def __init__(self, redis: Commands) -> None:
        self._redis = redis
        self._cursor = "0"

    @property
    def at_start(self) -> bool:
        return self._cursor == "0"

    async def page(self) -> list[str]:
        """Read the next names; if that fails, the round begins again."""
        command = ("SSCAN", FEEDS, self._cursor, "COUNT", PAGE)
        self._cursor = "0"  # after a failure the server may be another one: the cursor is void
        reply = await self._redis.request(command, TEXT)
        with parsing:
            self._cursor, names = reply
            return list(names)


@parses
def _overview(reply: list[Any], feed: str) -> Overview:
    time, kind, paused, available, claimed, stalled, delayed, publishes, finishes = reply[:9]
    since, workers, held = reply[9:]
    now = float(time)
    return Overview(
        feed,
        now / 1000,
        kind,
        bool(paused),
        available,
        claimed,
        stalled,
        delayed,
        publishes,
        finishes,
        None if since is None else _seconds(now, float(since)),
        [_worker(*both, now) for both in zip(workers[::2], workers[1::2], strict=True)],
        [_held(*three, now) for three in zip(held[::3], held[1::3], held[2::3], strict=True)],
    )


def _milliseconds(now: float, time: float) -> float:
    """Return a stored time in milliseconds; other programs may have stored another unit."""
    if time < now / 20:
        return time * 1000  # it is in seconds
    return time / 1000 if time > now * 20 else time  # in microseconds


def _seconds(now: float, since: float) -> float:
    """Return the seconds since a stored time; 0 if the time makes no sense."""
    seconds = (now - _milliseconds(now, since)) / 1000
    return seconds if 0 <= seconds < LONGEST else 0.0


def _worker(worker: str, text: str, now: float) -> WorkerInfo:
    owner = worker.partition(":")[0]
    time, _, stored = text.partition(" ")
    try:
        seen = _seconds(now, float(time))
        words: Any = json.loads(stored)
        return WorkerInfo(
            owner,
            seen,
            str(words.get("name", "")),
            str(words.get("host", "")),
            _number(words.get("pid", 0)),
            _number(words.get("concurrency", 0)),
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return WorkerInfo(owner, 0.0)


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value <= MOST_NUMBER else 0


def _held(id_: str, score: str, entry: str, now: float) -> Held:
    token, _, time = entry.partition(" ")
    owner, _, start = token.rpartition(":")
    claimed = float(score)
    try:
        # Otherwise another implementation has claimed it since.
        known = _milliseconds(now, claimed) <= float(time)
        since = float(start) if known else claimed
    except ValueError:
        known, since = False, claimed
    return Held(id_, owner if known else "", _seconds(now, since))
