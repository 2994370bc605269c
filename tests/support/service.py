"""Helpers for the integration tests of services."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from tests.support.server import ServerTestCase
from tests.support.waiting import until
from txthoonk.service import Thoonk

reactor: Any = installed_reactor


def watched() -> set[Any]:
    """Return what the reactor waits for, except for its own and trial's."""
    calls = {call for call in reactor.getDelayedCalls() if "onTimeout" not in str(call.func)}
    return {*reactor.getReaders(), *reactor.getWriters(), *calls} - reactor._internalReaders


class LeakTestCase(ServerTestCase):
    """A test that checks what a service leaves in the reactor."""

    def setUp(self) -> Any:
        self.before = watched()
        self.addCleanup(self.nothing_left)  # the last cleanup
        self.states: list[str] = []

    def make(self, url: str, **arguments: Any) -> Thoonk:
        """Make a service that is stopped after the test."""
        options: dict[str, Any] = {"retry_policy": lambda _: 0.02, "state_changed": self.changed}
        thoonk = Thoonk(url, **{"reactor": reactor, **options, **arguments})
        self.addCleanup(thoonk.close)
        return thoonk

    def changed(self, state: str, reason: BaseException | None) -> None:
        self.states.append(state)

    async def connect(self, url: str, **arguments: Any) -> Thoonk:
        return await self.make(url, **arguments).connect()

    def nothing_left(self) -> Deferred[None]:
        """Wait until the reactor has no more work than before the test."""
        return Deferred.fromCoroutine(until(lambda: not watched() - self.before))

    async def works(self, thoonk: Thoonk) -> None:
        """Check that commands, gets and events work."""
        feed, queue = await thoonk.feed("works"), await thoonk.queue("works too")
        subscription = await thoonk.subscribe(feed)
        got = queue.get()
        await feed.publish("item", "id")
        await queue.put("job")
        event = await subscription.next()
        self.assertEqual((event.kind, event.id, event.item), ("publish", "id", "item"))
        self.assertEqual(await got, "job")
        await subscription.stop()
        await thoonk.delete_feed("works")
        await thoonk.delete_feed("works too")
