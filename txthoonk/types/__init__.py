"""The types of feeds."""

from txthoonk._records import JobFailure, Progress
from txthoonk.types._claim import ThreadClaim
from txthoonk.types.feed import Feed
from txthoonk.types.job import Claim, Job
from txthoonk.types.python_queue import PythonQueue
from txthoonk.types.queue import Queue
from txthoonk.types.sorted_feed import SortedFeed

__all__ = [
    "Claim",
    "Feed",
    "Job",
    "JobFailure",
    "Progress",
    "PythonQueue",
    "Queue",
    "SortedFeed",
    "ThreadClaim",
]
