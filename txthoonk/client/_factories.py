"""The factories of publishers and subscribers, each over one connection.

::

    endpoint = clientFromString(reactor, "tcp:localhost:6379")
    pub = await endpoint.connect(ThoonkPubFactory(db=1))
    sub = await endpoint.connect(ThoonkSubFactory())
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from txthoonk.client._publisher import ThoonkPub
from txthoonk.client._subscriber import ThoonkSub
from txthoonk.connections._wrapper import ThoonkBase, ThoonkFactory
from txthoonk.errors import FeedDoesNotExist, FeedExists
from txthoonk.protocol import Redis, RedisSubscriber

__all__ = [
    "FeedDoesNotExist",
    "FeedExists",
    "Redis",
    "RedisSubscriber",
    "ThoonkBase",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
]


class ThoonkPubFactory(ThoonkFactory):
    """Builds :class:`ThoonkPub` objects, for any client endpoint or ``connectTCP``."""

    protocol = Redis
    protocol_wrapper = ThoonkPub

    def __init__(
        self,
        db: int | None = None,
        password: str | None = None,
        charset: str | None = "utf8",
        errors: str = "strict",
        username: str | None = None,
        *,
        reactor: IReactorTime | None = None,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        """Take the arguments of :class:`~txthoonk.protocol.Redis` and of the publisher.

        :param reactor: as :class:`ThoonkPub` takes it.
        :param endpoint: as :class:`ThoonkPub` takes it.
        """
        super().__init__(db, password, charset, errors, username)
        options = {"reactor": reactor, "endpoint": endpoint}
        # A class that replaces ThoonkPub need not accept these options.
        self._options = {name: value for name, value in options.items() if value is not None}


class ThoonkSubFactory(ThoonkFactory):
    """Builds :class:`ThoonkSub` objects, for any client endpoint or ``connectTCP``."""

    protocol = RedisSubscriber
    protocol_wrapper = ThoonkSub
