"""What a feed looks like at one moment: for those who watch over feeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import attr
from twisted.internet.defer import CancelledError, Deferred

from txthoonk._support._replies import parses, parsing
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._keys import FEEDS, feed_key
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

SILENT = 60.0  # seconds after which a worker that says nothing is taken for dead
AT_A_TIME = 16  # feeds that are read
PAGE = 1000  # names of feeds that are read at a time, about
LONGEST = 1e12  # seconds; what is longer ago is no time
MOST_NUMBER = 10**9  # of what a worker tells of itself

_PARTS = (
    "config",
    "ids",
    "items",
    "publishes",
    "published",
    "claimed",
    "stalled",
    "delayed",
    "finishes",
    "workers",
    "claims",
    "delivering",
)


@attr.frozen
class WorkerInfo:
    """What a worker tells of itself.

    :ivar owner: what the tokens of its claims begin with.
    :ivar seen: how long ago it was heard of, in seconds.
    :ivar name: its name.
    :ivar host: where it runs.
    :ivar pid: the number of its process.
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
    :ivar owner: who has claimed it; empty if that is not known.
    :ivar seconds: for how long it is claimed; since it was renewed last, if that is not known.
    """

    id: str
    owner: str
    seconds: float


@attr.frozen
class Overview:
    """A feed of whatever type, at one moment.

    :ivar name: the feed's name.
    :ivar time: when that was, in seconds since 1970 by the server's clock.
    :ivar type: its type; ``feed`` if it has none.
    :ivar paused: whether it is paused.
    :ivar available: how many items it has; of a queue or job feed: in its line.
    :ivar claimed: how many jobs are claimed, or items being delivered.
    :ivar stalled: how many jobs are stalled.
    :ivar delayed: how many jobs are not due yet.
    :ivar publishes: how many items were ever published or put.
    :ivar finishes: how many jobs were ever finished.
    :ivar oldest: for how many seconds the job is available that is for longest; None if there
        is none, or of a queue.
    :ivar workers: those who work on it.
    :ivar held: the claims that are renewed longest ago.
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


def read_overview(redis: RedisProtocol, feed: str, most: int = 100) -> Deferred[Overview]:
    """Look at a feed.

    :param most: how many claims to list.
    :return: fires an :class:`Overview`, also of a feed that does not exist.
    """
    prefix = _OVERVIEW.prefix([feed_key(part, feed) for part in _PARTS])
    called = redis.call(_OVERVIEW, (*prefix, most), TEXT)
    return called.addCallback(_overview, feed)


async def read_overviews(
    redis: RedisProtocol, feeds: Iterable[str], most: int = 100
) -> tuple[dict[str, Overview], dict[str, ResponseError]]:
    """Look at many feeds, some at a time.

    :param most: see :func:`read_overview`.
    :return: what they look like; and why others cannot be looked at.
    :raises ConnectionLost: if one was not answered.
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
    redis: RedisProtocol,
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
    """The names of all feeds, page after page, and round after round.

    What is in the registry during a whole round is on one of its pages at least.

    :ivar at_start: whether the next page is the first of a round.
    """

    def __init__(self, redis: RedisProtocol) -> None:
        self._redis = redis
        self._cursor = "0"

    @property
    def at_start(self) -> bool:
        return self._cursor == "0"

    async def page(self) -> list[str]:
        """Read the next names; if that fails, the round begins again."""
        command = ("SSCAN", FEEDS, self._cursor, "COUNT", PAGE)
        self._cursor = "0"  # the next server may be another one, which knows nothing of it
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


def _seconds(now: float, since: float) -> float:
    """Give how long ago a time is that somebody has stored, who may have stored anything."""
    seconds = (now - since) / 1000
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


def _number(told: object) -> int:
    return told if type(told) is int and 0 <= told <= MOST_NUMBER else 0


def _held(id_: str, score: str, entry: str, now: float) -> Held:
    token, _, time = entry.partition(" ")
    owner, _, start = token.rpartition(":")
    claimed = float(score)
    try:
        known = claimed <= float(time)  # else somebody else has claimed it since
        since = float(start) if known else claimed
    except ValueError:
        known, since = False, claimed
    return Held(id_, owner if known else "", _seconds(now, since))
