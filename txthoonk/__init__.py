"""Live data on Redis for Twisted: Thoonk's feeds, with an event for every change.

::

    from twisted.internet.endpoints import clientFromString
    from txthoonk import ThoonkPubFactory, ThoonkSubFactory

    endpoint = clientFromString(reactor, "tcp:localhost:6379")
    pub = await endpoint.connect(ThoonkPubFactory(db=1))
    news = await pub.feed("news", {"max_length": 100})
    await news.publish("hello")

What the names of the wire are, and who else speaks them, is in ``docs/contract.rst``.
"""

from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedExists,
    FeedTypeMismatch,
    InvalidInput,
    InvalidItem,
    ThoonkError,
)
from txthoonk.serializers import register_serializer
from txthoonk.types import Feed

__all__ = [
    "ConnectionLost",
    "Feed",
    "FeedDoesNotExist",
    "FeedExists",
    "FeedTypeMismatch",
    "InvalidInput",
    "InvalidItem",
    "ThoonkError",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
    "__version__",
    "register_serializer",
]

__version__ = "0.2.0"
