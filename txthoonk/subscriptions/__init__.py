"""Subscriptions: the events of one feed, or of all whose names match, one after another."""

from txthoonk.subscriptions._subscription import LIMIT, EventHandler, Subscription

__all__ = ["LIMIT", "EventHandler", "Subscription"]
