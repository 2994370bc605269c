"""A feed's messages, made into events once for all followers of the feed.

If a feed has a history, each change arrives twice: on ``feed.event``, with its revision, and then
on the contract's own channel. The same script publishes both. The first message contains the text
of the second, so the second is recognized and dropped. One that comes alone is from a writer that
keeps no history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.reflect import safe_str

from txthoonk._support._rate_limit import LogLimit
from txthoonk.errors import InvalidInput, InvalidItem, shown
from txthoonk.events import ITEM_KINDS, PLACES, Event, item_channel, parse_event
from txthoonk.serializers import get_serializer
from txthoonk.wire._job_records import load_progress
from txthoonk.wire._keys import SEPARATOR, feed_channel

__all__ = ["Follows", "Source"]

_log = Logger()
# Type -> kinds for which the contract has no message.
_ALONE = {"queue": ("put",), "pyqueue": ("put",), "job": ("retract",)}
_new = tuple.__new__  # makes an Event of all its fields, faster than its constructor


class Follows(Protocol):
    """A follower of a feed.

    :ivar live: gets each event.
    """

    live: Callable[[Event], object]

    def ready(self) -> None:
        """Learn that all the feed's channels are confirmed."""

    def lost(self) -> None:
        """Learn that the connection is lost."""

    def refused(self, error: BaseException) -> None:
        """Learn that Redis refuses the feed's channels."""


class Source:
    """The events of one feed.

    :ivar feed: its name.
    :ivar followers: get the events.
    :ivar sinks: kind -> the function that takes its messages, where they are made on demand.
    :ivar loads: makes an item of the stored text; None: the item is that text.
    :ivar type: the feed's type, once it is known.
    :ivar log_limit: logs what is wrong with messages and items.

    :param log_limit: None: the source has its own.
    """

    __slots__ = (
        *("_last", "_last_loaded", "_twin", "feed", "followers", "loads", "log_limit", "sinks"),
        "type",
    )

    def __init__(self, feed: str, log_limit: LogLimit | None = None) -> None:
        self.feed = feed
        self.log_limit = log_limit or LogLimit(_log)
        self.followers: tuple[Follows, ...] = ()
        self.sinks: dict[str, Callable[[str], None]] = {}
        self.type: str | None = None
        self._twin: str | None = None
        self.loads: Callable[[str], Any] | None = None
        self._last: Event | None = None
        self._last_loaded: Event | None = None

    def channels(self, kinds: tuple[str, ...]) -> dict[str, Callable[[str], None]]:
        """Return the channels to subscribe to, with the functions that take their messages.

        :param kinds: keys of :data:`~txthoonk.events.ITEM_KINDS`.
        """
        sinks = {item_channel(kind, self.feed): self.sink(kind) for kind in kinds}
        sinks[feed_channel("event", self.feed)] = self.take_with_revision
        return sinks

    def lost(self) -> None:
        """Forget the connection's last message."""
        self._twin = None

    def take_over(self, other: Source) -> None:
        """Begin between two messages, as another source of the same feed knows them."""
        self._twin = other._twin

    # -- messages ---------------------------------------------------------------

    def sink(self, kind: str) -> Callable[[str], None]:
        """Make the function that takes the messages of one of the contract's channels."""
        names = ITEM_KINDS[kind]
        parts = len(names) - 1
        position = names[-1] == "position"
        progress = kind == "progress"
        feed = self.feed

        # Every message runs this, so it makes no call that it can avoid.
        def take(message: str) -> None:
            twin, self._twin = self._twin, None
            if message == twin:
                return
            id_, separator, rest = message.partition(SEPARATOR)
            if len(separator) != parts:
                self._malformed(item_channel(kind, feed))
                return
            item: Any = rest if parts and not position else None
            if progress:
                item = load_progress(id_, rest)
            place = PLACES.get(rest, rest) if position else None
            event = _new(Event, (kind, feed, id_, item, place, None, None, False, None, None))
            for follower in self.followers:
                follower.live(event)
            if self._last is not None:
                self.release()

        return take

    def take_with_revision(self, message: str) -> None:
        """Take a message on ``feed.event``."""
        parsed = parse_event(self.feed, message)
        if parsed is None:
            self._malformed(feed_channel("event", self.feed))
            return
        event, twin = parsed
        alone = event.kind in _ALONE.get(self.type or "", ())
        self._twin = None if alone else twin
        self.tell(event)

    def _malformed(self, channel: str) -> None:
        text = "malformed message on channel {channel!r} ignored"
        self.log_limit.error(text, channel=channel)

    def tell(self, event: Event) -> None:
        """Hand an event to all followers."""
        for follower in self.followers:
            follower.live(event)
        if self._last is not None:
            self.release()

    # -- items ------------------------------------------------------------------

    def learn(self, type_: str | None, serializer: str) -> None:
        """Learn the feed's type and serializer."""
        self.type = type_
        self.loads = _loader(type_, serializer)
        self._last = None

    def loaded(self, event: Event) -> Event:
        """Return an event with its item as the feed's serializer loads it.

        If the serializer cannot load it, the item is the :class:`~txthoonk.errors.InvalidItem`.
        """
        if self.loads is None or event.item is None or event.kind == "progress":
            return event
        if len(self.followers) == 1:
            return event._replace(item=self.load(event.id or "", event.item))
        if event is not self._last or self._last_loaded is None:
            self._last = event
            self._last_loaded = event._replace(item=self.load(event.id or "", event.item))
        return self._last_loaded

    def release(self) -> None:
        """Forget the last event that was loaded: it may be big, and the next may come late."""
        self._last = self._last_loaded = None

    def load(self, id_: str, data: str) -> Any:
        """Make an item of the stored text."""
        if self.loads is None:
            return data
        try:
            return self.loads(data)
        except BaseException as error:  # noqa: BLE001  (a serializer may raise anything)
            reason = safe_str(error)
            text = f"item {shown(id_)} of feed {self.feed!r} cannot be read: {reason}"
            self.log_limit.error("{text}", text=text)
            return InvalidItem(text, id_, data)


def _loader(type_: str | None, serializer: str) -> Callable[[str], Any] | None:
    if type_ == "pyqueue":
        return _as_bytes  # only the queue itself loads pickles
    try:
        known = get_serializer(serializer)
    except InvalidInput as error:
        _log.warn("items are delivered as text: {error}", error=error)
        return None
    if known.binary:
        return lambda data: known.loads(_as_bytes(data))
    return None if serializer == "text" else known.loads


def _as_bytes(data: str) -> bytes:
    return data.encode("utf-8", "surrogateescape")
