"""One feed as one subscription follows it: down, reading, live or paused.

*Down*: the channels are not confirmed.  *Reading*: they are, and live events are held
while the history behind the position is read, or the whole state.  *Live*: each event is
the next one.  *Paused*: the subscriber has too much to do; afterwards we read again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.connections._reconnecting import back_off
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedNotConfigured,
    NotSent,
    ResponseError,
    ThoonkError,
)
from txthoonk.events import CHANNELS, Event, parse_entry
from txthoonk.history._reads import REASONS, Look, Standing, look
from txthoonk.history._recovery import (
    NOWHERE,
    SLOW,
    UNRECORDED,
    Position,
    Step,
    after_look,
    connects,
    drop_void,
    is_foreign,
    is_told,
    resync,
    snapshot,
    step,
)
from txthoonk.protocol._transient import Passing, passing
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._interfaces import Reader, Restraint, Taker
from txthoonk.subscriptions._snapshot import Assembly, Unordered
from txthoonk.wire._keys import feed_channel

__all__ = ["Follower"]

HELD = 10_000  # live events that are held while the history is read
SLICE = 1000  # entries that are read in one call
# Where nothing is held, which is most of the time, and of most of many feeds: it takes nothing.
_NOTHING: deque[Event] = deque(maxlen=0)

ANEW = "the feed was created anew"
GONE = "events were not told yet, and the feed or its history is gone"
UNCONFIRMED = "the connection was lost before Redis confirmed the subscription"
UNSEEN = "events were missed, and there is no publisher to read the history with"

T = TypeVar("T")


class _Superseded(Exception):
    """What was being read is of no use any more."""


def _ignore(event: Event) -> None:
    pass


class Follower:
    """See the module.

    :ivar live: gets each live event.
    :ivar absent: whether there was no such feed when it was looked at last.
    :ivar epoch: up to where events were delivered: the epoch, None without history,
    :ivar revision: and the revision.

    :param reader: None: nothing can be read, only live events are to be had.
    :param position: where to begin; None: at the present.
    :param gap: why events may be missing before the first one, without a history.
    :param from_start: whether the feed is new.
    :param contiguous: whether nothing was missed until now, though nothing was told.
    :param strict: whether a snapshot of a feed that has no state is an error.
    :param begun: whether a loss is to be told before the position is known, too.
    :param first: fires once the position is known for the first time; fails if it cannot
        be.
    """

    __slots__ = (
        "_after",
        "_assembly",
        "_begun",
        "_contiguous",
        "_created",
        "_first",
        "_foreign",
        "_from_start",
        "_gap",
        "_going",
        "_held",
        "_is_started",
        "_overflown",
        "_publishes",
        "_put",
        "_reader",
        "_replayed",
        "_restraint",
        "_snapshot",
        "_sought",
        "_source",
        "_state_wanted",
        "_strict",
        "_taker",
        "_told",
        "_turn",
        "_waiting",
        "absent",
        "epoch",
        "live",
        "revision",
    )
    _log = Logger()
    _FIRST_SLICE = SLICE

    def __init__(
        self,
        taker: Taker,
        source: Source,
        reader: Reader | None,
        *,
        position: Position | None = None,
        snapshot: bool = False,
        gap: str | None = None,
        from_start: bool = False,
        contiguous: bool = False,
        strict: bool = True,
        begun: bool = False,
        first: Deferred[None] | None = None,
    ) -> None:
        self._taker = taker
        self._put = taker.put
        self._source = source
        self._reader = reader
        self._snapshot = snapshot
        self._state_wanted = snapshot and position is None
        self._gap = gap
        self._from_start = from_start
        self._contiguous = contiguous
        self._strict = strict
        self._begun = begun
        self._created = self._foreign = self._replayed = self._overflown = self.absent = False
        self._publishes = 0
        # What is told of the feed as a whole between a resync and its snapshot; else None.
        self._after: list[Event] | None = None
        self._turn = 0
        self._sought: Event | None = None
        self._restraint: Restraint | None = None
        self._held = self._going = _NOTHING
        self.live: Callable[[Event], object] = _ignore
        self._first = first
        self._is_started = False
        self._assembly: Assembly | None = None
        self._waiting: Deferred[Any] | None = None
        self._told = NOWHERE
        self.epoch: str | None = None
        self.revision = 0
        self._move_to(position or NOWHERE)

    # -- inputs -----------------------------------------------------------------

    def ready(self) -> None:
        """Go on, on a new connection."""
        if self._reader is not None:
            self._read_on()
            return
        if self._gap is not None:
            self._move_to(NOWHERE)
            self._resync(self._gap)
        self._gap = None
        self.live = self._live
        self._started()

    def lost(self) -> None:
        """Stop until the next connection; from now on something may be missed."""
        begun = self._begun or self._is_started
        self._gap = self._gap or (UNRECORDED if begun else None)
        self._contiguous = False
        self._told = NOWHERE
        self._supersede()
        if self._reader is None and not self._is_started:
            self._give_up(ConnectionLost(UNCONFIRMED))

    def refused(self, error: BaseException) -> None:
        """Stop: Redis does not let us listen."""
        self._supersede()
        self._give_up(error)

    def stop(self) -> None:
        """Stop for good."""
        self._supersede()

    def check(self, epoch: str, top: int, valid: bool) -> None:
        """Compare the position with what the server had before the last message came."""
        current = self.epoch == epoch and self.revision >= top
        if self.is_live and self.epoch is not None and not (current and valid):
            self._gap = GONE
            self._read_on()

    def agrees(self, found: Standing | None) -> bool:
        """Tell whether the position is that of the server.

        Without a history there is none: then whether the feed is still there, and its counter
        has not gone back.
        """
        if self.epoch is not None:
            return found is not None and (found.epoch, found.revision) == (
                self.epoch,
                self.revision,
            )
        if found is None:
            return self.absent
        if found.publishes < self._publishes:
            return False
        self._publishes = found.publishes
        return True

    def compare(self, found: Standing | None) -> None:
        """Compare what is known of a feed without history with what the server has.

        All that was published before that was read has come.
        """
        if self.is_live and self.epoch is None and not self.agrees(found):
            self._publishes = 0
            self._gap = REASONS["lost"]
            self._read_on()

    @property
    def is_current(self) -> bool:
        """Whether nothing is missing, as far as can be known."""
        reads = self._reader is None or self._reader.hears()
        return reads and self._gap is None and self.live != _ignore

    @property
    def source(self) -> Source:
        """The feed's messages."""
        return self._source

    @property
    def is_live(self) -> bool:
        """Whether events are delivered as they come."""
        return self.live == self._live

    def _supersede(self) -> None:
        self._turn += 1
        self._stop_waiting()
        self.live = _ignore
        self._held = self._going = _NOTHING

    # -- live ---------------------------------------------------------------------

    def _live(self, event: Event) -> None:
        """Deliver the next event, or find out what is missing."""
        revision = event.revision
        if revision is None:
            next_ = self.epoch is None and event.kind not in CHANNELS
        else:
            next_ = revision == self.revision + 1 and event.epoch == self.epoch
        if not next_:
            self._not_next(event)
            return
        before = self.revision
        if revision is not None:
            self.revision = revision
        if not self._put(event if self._source.loads is None else self._source.loaded(event)):
            self.revision = before
            self._pause()

    def _not_next(self, event: Event) -> None:
        if event.kind in CHANNELS:
            self._of_the_feed(event)
            return
        what = step(self.epoch, self.revision, event)
        if self.epoch is None and is_told(event, self._told):
            return  # it was read from a history that has been switched off since
        if what is Step.DELIVER:  # its history has just begun
            before = Position(self.epoch, self.revision)
            self.epoch, self.revision = event.epoch, event.revision or 0
            if not self._put(self._source.loaded(event)):
                self._move_to(before)
                self._pause()
        elif what is Step.DROP:
            return
        elif self._reader is None:
            self._resync(UNSEEN)
            self._move_to(NOWHERE)
            self._live(event)
        elif event is self._sought:  # the server was asked, and does not know of it
            self._sought = None
            self._no_such(event)
        else:
            self._sought = event
            self._gap = GONE
            self._foreign = what is Step.FOREIGN
            self._read_on(*([] if self._foreign else [event]), rest=self._rest())

    def _no_such(self, event: Event) -> None:
        text = "message on {channel!r} ignored: there is no revision {revision}"
        channel = feed_channel("event", event.feed)
        self._source.log_limit.error(text, channel=channel, revision=event.revision)

    def _rest(self) -> float:
        """Give how many seconds to wait before a look that a message causes."""
        if self._going:  # there is a look for what was held, and then one for each at most
            return 0.0
        if self._restraint is None:
            self._restraint = Restraint()
        return self._restraint.rest(self._present_reader.seconds())

    def _of_the_feed(self, event: Event) -> None:
        if event.kind == "create":
            self._from_start = True
            self._state_wanted = self._snapshot
        if event.kind != "config":
            self._move_to(NOWHERE)
            self.absent = event.kind == "delete"
            self._publishes = 0
        self._taker.force(event)
        if event.kind == "config" and self._going and self._going[0].kind == "config":
            return  # one look is enough for both
        # What kind of items it has, and whether it keeps a history, may be new.
        if event.kind != "delete" and self._reader is not None and self.is_live:
            self._read_on(rest=self._rest())

    def _pause(self) -> None:
        self._turn += 1
        # What is told of the feed as a whole is in no history.
        self._held = deque(event for event in self._going if event.kind in CHANNELS)
        self._going = _NOTHING
        self.live = self._hold_of_the_feed
        if self.epoch is not None:
            self._gap = GONE
            waiting = self._taker.room()
        else:
            self._taker.purge(self._source.feed)
            self._state_wanted = self._snapshot
            waiting = self._resync(SLOW)
        self._waiting = waiting
        waiting.addCallbacks(self._resume, lambda _: None, callbackArgs=(self._turn,))

    def _hold_of_the_feed(self, event: Event) -> None:
        if event.kind in CHANNELS:
            self._hold(event)

    def _resume(self, _: None, turn: int) -> None:
        if turn != self._turn:
            return
        self._waiting = None
        if self._reader is not None:
            self._read_on(*self._held)
            return
        if self.epoch is not None:
            self._gap = None
            self._move_to(NOWHERE)
            self._resync(UNSEEN)
        if turn == self._turn:
            self._go_live()

    # -- reading ------------------------------------------------------------------

    def _read_on(self, *events: Event, rest: float = 0.0) -> None:
        """Read what is behind the position; live events wait, these first.

        :param rest: how many seconds to wait before.
        """
        self._turn += 1
        self._stop_waiting()
        self._held = deque([*events, *self._going])
        self._going = _NOTHING
        self._overflown = False
        self._replayed = False
        self.live = self._hold
        turn = self._turn
        Deferred.fromCoroutine(self._read(turn, rest)).addErrback(self._cannot_read, turn)

    def _hold(self, event: Event) -> None:
        if len(self._held) == HELD:
            self._held.clear()
            self._overflown = True
        self._held.append(event)

    async def _read(self, turn: int, rest: float) -> None:
        failures = 0
        if rest:
            await self._wait(turn, self._present_reader.later(rest))
        while True:
            try:
                if not self._state_wanted or not await self._read_state(turn):
                    await self._replay(turn)
                if turn != self._turn:
                    raise _Superseded
                if not self._state_wanted:
                    self._go_live()
                    return
            except ConnectionLost as error:
                if isinstance(error, NotSent) and not self._is_started:
                    raise
                await self._still(turn, self._present_reader.available())
            except (ResponseError, FeedNotConfigured) as error:
                if self._strict and not self._is_started:
                    raise
                failures += 1
                await self._put_off(turn, error, failures)

    async def _put_off(self, turn: int, error: ThoonkError, failures: int) -> None:
        """Wait before the next attempt to read; live events are held meanwhile."""
        if turn != self._turn:
            raise _Superseded
        self._log.warn(
            "feed {feed!r} cannot be read: {error}", feed=self._source.feed, error=error
        )
        soon = passing(error) is Passing.TIME and self._is_started
        if failures == 1 and not soon:
            self._state_wanted = self._snapshot
            self._resync(f"the feed cannot be read: {error}")
            self._started()
        if turn == self._turn:
            self.live = self._hold
            await self._wait(turn, self._present_reader.later(back_off(failures)))

    async def _wait(self, turn: int, waiting: Deferred[Any]) -> None:
        """Wait for something that is to be cancelled when it is of no use any more."""
        if turn != self._turn:
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            raise _Superseded
        self._waiting = waiting
        await self._still(turn, waiting)
        self._waiting = None

    def _stop_waiting(self) -> None:
        if self._assembly is not None:
            self._assembly.stop()
            self._assembly = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    @property
    def _present_reader(self) -> Reader:
        if self._reader is None:
            raise ThoonkError("nothing can be read here")
        return self._reader

    async def _still(self, turn: int, awaited: Awaitable[T]) -> T:
        """Wait for something, and go on only if it is still of use."""
        result = await awaited
        if turn != self._turn:
            raise _Superseded
        return result

    async def _replay(self, turn: int) -> None:
        """Deliver what the history has behind the position."""
        most = self._FIRST_SLICE
        while True:
            # Before the position is known, nobody takes events from a pattern's subscription.
            while not (room := self._taker.reserve(most)) and self._is_started:
                await self._wait(turn, self._taker.room())
            most = SLICE
            try:
                if await self._replay_some(turn, room):
                    return
            finally:
                self._taker.release(room)

    async def _replay_some(self, turn: int, most: int) -> bool:
        """Deliver the next events of the history; whether there are no more."""
        held = len(self._held)
        found = await self._looked(turn, most)
        before = Position(self.epoch, self.revision)
        outcome = after_look(
            before,
            found,
            gap=self._gap,
            foreign=self._foreign,
            from_start=self._from_start,
            contiguous=self._contiguous,
        )
        self._replayed = self._replayed or self._from_start
        self._foreign, self._from_start, self._contiguous = False, False, True
        self._move_to(outcome.position)
        reason = outcome.resync
        if self._drop_void(held, found, before.epoch) and reason is None:
            reason = ANEW
        self._started()
        if turn != self._turn:
            raise _Superseded
        if reason is not None:
            self._gap = None
            if self._snapshot:
                self._tell_of_the_feed()
            self._state_wanted = self._snapshot
            self._resync(reason, outcome.position)
        if found is None or not outcome.replay or self._state_wanted:
            self._gap = None
            return True
        last = int(found.entries[-1][0]) if found.entries else self.revision
        is_last = last >= found.top or connects(self._held, last)
        self._gap = None if is_last else self._gap or GONE
        self._deliver(turn, found)
        return is_last

    def _drop_void(self, count: int, found: Look | None, last: str | None) -> bool:
        if self.epoch is None or found is None:
            return False
        position = Position(self.epoch, self.revision)
        before = [self._held.popleft() for _ in range(min(count, len(self._held)))]
        void, forged, kept = drop_void(before, position, found.top, last)
        self._held.extendleft(reversed(kept))
        for event in forged:
            self._no_such(event)
        return void

    def _deliver(self, turn: int, found: Look) -> None:
        """Deliver the entries of a look."""
        for entry in found.entries:
            self._replayed = True
            event = parse_entry(self._source.feed, found.epoch, entry)
            self.revision = int(entry[0])
            self._taker.force(self._source.loaded(event))
            self._source.release()
            if turn != self._turn:
                raise _Superseded

    async def _looked(self, turn: int, most: int) -> Look | None:
        """Look at the history; None if there is no such feed."""
        redis, feed = self._present_reader.redis, self._source.feed
        epoch, since = self.epoch or "", None if self.epoch is None else self.revision
        if self._from_start:
            epoch, since = "", 0
        found: Look | None = None
        with suppress(FeedDoesNotExist):
            found = await look(redis, feed, epoch, since, 0 if since is None else most)
        if turn != self._turn:
            raise _Superseded
        self.absent = found is None
        if found is not None:
            self._source.learn(found.type, found.serializer)
        return found

    async def _read_state(self, turn: int) -> bool:
        """Deliver the whole state; whether there is one."""
        self._created = False
        assembly = Assembly(self._source, self._present_reader, self._tell_of)
        self._assembly = assembly
        self.live = assembly.live
        self._tell_of_the_feed()
        try:
            slices = await self._still(turn, assembly.read())
        except Unordered:
            if turn != self._turn:
                raise _Superseded from None
            self._assembly = None
            if self._strict:
                raise
            self._snapshot = self._state_wanted = False
            self._held = deque(assembly.held)
            self.live = self._hold
            self._tell_after(snapshot=False)
            if turn != self._turn:
                raise _Superseded from None
            if self._created:  # that is told already, and behind it comes all of the new feed
                self._from_start = True
                self._move_to(NOWHERE)
            return False
        self._assembly = None  # it has a copy of everything
        self.absent = assembly.absent
        self._state_wanted = False
        self._gap, self._foreign, self._from_start = None, False, False
        self._contiguous = self._replayed = True
        self._held = deque(assembly.left)
        self.live = self._hold
        self._move_to(assembly.position)
        self._started()
        for items in slices:
            if turn != self._turn:
                raise _Superseded
            event = snapshot(self._source.feed, items, Position(self.epoch, self.revision))
            more = items is not slices[-1]
            self._taker.force(event._replace(type=self._source.type, more=more))
        if turn == self._turn:
            self._tell_after(snapshot=True)
        return True

    def _go_live(self) -> None:
        """Take the events that were held."""
        held = self._held
        if self._overflown and self.epoch is None:
            self._begin_anew(SLOW)
        elif self._replayed and any(event.kind == "create" for event in held):
            # Whether what was read is of the old feed or the new one, nobody can tell.
            self._begin_anew(ANEW)
        elif self.epoch is not None and any(map(is_foreign, held)):
            # One more look is behind them all.
            self._foreign, self._gap = True, GONE
            self._read_on(*[e for e in held if not is_foreign(e)], rest=self._rest())
        else:
            self._going, self._held = held, _NOTHING
            self.live = self._live
            while self._going:
                self.live(self._going.popleft())
            self._going = _NOTHING
            self._source.release()
            if self.is_live:
                self._sought = None

    def _begin_anew(self, reason: str) -> None:
        """Give up what is held."""
        turn = self._turn
        self._tell_of_the_feed()
        self._move_to(NOWHERE)
        self._state_wanted = self._snapshot
        self._resync(reason)
        if turn == self._turn:
            self._read_on()

    def _tell_of_the_feed(self) -> None:
        """Tell what is held of the feed as a whole; what else is held is of no use."""
        held, self._held = self._held, deque()
        for event in held:
            if event.kind in CHANNELS:
                self._tell_of(event)

    def _tell_of(self, event: Event) -> None:
        self._created = self._created or event.kind == "create"
        if self._after is None:
            self._taker.force(event)
        else:
            self._after.append(event)

    def _tell_after(self, snapshot: bool) -> None:
        """Tell what came between a resync and its snapshot, or the lack of one."""
        after, self._after = self._after or [], None
        if snapshot:  # it has what a create or delete has done
            deletes = [e for e in after if e.kind == "delete"] if self.absent else []
            after = [*[e for e in after if e.kind == "config"], *deletes[-1:]]
        for event in after:
            self._taker.force(event)

    def _cannot_read(self, reason: Failure, turn: int) -> None:
        if reason.check(_Superseded) or turn != self._turn:
            return
        if not self._is_started:
            self.refused(cast(BaseException, reason.value))
            return
        if not reason.check(ConnectionLost):  # only where all is stopped
            self._log.failure("feed {feed!r} cannot be read", reason, feed=self._source.feed)
            self._resync(f"the feed cannot be read: {reason.getErrorMessage()}")
            self._move_to(NOWHERE)
            self.live = self._live

    # -- what is told -----------------------------------------------------------------

    def _move_to(self, position: Position) -> None:
        if self.epoch is not None:
            self._told = Position(self.epoch, self.revision)
        self.epoch, self.revision = position.epoch, position.revision

    def _resync(self, reason: str, position: Position = NOWHERE) -> Deferred[None]:
        if self._state_wanted and self._after is None:
            self._after = []
        return self._taker.tell(resync(self._source.feed, reason, position))

    def _started(self) -> None:
        self._is_started = True
        first, self._first = self._first, None
        if first is not None:
            first.callback(None)

    def _give_up(self, error: BaseException) -> None:
        if self._is_started:
            self._resync(f"the feed cannot be followed: {error}")
            return
        self._is_started = True
        first, self._first = self._first, None
        if first is not None:
            first.errback(error)
