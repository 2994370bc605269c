"""A subscriber that is never cut off: it gets every event once, in order."""

from __future__ import annotations

from typing import Any

from tests.model.model import Model
from txthoonk import Event, Subscription, Thoonk

__all__ = ["Watcher"]


class Watcher:
    """Follows one feed at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thoonk: Thoonk | None = None
        self._following: Subscription | None = None
        self._heard: list[Event] = []

    async def start(self) -> None:
        self._thoonk = Thoonk(self._url)
        await self._thoonk.connect()

    async def close(self) -> None:
        thoonk, self._thoonk = self._thoonk, None
        self._following = None
        if thoonk is not None:
            await thoonk.close()

    async def follow(self, name: str) -> None:
        """Follow a feed that exists."""
        assert self._thoonk is not None
        self._heard = []
        self._following = await self._thoonk.subscribe(name, self._heard.append)

    async def leave(self) -> None:
        """Stop following, for instance because a history begins or ends."""
        following, self._following = self._following, None
        if following is not None:
            following.stop()

    async def check(self, model: Model) -> None:
        """Compare the events since the last check with the model."""
        if self._following is None or self._thoonk is None:
            return
        # Messages published so far arrive before the reply to this PING.
        await self._thoonk._sub.redis.send("PING")
        heard = [model.as_event(*_words(one)) for one in self._heard if one.kind != "config"]
        self._heard.clear()
        plain = [_plain(*event) for event in model.events]
        assert heard == plain, f"a subscriber heard {heard!r} instead of {plain!r}"


def _words(event: Event) -> tuple[Any, ...]:
    rest = event.item if event.position is None else event.position
    return _plain(event.kind, event.id, rest, event.revision, event.more)


def _plain(kind: str, id_: str | None, rest: Any, *position: Any) -> tuple[Any, ...]:
    # Progress items are decoded; they are compared as stored.
    return (kind, id_, None if kind == "progress" else rest, *position)
