"""The service: one object for everything, which keeps its connections up."""

from txthoonk.service._thoonk import StateChanged, Thoonk

__all__ = ["StateChanged", "Thoonk"]
