"""Messages of a feed, made into events once for all followers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.errors import InvalidItem
from txthoonk.events import Event
from txthoonk.subscriptions._decoder import Source


class Follower:
    """A follower that records its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.live: Callable[[Event], object] = self.events.append

    def ready(self) -> None: ...

    def lost(self) -> None: ...

    def refused(self, error: BaseException) -> None: ...


class Thing:
    """An item that a weak reference can watch."""


class SourceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.source = Source("news")
        self.follower = Follower()
        self.source.followers = (self.follower,)

    def tell(self, channel: str, *parts: str) -> None:
        """Let a message arrive on a channel."""
        kinds = ("publish", "edit", "retract", "position", "claim", "finish")
        self.source.channels(kinds)[channel]("\0".join(parts))

    def seen(self) -> list[Event]:
        events = list(self.follower.events)
        self.follower.events.clear()
        return events


class MessageTests(SourceTestCase):
    def test_channels(self) -> None:
        """The channel with revisions is added to the requested ones, as the last."""
        channels = ["feed.edit:news", "job.finish:news", "feed.claimed:news", "feed.event:news"]
        self.assertEqual(list(self.source.channels(("edit", "finish", "claim"))), channels)
        self.assertEqual(list(self.source.channels(())), ["feed.event:news"])

    def test_without_history(self) -> None:
        """Each message is the event of its channel; items keep their NULs."""
        for channel, parts, event in (
            ("feed.publish:news", ("1", "x", "y"), Event("publish", "news", "1", "x\0y")),
            ("feed.edit:news", ("1", ""), Event("edit", "news", "1", "")),
            ("feed.retract:news", ("1",), Event("retract", "news", "1")),
            ("feed.position:news", ("1", ":end"), Event("position", "news", "1", None, ":end")),
            ("feed.claimed:news", ("1",), Event("claim", "news", "1")),
            ("job.finish:news", ("1", "x"), Event("finish", "news", "1", "x")),
        ):
            self.tell(channel, *parts)
            self.assertEqual(self.seen(), [event])

    def test_malformed(self) -> None:
        """A message with too few or too many parts is logged, and makes no event."""
        for channel, parts in (
            ("feed.publish:news", ("1",)),
            ("feed.position:news", ("1",)),
            ("feed.retract:news", ("1", "x")),
            ("feed.event:news", ("a", "7", "retract")),
            ("feed.event:news", ("a", "7", "unheard", "1")),
        ):
            with self.subTest(channel=channel):
                self.assert_logged(channel, parts)

    def assert_logged(self, channel: str, parts: tuple[str, ...]) -> None:
        with capturedLogs() as logged:
            self.tell(channel, *parts)
        self.assertEqual(self.seen(), [])
        self.assertEqual([one["channel"] for one in logged], [channel])

    def test_every_follower(self) -> None:
        """All followers get the same event, and one that joins later gets the next."""
        late = Follower()

        def join(event: Event) -> None:
            self.source.followers = (*self.source.followers, late)

        self.follower.live = join
        self.tell("feed.retract:news", "1")
        self.assertEqual(late.events, [])
        self.follower.live = self.follower.events.append
        self.tell("feed.retract:news", "2")
        self.assertIs(self.seen()[0], late.events[0])


class TwinTests(SourceTestCase):
    def with_revision(self, revision: str, kind: str, *parts: str) -> None:
        self.tell("feed.event:news", "a", revision, kind, *parts)

    def test_told_once(self) -> None:
        """A message with a revision and its twin on the contract's channel make one event."""
        for revision, (kind, channel, parts) in enumerate(
            (
                ("publish", "feed.publish:news", ("1", "x\0y")),
                ("position", "feed.position:news", ("1", ":end")),
                ("edit", "feed.publish:news", ("1", "z")),  # a sorted feed's
                ("retract", "feed.retract:news", ("1",)),
            ),
            start=1,
        ):
            self.with_revision(str(revision), kind, *parts)
            self.tell(channel, *parts)
            (event,) = self.seen()
            self.assertEqual((event.kind, event.revision, event.epoch), (kind, revision, "a"))

    def test_same_again(self) -> None:
        """The same message a second time is from a writer that keeps no history."""
        self.with_revision("1", "retract", "1")
        self.tell("feed.retract:news", "1")
        self.seen()
        self.tell("feed.retract:news", "1")
        self.assertEqual(self.seen(), [Event("retract", "news", "1")])

    def test_foreign_between(self) -> None:
        """A different message shows that the twin does not come."""
        self.with_revision("1", "publish", "1", "x")
        self.tell("feed.publish:news", "1", "y")
        self.tell("feed.publish:news", "1", "x")
        self.assertEqual([event.revision for event in self.seen()], [1, None, None])

    def test_no_twin(self) -> None:
        """Kinds without a message in the contract have no twin."""
        self.with_revision("1", "put", "1", "x")
        self.with_revision("2+", "retract", "1")
        self.with_revision("3", "finished", "1")
        self.assertEqual(
            [(event.revision, event.more) for event in self.seen()],
            [(1, False), (2, True), (3, False)],
        )

    def test_lost(self) -> None:
        """A twin that was due on a lost connection is not expected on the next one."""
        self.with_revision("1", "retract", "1")
        self.source.lost()
        self.tell("feed.retract:news", "1")
        self.assertEqual([event.revision for event in self.seen()], [1, None])


class ItemTests(SourceTestCase):
    def load(self, type_: str | None, serializer: str, item: str) -> Any:
        self.source.learn(type_, serializer)
        return self.source.loaded(Event("publish", "news", "1", item)).item

    def test_serializers(self) -> None:
        """The feed's serializer loads items, once it is known."""
        self.assertEqual(self.source.load("1", "[1]"), "[1]")
        for type_, serializer, data, item in (
            ("feed", "text", "[1]\udcff", "[1]\udcff"),
            ("feed", "json", "[1]", [1]),
            ("feed", "bytes", "\udcff\u00fc", b"\xff\xc3\xbc"),
            (None, "json", "1", 1),
            ("pyqueue", "text", "\udc80\x04.", b"\x80\x04."),
        ):
            self.assertEqual(self.load(type_, serializer, data), item)
            self.assertEqual(self.source.type, type_)

    def test_unknown_serializer(self) -> None:
        """Items of a serializer that this program does not know are text."""
        self.assertEqual(self.load("feed", "smoke", "[1]"), "[1]")

    def test_nothing_to_load(self) -> None:
        """Events without an item are unchanged, and all events while no serializer is known."""
        event, retract = Event("publish", "news", "1", "1"), Event("retract", "news", "1")
        self.assertIs(self.source.loaded(event), event)
        self.source.learn("feed", "json")
        self.assertIs(self.source.loaded(retract), retract)
        self.source.learn("feed", "text")
        self.assertIs(self.source.loaded(event), event)

    def test_loaded_once(self) -> None:
        """All followers get the same item, until the feed's serializer changes."""
        self.source.learn("feed", "json")
        self.source.followers = (self.follower, Follower())
        event, other = (Event("publish", "news", id_, "[]") for id_ in "12")
        first = self.source.loaded(event)
        self.assertIs(self.source.loaded(event), first)
        self.assertEqual(self.source.loaded(other).id, "2")
        self.assertEqual(self.source.loaded(event), first)
        self.source.learn("feed", "bytes")
        self.assertEqual(self.source.loaded(event).item, b"[]")

    def test_released(self) -> None:
        """A delivered item is not kept: the next one may never come."""
        loaded: list[ref[Thing]] = []

        def loads(data: str) -> Thing:
            thing = Thing()
            loaded.append(ref(thing))
            return thing

        self.follower.live = self.source.loaded
        self.source.loads = loads
        for id_, others in (("1", ()), ("2", (self.follower,))):
            self.source.followers = (self.follower, *others)
            self.tell("feed.publish:news", id_, "x")
            self.tell("feed.event:news", "a", "1", "publish", id_, "x")
        self.assertEqual([each() for each in loaded], [None] * 4)

    def test_unreadable(self) -> None:
        """An item that cannot be loaded is the error, which has the stored item."""
        for data in ("[", "\udcff", "[" * 100_000):
            item = self.load("feed", "json", data)
            self.assertIsInstance(item, InvalidItem)
            self.assertEqual((item.id, item.data), ("1", data))
            self.assertIn("item '1' of feed 'news' cannot be read", str(item))
