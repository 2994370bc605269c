"""Live data on Redis for Twisted: Thoonk's feeds, with an event for every change.

::

    from txthoonk import Thoonk

    thoonk = await Thoonk("redis://localhost:6379/0").connect()
    news = await thoonk.feed("news", {"max_length": 100, "history": 1000})
    subscription = await thoonk.subscribe(news)
    await news.publish("hello")
    async for event in subscription:
        print(event.kind, event.item)

``docs/contract.rst`` specifies the keys and channels, which other implementations share.
"""

from txthoonk._version import __version__ as _version
from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.errors import (
    Conflict,
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
    JobStalled,
    NoHistory,
    NotSent,
    SubscriptionEnded,
    ThoonkError,
)
from txthoonk.events import Event
from txthoonk.serializers import register_serializer
from txthoonk.service import Thoonk
from txthoonk.subscriptions import Subscription
from txthoonk.subscriptions._mirror import Mirror
from txthoonk.types import (
    Claim,
    Feed,
    Job,
    JobFailure,
    Progress,
    PythonQueue,
    Queue,
    SortedFeed,
)
from txthoonk.worker import (
    NoHandler,
    Retry,
    SoftTimeLimitExceeded,
    Stall,
    TimeLimitExceeded,
    Worker,
)
from txthoonk.worker._maintenance import Maintenance

__all__ = [
    "Claim",
    "Conflict",
    "ConnectionLost",
    "Empty",
    "Event",
    "Feed",
    "FeedDoesNotExist",
    "FeedExists",
    "FeedTypeMismatch",
    "InvalidInput",
    "InvalidItem",
    "ItemDoesNotExist",
    "Job",
    "JobExists",
    "JobFailure",
    "JobNotClaimed",
    "JobNotStalled",
    "JobStalled",
    "Maintenance",
    "Mirror",
    "NoHandler",
    "NoHistory",
    "NotSent",
    "Progress",
    "PythonQueue",
    "Queue",
    "Retry",
    "SoftTimeLimitExceeded",
    "SortedFeed",
    "Stall",
    "Subscription",
    "SubscriptionEnded",
    "Thoonk",
    "ThoonkError",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
    "TimeLimitExceeded",
    "Worker",
    "__version__",
    "register_serializer",
]

__version__ = _version.public()
