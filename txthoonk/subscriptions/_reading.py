"""Reading what is missing: looks at the history, whole states, and retries.

A follower makes one :class:`Reading` each time it must read.  When something else happens, such
as a lost connection, it stops that reading, and later makes a new one.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txthoonk.connections._reconnecting import back_off
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedNotConfigured,
    NotSent,
    ResponseError,
    ThoonkError,
)
from txthoonk.events import Event, parse_entry
from txthoonk.history._reads import Look, look
from txthoonk.history._recovery import (
    NOWHERE,
    Position,
    after_look,
    connects,
    drop_void,
    snapshot,
)
from txthoonk.protocol._transient import Passing, passing
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._dues import Dues
from txthoonk.subscriptions._interfaces import Followed, Listener, Reader, Taker
from txthoonk.subscriptions._snapshot import Assembly, Unordered
from txthoonk.wire._keys import feed_channel

__all__ = ["ANEW", "GONE", "Reading", "Superseded", "no_such"]

SLICE = 1000  # entries that are read in one call

ANEW = "the feed was created anew"
GONE = "events were not told yet, and the feed or its history is gone"

T = TypeVar("T")


class Superseded(Exception):
    """What was being read is of no use any more."""


def no_such(source: Source, event: Event) -> None:
    """Log an event that the server knows nothing of."""
    text = "message on {channel!r} ignored: there is no revision {revision}"
    channel = feed_channel("event", event.feed)
    source.log_limit.error(text, channel=channel, revision=event.revision)


class Reading:
    """See the module.

    :ivar is_over: whether it is of no use any more.

    :param follower: whose position it reads on from; live events wait there.
    :param dues: what the follower owes.
    :param listener: is notified before each pause.
    """

    __slots__ = (
        "_assembly",
        "_dues",
        "_follower",
        "_listener",
        "_reader",
        "_replayed",
        "_source",
        "_taker",
        "_waiting",
        "is_over",
    )
    _log = Logger()

    def __init__(
        self,
        follower: Followed,
        dues: Dues,
        taker: Taker,
        source: Source,
        reader: Reader,
        listener: Listener,
    ) -> None:
        self._follower = follower
        self._dues = dues
        self._taker = taker
        self._source = source
        self._reader = reader
        self._listener = listener
        self._assembly: Assembly | None = None
        self._waiting: Deferred[Any] | None = None
        self._replayed = False
        self.is_over = False

    def stop(self) -> None:
        """Read no more, and wait for nothing more."""
        self.is_over = True
        if self._assembly is not None:
            self._assembly.stop()
            self._assembly = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    async def run(self, rest: float) -> None:
        """Read until nothing is missing; then the follower is live.

        :param rest: how many seconds to wait before.
        :raises Superseded: if it was stopped.
        """
        failures = 0
        dues = self._dues
        if rest:
            await self._wait(self._reader.later(rest))
        while True:
            try:
                if not dues.state_wanted or not await self._read_state():
                    await self._replay()
                self._check()
                if not dues.state_wanted:
                    self._follower.go_live(self._replayed)
                    return
            except ConnectionLost as error:
                if isinstance(error, NotSent) and not dues.is_started:
                    raise
                await self._still(self._reader.available())
            except (ResponseError, FeedNotConfigured) as error:
                if dues.strict and not dues.is_started:
                    raise
                failures += 1
                await self._put_off(error, failures)

    # -- pauses -------------------------------------------------------------------

    def _check(self) -> None:
        if self.is_over:
            raise Superseded

    async def _put_off(self, error: ThoonkError, failures: int) -> None:
        """Wait before the next attempt to read; live events are held meanwhile."""
        feed, dues = self._source.feed, self._dues
        self._listener.settled(feed)
        self._check()
        self._log.warn("feed {feed!r} cannot be read: {error}", feed=feed, error=error)
        soon = passing(error) is Passing.TIME and dues.is_started
        if failures == 1 and not soon:
            dues.state_wanted = dues.snapshot
            dues.resync(f"the feed cannot be read: {error}")
            dues.started()
        if not self.is_over:
            self._follower.hold()
            await self._wait(self._reader.later(back_off(failures)))

    async def _wait(self, waiting: Deferred[Any]) -> None:
        """Wait for something that is to be cancelled when it is of no use any more."""
        self._listener.waits(self._source.feed)
        if self.is_over:
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            raise Superseded
        self._waiting = waiting
        await self._still(waiting)
        self._waiting = None

    async def _still(self, awaited: Awaitable[T]) -> T:
        """Wait for something, and go on only if it is still of use."""
        result = await awaited
        self._check()
        return result

    # -- the history --------------------------------------------------------------

    async def _replay(self) -> None:
        """Deliver what the history has behind the position."""
        most = self._listener.first_slice or SLICE
        while True:
            # Before the position is known, nobody takes events from a pattern's subscription.
            while not (room := self._taker.reserve(most)) and self._dues.is_started:
                await self._wait(self._taker.room())
            most = SLICE
            try:
                if await self._replay_some(room):
                    return
            finally:
                self._taker.release(room)

    async def _replay_some(self, most: int) -> bool:
        """Deliver the next events of the history; whether there are no more."""
        follower, dues = self._follower, self._dues
        held = len(follower.held)
        found = await self._looked(most)
        before = Position(follower.epoch, follower.revision)
        outcome = after_look(
            before,
            found,
            gap=dues.gap,
            foreign=dues.foreign,
            from_start=dues.from_start,
            contiguous=dues.contiguous,
        )
        self._replayed = self._replayed or dues.from_start
        dues.foreign, dues.from_start, dues.contiguous = False, False, True
        follower.move_to(outcome.position)
        reason = outcome.resync
        if self._drop_void(held, found, before.epoch) and reason is None:
            reason = ANEW
        dues.started()
        self._check()
        if reason is not None:
            dues.gap = None
            if dues.snapshot:
                follower.drop_held()
            dues.state_wanted = dues.snapshot
            dues.resync(reason, outcome.position)
        if found is None or not outcome.replay or dues.state_wanted:
            dues.gap = None
            return True
        last = int(found.entries[-1][0]) if found.entries else follower.revision
        is_last = last >= found.top or connects(follower.held, last)
        dues.gap = None if is_last else dues.gap or GONE
        self._deliver(found)
        return is_last

    def _drop_void(self, count: int, found: Look | None, last: str | None) -> bool:
        follower = self._follower
        if follower.epoch is None or found is None:
            return False
        position = Position(follower.epoch, follower.revision)
        held = follower.held
        before = [held.popleft() for _ in range(min(count, len(held)))]
        void, forged, kept = drop_void(before, position, found.top, last)
        held.extendleft(reversed(kept))
        for event in forged:
            no_such(self._source, event)
        return void

    def _deliver(self, found: Look) -> None:
        """Deliver the entries of a look."""
        follower, source = self._follower, self._source
        for entry in found.entries:
            self._replayed = True
            event = parse_entry(source.feed, found.epoch, entry)
            follower.revision = int(entry[0])
            self._taker.force(source.loaded(event))
            source.release()
            if self.is_over:
                raise Superseded

    async def _looked(self, most: int) -> Look | None:
        """Look at the history; None if there is no such feed."""
        redis, feed, follower = self._reader.redis, self._source.feed, self._follower
        epoch, since = follower.epoch or "", None if follower.epoch is None else follower.revision
        if self._dues.from_start:
            epoch, since = "", 0
        found: Look | None = None
        with suppress(FeedDoesNotExist):
            found = await look(redis, feed, epoch, since, 0 if since is None else most)
        self._check()
        follower.absent = found is None
        if found is not None:
            self._source.learn(found.type, found.serializer)
        return found

    # -- the whole state ----------------------------------------------------------

    async def _read_state(self) -> bool:
        """Deliver the whole state; whether there is one."""
        follower, dues = self._follower, self._dues
        assembly = self._assembly = Assembly(self._source, self._reader, dues.pass_on)
        follower.apply_to(assembly.live)
        follower.drop_held()
        try:
            slices = await self._still(assembly.read())
        except Unordered:
            if self.is_over:
                raise Superseded from None
            self._assembly = None
            if dues.strict:
                raise
            self._go_without_state(assembly)
            return False
        self._assembly = None  # it has a copy of everything
        follower.absent = assembly.absent
        dues.state_wanted = dues.created = False
        dues.gap, dues.foreign, dues.from_start = None, False, False
        dues.contiguous = self._replayed = True
        follower.hold(assembly.left)
        follower.move_to(assembly.position)
        dues.started()
        self._deliver_state(slices)
        return True

    def _go_without_state(self, assembly: Assembly) -> None:
        """Follow a feed that has no order, and so no state."""
        follower, dues = self._follower, self._dues
        dues.snapshot = dues.state_wanted = False
        follower.hold(assembly.held)
        dues.pass_on_kept_back(snapshot=False, absent=follower.absent)
        self._check()
        if dues.created:  # that is passed on already, and all of the new feed comes after it
            dues.created, dues.from_start = False, True
            follower.move_to(NOWHERE)

    def _deliver_state(self, slices: list[list[tuple[str, Any]]]) -> None:
        follower, source = self._follower, self._source
        for items in slices:
            self._check()
            event = snapshot(source.feed, items, Position(follower.epoch, follower.revision))
            more = items is not slices[-1]
            self._taker.force(event._replace(type=source.type, more=more))
        if not self.is_over:
            self._dues.pass_on_kept_back(snapshot=True, absent=follower.absent)
