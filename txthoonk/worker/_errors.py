"""What a handler raises to decide what happens to its job, and why a worker ends one."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from txthoonk.errors import ThoonkError
from txthoonk.wire._checks import check_seconds

__all__ = ["NoHandler", "Retry", "SoftTimeLimitExceeded", "Stall", "TimeLimitExceeded"]


class Retry(ThoonkError):
    """What a handler raises to have its job tried again later; it counts as a failure.

    :param delay: seconds until then; None: as after other failures.
    :param reason: why, to be recorded.
    """

    def __init__(
        self, delay: float | None = None, reason: str = "the handler asked for it"
    ) -> None:
        super().__init__(reason)
        self.delay = None if delay is None else check_seconds(delay, "a delay")


class Stall(ThoonkError):
    """What a handler raises to have its job stalled, without further attempts.

    :param reason: why, to be recorded.
    """


class NoHandler(Stall):
    """The worker has no handler for the name in a job; the job is stalled."""


class TimeLimitExceeded(ThoonkError):
    """A handler ran longer than the ``time_limit`` of its job; this counts as a failure."""


class SoftTimeLimitExceeded(TimeLimitExceeded, CancelledError):
    """A handler ran longer than the ``soft_time_limit`` of its job.

    A handler that is a coroutine gets it where it awaits something.  It can clean up and return,
    which finishes the job; or let the error pass, which counts as a failure.
    """
