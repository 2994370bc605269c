"""The pace at which a subscription to a pattern begins to follow its feeds."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.subscriptions._router import Sources

__all__ = ["Pace"]


class Pace:
    """Lets only some feeds begin at a time, and leaves time for the reactor's other work.

    :ivar turn: grows with each interruption. Work that began in an earlier turn must end.
    """

    def __init__(self, sources: Sources) -> None:
        self.turn = 0
        self._sources = sources
        self._beginning: set[str] = set()
        self._settled: Deferred[None] | None = None
        self._rest: Deferred[Any] | None = None

    def interrupt(self) -> None:
        """Begin a new turn: wake up the work of the present one, so that it ends."""
        self.turn += 1
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.cancel()
        self._go_on()

    def begin(self, feed: str) -> None:
        """Count a feed that begins."""
        self._beginning.add(feed)

    def settled(self, feed: str) -> None:
        """Count a feed no longer: it has begun, or cannot begin for now."""
        if feed in self._beginning:
            self._beginning.discard(feed)
            self._go_on()

    def _go_on(self) -> None:
        settled, self._settled = self._settled, None
        if settled is not None:
            settled.callback(None)

    async def fewer_than(self, most: int) -> None:
        """Wait until fewer than *most* feeds are beginning, or the turn ends."""
        turn = self.turn
        while len(self._beginning) >= most and turn == self.turn:
            self._settled = Deferred()
            await self._settled

    async def rest(self) -> None:
        """Let the reactor do other work.

        :raises CancelledError: if the turn ends meanwhile.
        """
        self._rest = self._sources.next_turn()
        await self._rest
        self._rest = None
