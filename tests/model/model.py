"""What the models of all types have in common: items, counters, events and the history."""

from __future__ import annotations

from typing import Any, ClassVar

import attr

from txthoonk.errors import Conflict, NoHistory
from txthoonk.events import item_channel
from txthoonk.testing._feed_dump import State

__all__ = ["Log", "Model", "Refused", "told"]

SEPARATOR = "\0"


class Refused(Exception):
    """The error that a refused verb fails with.

    :ivar error: the class of the error.
    :ivar detail: the present item that the error carries.
    """

    def __init__(self, error: type[Exception], detail: Any = None) -> None:
        super().__init__(error.__name__, detail)
        self.error = error
        self.detail = detail


@attr.define
class Log:
    """A history.

    :ivar top: the last revision.
    :ivar base: the revision of the items without a revision of their own.
    :ivar own: id -> revision of the item.
    :ivar entries: revision, kind, id, rest and whether more follows, of each event.
    """

    top: int
    base: int
    own: dict[str, int] = attr.Factory(dict)
    entries: list[tuple[Any, ...]] = attr.Factory(list)


@attr.define
class Model:
    """The expected state of a feed of some type.

    :ivar name: the feed's name.
    :ivar config: the configuration, as text.
    :ivar items: id -> item.
    :ivar publishes: the number of publishes, edits and puts.
    :ivar log: the history, if it has begun.
    :ivar messages: the messages since the last comparison: channel and message, those of
        ``feed.event`` without the epoch.
    :ivar events: the same as a subscription delivers them: kind, id, rest, revision and whether
        more follows.
    :ivar serial: the number of the last new item.
    :ivar caller: the number of the client that is calling verbs.
    """

    name: str
    config: dict[str, str] = attr.Factory(dict)
    items: dict[str, str] = attr.Factory(dict)
    publishes: int = 0
    log: Log | None = None
    messages: list[tuple[str, str]] = attr.Factory(list)
    events: list[tuple[Any, ...]] = attr.Factory(list)
    serial: int = 0
    caller: int = 0

    #: Whether the history counts the items.
    COUNTS = True
    #: Kinds of events for which the calls of one reactor turn may be one change or several.
    LOOSE: ClassVar[tuple[str, ...]] = ()

    def new_item(self) -> str:
        """Make a new item; some contain the separator of messages."""
        self.serial += 1
        return f"item {self.serial}" + ("\0ü" if self.serial % 3 == 0 else "")

    # -- the history ------------------------------------------------------------

    @property
    def history(self) -> int:
        return int(self.config.get("history", "0"))

    @property
    def paused(self) -> bool:
        return self.config.get("paused", "0") != "0"

    def look(self) -> Log | None:
        """Return the history as a change or a reader finds it; None if there is none."""
        if not self.history:
            return None
        if self.log is not None:
            return self.log
        first = 1 if self.publishes or (self.COUNTS and self.items) else 0
        return Log(first, first)

    def revision(self, id_: str) -> int:
        """Return the revision of an item, for ``expect``."""
        log = self.look()
        if log is None or id_ not in self.items:
            return 0
        return log.own.get(id_, log.base)

    def expect(self, id_: str, expected: int | None) -> None:
        """Refuse a verb that expects another revision of the item."""
        if expected is None:
            return
        if not self.history:
            raise Refused(NoHistory)
        present = self.revision(id_)
        if present > expected or (id_ not in self.items and expected != 0):
            raise Refused(Conflict, (self.items.get(id_), present))

    def tell(self, log: Log | None, *events: tuple[str, str, str | None, bool]) -> None:
        """Record the events of a change: kind, id, rest, and whether the contract publishes it.

        :param log: what :meth:`look` returned before the change.
        """
        for index, (kind, id_, rest, public) in enumerate(events):
            message = id_ if rest is None else id_ + SEPARATOR + rest
            more = log is not None and index < len(events) - 1 and kind not in self.LOOSE
            if log is not None:
                log.top += 1
                log.entries.append((log.top, kind, id_, rest, more))
                self._own(log, kind, id_)
                number = f"{log.top}{'+' if more else ''}"
                told = SEPARATOR.join((number, kind, message))
                self.messages.append((f"feed.event:{self.name}", told))
            if public:
                self.messages.append((item_channel(self.public(kind), self.name), message))
            if log is not None:
                self.events.append((kind, id_, rest, log.top, more))
            elif public:
                self.events.append((self.public(kind), id_, rest, None, False))
        if events:
            self.log = log

    def public(self, kind: str) -> str:
        """Return the kind that the contract has for a kind of event."""
        return kind

    def _own(self, log: Log, kind: str, id_: str) -> None:
        if kind in ("publish", "edit"):
            log.own[id_] = log.top
        elif kind in ("retract", "finished"):
            log.own.pop(id_, None)

    # -- the feed as a whole ----------------------------------------------------

    def created(self, config: dict[str, str]) -> None:
        self.config = config
        self.messages.append(("newfeed", self.name))

    def deleted(self) -> None:
        self.items, self.publishes, self.log = {}, 0, None
        self.messages.append(("delfeed", self.name))

    def configure(self, config: dict[str, Any]) -> None:
        given = {field: str(value) for field, value in config.items()}
        if self.config | given == self.config:
            return
        self.config |= given
        self.messages.append(("conffeed", self.name))
        if not self.history:
            self.log = None

    # -- beside the real thing --------------------------------------------------

    def expected(self) -> dict[str, Any]:
        """Return what Redis should hold, in the form of :meth:`found`."""
        log = self.log
        return {
            "config": self.config,
            "items": self.items,
            "publishes": self.publishes,
            "revision": None if log is None else (log.top, log.base, log.own),
            "history": [] if log is None else log.entries,
        }

    def found(self, state: State) -> dict[str, Any]:
        """Return what Redis holds."""
        revision = state.hash("revision")
        own = {id_: int(text) for id_, text in revision.items() if id_[0] != SEPARATOR}
        entries = [self._entry(*one) for one in state.list("history")]
        # Redis may keep more than the configured number, but not fewer.
        if self.log is not None and len(entries) >= min(self.history, len(self.log.entries)):
            missing = len(self.log.entries) - len(entries)
            entries = self.log.entries[:missing] + entries
        return {
            "config": state.config,
            "items": state.items,
            "publishes": state.count("publishes"),
            "revision": (int(revision["\0revision"]), int(revision["\0base"]), own)
            if revision
            else None,
            "history": entries,
        }

    def variants(self) -> list[Model]:
        """Return the models that may be right while a connection is lost."""
        return [self]

    def as_told(self, channel: str, message: str) -> tuple[str, str]:
        """Return a message in the form that this model uses."""
        if channel == f"feed.event:{self.name}":
            number, kind, rest = message.split(SEPARATOR, 2)
            if kind in self.LOOSE:
                message = SEPARATOR.join((number.removesuffix("+"), kind, rest))
        return channel, message

    def as_event(
        self, kind: str, id_: str, rest: Any, revision: int | None, more: bool
    ) -> tuple[Any, ...]:
        """Return an event in the form that this model uses."""
        return kind, id_, rest, revision, more and kind not in self.LOOSE

    def _entry(self, id_: str, fields: dict[str, str]) -> tuple[Any, ...]:
        rest = fields.get("item", fields.get("position"))
        revision, more = int(id_.removesuffix("-0")), "more" in fields
        kind, id_, rest, _, more = self.as_event(fields["kind"], fields["id"], rest, None, more)
        return revision, kind, id_, rest, more

    def settle(self) -> None:
        """Note that every call has its reply."""

    def has_due(self) -> bool:
        """Return whether a waiting get changes something by waiting."""
        return False

    def unsettled(self, wrong: str) -> bool:
        """Return whether a finding of ``check_feed`` is one that the model expects."""
        return False


def told(channel: bytes, message: bytes) -> tuple[tuple[str, str], str]:
    """Return a message in the form of the models, and its epoch, if any."""
    name, text = channel.decode(), message.decode("utf-8", "surrogateescape")
    if name.startswith("feed.event:"):
        epoch, _, text = text.partition(SEPARATOR)
        return (name, text), epoch
    if name.startswith("feed.delayed:") or name in ("newfeed", "delfeed", "conffeed"):
        text = text.partition(SEPARATOR)[0]
    return (name, text), ""
