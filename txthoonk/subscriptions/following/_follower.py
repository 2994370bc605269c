"""One feed as one subscription follows it: its position, and what to do with each event.

What a follower does with a live event depends on its state alone, so each state has its own
method for live events. The follower keeps the present one as :attr:`Follower.live`, which
:class:`~txthoonk.subscriptions._decoder.Source` calls directly. All states and transitions are in
:mod:`txthoonk.subscriptions.following._states`.

``_reading`` asks Redis, and ``_catching_up`` decides what to deliver of the answers. The rules,
for a single event and for what was read, are pure functions in :mod:`txthoonk.history._recovery`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.errors import ConnectionLost, FeedTypeMismatch, ThoonkError
from txthoonk.events import CHANNELS, Event
from txthoonk.history._reads import REASONS, Standing
from txthoonk.history._recovery import ELSEWHERE, NOWHERE, SLOW, Position, Step, is_known, step
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._interfaces import NO_LISTENER, FollowerListener, Reader, Taker
from txthoonk.subscriptions.following._catching_up import ANEW, GONE, CatchUp, no_such
from txthoonk.subscriptions.following._held import NONE_HELD, Held
from txthoonk.subscriptions.following._owed import Owed
from txthoonk.subscriptions.following._restraint import Restraint
from txthoonk.subscriptions.following._states import (
    APPLYING,
    DOWN,
    ENDED,
    LIVE,
    PAUSED,
    READING,
    next_state,
)
from txthoonk.subscriptions.following._unpaired import (
    SeenIds,
    Unpaired,
    as_edit,
    may_be_edit,
    pairs,
)

__all__ = ["Follower"]

UNCONFIRMED = "the connection was lost before Redis confirmed the subscription"
UNSEEN = "events were missed, and there is no publisher to read the history with"


def _ignore(event: Event) -> None:
    pass


class Follower:
    """See the module.

    :ivar live: gets each live event.
    :ivar absent: whether the feed did not exist when it was read last.
    :ivar epoch: the epoch of the position: events are delivered up to there. None without a
        history.
    :ivar revision: the revision of the position.
    :ivar held: live events that wait to be delivered.
    :ivar unpaired: an event of a sorted feed that is an edit unless its position follows.

    :param reader: None: nothing can be read, so only live events are delivered.
    :param pairing: ends the wait for the position of :attr:`unpaired`.
    :param position: where to begin; None: at the present.
    :param gap: why events may be missing before the first one, without a history.
    :param from_start: whether the feed is new.
    :param contiguous: whether nothing was missed so far, although nothing was delivered.
    :param strict: whether a snapshot of a feed that has no state is an error.
    :param begun: whether a lost connection is reported before the position is known, too.
    :param first: fires when the position is known for the first time; fails if it cannot be.
    :param listener: observes the follower.
    """

    __slots__ = (
        "_catching_up",
        "_checked",
        "_known",
        "_listener",
        "_newest",
        "_owed",
        "_pairing",
        "_publishes",
        "_put",
        "_reader",
        "_restraint",
        "_room",
        "_seen",
        "_sought",
        "_source",
        "_state",
        "_taker",
        "absent",
        "epoch",
        "held",
        "live",
        "revision",
        "unpaired",
    )
    _log = Logger()

    def __init__(
        self,
        taker: Taker,
        source: Source,
        reader: Reader | None,
        pairing: Unpaired,
        *,
        position: Position | None = None,
        snapshot: bool = False,
        gap: str | None = None,
        from_start: bool = False,
        contiguous: bool = False,
        strict: bool = True,
        begun: bool = False,
        first: Deferred[None] | None = None,
        listener: FollowerListener = NO_LISTENER,
    ) -> None:
        self._taker = taker
        self._put = taker.put
        self._source = source
        self._reader = reader
        self._pairing = pairing
        self._listener = listener
        self._owed = Owed(
            taker,
            source.feed,
            first=first,
            begun=begun,
            gap=gap,
            from_start=from_start,
            contiguous=contiguous,
            snapshot=snapshot,
            state_wanted=snapshot and position is None,
            strict=strict,
        )
        self._state = DOWN
        self.live: Callable[[Event], object] = _ignore
        self.held = NONE_HELD
        self.unpaired: Event | None = None
        self._seen: SeenIds | None = None
        self._catching_up: CatchUp | None = None
        self._room: Deferred[Any] | None = None
        self._sought: Event | None = None
        self._restraint: Restraint | None = None
        self._publishes = 0
        self._newest: Event | None = None  # the last one of a plain feed's snapshot subscription
        self._checked: Event | None = None
        self.absent = False
        self._known = NOWHERE
        self.epoch: str | None = None
        self.revision = 0
        self.move_to(position or NOWHERE)

    # -- what happens to it ---------------------------------------------------------

    def ready(self) -> None:
        """Go on: the channels are confirmed on a new connection."""
        if self._state is ENDED:
            return
        if self._reader is not None:
            self._read()
            return
        owed = self._owed
        if owed.gap is not None:
            self.move_to(NOWHERE)
            owed.resync(owed.gap)
        if self._state is not ENDED:
            owed.gap = None
            self._deliver()
            owed.started()

    def lost(self) -> None:
        """Wait for the next connection. Events may be missed from now on."""
        if self._state is ENDED:
            return
        self._owed.lost()
        self._known = NOWHERE
        self._go_down()
        if self._reader is None and not self._owed.is_started:
            self._give_up(ConnectionLost(UNCONFIRMED))

    def refused(self, error: BaseException) -> None:
        """Wait for the next connection: Redis refuses the channels."""
        if self._state is not ENDED:
            self._go_down()
            self._give_up(error)

    def stop(self) -> None:
        """Stop for good."""
        self._go_down("end")

    def _give_up(self, error: BaseException) -> None:
        if not self._owed.is_started:
            self._listener.cannot_follow(self._source.feed, error)
        self._owed.give_up(error)

    # -- comparing with the server ----------------------------------------------------

    def check(self, epoch: str, top: int, valid: bool) -> None:
        """Compare the position with the server's, from before the last message arrived."""
        current = self.epoch == epoch and self.revision >= top
        if self.is_live and self.epoch is not None and not (current and valid):
            self._owed.gap = GONE
            self._read()

    def begin_check(self) -> None:
        """Remember what was the newest event before the server is asked."""
        self._checked = self._newest

    def _is_last(self, last: str | None) -> bool:
        """Return whether the newest event's item is last in the feed, as far as can be known."""
        newest = self._newest
        if newest is None or newest is not self._checked or newest.kind == "retract":
            return True
        return last is None or newest.id == last

    def agrees(self, found: Standing | None) -> bool:
        """Return whether the position is the server's.

        Without a history there is no position. Then return whether the feed still exists, its
        counter of publishes has not gone back, and if snapshots are wanted, its order is as the
        messages show it.
        """
        if self.epoch is not None:
            position = (self.epoch, self.revision)
            return found is not None and (found.epoch, found.revision) == position
        if found is None:
            return self.absent
        if found.publishes < self._publishes:
            return False
        self._publishes = found.publishes
        return self._is_last(found.last)

    def compare(self, found: Standing | None) -> None:
        """Compare a feed without a history with what the server has.

        All messages that were published before *found* was read must have arrived.
        """
        if self.is_live and self.epoch is None and not self.agrees(found):
            lost = found is None or found.publishes < self._publishes
            self._publishes = 0
            self._forget_items()
            self._owed.gap = REASONS["lost"] if lost else ELSEWHERE
            self._read()

    @property
    def is_current(self) -> bool:
        """Whether no event is missing, as far as can be known."""
        reads = self._reader is None or self._reader.hears()
        return reads and self._owed.gap is None and self._state not in (DOWN, PAUSED, ENDED)

    @property
    def source(self) -> Source:
        """The feed's messages."""
        return self._source

    @property
    def is_live(self) -> bool:
        """Whether events are delivered when they arrive."""
        return self._state is LIVE

    @property
    def _present_reader(self) -> Reader:
        if self._reader is None:
            raise ThoonkError("nothing can be read here")
        return self._reader

    # -- changes of state -------------------------------------------------------------

    def _enter(self, input_: str, live: Callable[[Event], object]) -> None:
        """Take an input: go to the state that it leads to."""
        self._state = next_state(self._state, input_, self._source.feed)
        self.live = live

    def _leave(self) -> None:
        """End what the present state reads or waits for."""
        self.unpaired = None
        catching_up, self._catching_up = self._catching_up, None
        if catching_up is not None:
            catching_up.stop()
        room, self._room = self._room, None
        if room is not None:
            room.cancel()

    def _go_down(self, input_: str = "go down") -> None:
        self._enter(input_, _ignore)
        self._leave()
        self._forget_items()
        self.held = NONE_HELD
        self._listener.settled(self._source.feed)

    def _read(self, *events: Event, rest: float = 0.0) -> None:
        """Read what comes after the position. Hold live events meanwhile, these first.

        :param rest: how many seconds to wait first.
        """
        unpaired = [] if self.unpaired is None else [self.unpaired]
        held = Held((*unpaired, *events, *self.held.events))
        self._enter("read", held.add)
        self._leave()
        self.held = held
        catching_up = self._catching_up = CatchUp(
            self, self._owed, self._taker, self._source, self._present_reader, self._listener
        )
        Deferred.fromCoroutine(catching_up.run(rest)).addCallbacks(
            self._has_read,
            self._cannot_read,
            callbackArgs=(catching_up,),
            errbackArgs=(catching_up,),
        )

    def apply_to(self, state: Callable[[Event], object]) -> None:
        """Give live events to the state that is being read."""
        self._enter("apply", state)

    def hold(self, events: Iterable[Event] | None = None) -> None:
        """Hold live events again.

        :param events: replace the events that are held; None: keep those.
        """
        if events is not None:
            self.held.replace(events)
        self._enter("hold", self.held.add)

    def go_live(self, replayed: bool = False) -> None:
        """Deliver the events that are held, and then each event when it arrives.

        :param replayed: whether events or a state were read.
        """
        if self.held.overflowed and self.epoch is None:
            self._begin_anew(SLOW)
        elif replayed and self.held.has("create"):
            # What was read may belong to the old feed or to the new one.
            self._begin_anew(ANEW)
        elif self.epoch is not None and self.held.has_foreign():
            # One more look finds the revision that follows all of them.
            self._owed.foreign, self._owed.gap = True, GONE
            self.held.drop_foreign()
            self._read(rest=self._rest())
        else:
            self._deliver_held()
        if self.is_live:
            self._listener.went_live(self._source.feed, self.absent)

    def _deliver(self) -> None:
        is_sorted = self._source.type == "sorted_feed" and self.epoch is None
        if not is_sorted:
            self._seen = None
        elif self._seen is None:
            self._seen = SeenIds()
        self._newest = None
        if is_sorted:
            live = self._live_sorted
        else:
            live = self._live_newest if self._owed.snapshot and self.epoch is None else self._live
        self._enter("deliver", live)

    def _pause(self) -> None:
        """Wait for room. What cannot be delivered now is read then."""
        owed = self._owed
        # Events of the feed as a whole are in no history.
        held = Held(self.held.of_the_feed())
        self._enter("pause", held.add_of_the_feed)
        self._leave()
        self.held = held
        if self.epoch is not None:
            owed.gap = GONE
            room = self._taker.room()
        else:
            self._taker.purge(self._source.feed)
            owed.state_wanted = owed.snapshot
            room = owed.resync(SLOW)
        if self._state is PAUSED:
            self._room = room
            room.addCallbacks(self._has_room, lambda _: None, callbackArgs=(room,))
            self._listener.settled(self._source.feed)

    # -- live ---------------------------------------------------------------------------

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

    def _live_newest(self, event: Event) -> None:
        """Deliver the next event of a plain feed without a history to one who has its state."""
        self._newest = event
        self._live(event)

    def _live_sorted(self, event: Event) -> None:
        """Deliver the next event of a sorted feed without a history, an edit as one."""
        publish, self.unpaired = self.unpaired, None
        if publish is not None:
            self._see(publish if pairs(publish, event) else as_edit(publish))
            self.live(event)  # the state may have changed
        elif self._seen is None or not may_be_edit(event):
            self._see(event)
        elif event.id in self._seen:
            self._see(as_edit(event))
        else:
            self.unpaired = event
            self._pairing.add(self)

    def _see(self, event: Event) -> None:
        if self._seen is not None and event.kind not in CHANNELS:
            self._seen.see(event)
        self._live(event)

    def no_position(self, publish: Event) -> None:
        """Deliver an edit: no position follows the event that was kept back."""
        if self.unpaired is publish:
            self.unpaired = None
            self._see(as_edit(publish))

    def has_items(self, ids: Iterable[str]) -> None:
        """Learn the ids of the feed's items."""
        if self._source.type == "sorted_feed" and self.epoch is None:
            self._seen = SeenIds(ids)

    def _forget_items(self) -> None:
        """Forget the ids of items: there may be another feed, with the same ids."""
        if self._seen is not None:
            self._seen = SeenIds()

    def _not_next(self, event: Event) -> None:
        if event.kind in CHANNELS:
            self._of_the_feed(event)
            return
        what = step(self.epoch, self.revision, event)
        if self.epoch is None and is_known(event, self._known):
            return  # it was read from a history that has been switched off since
        if what is Step.DELIVER:
            self._begin_history(event)
        elif what is not Step.DROP:
            self._look_for(event, foreign=what is Step.FOREIGN)

    def _begin_history(self, event: Event) -> None:
        """Deliver the first event of a history."""
        before = Position(self.epoch, self.revision)
        self.epoch, self.revision = event.epoch, event.revision or 0
        if not self._put(self._source.loaded(event)):
            self.move_to(before)
            self._pause()

    def _look_for(self, event: Event, foreign: bool) -> None:
        """Read what is missing before an event."""
        if self._reader is None:
            self._owed.resync(UNSEEN)
            self.move_to(NOWHERE)
            if self.is_live:
                self._live(event)
        elif event is self._sought:  # a look has shown that the server does not know it
            self._sought = None
            no_such(self._source, event)
        else:
            self._sought = event
            self._owed.gap, self._owed.foreign = GONE, foreign
            self._read(*([] if foreign else [event]), rest=self._rest())

    def _rest(self) -> float:
        """Return how many seconds to wait before a look that a message causes."""
        if self.is_live and self.held:  # a look was made for these, and at most one more for each
            return 0.0
        if self._restraint is None:
            self._restraint = Restraint()
        return self._restraint.rest(self._present_reader.seconds())

    def _of_the_feed(self, event: Event) -> None:
        """Deliver an event of the feed as a whole, and read what may be new after it."""
        if event.kind == "create":
            self._owed.from_start = True
            self._owed.state_wanted = self._owed.snapshot
        if event.kind != "config":
            self.move_to(NOWHERE)
            self._forget_items()
            self.absent = event.kind == "delete"
            self._publishes = 0
        self._taker.force(event)
        if event.kind == "config" and self.held.begins_with("config"):
            return  # one look is enough for both
        # The serializer may be new, and whether there is a history.
        if event.kind != "delete" and self._reader is not None and self.is_live:
            self._read(rest=self._rest())

    def move_to(self, position: Position) -> None:
        """Take another position."""
        if self.epoch is not None:
            self._known = Position(self.epoch, self.revision)
        self.epoch, self.revision = position.epoch, position.revision

    # -- paused -------------------------------------------------------------------------

    def _has_room(self, _: None, room: Deferred[Any]) -> None:
        if self._room is not room:
            return
        self._room = None
        if self._reader is not None:
            self._read()
            return
        if self.epoch is not None:
            self._owed.gap = None
            self.move_to(NOWHERE)
            self._owed.resync(UNSEEN)
        if self._state is PAUSED:
            self.go_live()

    # -- reading ------------------------------------------------------------------------

    def drop_held(self) -> None:
        """Deliver the held events of the feed as a whole, and drop the others."""
        events = self.held.of_the_feed()
        self.held.replace([])
        for event in events:
            self._owed.pass_on(event)

    def _deliver_held(self) -> None:
        """Go live with the events that are held."""
        held = self.held
        self._deliver()
        while held and self.held is held:
            self.live(held.events.popleft())
        if self.held is held:
            self.held = NONE_HELD
        self._source.release()
        if self.is_live:
            self._sought = None

    def _begin_anew(self, reason: str) -> None:
        """Drop what is held, and read again from the present."""
        before = self._state, self._catching_up
        self.drop_held()
        self.move_to(NOWHERE)
        self._forget_items()
        self._owed.state_wanted = self._owed.snapshot
        self._owed.resync(reason)
        if (self._state, self._catching_up) != before:
            return
        if self._reader is None:
            self._deliver_held()
        else:
            self._read()

    def _has_read(self, _: None, catching_up: CatchUp) -> None:
        if self._catching_up is catching_up:
            self._catching_up = None

    def _cannot_read(self, reason: Failure, catching_up: CatchUp) -> None:
        self._has_read(None, catching_up)
        if catching_up.is_over:
            return
        owed = self._owed
        if not owed.is_started:
            self.refused(cast(BaseException, reason.value))
            return
        if reason.check(ConnectionLost):  # the service was stopped
            return
        if reason.check(FeedTypeMismatch):  # made anew as a queue or job feed
            self._log.warn("{error}", error=reason.getErrorMessage())
        else:
            self._log.failure("feed {feed!r} cannot be read", reason, feed=self._source.feed)
        owed.resync(f"the feed cannot be read: {reason.getErrorMessage()}")
        if self._state in (READING, APPLYING, LIVE):
            self.move_to(NOWHERE)
            self.held = NONE_HELD
            self._deliver()
