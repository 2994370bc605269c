"""The options of one job: checks them, and reads and writes ``feed.options:[feed]``.

Scripts read the first two words of an entry: the time at which the job expires, in milliseconds
since 1970, 0 for never; and its ``max_failures``, ``-`` for that of the feed.  Only workers read
the rest, which is JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import attr

from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.wire._checks import check_interval, check_seconds, check_time_limits

__all__ = ["JobOptions", "PutOptions", "dump_options", "load_claim_options"]

MOST_FAILURES = 10**15 - 1  # as the setting of a feed
MOST_DELAYS = 100
MOST_JSON = 10_000  # the longest entry that is read, in bytes


class PutOptions(TypedDict, total=False):
    """The options of one job, each an argument of :meth:`Job.put` by name.

    Workers and gets of txthoonk follow them; other implementations of Thoonk ignore them.
    """

    #: Seconds from the put; a job that is not claimed by then is stalled, with the reason.
    expires: float | None
    #: The number of failures at which the job is stalled, 0 for no limit; None for that of the
    #: feed.
    max_failures: int | None
    #: Seconds until the job is tried again after a failure, or several numbers: the first counts
    #: for the first failure, the last one for all others; None for those of the worker.
    back_off: float | Iterable[float] | None
    #: Seconds that a handler may take, see :class:`~txthoonk.worker.Worker`; None for those of the
    #: worker.
    time_limit: float | None
    #: Seconds until a handler is cancelled; None for those of the worker.
    soft_time_limit: float | None


@attr.frozen
class JobOptions:
    """The options that a job was put with.

    :ivar expired: whether it was claimed after it had expired.
    :ivar max_failures: the number of failures at which it is stalled; None for that of the feed.
    :ivar back_off: seconds until the job is tried again, after its first failure, its second, and
        so on; None for those of the worker.
    :ivar time_limit: seconds that a handler may take; None for those of the worker.
    :ivar soft_time_limit: seconds until a handler is cancelled; None for those of the worker.
    """

    expired: bool = False
    max_failures: int | None = None
    back_off: tuple[float, ...] | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None

    def delay(self, failures: int) -> float | None:
        """Return the seconds until the next attempt, after some failures; None if not given."""
        return self.back_off[min(failures, len(self.back_off)) - 1] if self.back_off else None


_NAMES = tuple(PutOptions.__annotations__)


def dump_options(options: Mapping[str, Any], delay: float | None = None) -> str:
    """Check options, and return the argument of a script for them; empty if there are none.

    :param delay: seconds until the job is available.
    :raises TypeError: for an option that does not exist.
    :raises InvalidInput: for a value that is out of range.
    """
    for name in options:
        if name not in _NAMES:
            raise TypeError(f"a job has no option {shown(name)}: it has {', '.join(_NAMES)}")
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return ""
    expires, most = given.pop("expires", None), given.pop("max_failures", None)
    if expires is not None:
        check_interval(expires, "expires")
        if delay is not None and check_seconds(delay, "a delay") >= expires:
            raise InvalidInput(
                f"expires must be above the delay, both count from now: {shown(expires)} and "
                f"{shown(delay)}"
            )
    if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
        raise InvalidType(f"max_failures must be a whole number: {shown(most)}")
    if most is not None and not 0 <= most <= MOST_FAILURES:
        raise InvalidInput(f"max_failures must be from 0 to {MOST_FAILURES:,}: {shown(most)}")
    check_time_limits(given.get("time_limit"), given.get("soft_time_limit"))
    if "back_off" in given:
        given["back_off"] = _delays(given["back_off"])
    words = json.dumps(given) if given else "{}"
    return f"{math.ceil((expires or 0) * 1000)} {'-' if most is None else most} {words}"


def _delays(back_off: Any) -> list[float]:
    if isinstance(back_off, (int, float)) or not isinstance(back_off, Iterable):
        back_off = [back_off]
    delays = [check_seconds(delay, "a delay of back_off") for delay in back_off]
    if not 0 < len(delays) <= MOST_DELAYS:
        raise InvalidInput(f"back_off must have 1 to {MOST_DELAYS} delays, not {len(delays)}")
    return delays


def load_claim_options(text: bytes) -> tuple[int, JobOptions | None]:
    """Parse what a claim replies of a job with options, which another program may have stored.

    :return: how often the job was cancelled, and its options; None if they cannot be read.
    """
    try:
        cancelled, expired, _, most, words = text[:MOST_JSON].split(b" ", 4)
        count = int(cancelled)
    except ValueError:
        return 0, None
    try:
        given = json.loads(words)
        options = {name: given.get(name) for name in ("back_off", "time_limit", "soft_time_limit")}
        check_time_limits(options["time_limit"], options["soft_time_limit"])
        delays = options.pop("back_off")
        return count, JobOptions(
            expired == b"1",
            None if most == b"-" else int(most),
            None if delays is None else tuple(_delays(delays)),
            **options,
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return count, JobOptions(expired == b"1")
