"""Publisher and subscriber, each over one connection, and their factories.

::

    endpoint = clientFromString(reactor, "tcp:localhost:6379")
    pub = await endpoint.connect(ThoonkPubFactory(db=1))
    sub = await endpoint.connect(ThoonkSubFactory())
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, ITransport
from twisted.internet.protocol import ReconnectingClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk._config import Config, config_fields
from txthoonk._deferring import deferring
from txthoonk._dispatch import Dispatcher, Handler
from txthoonk._keys import (
    CONFFEED,
    DELFEED,
    FEEDS,
    NEWFEED,
    SEPARATOR,
    check_name,
    feed_key,
    feed_keys,
    kept_result_key,
)
from txthoonk._redis import TEXT, RedisProtocol, encode
from txthoonk._scripts import load
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    FeedExists,
    FeedTypeMismatch,
    InvalidInput,
    InvalidType,
    shown,
)
from txthoonk.events import channel_for
from txthoonk.interfaces import FeedType
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.types import Feed

__all__ = [
    "FeedDoesNotExist",
    "FeedExists",
    "Redis",
    "RedisSubscriber",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
]

_CREATE = load("registry/create")
_OPEN = load("registry/open")
_SET_CONFIG = load("registry/set_config")
_GET_CONFIG = load("registry/get_config")
_DELETE = load("registry/delete")

AnyRedis = TypeVar("AnyRedis", bound=RedisProtocol)


def _dict(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


@implementer(IProtocol)
class ThoonkBase(Generic[AnyRedis]):
    """One connection to Redis, and what is lost and found with it.

    :ivar redis: the protocol of the present connection, or of the last one.
    """

    SEPARATOR: ClassVar[str] = SEPARATOR

    def __init__(self, redis: AnyRedis) -> None:
        self._uuid = uuid.uuid4().hex
        self._closed = False
        self.factory: _Factory | None = None
        self.transport: ITransport | None = None
        self.set_redis(redis)

    def set_redis(self, redis: AnyRedis) -> None:
        """Use *redis* from now on; a factory calls this when it reconnects."""
        self.redis = redis

    def makeConnection(self, transport: ITransport) -> None:
        """Take the transport of a new connection."""
        self.transport = transport  # ClientService of Twisted 24 closes it by this name
        self.redis.makeConnection(transport)  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """Be told that the connection is there."""
        self.redis.connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the connection."""
        self.redis.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Be told that the connection is gone: all that waits for it fails."""
        self.redis.connectionLost(reason)
        if self.factory is not None and not self._closed:
            self.factory.lost(self)

    def close(self) -> Deferred[None]:
        """Close the connection for good: the factory does not reconnect it.

        Calls that wait for an answer fail with
        :class:`~txthoonk.errors.ConnectionLost`.

        :return: fires None once the connection is closed.  Cancelling it drops the
            connection without waiting for the server.
        """
        self._closed = True
        if self.factory is not None:
            self.factory.stopTrying()  # type: ignore[no-untyped-call]
        return self.redis.close()


class ThoonkPub(ThoonkBase[Redis]):
    """Creates, finds, configures and deletes feeds.

    Every method that returns a Deferred fails it with
    :class:`~txthoonk.errors.ConnectionLost` if Redis does not answer, and with
    :class:`~txthoonk.errors.InvalidInput`, before anything is sent, for a bad name
    or configuration.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._feedtypes: set[str] = set()

    def register_feedtype(self, name: str, cls: FeedType) -> None:
        """Make ``pub.<name>(feed_name, config=None)`` open feeds of a type of your own.

        :param name: the value of ``type`` in the configuration of such feeds.
        :param cls: called with this publisher, the feed's name and its serializer.
        :raises InvalidInput: if the name is no identifier, or is in use already for
            something else.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidInput(f"a feed type's name must be an identifier: {name!r}")
        if hasattr(self, name) and name not in self._feedtypes:
            raise InvalidInput(f"{name!r} is an attribute of {type(self).__name__} already")
        if not callable(cls):
            raise InvalidType(f"a feed type must be callable: {cls!r}")
        self._feedtypes.add(name)
        setattr(self, name, partial(self._open, name, cls))

    def feed(self, name: str, config: Config | None = None) -> Deferred[Feed]:
        """Open a plain feed: create it if it is missing, configure it if asked to.

        :param config: such as ``{"max_length": 100, "serializer": "json"}``; values
            that are not given stay as they are.
        :return: fires the feed; fails with
            :class:`~txthoonk.errors.FeedTypeMismatch` if it exists as another type.
        """
        return self._open("feed", Feed, name, config)

    @deferring
    def _open(
        self, type_: str, cls: FeedType, name: str, config: Config | None = None
    ) -> Deferred[Any]:
        fields = config_fields(config)
        if config and config.get("type", type_) != type_:
            raise FeedTypeMismatch(
                f"a feed of type {type_!r} cannot be configured as {config['type']!r}"
            )
        prefix = _OPEN.prefix((FEEDS, feed_key("config", check_name(name))), name, NEWFEED)
        command = (*prefix, self._uuid, CONFFEED, type_, *fields)
        opened = self.redis.call(_OPEN, command, TEXT).addCallback(_dict)
        return opened.addCallback(lambda stored: cls(self, name, stored.get("serializer", "text")))

    @deferring
    def create_feed(self, name: str, config: Config | None = None) -> Deferred[None]:
        """Create a feed.

        The configuration is stored as it is given: without a ``type`` in it the
        feed has none, and is taken for a plain feed.

        :return: fires None; fails with :class:`~txthoonk.errors.FeedExists`.
        """
        fields = config_fields(config)
        prefix = _CREATE.prefix((FEEDS, feed_key("config", check_name(name))), name, NEWFEED)
        created = self.redis.call(_CREATE, (*prefix, self._uuid, *fields), TEXT)
        return created.addCallback(lambda _: None)

    @deferring
    def delete_feed(self, name: str) -> Deferred[bool]:
        """Delete a feed with every key that it has.

        :return: fires True; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self._delete(check_name(name), [])

    def _delete(self, name: str, kept: list[str]) -> Deferred[bool]:
        """Delete a feed and the results of the jobs *kept*; again if there are others."""
        index = feed_key("results", name)
        others = [key for key in feed_keys(name) if key != index]
        results = [kept_result_key(name, id_) for id_ in kept]
        keys = (FEEDS, index, *others, *results)
        command = (*_DELETE.prefix(keys, name, DELFEED), self._uuid, *kept)
        asked = self.redis.call(_DELETE, command, TEXT)
        return asked.addCallback(lambda reply: reply == 1 or self._delete(name, reply))

    @deferring
    def feed_exists(self, name: str) -> Deferred[bool]:
        """Tell whether there is a feed of that name, of whatever type.

        :return: fires a bool.
        """
        return self.redis.request(("SISMEMBER", FEEDS, check_name(name)), TEXT).addCallback(bool)

    def get_feed_names(self) -> Deferred[set[str]]:
        """Read the names of all feeds: O(n) for n feeds (SMEMBERS).

        :return: fires a set of names.
        """
        return self.redis.request(("SMEMBERS", FEEDS), TEXT).addCallback(set)

    @deferring
    def set_config(self, name: str, config: Config) -> Deferred[None]:
        """Change a feed's configuration; values that are not given stay.

        :return: fires None; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`, or with
            :class:`~txthoonk.errors.FeedTypeMismatch` if it names another type than
            the feed has.
        """
        fields = config_fields(config)
        prefix = _SET_CONFIG.prefix((FEEDS, feed_key("config", check_name(name))), name, CONFFEED)
        command = (*prefix, self._uuid, (config or {}).get("type", ""), *fields)
        return self.redis.call(_SET_CONFIG, command, TEXT).addCallback(lambda _: None)

    @deferring
    def get_config(self, name: str) -> Deferred[dict[str, str]]:
        """Read a feed's configuration.

        :return: fires a dict of ``str``; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        command = _GET_CONFIG.prefix((FEEDS, feed_key("config", check_name(name))), name)
        return self.redis.call(_GET_CONFIG, command, TEXT).addCallback(_dict)

    @deferring
    def publish_channel(self, channel: str, *parts: str | bytes) -> Deferred[int]:
        """Publish a message made of *parts*, with NUL between them (PUBLISH).

        Unlike a feed's verbs it may stand between MULTI and EXEC.

        :return: fires the number of subscribers that got it.
        """
        for part in parts:
            if not isinstance(part, (str, bytes)):
                raise InvalidType(f"a part of a message must be str or bytes, not {shown(part)}")
        encoded = [encode(part, TEXT) if isinstance(part, str) else part for part in parts]
        message = SEPARATOR.encode().join(encoded)
        return self.redis.request(("PUBLISH", encode(channel, TEXT), message))


class ThoonkSub(ThoonkBase[RedisSubscriber]):
    """Calls handlers for what is published on channels.

    The parts of a message are given as ``str``; bytes that are not UTF-8 survive as
    surrogate escapes: ``item.encode("utf-8", "surrogateescape")`` gives them back.
    """

    def __init__(self, redis: RedisSubscriber) -> None:
        self._dispatcher = Dispatcher()
        super().__init__(redis)

    def set_redis(self, redis: RedisSubscriber) -> None:
        """Use *redis* from now on; a factory calls this when it reconnects."""
        super().set_redis(redis)
        redis.set_encoding(*TEXT)
        # As in 0.1, the subscriber calls us through its own attributes.
        redis.messageReceived = self.messageReceived  # type: ignore[method-assign]
        redis.channelSubscribed = self.channelSubscribed  # type: ignore[method-assign]
        redis.subscriptionFailed = self._dispatcher.refused  # type: ignore[method-assign]

    def makeConnection(self, transport: ITransport) -> None:
        """Take the transport of a new connection, and subscribe to all channels on it."""
        super().makeConnection(transport)
        self._dispatcher.connected(self.redis)

    def connectionLost(self, reason: Failure) -> None:
        """Be told that the connection is gone: registrations that wait for it fail."""
        super().connectionLost(reason)
        self._dispatcher.disconnected(
            ConnectionLost(f"the connection to Redis was lost: {reason.getErrorMessage()}")
        )

    def messageReceived(self, channel: str, message: str) -> None:
        """Take a message from the connection."""
        self._dispatcher.message(channel, message)

    def channelSubscribed(self, channel: str, numSubscriptions: int) -> None:
        """Take a confirmation from the connection."""
        self._dispatcher.confirmed(channel)

    @deferring
    def register_handler(self, event: str, handler: Handler) -> Deferred[int]:
        """Call *handler* for every message of a channel, from the confirmation on.

        :param event: ``create``, ``delete`` or ``config``, or a channel such as
            ``feed.publish:[feed]``.
        :param handler: gets the parts of the message: the feed's name and more for
            the events of whole feeds, (id, item) for publish and edit, (id) for
            retract.  It may return a Deferred or a coroutine, for which nobody
            waits; what fails is logged, and harms no other handler.
        :return: fires the handler's id once Redis has confirmed; fails with
            :class:`~txthoonk.errors.ConnectionLost`, and with
            :class:`~txthoonk.errors.ResponseError` if Redis refuses the channel.
            Cancelling it removes the handler.
        """
        if not isinstance(event, str) or not event:
            raise InvalidType(f"an event must be a str and not empty: {shown(event)}")
        if not callable(handler):
            raise InvalidType(f"a handler must be callable: {shown(handler)}")
        return self._dispatcher.add(channel_for(event), handler)

    def remove_handler(self, id_: int) -> None:
        """Remove a handler; the last one of a channel unsubscribes.

        :param id_: what :meth:`register_handler` fired; an unknown one is ignored.
        """
        self._dispatcher.remove(id_)


class _Factory(ReconnectingClientFactory):
    """Builds the object anew, or gives the connection to one that lost its own."""

    protocol: Callable[..., Any]
    protocol_wrapper: Callable[..., Any]

    def __init__(
        self,
        db: int | None = None,
        password: str | None = None,
        charset: str | None = "utf8",
        errors: str = "strict",
        username: str | None = None,
    ) -> None:
        """Take the arguments of :class:`~txthoonk.protocol.Redis`."""
        self._arguments = (db, password, charset, errors, username)
        self._lost: deque[ThoonkBase[Any]] = deque()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Build the protocol for a new connection.

        An object whose connection was lost, and that was not closed, gets the new
        one: its feeds and handlers go on.
        """
        self.resetDelay()  # type: ignore[no-untyped-call]
        redis = self.protocol(*self._arguments)
        if self._lost:
            wrapper = self._lost.popleft()
            wrapper.set_redis(redis)
        else:
            wrapper = self.protocol_wrapper(redis)
            wrapper.factory = self
        return wrapper

    def lost(self, wrapper: ThoonkBase[Any]) -> None:
        """Remember an object that waits for a new connection."""
        self._lost.append(wrapper)


class ThoonkPubFactory(_Factory):
    """Builds :class:`ThoonkPub` objects, for any client endpoint or ``connectTCP``."""

    protocol = Redis
    protocol_wrapper = ThoonkPub


class ThoonkSubFactory(_Factory):
    """Builds :class:`ThoonkSub` objects, for any client endpoint or ``connectTCP``."""

    protocol = RedisSubscriber
    protocol_wrapper = ThoonkSub
