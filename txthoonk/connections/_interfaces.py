"""What the connections need from those who use them."""

from __future__ import annotations

from typing import Protocol, TypeVar

from txthoonk.errors import ConnectionLost

__all__ = ["Listener"]

R_contra = TypeVar("R_contra", contravariant=True)


class Listener(Protocol[R_contra]):
    """Learns what happens to a :class:`~txthoonk.connections._reconnecting.Connection`.

    Inherit from it to ignore what you do not need. What a method raises is logged, and stops
    nothing.
    """

    def connected(self, redis: R_contra) -> None:
        """Use *redis*: it is connected, and has replied to PING."""
        return

    def disconnected(self, error: ConnectionLost) -> None:
        """Use the connection no longer. This comes before the calls on it fail."""
        return

    def attempt_failed(self, error: Exception) -> None:
        """Learn why an attempt to connect failed."""
        return
