"""A copy of a feed in this process, kept up to date by the feed's events."""

from txthoonk.subscriptions._mirror import Change, Mirror

__all__ = ["Change", "Mirror"]
