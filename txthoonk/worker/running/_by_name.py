"""Handlers by name: the job says which of a worker's handlers works on it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.types import Claim
from txthoonk.worker._errors import NoHandler

__all__ = ["ByName", "Key", "check_handler", "is_async"]

#: Where the name of the handler is: a field of the item, or a function that takes the claim.
Key = str | Callable[[Claim], str]


def is_async(handler: Any) -> bool:
    """Return whether a call of the handler makes a coroutine."""
    return any(map(inspect.iscoroutinefunction, (handler, type(handler).__call__)))


def check_handler(handler: Any, in_thread: bool) -> Callable[[Any], Any]:
    """Return a handler if a worker can call it.

    :param in_thread: whether it runs in a thread.
    :raises InvalidInput: if not.
    """
    if not callable(handler):
        raise InvalidType(f"a handler must be callable: {shown(handler)}")
    if in_thread and is_async(handler):
        raise InvalidInput(
            f"a coroutine does not run in a thread: {shown(handler)} needs in_thread=False"
        )
    return handler  # type: ignore[no-any-return]


class ByName:
    """Calls the handler with the name that is in the job.

    :param handlers: name -> handler.
    :param key: where the name is.
    :param in_thread: whether the handlers run in a thread.
    :raises InvalidInput: for handlers or a key that cannot be used.
    """

    def __init__(self, handlers: Any, key: Any, in_thread: bool) -> None:
        if not isinstance(handlers, Mapping):
            raise InvalidType(
                f"handlers must be a mapping of names to handlers: {shown(handlers)}"
            )
        if not handlers:
            raise InvalidInput("handlers must not be empty")
        if not (isinstance(key, str) or callable(key)):
            raise InvalidType(f"key must be a field of the item, or a function: {shown(key)}")
        for name, handler in handlers.items():
            if not isinstance(name, str):
                raise InvalidType(f"the name of a handler must be a str: {shown(name)}")
            check_handler(handler, in_thread)
        self._handlers = dict(handlers)
        self._key = key

    def __call__(self, claim: Claim) -> Any:
        """Call the handler of a job.

        :raises NoHandler: if there is none.
        """
        name = self._key(claim) if callable(self._key) else self._field(claim.item)
        try:
            handler = self._handlers[name]
        except (KeyError, TypeError):
            known = ", ".join(map(shown, self._handlers))
            raise NoHandler(
                f"the worker has no handler {shown(name)}; its handlers are {known}"
            ) from None
        return handler(claim)

    def _field(self, item: Any) -> Any:
        if not isinstance(item, Mapping):
            raise NoHandler(
                f"an item must be a mapping with a field {self._key!r}, the name of its handler: "
                f"{shown(item)}"
            )
        if self._key not in item:
            raise NoHandler(f"the item has no field {self._key!r}, the name of its handler")
        return item[self._key]
