"""Helpers for the integration tests of ``job delay``."""

from __future__ import annotations

from typing import Any

LATE = 15_000  # milliseconds: far more than it takes, and less than to the next maintenance


def timeless(state: dict[bytes, Any]) -> dict[bytes, Any]:
    """Give a state without the times: members of sorted sets alone, and whose records."""
    found = {}
    for key, value in state.items():
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            value = [member for member, _ in value]
        if key.startswith((b"feed.claims:", b"feed.failures:")):
            value = set(value)
        found[key] = value
    return found
