"""A service that works on jobs."""

from txthoonk.worker._errors import Retry, Stall
from txthoonk.worker._feeds import Feeds
from txthoonk.worker._handlers import BackOff
from txthoonk.worker._worker import Handler, Worker

__all__ = ["BackOff", "Feeds", "Handler", "Retry", "Stall", "Worker"]
