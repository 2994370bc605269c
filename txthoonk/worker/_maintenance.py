"""A service that regularly repairs what processes left unfinished."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import Any, Union

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._replies import MISFITS
from txthoonk._support._threads import check_thread
from txthoonk.client._types import TYPES
from txthoonk.errors import (
    FeedDoesNotExist,
    FeedTypeMismatch,
    InvalidType,
    ResponseError,
    ThoonkError,
    shown,
)
from txthoonk.job._job import timekeeper_of
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._transient import memory_is_full, passes
from txthoonk.types import Job
from txthoonk.types._interfaces import Publisher
from txthoonk.types._taken import TakenFeed
from txthoonk.wire._checks import check_interval
from txthoonk.wire._keys import check_name, feed_key
from txthoonk.wire._settings import setting_from

__all__ = ["Maintenance"]

EXCLUSIVE = 0.6  # of the interval, for which other services skip a feed
JITTER = 0.25  # of the interval, more or less


FeedOrName = Union[TakenFeed, str]


class Maintenance(Service):
    """Runs ``maintenance()`` of queues and job feeds, and keeps the time of job feeds.

    It ends claims that are too old, and puts delayed jobs that are due into the line, on time.
    About every *interval* it puts back lost ids.  You can run any number of these services at
    the same time, in any process: one of them makes the pass over a feed, and the others skip
    that feed for a while.

    :param thoonk: the publisher of the feeds.
    :param feeds: the feeds, or their names; None for all feeds of type queue, pyqueue and job,
        also those created later.
    :param interval: seconds from one pass to the next, a quarter more or less by chance.
    :param reactor: None for the reactor of *thoonk*.
    :raises InvalidInput: for bad names, or an interval of 0.
    """

    _log = Logger()

    def __init__(
        self,
        thoonk: Publisher,
        feeds: Iterable[FeedOrName] | FeedOrName | None = None,
        interval: float = 30.0,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._pub = thoonk
        if isinstance(feeds, (str, TakenFeed)):
            feeds = [feeds]
        self._feeds = None if feeds is None else _checked_all(feeds)
        self._interval = check_interval(interval, "the interval of maintenance")
        self._given_reactor = reactor
        self._uuid = uuid.uuid4().hex
        self._timer: IDelayedCall | None = None
        self._pass: Deferred[None] | None = None
        self._attended: dict[str, Job] = {}

    @property
    def _reactor(self) -> Any:
        return self._given_reactor or self._pub.waiting_room.reactor

    # -- the service --------------------------------------------------------------------

    def startService(self) -> None:
        """Begin with a first pass."""
        check_thread()
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]
        self._pub.attach(self)
        self._schedule(0.0)

    def stopService(self) -> Deferred[None]:
        """Stop, between two steps of a pass.

        :return: fires None at once.
        """
        check_thread()
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]
            self._pub.detach(self)
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            current, self._pass = self._pass, None
            if current is not None:
                current.cancel()
            for name in list(self._attended):
                self._leave(name)
        return succeed(None)

    def _schedule(self, wait: float) -> None:
        self._timer = self._reactor.callLater(wait, self._begin)

    def _begin(self) -> None:
        self._schedule(self._interval * random.uniform(1 - JITTER, 1 + JITTER))
        if self._pass is None:
            current = self._pass = Deferred.fromCoroutine(self._maintain_all())
            current.addErrback(self._failed).addBoth(self._ended, current)

    def _ended(self, _: object, current: Deferred[None]) -> None:
        if self._pass is current:
            self._pass = None

    def _failed(self, reason: Failure) -> None:
        if reason.check(CancelledError):
            return
        if passes(reason.value, worked=True):
            self._log.warn("no maintenance: {error}", error=reason.getErrorMessage())
        else:
            self._log.failure("maintenance failed", reason)

    # -- a pass -------------------------------------------------------------------------

    async def _maintain_all(self) -> None:
        for feed in self._feeds if self._feeds is not None else await self._all_feeds():
            try:
                await self._maintain(feed)
            except ThoonkError as error:
                if passes(error) and not memory_is_full(error):
                    raise  # the next feed would fail, too
                # The feed may be deleted, or created again with another type.
                self._leave(feed if isinstance(feed, str) else feed.name)
                if not isinstance(error, FeedDoesNotExist):
                    self._log.error("maintenance failed: {error}", error=error)
            except MISFITS:
                self._log.failure("maintenance of {feed!r} failed", feed=feed)

    async def _all_feeds(self) -> list[str]:
        names = await self._pub.get_feed_names()
        for name in set(self._attended) - names:
            self._leave(name)
        return sorted(names)

    async def _maintain(self, one: FeedOrName) -> None:
        feed = await self._present(one)
        if feed is None:
            return
        if isinstance(feed, Job) and feed.name not in self._attended:
            self._attended[feed.name] = feed
            timekeeper_of(feed).attend()
        if await self._may(feed.name):
            await feed.maintenance()

    async def _present(self, one: FeedOrName) -> TakenFeed | None:
        """Return the feed that has the name now; its type may have changed."""
        name = one if isinstance(one, str) else one.name
        type_ = setting_from(await self._pub.get_config(name), "type")
        if type_ != "job":
            self._leave(name)
        elif name in self._attended:
            return self._attended[name]
        cls = TYPES.get(type_)
        if cls is not None and issubclass(cls, TakenFeed):
            return one if type(one) is cls else cls(self._pub, name)
        if self._feeds is None:
            return None
        raise FeedTypeMismatch(f"feed {name!r} is of type {type_!r}, which needs no maintenance")

    async def _may(self, name: str) -> bool:
        """Return whether no other service has maintained the feed recently."""
        key, request = feed_key("maintained", name), self._pub.redis.request
        last = ("PX", max(1, int(self._interval * EXCLUSIVE * 1000)))
        try:
            if await request(("SET", key, self._uuid, *last, "NX"), TEXT):
                return True
        except ResponseError as error:
            # Several passes at once do no harm.
            if not memory_is_full(error):
                raise
            return True
        return bool(await request(("GET", key), TEXT) == self._uuid)

    def _leave(self, name: str) -> None:
        job = self._attended.pop(name, None)
        if job is not None:
            timekeeper_of(job).leave()


def _checked_all(feeds: object) -> list[FeedOrName]:
    if not isinstance(feeds, Iterable):
        raise InvalidType(f"feeds must be an iterable of feeds or names: {shown(feeds)}")
    return [_checked(feed) for feed in feeds]


def _checked(feed: object) -> FeedOrName:
    if isinstance(feed, TakenFeed):
        return feed
    if not isinstance(feed, str):
        raise InvalidType(f"maintenance is for queues and job feeds, and names: {shown(feed)}")
    return check_name(feed)
