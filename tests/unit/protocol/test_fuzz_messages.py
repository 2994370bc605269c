"""A broken or hostile peer publishes messages on every channel that txthoonk listens to."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import parts_of
from tests.support.followers import OFF, FollowerTestCase, change, found, of_the_feed
from tests.support.fuzzing import (
    ESCAPES,
    EVENT_MESSAGES,
    FEW,
    MESSAGES,
    NUMBERS,
    QUICK,
    FuzzTestCase,
    Log,
    as_bytes,
)
from tests.support.keepers import KeeperTestCase, notice
from tests.support.wire import outcome, plug, resp
from txthoonk._values import Progress
from txthoonk.client._subscriber import ThoonkSub
from txthoonk.errors import InvalidItem
from txthoonk.events import (
    CHANNELS,
    ITEM_KINDS,
    Event,
    item_channel,
    parse_cursor,
    parse_event,
)
from txthoonk.protocol import RedisSubscriber
from txthoonk.subscriptions._decoder import Source
from txthoonk.wire._job_records import load_progress

BIG = ESCAPES + "x" * 10_000_000
DONE = st.sampled_from(["1", "1e400", "NaN", "-1"]).map('{{"done": {}}}'.format)
FEED_CHANNELS = [item_channel(kind, "f") for kind in ITEM_KINDS]


class ParseTests(FuzzTestCase):
    """The functions that parse messages."""

    @QUICK
    @given(st.sampled_from([*FEED_CHANNELS, *CHANNELS.values(), "feed.delayed:f", "x"]), MESSAGES)
    def test_parse(self, channel: str, message: str) -> None:
        """A message either has the parts that its channel requires, or is rejected."""
        parts = parts_of(channel, message)
        if channel in FEED_CHANNELS:
            kind = list(ITEM_KINDS)[FEED_CHANNELS.index(channel)]
            sound = message.count("\0") >= 1 if len(ITEM_KINDS[kind]) == 2 else "\0" not in message
            self.assertEqual(parts is not None, sound)
            if parts is not None:
                self.assertEqual("\0".join(parts), message)

    @QUICK
    @given(EVENT_MESSAGES)
    @example("a\x001\0publish\x001\0x")
    @example("a\0" + "9" * 5000 + "\0publish\x001\0x")
    @example("a\0-1\0publish\x001\0x")
    @example("a\0" + "9" * 16 + "\0publish\x001\0x")
    @example("a\0 1\0publish\x001\0x")
    @example("a\0\u0661\0publish\x001\0x")
    @example("\x001\0publish\x001\0x")
    @example("x" * 1_000_000 + "\x001\0publish\x001\0x")
    @example("a b\x001\0retract\x001")
    def test_positions(self, message: str) -> None:
        """A parsed event has a valid cursor; any other message is rejected."""
        parsed = parse_event("f", message)
        if parsed is not None:
            event, _ = parsed
            cursor = event.cursor or ""
            self.assertEqual(parse_cursor(cursor), (event.epoch, event.revision))
            self.assertLess(len(cursor), 100)

    @QUICK
    @given(MESSAGES | DONE)
    @example('{"done": 1, "total": [], "note": 5}')
    @example('{"done": "1"}')
    @example('{"done": true, "total": {}}')
    @example('{"done": 1, "total": 2, "note": "n", "more": [1]}')
    @example("[" * 100_000)
    @example('{"done": ' + "9" * 5000 + "}")
    def test_progress(self, text: str) -> None:
        """Progress consists of numbers and text; anything else is an InvalidItem."""
        progress = load_progress("1", text)
        if isinstance(progress, Progress):
            for number in (progress.done, progress.total):
                if number is not None or progress.done is number:
                    self.assertIsInstance(number, (int, float))
                    self.assertNotIsInstance(number, bool)
                    self.assertTrue(0 <= number < math.inf)
            self.assertIsInstance(progress.note, (str, type(None)))
        else:
            self.assertIsInstance(progress, InvalidItem)
            self.assert_sober([str(progress)])


class SourceTests(FuzzTestCase):
    """Messages on their way to the followers of a feed."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[Event] = []
        self.live = self.events.append

    @QUICK
    @given(
        st.lists(st.tuples(st.sampled_from([*ITEM_KINDS, "event"]), MESSAGES), max_size=8),
        st.sampled_from(["text", "json", "bytes", "nope", ESCAPES]),
    )
    @example([("publish", BIG), ("event", BIG), ("progress", BIG), ("retract", "1\0x")], "text")
    @example([("publish", BIG + "\0{"), ("progress", BIG + "\0{")], "json")
    def test_messages(self, messages: list[tuple[str, str]], serializer: str) -> None:
        """Each message becomes an event or a log line that names its channel; later ones come."""
        source = Source("f")
        source.learn("feed", serializer)
        self.logged()
        self.patch(source, "followers", (self,))
        good = source.sink("publish")
        for kind, message in messages:
            self.events.clear()
            sink = source.take_with_revision if kind == "event" else source.sink(kind)
            sink(message)
            self.assertLessEqual(len(self.events), 1)
            lines = self.logged()
            self.assertEqual(len(lines), 1 - len(self.events))
            self.assert_sober(lines)
            channel = f"feed.{kind}:f" if kind == "event" else item_channel(kind, "f")
            if kind != "event":
                self.assertEqual(not lines, parts_of(channel, message) is not None)
            if lines:
                self.assertIn(channel, lines[0])
            loaded = [source.loaded(event) for event in self.events]
            self.assert_sober(self.logged())
            good("1\0x")
            self.assertEqual(self.events[len(loaded) :], [Event("publish", "f", "1", "x")])

    def ready(self) -> None: ...

    def lost(self) -> None: ...

    def refused(self, error: BaseException) -> None: ...


class SubscriberTests(FuzzTestCase):
    """Messages from the connection to handlers and subscriptions."""

    CHANNEL = "feed.publish:f"

    def connect(self) -> None:
        self.sub = ThoonkSub(RedisSubscriber())
        self.redis, self.transport = plug(self.sub.redis)
        self.sub._dispatcher.connected(self.redis)
        self.heard: list[Any] = []

    def confirm(self) -> None:
        """Confirm the requested channels."""
        from tests.support.wire import commands

        for command in commands(self.transport.value()):
            for channel in command[1:]:
                self.redis.dataReceived(resp([command[0].lower(), channel, 1]))
        self.transport.clear()

    def tell(self, channel: str, message: str, pattern: str = "") -> None:
        words = ["pmessage", pattern, channel] if pattern else ["message", channel]
        self.redis.dataReceived(resp([*words, as_bytes(message)]))

    @FEW
    @given(MESSAGES)
    @example(BIG)
    @example("")
    def test_several(self, message: str) -> None:
        """A bad message is logged once, however many handlers there are, and all go on."""
        self.connect()
        heard: list[Any] = self.heard
        calls = [
            self.sub.register_handler(self.CHANNEL, lambda *parts: heard.append(parts)),
            self.sub.register_handler(self.CHANNEL, lambda *parts: heard.append(parts)),
            self.sub.subscribe("f", heard.append),
            self.sub.subscribe("f", heard.append),
            self.sub.subscribe_pattern("f*", heard.append),
        ]
        self.confirm()
        call: Any
        for call in calls:
            self.successResultOf(call)
        self.tell(self.CHANNEL, message)
        self.tell(self.CHANNEL, message, "feed.publish:f*")
        bad = "\0" not in message
        lines = self.logged()
        self.assert_sober(lines)
        self.assertEqual(len(heard), 0 if bad else 5)
        heard.clear()
        self.tell(self.CHANNEL, "1\0x")
        self.tell(self.CHANNEL, "1\0x", "feed.publish:f*")
        self.assertEqual(len(heard), 5)
        # When a pattern matches too, the server sends the message twice.
        self.assertLessEqual(len(lines), 2 if bad else 0, lines)
        self.assertEqual(bool(lines), bad)

    @FEW
    @given(st.sampled_from([*CHANNELS.values(), "feed.delayed:f", *FEED_CHANNELS]), MESSAGES)
    @example("newfeed", "\0" * 10_000)
    @example("conffeed", BIG)
    def test_handlers(self, channel: str, message: str) -> None:
        """A handler that fails with the parts of a message causes one line in the log."""
        self.connect()

        def handler(one: str, two: str = "") -> None:
            if one == "bad":
                raise ValueError
            self.heard.append(one)

        added = outcome(self.sub.register_handler(channel, handler))
        self.confirm()
        self.tell(channel, message)
        lines = self.logged()
        self.assertEqual((len(added), len(lines) + len(self.heard)), (1, 1))
        self.assert_sober(lines)
        if lines:
            self.assertIn(channel, lines[0])
        self.tell(channel, "1\0x" if parts_of(channel, "1\0x") else "1")
        self.assertEqual(self.heard[-1:], ["1"])


class FollowerTests(FollowerTestCase):
    """A follower meets events that no correct publisher would send."""

    def setUp(self) -> None:
        super().setUp()
        self.log = Log(self)

    def answers(self, reply: Any, most: int) -> int:
        """Give the same reply to every request, and return the number of requests."""
        count = 0
        while count < most and (asked := self.reader.sent()):
            for _ in asked:
                count += 1
                self.reader.redis.dataReceived(resp(reply))
        return count

    def test_forged_revision(self) -> None:
        """A revision that the server does not know costs a few reads, not an endless series."""
        for revision in (7, 1000, 10**14):
            FollowerTestCase.setUp(self)
            self.start()
            self.tell(change(revision))
            self.assertLessEqual(self.answers(found(5), 20), 3)
            self.tell(change(6))
            self.assertLessEqual(self.answers(found(6, 6), 20), 3)
            self.assertEqual([event.revision for event in self.seen() if event.id == "6"], [6])

    def test_configured(self) -> None:
        """Many configuration changes in one turn cause few reads, and each change is delivered."""
        self.start()
        self.tell(*[of_the_feed("config")] * 200)
        self.assertLessEqual(self.answers(found(5), 300), 5)
        self.assertEqual(self.seen(), [of_the_feed("config")] * 200)

    @FEW
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", None]),
                st.integers(0, 12) | st.sampled_from([-1, 10**14]),
                st.sampled_from([*ITEM_KINDS, *CHANNELS]),
            ),
            max_size=12,
        ),
        st.lists(st.sampled_from([found(5), found(9, 6, 7, 8, 9), OFF]), min_size=1, max_size=4),
    )
    def test_settles(self, told: list[tuple[str | None, int, str]], replies: list[Any]) -> None:
        """Whatever events and replies arrive, the reads end and events are delivered again."""
        FollowerTestCase.setUp(self)
        self.start()
        for epoch, revision, kind in told:
            if kind in CHANNELS:
                self.tell(of_the_feed(kind))
            else:
                known = None if epoch is None else revision
                self.tell(Event(kind, "news", "x", "y", revision=known, epoch=epoch))
        for reply in replies:
            self.answers(reply, 1)
        self.assertLess(self.answers(OFF, 50), 50)
        self.assertTrue(self.follower.is_live)
        self.seen()
        self.tell(change(None))
        self.answers(OFF, 50)
        self.assertIn(self.seen()[-1].kind, ("publish", "resync"))


class KeeperTests(KeeperTestCase):
    """A message on ``feed.delayed`` should hold the milliseconds until a job is due."""

    def setUp(self) -> None:
        super().setUp()
        self.log = Log(self)

    @FEW
    @given(st.lists(NUMBERS | MESSAGES, max_size=6))
    @example(["9" * 5000, "9" * 400, "1e400", "nan", "-1"])
    @example([BIG, "\0" * 10_000])
    def test_delayed(self, times: list[str]) -> None:
        """However many messages arrive, good or bad, one look is under way when a job is due."""
        KeeperTestCase.setUp(self)
        sub = self.attend()
        self.answer()
        for time in times:
            sub.answer(notice(b"x", as_bytes(time)))
        sub.answer(notice(b"x", b"50"))
        lines = self.log.take()
        self.flushLoggedErrors()
        self.assertLessEqual(len(lines), len(times))
        for line in lines:
            self.assertIn("feed.delayed:j", line)
            self.assertLess(len(line), 3000)
        self.clock.advance(0.1)
        self.under_way(1)
        self.keeper.leave()
