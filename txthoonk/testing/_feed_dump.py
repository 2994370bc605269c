"""Reads everything that Redis has of a feed at one moment, for the checks.

One transaction reads it.  It is sent without a pause, so it can run between other calls on the
same connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attr
from twisted.internet.defer import Deferred

from txthoonk._support._replies import parses
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._keys import FEEDS, feed_key, kept_result_key
from txthoonk.wire._settings import setting_from

__all__ = ["EXPIRING", "PARTS", "Kept", "State", "read_state"]

TRIES = 100  # attempts to read kept results, which may come and go meanwhile

#: Part of a feed's keys -> the Redis types that the key may have.
PARTS: Mapping[str, tuple[str, ...]] = {
    "config": ("hash",),
    "ids": ("list", "zset"),
    "items": ("hash",),
    "publishes": ("string",),
    "idincr": ("string",),
    "published": ("zset",),
    "claimed": ("zset",),
    "cancelled": ("hash",),
    "stalled": ("set",),
    "finishes": ("string",),
    "transit": ("list",),
    "delivering": ("zset",),
    "results": ("zset",),
    "listeners": ("zset",),
    "claims": ("hash",),
    "failures": ("hash",),
    "progress": ("hash",),
    "delayed": ("zset",),
    "later": ("hash",),
    "failed": ("zset",),
    "options": ("hash",),
    "workers": ("hash",),
    "maintained": ("string",),
    "overdue": ("string",),
    "revision": ("hash",),
    "history": ("stream",),
}

#: Parts that expire, so that they may be left of a feed that does not exist.
EXPIRING = ("maintained", "listeners", "overdue")

#: Redis type -> the command that reads a whole key, its last words, and the converter.
_READERS: Mapping[str, tuple[str, tuple[str | int, ...], Callable[[Any], Any]]] = {
    "string": ("GET", (), str),
    "list": ("LRANGE", (0, -1), list),
    "set": ("SMEMBERS", (), set),
    "hash": ("HGETALL", (), lambda flat: dict(_pairs(flat))),
    "zset": (
        "ZRANGE",
        (0, -1, "WITHSCORES"),
        lambda flat: {member: float(score) for member, score in _pairs(flat)},
    ),
    "stream": (
        "XRANGE",
        ("-", "+"),
        lambda entries: [(number, dict(_pairs(fields))) for number, fields in entries],
    ),
}

_GLOB = re.compile(r"([\\*?[\]^-])")


def _pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


@attr.frozen
class Kept:
    """The kept result of a finished job.

    :ivar parts: result and item; None if the key is not a list.
    :ivar ttl: the milliseconds until it expires; -1: never.
    """

    parts: list[str] | None
    ttl: int


@attr.frozen
class State:
    """Everything that Redis has of a feed.

    :ivar name: the feed's name.
    :ivar registered: whether it is in the set of feeds.
    :ivar time: the time of this state, in milliseconds since 1970 by the server's clock.
    :ivar types: part, a key of :data:`PARTS` -> Redis type, of the keys that exist.
    :ivar values: part -> value, of the keys that have an allowed type.
    :ivar kept: id -> the kept result.
    :ivar lasting: the parts of :data:`EXPIRING` that exist and do not expire.
    """

    name: str
    registered: bool = True
    time: float = 0.0
    types: Mapping[str, str] = attr.Factory(dict)
    values: Mapping[str, Any] = attr.Factory(dict)
    kept: Mapping[str, Kept] = attr.Factory(dict)
    lasting: frozenset[str] = frozenset()

    def key(self, part: str) -> str:
        """Return the key of a part."""
        return feed_key(part, self.name)

    @property
    def config(self) -> dict[str, str]:
        """The configuration."""
        return self.hash("config")

    @property
    def type(self) -> str:
        """The feed's type."""
        return setting_from(self.config, "type")

    @property
    def ids(self) -> list[str]:
        """The ids, in the feed's order."""
        return list(self.values.get("ids", ()))

    @property
    def items(self) -> dict[str, str]:
        """The items: id -> item."""
        return self.hash("items")

    def hash(self, part: str) -> dict[str, str]:
        """Return a hash; empty if the key does not exist."""
        return self.values.get(part) or {}

    def scores(self, part: str) -> dict[str, float]:
        """Return a sorted set: member -> score, in its order."""
        return self.values.get(part) or {}

    def list(self, part: str) -> list[Any]:
        """Return a list, or the entries of a stream: (id, fields)."""
        return self.values.get(part) or []

    def set(self, part: str) -> set[str]:
        """Return a set; empty if the key does not exist."""
        return self.values.get(part) or set()

    def count(self, part: str) -> int:
        """Return a counter; 0 if the value is not a number."""
        text = self.values.get(part, "0")
        return int(text) if text.isascii() and text.isdigit() else 0


async def read_state(redis: Commands, name: str) -> State:
    """Read everything of a feed: O(n) for n items, and O(k) for all k keys of the database."""
    ids: list[str] = []
    state = State(name)
    for _ in range(TRIES):
        state, found = await _read(redis, name, ids)
        # A result that has expired since the first read does no harm.
        if set(found) <= set(ids):
            break
        ids = found
    return state


async def _read(redis: Commands, name: str, kept: list[str]) -> tuple[State, list[str]]:
    """Read a feed with the kept results of some jobs.

    :param kept: the ids of these jobs.
    :return: the state, and the ids of all jobs that have a kept result.
    """
    before = kept_result_key(_GLOB.sub(r"\\\1", name), "")
    commands: list[tuple[str | int, ...]] = [
        ("SISMEMBER", FEEDS, name),
        ("TIME",),
        ("KEYS", f"{before}*"),
    ]
    asked = [(part, type_) for part, types in PARTS.items() for type_ in types]
    commands += [("TYPE", feed_key(part, name)) for part in PARTS]
    for part, type_ in asked:
        command, words, _ = _READERS[type_]
        commands.append((command, feed_key(part, name), *words))
    commands += [("PTTL", feed_key(part, name)) for part in EXPIRING]
    for id_ in kept:
        key = kept_result_key(name, id_)
        commands += [("LRANGE", key, 0, -1), ("PTTL", key)]
    return _state(name, kept, asked, await _transaction(redis, commands))


@parses
def _state(
    name: str, kept: list[str], asked: list[tuple[str, str]], replies: list[Any]
) -> tuple[State, list[str]]:
    """Convert the replies to what :func:`_read` returns."""
    registered, (seconds, micro), keys, *rest = replies
    found = dict(zip(PARTS, rest, strict=False))
    values = dict(zip(asked, rest[len(PARTS) :], strict=False))
    ttls = rest[len(PARTS) + len(asked) :]
    state = State(
        name,
        bool(registered),
        int(seconds) * 1000 + int(micro) / 1000,
        {part: type_ for part, type_ in found.items() if type_ != "none"},
        {
            part: _READERS[type_][2](reply)
            for (part, type_), reply in values.items()
            if found[part] == type_
        },
        _kept(kept, rest[len(PARTS) + len(asked) + len(EXPIRING) :]),
        frozenset(part for part, ttl in zip(EXPIRING, ttls, strict=False) if ttl == -1),
    )
    return state, [key[len(kept_result_key(name, "")) :] for key in keys]


def _kept(ids: list[str], replies: list[Any]) -> dict[str, Kept]:
    found = {}
    for id_, (parts, ttl) in zip(ids, _pairs(replies), strict=True):
        if ttl != -2:  # -2: the key does not exist
            found[id_] = Kept(None if isinstance(parts, Exception) else parts, ttl)
    return found


async def _transaction(redis: Commands, commands: list[tuple[str | int, ...]]) -> list[Any]:
    """Execute commands as one transaction; return their replies, some of which may be errors."""
    queued = [redis.request(command, TEXT) for command in (("MULTI",), *commands)]
    executed: Deferred[list[Any]] = redis.request(("EXEC",), TEXT)
    for one in queued:
        one.addErrback(lambda _: None)  # EXEC fails, too
    return await executed
