"""One call renews all claims in time, and lost claims are reported to their feeds."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.logs import observe_log
from txthoonk.connections._back_off import FIRST_DELAY, LAST_DELAY
from txthoonk.consumers import _heartbeat
from txthoonk.consumers._heartbeat import LONGEST, MOST_FEEDS, SHORTEST, Renewal, renewal_of
from txthoonk.consumers._outages import Outages
from txthoonk.errors import ConnectionLost, ResponseError, from_reply
from txthoonk.types import Claim


class Room:
    """The parts of a waiting room that a renewal uses."""

    def __init__(self) -> None:
        self.outages = Outages(patient=False)
        self.renewal: Any = None
        self.sub = Sub()
        self.subscriber = self

    @property
    def returning(self) -> Any:
        """Return the objects that resume on a new connection."""
        return self.outages.returning

    def join(self, listening: Any) -> None:
        """Add a listener."""

    def leave(self, listening: Any) -> None:
        """Remove a listener."""

    def get(self) -> Deferred[Any]:
        """Return the subscriber."""
        return succeed(self.sub)


class Sub:
    """A subscriber whose channels are never confirmed."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def listen(self, wanted: Any) -> Deferred[Any]:
        """Record the callbacks."""
        self.told |= {channel: told for channel, told, _ in wanted}
        return Deferred()


class Pub:
    """A publisher whose calls the test answers."""

    uuid = "me"

    def __init__(self) -> None:
        self.waiting_room = Room()
        self.redis = self
        self.calls: list[tuple[tuple[Any, ...], Deferred[Any]]] = []

    def call(self, script: Any, command: tuple[Any, ...], encoding: Any) -> Deferred[Any]:
        """Record a call."""
        answer: Deferred[Any] = Deferred()
        self.calls.append((command, answer))
        return answer


class Feed:
    """A feed with a worker."""

    def __init__(self, name: str, ids: str = "") -> None:
        self.name = name
        self.number = ord(name)
        self.held: list[Claim] = []
        for id_ in ids:
            claim = Claim(id_, "item", 0)
            claim.token = f"token {id_}"
            self.held.append(claim)
        self.told: list[Any] = []
        self.job: Any = self

    def claims(self) -> list[Claim]:
        """Return the claims to renew."""
        return self.held

    def about(self) -> str:
        """Return what the heartbeat reports about the worker."""
        return f"about {self.name}"

    def lost(self, claim: Claim) -> None:
        """Record a lost claim."""
        self.told.append(claim)

    def learn_timeout(self, seconds: float) -> None:
        """Record a timeout."""
        self.told.append(seconds)


class RenewalTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pub, self.clock = Pub(), Clock()
        pub: Any = self.pub
        self.renewal: Any = Renewal(pub, self.clock)

    def calls(self) -> list[tuple[Any, ...]]:
        """Return the words of all calls, without the script and its keys."""
        words = [command for command, _ in self.pub.calls]
        return [command[command.index(_heartbeat.FORGOTTEN) :] for command in words]

    def answer(self, *reply: Any) -> None:
        """Answer the oldest call."""
        self.pub.calls.pop(0)[1].callback(list(reply))

    def add(self, *feeds: Feed, timeout: str | None = "60") -> None:
        """Add some feeds and answer the first call."""
        for feed in feeds:
            self.renewal.add(feed)
        self.clock.advance(0)
        words: tuple[Any, ...] = (timeout, [])
        self.answer(*words * len(feeds))
        for feed in feeds:
            feed.told.clear()


class CallTests(RenewalTestCase):
    def test_one_call(self) -> None:
        """One call renews all claims of all feeds as soon as a feed is added."""
        self.renewal.add(Feed("x", "ab"))
        self.renewal.add(Feed("y"))
        self.assertEqual(self.pub.calls, [])
        self.clock.advance(0)
        x = ("about x", 2, "a", "token a", "b", "token b")
        words = (_heartbeat.FORGOTTEN, "me:120", *x, "me:121", "about y", 0)
        self.assertEqual(self.calls(), [words])
        keys = [
            f"feed.{kind}:{name}" for name in "xy" for kind in ("claimed", "claims", "workers")
        ]
        self.assertTrue(set(keys) < set(self.pub.calls[0][0]))

    def test_many(self) -> None:
        """Many claims are renewed in parts."""
        self.patch(_heartbeat, "MOST_CLAIMS", 2)
        self.renewal.add(Feed("x", "abc"))
        self.renewal.add(Feed("y", "d"))
        self.renewal.add(Feed("z", "e"))
        self.clock.advance(0)
        sizes = []
        while self.pub.calls:
            words = self.calls()[0]
            sizes.append([word for word in words if str(word).startswith("token")])
            feeds = sum(str(word).startswith("about") for word in words)
            self.answer(*["60", []] * feeds)
        tokens = [["token a", "token b"], ["token c", "token d"], ["token e"]]
        self.assertEqual(sizes, tokens)

    def test_many_feeds(self) -> None:
        """Many feeds are reported in parts; feeds with claims to lose come first."""
        feeds = [Feed(chr(ord("A") + number)) for number in range(2 * MOST_FEEDS + 50)]
        feeds[-1].held = Feed("x", "a").held
        for feed in feeds:
            self.renewal.add(feed)
        self.clock.advance(0)
        sizes = []
        self.assertIn("token a", self.calls()[0])
        while self.pub.calls:
            command = self.pub.calls[0][0]
            told = sum(str(word).startswith("about") for word in command)
            sizes.append(told)
            self.assertEqual(command[2], 4 * told)
            self.answer(*["60", []] * told)
        self.assertEqual(sizes, [MOST_FEEDS, MOST_FEEDS, 50])

    def test_slow_answer(self) -> None:
        """No renewal is sent while an answer is pending; renewals continue after the answer."""
        feed = Feed("x", "a")
        self.add(feed)
        self.clock.advance(LONGEST)
        self.clock.advance(LONGEST)
        self.assertEqual(len(self.pub.calls), 1)
        self.answer("60", [])
        self.clock.advance(LONGEST)
        self.assertEqual(len(self.pub.calls), 1)

    def test_lost(self) -> None:
        """A lost claim is reported to the feed that held it, even if feeds share item ids."""
        x, y = Feed("x", "ab"), Feed("y", "ab")
        self.add(x, y)
        self.clock.advance(LONGEST)
        self.answer("60", [1], "60", [0])
        self.assertEqual((x.told, y.told), ([60.0, x.held[1]], [60.0, y.held[0]]))

    def test_fails(self) -> None:
        """A failed call is logged, unless the connection was lost, and repeated on time."""
        self.add(Feed("x", "a"))
        for error, logged in ((ConnectionLost("no"), 0), (ResponseError("no"), 1)):
            self.clock.advance(LONGEST)
            self.pub.calls.pop(0)[1].errback(error)
            self.assertEqual(len(self.flushLoggedErrors(ResponseError)), logged)
        self.clock.advance(LONGEST)
        self.assertEqual(len(self.pub.calls), 1)

    def test_passes(self) -> None:
        """A temporary error is logged as one line without a traceback."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(event["log_format"].format(**event))

        observe_log(self, observe)
        self.add(Feed("x", "a"))
        for text in (
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOPERM this user has no permissions to run the 'evalsha' command",
        ):
            self.clock.advance(LONGEST)
            self.pub.calls.pop(0)[1].errback(from_reply(text))
            (line,) = lines
            self.assertIn(text.partition(" ")[2][-20:], line)
            lines.clear()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_returning(self) -> None:
        """The renewal registers with the room, and renews everything on a new connection."""
        feed = Feed("x", "a")
        self.add(feed)
        self.assertEqual(self.pub.waiting_room.returning, {self.renewal: None})
        self.renewal.resume()
        self.assertEqual(len(self.pub.calls), 1)
        self.answer("60", [])
        self.renewal.remove(feed)
        self.assertEqual(self.pub.waiting_room.returning, {})

    def test_one_each(self) -> None:
        """A publisher has one renewal."""
        pub: Any = self.pub
        self.assertIs(renewal_of(pub, self.clock), renewal_of(pub, self.clock))


class TimeTests(RenewalTestCase):
    def due(self) -> float:
        """Return the seconds until the next renewal."""
        (call,) = self.clock.getDelayedCalls()
        return float(call.getTime() - self.clock.seconds())

    def test_interval(self) -> None:
        """Claims are renewed three times per shortest timeout, within limits."""
        for timeout, interval in (
            ("60", LONGEST),
            ("3", 1.0),
            ("1.5", 0.5),
            ("0.001", SHORTEST),
            (None, LONGEST),
            ("0", LONGEST),
            ("nonsense", LONGEST),
            ("nan", LONGEST),
            ("inf", LONGEST),
            ("-5", LONGEST),
        ):
            self.setUp()
            self.add(Feed("x", "a"), timeout=timeout)
            self.assertAlmostEqual(self.due(), interval, msg=str(timeout))

    def test_shortest(self) -> None:
        """The shortest timeout sets the interval for as long as its feed has a worker."""
        x, y = Feed("x"), Feed("y")
        self.renewal.add(x)
        self.renewal.add(y)
        self.clock.advance(0)
        self.answer("0.3", [], "3", [])
        self.assertEqual((x.told, y.told), ([0.3], [3.0]))
        self.assertAlmostEqual(self.due(), 0.1)
        self.renewal.remove(x)
        self.answer(None, [])
        self.clock.advance(0.1)
        self.answer("3", [])
        self.clock.advance(0.1)
        self.assertTrue(0.8 < self.due() <= 1.0, self.due())

    def test_configured(self) -> None:
        """A configuration event of one feed causes a renewal of that feed only."""
        x, y = Feed("x", "a"), Feed("y", "b")
        self.add(x, y)
        told = self.pub.waiting_room.sub.told["conffeed"]
        told("z", "instance")
        self.assertEqual(self.pub.calls, [])
        told("y", "instance")
        self.assertEqual(
            self.calls(), [(_heartbeat.FORGOTTEN, "me:121", "about y", 1, "b", "token b")]
        )
        self.answer("3", [])
        self.assertEqual((x.told, y.told), ([], [3.0]))
        self.assertAlmostEqual(self.due(), 1.0)

    def test_longer(self) -> None:
        """A longer timeout of one feed does not postpone a renewal that is due for the others."""
        x, y = Feed("x", "a"), Feed("y", "b")
        self.renewal.add(x)
        self.renewal.add(y)
        self.clock.advance(0)
        self.answer("3", [], "6", [])
        for _ in range(3):
            self.clock.advance(0.3)
            self.pub.waiting_room.sub.told["conffeed"]("y")
            self.answer("60", [])
        self.assertAlmostEqual(self.due(), 0.1)

    def test_reconnecting(self) -> None:
        """A publisher with claims to renew reconnects well within half a timeout."""
        feed = Feed("x", "a")
        self.assertEqual(self.renewal.longest_rest(), LAST_DELAY)
        self.add(feed, timeout="0")
        self.assertEqual(self.renewal.longest_rest(), LAST_DELAY)
        self.renewal.renew()
        self.answer("6", [])
        waits = [self.renewal.longest_rest() for _ in range(300)]
        self.assertTrue(
            0.5 <= min(waits) < 0.6 and 0.9 < max(waits) <= 1, (min(waits), max(waits))
        )
        self.renewal.renew()
        self.answer("0.01", [])
        self.assertEqual(self.renewal.longest_rest(), FIRST_DELAY)

    def test_changes(self) -> None:
        """A changed timeout applies from the next answer on."""
        feed = Feed("x", "a")
        self.add(feed)
        self.renewal.renew()
        self.answer("0.3", [])
        self.assertEqual(feed.told, [0.3])
        self.assertAlmostEqual(self.due(), 0.1)


class EndTests(RenewalTestCase):
    def test_removed(self) -> None:
        """Removing a feed reports that its worker ended, and nothing stays scheduled."""
        feed = Feed("x", "a")
        self.add(feed)
        ended = self.renewal.remove(feed)
        self.assertEqual(self.calls(), [(_heartbeat.FORGOTTEN, "me:120", "", 0)])
        self.assertNoResult(ended)
        self.answer("60", [])
        self.successResultOf(ended)
        self.assertEqual((self.clock.getDelayedCalls(), feed.told), ([], []))

    def test_late_answer(self) -> None:
        """An answer that arrives after the end changes nothing."""
        feed = Feed("x", "a")
        self.add(feed)
        self.renewal.renew()
        ended = self.renewal.remove(feed)
        self.answer("3", [])
        self.answer("3", [])
        self.successResultOf(ended)
        self.assertEqual((self.clock.getDelayedCalls(), feed.told), ([], []))

    def test_between_two_parts(self) -> None:
        """A worker that ends between two parts of a renewal is not reported as alive any more."""
        self.patch(_heartbeat, "MOST_CLAIMS", 1)
        x, y = Feed("x", "a"), Feed("y", "b")
        self.add(Feed("w", "w"))
        self.renewal.add(x)
        self.renewal.add(y)
        self.clock.advance(0)
        ended = [self.renewal.remove(x), self.renewal.remove(y)]
        told: list[Any] = []
        while self.pub.calls:
            words = self.calls()[0]
            told.append([word for word in words[2:] if str(word).startswith("about") or not word])
            self.answer("60", [])
        for one in ended:
            self.successResultOf(one)
        after_the_end = [word for words in told[1:] for word in words]
        self.assertEqual([word for word in after_the_end if word in ("about x", "about y")], [])
