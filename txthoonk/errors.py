"""Every error that txthoonk raises, under one root.

The branches say whose fault it is: the caller's (:class:`InvalidInput`), the
state of a feed (:class:`FeedError`), the server's answer (:class:`ResponseError`)
or the connection (:class:`ConnectionError`).  Names that txredis 2.4 had in
``txredis.exceptions`` are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet import error
from twisted.python.reflect import safe_repr

if TYPE_CHECKING:
    from txthoonk._values import JobFailure

__all__ = [
    "AuthenticationError",
    "ClusterNotSupported",
    "ConfigNotReadable",
    "Conflict",
    "ConnectionError",
    "ConnectionLost",
    "Empty",
    "FeedDoesNotExist",
    "FeedError",
    "FeedExists",
    "FeedNotConfigured",
    "FeedTypeMismatch",
    "InvalidCommand",
    "InvalidData",
    "InvalidInput",
    "InvalidItem",
    "InvalidResponse",
    "InvalidType",
    "ItemDoesNotExist",
    "JobExists",
    "JobNotClaimed",
    "JobNotStalled",
    "JobStalled",
    "NoHistory",
    "NoScript",
    "NotBusy",
    "NotSent",
    "OrderExhausted",
    "RedisError",
    "ResponseError",
    "SubscriptionEnded",
    "ThoonkError",
    "WrongServer",
    "WrongThread",
    "from_reply",
    "shown",
]

SHOWN_LENGTH = 200  # characters of a value that a message shows
MOST_TEXT = 1000  # characters of a text of others that a message shows


class ThoonkError(Exception):
    """The root of all errors of txthoonk."""

    def __str__(self) -> str:
        # Some classes below also inherit from errors that put their docstring
        # into the text; the message alone is what we want to show.
        return Exception.__str__(self)


class InvalidInput(ThoonkError, ValueError):
    """An argument cannot be used; nothing was sent to Redis.

    Except by ``put_many``, which reads its items while it sends those before them.
    """


class InvalidType(InvalidInput, TypeError):
    """An argument is of the wrong type; nothing was sent to Redis."""


class WrongThread(ThoonkError):
    """A method was called in a thread other than the reactor's; nothing was done.

    It is raised at once, and not given by a Deferred, which nothing would look at in a thread.
    """


class FeedError(ThoonkError):
    """The feed is not in a state that allows the call; nothing was changed.

    Except for an :class:`InvalidItem` of a ``get``, which has taken the item, and for a call that
    is made in parts, such as ``put_many``: the parts before it are done.
    """


class FeedExists(FeedError):
    """The feed to be created exists already."""


class FeedDoesNotExist(FeedError):
    """The feed was never created, or was deleted."""


class FeedTypeMismatch(FeedError):
    """The feed exists, but as another type."""


class ConfigNotReadable(FeedError):
    """``feed.config:[feed]`` is not a hash (thoonk.js 0.2 kept a JSON string)."""


class FeedNotConfigured(FeedError):
    """The feed exists, but its configuration is gone: the server may have removed it.

    Set it again, with ``set_config``, its ``type`` included.
    """


class OrderExhausted(FeedError):
    """The feed holds an infinite score: no new item can be placed after it."""


class InvalidItem(FeedError, ValueError):
    """A stored item is not what the feed's serializer can read.

    A call that only reads has changed nothing.  A ``get`` has taken the item: of a queue, the
    item is delivered, and Redis has it no more, only ``data``; of a job feed, the job is
    claimed, and stays so until you stall it, retract it or its claim expires.

    :ivar id: the item's id.
    :ivar data: the item as it is stored, ``bytes`` or ``str``.
    """

    def __init__(self, message: str, id_: str, data: str | bytes) -> None:
        super().__init__(message)
        self.id = id_
        self.data = data


class ItemDoesNotExist(FeedError):
    """The feed has no item of that id."""


class Empty(FeedError):
    """There was nothing to get: no item within the time given, or no result."""


class JobExists(FeedError):
    """The feed has a job of that id, in whatever state."""


class JobNotClaimed(FeedError):
    """The feed has no claimed job of that id."""


class NoHistory(FeedError):
    """The feed keeps no history, so it has no revisions; or not that far back."""


class Conflict(FeedError):
    """The item is not the one that the caller expected: somebody has changed it.

    :ivar item: the present item, None if it is not there.
    :ivar revision: its revision, 0 if it is not there.
    """

    def __init__(self, message: str, item: object = None, revision: int = 0) -> None:
        super().__init__(message)
        self.item = item
        self.revision = revision


class JobNotStalled(FeedError):
    """The feed has no stalled job of that id."""


class JobStalled(FeedError):
    """The job failed too often, or was given up.

    :ivar failure: its last :class:`~txthoonk.types.JobFailure`; None if nobody recorded one.
    """

    def __init__(self, message: str, failure: JobFailure | None = None) -> None:
        super().__init__(message)
        self.failure = failure


class SubscriptionEnded(ThoonkError):
    """The subscription was stopped, so no further event comes."""


class RedisError(ThoonkError):
    """The root of the errors that txredis had."""


class ConnectionError(RedisError):
    """There is no usable connection to Redis."""


class ConnectionLost(ConnectionError, error.ConnectionLost):
    """The connection ended, or was never there, before Redis answered.

    A call that was already sent may or may not have been carried out.
    """


class NotSent(ConnectionLost):
    """There was no connection for too long, so the call was never sent."""


class WrongServer(ConnectionLost):
    """The server at that address is a replica, or another one than that of the publisher.

    The connection was given up, and the next one may lead to the right one.
    """


class ClusterNotSupported(ConnectionError):
    """The server is a node of a Redis Cluster, where the keys of a feed have no place together."""


class ResponseError(RedisError):
    """Redis answered with an error.

    :ivar code: the first word of the answer, such as ``"ERR"`` or ``"WRONGTYPE"``.
    """

    code = "ERR"


class AuthenticationError(ResponseError):
    """The password is missing or wrong (NOAUTH, WRONGPASS)."""


class NoScript(ResponseError):
    """EVALSHA named a script that the server does not hold."""


class NotBusy(ResponseError):
    """SCRIPT KILL found no script running."""


class InvalidResponse(RedisError):
    """The peer sent something that is not the Redis protocol, or not what was asked for.

    The latter is a reply, or something stored, of another shape than txthoonk knows.
    """


class InvalidData(RedisError, ValueError):
    """A value cannot be encoded for Redis, or a reply cannot be decoded."""


class InvalidCommand(RedisError, ValueError):
    """The arguments do not make a command."""


_SERVER_CODES: dict[str, type[ResponseError]] = {
    "ERR": ResponseError,
    "NOAUTH": AuthenticationError,
    "NOSCRIPT": NoScript,
    "NOTBUSY": NotBusy,
    "WRONGPASS": AuthenticationError,
}

# What our own Lua scripts answer: see "Errors" in their headers.
_SCRIPT_CODES: dict[str, type[FeedError]] = {
    "CONFIGNOTHASH": ConfigNotReadable,
    "FEEDEXISTS": FeedExists,
    "JOBEXISTS": JobExists,
    "NOFEED": FeedDoesNotExist,
    "NOHISTORY": NoHistory,
    "NOITEM": ItemDoesNotExist,
    "NOTCLAIMED": JobNotClaimed,
    "NOTCONFIGURED": FeedNotConfigured,
    "NOTSTALLED": JobNotStalled,
    "SCOREINFINITE": OrderExhausted,
    "WRONGFEEDTYPE": FeedTypeMismatch,
}


# Words of a command that Redis repeats. Those of ACL rules that cannot be passwords stay.
_REPEATED = (
    re.compile(r"^(ERR unknown command .\S+ ).*(.)$", re.S),
    re.compile(r"(ACL SETUSER modifier '(?:[><#!]|(?![+~&%@(-]))).*(': )", re.S),
    re.compile(r"(Invalid argument ').*(' for CONFIG SET '\w*(?:pass|auth))", re.S),
    re.compile(r"(HELLO option ').*(')", re.S),
)
# Redis 6 has the code of a command that failed in a script in the text only.
_IN_SCRIPT = re.compile(r"(?:: |^)@user_script: ?\d+: -?([A-Z]+) ")


def shown(value: object) -> str:
    """Give the text that stands for a caller's value in a message: not too long of it."""
    text = safe_repr(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}... ({len(text)} long)"


def readable(text: str) -> str:
    """Give a text of others that can be shown: not too much of it, and nothing that steers."""
    if len(text) > MOST_TEXT:
        text = f"{text[:MOST_TEXT]}... ({len(text)} long)"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _without_secrets(text: str) -> str:
    if text.startswith("ERR unknown command"):
        text = text.partition(", with args beginning with")[0]
    for pattern in _REPEATED:
        text = pattern.sub(r"\1***\2", text)
    return text


def from_reply(text: str) -> ThoonkError:
    """Make the exception for an error reply.

    Redis repeats words of commands that it refuses, of ``AUTH`` where that was renamed, too:
    what may be a password is not in the exception.

    :param text: the reply without its leading ``-``.
    """
    text = readable(_without_secrets(text))
    code, _, message = text.partition(" ")
    if code in _SCRIPT_CODES:
        return _SCRIPT_CODES[code](message)
    known = _SERVER_CODES.get(code)
    exception = known(message) if known else ResponseError(text)
    within = _IN_SCRIPT.search(text)
    exception.code = within[1] if within else code
    return exception
