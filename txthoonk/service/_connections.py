"""The two connections of a service: one for requests, one for messages.

Each :class:`~txthoonk.connections._reconnecting.Connection` knows whether it is up. This module
makes both, and lists the listeners of each, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IStreamClientEndpoint

from txthoonk.channels._dispatcher import Dispatcher
from txthoonk.channels._subscriber import ChannelSubscriber
from txthoonk.connections._back_off import back_off
from txthoonk.connections._interfaces import Listener
from txthoonk.connections._keepalive import text_of
from txthoonk.connections._offline_queue import OfflineQueue
from txthoonk.connections._reconnecting import Connection
from txthoonk.connections._reports import Reports
from txthoonk.connections._servers import Servers
from txthoonk.consumers._room import WaitingRoom
from txthoonk.errors import ConnectionLost, WrongServer
from txthoonk.protocol import Redis, RedisSubscriber

__all__ = ["Connections"]


class Connections:
    """See the module.

    :ivar publisher: the connection for requests.
    :ivar subscriber: the connection for messages.

    :param servers: which server they lead to.
    :param queue: the offline queue. It also has the present credentials.
    :param waiting_room: the connections that wait.
    :param sub: receives the messages.
    :param dispatcher: has the channels of *sub*.
    :param all_up: is called when both connections are up.
    :param one_down: is called with the reason when one of them is lost.
    :param policy: returns the seconds before an attempt to connect; None: :meth:`back_off`.
    :param options: see :class:`~txthoonk.connections._reconnecting.Connection`.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        servers: Servers,
        queue: OfflineQueue,
        waiting_room: WaitingRoom,
        sub: ChannelSubscriber,
        dispatcher: Dispatcher,
        all_up: Callable[[], object],
        one_down: Callable[[ConnectionLost], object],
        policy: Callable[[int], float] | None,
        **options: Any,
    ) -> None:
        self._queue = queue
        self._waiting_room = waiting_room
        options["policy"] = policy or self.back_off
        options["reports"] = Reports(options["name"], connections=2)
        both = _Both(self, all_up, one_down)
        follow = _Follow(self, servers, waiting_room, sub)
        self.publisher: Connection[Redis] = Connection(
            endpoint,
            lambda: Redis(**self._credentials()),
            listeners=[servers, follow, queue, _Waiting(waiting_room), both],
            check=servers.check_publisher,
            **options,
        )
        self.subscriber: Connection[RedisSubscriber] = Connection(
            endpoint,
            lambda: RedisSubscriber(**self._credentials()),
            listeners=[_Messages(sub, dispatcher), both],
            check=servers.check,
            **options,
        )

    def _credentials(self) -> dict[str, Any]:
        """Return the credentials that ``select()`` and ``auth()`` have chosen."""
        queue = self._queue
        return {"db": queue.db, "username": queue.username, "password": queue.password}

    def back_off(self, attempt: int) -> float:
        """Return the seconds before an attempt: fewer while claims wait to be renewed."""
        renewal = self._waiting_room.renewal
        wait = back_off(attempt)
        return wait if renewal is None else min(wait, renewal.longest_rest())

    @property
    def up(self) -> dict[str, bool]:
        """Which of the two are up."""
        return {"publisher": self.publisher.up, "subscriber": self.subscriber.up}

    def start(self) -> None:
        """Connect, and reconnect whenever a connection is lost."""
        for connection in (self.publisher, self.subscriber):
            connection.start()

    async def stop(self) -> None:
        """Close both connections."""
        closed = [self.publisher.stop(), self.subscriber.stop()]
        for one in closed:
            await one

    async def when_connected(self, refusable: bool) -> None:
        """Wait until both connections are up.

        :param refusable: whether to fail as soon as Redis refuses a connection for good.
        """
        await self._connected_once(refusable)
        while not all(self.up.values()):  # one was lost while we waited for the other
            await self._connected_once(refusable)

    async def _connected_once(self, refusable: bool) -> None:
        waiting: list[Deferred[Any]] = [
            self.publisher.when_connected(refusable),
            self.subscriber.when_connected(refusable),
        ]
        try:
            await gatherResults(waiting, consumeErrors=True)
        except FirstError as first:
            for one in waiting:
                one.cancel()
            raise cast(BaseException, first.subFailure.value) from None

    def why(self) -> str:
        """Return why a connection is missing, for messages."""
        connections: list[Connection[Any]] = [self.publisher, self.subscriber]
        for connection in connections:
            if connection.last_error is not None and not connection.up:
                return text_of(connection.last_error)
        return "it does not answer"


class _Follow(Listener[Redis]):
    """Gives up connections to other servers than the publisher's."""

    def __init__(
        self, connections: Connections, servers: Servers, room: WaitingRoom, sub: ChannelSubscriber
    ) -> None:
        self._connections = connections
        self._servers = servers
        self._room = room
        self._sub = sub

    def connected(self, redis: Redis) -> None:
        subscriber = self._connections.subscriber
        if subscriber.up and self._servers.differs(self._sub.redis):
            subscriber.leave(WrongServer("the publisher's connection leads elsewhere"))
        self._room.move(self._servers.differs)


class _Waiting(Listener[Redis]):
    """Lets the connections that wait rest while the publisher has no connection."""

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room

    def connected(self, redis: Redis) -> None:
        self._room.resume()

    def disconnected(self, error: ConnectionLost) -> None:
        self._room.lost()


class _Messages(Listener[RedisSubscriber]):
    """Subscribes to all channels on each new connection."""

    def __init__(self, sub: ChannelSubscriber, dispatcher: Dispatcher) -> None:
        self._sub = sub
        self._dispatcher = dispatcher

    def connected(self, redis: RedisSubscriber) -> None:
        self._sub.set_redis(redis)
        self._dispatcher.connected(redis)

    def disconnected(self, error: ConnectionLost) -> None:
        self._dispatcher.disconnected(error)


class _Both(Listener[object]):
    """Passes on when both connections are up, and when one is lost."""

    def __init__(
        self,
        connections: Connections,
        all_up: Callable[[], object],
        one_down: Callable[[ConnectionLost], object],
    ) -> None:
        self._connections = connections
        self._all_up = all_up
        self._one_down = one_down

    def connected(self, redis: object) -> None:
        if all(self._connections.up.values()):
            self._all_up()

    def disconnected(self, error: ConnectionLost) -> None:
        self._one_down(error)
