"""What a follower owes its subscriber besides the events: the start, resyncs and a snapshot.

Between a ``resync`` and the snapshot that follows it, events of the feed as a whole are kept back:
whether they still matter depends on the snapshot.
"""

from __future__ import annotations

import attr
from twisted.internet.defer import Deferred

from txthoonk.events import Event
from txthoonk.history._recovery import NOWHERE, UNRECORDED, Position, resync
from txthoonk.subscriptions._interfaces import Taker

__all__ = ["Owed"]


@attr.define(eq=False, weakref_slot=False)
class Owed:
    """See the module.

    :ivar gap: why events may be missing before the next one, if the feed has no history; None:
        none are missing.
    :ivar foreign: whether an event came from a writer that keeps no history.
    :ivar from_start: whether the feed is new.
    :ivar contiguous: whether nothing was missed so far, although nothing was delivered.
    :ivar snapshot: whether the subscription wants snapshots.
    :ivar state_wanted: whether a snapshot comes next.
    :ivar created: whether a ``create`` was passed on since the last snapshot.
    :ivar strict: whether a feed that has no state, and so no snapshot, is an error.
    :ivar is_started: whether the position was known once, or never can be.

    :param begun: whether a lost connection is reported before the position is known, too.
    :param first: fires when the position is known for the first time; fails if it cannot be.
    """

    _taker: Taker
    _feed: str
    _first: Deferred[None] | None
    _begun: bool
    gap: str | None
    from_start: bool
    contiguous: bool
    snapshot: bool
    state_wanted: bool
    strict: bool
    foreign: bool = attr.field(default=False, init=False)
    created: bool = attr.field(default=False, init=False)
    is_started: bool = attr.field(default=False, init=False)
    _kept_back: list[Event] | None = attr.field(default=None, init=False)

    def lost(self) -> None:
        """Note that events may be missed from now on."""
        begun = self._begun or self.is_started
        self.gap = self.gap or (UNRECORDED if begun else None)
        self.contiguous = False

    def looked(self) -> None:
        """Note that a look at the history has answered what was in doubt before it."""
        self.foreign, self.from_start, self.contiguous = False, False, True

    def has_state(self) -> None:
        """Note that the whole state is known."""
        self.looked()
        self.gap = None
        self.state_wanted = self.created = False

    def resync(self, reason: str, position: Position = NOWHERE) -> Deferred[None]:
        """Deliver a resync. The Deferred fires once the subscriber has it."""
        if self.state_wanted and self._kept_back is None:
            self._kept_back = []
        return self._taker.tell(resync(self._feed, reason, position))

    def pass_on(self, event: Event) -> None:
        """Deliver an event of the feed as a whole, or keep it back until the snapshot."""
        self.created = self.created or event.kind == "create"
        if self._kept_back is None:
            self._taker.force(event)
        else:
            self._kept_back.append(event)

    def pass_on_kept_back(self, snapshot: bool, absent: bool) -> None:
        """Deliver what was kept back, after the snapshot or instead of it.

        :param snapshot: whether there was one. It shows what a create or a delete has done.
        :param absent: whether the feed does not exist.
        """
        kept, self._kept_back = self._kept_back or [], None
        if snapshot:
            deletes = [e for e in kept if e.kind == "delete"] if absent else []
            kept = [*[e for e in kept if e.kind == "config"], *deletes[-1:]]
        for event in kept:
            self._taker.force(event)

    def started(self) -> None:
        """Report that the position is known."""
        self.is_started = True
        first, self._first = self._first, None
        if first is not None:
            first.callback(None)

    def give_up(self, error: BaseException) -> None:
        """Report that the feed cannot be followed."""
        if self.is_started:
            self.resync(f"the feed cannot be followed: {error}")
            return
        self.is_started = True
        first, self._first = self._first, None
        if first is not None:
            first.errback(error)
