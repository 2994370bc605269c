"""Helpers for the integration tests of delayed jobs."""

from __future__ import annotations

from typing import Any

LATE = 15_000  # milliseconds; far longer than needed, and due before the next maintenance


def timeless(state: dict[bytes, Any]) -> dict[bytes, Any]:
    """Return a state without times: the members of sorted sets, and the ids of records."""
    found = {}
    for key, value in state.items():
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            value = [member for member, _ in value]
        if key.startswith((b"feed.claims:", b"feed.failures:")):
            value = set(value)
        found[key] = value
    return found
