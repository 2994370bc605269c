"""Which errors pass, and with what: one table for all who wait, try again, connect or log.

What is not in the table stays: the caller must do something about it.
"""

from __future__ import annotations

from enum import Enum

from twisted.internet.defer import CancelledError

from txthoonk.errors import (
    ClusterNotSupported,
    ConnectionLost,
    InvalidData,
    InvalidInput,
    ResponseError,
)
from txthoonk.protocol._limits import is_too_big

__all__ = [
    "FULL",
    "Passing",
    "answers_all_the_same",
    "is_final",
    "needs_another_server",
    "passes",
    "passing",
    "refused",
    "serves",
]

FULL = "max number of clients"  # says a server that refuses a connection, with the code ERR


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
    "UNBLOCKED": Passing.TIME,  # ends BLMOVE where a master becomes a replica
    "MISCONF": Passing.TIME,  # the disk is full
    "OOM": Passing.TIME,
    "NOREPLICAS": Passing.TIME,
    "CLUSTERDOWN": Passing.TIME,
    "TRYAGAIN": Passing.TIME,
    "NOAUTH": Passing.RIGHTS,
    "WRONGPASS": Passing.RIGHTS,
    "NOPERM": Passing.RIGHTS,
}


# What a server answers that has no data to serve: it is loading, or has lost its master.
_WITHOUT_DATA = ("LOADING", "MASTERDOWN")


def passing(error: object) -> Passing:
    """Look an error up."""
    if isinstance(error, (ConnectionLost, CancelledError)):
        return Passing.CONNECTION
    if not isinstance(error, ResponseError):
        return Passing.NEVER
    return Passing.TIME if FULL in str(error) else _CODES.get(error.code, Passing.NEVER)


def passes(error: object, worked: bool = False) -> bool:
    """Tell whether what failed is to be tried again by itself.

    :param worked: whether the same was allowed before.  Then a refusal may be of a password
        that is being changed; else it is the answer.
    """
    how = passing(error)
    return worked if how is Passing.RIGHTS else how is not Passing.NEVER


def is_final(error: object) -> bool:
    """Return whether a server refuses connections for good, as far as it says."""
    return isinstance(error, (ResponseError, ClusterNotSupported)) and not passes(error)


def needs_another_server(error: object) -> bool:
    """Tell whether what must write is at the wrong server."""
    return passing(error) is Passing.SERVER


def answers_all_the_same(error: ResponseError) -> bool:
    """Tell whether a server that refuses PING so may do what is asked of it next.

    A user may have the right to everything but PING, and a full disk refuses PING as well.
    """
    return error.code in ("NOPERM", "MISCONF")


def serves(error: object) -> bool:
    """Tell whether a PING that failed was answered, by a server that has data to serve.

    A server that refuses PING, or is busy, is there.
    """
    return isinstance(error, ResponseError) and error.code not in _WITHOUT_DATA


def refused(error: BaseException | None) -> bool:
    """Tell whether a call fails because of what it says, and so would fail again."""
    return isinstance(error, (InvalidInput, InvalidData)) or is_too_big(error)
