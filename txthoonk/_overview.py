"""What a feed looks like at one moment: for those who watch over feeds."""

from __future__ import annotations

import json
from typing import Any

import attr
from twisted.internet.defer import Deferred

from txthoonk._keys import feed_key
from txthoonk._redis import TEXT, RedisProtocol
from txthoonk._scripts import load

__all__ = ["Held", "Overview", "WorkerInfo", "read_overview"]

_OVERVIEW = load("registry/overview")

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
    :ivar type: its type; ``feed`` if it has none.
    :ivar paused: whether it is paused.
    :ivar available: how many items it has; of a queue or job feed: in its line.
    :ivar claimed: how many jobs are claimed, or items being delivered.
    :ivar stalled: how many jobs are stalled.
    :ivar delayed: how many jobs are not due yet.
    :ivar publishes: how many items were ever published or put.
    :ivar finishes: how many jobs were ever finished.
    :ivar oldest: for how many seconds the first job in line is there; None if there is none.
    :ivar workers: those who work on it.
    :ivar held: the claims that are renewed longest ago.
    """

    name: str
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
    return redis.call(_OVERVIEW, (*prefix, most), TEXT).addCallback(_overview, feed)


def _overview(reply: list[Any], feed: str) -> Overview:
    time, kind, paused, available, claimed, stalled, delayed, publishes, finishes = reply[:9]
    since, workers, held = reply[9:]
    now = float(time)
    return Overview(
        feed,
        kind,
        bool(paused),
        available,
        claimed,
        stalled,
        delayed,
        publishes,
        finishes,
        None if since is None else max(0.0, now - float(since)) / 1000,
        [_worker(*both, now) for both in zip(workers[::2], workers[1::2], strict=True)],
        [_held(*three, now) for three in zip(held[::3], held[1::3], held[2::3], strict=True)],
    )


def _worker(owner: str, text: str, now: float) -> WorkerInfo:
    time, _, stored = text.partition(" ")
    try:
        seen = max(0.0, now - float(time)) / 1000
        words: Any = json.loads(stored)
        return WorkerInfo(
            owner,
            seen,
            str(words.get("name", "")),
            str(words.get("host", "")),
            int(words.get("pid", 0)),
            int(words.get("concurrency", 0)),
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return WorkerInfo(owner, 0.0)


def _held(id_: str, score: str, entry: str, now: float) -> Held:
    token = entry.partition(" ")[0]
    owner, _, start = token.rpartition(":")
    try:
        since = float(start or score)
    except ValueError:
        since = float(score)
    return Held(id_, owner, max(0.0, now - since) / 1000)
