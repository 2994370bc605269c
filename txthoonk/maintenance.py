"""A service that puts right, again and again, what others left behind."""

from txthoonk.worker._maintenance import Maintenance

__all__ = ["Maintenance"]
