"""One row of the table of verbs; see :mod:`tests.faults.verbs`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attr

from tests.faults import states

__all__ = ["Verb", "listen", "read", "wait", "write"]

BOTH = ("pub", "thoonk")

Prepare = Callable[[Any], Awaitable[Any]]
Trigger = Callable[[Any, Any], Awaitable[Any]]


@attr.frozen
class Verb:
    """One row.

    :ivar name: the name on the page.
    :ivar kind: ``read``, ``write``, ``wait`` or ``listen``.
    :ivar covers: the public methods that the row stands for, as ``Class.method``.
    :ivar call: makes the call; see the module ``verbs``.
    :ivar prepare: creates the state before; see the module ``verbs``.
    :ivar trigger: lets a waiting call end; None: it ends by itself.
    :ivar on: the kinds of objects that have the verb.
    :ivar steps: whether it makes several requests, so that a fault between them may leave a
        documented state between before and after, or all as before though some succeeded.
    """

    name: str
    kind: str
    covers: tuple[str, ...]
    call: Callable[[Any, Any], Any]
    prepare: Prepare = states.nothing
    trigger: Trigger | None = None
    on: tuple[str, ...] = BOTH
    steps: bool = False

    @property
    def writes(self) -> bool:
        """Whether the verb changes stored data."""
        return self.kind == "write"


def read(name: str, covers: str, call: Any, prepare: Prepare, **more: Any) -> Verb:
    return Verb(name, "read", tuple(covers.split()), call, prepare, **more)


def write(
    name: str, covers: str, call: Any, prepare: Prepare = states.nothing, **more: Any
) -> Verb:
    return Verb(name, "write", tuple(covers.split()), call, prepare, **more)


def wait(name: str, covers: str, call: Any, prepare: Prepare, trigger: Any, **more: Any) -> Verb:
    return Verb(name, "wait", tuple(covers.split()), call, prepare, trigger, **more)


def listen(name: str, covers: str, call: Any, prepare: Prepare, trigger: Any, on: str) -> Verb:
    return Verb(name, "listen", tuple(covers.split()), call, prepare, trigger, on=(on,))
