"""The interface of txredis 2.4 on Python 3: :class:`Redis` and :class:`RedisSubscriber`.

Both are Twisted protocols; connect them with any client endpoint::

    factory = Factory.forProtocol(Redis)
    redis = await clientFromString(reactor, "tcp:localhost:6379").connect(factory)
    await redis.set("answer", 42)

They speak RESP2: do not send ``HELLO 3``.
"""

from __future__ import annotations

from txthoonk.errors import (
    AuthenticationError,
    ConnectionError,
    ConnectionLost,
    InvalidCommand,
    InvalidData,
    InvalidResponse,
    NoScript,
    NotBusy,
    RedisError,
    ResponseError,
)
from txthoonk.protocol._commands import Redis
from txthoonk.protocol._factories import RedisClientFactory, RedisSubscriberFactory
from txthoonk.protocol._pubsub import RedisSubscriber

__all__ = [
    "AuthenticationError",
    "ConnectionError",
    "ConnectionLost",
    "InvalidCommand",
    "InvalidData",
    "InvalidResponse",
    "NoScript",
    "NotBusy",
    "Redis",
    "RedisClientFactory",
    "RedisError",
    "RedisSubscriber",
    "RedisSubscriberFactory",
    "ResponseError",
]
