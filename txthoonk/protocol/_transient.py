"""Which errors pass, and with what: one table for everything that retries, connects or logs.

An error that is not in the table stays: the caller must do something about it.
"""

from __future__ import annotations

from enum import Enum

from twisted.internet.defer import CancelledError

from txthoonk.errors import (
    AuthenticationError,
    ClusterNotSupported,
    ConnectionLost,
    InvalidData,
    InvalidInput,
    ResponseError,
)
from txthoonk.protocol.bounds._limits import is_too_big

__all__ = [
    "Passing",
    "answers_all_the_same",
    "is_final",
    "memory_is_full",
    "needs_another_server",
    "passes",
    "passing",
    "refused",
    "refuses_connection",
    "serves",
]

_FULL = "max number of clients"  # a server that refuses a connection says so, with the code ERR


class Passing(Enum):
    """What makes an error pass."""

    CONNECTION = "the next connection"
    SERVER = "another server: this one is a replica"
    TIME = "time: the server is busy, starts, has no room, or changes its role"
    RIGHTS = "other credentials, or other rules for them"
    NEVER = "nothing"


_CODES = {
    "READONLY": Passing.SERVER,
    "MASTERDOWN": Passing.SERVER,
    "BUSY": Passing.TIME,
    "LOADING": Passing.TIME,
    "UNBLOCKED": Passing.TIME,  # ends BLMOVE when a master becomes a replica
    "MISCONF": Passing.TIME,  # the disk is full
    "OOM": Passing.TIME,
    "NOREPLICAS": Passing.TIME,
    "CLUSTERDOWN": Passing.TIME,
    "TRYAGAIN": Passing.TIME,
    "NOAUTH": Passing.RIGHTS,
    "WRONGPASS": Passing.RIGHTS,
    "NOPERM": Passing.RIGHTS,
}


# The replies of a server without data: it is loading, or has lost its master.
_WITHOUT_DATA = ("LOADING", "MASTERDOWN")


def passing(error: object) -> Passing:
    """Return what makes an error pass."""
    if isinstance(error, (ConnectionLost, CancelledError)):
        return Passing.CONNECTION
    if not isinstance(error, ResponseError):
        return Passing.NEVER
    return Passing.TIME if _FULL in str(error) else _CODES.get(error.code, Passing.NEVER)


def passes(error: object, worked: bool = False) -> bool:
    """Return whether to retry, without asking the caller, what failed with an error.

    :param worked: whether the same was allowed before. If so, a refusal may mean that a password
        is being changed; if not, it is final.
    """
    how = passing(error)
    return worked if how is Passing.RIGHTS else how is not Passing.NEVER


def is_final(error: object) -> bool:
    """Return whether the server has refused a connection, and a retry will not help."""
    return isinstance(error, (ResponseError, ClusterNotSupported)) and not passes(error)


def refuses_connection(error: object) -> bool:
    """Return whether the server has refused the connection, not the call that failed."""
    return isinstance(error, AuthenticationError) or _FULL in str(error)


def needs_another_server(error: object) -> bool:
    """Return whether a call that writes went to the wrong server."""
    return passing(error) is Passing.SERVER


def memory_is_full(error: object) -> bool:
    """Return whether the server has no memory for a call that writes."""
    return isinstance(error, ResponseError) and error.code == "OOM"


def answers_all_the_same(error: ResponseError) -> bool:
    """Return whether a server that refuses PING like this may accept other calls.

    A user may have the right to everything but PING, and a full disk refuses PING as well.
    """
    return error.code in ("NOPERM", "MISCONF")


def serves(error: object) -> bool:
    """Return whether a PING that failed got a reply, from a server that has data.

    A server that refuses PING, or is busy, is alive.
    """
    return isinstance(error, ResponseError) and error.code not in _WITHOUT_DATA


def refused(error: BaseException | None) -> bool:
    """Return whether a call failed because of its arguments, and would fail again."""
    return isinstance(error, (InvalidInput, InvalidData)) or is_too_big(error)
