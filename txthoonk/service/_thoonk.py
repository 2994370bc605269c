"""The front door: one object for everything, which keeps its connections up."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any, cast

import attr
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    TimeoutError,
    fail,
    maybeDeferred,
)
from twisted.internet.interfaces import IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk._support._clock import keep_steady
from txthoonk._support._deferreds import also, deferring
from txthoonk._support._restartable import StoppingService
from txthoonk._support._threads import check_thread
from txthoonk.channels._dispatcher import Handler
from txthoonk.channels._subscriber import check_handler
from txthoonk.client._registry import Publishing
from txthoonk.client._subscriber import ThoonkSub
from txthoonk.connections._keepalive import HEALTH, PONG_TIMEOUT, REPLY_TIMEOUT, text_of
from txthoonk.connections._offline_queue import SteadyRedis
from txthoonk.connections._reconnecting import Connection, back_off
from txthoonk.connections._servers import Servers
from txthoonk.connections._url import Target, parse_url
from txthoonk.consumers._pool import WaitingRoom
from txthoonk.embedded._server import RedisServer
from txthoonk.errors import (
    ClusterNotSupported,
    ConnectionLost,
    InvalidInput,
    NotSent,
    ResponseError,
    ThoonkError,
    WrongServer,
    shown,
)
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.protocol._transient import passes
from txthoonk.subscriptions import LIMIT, EventHandler, Subscription
from txthoonk.subscriptions._mirror import Mirror, follow
from txthoonk.types._base import BaseFeed
from txthoonk.wire._checks import check_seconds

__all__ = ["StateChanged", "Thoonk"]

CHECK_INTERVAL = 25.0  # seconds between two comparisons of all positions with the server
STOPPED_AT_ONCE = 100  # subscriptions in one turn of the reactor
DRAIN_TIMEOUT = 5.0  # seconds that stopping gives the calls under way

#: Gets the new state (``connecting``, ``connected``, ``disconnected``, ``stopping`` or
#: ``stopped``), and the reason, if there is one.
StateChanged = Callable[[str, "BaseException | None"], object]


@implementer(IStreamClientEndpoint)
class _Embedded:
    """Connects to a private server, which is started if it does not run."""

    def __init__(self, server: RedisServer, target: Target, reactor: Any) -> None:
        self._server = server
        self._target = target
        self._reactor = reactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        await self._server.start()
        target = attr.evolve(parse_url(self._server.url), db=self._target.db)
        return await target.endpoint(self._reactor).connect(factory)


def _is_final(error: Exception) -> bool:
    """Tell whether Redis has said that it will not let us in."""
    return isinstance(error, (ResponseError, ClusterNotSupported)) and not passes(error)


def _check_options(wait: float, limit: int, health: float, reply_timeout: float | None) -> None:
    check_seconds(wait, "wait")
    check_seconds(health, "health")
    if reply_timeout is not None and check_seconds(reply_timeout, "reply_timeout") == 0:
        raise InvalidInput("reply_timeout must be above 0, or None for no limit")
    if type(limit) is not int or limit < 0:
        raise InvalidInput(f"limit must be a whole number from 0: {shown(limit)}")


class _Reader:
    """How subscriptions read; see :class:`txthoonk.subscriptions._interfaces.Reader`."""

    def __init__(self, thoonk: Thoonk) -> None:
        self.redis: Redis = thoonk.redis
        self.mark_channel = thoonk._sub._sources.mark_channel
        self.mark = thoonk._sub._sources.mark
        self._thoonk = thoonk

    def hears(self) -> bool:
        return self._thoonk._subscriber.answers

    def available(self) -> Deferred[Any]:
        return self._thoonk._publisher.when_connected()

    def seconds(self) -> float:
        return float(self._thoonk._reactor.seconds())

    def later(self, seconds: float) -> Deferred[Any]:
        return deferLater(self._thoonk._reactor, seconds)

    def ping(self) -> Deferred[Any]:
        return self._thoonk._sub.redis.send("PING")


class Thoonk(Publishing, StoppingService):
    """Feeds, and subscriptions to them, on connections that come back.

    It is an :class:`~twisted.application.service.IService`: give it a parent, or start
    it; in a script ``await thoonk.connect()``, and ``await thoonk.close()`` at the end.

    While there is no connection, calls wait for one, in their order; what was sent and not
    answered fails with :class:`~txthoonk.errors.ConnectionLost`, because nobody knows
    whether it was done.  Waiting ``get`` calls go on waiting.  Subscriptions are taken up
    again, and miss nothing or say so.

    :ivar redis: the commands of Redis, sent on whichever connection there is.
    :ivar state: ``connecting``, ``connected``, ``disconnected``, ``stopping`` or
        ``stopped``.
    """

    _log = Logger()

    def __init__(
        self,
        url: str,
        reactor: IReactorTime | None = None,
        *,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        wait: float = 10.0,
        limit: int = 10_000,
        health: float = HEALTH,
        reply_timeout: float | None = REPLY_TIMEOUT,
        retry_policy: Callable[[int], float] | None = None,
        state_changed: StateChanged | None = None,
    ) -> None:
        """Make the object; nothing is connected yet.

        :param url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` (the same
            over TLS, verified), ``unix:///path?db=0``, the string of a Twisted client
            endpoint, or ``embedded:`` or ``embedded:/folder`` for a private server.
        :param reactor: for timeouts and connections; None: the one that is installed.
        :param db: the database, where the URL names none.
        :param username: the user, where the URL names none.
        :param password: the password, where the URL has none.
        :param ca_file: the certificates of those who may vouch for the server of a
            ``rediss://`` URL; None: whom the system trusts.
        :param wait: seconds that a call may wait for a connection; 0: it fails at once.
        :param limit: how many calls may wait.
        :param health: seconds from one PING on an idle connection to the next; 0: none.
        :param reply_timeout: seconds that a connection may be silent while an answer is
            waited for; after that, or half of it more, it is given up.  None: for ever (but
            10 s for a PING).  A connection that leads nowhere is noticed within both times
            together: 15 seconds by default.
        :param retry_policy: gives the seconds to wait before an attempt to connect, from
            how many have failed in a row; None: from 0.1 s, doubling, to 30 s, half of it
            by chance.
        :param state_changed: is called with each new state, and its reason or None.
        :raises InvalidInput: for a bad URL or option; it shows no password.
        """
        self._target = parse_url(url, db=db, username=username, password=password, ca_file=ca_file)
        _check_options(wait, limit, health, reply_timeout)
        if reactor is None:
            from twisted.internet import reactor as installed

            reactor = cast(IReactorTime, installed)
        self._reactor: Any = reactor
        self._wait = wait
        self._uuid = uuid.uuid4().hex
        self._feedtypes = set()
        #: Are called with each new state, and its reason or None.
        self._state_observers = [] if state_changed is None else [state_changed]
        self.state = "stopped"
        self._server: RedisServer | None = None
        endpoint = self._make_endpoint()
        options: Any = {"health": health, "reply_timeout": reply_timeout}
        self._steady = self.redis = SteadyRedis(
            reactor=reactor, name=self._target.text, wait=wait, limit=limit, **self._credentials
        )
        self._servers = Servers(
            reactor, self._target.text, reply_timeout or PONG_TIMEOUT, self._leave
        )
        self.waiting_room = WaitingRoom(
            self, reactor, endpoint, patient=True, check=self._servers.check, **options
        )
        self._refuse_calls()
        self._sub = ThoonkSub(RedisSubscriber(**self._credentials))
        options |= {
            "reactor": reactor,
            "name": self._target.text,
            "policy": retry_policy or self._back_off,
        }
        self._publisher: Connection[Redis] = Connection(
            endpoint,
            lambda: Redis(**self._present_credentials()),
            up=self._publisher_up,
            down=self._publisher_down,
            attempt_failed=self._attempt_failed,
            check=self._servers.check_publisher,
            **options,
        )
        self._subscriber: Connection[RedisSubscriber] = Connection(
            endpoint,
            lambda: RedisSubscriber(**self._present_credentials()),
            up=self._subscriber_up,
            down=self._subscriber_down,
            attempt_failed=self._attempt_failed,
            check=self._servers.check,
            **options,
        )
        self._sub._sources.reader = _Reader(self)
        self._checking = self._sub._sources.checking(reactor)
        self._subscriptions: dict[Subscription, None] = {}
        self._subscribing: set[Deferred[Subscription]] = set()
        self._services = set()
        self._up = {"publisher": False, "subscriber": False}
        self._refusable: list[Deferred[Any]] = []
        self._refusal: Exception | None = None

    def __repr__(self) -> str:
        return f"<Thoonk {self._target.text!r} {self.state}>"

    @property
    def url(self) -> str:
        """Where others find this Redis, without the password.

        That of a private server is known once it has been started; before that it is the
        URL that was given.
        """
        if self._server is None or not self._server.is_up:
            return self._target.text
        return self._server.url

    @property
    def _credentials(self) -> dict[str, Any]:
        return self._target.credentials

    def _present_credentials(self) -> dict[str, Any]:
        """Give what is chosen by now: see ``select()`` and ``auth()`` of :attr:`redis`."""
        steady = self._steady
        return {"db": steady.db, "username": steady.username, "password": steady.password}

    def _make_endpoint(self) -> IStreamClientEndpoint:
        if not self._target.embedded:
            return self._target.endpoint(self._reactor)
        self._server = RedisServer(self._target.path or None, reactor=self._reactor)
        self._server.stops_with_reactor = False
        return _Embedded(self._server, self._target, self._reactor)

    def _back_off(self, attempt: int) -> float:
        """Give the seconds before an attempt: fewer while claims wait to be renewed."""
        renewal = self.waiting_room.renewal
        wait = back_off(attempt)
        return wait if renewal is None else min(wait, renewal.longest_rest())

    def _not_running(self) -> ConnectionLost:
        return ConnectionLost(
            f"the service for {self._target.text} does not run: start it, or call connect()"
        )

    # -- the service ------------------------------------------------------------------

    def startService(self) -> None:
        """Connect, and from now on connect again whenever a connection is lost."""
        super().startService()

    def _begin(self) -> None:
        keep_steady(self._reactor)
        self._steady.started()
        self._steady.disconnected(ConnectionLost("not connected yet"))
        self.waiting_room.started()
        for connection in (self._publisher, self._subscriber):
            connection.last_error = None
            connection.start()
        self._checking.start(CHECK_INTERVAL, now=False)
        self._enter("connecting")  # the last, for it may stop us

    def stopService(self) -> Deferred[None]:
        """Stop: calls under way get 5 seconds for their answers, then all is closed.

        Workers on it are stopped before, each with its grace time.

        Subscriptions end, and mirrors stay as they are; handlers are kept for the next
        start. Gets that wait fail with
        :class:`~txthoonk.errors.ConnectionLost`, having taken nothing.  A private server
        is stopped.

        :return: fires None once all is closed; never fails.
        """
        return super().stopService()

    async def _end(self) -> None:
        self._enter("stopping")
        error = ConnectionLost(f"the service for {self._target.text} was stopped")
        if self._checking.running:
            self._checking.stop()
        for count, subscription in enumerate(list(self._subscriptions), start=1):
            subscription.stop()
            if not count % STOPPED_AT_ONCE:
                await deferLater(self._reactor, 0)
        while self._subscribing:
            self._subscribing.pop().cancel()
        for stopped in [maybeDeferred(service.stopService) for service in self._services.copy()]:
            with self._log.failuresHandled("error while stopping"):
                await stopped
        await self._finish(error)
        closed = [self._publisher.stop(), self._subscriber.stop()]
        for one in closed:
            await one
        self._refuse_calls()
        if self._server is not None:
            await self._server.stop()
        self._enter("stopped")

    def _refuse_calls(self) -> None:
        self._steady.stopped(self._not_running())
        self.waiting_room.closed = self._not_running()

    async def _finish(self, error: ConnectionLost) -> None:
        """Give what is under way its time to end."""
        ended = Deferred.fromCoroutine(self._drain(error))
        # Nothing here may keep the other parts from being stopped.
        with self._log.failuresHandled("error while stopping"):
            try:
                await ended.addTimeout(DRAIN_TIMEOUT, self._reactor)
            except (ThoonkError, TimeoutError) as why:
                self._log.debug("not all was answered before the end: {why}", why=text_of(why))
        self.waiting_room.drop(error)

    async def _drain(self, error: ConnectionLost) -> None:
        """Wait for the answers that are under way."""
        await self.waiting_room.close(error)
        if self._steady.usable:
            await self._steady.request((b"PING",))

    def connect(self, timeout: float | None = None) -> Deferred[Thoonk]:
        """Start the service, if it is not running, and wait until it is connected.

        :param timeout: seconds to wait; None: as long as calls wait, 10 at least.
        :return: fires this object; fails, and the service is stopped again, with
            :class:`~txthoonk.errors.AuthenticationError` if Redis refuses the
            credentials, with another :class:`~txthoonk.errors.ResponseError` if it does not
            let us in for another reason, such as a database that there is not, and with
            :class:`~txthoonk.errors.ConnectionLost` after *timeout*, with the reason.
            Cancelling it stops the service.
        """
        check_thread()
        return Deferred.fromCoroutine(self._connect(timeout))

    async def _connect(self, timeout: float | None) -> Thoonk:
        seconds = max(self._wait, 10.0) if timeout is None else check_seconds(timeout, "timeout")
        self.startService()
        waiting = Deferred.fromCoroutine(self._when_connected(refusable=True))

        def late(_: object, __: float) -> Thoonk:
            raise ConnectionLost(
                f"no connection to {self._target.text} within {seconds:g} seconds: {self._why()}"
            )

        try:
            return await waiting.addTimeout(seconds, self._reactor, late)
        except (ThoonkError, CancelledError):
            await self.stopService()
            raise

    def close(self) -> Deferred[None]:
        """Stop the service; see :meth:`stopService`."""
        return self.stopService()

    def whenConnected(self) -> Deferred[Thoonk]:
        """Wait until all connections are up.

        :return: fires this object; fails with
            :class:`~txthoonk.errors.ConnectionLost` if the service does not run, or is
            stopped before.
        """
        check_thread()
        if not self.running:
            return fail(self._not_running())
        return Deferred.fromCoroutine(self._when_connected(refusable=False))

    async def _when_connected(self, refusable: bool) -> Thoonk:
        """Wait until all connections are up.

        :param refusable: whether to give up as soon as Redis refuses to let us in.
        """
        await self._settled()
        # The first may have been lost while we waited for the second.
        for connection in (self._publisher, self._subscriber, self._publisher):
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
        return self

    async def _settled(self) -> None:
        """Wait until the service is started, where it is being stopped before that."""
        if self._stopping is not None:
            await also(self._stopping)
        if not self.running:
            raise self._not_running()

    def _why(self) -> str:
        """Tell why a connection is missing."""
        connections: list[Connection[Any]] = [self._publisher, self._subscriber]
        for connection, up in zip(connections, self._up.values(), strict=True):
            if connection.last_error is not None and not up:
                return text_of(connection.last_error)
        return "it does not answer"

    # -- the connections ----------------------------------------------------------------

    def _leave(self, error: WrongServer) -> None:
        self._publisher.leave(error)

    def _publisher_up(self, redis: Redis) -> None:
        self._servers.came(redis)
        if self._up["subscriber"] and self._servers.differs(self._sub.redis):
            self._subscriber.leave(WrongServer("the publisher's connection leads elsewhere"))
        self.waiting_room.move(self._servers.differs)
        self._steady.connected(redis)
        self.waiting_room.resume()
        self._is_up("publisher")

    def _publisher_down(self, error: ConnectionLost) -> None:
        self._servers.went()
        self._steady.disconnected(error)
        self.waiting_room.lost()
        self._is_down("publisher", error)

    def _subscriber_up(self, redis: RedisSubscriber) -> None:
        self._sub.set_redis(redis)
        self._sub._dispatcher.connected(redis)
        self._is_up("subscriber")

    def _subscriber_down(self, error: ConnectionLost) -> None:
        self._sub._dispatcher.disconnected(error)
        self._is_down("subscriber", error)

    def _attempt_failed(self, error: Exception) -> None:
        if not self._up["publisher"]:
            self._steady.disconnected(error)
        if _is_final(error):
            self._refusal = error
            refusable, self._refusable = self._refusable, []
            for waiting in refusable:
                waiting.cancel()

    def _is_up(self, which: str) -> None:
        self._up[which] = True
        if all(self._up.values()) and self.running:
            self._enter("connected")

    def _is_down(self, which: str, error: ConnectionLost) -> None:
        self._up[which] = False
        if self.state == "connected":
            self._enter("disconnected", error)

    def _enter(self, state: str, reason: BaseException | None = None) -> None:
        self.state = state
        for observer in list(self._state_observers):
            with self._log.failuresHandled("error in state_changed"):
                observer(state, reason)

    # -- the subscriber's table -----------------------------------------------------------

    @deferring
    def register_handler(self, event: str, handler: Handler) -> Deferred[int]:
        """Call *handler* for every message of a channel, from the confirmation on.

        What is published while there is no connection is missed: see :meth:`subscribe`
        for events that are not.

        :param event: see :meth:`txthoonk.client.ThoonkSub.register_handler`.
        :param handler: see there.
        :return: fires the handler's id; fails as there, and with
            :class:`~txthoonk.errors.NotSent` if there is no connection for too long.
        """
        check_handler(event, handler)
        return self._when_subscriber(lambda: self._sub.register_handler(event, handler))

    def remove_handler(self, id_: int) -> None:
        """Remove a handler; the last one of a channel unsubscribes.

        :param id_: what :meth:`register_handler` fired; an unknown one is ignored.
        """
        self._sub.remove_handler(id_)

    @deferring
    def subscribe(
        self,
        feed: BaseFeed | str,
        handler: EventHandler | None = None,
        since: int | str | None = None,
        snapshot: bool = False,
        limit: int = LIMIT,
    ) -> Deferred[Subscription]:
        """Subscribe to the events of one feed, which need not exist yet.

        Of a feed with a history nothing is missed, whatever happens to the connection;
        where something may be missing, a ``resync`` says so.  See
        ``docs/subscriptions.rst``.

        :param feed: see :meth:`txthoonk.client.ThoonkSub.subscribe`, and for the others.
        :return: fires a :class:`~txthoonk.subscriptions.Subscription`; fails as there, and
            with :class:`~txthoonk.errors.NotSent` if there is no connection for too long.
        """
        return self._subscribed(self._sub._to_subscribe(feed, handler, since, snapshot, limit))

    @deferring
    def subscribe_pattern(
        self,
        pattern: str,
        handler: EventHandler | None = None,
        snapshot: bool = False,
        limit: int = LIMIT,
    ) -> Deferred[Subscription]:
        """Subscribe to the events of all feeds whose names match, now or later.

        :param pattern: see :meth:`txthoonk.client.ThoonkSub.subscribe_pattern`, and for
            the others.
        :return: see :meth:`subscribe`.
        """
        return self._subscribed(self._sub._to_subscribe_pattern(pattern, handler, snapshot, limit))

    @deferring
    def mirror(self, feed: BaseFeed | str) -> Deferred[Mirror]:
        """Keep a copy of a feed here.

        :param feed: a feed or a sorted feed, or its name.
        :return: fires a :class:`~txthoonk.mirror.Mirror` that has the feed's items; fails
            like :meth:`subscribe`.
        """
        return follow(self, feed)

    def _subscribed(
        self, subscribe: Callable[[], Deferred[Subscription]]
    ) -> Deferred[Subscription]:
        subscribed = self._when_subscriber(subscribe)
        self._subscribing.add(subscribed)

        def made(result: Subscription | Failure) -> Subscription | Failure:
            ours = subscribed in self._subscribing
            self._subscribing.discard(subscribed)
            if isinstance(result, Subscription):
                return self._remember(result)
            # Whoever stops the service cancels it, but then it is not the user who did.
            if not ours and result.check(CancelledError):
                raise ConnectionLost(f"the service for {self._target.text} was stopped")
            return result

        return subscribed.addBoth(made)

    def _remember(self, subscription: Subscription) -> Subscription:
        end = subscription._end

        def forget() -> None:
            self._subscriptions.pop(subscription, None)
            end()

        if not subscription.stopped:
            self._subscriptions[subscription] = None
            subscription._end = forget
        return subscription

    def _when_subscriber(self, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Make a call as soon as the subscriber is connected."""
        if not self.running:
            return fail(self._not_running())
        if self._up["subscriber"] and self._stopping is None:
            return call()
        waiting = Deferred.fromCoroutine(self._until_subscriber())

        def late(_: object, seconds: float) -> None:
            raise NotSent(
                f"waited {seconds:g} seconds for a connection to {self._target.text}: "
                f"{self._why()}"
            )

        return waiting.addTimeout(self._wait, self._reactor, late).addCallback(lambda _: call())

    async def _until_subscriber(self) -> None:
        await self._settled()
        await self._subscriber.when_connected()
