"""What a publisher has beside its own connection, in order to wait.

Commands that block would hold up everything behind them, so gets wait on connections of
their own (one for each feed, see :mod:`txthoonk.consumers._get_queue`), and results are
waited for on one subscriber (see :mod:`txthoonk.consumers._result_waiters`).

Where a connection is lost, those who wait on a bare publisher fail.  In a *patient* room,
which is that of a service, they go on waiting, until their own time is up: nothing is
sent while the publisher has no connection, and all is asked anew as soon as it has one.
The connections of the room come and go by themselves, and are replaced while somebody
waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union, cast
from weakref import WeakValueDictionary

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    FirstError,
    gatherResults,
    succeed,
)
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txthoonk.connections._hosts import tcp_endpoint
from txthoonk.connections._keepalive import HEALTH, REPLY_TIMEOUT, ping
from txthoonk.consumers._channel_listener import Listening
from txthoonk.consumers._claims import Claims
from txthoonk.consumers._deadlines import Timekeeper
from txthoonk.consumers._get_queue import Line
from txthoonk.consumers._patience import Health
from txthoonk.consumers._result_sub import ResultSub
from txthoonk.consumers._result_trimming import Forgetting
from txthoonk.consumers._result_waiters import Results
from txthoonk.consumers._syncer import Repeated
from txthoonk.errors import (
    AuthenticationError,
    ConnectionError,
    ConnectionLost,
    ResponseError,
    ThoonkError,
    WrongServer,
)
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol._transient import passes, serves

if TYPE_CHECKING:
    from txthoonk.consumers._heartbeat import Renewal
    from txthoonk.consumers._interfaces import Publisher

__all__ = ["WaitingRoom"]

SPARE = 4  # connections that are kept for the next one who waits
TRUSTED = 0.1  # seconds for which one of them need not be checked
SPARE_TIMEOUT = 1.0  # seconds that one of them has to answer: a new one costs little

Connection = TypeVar("Connection", "WaitingConnection", ResultSub)
Answer = TypeVar("Answer")
Key = TypeVar("Key", bound=Hashable)
Shared = TypeVar("Shared", Line, Results, Claims, Timekeeper, Forgetting)
AnyConnection = Union[ResultSub, "WaitingConnection"]


class _Single(Factory):
    """Connects one protocol, of which the log need not tell."""

    noisy = False

    def __init__(self, protocol: AnyConnection) -> None:
        self._protocol: Any = protocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Give the protocol."""
        return self._protocol


class Returning(Protocol):
    """Who works on a publisher's connection."""

    def resume(self) -> None:
        """Go on, on a new connection."""


class WaitingConnection(Redis):
    """A connection for one blocking command at a time.

    :ivar client_id: the server's number of it, for CLIENT UNBLOCK.
    :ivar last_used: when it was given back, in seconds.
    :ivar client_id: the server's number of it, for CLIENT UNBLOCK; 0 where that is forbidden:
        then the command must end by itself.
    """

    client_id = 0
    last_used = 0.0


class WaitingRoom:
    """Further connections to a publisher's Redis, and who waits on them.

    :ivar pub: the publisher.
    :ivar patient: whether those who wait go on waiting when a connection is lost.
    :ivar up: whether calls can be sent; a patient room must be told, by :meth:`resume`
        and :meth:`lost`.
    :ivar closed: why nobody can wait any more; None before :meth:`close`, and on a bare
        publisher, where calls fail by themselves.
    :ivar health: drops connections that have gone silent; None if not patient.

    :param endpoint: where the connections go; a patient room needs one.
    :param health: seconds from one check of a patient room's connections to the next;
        0 for none.
    :param reply_timeout: seconds that a patient room waits for answers that come at once;
        None: 10.
    :param check: looks at the server of each new connection; where that fails, it is dropped.
    """

    def __init__(
        self,
        pub: Publisher,
        reactor: IReactorTime | None,
        endpoint: IStreamClientEndpoint | None,
        *,
        patient: bool = False,
        health: float = HEALTH,
        reply_timeout: float | None = REPLY_TIMEOUT,
        check: Callable[[RedisProtocol], Awaitable[None]] | None = None,
    ) -> None:
        self.pub = pub
        self._check = check
        self.patient = patient
        self.up = not patient
        self.closed: ConnectionLost | None = None
        self.health = Health(self, health, reply_timeout) if patient else None
        self._given_reactor = reactor
        self._given_endpoint = endpoint
        self._open: list[AnyConnection] = []
        self._spare: list[WaitingConnection] = []
        #: Lines and results where somebody waits.
        self.active: set[Line | Results] = set()
        #: Calls that nobody waits for, but that must not be cut off.
        self.under_way: set[Deferred[Any]] = set()
        #: Those that were not answered.
        self.unanswered: set[Repeated] = set()
        #: Who goes on some time later, by itself.
        self.retrying: set[Repeated | Forgetting] = set()
        #: Who listens on the subscriber, beside those who wait for results.
        self.listening: set[Listening] = set()
        #: Who looks at delayed jobs and old claims.
        self.timekeepers: set[Timekeeper] = set()
        #: Who else must be told when there is a connection again.
        self.returning: set[Returning] = set()
        #: Renews the claims of workers, if there are any.
        self.renewal: Renewal | None = None
        #: Those who may have claims that they have not heard of.
        self.doubtful: set[Claims] = set()
        self._lines: WeakValueDictionary[tuple[str, str], Line] = WeakValueDictionary()
        self._results: WeakValueDictionary[str, Results] = WeakValueDictionary()
        self._claims: WeakValueDictionary[str, Claims] = WeakValueDictionary()
        self._timekeepers: WeakValueDictionary[str, Timekeeper] = WeakValueDictionary()
        self._forgetting: WeakValueDictionary[str, Forgetting] = WeakValueDictionary()
        self._subscriber: ResultSub | None = None
        self._connecting: Deferred[ResultSub] | None = None
        self._joining: dict[Deferred[ResultSub], None] = {}

    @property
    def reactor(self) -> Any:
        """The reactor that the publisher was given, or the one that is installed."""
        if self._given_reactor is None:
            from twisted.internet import reactor

            self._given_reactor = cast(IReactorTime, reactor)
        return self._given_reactor

    # -- who waits ----------------------------------------------------------

    def line(self, kind: str, name: str, make: Callable[[WaitingRoom], Line]) -> Line:
        """Give the line of a feed, which all objects of that feed share."""
        return self._shared(self._lines, (kind, name), make)

    def results(self, name: str, make: Callable[[WaitingRoom], Results]) -> Results:
        """Give the results of a feed, which all objects of that feed share."""
        return self._shared(self._results, name, make)

    def claims(self, name: str, make: Callable[[WaitingRoom], Claims]) -> Claims:
        """Give the claims on jobs of a feed, which all objects of that feed share."""
        return self._shared(self._claims, name, make)

    def timekeeper(self, name: str, make: Callable[[WaitingRoom], Timekeeper]) -> Timekeeper:
        """Give the timekeeper of a feed, which all objects of that feed share."""
        return self._shared(self._timekeepers, name, make)

    def forgetting(self, name: str, make: Callable[[WaitingRoom], Forgetting]) -> Forgetting:
        """Give who forgets results of a feed, which all objects of that feed share."""
        return self._shared(self._forgetting, name, make)

    def _shared(
        self,
        made: WeakValueDictionary[Key, Shared],
        key: Key,
        make: Callable[[WaitingRoom], Shared],
    ) -> Shared:
        shared = made.get(key)
        if shared is None:
            shared = made[key] = make(self)
        return shared

    # -- connections ---------------------------------------------------------

    async def borrow(self) -> WaitingConnection:
        """Give a connection to wait on, until it is given back."""
        while self._spare:
            redis = self._spare.pop()
            if redis.usable and redis.db == self.pub.redis.db and await self._is_alive(redis):
                return redis
            self.forget(redis)
        redis = await self._connect(WaitingConnection)
        try:
            redis.client_id = await self._number(redis)
        except BaseException:
            self.forget(redis)
            raise
        return redis

    async def _is_alive(self, redis: WaitingConnection) -> bool:
        """Tell whether a spare connection still answers: a NAT may have forgotten it."""
        if 0 <= self.reactor.seconds() - redis.last_used < TRUSTED:
            return True
        try:
            await ping(redis, SPARE_TIMEOUT, self.reactor)
        except ResponseError as error:
            return serves(error)
        except ThoonkError:
            return False
        except BaseException:  # cancelled
            self.forget(redis)
            raise
        return True

    async def _number(self, redis: WaitingConnection) -> int:
        """Ask for a connection's number, and whether its wait may be ended by that."""
        words: tuple[tuple[str | int, ...], ...] = (("CLIENT", "ID"), ("CLIENT", "UNBLOCK", 0))
        asked = [redis.request(command, TEXT) for command in words]
        try:
            number, _ = await self._in_time(gatherResults(asked, consumeErrors=True))
        except FirstError as first:
            error = cast(BaseException, first.subFailure.value)
            if passes(error) or isinstance(error, AuthenticationError):
                raise error from None
            return 0
        return cast(int, number)

    def give_back(self, redis: WaitingConnection) -> None:
        """Take back a connection on which nobody waits any more."""
        redis.last_used = self.reactor.seconds()
        if len(self._spare) < SPARE:
            self._spare.append(redis)
        else:
            self.forget(redis)

    async def _connect(self, make: Callable[..., Connection]) -> Connection:
        """Open a connection with the credentials of the publisher's own one.

        :param make: gets the credentials.
        """
        redis = self.pub.redis
        made = make(db=redis.db, password=redis.password, username=redis.username)
        try:
            await self._in_time(self._endpoint().connect(_Single(made)))
        except (CancelledError, ThoonkError):
            raise
        except Exception as error:
            raise ConnectionLost(f"no connection to wait on: {error}") from error
        self._open.append(made)
        if self._check is not None:
            try:
                await self._check(_redis_of(made))
            except BaseException:
                self.forget(made)
                raise
        return made

    def _in_time(self, answer: Deferred[Answer]) -> Deferred[Answer]:
        """Let a patient room not wait for ever for a connection that is none."""
        if self.health is not None:

            def silent(_: object, seconds: float) -> None:
                raise ConnectionLost(f"no connection to wait on: no reply for {seconds:g} seconds")

            answer.addTimeout(self.health.reply_timeout, self.reactor, silent)
        return answer

    def forget(self, connection: AnyConnection) -> None:
        """Drop a connection that is of no use any more."""
        if connection in self._open:
            self._open.remove(connection)
            _redis_of(connection).abort()

    def move(self, differs: Callable[[RedisProtocol], bool]) -> None:
        """Drop the connections to another server than the publisher's; see :meth:`resume`.

        :param differs: tells which ones these are.
        """
        for connection in list(self._open):
            redis = _redis_of(connection)
            if differs(redis):
                if isinstance(connection, WaitingConnection):
                    connection.client_id = 0  # at the present server that is somebody else
                redis.abort(WrongServer("the publisher's connection leads elsewhere"))
        for redis in [redis for redis in self._spare if differs(redis)]:
            self._spare.remove(redis)
            self.forget(redis)

    def _endpoint(self) -> IStreamClientEndpoint:
        if self._given_endpoint is not None:
            return self._given_endpoint
        transport = cast(Redis, self.pub.redis).transport
        if transport is None:
            raise ConnectionLost("not connected to Redis yet")
        if ISSLTransport.providedBy(transport):
            raise ConnectionError(
                "waiting needs a connection of its own, and this one is encrypted: "
                "give the publisher's factory the endpoint to connect to (endpoint=...)"
            )
        peer: Any = transport.getPeer()
        if isinstance(peer, UNIXAddress):
            return UNIXClientEndpoint(self.reactor, peer.name)
        return tcp_endpoint(self.reactor, peer.host, peer.port)

    @property
    def present_subscriber(self) -> RedisSubscriber | None:
        """The connection of the subscriber, if there is one."""
        return None if self._subscriber is None else self._subscriber.redis

    def subscriber(self) -> Deferred[ResultSub]:
        """Give the subscriber that all results of the publisher share, once connected."""
        if self._subscriber is not None:
            return succeed(self._subscriber)
        joining: Deferred[ResultSub] = Deferred(self._leave_subscriber)
        self._joining[joining] = None
        if self._connecting is None:
            connecting = self._connecting = Deferred.fromCoroutine(
                self._connect(self._make_subscriber)
            )
            connecting.addBoth(self._connected, connecting)
        return joining

    def _connected(self, sub: ResultSub | Failure, connecting: Deferred[ResultSub]) -> None:
        """Tell all who join, one after the other, what came of the attempt."""
        if self._connecting is not connecting:  # nobody joins any more
            if not isinstance(sub, Failure):
                self.forget(sub)
            return
        self._connecting = None
        if not isinstance(sub, Failure):
            self._subscriber = sub
        joining, self._joining = self._joining, {}
        for one in joining:
            if one.called:  # cancelled by one that was told before it
                continue
            if isinstance(sub, Failure):
                one.errback(Failure(sub.value))
            else:
                one.callback(sub)

    def _leave_subscriber(self, joining: Deferred[ResultSub]) -> None:
        self._joining.pop(joining, None)
        if not self._joining and self._connecting is not None:
            connecting, self._connecting = self._connecting, None
            connecting.cancel()

    def _make_subscriber(self, **credentials: Any) -> ResultSub:
        return ResultSub(RedisSubscriber(**credentials), self._subscriber_lost)

    def _subscriber_lost(self, sub: ResultSub, error: ConnectionLost) -> None:
        self.forget(sub)
        if self._subscriber is sub:
            self._subscriber = None
            for listening in list(self.listening):
                listening.lost(error)
            for results in list(self._results.values()):
                if self.patient:
                    results.listen_again(Failure(error))
                else:
                    results.drop(error)

    # -- the publisher's own connection -------------------------------------

    def started(self) -> None:
        """Let gets wait again, after :meth:`close`."""
        self.closed = None

    def resume(self) -> None:
        """Say on a new connection what was not answered on the one before."""
        self.up = True
        unanswered, self.unanswered = self.unanswered, set()
        for calls in unanswered:
            calls.send()
        for claims in list(self.doubtful):
            claims.recover()
        for one in [*self.timekeepers, *self.returning]:
            one.resume()
        if self.health is not None:
            self._take_up(self.health)

    def _take_up(self, health: Health) -> None:
        for one in list(self.active):
            one.resume()
        # What has ended the publisher's connection may have ended others, silently.
        health.check()

    def lost(self) -> None:
        """Rest until :meth:`resume`: the connection of a patient room's publisher is gone.

        Nobody who waits is failed.  To be called before the calls on it fail.
        """
        self.up = False

    def drop(self, error: ConnectionLost) -> None:
        """Fail all who wait, and drop the connections."""
        active, self.active = self.active, set()
        for one in active:
            one.drop(error)
        for keeper in list(self.timekeepers):
            keeper.rest()
        for calls in list(self.retrying):
            calls.rest()
        self._subscriber = None
        self._spare.clear()
        while self._open:
            self.forget(self._open[-1])
        if self.health is not None:
            self.health.stop()

    async def close(self, error: ConnectionLost | None = None) -> None:
        """Fail all who wait, give back what was taken for them, close the connections.

        In a patient room later ones fail as well, until :meth:`started`.

        :param error: what they fail with.
        """
        error = error or ConnectionLost("the publisher was closed")
        self.closed = error if self.patient else None
        for ended in [one.close(error) for one in list(self.active)]:
            await ended
        for answered in list(self.under_way):
            await answered
        for closed in [connection.close() for connection in list(self._open)]:
            await closed
        self.drop(error)


def _redis_of(connection: AnyConnection) -> RedisProtocol:
    return connection.redis if isinstance(connection, ResultSub) else connection
