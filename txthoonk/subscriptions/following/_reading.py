"""Reading what a follower is missing: looks at the history, whole states, pauses and retries.

A :class:`Reading` asks Redis. Its listener decides what follows from the answers: see
:mod:`txthoonk.subscriptions.following._catching_up`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from txthoonk.connections._back_off import back_off
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedNotConfigured,
    FeedTypeMismatch,
    NotSent,
    ResponseError,
)
from txthoonk.history._reads import Look, look
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions._interfaces import Reader, ReadingListener, Taker
from txthoonk.subscriptions._snapshot import Assembly

__all__ = ["Reading", "Superseded"]

SLICE = 1000  # entries that one call reads

T = TypeVar("T")


class Superseded(Exception):
    """The reading was stopped: its answers are of no use any more."""


class Reading:
    """Reads until nothing is missing, or until it is stopped.

    :ivar is_over: whether it was stopped.

    :param taker: is asked for room before the history is read.
    :param first_slice: how many entries to read first; 0: as many as later.
    """

    __slots__ = (
        "_assembly",
        "_first_slice",
        "_listener",
        "_reader",
        "_source",
        "_taker",
        "_waiting",
        "is_over",
    )

    def __init__(
        self,
        source: Source,
        reader: Reader,
        taker: Taker,
        listener: ReadingListener,
        first_slice: int,
    ) -> None:
        self._source = source
        self._reader = reader
        self._taker = taker
        self._listener = listener
        self._first_slice = first_slice
        self._assembly: Assembly | None = None
        self._waiting: Deferred[Any] | None = None
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

    def check(self) -> None:
        """Raise :class:`Superseded` if the reading was stopped."""
        if self.is_over:
            raise Superseded

    async def run(self, rest: float) -> None:
        """Read until nothing is missing.

        :param rest: how many seconds to wait first.
        :raises Superseded: if the reading was stopped.
        """
        failures = 0
        if rest:
            await self._wait(self._reader.later(rest))
        listener = self._listener
        while True:
            try:
                if not listener.state_wanted or not await self._read_state():
                    await self._read_history()
                self.check()
                if not listener.state_wanted:  # the history may show that a state is needed
                    break
            except ConnectionLost as error:
                if isinstance(error, NotSent) and not listener.is_started:
                    raise
                await self._still(self._reader.available())
            except (ResponseError, FeedNotConfigured) as error:
                failures += 1
                if not listener.put_off(error, failures):
                    raise
                await self._wait(self._reader.later(back_off(failures)))
        listener.caught_up()

    # -- pauses -------------------------------------------------------------------

    async def _wait(self, waiting: Deferred[Any]) -> None:
        """Wait for something that :meth:`stop` cancels."""
        self._listener.waits()
        if self.is_over:
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            raise Superseded
        self._waiting = waiting
        await self._still(waiting)
        self._waiting = None

    async def _still(self, awaited: Awaitable[T]) -> T:
        """Wait for something, and go on only if the reading was not stopped meanwhile."""
        result = await awaited
        self.check()
        return result

    # -- the history --------------------------------------------------------------

    async def _read_history(self) -> None:
        """Read what the history has after the position, in slices."""
        most = self._first_slice or SLICE
        while True:
            # Before the start, no one takes events from the subscription of a pattern.
            while not (room := self._taker.reserve(most)) and self._listener.is_started:
                await self._wait(self._taker.room())
            most = SLICE
            try:
                if await self._read_slice(room):
                    return
            finally:
                self._taker.release(room)

    async def _read_slice(self, most: int) -> bool:
        """Read the next entries of the history. Return whether there are no more."""
        held = self._listener.held()
        epoch, since = self._listener.position()
        found: Look | None = None
        with suppress(FeedDoesNotExist):
            count = 0 if since is None else most
            found = await look(self._reader.redis, self._source.feed, epoch, since, count)
        self.check()
        return self._listener.take_look(found, held)

    # -- the whole state ----------------------------------------------------------

    async def _read_state(self) -> bool:
        """Read the whole state. Return False if the feed has none."""
        assembly = self._assembly = Assembly(self._source, self._reader, self._listener.pass_on)
        self._listener.apply_to(assembly.live)
        try:
            state = await self._still(assembly.read())
        except FeedTypeMismatch:
            self.check()
            self._assembly = None
            if not self._listener.go_without_state(assembly.held):
                raise
            return False
        self._assembly = None
        # The follower holds live events again, so the state changes no more.
        self._listener.take_state(state, assembly.position, assembly.absent, assembly.left)
        return True
