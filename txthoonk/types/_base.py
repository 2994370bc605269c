"""The base class of all types of feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, NoReturn, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring, passing
from txthoonk._support._replies import MISFITS, parsing
from txthoonk.errors import (
    Conflict,
    InvalidInput,
    InvalidItem,
    NoHistory,
    WrongThread,
    shown,
)
from txthoonk.events import ITEM_KINDS, Event, parse_cursor, parse_entry
from txthoonk.history._reads import Look, look, read_item
from txthoonk.protocol._encoding import RAW, TEXT
from txthoonk.serializers import get_serializer
from txthoonk.types._repeating import Repeating
from txthoonk.wire._checks import check_whole
from txthoonk.wire._feed_config import Config
from txthoonk.wire._keys import check_id, check_name, feed_channel, feed_key
from txthoonk.wire._scripts import load
from txthoonk.wire._settings import SETTINGS, setting_from

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["BaseFeed", "storing", "to_text"]

P = ParamSpec("P")
T = TypeVar("T")
AnyFeed = TypeVar("AnyFeed", bound="BaseFeed")
Storing = Callable[Concatenate[AnyFeed, P], Deferred[T]]

_GET_ITEMS = load("feed/get_items")

SLICE = 1000  # events to read in one call


def to_text(data: Any) -> str:
    """Decode bytes as hiredis decodes them for TEXT."""
    try:  # every job and item passes here: a context manager costs more than the call
        return str(data, "utf-8", "surrogateescape")
    except MISFITS:
        with parsing:
            raise


def storing(at: int) -> Callable[[Storing[AnyFeed, P, T]], Storing[AnyFeed, P, T]]:
    """Decorate a method that stores an item, so that it returns a failed Deferred.

    If the serializer cannot take the item, the feed may have another serializer by now, which can.

    :param at: the place of the item among the arguments after ``self``.
    """

    def decorate(function: Storing[AnyFeed, P, T]) -> Storing[AnyFeed, P, T]:
        @wraps(function)
        def call(self: AnyFeed, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
            try:
                return function(self, *args, **kwargs)
            except WrongThread:
                raise
            except BaseException:  # noqa: BLE001  (users' serializers raise anything)
                failed = Failure()
            items = (*args[at : at + 1], *[kwargs[name] for name in kwargs if name == "item"])
            return self._once_more(failed, items, partial(function, self, *args, **kwargs))

        return call

    return decorate


class BaseFeed:
    """A feed's name, keys, configuration and serializer.

    :ivar pub: the publisher that sends the feed's calls.
    :ivar name: the name of the feed.
    :ivar feed_ids: key of the ids in their order.
    :ivar feed_items: key of the hash id -> item.
    :ivar feed_publishes: key of the counter of publishes and edits.
    :ivar feed_config: key of the configuration.
    :ivar feed_revision: key of the current position of the history.
    :ivar feed_history: key of the history, a stream.
    :ivar channel_event: channel of all changes with their revisions, if the feed keeps a
        history.
    """

    #: The kinds of events that have channels in the contract.
    _KINDS: ClassVar[tuple[str, ...]] = tuple(ITEM_KINDS)
    #: Whether the type has the setting ``serializer``.
    _FOLLOWS: ClassVar[bool] = True

    def __init__(
        self, pub: Publisher, name: str, serializer: str = "text", *, follow: bool = True
    ) -> None:
        """Create the object.  This sends nothing to Redis, so the feed need not exist.

        :param serializer: the name of the serializer in the feed's configuration.  The methods
            of *pub* that fire a feed read it from there.
        :param follow: whether to use the serializer of the configuration, as soon as a reply
            names another one.  If not, items are read and stored with *serializer* in any case.
        :raises InvalidInput: for a bad name or an unknown serializer.
        """
        self.pub = pub
        self.name = check_name(name)
        self.feed_ids = feed_key("ids", name)
        self.feed_items = feed_key("items", name)
        self.feed_publishes = feed_key("publishes", name)
        self.feed_config = feed_key("config", name)
        self.feed_revision = feed_key("revision", name)
        self.feed_history = feed_key("history", name)
        self.channel_event = feed_channel("event", name)
        self._repeating = Repeating(
            pub,
            self._reload,
            used=lambda: self._assumed,
            dumps=lambda item: self._dumps(item),
            load=self._load,
            encoding=lambda: self._encoding,
        )
        self._follows = follow
        self._use_serializer(serializer)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    # -- the serializer ---------------------------------------------------------------

    def _use_serializer(self, name: str) -> None:
        serializer = get_serializer(name)
        self.serializer = name
        # What scripts compare with the configuration, so that no item is stored that readers
        # cannot read; empty: they do not compare.
        self._assumed = name if self._follows and self._FOLLOWS else ""
        self._get_items = (*_GET_ITEMS.bind(self.name), self._assumed)
        self._last_read: bytes | int = b""  # in the last reply
        self._reads = True
        self._dumps: Callable[[Any], str | bytes] = serializer.dumps
        self._loads: Callable[[Any], Any] = serializer.loads
        self._encoding = RAW if serializer.binary else TEXT

    def _bind_items(self) -> None:
        """Prepare the calls that name the serializer, at first and after each change."""

    def _follow(self, stored: bytes | int) -> None:
        """Learn the serializer that a reply names; 0: the default.

        Calls that store items then wait for the configuration, to keep their order.
        """
        if stored != self._last_read:
            default = SETTINGS["serializer"].default
            self._follow_name(default if stored == 0 else to_text(stored))
            self._last_read = stored

    def _follow_name(self, name: str) -> None:
        try:
            learned = self._learn(name)
        except InvalidInput as error:  # only other programs have this serializer
            self._read_nothing(error)
        else:
            if learned:
                self._repeating.renew().addErrback(lambda _: None)  # the next call meets it again

    def _learn(self, name: str) -> bool:
        """Use another serializer, unless the object does not follow the configuration."""
        if not self._assumed or (name == self._assumed and self._reads):
            return False
        self._use_serializer(name)
        self._bind_items()
        return True

    def _read_nothing(self, error: InvalidInput) -> None:
        """Fail to load items, until a reply names a serializer that this program has."""

        def refuse(_: object) -> NoReturn:
            raise error

        self._reads = False
        self._loads, self._encoding = refuse, RAW

    def _reload(self) -> Deferred[None]:
        """Read the configuration, and use its serializer."""

        def learn(config: dict[str, str]) -> None:
            try:
                self._learn(setting_from(config, "serializer"))
            except InvalidInput as error:
                raise InvalidInput(f"feed {self.name!r}: {error}") from None

        return self.pub.get_config(self.name).addCallback(learn)

    def _once_more(
        self, failed: Failure, items: Iterable[object], call: Callable[[], Deferred[T]]
    ) -> Deferred[T]:
        """Repeat a call if its items were refused, and there is a new serializer."""
        used = self._assumed
        if not used or not self.pub.redis.usable or all(map(self._takes, items)):
            return fail(failed)

        def again() -> Deferred[T]:
            return fail(failed) if self._assumed == used else call()

        return self._repeating.hold(again)

    def _takes(self, item: object) -> bool:
        try:
            self._dumps(item)
        except BaseException:  # noqa: BLE001  (a custom serializer may raise anything)
            return False
        return True

    def _serialized(self, item: Any) -> tuple[str, str | bytes]:
        """Return the serializer, and an item as it makes it."""
        return self._assumed, self._dumps(item)

    def _load(self, data: Any, id_: str) -> Any:
        """Deserialize an item from a reply in ``_encoding``; None if there is no item."""
        if data is None:
            return None
        try:
            return self._loads(data)
        except BaseException as error:  # a custom serializer may raise anything
            reason = safe_str(error)
            raise InvalidItem(
                f"item {shown(id_)} of feed {self.name!r} is not {self.serializer}: {reason}",
                id_,
                data,
            ) from error

    def _load_text(self, data: str | None, id_: str | None) -> Any:
        """Deserialize an item from a reply that was decoded as TEXT."""
        if data is None or self._encoding is not RAW:
            return self._load(data, id_ or "")
        with parsing:
            stored = data.encode("utf-8", "surrogateescape")
        return self._load(stored, id_ or "")

    def _load_bytes(self, data: bytes, id_: str) -> Any:
        """Deserialize an item from a reply that was not decoded."""
        return self._load(data if self._encoding is RAW else to_text(data), id_)

    @passing
    def get_item(self, id_: str, with_revision: bool = False) -> Deferred[Any]:
        """Read one item (one call for all items that you read in one turn of the reactor).

        :param with_revision: whether to read its revision too, for the ``expect`` of a change.
        :return: fires the item, or None if there is no such item; with *with_revision* the item
            and its revision, or (None, 0).  Fails with
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read it; with
            *with_revision* also with :class:`~txthoonk.errors.NoHistory` and
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        id_ = check_id(id_)
        if with_revision:
            both = read_item(self.pub.redis, self.name, id_)
            return both.addCallback(self._with_revision, id_)
        redis, encoding = self.pub.redis, self._encoding
        read = redis.call_together(_GET_ITEMS, self._get_items, (id_,), encoding, self._repeating)
        if self.serializer == "text":
            return read
        return read.addCallback(self._load, id_)

    def _with_revision(self, reply: Any, id_: str) -> tuple[Any, int]:
        with parsing:
            item, revision = reply
        return self._load_text(item, id_), revision

    @deferring
    def has_id(self, id_: str) -> Deferred[bool]:
        """Return whether the feed has an item with that id (HEXISTS).

        :return: fires a bool.
        """
        command = ("HEXISTS", self.feed_items, check_id(id_))
        return self.pub.redis.request(command, TEXT).addCallback(bool)

    @deferring
    def revision(self) -> Deferred[int]:
        """Read the feed's revision: the number of events in its history so far.

        :return: fires an int; fails with :class:`~txthoonk.errors.NoHistory` or
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        looked = look(self.pub.redis, self.name, "", None, 0)
        return looked.addCallback(lambda found: self._having_history(found).top)

    @deferring
    def get_history(
        self, since: int | str | None = None, count: int | None = None
    ) -> Deferred[list[Event]]:
        """Read the events that the feed keeps.

        :param since: a revision, or the ``cursor`` of an event, to read the events after it;
            None to start with the oldest one.
        :param count: the most events to read; None for all.
        :return: fires a list of :class:`~txthoonk.events.Event`, oldest first.  In place of an
            item that the serializer cannot read, an event has the
            :class:`~txthoonk.errors.InvalidItem` itself.  Fails with
            :class:`~txthoonk.errors.NoHistory`, also if the events after *since* are no longer
            kept, and with :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        epoch, revision = ("", None) if since is None else parse_cursor(since)
        if count is not None:
            check_whole(count, "a count")
        return AwaitableDeferred.fromCoroutine(self._get_history(epoch, revision, count))

    async def _get_history(self, epoch: str, since: int | None, count: int | None) -> list[Event]:
        events: list[Event] = []
        while True:
            most = SLICE if count is None else min(SLICE, count - len(events))
            found = await look(self.pub.redis, self.name, epoch, since, most)
            self._follow_name(found.serializer)
            found = self._having_history(found)
            events += [self._event(parse_entry(self.name, found.epoch, e)) for e in found.entries]
            if not found.entries or events[-1].revision == found.top or len(events) == count:
                return events
            epoch, since = found.epoch, events[-1].revision

    def _having_history(self, found: Look) -> Look:
        if found.verdict == "off":
            raise NoHistory(
                f"feed {self.name!r} keeps no history, so it knows no revisions: set its "
                "configuration 'history' first"
            )
        if found.verdict != "ok":
            raise NoHistory(
                f"feed {self.name!r} has no events after this position: {found.reason}"
            )
        return found

    def _event(self, event: Event) -> Event:
        """Deserialize the item of an event."""
        if event.kind == "progress":
            return event
        try:
            return event._replace(item=self._load_text(event.item, event.id))
        except InvalidItem as error:
            return event._replace(item=error)

    def _expectation(self, expect: int | None) -> str:
        """Return the argument for the revision that an item must have."""
        if expect is None:
            return ""
        return str(check_whole(expect, "the expected revision (expect=)", note=" (0: no item)"))

    def _unless_conflict(self, reply: Any, id_: str) -> Any:
        """Return the reply of a change, unless the item had another revision.

        :raises Conflict: if it had.
        """
        if reply.__class__ is not list:
            return reply
        with parsing:
            _, revision, item = reply
        now = f"it is at revision {revision}" if revision else "there is no such item"
        raise Conflict(
            f"item {id_!r} of feed {self.name!r} is not the expected one: {now}",
            self._load_text(item, id_),
            revision,
        )

    def get_config(self) -> Deferred[dict[str, str]]:
        """Read the configuration.

        :return: fires the configuration; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.pub.get_config(self.name)

    def set_config(self, conf: Config, *, force: bool = False) -> Deferred[None]:
        """Change the configuration; values that are not given stay.

        This object uses a new ``serializer`` from then on.  Other objects of the same feed, in
        all programs, use it from their next call on.  Stored items stay as they are.

        :param force: see :meth:`~txthoonk.client.ThoonkPub.feed`.
        :return: fires None; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`,
            :class:`~txthoonk.errors.FeedTypeMismatch` if it names another type or a setting
            that feeds of this type do not have, or :class:`~txthoonk.errors.InvalidInput`.
        """

        changed = self.pub.set_config(self.name, conf, force=force)
        return changed.addCallback(lambda _: self._configured(conf))

    def _configured(self, conf: Config) -> Deferred[None] | None:
        if not self._assumed or conf.get("serializer", self._assumed) == self._assumed:
            return None
        return self._repeating.renew()

    def delete_feed(self) -> Deferred[bool]:
        """Delete the feed with all its keys.

        :return: fires True; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.pub.delete_feed(self.name)
