"""Every error that txthoonk raises, under one root.

The branches show where the fault is: in the caller's arguments (:class:`InvalidInput`), in the
state of a feed (:class:`FeedError`), in the server's reply (:class:`ResponseError`) or in the
connection (:class:`ConnectionError`).  The names of ``txredis.exceptions`` (txredis 2.4) are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet import error

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
    "SerializerChanged",
    "SubscriptionEnded",
    "ThoonkError",
    "WrongServer",
    "WrongThread",
    "from_reply",
    "shown",
]

SHOWN_LENGTH = 200  # characters of a value that a message shows
MOST_TEXT = 1000  # characters of a server's text that a message shows


class ThoonkError(Exception):
    """The root of all errors of txthoonk."""

    def __str__(self) -> str:
        # Twisted's errors, which some classes below inherit from, add their docstring.
        return Exception.__str__(self)


class InvalidInput(ThoonkError, ValueError):
    """An argument is not valid; nothing was sent to Redis.

    ``put_many`` is the exception: it reads items while it sends earlier ones.
    """


class InvalidType(InvalidInput, TypeError):
    """An argument has the wrong type; nothing was sent to Redis."""


class WrongThread(ThoonkError):
    """A method was called in a thread other than the reactor's; nothing was done.

    The method raises it at once. A failed Deferred would go unnoticed in that thread.
    """


class FeedError(ThoonkError):
    """The state of the feed does not allow the call; nothing was changed.

    There are two exceptions: a ``get`` that fails with :class:`InvalidItem` has taken the item,
    and a call that is sent in parts, such as ``put_many``, has done the parts before.
    """


class FeedExists(FeedError):
    """A feed of that name already exists."""


class FeedDoesNotExist(FeedError):
    """The feed does not exist: it was never created, or it was deleted."""


class FeedTypeMismatch(FeedError):
    """The feed exists, but has another type.

    Or a configuration has a setting that feeds of this type do not have.
    """


class ConfigNotReadable(FeedError):
    """``feed.config:[feed]`` is not a hash (thoonk.js 0.2 kept a JSON string)."""


class FeedNotConfigured(FeedError):
    """The feed exists, but its configuration is gone: the server may have evicted it.

    Set it again with ``set_config``, including its ``type``.
    """


class SerializerChanged(FeedError):
    """The feed has another serializer now than the caller used; nothing was stored.

    Feed objects handle this error: they read the configuration again, serialize the items with
    the new serializer, and repeat the call.
    """


class OrderExhausted(FeedError):
    """The feed has an infinite score, and no item can be placed after it."""


class InvalidItem(FeedError, ValueError):
    """The feed's serializer cannot read a stored item.

    A call that only reads has changed nothing.  A ``get`` has taken the item.  A queue has
    delivered it: Redis no longer stores it, and ``data`` is the only copy.  A job is claimed, and
    stays claimed until you stall it, you retract it, or the claim expires.

    :ivar id: the item's id.
    :ivar data: the stored item, ``bytes`` or ``str``.
    """

    def __init__(self, message: str, id_: str, data: str | bytes) -> None:
        super().__init__(message)
        self.id = id_
        self.data = data


class ItemDoesNotExist(FeedError):
    """The feed has no item with that id."""


class Empty(FeedError):
    """There is nothing to get: no item arrived in time, or the job has no result."""


class JobExists(FeedError):
    """The feed already has a job with that id, in any state."""


class JobNotClaimed(FeedError):
    """The feed has no claimed job with that id."""


class NoHistory(FeedError):
    """The feed keeps no history, or its history does not go back that far."""


class Conflict(FeedError):
    """The item is not the one that the caller expected: it has changed, or does not exist.

    :ivar item: the present item; None if the feed has none with that id.
    :ivar revision: its revision; 0 if the feed has no such item.
    """

    def __init__(self, message: str, item: object = None, revision: int = 0) -> None:
        super().__init__(message)
        self.item = item
        self.revision = revision


class JobNotStalled(FeedError):
    """The feed has no stalled job with that id."""


class JobStalled(FeedError):
    """The job is stalled: it failed too often, or ``stall`` took it out of the line.

    :ivar failure: its last :class:`~txthoonk.types.JobFailure`; None if none was recorded.
    """

    def __init__(self, message: str, failure: JobFailure | None = None) -> None:
        super().__init__(message)
        self.failure = failure


class SubscriptionEnded(ThoonkError):
    """The subscription was stopped; it delivers no more events."""


class RedisError(ThoonkError):
    """The root of the errors that txredis had."""


class ConnectionError(RedisError):
    """There is no usable connection to Redis."""


class ConnectionLost(ConnectionError, error.ConnectionLost):
    """The connection was lost before Redis replied, or there was none.

    If the call was sent, Redis may or may not have executed it.
    """


class NotSent(ConnectionLost):
    """The call was never sent, because there was no connection for too long."""


class WrongServer(ConnectionLost):
    """The server at that address is a replica, or not the server that the publisher uses.

    The connection was closed; the next one may reach the right server.
    """


class ClusterNotSupported(ConnectionError):
    """The server is a node of a Redis Cluster, which cannot keep the keys of a feed together."""


class ResponseError(RedisError):
    """Redis replied with an error.

    :ivar code: the first word of the reply, such as ``"ERR"`` or ``"WRONGTYPE"``.
    """

    code = "ERR"


class AuthenticationError(ResponseError):
    """The password is missing or wrong (NOAUTH, WRONGPASS)."""


class NoScript(ResponseError):
    """EVALSHA named a script that the server does not have."""


class NotBusy(ResponseError):
    """SCRIPT KILL found no running script."""


class InvalidResponse(RedisError):
    """The peer does not speak the Redis protocol, or a reply has an unexpected shape.

    Data in Redis that another program stored can cause the latter.
    """


class InvalidData(RedisError, ValueError):
    """A value cannot be encoded for Redis, or a reply cannot be decoded."""


class InvalidCommand(RedisError, ValueError):
    """The arguments do not make a valid command."""


_SERVER_CODES: dict[str, type[ResponseError]] = {
    "ERR": ResponseError,
    "NOAUTH": AuthenticationError,
    "NOSCRIPT": NoScript,
    "NOTBUSY": NotBusy,
    "WRONGPASS": AuthenticationError,
}

# The codes of our own Lua scripts: see "Errors" in their headers.
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
    "OTHERSERIALIZER": SerializerChanged,
    "SCOREINFINITE": OrderExhausted,
    "WRONGFEEDTYPE": FeedTypeMismatch,
}


# Redis repeats words of a command in these errors. ACL rules that cannot be passwords stay.
_REPEATED = (
    re.compile(r"^(ERR unknown command .\S+ ).*(.)$", re.S),
    re.compile(r"(ACL SETUSER modifier '(?:[><#!]|(?![+~&%@(-]))).*(': )", re.S),
    re.compile(r"(Invalid argument ').*(' for CONFIG SET '\w*(?:pass|auth))", re.S),
    re.compile(r"(HELLO option ').*(')", re.S),
)
# When a command fails in a script, Redis 6 gives its code only within the text.
_IN_SCRIPT = re.compile(r"(?:: |^)@user_script: ?\d+: -?([A-Z]+) ")


def shown(value: object) -> str:
    """Return the text that represents a value in a message, cut to a reasonable length."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a type of the user may raise anything
        if type(value) is int:
            return f"a number of {value.bit_length()} bits"
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    if len(text) > SHOWN_LENGTH:
        text = f"{text[:SHOWN_LENGTH]}... ({len(text)} long)"
    return f"{text} (await it first)" if hasattr(type(value), "__await__") else text


def readable(text: str) -> str:
    """Return a server's text for display: cut to length, with control characters escaped."""
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

    Redis repeats words of a command that it refuses, even of a renamed ``AUTH``.  The exception
    leaves out everything that may be a password.

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
