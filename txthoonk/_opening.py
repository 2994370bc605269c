"""Opens the feeds of a worker, whenever there is a connection."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk._config import Config
from txthoonk._connection import back_off, level_of
from txthoonk.errors import FeedExists, ThoonkError
from txthoonk.types import Job

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["DEFAULTS", "open_feed"]

#: The configuration of a job feed that a worker creates.
DEFAULTS: Config = {"type": "job", "timeout": 60, "max_failures": 10}

_log = Logger()


async def open_feed(feed: Job | str, thoonk: Thoonk | None, reactor: Any) -> Job:
    """Give a job feed, created if it does not exist; try again until that succeeds."""
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
