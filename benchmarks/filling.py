"""Fills feeds with many items by a script on the server.

The ids have 12 digits, from 000000000000; items have 100 bytes.
"""

from __future__ import annotations

import time

from peers.running import Redis

__all__ = ["fill"]

NAME = "bench"
CHUNK = 20_000  # items of one call, so that no script takes long
ITEM = "x" * 100

# KEYS: feed.items, feed.ids, feed.publishes, feed.published or feed.idincr.
# ARGV: type, number of the first item, and of the one after the last, item, milliseconds.
_FILL = """
local items, ids, publishes, more = unpack(KEYS)
local kind, first, stop, item, time = unpack(ARGV)
for number = first, stop - 1 do
  local id = string.format('%012d', number)
  redis.call('HSET', items, id, item)
  if kind == 'feed' then
    redis.call('ZADD', ids, time + number / 1000, id)
  elseif kind == 'sorted_feed' then
    redis.call('RPUSH', ids, id)
  else
    redis.call('LPUSH', ids, id)
  end
  if kind == 'job' then
    redis.call('ZADD', more, time, id)
  end
end
redis.call('INCRBY', publishes, stop - first)
if kind == 'sorted_feed' then
  redis.call('SET', more, stop)
end
"""


def fill(redis: Redis, kind: str, count: int) -> None:
    """Fill an open, empty feed with items."""
    more = "published" if kind == "job" else "idincr"
    keys = [f"feed.{what}:{NAME}" for what in ("items", "ids", "publishes", more)]
    begin = int(time.time() * 1000) - 3_600_000  # an hour ago
    for first in range(0, count, CHUNK):
        stop = min(first + CHUNK, count)
        redis.call("EVAL", _FILL, len(keys), *keys, kind, first, stop, ITEM, begin)
