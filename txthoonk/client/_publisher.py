"""The publisher: changes feeds over one connection."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITransport
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._threads import check_thread
from txthoonk.client._registry import Publishing
from txthoonk.connections._wrapper import ThoonkBase
from txthoonk.consumers._room import WaitingRoom
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis

__all__ = ["ThoonkPub"]


class ThoonkPub(ThoonkBase[Redis], Publishing):
    """Creates, finds, configures and deletes feeds.

    Every method that returns a Deferred fails it with
    :class:`~txthoonk.errors.ConnectionLost` if Redis does not answer, and with
    :class:`~txthoonk.errors.InvalidInput`, before anything is sent, for a bad name
    or configuration.

    :ivar waiting_room: the connections on which gets and results wait; the types of feeds use it.
    """

    def __init__(
        self,
        redis: Redis,
        reactor: IReactorTime | None = None,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        """Create the object.  A factory does that for each first connection.

        :param redis: the protocol of the connection.
        :param reactor: for timeouts and, without *endpoint*, for the connections on which the
            publisher waits; None for the installed one.
        :param endpoint: where those connections go; None for the peer of the first connection,
            which must not be encrypted then.
        """
        super().__init__(redis)
        self._feedtypes = set()
        self._services = set()
        self.waiting_room = WaitingRoom(self, reactor, endpoint)

    def makeConnection(self, transport: ITransport) -> None:
        """Take the transport of a new connection, and repeat the calls that were not answered."""
        super().makeConnection(transport)
        self.waiting_room.resume()

    def connectionLost(self, reason: Failure) -> None:
        """Fail everything that waits, because the connection was lost."""
        super().connectionLost(reason)
        self.waiting_room.drop(
            ConnectionLost(f"the connection to Redis was lost: {reason.getErrorMessage()}")
        )

    def close(self) -> Deferred[None]:
        """Close the connection for good, and those on which the publisher waits.

        Calls that wait for an answer fail with
        :class:`~txthoonk.errors.ConnectionLost`.

        :return: fires None once the connections are closed.  Cancel it to drop them without
            waiting for the server.
        """
        check_thread()
        return AwaitableDeferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._stop_reconnecting()
        try:
            await self.waiting_room.close()
        except CancelledError:
            self.waiting_room.drop(ConnectionLost("the publisher was closed"))
            self.redis.abort()
            raise
        await self.redis.close()
