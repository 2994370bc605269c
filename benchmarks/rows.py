"""The rows: every kind of work that is measured."""

from __future__ import annotations

from typing import Any

import attr
from calls import AS_MANY, Calls
from fanout import LATE_LINES, Fanout, Late
from growth import CURVES, SIZES, WALL, title_at
from jobs import KEPT_RESULTS, RESULTS, START_LINES, Idle, Start, Work
from memory import Memory

__all__ = ["GROUPS", "ROWS", "Row"]

ITEM = "x" * 100
FULL = {"max_length": 1000}
HISTORY = {"history": 1000}
PER_SECOND = "a second"
MANY = 1_000_000  # items; filling a feed with them takes seconds
FEW = 0.05  # share of the calls, so that they hardly change a feed of 1,000
NEEDED = 1  # rounds of measurements that hardly vary

# The same work as moving an item of a sorted feed, or publishing one before another, on the bare
# list and hash.
MOVE = """
if ARGV[1] == ARGV[2] then return 0 end
redis.call('LREM', KEYS[1], 1, ARGV[1])
return redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[2], ARGV[1])
"""
PUBLISH_BEFORE = """
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[1], ARGV[2])
"""
IDS, ITEMS = "feed.ids:bench", "feed.items:bench"


@attr.frozen
class Row:
    """One row of a table.

    :ivar title: the unique title.
    :ivar group: the group that ``--rows`` can name.
    :ivar work: measures it.
    :ivar unit: the unit of the figures; rates are better if they are higher, all others if lower.
    :ivar rounds: the most rounds; 0: all.
    :ivar only_beside_peers: whether the row makes sense only with peers.
    :ivar lines: the titles of its figures.
    """

    title: str
    group: str
    work: Any
    unit: str = PER_SECOND
    rounds: int = 0
    only_beside_peers: bool = False
    lines: tuple[str, ...] = attr.Factory(lambda row: (row.title,), takes_self=True)

    @property
    def higher_is_better(self) -> bool:
        return self.unit == PER_SECOND


def three(title: str, group: str, verb: str, jobs: bool = False, **more: Any) -> list[Row]:
    """One at a time, 100 in flight, and a thousand at a time."""
    single, flight, bulk = ("single", "flight", "bulk") if jobs else ("", "", "")
    return [
        Row(f"{title}, one at a time", group, Calls(verb, 1, 0.2, jobs=single, **more)),
        Row(f"{title}, 100 in flight", group, Calls(verb, jobs=flight, **more)),
        Row(f"{title}, in bulk", group, _in_bulk(verb, jobs=bulk, **more)),
    ]


def _in_bulk(verb: str, **more: Any) -> Calls:
    many = verb + "_many" if verb.endswith(".put") else ""
    return Calls(verb, 1000, batch=True, many=many, **more)


def finishing(width: int, share: float) -> Calls:
    return Calls("job.get_finish", width, share, filled=AS_MANY)


def moves() -> list[Row]:
    return [
        *sorted_at(1_000, 100, 0.5),
        *sorted_at(100_000, 10, 0.02),
        *sorted_at(MANY, 10, 0.002),
    ]


def sorted_at(items: int, width: int, share: float) -> list[Row]:
    """Move, and publish before another item; fewer of the latter, because they add to the feed."""
    options = {"width": width, "filled": items, "spread": items, "alone": True}
    move = ("EVAL", MOVE, 1, IDS, "{r}", "{r}")
    before = ("EVAL", PUBLISH_BEFORE, 2, IDS, ITEMS, "{r}", "new", ITEM)
    return [
        Row(
            f"sorted feed: move, of {items:,}",
            "sorted",
            Calls("sorted_feed.move_before", share=share, raw=move, stays=True, **options),
        ),
        Row(
            f"sorted feed: publish before, of {items:,}",
            "sorted",
            Calls(
                "sorted_feed.publish_before",
                share=min(share, FEW),
                raw=before,
                stays=items == MANY,
                **options,
            ),
        ),
    ]


def processes() -> list[Row]:
    return [
        Row(
            f"publish, 100 in flight, {count} process{'es' if count > 1 else ''}",
            "processes",
            Calls("feed.publish", processes=count, share=1 / count, alone=True),
        )
        for count in (1, 2, 3, 4)
    ]


def fanout() -> list[Row]:
    channel, event = "feed.publish:bench", "feed.event:bench"
    pattern = {"channels": (), "patterns": ("feed.publish:ben*",)}
    return [
        Row("plain handler", "fanout", Fanout("register_handler")),
        Row("plain handler, of a burst", "fanout", Fanout("register_handler", burst=True)),
        Row("subscription", "fanout", Fanout("subscribe")),
        Row("subscription, of a burst", "fanout", Fanout("subscribe", burst=True)),
        Row("subscription by pattern", "fanout", Fanout("subscribe_pattern", **pattern)),
        Row(
            "subscription, with history",
            "fanout",
            Fanout("subscribe", channels=(channel, event), share=5, alone=True),
        ),
        Row(
            "100 subscriptions, handler calls",
            "fanout",
            Fanout("subscribe", handlers=100, share=0.5, alone=True),
        ),
    ]


def growth() -> list[Row]:
    return [
        Row(title, "growth", attr.evolve(curve, size=size), "µs", 3, lines=(title, title + WALL))
        for size in SIZES
        for curve in CURVES
        for title in [title_at(curve.title, size)]
    ]


def memory() -> list[Row]:
    kinds = {
        "feed": Memory("feed.publish_random"),
        "feed, history of 1,000": Memory("feed.publish_random", HISTORY),
        "sorted feed": Memory("sorted_feed.append"),
        "queue": Memory("queue.put_many"),
        "job feed": Memory("job.put_many"),
    }
    return [
        Row(f"memory of 100,000 items, {kind}", "memory", work, "MB", NEEDED)
        for kind, work in kinds.items()
    ]


ROWS = [
    *three("publish", "publish", "feed.publish"),
    Row("publish under random ids, 100 in flight", "publish", Calls("feed.publish_random")),
    *three("publish, history of 1,000", "history", "feed.publish", config=HISTORY),
    *three("edit", "edit", "feed.edit", filled=1000, stays=True),
    *three("publish into a full feed", "trim", "feed.publish", config=FULL, filled=1000),
    Row(
        "get_item, one at a time",
        "reads",
        Calls("feed.get_item", 1, 0.2, filled=1000, stays=True),
    ),
    Row("get_item, 100 in flight", "reads", Calls("feed.get_item", filled=1000, stays=True)),
    Row(
        "get_range of 100, items",
        "reads",
        Calls("feed.get_range", 10, 0.2, each=100, filled=1000, stays=True),
    ),
    Row(
        "get_all of 10,000, items",
        "reads",
        Calls("feed.get_all", 1, 0.002, each=10_000, filled=10_000, stays=True),
    ),
    *three("sorted feed: append", "sorted", "sorted_feed.append"),
    *moves(),
    *three("queue: put", "queue", "queue.put"),
    Row("queue: put and get, one at a time", "queue", Calls("queue.put_get", 1, 0.1)),
    Row("queue: put and get, 100 in flight", "queue", Calls("queue.put_get", share=0.5)),
    *three("job: put", "job", "job.put", jobs=True),
    Row("job: get and finish, one at a time", "job", finishing(1, 0.1)),
    Row("job: get and finish, 100 in flight", "job", finishing(100, 0.5)),
    *(
        Row(f"worker: jobs, concurrency {concurrency}", "worker", Work(concurrency))
        for concurrency in (1, 10, 100)
    ),
    Row(
        RESULTS,
        "worker",
        Work(10, {RESULTS: {}, KEPT_RESULTS: {"keep_results": 1000}}),
        lines=(RESULTS, KEPT_RESULTS),
    ),
    *fanout(),
    Row("publish to handler", "latency", Late(), "µs", lines=LATE_LINES),
    *processes(),
    *memory(),
    Row("start of a job", "idle", Start(), "less", NEEDED, True, START_LINES),
    Row("idle worker: ms of processor time a minute", "idle", Idle(), "less", NEEDED, True),
    *growth(),
]

GROUPS = list(dict.fromkeys(row.group for row in ROWS))
