"""Publishers whose connections can be cut, and come back when the test wants it."""

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
from txthoonk.connections._url import Target
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis

__all__ = ["BareClient", "Client", "Cut", "PatientClient", "turn"]


def turn() -> Deferred[Any]:
    """Wait until the reactor has looked at all that there is once."""
    return deferLater(reactor, 0)


@attr.frozen
class Cut:
    """How the connection of a client ends while a batch of verbs is under way.

    :ivar how: ``kill``: by a CLIENT KILL among the verbs; ``deaf``: so, and no reply is read;
        ``race``: by a CLIENT KILL on another connection at the same time; ``abort``: by the
        client, some turns of the reactor after it has sent all; ``before``: before the verbs
        are called.
    :ivar where: before which of the verbs, or after how many turns.
    """

    how: str
    where: int = 0


class Client:
    """A publisher.

    :ivar pub: the publisher itself.
    :ivar patient: whether it connects again by itself, and its gets outlive that.
    :ivar redis: the protocol of its present connection.
    """

    pub: Any
    patient: bool
    redis: Redis
    number = 0  # the server's, of the connection

    async def connected(self) -> None:
        """Learn which connection it is."""
        self.number = await self.redis.send("CLIENT", "ID")

    async def settle(self) -> None:
        """Wait until all is answered that was sent, and what was sent for that."""
        for _ in range(3):
            await self.redis.send("PING")

    def sentinel(self) -> Deferred[None]:
        """Give what fires with the end of the present connection, once all calls have failed."""
        return Deferred.fromCoroutine(_lost(self.redis))

    def kill(self) -> None:
        """Have the server end the connection behind what was sent so far."""
        words = ("CLIENT", "KILL", "ID", str(self.number), "SKIPME", "no")
        self.redis.send(*words).addErrback(lambda _: None)

    def abort(self) -> None:
        transport: Any = self.redis.transport
        transport.abortConnection()

    def hold(self) -> None:
        """Do not connect again until :meth:`resume`."""

    async def resume(self) -> None:
        """Connect again."""
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
    """A ``ThoonkPub``: what is under way on a lost connection fails."""

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
        # The factory gives a new connection to the object that has lost its own.
        self.pub = await self._endpoint.connect(self._factory)
        await self.connected()


class _Gated(Thoonk):
    """A ``Thoonk`` whose connections go through a gate."""

    def _make_endpoint(self) -> IStreamClientEndpoint:
        self.gate = Gate(super()._make_endpoint())
        return self.gate


class PatientClient(Client):
    """A ``Thoonk``: it connects again, and what was not sent waits for that."""

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
