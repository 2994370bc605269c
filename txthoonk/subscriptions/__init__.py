"""Subscriptions: the events of one feed, or of all feeds that match a pattern, in order.

Inside a :class:`Subscription`, each feed has a follower. It has a position, and reads the feed's
history when events are missing. A mirror uses a subscription.
"""

from txthoonk.subscriptions._subscription import LIMIT, EventHandler, Subscription

__all__ = ["LIMIT", "EventHandler", "Subscription"]
