"""What a handler raises to decide what happens to its job."""

from __future__ import annotations

from txthoonk.errors import ThoonkError
from txthoonk.wire._checks import check_seconds

__all__ = ["Retry", "Stall"]


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
