"""Shares something by weight: stride scheduling.

:class:`Shares` keeps an account for each sharer.  Every call changes the accounts, and each share
depends on all shares before it.  It reads no clock and does no input or output, so the same calls
always give the same shares.

Each sharer has a turn: the number of pieces it got so far, divided by its weight.  The next piece
goes to the lowest turn; among equal turns, to the sharer that got its last piece longest ago.  A
piece costs O(log n) for n sharers.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

import attr

__all__ = ["Shares"]

AnySharer = TypeVar("AnySharer", bound=Hashable)


@attr.define(eq=False)
class _Account:
    """What one sharer got so far.

    :ivar turn: the number of pieces, divided by the weight.
    :ivar served: the number of its last piece.
    :ivar place: its entry in the heap; None while it gets nothing.
    :ivar paused: whether it gets nothing now, and keeps its turn.
    """

    weight: float
    served: int
    turn: float = 0.0
    place: tuple[float, int] | None = None
    paused: bool = False


class Shares(Generic[AnySharer]):
    """Sharers, some of which want pieces at present.

    :param most: pieces that one sharer takes at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: dict[AnySharer, _Account] = {}
        self._heap: list[tuple[tuple[float, int], int, AnySharer]] = []
        self._wanting = 0
        self._now = 0.0  # the turn of the sharer that was served last
        self._numbers = count()

    def add(self, sharer: AnySharer, weight: float) -> None:
        """Add a sharer, which wants nothing yet."""
        self._accounts[sharer] = _Account(weight, next(self._numbers))

    def want(self, sharer: AnySharer) -> None:
        """Give a sharer pieces from now on."""
        account = self._accounts[sharer]
        if account.place is None:
            self._catch_up(account)
            self._wanting += 1
            self._line_up(sharer, account)

    def refuse(self, sharer: AnySharer) -> None:
        """Give a sharer nothing until it wants again; it loses what it misses."""
        self._leave(sharer).paused = False

    def pause(self, sharer: AnySharer) -> None:
        """Give a sharer nothing until it wants again, and then the pieces that it missed.

        It catches up on at most the pieces that it takes at a time, and loses the others.
        """
        account = self._accounts[sharer]
        if account.place is not None:
            self._leave(sharer).paused = True

    def _leave(self, sharer: AnySharer) -> _Account:
        account = self._accounts[sharer]
        if account.place is not None:
            account.place = None
            self._wanting -= 1
        return account

    def _catch_up(self, account: _Account) -> None:
        """Let an account save no pieces for later, unless it was paused."""
        saved = self._most / account.weight if account.paused else 0.0
        account.turn = max(account.turn, self._now - saved)
        account.paused = False

    def charge(self, sharer: AnySharer, pieces: int) -> None:
        """Record that a sharer got pieces without a share, or, below 0, returned some."""
        account = self._accounts[sharer]
        if pieces > 0 and account.place is None and not account.paused:
            self._catch_up(account)
        account.turn += pieces / account.weight
        if account.place is not None:
            self._line_up(sharer, account)

    def share(self, pieces: int) -> dict[AnySharer, int]:
        """Share pieces among the sharers that want some; they go on to want them."""
        shares: dict[AnySharer, int] = {}
        full: list[AnySharer] = []
        while pieces > 0 and (sharer := self._next()) is not None:
            account = self._accounts[sharer]
            alone = self._wanting - len(full) == 1
            had = shares.get(sharer, 0)
            part = min(pieces, self._most - had) if alone else 1
            self._now = max(self._now, account.turn + (part - 1) / account.weight)
            account.turn += part / account.weight
            account.served = next(self._numbers)
            shares[sharer] = had + part
            pieces -= part
            if shares[sharer] == self._most:
                full.append(sharer)
            else:
                self._line_up(sharer, account)
        for sharer in full:
            self._line_up(sharer, self._accounts[sharer])
        return shares

    def _next(self) -> AnySharer | None:
        """Take out the sharer whose turn it is."""
        while self._heap:
            place, _, sharer = heappop(self._heap)
            if self._accounts[sharer].place is place:  # else it has moved, or left
                return sharer
        return None

    def _line_up(self, sharer: AnySharer, account: _Account) -> None:
        account.place = (account.turn, account.served)
        heappush(self._heap, (account.place, next(self._numbers), sharer))
