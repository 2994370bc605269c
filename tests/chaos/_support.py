"""Helpers for tests that cut connections at random: publishers that connect again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import deferLater

from txthoonk.client import ThoonkPub, ThoonkPubFactory
from txthoonk.connections.addresses._url import Target
from txthoonk.errors import ConnectionLost, Empty, JobNotClaimed

T = TypeVar("T")

PATIENCE = 0.5  # seconds that one get waits
RECONNECTING = 0.02  # seconds until the next attempt after a lost connection


async def in_time(reactor: Any, waiting: Awaitable[T], seconds: float, what: str) -> T:
    """Wait for something that must come within so many seconds.

    :raises AssertionError: if it does not.
    """
    try:
        result: T = await ensureDeferred(waiting).addTimeout(seconds, reactor)  # type: ignore[arg-type]
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds:g} seconds") from None
    return result


class ReturningFactory(ThoonkPubFactory):
    """Builds one publisher, and connects it again whenever its connection is lost."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        timing: Any = self  # Twisted has whole seconds in its types
        timing.initialDelay, timing.maxDelay = 0.01, 0.05
        self.built: Deferred[ThoonkPub] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> ThoonkPub:
        pub: ThoonkPub = super().buildProtocol(addr)
        if not self.built.called:
            self.built.callback(pub)
        return pub


async def returning(reactor: Any, target: Target) -> ThoonkPub:
    """Connect a publisher that connects again whenever its connection is lost."""
    factory = ReturningFactory(**target.credentials)
    if target.path:
        reactor.connectUNIX(target.path, factory)
    else:
        reactor.connectTCP(target.host, target.port, factory)
    pub = await factory.built
    await deferLater(reactor, 0)  # it is built, and gets its transport in this turn
    return pub


async def again_and_again(
    reactor: Any, step: Callable[[], Coroutine[Any, Any, None]], going_on: Callable[[], bool]
) -> None:
    """Repeat a step while *going_on* returns true, whatever happens to connections."""
    while going_on():
        try:
            await step()
        except ConnectionLost:
            await deferLater(reactor, RECONNECTING)
        except (Empty, JobNotClaimed):
            pass
