"""Helpers for the tests of mirrors."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.subscriptions import SubscriptionTestCase
from txthoonk.events import Event
from txthoonk.mirror import Mirror

Items = list[tuple[str, Any]]


class Watch:
    """Records each state of a mirror, and waits for a certain one."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.events: list[Event] = []
        self.states: list[tuple[int | None, Items]] = []
        self._waiting: Deferred[None] | None = None
        self.remove = mirror.on_change(self._changed)

    def _changed(self, event: Event) -> None:
        self.events.append(event)
        self.states.append((self.mirror.revision, list(self.mirror.items())))
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def change(self) -> None:
        """Wait for the next change."""
        self._waiting = Deferred()
        await self._waiting

    async def until(self, contents: Items) -> None:
        """Wait until the mirror has exactly these items."""
        while not self.mirror.current or list(self.mirror.items()) != contents:
            await self.change()

    async def event(self, kind: str) -> Event:
        """Wait for an event of a kind, and return it."""
        while not self.events or self.events[-1].kind != kind:
            await self.change()
        return self.events[-1]


class MirrorTestCase(SubscriptionTestCase):
    async def feed(self, type_: str, history: int, **config: Any) -> Any:
        return await getattr(self.writer, type_)("x", {"history": history, **config})

    async def mirrored(self, feed: Any) -> Watch:
        return Watch(await self.thoonk.mirror(feed))
