"""The service: one object for everything, which keeps its connections up."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    TimeoutError,
    fail,
    maybeDeferred,
)
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._clock import keep_steady
from txthoonk._support._deferreds import also, deferring
from txthoonk._support._reactor import current_reactor
from txthoonk._support._restartable import StoppingService
from txthoonk._support._threads import check_thread
from txthoonk.channels._dispatcher import Dispatcher, Handler
from txthoonk.channels._subscriber import ChannelSubscriber, check_handler
from txthoonk.client._registry import Publishing
from txthoonk.client._subscription_maker import SubscriptionMaker
from txthoonk.connections._keepalive import HEALTH, PONG_TIMEOUT, REPLY_TIMEOUT, text_of
from txthoonk.connections._offline_queue import OfflineQueue
from txthoonk.connections._servers import Servers
from txthoonk.connections.addresses._url import parse_url
from txthoonk.consumers._room import WaitingRoom
from txthoonk.embedded._server import RedisServer
from txthoonk.errors import (
    ConnectionLost,
    InvalidInput,
    NotSent,
    ThoonkError,
    WrongServer,
    shown,
)
from txthoonk.protocol import RedisSubscriber
from txthoonk.service._connections import Connections
from txthoonk.service._embedded import EmbeddedEndpoint
from txthoonk.service._reader import ServiceReader
from txthoonk.service._subscribing import Subscribing
from txthoonk.subscriptions import LIMIT, EventHandler, Subscription
from txthoonk.subscriptions._mirror import Mirror, follow
from txthoonk.types._base import BaseFeed
from txthoonk.wire._checks import check_seconds

__all__ = ["StateChanged", "Thoonk"]

CHECK_INTERVAL = 25.0  # seconds between two comparisons of all positions with the server
DRAIN_TIMEOUT = 5.0  # seconds that stopping gives the calls under way

#: Is called with the new state (``connecting``, ``connected``, ``disconnected``, ``stopping`` or
#: ``stopped``), and with the reason, or None.
StateChanged = Callable[[str, "BaseException | None"], object]


def _check_options(wait: float, limit: int, health: float, reply_timeout: float | None) -> None:
    check_seconds(wait, "wait")
    check_seconds(health, "health")
    if reply_timeout is not None and check_seconds(reply_timeout, "reply_timeout") == 0:
        raise InvalidInput("reply_timeout must be above 0, or None for no limit")
    if type(limit) is not int or limit < 0:
        raise InvalidInput(f"limit must be a whole number from 0: {shown(limit)}")


class Thoonk(Publishing, StoppingService):
    """Feeds, and subscriptions to them, on connections that reconnect.

    It is an :class:`~twisted.application.service.IService`: give it a parent, or start it. In a
    script, ``await thoonk.connect()``, and ``await thoonk.close()`` at the end.

    While there is no connection, calls wait for one, in order. A call that was sent and got no
    reply fails with :class:`~txthoonk.errors.ConnectionLost`, because it may or may not have
    been carried out. Waiting ``get`` calls keep waiting. Subscriptions resume, and deliver a
    ``resync`` if they may have missed anything.

    :ivar redis: sends the commands of Redis on the present connection.
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
        :param db: the database, if the URL names none.
        :param username: the user, if the URL names none.
        :param password: the password, if the URL has none.
        :param ca_file: a file with the certificates of the authorities to accept for a
            ``rediss://`` URL; None: those that the system trusts.
        :param wait: seconds that a call may wait for a connection; 0: it fails at once.
        :param limit: how many calls may wait.
        :param health: seconds between two PINGs on an idle connection; 0: none.
        :param reply_timeout: seconds that a connection may be silent while a call waits for its
            reply; after that, or half of it more, it is dropped. None: no limit (10 s for a
            PING). A connection to a peer that has vanished is noticed within both times
            together: 15 seconds by default.
        :param retry_policy: is called with how many attempts to connect have failed in a row,
            and returns the seconds before the next one; None: 0.1 s, doubling, up to 30 s, half
            of it random.
        :param state_changed: is called with each new state, and its reason or None.
        :raises InvalidInput: for a bad URL or option. The error does not show the password.
        """
        self._target = parse_url(url, db=db, username=username, password=password, ca_file=ca_file)
        _check_options(wait, limit, health, reply_timeout)
        if reactor is None:
            reactor = current_reactor()
        self._reactor: Any = reactor
        self._wait = wait
        self.uuid = uuid.uuid4().hex
        self._feedtypes = set()
        #: Functions to call with each new state, and its reason or None.
        self._state_observers = [] if state_changed is None else [state_changed]
        self.state = "stopped"
        self._server: RedisServer | None = None
        endpoint = self._make_endpoint()
        options: Any = {"health": health, "reply_timeout": reply_timeout}
        self.redis: OfflineQueue = OfflineQueue(
            reactor=reactor, name=self._target.text, wait=wait, limit=limit, **self._credentials
        )
        self._servers = Servers(
            reactor, self._target.text, reply_timeout or PONG_TIMEOUT, self._leave
        )
        self.waiting_room = WaitingRoom(
            self, reactor, endpoint, patient=True, check=self._servers.check, **options
        )
        self._refuse_calls()
        dispatcher = Dispatcher()
        self._sub = ChannelSubscriber(RedisSubscriber(**self._credentials), dispatcher)
        self._connections = Connections(
            endpoint,
            self._servers,
            self.redis,
            self.waiting_room,
            self._sub,
            dispatcher,
            all_up=self._all_up,
            one_down=self._one_down,
            policy=retry_policy,
            reactor=reactor,
            name=self._target.text,
            **options,
        )
        self._subscriptions = SubscriptionMaker(
            dispatcher, self.uuid, lambda: self._sub.redis.send("PING")
        )
        sources = self._sources = self._subscriptions.sources
        sources.reader = ServiceReader(self.redis, self._connections, sources, reactor)
        self._checking = sources.checking(reactor)
        self._subscribing = Subscribing(self._target.text, reactor)
        self._services = set()

    def __repr__(self) -> str:
        return f"<Thoonk {self._target.text!r} {self.state}>"

    @property
    def url(self) -> str:
        """The URL of this Redis, for other programs, without the password.

        The URL of a private server is known once it has started. Before that, it is the URL that
        you have passed.
        """
        if self._server is None or not self._server.is_up:
            return self._target.text
        return self._server.url

    @property
    def subscriptions(self) -> Collection[Subscription]:
        """The subscriptions that have not ended."""
        return self._subscribing.made

    def add_state_observer(self, observer: StateChanged) -> None:
        """Call *observer* with each new state, and its reason or None."""
        self._state_observers.append(observer)

    def remove_state_observer(self, observer: StateChanged) -> None:
        """Do not call *observer* any more."""
        self._state_observers.remove(observer)

    @property
    def _credentials(self) -> dict[str, Any]:
        return self._target.credentials

    def _make_endpoint(self) -> IStreamClientEndpoint:
        if not self._target.embedded:
            return self._target.endpoint(self._reactor)
        self._server = RedisServer(self._target.path or None, reactor=self._reactor)
        self._server.stops_with_reactor = False
        return EmbeddedEndpoint(self._server, self._target, self._reactor)

    def _not_running(self) -> ConnectionLost:
        return ConnectionLost(
            f"the service for {self._target.text} does not run: start it, or call connect()"
        )

    # -- the service ------------------------------------------------------------------

    def startService(self) -> None:
        """Connect, and reconnect whenever a connection is lost."""
        super().startService()

    def _begin(self) -> None:
        keep_steady(self._reactor)
        self.redis.started()
        self.waiting_room.started()
        self._connections.start()
        self._checking.start(CHECK_INTERVAL, now=False)
        self._enter("connecting")  # last, because an observer may stop us

    def stopService(self) -> Deferred[None]:
        """Stop: calls under way have 5 seconds for their replies, then everything closes.

        Workers on it stop first, each with its grace time.

        Subscriptions end, and mirrors stay as they are. Handlers are kept for the next start.
        Waiting ``get`` calls fail with :class:`~txthoonk.errors.ConnectionLost`, and have taken
        nothing. A private server is stopped.

        :return: fires None once everything is closed; never fails.
        """
        return super().stopService()

    async def _end(self) -> None:
        self._enter("stopping")
        error = ConnectionLost(f"the service for {self._target.text} was stopped")
        if self._checking.running:
            self._checking.stop()
        await self._subscribing.stop()
        for stopped in [maybeDeferred(service.stopService) for service in self._services.copy()]:
            with self._log.failuresHandled("error while stopping"):
                await stopped
        await self._finish(error)
        await self._connections.stop()
        self._refuse_calls()
        if self._server is not None:
            await self._server.stop()
        self._enter("stopped")

    def _refuse_calls(self) -> None:
        self.redis.stopped(self._not_running())
        self.waiting_room.closed = self._not_running()

    async def _finish(self, error: ConnectionLost) -> None:
        """Let calls under way end, for a while."""
        ended = Deferred.fromCoroutine(self._drain(error))
        # No error here may keep the other parts from stopping.
        with self._log.failuresHandled("error while stopping"):
            try:
                await ended.addTimeout(DRAIN_TIMEOUT, self._reactor)
            except (ThoonkError, TimeoutError) as why:
                self._log.debug("some calls got no reply before the end: {why}", why=text_of(why))
        self.waiting_room.drop(error)

    async def _drain(self, error: ConnectionLost) -> None:
        """Wait for the replies that are under way."""
        await self.waiting_room.close(error)
        if self.redis.usable:
            await self.redis.request((b"PING",))

    def connect(self, timeout: float | None = None) -> Deferred[Thoonk]:
        """Start the service, if it is not running, and wait until it is connected.

        :param timeout: seconds to wait; None: as long as calls wait, 10 at least.
        :return: fires this object. If it fails, the service is stopped again. It fails with
            :class:`~txthoonk.errors.AuthenticationError` if Redis refuses the credentials, with
            another :class:`~txthoonk.errors.ResponseError` if Redis refuses the connection for
            another reason, such as a database that does not exist, and with
            :class:`~txthoonk.errors.ConnectionLost` after *timeout*, with the reason.
            Cancelling it stops the service.
        """
        check_thread()
        return AwaitableDeferred.fromCoroutine(self._connect(timeout))

    async def _connect(self, timeout: float | None) -> Thoonk:
        seconds = max(self._wait, 10.0) if timeout is None else check_seconds(timeout, "timeout")
        self.startService()
        waiting = Deferred.fromCoroutine(self._when_connected(refusable=True))

        def late(_: object, __: float) -> Thoonk:
            raise ConnectionLost(
                f"no connection to {self._target.text} within {seconds:g} seconds: "
                f"{self._connections.why()}"
            )

        try:
            return await waiting.addTimeout(seconds, self._reactor, late)
        except (ThoonkError, CancelledError):
            await self.stopService()
            raise

    def close(self) -> Deferred[None]:
        """Stop the service; see :meth:`stopService`."""
        return self.stopService()

    async def __aenter__(self) -> Thoonk:
        """Connect; see :meth:`connect`."""
        return await self.connect()

    async def __aexit__(self, *_: object) -> None:
        """Stop the service; see :meth:`stopService`."""
        await self.stopService()

    def whenConnected(self) -> Deferred[Thoonk]:
        """Wait until all connections are up.

        :return: fires this object; fails with :class:`~txthoonk.errors.ConnectionLost` if the
            service does not run, or stops first.
        """
        check_thread()
        if not self.running:
            return fail(self._not_running())
        return AwaitableDeferred.fromCoroutine(self._when_connected(refusable=False))

    async def _when_connected(self, refusable: bool) -> Thoonk:
        await self._settled()
        await self._connections.when_connected(refusable)
        return self

    async def _settled(self) -> None:
        """If the service is still stopping before a restart, wait for that."""
        if self._stopping is not None:
            await also(self._stopping)
        if not self.running:
            raise self._not_running()

    # -- the connections ----------------------------------------------------------------

    def _leave(self, error: WrongServer) -> None:
        self._connections.publisher.leave(error)

    def _all_up(self) -> None:
        if self.running:
            self._enter("connected")

    def _one_down(self, error: ConnectionLost) -> None:
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

        It misses what is published while there is no connection. :meth:`subscribe` recovers
        events.

        :param event: see :meth:`txthoonk.client.ThoonkSub.register_handler`.
        :param handler: see there.
        :return: fires the handler's id; fails as there, and with
            :class:`~txthoonk.errors.NotSent` if there is no connection for too long.
        """
        check_handler(event, handler)
        return self._when_subscriber(lambda: self._sub.register_handler(event, handler))

    def remove_handler(self, id_: int) -> None:
        """Remove a handler; the last one of a channel unsubscribes.

        :param id_: the id that :meth:`register_handler` fired; an unknown one is ignored.
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

        If the feed keeps a history, a subscription misses nothing when the connection is lost.
        If events may be missing, it delivers a ``resync``. See ``docs/subscriptions.rst``.

        :param feed: see :meth:`txthoonk.client.ThoonkSub.subscribe`, and for the others.
        :return: fires a :class:`~txthoonk.subscriptions.Subscription`; fails as there, and
            with :class:`~txthoonk.errors.NotSent` if there is no connection for too long.
        """
        return self._subscribed(self._subscriptions.feed(feed, handler, since, snapshot, limit))

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
        return self._subscribed(self._subscriptions.pattern(pattern, handler, snapshot, limit))

    @deferring
    def mirror(self, feed: BaseFeed | str) -> Deferred[Mirror]:
        """Keep a copy of a feed in this process.

        :param feed: a feed or a sorted feed, or its name.
        :return: fires a :class:`~txthoonk.mirror.Mirror` with the feed's items; fails like
            :meth:`subscribe`.
        """
        return follow(self, feed)

    def _subscribed(
        self, subscribe: Callable[[], Deferred[Subscription]]
    ) -> Deferred[Subscription]:
        return self._subscribing.add(self._when_subscriber(subscribe))

    def _when_subscriber(self, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Make a call as soon as the subscriber is connected."""
        if not self.running:
            return fail(self._not_running())
        if self._connections.up["subscriber"] and self._stopping is None:
            return call()
        waiting = AwaitableDeferred.fromCoroutine(self._until_subscriber())

        def late(_: object, seconds: float) -> None:
            raise NotSent(
                f"waited {seconds:g} seconds for a connection to {self._target.text}: "
                f"{self._connections.why()}"
            )

        return waiting.addTimeout(self._wait, self._reactor, late).addCallback(lambda _: call())

    async def _until_subscriber(self) -> None:
        await self._settled()
        await self._connections.subscriber.when_connected()
