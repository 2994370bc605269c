"""The objects that a publisher keeps for each feed, shared by all feed objects of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

__all__ = ["FeedCache"]

Shared = TypeVar("Shared")


class FeedCache:
    """One object for each type and key, for as long as a feed uses it."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[tuple[type, object], Any] = WeakValueDictionary()

    def get(self, type_: type[Shared], key: object, make: Callable[[], Shared]) -> Shared:
        """Return the object of a type for a key; make it if there is none."""
        shared = self._made.get((type_, key))
        if shared is None:
            shared = self._made[type_, key] = make()
        return cast(Shared, shared)

    def all(self, type_: type[Shared]) -> list[Shared]:
        """Return all objects of a type."""
        return [one for (made, _), one in list(self._made.items()) if made is type_]
