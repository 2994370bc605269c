"""Publishers and subscribers, each over one connection, and their factories.

::

    endpoint = clientFromString(reactor, "tcp:localhost:6379")
    pub = await endpoint.connect(ThoonkPubFactory(db=1))
    sub = await endpoint.connect(ThoonkSubFactory())
"""

from txthoonk.channels._dispatcher import Handler
from txthoonk.client._factories import (
    FeedDoesNotExist,
    FeedExists,
    Redis,
    RedisSubscriber,
    ThoonkBase,
    ThoonkPub,
    ThoonkPubFactory,
    ThoonkSub,
    ThoonkSubFactory,
)

__all__ = [
    "FeedDoesNotExist",
    "FeedExists",
    "Handler",
    "Redis",
    "RedisSubscriber",
    "ThoonkBase",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
]
