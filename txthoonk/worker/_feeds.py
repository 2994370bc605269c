"""The feeds of a worker: checks them, and opens them when there is a connection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Union

from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk.connections._back_off import back_off, level_of
from txthoonk.errors import FeedExists, InvalidInput, InvalidType, ThoonkError, shown
from txthoonk.types import Job
from txthoonk.wire._feed_config import Config
from txthoonk.wire._keys import check_name

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["DEFAULTS", "Feeds", "open_feed", "weighted"]

#: The configuration of a job feed that a worker creates.
DEFAULTS: Config = {"type": "job", "timeout": 60, "max_failures": 10}

FeedOrName = Union[Job, str]
#: One job feed, several, or each with its weight.
Feeds = Union[FeedOrName, Sequence[FeedOrName], Mapping[Any, float]]

_log = Logger()


async def open_feed(feed: FeedOrName, thoonk: Thoonk | None, reactor: Any) -> Job:
    """Return a job feed; create it if it does not exist; try again until that succeeds."""
    if isinstance(feed, Job) or thoonk is None:
        return feed  # type: ignore[return-value]  # a name comes with a Thoonk
    failures = 0
    while True:
        try:
            return await _open(feed, thoonk)
        except ThoonkError as error:
            failures += 1
            text = "cannot work on feed {name!r} yet: {error}"
            _log.emit(level_of(failures), text, name=feed, error=error)
            await deferLater(reactor, back_off(failures))


async def _open(name: str, thoonk: Thoonk) -> Job:
    with suppress(FeedExists):
        await thoonk.create_feed(name, DEFAULTS)
    return await thoonk.job(name)


def weighted(feeds: Feeds, thoonk: Thoonk | None) -> dict[FeedOrName, float]:
    """Check the feeds, and return the weight of each."""
    if isinstance(feeds, (str, Job)):
        feeds = [feeds]
    if not isinstance(feeds, Iterable) or isinstance(feeds, bytes):
        raise InvalidType(f"a worker's feeds must be job feeds, or names: {shown(feeds)}")
    if not isinstance(feeds, Mapping):
        feeds = list(feeds)
        for feed in feeds:
            _check_feed(feed)
        feeds = dict.fromkeys(feeds, 1.0)
    if not feeds:
        raise InvalidInput("a worker needs a feed")
    for feed, weight in feeds.items():
        _check_feed(feed)
        if isinstance(feed, str) and thoonk is None:
            raise InvalidInput(f"where is feed {feed!r}? give the Thoonk, too: thoonk=...")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise InvalidType(f"the weight of a feed must be a number: {shown(weight)}")
        if not 0 < weight < math.inf:
            raise InvalidInput(f"the weight of a feed must be a number above 0: {shown(weight)}")
    return dict(feeds)


def _check_feed(feed: object) -> None:
    if isinstance(feed, str):
        check_name(feed)
    elif not isinstance(feed, Job):
        raise InvalidType(f"a worker's feed must be a job feed, or its name: {shown(feed)}")
