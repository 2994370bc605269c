"""A pattern with very many feeds: only a limited number starts at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.dispatching import DispatcherTestCase
from tests.support.followers import Reader
from tests.support.wire import SCRIPTS, commands, resp
from txthoonk.events import Event
from txthoonk.history._recovery import UNRECORDED
from txthoonk.subscriptions import Subscription
from txthoonk.subscriptions._groups import AT_ONCE, follow_pattern
from txthoonk.subscriptions._router import Sources
from txthoonk.subscriptions.following._follower import Follower

MANY = 3 * AT_ONCE
NAMES = [f"news:{number}" for number in range(MANY)]
LIVE: list[Any] = ["ok", "feed", None, "a", "5", []]
OFF = ["off", "feed", None]


class PaceTestCase(DispatcherTestCase):
    """A subscription to a pattern, with the connections in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.reader: Any = Reader()
        self.sources = Sources(self.dispatcher, "marks", lambda: self.redis.send("PING"))
        self.patch(self.sources, "reader", self.reader)
        self.events: list[Event] = []
        self.subscription = Subscription("news:*", self.events.append)
        self.started: Deferred[Subscription] = follow_pattern(
            self.sources, self.subscription, "news:*"
        )

    def confirm_all(self) -> None:
        """Confirm all requested channels and patterns."""
        for kind, *names in [line.split(" ") for line in self.sent()]:
            self.confirm(*names, kind=kind.lower())

    def asked(self) -> list[str]:
        """Return the requests: scans of names, and looks at feeds."""
        words = commands(self.reader.transport.value())
        self.reader.transport.clear()
        return [
            b" ".join([b"look", one[9]] if one[1] in SCRIPTS else [one[0], one[2]]).decode()
            for one in words
        ]

    def answer(self, *replies: Any) -> None:
        for reply in replies:
            self.reader.redis.dataReceived(resp(reply))

    def begin(self, reply: list[Any] = LIVE) -> None:
        """Let all feeds go live."""
        self.confirm_all()
        self.asked()
        self.answer(["0", NAMES])
        while not self.started.called:
            self.answer(*[reply] * len(self.asked()))
        self.asked()

    def come_back(self) -> None:
        """Lose the connection, and let the next one confirm everything."""
        self.lose()
        self.connect()
        self.confirm_all()

    def connect(self) -> None:
        super().connect()
        self.patch(self.redis, "channelPatternSubscribed", self.dispatcher.pattern_confirmed)


class BeginningTests(PaceTestCase):
    def test_names_in_slices(self) -> None:
        """The registry is scanned in slices, for matching names only."""
        self.confirm_all()
        (words,) = commands(self.reader.transport.value())
        self.assertEqual(words, [b"SSCAN", b"feeds", b"0", b"MATCH", b"news:*", b"COUNT", b"1000"])
        self.asked()
        self.answer(["17", ["news:1"]])
        self.assertEqual(self.asked(), ["look news:1", "SSCAN 17"])
        self.answer(LIVE, ["0", ["news:1", "news:2"]])
        self.assertEqual(self.asked(), ["look news:2"])
        self.assertNoResult(self.started)
        self.answer(LIVE)
        self.assertIs(self.successResultOf(self.started), self.subscription)

    def test_scan_begins_again(self) -> None:
        """After a lost connection the scan starts again: a cursor belongs to one server."""
        self.confirm_all()
        self.answer(["17", []])
        self.reader.redis.connectionLost()
        self.reader.connect()
        self.reader.returns[0].callback(None)
        self.assertEqual(self.asked(), ["SSCAN 0"])

    def test_few_at_once(self) -> None:
        """A limited number of feeds is looked at, and one more for each answer."""
        self.confirm_all()
        self.asked()
        self.answer(["0", NAMES])
        self.assertEqual(self.asked(), [f"look {name}" for name in NAMES[:AT_ONCE]])
        self.answer(LIVE)
        self.assertEqual(self.asked(), [f"look {NAMES[AT_ONCE]}"])

    def test_one_that_cannot_be_read(self) -> None:
        """A feed that cannot be read does not delay the others."""
        self.confirm_all()
        self.asked()
        self.answer(["0", NAMES])
        self.asked()
        self.reader.redis.dataReceived(b"-WRONGTYPE\r\n" * AT_ONCE)
        self.assertEqual(self.asked(), [f"look {one}" for one in NAMES[AT_ONCE : 2 * AT_ONCE]])

    def test_stopped(self) -> None:
        """A stopped subscription ends the reads under way, and begins no others."""
        self.confirm_all()
        self.answer(["0", NAMES])
        self.asked()
        self.subscription.stop()
        self.answer(*[LIVE] * AT_ONCE)
        self.assertEqual((self.asked(), self.events), ([], []))


class ReturnTests(PaceTestCase):
    def test_loss_touches_none(self) -> None:
        """A lost connection does no work for each feed before the feed's turn comes."""
        self.begin()
        self.patch(Follower, "lost", lambda _: self.fail("that would take too long"))
        self.lose()
        self.assertEqual((self.asked(), self.events), ([], []))

    def test_few_at_once(self) -> None:
        """A limited number of feeds reads from their positions, and one more for each answer."""
        self.begin()
        self.come_back()
        asked = self.asked()
        self.assertEqual(asked, [f"look {name}" for name in NAMES[:AT_ONCE]])
        self.reader.pauses.pop().callback(None)
        for _ in range(2 * AT_ONCE):
            self.answer(LIVE)
            asked += self.asked()
            while self.reader.pauses:
                self.reader.pauses.pop().callback(None)
        self.assertEqual(asked, [f"look {name}" for name in NAMES])
        self.assertEqual(self.events, [])

    def test_message_before_its_turn(self) -> None:
        """A feed whose message arrives before its turn is looked at immediately."""
        self.begin()
        self.come_back()
        self.asked()
        message = "a\0007\0publish\0one\0x"
        self.receive("pmessage", "feed.event:news:*", f"feed.event:{NAMES[-1]}", message)
        self.assertEqual(self.asked(), [f"look {NAMES[-1]}"])
        missed = ["6", ["kind", "publish", "id", "zero", "item", "y"]]
        self.answer(*[LIVE] * AT_ONCE, ["ok", "feed", None, "a", "6", [missed]])
        told = [(event.feed, event.id, event.revision) for event in self.events]
        self.assertEqual(told, [(NAMES[-1], "zero", 6), (NAMES[-1], "one", 7)])

    def test_resync_of_each(self) -> None:
        """Each feed without a history gets one resync, even after two losses in a row."""
        self.begin(OFF)
        self.lose()
        self.connect()
        self.come_back()
        while asked := self.asked():
            self.answer(*[["0", []] if one == "SSCAN 0" else OFF for one in asked])
            while self.reader.pauses:
                self.reader.pauses.pop().callback(None)
        expected = [("resync", name, UNRECORDED) for name in NAMES]
        told = [(event.kind, event.feed, event.reason) for event in self.events]
        self.assertEqual(told, expected)

    def test_refused(self) -> None:
        """If Redis refuses the pattern, a limited number of feeds at a time gets a resync."""
        self.begin()
        self.lose()
        self.connect()
        self.sent()
        self.deny()
        self.assertEqual(len(self.events), AT_ONCE)
        self.reader.pauses.pop().callback(None)
        self.assertEqual(len(self.events), 2 * AT_ONCE)


class CurrentTests(PaceTestCase):
    def test_until_all_are_read(self) -> None:
        """A pattern is current when all of its feeds are, at first and after a lost connection."""
        self.assertFalse(self.subscription.current)
        self.begin()
        self.assertTrue(self.subscription.current)
        self.lose()
        self.assertFalse(self.subscription.current)
        self.connect()
        self.confirm_all()
        while asked := self.asked():
            self.assertFalse(self.subscription.current)
            self.answer(*[["0", []] if one == "SSCAN 0" else LIVE for one in asked])
            while self.reader.pauses:
                self.reader.pauses.pop().callback(None)
        self.assertTrue(self.subscription.current)


class AloneTests(PaceTestCase):
    def test_bare_subscriber(self) -> None:
        """A bare subscriber also takes up its feeds over several turns of the reactor."""
        self.sources.reader = None
        turns: list[Deferred[Any]] = []

        def next_turn() -> Deferred[Any]:
            turns.append(Deferred())
            return turns[-1]

        self.patch(self.sources, "next_turn", next_turn)
        self.confirm_all()
        for name in NAMES:
            self.receive("pmessage", "feed.retract:news:*", f"feed.retract:{name}", "one")
        self.events.clear()
        self.come_back()
        for count in range(1, 4):
            self.assertEqual(len(self.events), count * AT_ONCE)
            turns.pop().callback(None)
        self.assertEqual({event.kind for event in self.events}, {"resync"})
