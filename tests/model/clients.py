"""Publishers whose connections a test can cut and restore."""

from __future__ import annotations

from typing import Any

import attr
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater

from tests.support.gate import Gate
from txthoonk import Thoonk
from txthoonk.client import ThoonkPubFactory
from txthoonk.connections.addresses._url import Target
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis

__all__ = ["BareClient", "Client", "Cut", "PatientClient", "turn"]


def turn() -> Deferred[Any]:
    """Wait for one turn of the reactor."""
    return deferLater(reactor, 0)


@attr.frozen
class Cut:
    """How the connection of a client ends while a batch of verbs is in progress.

    :ivar how: ``kill``: by a CLIENT KILL among the verbs; ``deaf``: the same, and no reply is
        read; ``race``: by a CLIENT KILL on another connection at the same time; ``abort``: by the
        client, some turns of the reactor after it has sent everything; ``before``: before the
        verbs are called.
    :ivar where: the verb before which it happens, or the number of turns.
    """

    how: str
    where: int = 0


class Client:
    """A publisher.

    :ivar pub: the publisher itself.
    :ivar patient: whether it reconnects by itself, and its gets survive that.
    :ivar redis: the protocol of its present connection.
    """

    pub: Any
    patient: bool
    redis: Redis
    number = 0  # the server's number for the connection

    async def connected(self) -> None:
        """Record the number of its connection."""
        self.number = await self.redis.send("CLIENT", "ID")

    async def settle(self) -> None:
        """Wait until every call has its reply, and the calls that follow from it as well."""
        for _ in range(3):
            await self.redis.send("PING")

    def sentinel(self) -> Deferred[None]:
        """Return a Deferred that fires once the connection has ended and its calls failed."""
        return Deferred.fromCoroutine(_lost(self.redis))

    def kill(self) -> None:
        """Make the server end the connection after everything sent so far."""
        words = ("CLIENT", "KILL", "ID", str(self.number), "SKIPME", "no")
        self.redis.send(*words).addErrback(lambda _: None)

    def abort(self) -> None:
        transport: Any = self.redis.transport
        transport.abortConnection()

    def hold(self) -> None:
        """Do not reconnect until :meth:`resume`."""

    async def resume(self) -> None:
        """Reconnect."""
        raise NotImplementedError

    async def close(self) -> None:
        await self.pub.close()


async def _lost(redis: Redis) -> None:
    while True:
        try:
            await redis.send("PING")
        except ConnectionLost:
            return


class BareClient(Client):
    """A ``ThoonkPub``: calls in progress on a lost connection fail."""

    patient = False

    def __init__(self, target: Target) -> None:
        self._endpoint = target.endpoint(reactor)
        self._factory = ThoonkPubFactory(**target.credentials)

    def __repr__(self) -> str:
        return "ThoonkPub"

    @property
    def redis(self) -> Redis:
        redis: Redis = self.pub.redis
        return redis

    async def resume(self) -> None:
        # The factory gives a new connection to the publisher that lost its own.
        self.pub = await self._endpoint.connect(self._factory)
        await self.connected()


class _Gated(Thoonk):
    """A ``Thoonk`` whose connections go through a gate."""

    def _make_endpoint(self) -> IStreamClientEndpoint:
        self.gate = Gate(super()._make_endpoint())
        return self.gate


class PatientClient(Client):
    """A ``Thoonk``: it reconnects, and calls that were not sent wait for that."""

    patient = True

    def __init__(self, url: str) -> None:
        self.pub = _Gated(url, retry_policy=lambda attempt: 0.0)

    def __repr__(self) -> str:
        return "Thoonk"

    @property
    def redis(self) -> Redis:
        redis: Redis | None = self.pub.redis._redis
        assert redis is not None
        return redis

    def hold(self) -> None:
        self.pub.gate.shut()

    async def resume(self) -> None:
        self.pub.gate.open()
        await self.pub.connect()
        await self.connected()
