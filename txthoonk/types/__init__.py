"""The types of feeds: plain feeds, sorted feeds and queues.

The job feed is in ``txthoonk.job``, because it is built on top of queues.
"""

from txthoonk._values import JobFailure, Progress
from txthoonk.job._job import Claim, Job
from txthoonk.job._putting import NewJob
from txthoonk.job.claims._thread_claim import ThreadClaim
from txthoonk.types._base import BaseFeed
from txthoonk.types.feed import Feed
from txthoonk.types.python_queue import PythonQueue
from txthoonk.types.queue import Queue
from txthoonk.types.sorted_feed import SortedFeed
from txthoonk.wire._feed_config import Config
from txthoonk.wire._job_options import JobOptions, PutOptions

__all__ = [
    "BaseFeed",
    "Claim",
    "Config",
    "Feed",
    "Job",
    "JobFailure",
    "JobOptions",
    "NewJob",
    "Progress",
    "PutOptions",
    "PythonQueue",
    "Queue",
    "SortedFeed",
    "ThreadClaim",
]
