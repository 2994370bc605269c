"""Measures the cost of a call in feeds of different sizes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import attr
from bench import Bench, Measured
from peers.programs import OURS, RAW, Program

__all__ = ["CURVES", "SIZES", "WALL", "Growth", "title_at"]

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
WALL = ", one at a time"
MOST_CALLS = 500
SCRIPTS = ("evalsha", "eval", "fcall")
NOT_CALLS = ("config|resetstat", "config", "info", "ping", "client", "script|load", "script")
ITEM = "x" * 100
IDS, ITEMS, NEW = "feed.ids:bench", "feed.items:bench", "raw:{n}"


@attr.frozen
class Growth:
    """The cost of a verb in a feed of some size, compared with that of the bare structures.

    For txthoonk this is the time that Redis spends on a call and, one call at a time, the time
    from the call to its answer.  For the structures it is the time that Redis spends on the
    commands that do the same with them.

    :ivar title: the title of the curve.
    :ivar verb: see ``peers/txthoonk_client.py``.
    :ivar raw: the words of those commands, in which ``{n}`` stands for the number of the call,
        ``{r}`` for an item, and ``{m}`` for the one in the middle.
    :ivar size: the number of items.
    :ivar full: whether ``max_length`` of the feed is that number.
    :ivar calls: the most calls.
    """

    title: str
    verb: str
    raw: tuple[tuple[str, ...], ...]
    size: int = 0
    full: bool = False
    calls: int = MOST_CALLS

    def measures(self, program: Program) -> bool:
        """Tell whether a program can do it."""
        return program.name in (OURS, RAW)

    def prepare(self, bench: Bench) -> None:
        """Fill the feed, unless the verb before has left it full."""
        kind, size = self.verb.partition(".")[0], bench.scale.items(self.size)
        config = {"max_length": size} if self.full else {}
        bench.keep(kind, config, size)

    def measure(self, bench: Bench, program: Program, title: str) -> Measured:
        """Measure microseconds for a call."""
        size = bench.scale.items(self.size)
        calls = min(self.calls, size, bench.scale.calls)
        bench.redis.call("CONFIG", "RESETSTAT")
        if program.name == RAW:
            self._raw(bench, calls, size)
            return {title: server_time(bench) / calls}
        answer = bench.ours.ask(**bench.order(self.verb, calls, spread=size))
        wall = (answer["end"] - answer["begin"]) * 1e6
        return {title: server_time(bench) / calls, title + WALL: wall / calls}

    def _raw(self, bench: Bench, calls: int, size: int) -> None:
        middle = f"{size // 2:012}"
        for number in range(bench.round * calls, (bench.round + 1) * calls):
            one = f"{random.randrange(size):012}"
            one = "0" * 12 if one == middle else one
            for words in self.raw:
                values: Mapping[str, Any] = {"n": number, "r": one, "m": middle}
                bench.redis.call(*(word.format(**values) for word in words))


def title_at(title: str, size: int) -> str:
    """Give the title of a curve's row."""
    return f"{title}, {size:,} items"


def server_time(bench: Bench) -> int:
    """Return the microseconds that Redis has spent on calls, including those of scripts."""
    spent = {}
    for name, text in bench.info("commandstats").items():
        fields = dict(field.split("=") for field in text.split(","))
        spent[name.removeprefix("cmdstat_")] = int(fields["usec"])
    scripts = [spent[name] for name in SCRIPTS if name in spent]
    return sum(scripts or (spent[name] for name in spent if name not in NOT_CALLS))


ADD, DROP = ("HSET", ITEMS, NEW, ITEM), ("HDEL", ITEMS, NEW)
REPLACE, READ = ("HSET", ITEMS, "{r}", ITEM), ("HGET", ITEMS, NEW)
TO_END = ("ZADD", IDS, "9e15", NEW)
READ_100 = ("HMGET", ITEMS, *(f"{number:012}" for number in range(100)))
DROP_OLDEST = (("ZREMRANGEBYRANK", IDS, "0", "0"), ("HDEL", ITEMS, "{r}"))
MOVE = (("LREM", IDS, "1", "{r}"), ("LINSERT", IDS, "BEFORE", "{m}", "{r}"))
FEW = 20  # calls of what costs more the more items there are

#: Those of one type follow one another, so that it is filled once for them.
CURVES = [
    Growth("feed: publish", "feed.publish", (TO_END, ADD)),
    Growth("feed: edit", "feed.edit", (("ZADD", IDS, "9e15", "{r}"), REPLACE)),
    Growth("feed: get_item", "feed.get_item", (("HGET", ITEMS, "{r}"),)),
    Growth("feed: get_range of 100", "feed.get_range", (("ZRANGE", IDS, "0", "99"), READ_100)),
    Growth("feed: retract", "feed.retract", (("ZREM", IDS, NEW), DROP)),
    Growth("feed: publish when full", "feed.publish", (TO_END, ADD, *DROP_OLDEST), full=True),
    Growth("sorted feed: append", "sorted_feed.append", (("RPUSH", IDS, NEW), ADD)),
    Growth("sorted feed: edit", "sorted_feed.edit", (REPLACE,)),
    Growth("sorted feed: move", "sorted_feed.move_before", MOVE, calls=FEW),
    Growth(
        "sorted feed: publish before",
        "sorted_feed.publish_before",
        (("LINSERT", IDS, "BEFORE", "{m}", NEW), ADD),
        calls=FEW,
    ),
    Growth("queue: put", "queue.put", (("LPUSH", IDS, NEW), ADD)),
    Growth("queue: get", "queue.get", (("RPOP", IDS), READ, DROP)),
    Growth("job: put", "job.put", (("LPUSH", IDS, NEW), ADD)),
    Growth("job: get and finish", "job.get_finish", (("RPOP", IDS), READ, DROP)),
]
