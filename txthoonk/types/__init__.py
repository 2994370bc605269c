"""The types of feeds."""

from txthoonk.types.feed import Feed

__all__ = ["Feed"]
