"""Checks numbers of seconds and points in time that callers give."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from twisted.logger import Logger

from txthoonk.errors import InvalidInput, InvalidType, shown

__all__ = [
    "check_interval",
    "check_seconds",
    "check_time",
    "check_time_limits",
    "check_whole",
    "delay_from",
]

_log = Logger()

MOST_SECONDS = 10**9  # about thirty years: more is a mistake
MOST_WHOLE = 2**63  # whole numbers in Redis are below
MOST_TIME = 253_402_300_799  # the last second of the year 9999


def check_seconds(seconds: object, what: str) -> float:
    """Return a number of seconds from 0 to :data:`MOST_SECONDS`.

    :param what: the name of the argument, for the message of an error.
    :raises InvalidType: if it is not a number.
    :raises InvalidInput: if it is out of range.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InvalidType(
            f"{what} must be a number of seconds, not {type(seconds).__name__}: {shown(seconds)}"
        )
    if not 0 <= seconds <= MOST_SECONDS or math.isnan(seconds):
        raise InvalidInput(f"{what} must be 0 to {MOST_SECONDS:,} seconds: {shown(seconds)}")
    return seconds


def check_interval(seconds: object, what: str) -> float:
    """Return a number of seconds above 0; see :func:`check_seconds`."""
    if not (checked := check_seconds(seconds, what)):
        raise InvalidInput(f"{what} must be above 0 seconds")
    return checked


def check_time_limits(hard: object, soft: object) -> None:
    """Check the time limits of a handler, each in seconds above 0, or None.

    :raises InvalidInput: if a limit is out of range, or the soft one never comes first.
    """
    if hard is not None:
        check_interval(hard, "time_limit")
    if soft is not None:
        seconds = check_interval(soft, "soft_time_limit")
        if hard is not None and seconds >= check_interval(hard, "time_limit"):
            raise InvalidInput(
                f"soft_time_limit must be below time_limit: {shown(soft)} and {shown(hard)}"
            )


def check_whole(number: object, what: str, least: int = 0, note: str = "") -> int:
    """Return a whole number that Redis can store as one.

    :param what: the name of the argument, for the message of an error.
    :param least: the lowest one.
    :param note: what the lowest one means, for the message.
    :raises InvalidType: if it is not an int.
    :raises InvalidInput: if it is out of range.
    """
    if type(number) is not int:
        raise InvalidType(
            f"{what} must be an int{note}, not {type(number).__name__}: {shown(number)}"
        )
    if not least <= number < MOST_WHOLE:
        most = MOST_WHOLE - 1
        raise InvalidInput(f"{what} must be {least:,} to {most:,}{note}: {shown(number)}")
    return number


def delay_from(
    function: Callable[[int], float], failures: int, what: str, default: Callable[[int], float]
) -> float:
    """Return the seconds until the next attempt, from a function that the user wrote.

    :param failures: how many attempts in a row have failed, from 1.
    :param what: the name of the function, for the log.
    :param default: the function to use instead if that one raises, or returns something that
        is not a number of seconds. The error is logged.
    """
    try:
        return check_seconds(function(failures), f"what {what} returns")
    except BaseException:
        _log.failure("error in {what}", what=what)
        return default(failures)


def check_time(delay: object, at: object) -> tuple[int, int]:
    """Return when a job is due: milliseconds, and 1 if they count from 1970, 0 if from now.

    :param delay: seconds from now, or None.
    :param at: seconds since 1970, or a ``datetime`` with a time zone, or None.
    :raises InvalidInput: if both are given, or the one that is given is out of range.
    """
    if delay is not None and at is not None:
        raise InvalidInput("give a job a delay or a time (at=), not both")
    if delay is not None:
        return math.ceil(check_seconds(delay, "a delay") * 1000), 0
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidInput(f"a datetime must have a time zone (tzinfo): {shown(at)}")
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise InvalidType(f"a time must be seconds since 1970, or a datetime: {shown(at)}")
    if not 0 <= at <= MOST_TIME:
        raise InvalidInput(f"a time must be seconds since 1970, to the year 9999: {shown(at)}")
    return math.ceil(at * 1000), 1
