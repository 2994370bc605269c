"""The parts of a publisher with which its calls wait for items and results.

Gets wait on connections of their own (one for each feed, see
:mod:`txthoonk.consumers.gets._get_queue`), because a command that blocks delays all commands after
it.  All calls that wait for results share one subscriber (see
:mod:`txthoonk.consumers.results._result_waiters`).

When a connection of a bare publisher is lost, the calls that wait fail.  In a *patient* room,
which is the room of a service, they continue to wait until their own timeout: they send nothing
while the publisher has no connection, and ask again when it has one.  The connections of the room
come and go on their own, and the room replaces them while a call waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from txthoonk._support._reactor import current_reactor
from txthoonk.connections._keepalive import HEALTH, REPLY_TIMEOUT
from txthoonk.consumers._claims import Claims
from txthoonk.consumers._deadlines import Timekeeper
from txthoonk.consumers._feed_cache import FeedCache
from txthoonk.consumers._outages import Outages
from txthoonk.consumers._pool import Pool
from txthoonk.consumers._subscriber import SharedSubscriber
from txthoonk.consumers.gets._get_queue import Line
from txthoonk.consumers.gets._patience import Health
from txthoonk.consumers.results._result_trimming import Forgetting
from txthoonk.consumers.results._result_waiters import Results
from txthoonk.errors import ConnectionLost
from txthoonk.protocol._client import RedisProtocol

if TYPE_CHECKING:
    from txthoonk.consumers._heartbeat import Renewal
    from txthoonk.consumers._interfaces import Sender

__all__ = ["WaitingRoom"]


class WaitingRoom:
    """Joins these parts; each of them keeps its own objects.

    :ivar pub: the publisher.
    :ivar patient: whether calls go on waiting when a connection is lost.
    :ivar up: whether calls can be sent. The owner of a patient room calls :meth:`resume` and
        :meth:`lost`.
    :ivar closed: why no call can wait any more; None before :meth:`close`, and on a bare
        publisher, where calls fail by themselves.
    :ivar outages: the objects to inform when the connection is lost or back.
    :ivar pool: the connections to wait on.
    :ivar subscriber: the shared subscriber.
    :ivar health: drops connections that have gone silent; None if not patient.
    :ivar renewal: renews the claims of workers, if there are any.

    :param endpoint: where the connections go; a patient room needs one.
    :param health: seconds from one check of a patient room's connections to the next;
        0 for none.
    :param reply_timeout: seconds that a patient room waits for answers that come at once;
        None: 10.
    :param check: checks the server of each new connection; a failure drops the connection.
    """

    def __init__(
        self,
        pub: Sender,
        reactor: IReactorTime | None,
        endpoint: IStreamClientEndpoint | None,
        *,
        patient: bool = False,
        health: float = HEALTH,
        reply_timeout: float | None = REPLY_TIMEOUT,
        check: Callable[[RedisProtocol], Awaitable[None]] | None = None,
    ) -> None:
        self.pub = pub
        self.patient = patient
        self.up = not patient
        self.closed: ConnectionLost | None = None
        self.renewal: Renewal | None = None
        self._given_reactor = reactor
        self._feeds = FeedCache()
        self.outages = Outages(patient)
        self.health = Health(self, health, reply_timeout) if patient else None
        timeout = None if self.health is None else self.health.reply_timeout
        self.pool = Pool(pub, lambda: self.reactor, endpoint, timeout, check)
        self.subscriber = SharedSubscriber(
            self.pool.connect,
            self.pool.forget,
            lambda: self._feeds.all(Results),
            self._listening_changed,
        )

    @property
    def reactor(self) -> Any:
        """The reactor that the publisher was given, or the one that is installed."""
        if self._given_reactor is None:
            self._given_reactor = current_reactor()
        return self._given_reactor

    @property
    def waiting_gets(self) -> int:
        """How many gets wait for an item, of all feeds."""
        return sum(line.waiting for line in self._feeds.all(Line))

    def _listening_changed(self) -> None:
        if self.health is not None:
            self.health.hears()

    # -- what all objects of a feed share ---------------------------------------------------

    def line(self, kind: str, name: str, make: Callable[[WaitingRoom], Line]) -> Line:
        """Return the line of a feed."""
        return self._feeds.get(Line, (kind, name), lambda: make(self))

    def results(self, name: str, make: Callable[[WaitingRoom], Results]) -> Results:
        """Return the waiters for results of a feed."""
        return self._feeds.get(Results, name, lambda: make(self))

    def claims(self, name: str, make: Callable[[WaitingRoom], Claims]) -> Claims:
        """Return the claims on jobs of a feed."""
        return self._feeds.get(Claims, name, lambda: make(self))

    def timekeeper(self, name: str, make: Callable[[WaitingRoom], Timekeeper]) -> Timekeeper:
        """Return the timekeeper of a feed."""
        return self._feeds.get(Timekeeper, name, lambda: make(self))

    def forgetting(self, name: str, make: Callable[[WaitingRoom], Forgetting]) -> Forgetting:
        """Return the object that deletes old results of a feed."""
        return self._feeds.get(Forgetting, name, lambda: make(self))

    # -- the publisher's own connection -------------------------------------------------------

    def started(self) -> None:
        """Let calls wait again, after :meth:`close`."""
        self.closed = None

    def resume(self) -> None:
        """Repeat unanswered calls on a new connection, and ask again for calls that wait."""
        self.up = True
        self.outages.resume()
        if self.health is not None:
            # What ended the publisher's connection may have silently ended others.
            self.health.check()

    def lost(self) -> None:
        """Rest until :meth:`resume`: the connection of a patient room's publisher is gone.

        No call that waits fails.  Call this before the calls on the connection fail.
        """
        self.up = False

    def move(self, differs: Callable[[RedisProtocol], bool]) -> None:
        """Drop the connections to another server than the publisher's; see :meth:`resume`."""
        self.pool.move(differs)

    def drop(self, error: ConnectionLost) -> None:
        """Fail all calls that wait, and drop the connections."""
        self.outages.drop(error)
        self.subscriber.drop()
        self.pool.drop()
        if self.health is not None:
            self.health.stop()

    async def close(self, error: ConnectionLost | None = None) -> None:
        """Fail all calls that wait, put back the items taken for them, close the connections.

        In a patient room later calls fail as well, until :meth:`started`.

        :param error: the error that the calls fail with.
        """
        error = error or ConnectionLost("the publisher was closed")
        self.closed = error if self.patient else None
        await self.outages.close(error)
        await self.pool.close()
        self.drop(error)
