"""The endpoint of ``embedded:`` URLs: a private server, started when it is needed."""

from __future__ import annotations

from typing import Any

import attr
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.connections.addresses._url import Target, parse_url
from txthoonk.embedded._server import RedisServer

__all__ = ["EmbeddedEndpoint"]


@implementer(IStreamClientEndpoint)
class EmbeddedEndpoint:
    """Connects to a private server, and starts it if it does not run.

    :param target: names the database.
    """

    def __init__(self, server: RedisServer, target: Target, reactor: Any) -> None:
        self._server = server
        self._target = target
        self._reactor = reactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Start the server if it does not run, and connect to it."""
        return AwaitableDeferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        await self._server.start()
        target = attr.evolve(parse_url(self._server.url), db=self._target.db)
        return await target.endpoint(self._reactor).connect(factory)
