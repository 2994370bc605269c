"""Helpers for the integration tests of foreign keys in feeds."""

from __future__ import annotations

# The command that makes a key of each type.
MAKERS = {
    "set": ("SADD", "x"),
    "hash": ("HSET", "x", "1"),
    "zset": ("ZADD", "1", "x"),
    "list": ("RPUSH", "x"),
    "string": ("SET", "x"),
    "stream": ("XADD", "1-0", "x", "1"),
}
JSON_CONFIG = '{"type": "feed", "max_length": 5}'  # as thoonk.js 0.2 stored it
