"""A clock for the reactor that never jumps.

Twisted's reactor schedules delayed calls by the time of day (``time.time``).  If that clock is set
back an hour, nothing happens for an hour: claims are not renewed, connections are not checked,
timeouts do not expire.  If it is set forward, all timeouts expire at once.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase

__all__ = ["keep_steady"]

# Unlike time.monotonic, it also counts the time while the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def keep_steady(reactor: Any) -> None:
    """Make one of Twisted's reactors count on from the present time of day.

    A reactor of another class, such as ``Clock``, or one whose clock was replaced, stays as it is.
    """
    takes_time_of_day = (
        isinstance(reactor, ReactorBase)
        and type(reactor).seconds is ReactorBase.seconds
        and "seconds" not in vars(reactor)
    )
    if takes_time_of_day:
        ahead = reactor.seconds() - time.clock_gettime(_CLOCK)
        reactor.seconds = lambda: ahead + time.clock_gettime(_CLOCK)
