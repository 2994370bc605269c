"""What a follower still owes its subscription, and what it says of that.

Between a ``resync`` and the snapshot that follows it, events of the feed as a whole are kept
back: whether they still matter depends on the snapshot.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txthoonk.events import Event
from txthoonk.history._recovery import NOWHERE, UNRECORDED, Position, resync
from txthoonk.subscriptions._interfaces import Taker

__all__ = ["Dues"]


class Dues:
    """See the module.

    :ivar gap: why events may be missing before the next one, without a history; None: none are.
    :ivar foreign: whether an event came from a writer that keeps no history.
    :ivar from_start: whether the feed is new.
    :ivar contiguous: whether nothing was missed until now, though nothing was delivered.
    :ivar snapshot: whether the subscription wants snapshots.
    :ivar state_wanted: whether a snapshot comes next.
    :ivar created: whether a ``create`` was passed on since the last state was read.
    :ivar strict: whether a snapshot of a feed that has no state is an error.
    :ivar is_started: whether the position was known once, or never can be.
    """

    __slots__ = (
        "_begun",
        "_feed",
        "_first",
        "_kept_back",
        "_taker",
        "contiguous",
        "created",
        "foreign",
        "from_start",
        "gap",
        "is_started",
        "snapshot",
        "state_wanted",
        "strict",
    )

    def __init__(
        self,
        taker: Taker,
        feed: str,
        *,
        first: Deferred[None] | None,
        gap: str | None,
        from_start: bool,
        contiguous: bool,
        snapshot: bool,
        state_wanted: bool,
        strict: bool,
        begun: bool,
    ) -> None:
        self._taker = taker
        self._feed = feed
        self._first = first
        self._begun = begun
        self._kept_back: list[Event] | None = None
        self.gap = gap
        self.from_start = from_start
        self.contiguous = contiguous
        self.snapshot = snapshot
        self.state_wanted = state_wanted
        self.strict = strict
        self.foreign = self.created = self.is_started = False

    def lost(self) -> None:
        """Note that from now on something may be missed."""
        begun = self._begun or self.is_started
        self.gap = self.gap or (UNRECORDED if begun else None)
        self.contiguous = False

    def resync(self, reason: str, position: Position = NOWHERE) -> Deferred[None]:
        """Say that something may be missing; fires once that is delivered."""
        if self.state_wanted and self._kept_back is None:
            self._kept_back = []
        return self._taker.tell(resync(self._feed, reason, position))

    def pass_on(self, event: Event) -> None:
        """Pass on an event of the feed as a whole, or keep it back until the snapshot."""
        self.created = self.created or event.kind == "create"
        if self._kept_back is None:
            self._taker.force(event)
        else:
            self._kept_back.append(event)

    def pass_on_kept_back(self, snapshot: bool, absent: bool) -> None:
        """Pass on what came between a resync and its snapshot, or the lack of one.

        :param snapshot: whether there was one: it shows what a create or delete has done.
        :param absent: whether there is no such feed.
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
