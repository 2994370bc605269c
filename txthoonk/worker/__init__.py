"""A service that works on jobs."""

from txthoonk.worker._errors import (
    NoHandler,
    Retry,
    SoftTimeLimitExceeded,
    Stall,
    TimeLimitExceeded,
)
from txthoonk.worker._feeds import Feeds
from txthoonk.worker._worker import Handler, Worker
from txthoonk.worker.running._by_name import Key
from txthoonk.worker.running._handlers import BackOff

__all__ = [
    "BackOff",
    "Feeds",
    "Handler",
    "Key",
    "NoHandler",
    "Retry",
    "SoftTimeLimitExceeded",
    "Stall",
    "TimeLimitExceeded",
    "Worker",
]
