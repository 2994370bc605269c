"""Deciding what a follower delivers of what was read.

A follower makes one :class:`CatchUp` each time it must read. When something else happens, such as
a lost connection, it stops that one, and makes a new one later. A :class:`CatchUp` has a
:class:`~txthoonk.subscriptions.following._reading.Reading` that asks Redis, and is its listener.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attr
from twisted.logger import Logger

from txthoonk.events import Event, parse_entry
from txthoonk.history._reads import Look
from txthoonk.history._recovery import (
    NOWHERE,
    Outcome,
    Position,
    after_look,
    connects,
    drop_void,
    snapshot,
)
from txthoonk.protocol._transient import Passing, passing
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._feed_state import State, slices
from txthoonk.subscriptions._interfaces import Followed, FollowerListener, Reader, Taker
from txthoonk.subscriptions._snapshot import SLICE
from txthoonk.subscriptions.following._owed import Owed
from txthoonk.subscriptions.following._reading import Reading
from txthoonk.wire._keys import feed_channel

__all__ = ["ANEW", "GONE", "CatchUp", "no_such"]

ANEW = "the feed was created again"
GONE = "events were not delivered yet, and the feed or its history is gone"


def no_such(source: Source, event: Event) -> None:
    """Log an event that the server does not know."""
    text = "message on {channel!r} ignored: there is no revision {revision}"
    channel = feed_channel("event", event.feed)
    source.log_limit.error(text, channel=channel, revision=event.revision)


class CatchUp:
    """See the module. It is a :class:`~txthoonk.subscriptions._interfaces.ReadingListener`.

    :param follower: is brought up to date; it holds live events meanwhile.
    :param owed: what the follower owes its subscriber.
    :param taker: gets the events.
    :param listener: is notified of each pause.
    """

    __slots__ = (
        "_follower",
        "_listener",
        "_owed",
        "_reading",
        "_replayed",
        "_source",
        "_taker",
    )
    _log = Logger()

    def __init__(
        self,
        follower: Followed,
        owed: Owed,
        taker: Taker,
        source: Source,
        reader: Reader,
        listener: FollowerListener,
    ) -> None:
        self._follower = follower
        self._owed = owed
        self._taker = taker
        self._source = source
        self._listener = listener
        self._reading = Reading(source, reader, taker, self, listener.first_slice)
        self._replayed = False

    def run(self, rest: float) -> Coroutine[Any, Any, None]:
        """Read until nothing is missing, and have the follower go live.

        :param rest: how many seconds to wait first.
        :raises Superseded: after :meth:`stop`.
        """
        return self._reading.run(rest)

    @property
    def is_over(self) -> bool:
        """Whether it was stopped."""
        return self._reading.is_over

    def stop(self) -> None:
        """Read and deliver no more."""
        self._reading.stop()

    # -- what the reading asks ----------------------------------------------------

    @property
    def state_wanted(self) -> bool:
        """Whether to read the whole state next, and not the history."""
        return self._owed.state_wanted

    @property
    def is_started(self) -> bool:
        """Whether the position was known once."""
        return self._owed.is_started

    def position(self) -> tuple[str, int | None]:
        """Return the epoch and the revision to look from."""
        follower = self._follower
        if self._owed.from_start:
            return "", 0
        return follower.epoch or "", None if follower.epoch is None else follower.revision

    def held(self) -> int:
        """Count the live events that are held."""
        return len(self._follower.held)

    def waits(self) -> None:
        """Learn that the reading waits."""
        self._listener.waits(self._source.feed)

    def put_off(self, error: Exception, failures: int) -> bool:
        """Report that Redis refuses to be read. Return whether to try again."""
        feed, owed = self._source.feed, self._owed
        if owed.strict and not owed.is_started:
            return False
        self._listener.settled(feed)
        self._reading.check()
        self._log.warn("feed {feed!r} cannot be read: {error}", feed=feed, error=error)
        soon = passing(error) is Passing.TIME and owed.is_started
        if failures == 1 and not soon:
            owed.state_wanted = owed.snapshot
            owed.resync(f"the feed cannot be read: {error}")
            owed.started()
        self._reading.check()
        self._follower.hold()
        return True

    def caught_up(self) -> None:
        """Have the follower go live."""
        self._follower.go_live(self._replayed)

    # -- the history --------------------------------------------------------------

    def take_look(self, found: Look | None, held: int) -> bool:
        """Deliver what a look has found. Return whether nothing more is missing."""
        follower, owed = self._follower, self._owed
        follower.absent = found is None
        if found is not None:
            self._source.learn(found.type, found.serializer)
        outcome = self._decide(found, held)
        owed.started()
        self._reading.check()
        if outcome.resync is not None:
            self._resync(outcome)
        if found is None or not outcome.replay or owed.state_wanted:
            owed.gap = None
            return True
        last = int(found.entries[-1][0]) if found.entries else follower.revision
        is_last = last >= found.top or connects(follower.held.events, last)
        owed.gap = None if is_last else owed.gap or GONE
        self._deliver(found)
        return is_last

    def _decide(self, found: Look | None, held: int) -> Outcome:
        """Decide what follows from a look, and take the position that it leads to."""
        follower, owed = self._follower, self._owed
        before = Position(follower.epoch, follower.revision)
        outcome = after_look(
            before, found, owed.gap, owed.foreign, owed.from_start, owed.contiguous
        )
        self._replayed = self._replayed or owed.from_start
        owed.looked()
        follower.move_to(outcome.position)
        if self._drop_void(held, found, before.epoch) and outcome.resync is None:
            return attr.evolve(outcome, resync=ANEW)
        return outcome

    def _drop_void(self, count: int, found: Look | None, last: str | None) -> bool:
        """Drop held events that the look has made void. Return whether that is a gap."""
        follower = self._follower
        if not count or follower.epoch is None or found is None:
            return False
        position = Position(follower.epoch, follower.revision)
        before = follower.held.take_first(count)
        void, forged, kept = drop_void(before, position, found.top, last)
        follower.held.put_back(kept)
        for event in forged:
            no_such(self._source, event)
        return void

    def _resync(self, outcome: Outcome) -> None:
        owed = self._owed
        owed.gap = None
        if owed.snapshot:
            self._follower.drop_held()
        owed.state_wanted = owed.snapshot
        owed.resync(outcome.resync or "", outcome.position)
        self._reading.check()

    def _deliver(self, found: Look) -> None:
        """Deliver the entries of a look."""
        follower, source, reading = self._follower, self._source, self._reading
        for entry in found.entries:
            self._replayed = True
            event = parse_entry(source.feed, found.epoch, entry)
            follower.revision = int(entry[0])
            self._taker.force(source.loaded(event))
            source.release()
            if reading.is_over:
                reading.check()

    # -- the whole state ----------------------------------------------------------

    def pass_on(self, event: Event) -> None:
        """Deliver an event of the feed as a whole, or keep it back until the snapshot."""
        self._owed.pass_on(event)

    def apply_to(self, state: Callable[[Event], object]) -> None:
        """Give live events to the state that is being read."""
        self._follower.apply_to(state)
        self._follower.drop_held()

    def take_state(
        self, state: State, position: Position, absent: bool, left: list[Event]
    ) -> None:
        """Deliver the state, and then what was kept back until it."""
        follower, owed = self._follower, self._owed
        follower.absent = absent
        owed.has_state()
        self._replayed = True
        follower.hold(left)
        follower.move_to(position)
        follower.has_items(state.items)
        owed.started()
        self._reading.check()
        feed, type_ = self._source.feed, self._source.type
        self._taker.give_state(
            snapshot(feed, items, position)._replace(type=type_, more=more)
            for items, more in slices(state, SLICE)
        )
        self._reading.check()
        owed.pass_on_kept_back(snapshot=True, absent=absent)

    def go_without_state(self, held: list[Event]) -> bool:
        """Go on with the history of a feed that has no state, unless that is an error."""
        follower, owed = self._follower, self._owed
        if owed.strict:
            return False
        owed.snapshot = owed.state_wanted = False
        follower.hold(held)
        owed.pass_on_kept_back(snapshot=False, absent=follower.absent)
        self._reading.check()
        if owed.created:  # the create is delivered already, and the whole new feed follows it
            owed.created, owed.from_start = False, True
            follower.move_to(NOWHERE)
        return True
