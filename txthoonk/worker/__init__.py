"""A service that works on jobs."""

from txthoonk.worker._worker import BackOff, Feeds, Handler, Retry, Stall, Worker

__all__ = ["BackOff", "Feeds", "Handler", "Retry", "Stall", "Worker"]
