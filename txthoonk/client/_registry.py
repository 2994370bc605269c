"""Creates, finds, configures and deletes feeds, and publishes on channels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring, passing
from txthoonk._support._replies import parses, parsing
from txthoonk.client._types import TYPES
from txthoonk.consumers._room import WaitingRoom
from txthoonk.errors import FeedDoesNotExist, FeedTypeMismatch, InvalidInput, InvalidType, shown
from txthoonk.interfaces import FeedType
from txthoonk.protocol._commands import Commands
from txthoonk.protocol._encoding import TEXT, encode
from txthoonk.protocol.bounds._slices import read_set
from txthoonk.types import Feed, Job, PythonQueue, Queue, SortedFeed
from txthoonk.wire._feed_config import Config, config_fields, limited_settings
from txthoonk.wire._keys import FEEDS, SEPARATOR, check_name
from txthoonk.wire._scripts import Script, load
from txthoonk.wire._settings import SETTINGS, setting_from

__all__ = ["Publishing"]

_CREATE = load("registry/create")
_OPEN = load("registry/open")
_SET_CONFIG = load("registry/set_config")
_GET_CONFIG = load("registry/get_config")
_DELETE = load("registry/delete")
_CLEAR = load("registry/clear")


@parses
def _dict(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Publishing:
    """Creates, finds, configures and deletes feeds.

    :ivar redis: sends all calls.
    :ivar waiting_room: the connections on which gets and results wait; the types of feeds use it.
    :ivar uuid: identifies this publisher among all clients of the server.
    """

    waiting_room: WaitingRoom
    uuid: str
    _feedtypes: set[str]
    _services: set[Service]

    if TYPE_CHECKING:

        @property
        def redis(self) -> Commands: ...

    def attach(self, service: Service) -> None:
        """Have a service that uses this publisher stopped before its connections close.

        :param service: the service that ``close`` and ``stopService`` stop.
        """
        self._services.add(service)

    def detach(self, service: Service) -> None:
        """Forget a service given to :meth:`attach`; an unknown one is ignored."""
        self._services.discard(service)

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
            raise InvalidInput(f"{type(self).__name__} already has an attribute {name!r}")
        if not callable(cls):
            raise InvalidType(f"a feed type must be callable: {cls!r}")
        self._feedtypes.add(name)
        setattr(self, name, partial(self._open, name, cls=cls))

    def feed(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[Feed]:
        """Open a plain feed: create it if it is missing, configure it if asked to.

        :param config: such as ``{"max_length": 100, "serializer": "json"}``. Values that
            you do not give stay as they are. Only values that differ from the stored ones
            are written and published. :doc:`/settings` has all settings.
        :param force: accept what is probably a mistake: a name close to that of a setting
            (``max_lenght``), an unknown feed type, a setting that feeds of this type do not
            have. A wrong value of a known setting is always refused.
        :return: fires the feed; fails with :class:`~txthoonk.errors.InvalidInput` for a wrong
            configuration, and with :class:`~txthoonk.errors.FeedTypeMismatch` if the feed
            exists as another type, or the configuration has a setting that feeds of this
            type do not have.
        """
        return self._open("feed", name, config, force=force)

    def sorted_feed(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[SortedFeed]:
        """Open a sorted feed; see :meth:`feed`."""
        return self._open("sorted_feed", name, config, force=force)

    def queue(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[Queue]:
        """Open a queue; see :meth:`feed`."""
        return self._open("queue", name, config, force=force)

    def pyqueue(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[PythonQueue]:
        """Open a queue of Python objects; see :meth:`feed`.

        Every client that may write to it can run code in your process: see
        :class:`~txthoonk.types.python_queue.PythonQueue`.
        """
        return self._open("pyqueue", name, config, force=force)

    def job(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[Job]:
        """Open a job feed; see :meth:`feed`.

        :param config: such as ``{"timeout": 60, "max_failures": 5}``: see
            :class:`~txthoonk.job._job.Job`.
        """
        return self._open("job", name, config, force=force)

    @passing
    def _open(
        self,
        type_: str,
        name: str,
        config: Config | None = None,
        *,
        force: bool = False,
        cls: FeedType | None = None,
    ) -> Deferred[Any]:
        fields = config_fields(config, type_, self._feedtypes, force)
        if config and config.get("type", type_) != type_:
            raise FeedTypeMismatch(
                f"a feed of type {type_!r} cannot be configured as {config['type']!r}"
            )
        prefix = _OPEN.bind(check_name(name), instance=self.uuid, type=type_)
        opened = self._create(name, _OPEN, (*prefix, *fields)).addCallback(_dict)
        make = cls or TYPES[type_]
        return opened.addCallback(
            lambda stored: make(self, name, setting_from(stored, "serializer"))
        )

    def _create(self, name: str, script: Script, command: tuple[Any, ...]) -> Deferred[Any]:
        """Call a script that may create a feed; if it replies 0, clear old results and repeat."""

        def called(reply: Any) -> Any:
            if reply != 0:
                return reply
            cleared = Deferred.fromCoroutine(self._clear(name, []))
            return cleared.addCallback(lambda _: self._create(name, script, command))

        return self.redis.call(script, command, TEXT).addCallback(called)

    @deferring
    def create_feed(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[None]:
        """Create a feed.

        :param config: see :meth:`feed`. Without a ``type`` in it, the feed gets the type
            ``feed``.
        :param force: see :meth:`feed`.
        :return: fires None; fails with :class:`~txthoonk.errors.FeedExists`, and like
            :meth:`feed` for a wrong configuration.
        """
        fields = config_fields(config, SETTINGS["type"].default, self._feedtypes, force)
        if "type" not in fields[::2]:
            fields += ["type", SETTINGS["type"].default]
        prefix = _CREATE.bind(check_name(name), instance=self.uuid)
        created = self._create(name, _CREATE, (*prefix, *fields))
        return created.addCallback(lambda _: None)

    @deferring
    def delete_feed(self, name: str) -> Deferred[bool]:
        """Delete a feed with every key that it has.

        One step removes the feed from the registry, and all its keys except the kept results of
        its jobs.  These are removed after that, 500 in a call, so that other clients get their
        turn.  If that is interrupted, the results stay until they expire, or until a feed with
        that name is created or deleted, which removes them first.

        :return: fires True once everything is removed; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.  Cancel it to remove no more results.
        """
        return AwaitableDeferred.fromCoroutine(self._delete(check_name(name)))

    async def _delete(self, name: str) -> bool:
        command = _DELETE.bind(name, instance=self.uuid)
        try:
            left = await self.redis.call(_DELETE, command, TEXT)
        except FeedDoesNotExist:
            await self._clear(name, [])
            raise
        if left:
            await self._clear(name, left)
        return True

    async def _clear(self, name: str, ids: list[str]) -> None:
        """Remove the remaining results of a feed that was deleted.

        :param ids: the first of their ids, if they are known.
        """
        begin = _CLEAR.bind_each(feed=name)
        while True:
            with parsing:
                command = (*begin(ids), *ids)
            ids = await self.redis.call(_CLEAR, command, TEXT)
            if not ids:
                return

    @deferring
    def feed_exists(self, name: str) -> Deferred[bool]:
        """Return whether there is a feed with that name, of any type.

        :return: fires a bool.
        """
        return self.redis.request(("SISMEMBER", FEEDS, check_name(name)), TEXT).addCallback(bool)

    @deferring
    def get_feed_names(self) -> Deferred[set[str]]:
        """Read the names of all feeds: O(n) for n feeds (SSCAN).

        Up to some hundred names are read at one moment.  More are read in slices, so that other
        clients get their turn: a feed that is created or deleted during the call may be missing
        or not; all others are included.

        :return: fires a set of names.
        """
        return AwaitableDeferred.fromCoroutine(read_set(self.redis, FEEDS)).addCallback(set)

    @deferring
    def set_config(self, name: str, config: Config, *, force: bool = False) -> Deferred[None]:
        """Change a feed's configuration; values that are not given stay.

        Only values that differ from the stored ones are written and published.

        :param config: see :meth:`feed`.
        :param force: see :meth:`feed`.
        :return: fires None; fails with :class:`~txthoonk.errors.FeedDoesNotExist`, with
            :class:`~txthoonk.errors.InvalidInput` for a wrong configuration, and with
            :class:`~txthoonk.errors.FeedTypeMismatch` if it has another type than the feed,
            or a setting that feeds of this type do not have.
        """
        fields = config_fields(config, None, self._feedtypes, force)
        limited = "" if force else limited_settings(fields)
        type_ = str((config or {}).get("type", ""))
        prefix = _SET_CONFIG.bind(
            check_name(name), instance=self.uuid, type=type_, limited=limited
        )
        return self.redis.call(_SET_CONFIG, (*prefix, *fields), TEXT).addCallback(lambda _: None)

    @deferring
    def get_config(self, name: str) -> Deferred[dict[str, str]]:
        """Read a feed's configuration.

        :return: fires a dict of ``str``; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        command = _GET_CONFIG.bind(check_name(name))
        return self.redis.call(_GET_CONFIG, command, TEXT).addCallback(_dict)

    @deferring
    def publish_channel(self, channel: str, *parts: str | bytes) -> Deferred[int]:
        """Publish a message made of *parts*, with NUL between them (PUBLISH).

        Unlike a feed's verbs, you can call it between MULTI and EXEC.

        :return: fires the number of subscribers that received it.
        """
        for part in parts:
            if not isinstance(part, (str, bytes)):
                raise InvalidType(f"a part of a message must be str or bytes, not {shown(part)}")
        encoded = [encode(part, TEXT) if isinstance(part, str) else part for part in parts]
        message = SEPARATOR.encode().join(encoded)
        return self.redis.request(("PUBLISH", encode(channel, TEXT), message))
