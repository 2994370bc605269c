"""One feed as one subscription follows it: its position, and the events as they come.

A follower is in one of four states.  What it does with a live event depends on the state alone,
so the state is the method that takes live events, :attr:`Follower.live`:

========= ====================== ================================================================
State     ``live``               Meaning
========= ====================== ================================================================
*down*    ``_ignore``            the channels are not confirmed
*reading* ``_hold``              they are; events wait while the history is read
*reading* ``Assembly.live``      the whole state is read, and each event is applied to it
*live*    ``_live``              each event is the next one
*paused*  ``_hold_of_the_feed``  the subscriber has too much to do; then we read again
========= ====================== ================================================================

======== ========= ============= ================================================================
From     To        By            When
======== ========= ============= ================================================================
any      down      ``_go_down``  the connection is lost, Redis refuses the channels, or the end
down     reading   ``_read_on``  the channels are confirmed
down     live      ``_be_live``  the same, and nothing can be read
live     reading   ``_read_on``  events are missing, or may be
paused   reading   ``_read_on``  there is room again
live     paused    ``_pause``    there is no room
reading  reading   ``apply_to``  the whole state is read now
reading  reading   ``hold``      the history is read now
reading  live      ``go_live``   all is read; what was held is taken first
paused   live      ``go_live``   there is room again, and nothing can be read
reading  live      ``_be_live``  it failed for good
======== ========= ============= ================================================================

Reading itself is in :mod:`txthoonk.subscriptions._reading`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.errors import ConnectionLost, ThoonkError
from txthoonk.events import CHANNELS, Event
from txthoonk.history._reads import REASONS, Standing
from txthoonk.history._recovery import NOWHERE, SLOW, Position, Step, is_foreign, is_told, step
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._dues import Dues
from txthoonk.subscriptions._interfaces import NOBODY, Listener, Reader, Restraint, Taker
from txthoonk.subscriptions._reading import ANEW, GONE, Reading, Superseded, no_such

__all__ = ["Follower"]

HELD = 10_000  # live events that are held while the history is read
# Where nothing is held, which is most of the time, and of most of many feeds: it takes nothing.
_NOTHING: deque[Event] = deque(maxlen=0)

UNCONFIRMED = "the connection was lost before Redis confirmed the subscription"
UNSEEN = "events were missed, and there is no publisher to read the history with"


def _ignore(event: Event) -> None:
    pass


class Follower:
    """See the module.

    :ivar live: gets each live event.
    :ivar absent: whether there was no such feed when it was looked at last.
    :ivar epoch: up to where events were delivered: the epoch, None without history,
    :ivar revision: and the revision.
    :ivar held: live events that wait while something is read.

    :param reader: None: nothing can be read, only live events are to be had.
    :param position: where to begin; None: at the present.
    :param gap: why events may be missing before the first one, without a history.
    :param from_start: whether the feed is new.
    :param contiguous: whether nothing was missed until now, though nothing was told.
    :param strict: whether a snapshot of a feed that has no state is an error.
    :param begun: whether a loss is to be told before the position is known, too.
    :param first: fires once the position is known for the first time; fails if it cannot
        be.
    :param listener: observes the follower.
    """

    __slots__ = (
        "_dues",
        "_going",
        "_listener",
        "_overflown",
        "_publishes",
        "_put",
        "_reader",
        "_reading",
        "_restraint",
        "_sought",
        "_source",
        "_taker",
        "_told",
        "_turn",
        "_waiting",
        "absent",
        "epoch",
        "held",
        "live",
        "revision",
    )
    _log = Logger()

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
        listener: Listener = NOBODY,
    ) -> None:
        self._taker = taker
        self._put = taker.put
        self._source = source
        self._reader = reader
        self._listener = listener
        self._dues = Dues(
            taker,
            source.feed,
            first=first,
            gap=gap,
            from_start=from_start,
            contiguous=contiguous,
            snapshot=snapshot,
            state_wanted=snapshot and position is None,
            strict=strict,
            begun=begun,
        )
        self._overflown = self.absent = False
        self._publishes = 0
        self._turn = 0
        self._sought: Event | None = None
        self._restraint: Restraint | None = None
        self.held = self._going = _NOTHING
        self.live: Callable[[Event], object] = _ignore
        self._reading: Reading | None = None
        self._waiting: Deferred[Any] | None = None
        self._told = NOWHERE
        self.epoch: str | None = None
        self.revision = 0
        self.move_to(position or NOWHERE)

    # -- inputs -----------------------------------------------------------------

    def ready(self) -> None:
        """Go on, on a new connection."""
        dues = self._dues
        if self._reader is not None:
            self._read_on()
            return
        if dues.gap is not None:
            self.move_to(NOWHERE)
            dues.resync(dues.gap)
        dues.gap = None
        self._be_live()
        dues.started()

    def lost(self) -> None:
        """Stop until the next connection; from now on something may be missed."""
        self._dues.lost()
        self._told = NOWHERE
        self._go_down()
        if self._reader is None and not self._dues.is_started:
            self._give_up(ConnectionLost(UNCONFIRMED))

    def refused(self, error: BaseException) -> None:
        """Stop: Redis does not let us listen."""
        self._go_down()
        self._give_up(error)

    def stop(self) -> None:
        """Stop for good."""
        self._go_down()

    def check(self, epoch: str, top: int, valid: bool) -> None:
        """Compare the position with what the server had before the last message came."""
        current = self.epoch == epoch and self.revision >= top
        if self.is_live and self.epoch is not None and not (current and valid):
            self._dues.gap = GONE
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
            self._dues.gap = REASONS["lost"]
            self._read_on()

    @property
    def is_current(self) -> bool:
        """Whether nothing is missing, as far as can be known."""
        reads = self._reader is None or self._reader.hears()
        return reads and self._dues.gap is None and self.live != _ignore

    @property
    def source(self) -> Source:
        """The feed's messages."""
        return self._source

    @property
    def is_live(self) -> bool:
        """Whether events are delivered as they come."""
        return self.live == self._live

    @property
    def _present_reader(self) -> Reader:
        if self._reader is None:
            raise ThoonkError("nothing can be read here")
        return self._reader

    # -- transitions --------------------------------------------------------------

    def _go_down(self) -> None:
        self._turn += 1
        self._stop_waiting()
        self.live = _ignore
        self.held = self._going = _NOTHING
        self._listener.settled(self._source.feed)

    def _read_on(self, *events: Event, rest: float = 0.0) -> None:
        """Read what is behind the position; live events wait, these first.

        :param rest: how many seconds to wait before.
        """
        self._turn += 1
        self._stop_waiting()
        self.held = deque([*events, *self._going])
        self._going = _NOTHING
        self._overflown = False
        self.live = self._hold
        reading = self._reading = Reading(
            self, self._dues, self._taker, self._source, self._present_reader, self._listener
        )
        Deferred.fromCoroutine(reading.run(rest)).addCallbacks(
            self._has_read, self._cannot_read, callbackArgs=(reading,), errbackArgs=(reading,)
        )

    def hold(self, events: Iterable[Event] | None = None) -> None:
        """Hold live events.

        :param events: what is held from now on; None: what is held already.
        """
        if events is not None:
            self.held = deque(events)
        self.live = self._hold

    def apply_to(self, state: Callable[[Event], object]) -> None:
        """Give live events to the state that is being read."""
        self.live = state

    def go_live(self, replayed: bool = False) -> None:
        """Take what is held, and then each event as it comes.

        :param replayed: whether something was read.
        """
        held = self.held
        if self._overflown and self.epoch is None:
            self._begin_anew(SLOW)
        elif replayed and any(event.kind == "create" for event in held):
            # Whether what was read is of the old feed or the new one, nobody can tell.
            self._begin_anew(ANEW)
        elif self.epoch is not None and any(map(is_foreign, held)):
            # One more look is behind them all.
            self._dues.foreign, self._dues.gap = True, GONE
            self._read_on(*[e for e in held if not is_foreign(e)], rest=self._rest())
        else:
            self._be_live()
            self._take_held(held)
        if self.is_live:
            self._listener.went_live(self._source.feed, self.absent)

    def _be_live(self) -> None:
        self.live = self._live

    def _pause(self) -> None:
        dues = self._dues
        self._turn += 1
        if self._reading is not None:
            self._reading.is_over = True
        # What is told of the feed as a whole is in no history.
        self.held = deque(event for event in self._going if event.kind in CHANNELS)
        self._going = _NOTHING
        self.live = self._hold_of_the_feed
        if self.epoch is not None:
            dues.gap = GONE
            waiting = self._taker.room()
        else:
            self._taker.purge(self._source.feed)
            dues.state_wanted = dues.snapshot
            waiting = dues.resync(SLOW)
        self._waiting = waiting
        waiting.addCallbacks(self._resume, lambda _: None, callbackArgs=(self._turn,))
        self._listener.settled(self._source.feed)

    # -- down ---------------------------------------------------------------------

    def _stop_waiting(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.stop()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _give_up(self, error: BaseException) -> None:
        if not self._dues.is_started:
            self._listener.cannot_follow(self._source.feed, error)
        self._dues.give_up(error)

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
                self.move_to(before)
                self._pause()
        elif what is Step.DROP:
            return
        elif self._reader is None:
            self._dues.resync(UNSEEN)
            self.move_to(NOWHERE)
            self._live(event)
        elif event is self._sought:  # the server was asked, and does not know of it
            self._sought = None
            no_such(self._source, event)
        else:
            self._sought = event
            foreign = what is Step.FOREIGN
            self._dues.gap, self._dues.foreign = GONE, foreign
            self._read_on(*([] if foreign else [event]), rest=self._rest())

    def _rest(self) -> float:
        """Give how many seconds to wait before a look that a message causes."""
        if self._going:  # there is a look for what was held, and then one for each at most
            return 0.0
        if self._restraint is None:
            self._restraint = Restraint()
        return self._restraint.rest(self._present_reader.seconds())

    def _of_the_feed(self, event: Event) -> None:
        if event.kind == "create":
            self._dues.from_start = True
            self._dues.state_wanted = self._dues.snapshot
        if event.kind != "config":
            self.move_to(NOWHERE)
            self.absent = event.kind == "delete"
            self._publishes = 0
        self._taker.force(event)
        if event.kind == "config" and self._going and self._going[0].kind == "config":
            return  # one look is enough for both
        # What kind of items it has, and whether it keeps a history, may be new.
        if event.kind != "delete" and self._reader is not None and self.is_live:
            self._read_on(rest=self._rest())

    def move_to(self, position: Position) -> None:
        """Take another position."""
        if self.epoch is not None:
            self._told = Position(self.epoch, self.revision)
        self.epoch, self.revision = position.epoch, position.revision

    # -- paused -------------------------------------------------------------------

    def _hold_of_the_feed(self, event: Event) -> None:
        if event.kind in CHANNELS:
            self._hold(event)

    def _resume(self, _: None, turn: int) -> None:
        if turn != self._turn:
            return
        self._waiting = None
        if self._reader is not None:
            self._read_on(*self.held)
            return
        if self.epoch is not None:
            self._dues.gap = None
            self.move_to(NOWHERE)
            self._dues.resync(UNSEEN)
        if turn == self._turn:
            self.go_live()

    # -- reading ------------------------------------------------------------------

    def _hold(self, event: Event) -> None:
        if len(self.held) == HELD:
            self.held.clear()
            self._overflown = True
        self.held.append(event)

    def drop_held(self) -> None:
        """Pass on what is held of the feed as a whole, and forget the other events."""
        held, self.held = self.held, deque()
        for event in held:
            if event.kind in CHANNELS:
                self._dues.pass_on(event)

    def _take_held(self, held: deque[Event]) -> None:
        self._going, self.held = held, _NOTHING
        while self._going:
            self.live(self._going.popleft())
        self._going = _NOTHING
        self._source.release()
        if self.is_live:
            self._sought = None

    def _begin_anew(self, reason: str) -> None:
        """Give up what is held."""
        turn = self._turn
        self.drop_held()
        self.move_to(NOWHERE)
        self._dues.state_wanted = self._dues.snapshot
        self._dues.resync(reason)
        if turn == self._turn:
            self._read_on()

    def _has_read(self, _: None, reading: Reading) -> None:
        if self._reading is reading:
            self._reading = None

    def _cannot_read(self, reason: Failure, reading: Reading) -> None:
        self._has_read(None, reading)
        if reason.check(Superseded) or reading.is_over:
            return
        dues = self._dues
        if not dues.is_started:
            self.refused(cast(BaseException, reason.value))
            return
        if not reason.check(ConnectionLost):  # only where all is stopped
            self._log.failure("feed {feed!r} cannot be read", reason, feed=self._source.feed)
            dues.resync(f"the feed cannot be read: {reason.getErrorMessage()}")
            self.move_to(NOWHERE)
            self._be_live()
