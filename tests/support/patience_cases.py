"""Helpers for the integration tests of waiting across an outage."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from tests.support import RedisTestCase
from tests.support.connections import Calls
from tests.support.gate import Gate
from tests.support.waiting import until
from txthoonk.client import ThoonkPub
from txthoonk.connections._offline_queue import OfflineQueue
from txthoonk.connections._reconnecting import Connection
from txthoonk.consumers._room import WaitingRoom
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis
from txthoonk.types import Job, Queue

reactor: Any = installed_reactor


class Service:
    """What a service does for its publisher's waiting room."""

    def __init__(self, endpoint: Any, **credentials: Any) -> None:
        self.offline_queue = OfflineQueue(reactor=reactor, name="there", **credentials)
        self.pub = ThoonkPub(self.offline_queue, reactor, endpoint)  # type: ignore[arg-type]
        self.gate = Gate(endpoint)
        self.room = self.pub.waiting_room = WaitingRoom(self.pub, reactor, self.gate, patient=True)
        self.connection = Connection(
            endpoint,
            lambda: Redis(**credentials),
            reactor=reactor,
            name="there",
            listeners=[Calls(self.up, self.down)],
            policy=lambda _: 0.01,
        )

    def up(self, redis: Redis) -> None:
        self.offline_queue.connected(redis)
        self.room.resume()

    def down(self, error: ConnectionLost) -> None:
        self.offline_queue.disconnected(error)
        self.room.lost()

    async def start(self) -> None:
        self.offline_queue.started()
        self.room.started()
        self.connection.start()
        await self.connection.when_connected()

    async def stop(self) -> None:
        error = ConnectionLost("the service was stopped")
        await self.room.close(error)
        await self.connection.stop()
        self.offline_queue.stopped(error)


class CutTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.service = Service(self.target.endpoint(reactor), **self.target.credentials)
        await self.service.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.service.stop()))
        self.queue = await self.service.pub.queue("q")
        other = await self.pub()
        self.other = Queue(other, "q")
        self.job = await self.service.pub.job("j")
        self.worker = Job(other, "j")

    async def blocked(self, count: int = 1) -> list[int]:
        """Wait until *count* clients are blocked, and return their ids."""
        await super().blocked(count)
        listed = (await self.raw.send("CLIENT", "LIST")).decode().splitlines()
        return [int(line.split()[0][3:]) for line in listed if " cmd=blmove " in line]

    async def main(self) -> int:
        number: int = await self.service.offline_queue.send("CLIENT", "ID")
        return number

    async def kill(self, client: int) -> None:
        await self.raw.send("CLIENT", "KILL", "ID", client)

    async def left(self) -> dict[bytes, Any]:
        """Return what is left of the queue, once all deliveries are acknowledged."""
        await self.raw.send("PING")  # a get is acknowledged only after it has fired
        outages = self.service.room.outages
        await until(lambda: not outages.unanswered and not outages.under_way)
        kinds = (b"feed.ids", b"feed.items", b"feed.transit", b"feed.delivering")
        state = await self.state()
        return {key: state[key] for key in state if key.split(b":")[0] in kinds}
