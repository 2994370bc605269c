"""An endpoint that a test can shut and open again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

__all__ = ["Gate"]


@implementer(IStreamClientEndpoint)
class Gate:
    """An endpoint that can be shut; a client that then connects waits until it is open."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self._waiting: list[Deferred[None]] | None = None

    def shut(self) -> None:
        self._waiting = []

    def open(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            if not one.called:
                one.callback(None)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        if self._waiting is None:
            return self._endpoint.connect(protocolFactory)
        through: Deferred[None] = Deferred()
        self._waiting.append(through)
        return through.addCallback(lambda _: self._endpoint.connect(protocolFactory))
