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
    Empty,
    FeedDoesNotExist,
    FeedExists,
    FeedTypeMismatch,
    InvalidInput,
    InvalidItem,
    ItemDoesNotExist,
    JobExists,
    JobNotClaimed,
    JobNotStalled,
    ThoonkError,
)
from txthoonk.serializers import register_serializer
from txthoonk.types import Claim, Feed, Job, PythonQueue, Queue, SortedFeed

__all__ = [
    "Claim",
    "ConnectionLost",
    "Empty",
    "Feed",
    "FeedDoesNotExist",
    "FeedExists",
    "FeedTypeMismatch",
    "InvalidInput",
    "InvalidItem",
    "ItemDoesNotExist",
    "Job",
    "JobExists",
    "JobNotClaimed",
    "JobNotStalled",
    "PythonQueue",
    "Queue",
    "SortedFeed",
    "ThoonkError",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
    "__version__",
    "register_serializer",
]

__version__ = "0.2.0"
