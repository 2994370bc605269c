"""The job feeds of thoonk.js 0.6 to 1.0, which are not in the registry of feeds."""

from __future__ import annotations

from txthoonk.errors import ResponseError
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import read_set
from txthoonk.wire._keys import JOBS, source_key

__all__ = ["is_source", "source_names"]


async def source_names(redis: Commands) -> list[str]:
    """Return the names of those job feeds, in their order."""
    try:
        names = await read_set(redis, JOBS)
    except ResponseError:
        return []  # the key is that of another program, or this user may not read it
    return [name for name in sorted(names) if await is_source(redis, name)]


async def is_source(redis: Commands, name: str) -> bool:
    """Return whether there is such a job feed."""
    keys = [source_key(part, name) for part in ("config", "items", "publishes")]
    try:
        known = await redis.request(("SISMEMBER", JOBS, name), TEXT)
        return bool(known and await redis.request(("EXISTS", *keys), TEXT))
    except ResponseError:
        return False
