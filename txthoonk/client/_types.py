"""The types of feeds, by their name in the configuration."""

from __future__ import annotations

from txthoonk.types import Feed, Job, PythonQueue, Queue, SortedFeed
from txthoonk.types._base import BaseFeed

__all__ = ["TYPES"]

TYPES: dict[str, type[BaseFeed]] = {
    "feed": Feed,
    "sorted_feed": SortedFeed,
    "queue": Queue,
    "pyqueue": PythonQueue,
    "job": Job,
}
