"""The two connections of a service: one for requests, one for messages.

:class:`Connections` is the object that knows which of them are up.  It passes on what happens
to them: to the offline queue, to the connections that wait, to the dispatcher of channels, and
to the service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from txthoonk.channels._dispatcher import Dispatcher
from txthoonk.client._subscriber import ThoonkSub
from txthoonk.connections._keepalive import text_of
from txthoonk.connections._offline_queue import SteadyRedis
from txthoonk.connections._reconnecting import Connection, back_off
from txthoonk.connections._servers import Servers
from txthoonk.consumers._pool import WaitingRoom
from txthoonk.errors import ClusterNotSupported, ConnectionLost, ResponseError, WrongServer
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.protocol._transient import passes

__all__ = ["Connections"]


def _is_final(error: Exception) -> bool:
    """Tell whether Redis has said that it will not let us in."""
    return isinstance(error, (ResponseError, ClusterNotSupported)) and not passes(error)


class Connections:
    """See the module.

    :ivar publisher: the connection for requests.
    :ivar subscriber: the connection for messages.
    :ivar up: which of the two are up.

    :param servers: which server they lead to.
    :param steady: the offline queue; it has the credentials chosen by now, too.
    :param waiting_room: the connections that wait.
    :param sub: takes the messages.
    :param dispatcher: has the channels, and subscribes to them on each new connection.
    :param all_up: is called when both connections are up.
    :param one_down: is called with the reason when one of them is lost.
    :param policy: gives the seconds before an attempt to connect; None: :meth:`back_off`.
    :param options: see :class:`~txthoonk.connections._reconnecting.Connection`.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        servers: Servers,
        steady: SteadyRedis,
        waiting_room: WaitingRoom,
        sub: ThoonkSub,
        dispatcher: Dispatcher,
        all_up: Callable[[], object],
        one_down: Callable[[ConnectionLost], object],
        policy: Callable[[int], float] | None,
        **options: Any,
    ) -> None:
        self._servers = servers
        self._steady = steady
        self._waiting_room = waiting_room
        self._sub = sub
        self._dispatcher = dispatcher
        self._all_up = all_up
        self._one_down = one_down
        self.up = {"publisher": False, "subscriber": False}
        self._refusable: list[Deferred[Any]] = []
        self._refusal: Exception | None = None
        options["policy"] = policy or self.back_off
        self.publisher: Connection[Redis] = Connection(
            endpoint,
            lambda: Redis(**self._credentials()),
            up=self._publisher_up,
            down=self._publisher_down,
            attempt_failed=self._attempt_failed,
            check=servers.check_publisher,
            **options,
        )
        self.subscriber: Connection[RedisSubscriber] = Connection(
            endpoint,
            lambda: RedisSubscriber(**self._credentials()),
            up=self._subscriber_up,
            down=self._subscriber_down,
            attempt_failed=self._attempt_failed,
            check=servers.check,
            **options,
        )

    def _credentials(self) -> dict[str, Any]:
        """Give what is chosen by now: see ``select()`` and ``auth()`` of the publisher."""
        steady = self._steady
        return {"db": steady.db, "username": steady.username, "password": steady.password}

    def back_off(self, attempt: int) -> float:
        """Give the seconds before an attempt: fewer while claims wait to be renewed."""
        renewal = self._waiting_room.renewal
        wait = back_off(attempt)
        return wait if renewal is None else min(wait, renewal.longest_rest())

    # -- what the service does ------------------------------------------------------------

    def start(self) -> None:
        """Connect, and connect again whenever a connection is lost."""
        for connection in (self.publisher, self.subscriber):
            connection.last_error = None
            connection.start()

    async def stop(self) -> None:
        """Close both connections."""
        closed = [self.publisher.stop(), self.subscriber.stop()]
        for one in closed:
            await one

    async def when_connected(self, refusable: bool) -> None:
        """Wait until both connections are up.

        :param refusable: whether to give up as soon as Redis refuses to let us in.
        """
        # The first may have been lost while we waited for the second.
        for connection in (self.publisher, self.subscriber, self.publisher):
            waiting: Deferred[Any] = connection.when_connected()
            if refusable:
                self._refusable.append(waiting)
            try:
                await waiting
            except CancelledError:
                if self._refusal is None or waiting in self._refusable:
                    raise
                raise self._refusal from None
            finally:
                if waiting in self._refusable:
                    self._refusable.remove(waiting)

    def why(self) -> str:
        """Tell why a connection is missing."""
        connections: list[Connection[Any]] = [self.publisher, self.subscriber]
        for connection, up in zip(connections, self.up.values(), strict=True):
            if connection.last_error is not None and not up:
                return text_of(connection.last_error)
        return "it does not answer"

    # -- what happens to them -------------------------------------------------------------

    def _publisher_up(self, redis: Redis) -> None:
        self._servers.came(redis)
        if self.up["subscriber"] and self._servers.differs(self._sub.redis):
            self.subscriber.leave(WrongServer("the publisher's connection leads elsewhere"))
        self._waiting_room.move(self._servers.differs)
        self._steady.connected(redis)
        self._waiting_room.resume()
        self._is_up("publisher")

    def _publisher_down(self, error: ConnectionLost) -> None:
        self._servers.went()
        self._steady.disconnected(error)
        self._waiting_room.lost()
        self._is_down("publisher", error)

    def _subscriber_up(self, redis: RedisSubscriber) -> None:
        self._sub.set_redis(redis)
        self._dispatcher.connected(redis)
        self._is_up("subscriber")

    def _subscriber_down(self, error: ConnectionLost) -> None:
        self._dispatcher.disconnected(error)
        self._is_down("subscriber", error)

    def _attempt_failed(self, error: Exception) -> None:
        if not self.up["publisher"]:
            self._steady.disconnected(error)
        if _is_final(error):
            self._refusal = error
            refusable, self._refusable = self._refusable, []
            for waiting in refusable:
                waiting.cancel()

    def _is_up(self, which: str) -> None:
        self.up[which] = True
        if all(self.up.values()):
            self._all_up()

    def _is_down(self, which: str, error: ConnectionLost) -> None:
        self.up[which] = False
        self._one_down(error)
