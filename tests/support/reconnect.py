"""Helpers for the integration tests of reconnecting."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from tests.support import Recorder, RedisTestCase
from txthoonk.client import ThoonkSub, ThoonkSubFactory

reactor: Any = installed_reactor


class ReconnectTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.feed = await self.pub_.feed("x")
        self.heard = Recorder()

    async def kept(self, factory: Any) -> Any:
        """Connect as ``connectTCP`` does: the factory reconnects by itself.

        :return: fires what the factory builds, once it is connected.
        """
        factory.initialDelay = factory.delay = 0.01
        factory.maxDelay = 0.05
        build = factory.buildProtocol
        built: Deferred[Any] = Deferred()

        def tell(addr: IAddress) -> Any:
            protocol = build(addr)
            if not built.called:
                # The protocol is connected later in this turn of the reactor.
                reactor.callLater(0, built.callback, protocol)
            return protocol

        factory.buildProtocol = tell
        if self.target.path:
            self.connector = reactor.connectUNIX(self.target.path, factory)
        else:
            self.connector = reactor.connectTCP(self.target.host, self.target.port, factory)
        protocol = await built
        self.addCleanup(protocol.close)
        self.addCleanup(factory.stopTrying)
        return protocol

    async def kept_sub(self) -> ThoonkSub:
        sub: ThoonkSub = await self.kept(ThoonkSubFactory(**self.arguments()))
        return sub

    async def kill(self) -> None:
        """Make Redis close the connections of all subscribers."""
        await self.until_reply("CLIENT", "KILL", "TYPE", "pubsub")
