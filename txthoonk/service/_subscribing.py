"""The subscriptions of a service, which end when it stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txthoonk.errors import ConnectionLost
from txthoonk.subscriptions import Subscription

__all__ = ["Subscribing"]

STOPPED_AT_ONCE = 100  # subscriptions in one turn of the reactor


class Subscribing:
    """See the module.

    :ivar made: the subscriptions that have not ended.
    :ivar under_way: the subscriptions that are being made.

    :param name: the server, for messages.
    """

    def __init__(self, name: str, reactor: Any) -> None:
        self._name = name
        self._reactor = reactor
        self.made: dict[Subscription, None] = {}
        self.under_way: set[Deferred[Subscription]] = set()

    def add(self, subscribed: Deferred[Subscription]) -> Deferred[Subscription]:
        """Add a subscription that is being made, and return its Deferred."""
        self.under_way.add(subscribed)

        def made(result: Subscription | Failure) -> Subscription | Failure:
            ours = subscribed in self.under_way
            self.under_way.discard(subscribed)
            if isinstance(result, Subscription):
                return self._remember(result)
            # If stopping the service has cancelled it, say so: the user did not cancel it.
            if not ours and result.check(CancelledError):
                raise ConnectionLost(f"the service for {self._name} was stopped")
            return result

        return subscribed.addBoth(made)

    def _remember(self, subscription: Subscription) -> Subscription:
        if not subscription.stopped:
            self.made[subscription] = None
            subscription.add_listener(self)
        return subscription

    def subscription_stopped(self, subscription: Subscription) -> None:
        """Forget a subscription that ends."""
        self.made.pop(subscription, None)

    async def stop(self) -> None:
        """Stop all subscriptions, some in each turn of the reactor."""
        for count, subscription in enumerate(list(self.made), start=1):
            subscription.stop()
            if not count % STOPPED_AT_ONCE:
                await deferLater(self._reactor, 0)
        while self.under_way:
            self.under_way.pop().cancel()
