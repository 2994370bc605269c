"""What the dispatcher expects of those that want messages."""

from __future__ import annotations

from typing import Protocol

__all__ = ["GroupListener"]


class GroupListener(Protocol):
    """Learns what happens to the channels and patterns of a group."""

    def ready(self) -> None:
        """Learn that Redis has confirmed all of them, on the first or a later connection."""

    def lost(self) -> None:
        """Learn that the connection is lost."""

    def refused(self, error: BaseException) -> None:
        """Learn that Redis refuses one of them, and why."""
