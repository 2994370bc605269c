"""A clock for the reactor that never steps.

Twisted's reactor takes the time of the day (``time.time``) for all that is to happen later.  When
that is set back by an hour, nothing happens for an hour: no claim is renewed, no connection is
checked, no timeout ends.  When it is set forward, all timeouts end at once.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase

__all__ = ["keep_steady"]

# Like time.monotonic, but it goes on while the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def keep_steady(reactor: Any) -> None:
    """Have a reactor of Twisted's own count seconds, from the present time of the day on.

    Others, such as a ``Clock``, and those that were given a clock already, keep what they have.
    """
    takes_time_of_day = (
        isinstance(reactor, ReactorBase)
        and type(reactor).seconds is ReactorBase.seconds
        and "seconds" not in vars(reactor)
    )
    if takes_time_of_day:
        ahead = reactor.seconds() - time.clock_gettime(_CLOCK)
        reactor.seconds = lambda: ahead + time.clock_gettime(_CLOCK)
