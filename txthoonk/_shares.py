"""Who gets how much of something, by weight (stride scheduling, a pure function)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["share"]


class Sharer(Protocol):
    """Somebody who takes part.

    :ivar weight: the share.
    :ivar turn: how much was had so far, divided by that; who has had least is next.
    """

    weight: float
    turn: float


AnySharer = TypeVar("AnySharer", bound=Sharer)


def share(sharers: Sequence[AnySharer], count: int) -> dict[AnySharer, int]:
    """Share *count* pieces among those who want any number of them."""
    if count <= 0 or not sharers:
        return {}
    if len(sharers) == 1:
        sharers[0].turn += count / sharers[0].weight
        return {sharers[0]: count}
    # Who did not take part for a while has saved nothing by that.
    last = max(sharer.turn for sharer in sharers) - 1 / min(s.weight for s in sharers)
    for sharer in sharers:
        sharer.turn = max(sharer.turn, last)
    shares = dict.fromkeys(sharers, 0)
    for _ in range(count):
        next_ = min(sharers, key=lambda sharer: sharer.turn)
        next_.turn += 1 / next_.weight
        shares[next_] += 1
    return shares
