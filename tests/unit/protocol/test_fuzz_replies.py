"""Every verb with replies that are malformed or come from another version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.support.fuzzing import NUMBERS, QUICK, VALUES, PublisherFuzzTestCase
from tests.support.wire import lose, outcome
from txthoonk.client import ThoonkPub
from txthoonk.errors import ConnectionLost, FeedError, ThoonkError
from txthoonk.monitoring._inspector import read_overview, read_overviews
from txthoonk.types import Feed, Job, PythonQueue, Queue, SortedFeed

MOST = 16  # replies to one verb, after which the connection is lost
WRONG = RuntimeError("ERR user_script:1: from a newer version, or a foreign one")

Call = Callable[[Any], Deferred[Any]]

LOOK: list[Any] = ["ok", "feed", "json", "e", "2", [["1", ["kind", "publish", "id", "1"]]]]
FINISHED: list[Any] = ["5.5", 0, [1], [], []]
OVERVIEW: list[Any] = ["5", "job", 0, 1, 1, 0, 0, 5, 2, "3", ["o:1", "4 {}"], ["1", "2", "o:2 2"]]

# Each verb, with valid replies.
PUB: list[tuple[Call, list[Any]]] = [
    (lambda pub: pub.feed("f", {"max_length": 5}), [["type", "feed", "serializer", "json"]]),
    (lambda pub: pub.sorted_feed("f"), [["type", "sorted_feed"]]),
    (lambda pub: pub.queue("f"), [["type", "queue"]]),
    (lambda pub: pub.pyqueue("f"), [["type", "pyqueue"]]),
    (lambda pub: pub.job("f"), [["type", "job"]]),
    (lambda pub: pub.create_feed("f", {"type": "job"}), [1]),
    (lambda pub: pub.delete_feed("f"), [["kept"], []]),
    (lambda pub: pub.feed_exists("f"), [1]),
    (lambda pub: pub.get_feed_names(), [["0", ["f", "g"]]]),
    (lambda pub: pub.set_config("f", {"history": 5}), [1]),
    (lambda pub: pub.get_config("f"), [["type", "feed"]]),
    (lambda pub: pub.publish_channel("c", "x"), [1]),
    (lambda pub: read_overview(pub.redis, "f"), [OVERVIEW]),
    (
        lambda pub: Deferred.fromCoroutine(read_overviews(pub.redis, ["f", "g"])),
        [OVERVIEW, OVERVIEW],
    ),
]
FEED: list[tuple[Call, list[Any]]] = [
    (lambda feed: feed.publish([1], "i"), [["i"]]),
    (lambda feed: feed.publish([1], "i", expect=1), [[["CONFLICT", 2, "[1]"]]]),
    (lambda feed: feed.retract("i"), [1]),
    (lambda feed: feed.retract("i", expect=1), [["CONFLICT", 2, "[1]"]]),
    (lambda feed: feed.get_ids(), [["i"]]),
    (lambda feed: feed.get_item("i"), [["[1]"]]),
    (lambda feed: feed.get_item("i", with_revision=True), [["[1]", 4]]),
    (lambda feed: feed.get_all(), [[["i", "j"], ["[1]", None]]]),
    (lambda feed: feed.has_id("i"), [1]),
    (lambda feed: feed.length(), [1]),
    (lambda feed: feed.revision(), [LOOK]),
    (lambda feed: feed.get_history(), [LOOK, ["ok", "feed", "json", "e", "2", []]]),
    (lambda feed: feed.get_history("e:0", 1), [LOOK]),
]
SORTED: list[tuple[Call, list[Any]]] = [
    (lambda feed: feed.append([1]), [["1"]]),
    (lambda feed: feed.publish_before("2", [1]), [["1"]]),
    (lambda feed: feed.edit("1", [1]), [1]),
    (lambda feed: feed.edit("1", [1], expect=0), [["CONFLICT", 0, None]]),
    (lambda feed: feed.move_first("1"), [1]),
    (lambda feed: feed.get_items(), [[["1"], ["[1]"]]]),
    (lambda feed: feed.get_ids(), [["1"]]),
]
QUEUE: list[tuple[Call, list[Any]]] = [
    (lambda queue: queue.put([1]), [["i"]]),
    (lambda queue: queue.put_many([[1], [2]]), [["i", "j"]]),
    (lambda queue: queue.get(), [["5.5", 0, "i", "[1]"]]),
    (lambda queue: queue.get_ids(), [["i"]]),
    (lambda queue: queue.length(), [1]),
    (lambda queue: queue.is_paused(), [["paused", "1"]]),
    (lambda queue: queue.maintenance(), [[], 0, [0, 0, 0], ["0", 1, ["i"]], 1, ["i"], [1, 1]]),
]
JOB: list[tuple[Call, list[Any]]] = [
    (lambda job: job.put([1]), [["i"]]),
    (lambda job: job.put([1], id_="i", delay=5), ["100", [0, None, "0", None]]),
    (lambda job: job.put_many([[1], [2]]), [["i", "j"]]),
    (lambda job: job.get(), [["5.5", 0, "i", "[1]", 0]]),
    (lambda job: job.finish("i", [1]), [FINISHED]),
    (lambda job: job.finish("i"), [["5.5", 0, ["NOTCLAIMED no"], [], []]]),
    (lambda job: job.finish("i", [1], 5), [["5.5", 0, [1], [], ["old"]], []]),
    (lambda job: job.cancel("i"), [1]),
    (lambda job: job.stall("i", "why"), [1]),
    (lambda job: job.fail("i", ValueError("x")), [["available", 1]]),
    (lambda job: job.release("i"), [1]),
    (lambda job: job.retry("i"), [1]),
    (lambda job: job.renew("i"), [1]),
    (lambda job: job.retract("i"), [1]),
    (lambda job: job.edit("i", [1]), [1]),
    (lambda job: job.get_item("i"), ["[1]"]),
    (lambda job: job.has_id("i"), ["[1]"]),
    (lambda job: job.get_ids(), [["0", 1, ["i"]], ["7", 1, []], ["0", 1, ["j"]], ["0", 1, []]]),
    (lambda job: job.get_ids("claimed"), [["i"]]),
    (lambda job: job.get_failure_count("i"), ["3"]),
    (lambda job: job.get_failure("i"), ['1 2 {"type": "E"}']),
    (lambda job: job.get_failures(), [["0", ["i", "1 2 {}"]]]),
    (lambda job: job.get_progress("i"), ['{"done": 1}']),
    (lambda job: job.stats(), [[1, 2, 3, 4, 5, 6]]),
    (lambda job: job.drain(delayed=True), [1, [1, ["i"]], 1, [1, ["i"]], [0, []]]),
    (lambda job: job.get_result("i"), [["kept", "[1]", "[2]"]]),
    (lambda job: job.wait("i"), [["gone"]]),
    (
        lambda job: job.maintenance(),
        [
            *([], [0, 0, 0, 0, None], [0, None, "0", None], 0, [0, 0], "0", "0", "0", "0"),
            *(0, [0, 0, 0], ["0", 1, ["i"]], 1, ["i"]),
        ],
    ),
]

Verb = tuple[Callable[[ThoonkPub], Any], Call, list[Any]]
VERBS: list[Verb] = [
    *((lambda pub: pub, call, replies) for call, replies in PUB),
    *((lambda pub: Feed(pub, "f", "json"), call, replies) for call, replies in FEED),
    *((lambda pub: SortedFeed(pub, "f", "json"), call, replies) for call, replies in SORTED),
    *((lambda pub: Queue(pub, "f", "json"), call, replies) for call, replies in QUEUE),
    *((lambda pub: Job(pub, "f", "json"), call, replies) for call, replies in JOB),
    (lambda pub: PythonQueue(pub, "f"), lambda queue: queue.get(), [["5.5", 0, "i", b"N."]]),
]

ANYTHING = VALUES | NUMBERS


@st.composite
def nearly(draw: Any, reply: Any) -> Any:
    """Draw a reply that is not quite valid."""
    if not isinstance(reply, list) or draw(st.integers(0, 3)) == 0:
        return draw(ANYTHING)
    changed = list(reply)
    what = draw(st.sampled_from(["less", "more", "cut", "other", "other", "other"]))
    place = draw(st.integers(0, max(0, len(changed) - 1)))
    if what == "more":
        changed.insert(place, draw(ANYTHING))
    elif what == "cut":
        del changed[place:]
    elif what == "less":
        del changed[place : place + 1]
    elif changed:
        changed[place] = draw(nearly(changed[place]))
    return changed


@st.composite
def attempts(draw: Any) -> tuple[int, list[Any]]:
    """Draw a verb and its replies, of which only the first ones are valid."""
    number = draw(st.integers(0, len(VERBS) - 1))
    replies = VERBS[number][2]
    sound = draw(st.integers(0, len(replies) - 1))
    wrong = draw(nearly(replies[sound]))
    rest = draw(st.lists(ANYTHING | st.just(WRONG), max_size=4))
    return number, [*replies[:sound], wrong, *rest]


class ReplyTests(PublisherFuzzTestCase):
    def run_verb(self, number: int, replies: list[Any]) -> list[Any]:
        """Call a verb with these replies; return its results, after losing the connection."""
        make, call, _ = VERBS[number]
        fired = outcome(call(make(self.connect())))
        for turn in range(MOST):
            if fired:
                break
            reply = replies[min(turn, len(replies) - 1)]
            for connection in [self.main, *self.endpoint.connections]:
                for _ in connection.sent():
                    connection.answer(reply)
            self.clock.advance(1)
        self.ended = bool(fired)
        for connection in [self.main, *self.endpoint.connections]:
            if connection.transport.connected:
                connection.transport.connected = False
                protocol = connection.protocol
                lose(getattr(protocol, "redis", protocol))
        self.pub.waiting_room.drop(ConnectionLost("the test is over"))
        return fired

    def test_as_they_should_be(self) -> None:
        """The valid replies above do not confuse any verb."""
        for number, (_, _, replies) in enumerate(VERBS):
            fired = self.run_verb(number, replies)
            self.assertEqual((self.ended, len(fired)), (True, 1), replies)
            if isinstance(fired[0], Exception):
                self.assertIsInstance(fired[0], FeedError, str(replies))

    @QUICK
    @given(attempts())
    def test_once(self, attempt: tuple[int, list[Any]]) -> None:
        """A verb ends exactly once, whatever the replies, and no failure is left unhandled."""
        fired = self.run_verb(*attempt)
        self.assertEqual(len(fired), 1)

    @QUICK
    @given(attempts())
    def test_clear(self, attempt: tuple[int, list[Any]]) -> None:
        """A verb fails only with an error of txthoonk that has a message."""
        fired = self.run_verb(*attempt)
        if isinstance(fired[0], Exception):
            self.assertIsInstance(fired[0], ThoonkError)
            self.assertTrue(str(fired[0]))

    def test_no_verb_hangs(self) -> None:
        """A malformed first reply ends each verb, without the loss of the connection."""
        hanging = [  # type: ignore[var-annotated]
            (number, reply)
            for number in range(len(VERBS))
            for reply in (None, 7, "x", [], [[]], [None], ["x"], WRONG)
            if not (self.run_verb(number, [reply, WRONG]) and self.ended)
        ]
        self.assertEqual(hanging, [])
