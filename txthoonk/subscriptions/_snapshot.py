"""The state of a feed, read while the feed goes on changing.

First the order is read, with the position. For a big feed this takes several calls, and events
wait meanwhile. In a plain feed, each event shows the new place of its item. In a sorted feed, they
are applied to the part of the order that is known, up to the moment at which the next part was
read. Then the items are read in slices, and each event that arrives meanwhile is applied. A slice
may be newer than the last event that has arrived. So the state is complete when all events that
were published before the last slice was read have arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from twisted.internet.defer import Deferred, succeed

from txthoonk.errors import FeedDoesNotExist, FeedTypeMismatch
from txthoonk.events import CHANNELS, Event
from txthoonk.history._reads import Snapshot, read_items, read_order, read_snapshot, scored_ids
from txthoonk.history._recovery import NOWHERE, Position, Step, step
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import DETOURS, IDS, OVERLAP, read_scored
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._feed_state import MISSING, FeedState, SortedState, State, make_state
from txthoonk.subscriptions._interfaces import Reader

__all__ = ["Assembly"]

SLICE = 1000  # items in one call, and in one snapshot event
PART = 5000  # ids or events that one turn of the reactor adds to the state
PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before the state is read again
ATTEMPTS = 3  # by revisions, while a program goes on writing without them
HELD = 100_000  # events that are held until the order is known


class Assembly:
    """Reads the state of one feed.

    :ivar position: the position of the state.
    :ivar absent: whether the feed does not exist.
    :ivar held: events that arrived before the order was known.
    :ivar left: the last events, if they make a state only together with later ones.

    :param tell: gets the events of the feed as a whole that arrive meanwhile.
    """

    def __init__(self, source: Source, reader: Reader, tell: Callable[[Event], object]) -> None:
        self.position = NOWHERE
        self._source = source
        self._reader = reader
        self._tell = tell
        self.absent = False
        self.held: list[Event] = []
        self.left: list[Event] = []
        self._state: State | None = None
        self._whole = True
        self._broken = False
        self._pause: Deferred[Any] = succeed(None)
        self._stopped = False
        # Whether to apply all messages, as without a history, instead of comparing revisions.
        self._by_messages = False

    def live(self, event: Event) -> None:
        """Take an event."""
        if event.kind in CHANNELS:
            self._tell(event)
            self._broken = self._broken or event.kind != "config"
        elif self._state is not None:
            self._apply(self._state, event)
        elif len(self.held) < HELD:
            self.held.append(event)
        else:
            self._broken = True

    def _apply(self, state: State, event: Event) -> None:
        what = step(self.position.epoch, self.position.revision, event)
        if what is Step.DELIVER:
            if event.revision is not None and not self._by_messages:
                self.position = Position(event.epoch, event.revision)
            self._whole = state.apply(self._source.loaded(event)) and not event.more
            if self._whole:
                self.left.clear()
            else:
                self.left.append(event)
        elif what is not Step.DROP:
            self._broken = True

    async def read(self) -> State:
        """Read the state.

        :raises FeedTypeMismatch: if it is a queue or a job feed, which have no state.
        """
        attempts = 1
        state = await self._attempt()
        while self._broken and not self._stopped:
            # The changes may go on without end, and must not keep the server busy.
            if attempts > 1:
                await self._rest(min(PAUSE * attempts, LONGEST_PAUSE))
            attempts += 1
            self._by_messages = attempts > ATTEMPTS
            state = await self._attempt()
        return state

    def stop(self) -> None:
        """Make no further attempt: the state is not wanted any more."""
        self._stopped = True
        self._pause.cancel()

    async def _rest(self, seconds: float = 0.0) -> None:
        """Leave the reactor time for other work.

        :raises CancelledError: after :meth:`stop`.
        """
        self._pause = self._reader.later(seconds)
        await self._pause

    async def _attempt(self) -> State:
        self.held, self.left = [], []
        self._state, self._broken, self._whole = None, False, True
        self.position = NOWHERE
        ids, state, done = await self._read_order()
        for count, event in enumerate(self.held, start=1):  # more may come during a rest
            self._apply(state, event)
            if not count % PART:
                await self._rest()
        self._state = state
        self._source.release()
        self.held = []
        epoch, top = self.position.epoch, self.position.revision
        sliced = done < len(ids)
        while done < len(ids):
            some = ids[done : done + SLICE]
            epoch, top, items = await read_items(self._reader.redis, self._source.feed, some)
            self._fill(state, some[: len(items)], items)
            done += len(items)
            if self._broken:
                return state
        if sliced or not self._whole:
            await self._reader.ping()
        late = epoch != self.position.epoch or top > self.position.revision
        if self.position.epoch is not None and late:
            self._broken = True
        return state

    async def _read_order(self) -> tuple[list[str], State, int]:
        """Read all ids and the first items.

        :return: the ids, the state, and how many items it has.
        """
        message, passed = self._reader.mark(lambda: self.held.clear())
        try:
            return await self._read_order_and(message, passed)
        except FeedDoesNotExist:
            self.absent = True
            self._source.learn(None, "text")
            return [], FeedState(), 0
        finally:
            passed.addErrback(lambda _: None)
            passed.cancel()

    async def _read_order_and(
        self, message: str, passed: Deferred[None]
    ) -> tuple[list[str], State, int]:
        redis, channel = self._reader.redis, self._reader.mark_channel
        found = await read_snapshot(
            redis, self._source.feed, SLICE, channel, message, self._by_messages
        )
        self.absent = False
        self._source.learn(found.type, found.serializer)
        if found.verdict == "neither":
            raise FeedTypeMismatch(
                f"feed {self._source.feed!r} is of type {found.type!r}, which has no snapshot: "
                "only feeds and sorted feeds have one"
            )
        if found.epoch is None or self._by_messages:
            await passed
        else:
            self.position = Position(found.epoch, found.top)
        if found.type == "sorted_feed":
            state = SortedState(found.ids)
            self._fill(state, found.ids[: len(found.items)], found.items)
            ids = await self._read_rest(state, found.ids) if len(found.ids) == IDS else found.ids
            return ids, state, len(found.items)
        return await self._read_plain(found)

    async def _read_plain(self, found: Snapshot) -> tuple[list[str], State, int]:
        """Read the rest of the order of a plain feed."""
        ids, done = found.ids, len(found.items)
        if len(ids) == IDS:
            ids, done = await read_scored(self._read_some_ids), 0
        state = make_state(found.type)
        for first in range(0, len(ids), PART):
            if first:
                await self._rest()
            state.extend(dict.fromkeys(ids[first : first + PART], MISSING))
        self._fill(state, found.ids[: len(found.items)], found.items)
        return ids, state, done

    async def _read_rest(self, state: SortedState, ids: list[str]) -> list[str]:
        """Read the rest of the order of a sorted feed.

        :return: the ids that were read.
        """
        state.is_partial = True
        ids, detours = list(ids), 0
        while not self._broken and not self._stopped:
            first, last = 0, -1  # everything at once
            if detours < DETOURS:
                first = max(0, len(state.items) - OVERLAP)
                last = first + IDS - 1
            some = await self._read_some_order(state, first, last)
            known = len(state.items)
            if known >= first:  # otherwise more items have gone than the parts overlap
                new = some[known - first :]
                state.extend(dict.fromkeys(new, MISSING))
                ids += new
                if len(some) < IDS or last == -1:
                    break
            detours += len(state.items) == known
        ids += state.complete()
        self.left, self._whole = [], True
        return ids

    async def _read_some_order(self, state: State, first: int, last: int) -> list[str]:
        """Read a part of the order, and apply the events that are older to the state."""
        older = 0

        def read() -> None:
            nonlocal older
            older = len(self.held)

        by_marks = self.position.epoch is None or self._by_messages
        message, passed = self._reader.mark(read) if by_marks else ("", succeed(None))
        redis, channel = self._reader.redis, self._reader.mark_channel
        try:
            epoch, top, some = await read_order(
                redis, self._source.feed, first, last, channel, message
            )
            await passed
        finally:
            passed.addErrback(lambda _: None)
            passed.cancel()
        if not by_marks:
            older = await self._held_up_to(epoch, top)
        for event in self.held[:older]:
            self._apply(state, event)
        del self.held[:older]
        return some

    async def _held_up_to(self, epoch: str | None, top: int) -> int:
        """Wait for all events up to a position. Return how many of them are held."""
        self._broken = self._broken or epoch != self.position.epoch
        if top > max((event.revision or 0 for event in self.held), default=self.position.revision):
            await self._reader.ping()
        return sum(1 for _ in takewhile(lambda event: (event.revision or 0) <= top, self.held))

    async def _read_some_ids(self, score: str, skipped: int) -> list[str]:
        """Read a part of a long order. Events that arrive meanwhile are held."""
        if self._broken or self._stopped:
            return []
        command = scored_ids(self._source.feed, score, skipped)
        some: list[str] = await self._reader.redis.request(command, TEXT)
        return some

    def _fill(self, state: State, ids: list[str], items: list[str | None]) -> None:
        for id_, item in zip(ids, items, strict=True):
            # An event may have set an older item, but then the event of the newer one follows.
            if item is not None and state.items.get(id_) is MISSING:
                state.items[id_] = self._source.load(id_, item)
