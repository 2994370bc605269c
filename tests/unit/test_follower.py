"""One feed as a subscription follows it, beside a publisher's connection in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.wire import SCRIPTS, commands, lose, outcome, redis, resp
from txthoonk import _assembly, _follower
from txthoonk._assembly import Unordered
from txthoonk._follower import UNSEEN, Follower
from txthoonk._history import REASONS
from txthoonk._replay import FOREIGN, SLOW, UNRECORDED, Position
from txthoonk._source import Source
from txthoonk.errors import ConnectionLost, ResponseError, ThoonkError
from txthoonk.events import Event
from txthoonk.subscriptions import Subscription

ANEW = "the feed was created anew"
NOFEED = "NOFEED feed 'news' does not exist"


def change(revision: int | None, epoch: str | None = "a", item: Any = "x") -> Event:
    """Make the event of a publish, with its revision as its id."""
    epoch = None if revision is None else epoch
    return Event("publish", "news", str(revision), item, revision=revision, epoch=epoch)


def changes(*revisions: int, epoch: str = "a") -> list[Event]:
    return [change(revision, epoch) for revision in revisions]


def of_the_feed(kind: str) -> Event:
    return Event(kind, "news")


def resync(reason: str, epoch: str | None = None, revision: int | None = None) -> Event:
    return Event("resync", "news", revision=revision, epoch=epoch, reason=reason)


def snapshot(items: list[Any], epoch: str | None = None, revision: int | None = None) -> Event:
    return Event("snapshot", "news", item=items, revision=revision, epoch=epoch)


def found(top: int, *revisions: int, epoch: str = "a", verdict: str = "ok") -> list[Any]:
    """Make the answer to a look."""
    entries = [[str(one), ["kind", "publish", "id", str(one), "item", "x"]] for one in revisions]
    return [verdict, "feed", None, epoch, str(top), entries]


OFF = ["off", "feed", None]


def state(top: int | None, **items: str) -> list[Any]:
    """Make the answer to a request for the state."""
    epoch, revision = (None, None) if top is None else ("a", str(top))
    return ["ok", "feed", None, epoch, revision, list(items), list(items.values())]


class Reader:
    """A publisher's connection; the marks that come back, and when it is there again."""

    mark_channel = "marks"

    def __init__(self) -> None:
        self.connect()
        self.marks: list[tuple[Callable[[], object], Deferred[None]]] = []
        self.returns: list[Deferred[Any]] = []

    def connect(self) -> None:
        self.redis, self.transport = redis()
        self.redis._loaded.update(sha.decode() for sha in SCRIPTS)

    def available(self) -> Deferred[Any]:
        self.returns.append(Deferred())
        return self.returns[-1]

    def ping(self) -> Deferred[Any]:
        raise AssertionError("no state of these tests is read in slices")

    def mark(self, passed: Callable[[], object]) -> tuple[str, Deferred[None]]:
        self.marks.append((passed, Deferred()))
        return str(len(self.marks)), self.marks[-1][1]

    def pass_mark(self) -> None:
        passed, came = self.marks[-1]
        passed()
        came.callback(None)

    def sent(self) -> list[str]:
        """Give the scripts that were called, each with its arguments but the feed."""
        words = commands(self.transport.value())
        self.transport.clear()
        return [
            b" ".join([SCRIPTS[one[1]].split(b"/")[1], *one[4 + int(one[2]) :]]).decode()
            for one in words
        ]


class FollowerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = Reader()
        self.source = Source("news")
        self.events: list[Event] = []
        self.then: Callable[[Event], Any] = lambda _: None

    def make(self, reader: bool = True, limit: int = 0, **arguments: Any) -> Follower:
        """Make a follower; with a limit, for a subscriber who takes the events himself."""
        handler = None if limit else self.take
        self.subscription = Subscription("news", handler, limit or 1000)
        self.follower = Follower(
            self.subscription, self.source, self.reader if reader else None, **arguments
        )
        self.source.followers = (self.follower,)
        self.first = outcome(self.follower.first)
        return self.follower

    def take(self, event: Event) -> Any:
        self.events.append(event)
        return self.then(event)

    def start(self, answer: list[Any] | None = None, **arguments: Any) -> Follower:
        """Make a follower that is live, at revision 5 of epoch a unless told otherwise."""
        self.make(**arguments)
        self.follower.ready()
        self.answer(answer or found(5))
        self.assertEqual((self.seen(), self.first), ([], [None]))
        self.assertTrue(self.follower.is_live)
        return self.follower

    def answer(self, reply: Any) -> None:
        """Answer what was asked last."""
        self.asked = self.reader.sent()
        error = f"-{reply}\r\n".encode() if isinstance(reply, str) else b""
        self.reader.redis.dataReceived(error or resp(reply))

    def tell(self, *events: Event) -> None:
        for event in events:
            self.source.tell(event)

    def seen(self) -> list[Event]:
        while self.subscription._handler is None and self.subscription._events:
            self.take_one()
        events = list(self.events)
        self.events.clear()
        return events

    def take_one(self, count: int = 1) -> None:
        for _ in range(count):
            self.events.append(self.successResultOf(self.subscription.next()))

    @property
    def position(self) -> tuple[str | None, int]:
        return self.follower.epoch, self.follower.revision

    def assert_stays(self) -> None:
        """Check that nothing is asked, and that nothing is told any more."""
        self.tell(change(None), change(6), of_the_feed("config"))
        self.assertEqual((self.reader.sent(), self.seen()), ([], []))


class StartTests(FollowerTestCase):
    def test_present(self) -> None:
        """It begins at the present: what is told after the first look is delivered."""
        self.make()
        self.tell(change(4))
        self.follower.ready()
        self.assertEqual(self.reader.sent(), ["look   0"])
        self.tell(*changes(5, 6))
        self.assertEqual((self.first, self.seen()), ([], []))
        self.answer(found(5))
        self.assertEqual((self.first, self.seen()), ([None], changes(6)))
        self.tell(*changes(7))
        self.assertEqual((self.seen(), self.position), (changes(7), ("a", 7)))

    def test_no_history(self) -> None:
        """Without a history, or a feed, all that is told from the confirmation on counts."""
        for answer in (OFF, NOFEED):
            self.make()
            self.follower.ready()
            self.tell(change(None))
            self.answer(answer)
            self.tell(change(None))
            self.assertEqual((self.seen(), self.position), ([change(None)] * 2, (None, 0)))

    def test_since(self) -> None:
        """It begins behind a position with what the history has, and goes on live."""
        for position, asked in ((Position("a", 3), "a 3"), (Position("", 3), " 3")):
            self.make(position=position, gap=REASONS["off"], snapshot=True)
            self.follower.ready()
            self.tell(*changes(5, 6))
            self.answer(found(5, 4, 5))
            self.assertEqual(self.asked, [f"look {asked} 1000"])
            self.assertEqual((self.first, self.seen()), ([None], changes(4, 5, 6)))

    def test_since_is_void(self) -> None:
        """Where what is behind the position cannot be had, it says why."""
        for answer, event in (
            (found(9, verdict="trimmed"), resync(REASONS["trimmed"], "a", 9)),
            (found(9, epoch="b", verdict="recreated"), resync(REASONS["recreated"], "b", 9)),
            (OFF, resync(REASONS["off"])),
            (NOFEED, resync(REASONS["off"])),
        ):
            self.make(position=Position("a", 3), gap=REASONS["off"])
            self.follower.ready()
            self.answer(answer)
            self.assertEqual((self.first, self.seen()), ([None], [event]))
            self.assertEqual(self.position, (event.epoch, event.revision or 0))

    def test_new_feed(self) -> None:
        """Of a new feed all events are delivered, those before the confirmation too."""
        self.make(from_start=True, snapshot=True)
        self.follower.ready()
        self.tell(*changes(2, 3))
        self.answer(found(2, 1, 2))
        self.assertEqual((self.asked, self.seen()), (["look  0 1000"], changes(1, 2, 3)))

    def test_refused(self) -> None:
        """If Redis does not let it listen or read, nothing begins."""
        error = ResponseError("NOPERM")
        self.make()
        self.follower.refused(error)
        self.assertEqual(self.first, [error])
        self.make()
        self.follower.ready()
        self.answer("NOPERM look")
        self.assertEqual([str(one) for one in self.first], ["NOPERM look"])
        self.assert_stays()

    def test_stopped(self) -> None:
        """A follower that was stopped while it read does nothing with the answer."""
        for snapshot_ in (False, True):
            self.make(snapshot=snapshot_)
            self.follower.ready()
            self.follower.stop()
            self.answer("ERR" if snapshot_ else found(5))
            self.assertEqual(self.first, [])
            self.assert_stays()

    def test_stopped_when_started(self) -> None:
        """Whoever learns that it has begun may stop it."""
        for arguments, answer in (
            ({"position": Position("a", 4)}, found(5, 5)),
            ({"snapshot": True}, state(5, a="x")),
        ):
            self.make(**arguments)
            self.follower.first.addCallback(lambda _: self.follower.stop())
            self.follower.ready()
            self.answer(answer)
            self.assert_stays()

    def test_stopped_within(self) -> None:
        """So may whoever gets an event, the last one of a kind too."""
        lost = resync(REASONS["lost"], "a", 9)
        for arguments, answer, event in (
            ({"position": Position("a", 3)}, found(5, 4, 5), change(4)),
            ({"position": Position("a", 4)}, found(5, 5), change(5)),
            ({"position": Position("a", 3)}, found(9, verdict="lost"), lost),
            ({"snapshot": True}, state(5, a="x"), snapshot([("a", "x")], "a", 5)),
        ):
            self.then = lambda _: self.follower.stop()
            self.make(**arguments)
            self.follower.ready()
            self.answer(answer)
            self.assertEqual((self.seen(), self.follower.is_live), ([event], False))
            self.assert_stays()


class LiveTests(FollowerTestCase):
    def test_known(self) -> None:
        """What is known already is dropped."""
        self.start()
        self.tell(*changes(4, 5, 6, 6, 5))
        self.assertEqual((self.seen(), self.reader.sent()), (changes(6), []))

    def test_jump(self) -> None:
        """What is missing before an event is read from the history, and comes before it."""
        self.start()
        self.tell(*changes(8, 9))
        self.answer(found(8, 6, 7, 8))
        self.assertEqual((self.asked, self.seen()), (["look a 5 1000"], changes(6, 7, 8, 9)))

    def test_jump_past_the_history(self) -> None:
        """Where the history does not go back that far, the subscriber is told."""
        self.start()
        self.tell(*changes(8, 9))
        self.answer(found(8, verdict="trimmed"))
        self.assertEqual(self.seen(), [resync(REASONS["trimmed"], "a", 8), change(9)])

    def test_jump_and_history_is_off(self) -> None:
        """Where there is no history any more to read it from, the subscriber is told too."""
        self.start()
        self.tell(*changes(8))
        self.answer(OFF)
        self.assertEqual([event.kind for event in self.seen()], ["resync", "publish"])

    def test_history_begins(self) -> None:
        """The first event with a revision makes the position, whatever it is."""
        self.start(OFF)
        self.tell(change(None), change(7), change(8))
        self.assertEqual(self.seen(), [change(None), change(7), change(8)])
        self.assertEqual((self.position, self.reader.sent()), (("a", 8), []))

    def test_foreign(self) -> None:
        """A foreign writer in a feed with history voids it; a look behind him finds the top."""
        self.start()
        self.tell(change(None), change(6))
        self.assertEqual(self.seen(), [])
        self.answer(found(6))
        self.assertEqual(self.seen(), [resync(FOREIGN, "a", 6)])
        self.tell(change(7))
        self.assertEqual((self.seen(), self.reader.sent()), ([change(7)], []))

    def test_foreign_and_counted(self) -> None:
        """Where the counters tell of him as well, he is told of once."""
        self.start()
        self.tell(change(None), change(7, "b"))
        self.answer(found(6, epoch="b", verdict="foreign"))
        self.assertEqual(self.seen(), [resync(FOREIGN, "b", 6), change(7, "b")])

    def test_foreign_while_reading(self) -> None:
        """If he comes while the history is read, one more look is behind him."""
        self.start()
        self.tell(change(7), change(None), change(8))
        self.answer(found(7, 6, 7))
        self.assertEqual(self.seen(), changes(6, 7))
        self.answer(found(8))
        self.assertEqual(self.seen(), [resync(FOREIGN, "a", 8)])
        self.tell(change(9))
        self.assertEqual((self.seen(), self.reader.sent()), ([change(9)], []))

    def test_another_epoch(self) -> None:
        """A history that began anew is told, and what follows is delivered."""
        self.start()
        self.tell(*changes(2, 3, epoch="b"))
        self.answer(found(2, epoch="b", verdict="recreated"))
        self.assertEqual(self.asked, ["look a 5 1000"])
        self.assertEqual(self.seen(), [resync(REASONS["recreated"], "b", 2), change(3, "b")])

    def test_epoch_goes_on(self) -> None:
        """Where a new epoch goes on behind the old one, nothing is missing."""
        self.start()
        self.tell(*changes(6, 7, epoch="b"))
        self.answer(found(6, 6, epoch="b"))
        self.assertEqual(self.seen(), changes(6, 7, epoch="b"))

    def test_serializer(self) -> None:
        """Items are as the feed's serializer has them, live and from the history."""
        self.start(["ok", "feed", "json", "a", "5", []])
        self.tell(change(6, item="[6]"), change(8, item="[8]"))
        entry = ["kind", "publish", "id", "7", "item", "[7]"]
        self.answer(["ok", "feed", "json", "a", "7", [["7", entry]]])
        self.assertEqual(self.seen(), [change(number, item=[number]) for number in (6, 7, 8)])

    def test_check(self) -> None:
        """A position that is behind the server's is read on from; another one is left alone."""
        self.start()
        for epoch, top in (("a", 5), ("a", 4)):
            self.follower.check(epoch, top, True)
            self.assertEqual(self.reader.sent(), [])
        for epoch, top, valid in (("a", 6, True), ("b", 5, True), ("a", 5, False)):
            self.follower.check(epoch, top, valid)
            self.assertFalse(self.follower.is_live)
            self.follower.check("a", 7, True)  # it is being read already
            revision = self.follower.revision + 1
            self.answer(found(revision, revision))
            self.assertEqual((len(self.asked), self.seen()), (1, changes(revision)))

    def test_check_without_history(self) -> None:
        """Without a position there is nothing to compare."""
        self.start(OFF)
        self.follower.check("a", 6, True)
        self.assertEqual(self.reader.sent(), [])

    def test_feed_is_gone(self) -> None:
        """A check that finds no feed, of whose end nobody has heard, is told."""
        self.start()
        self.follower.check("", 0, False)
        self.answer(NOFEED)
        self.assertEqual([event.kind for event in self.seen()], ["resync"])
        self.assertEqual(self.position, (None, 0))


class FeedTests(FollowerTestCase):
    def test_created_anew(self) -> None:
        """A feed that is deleted and created is followed from its first event."""
        self.start()
        self.tell(of_the_feed("delete"))
        self.assertEqual((self.position, self.reader.sent()), ((None, 0), []))
        self.tell(of_the_feed("create"), *changes(1, 2, epoch="b"))
        self.answer(found(1, 1, epoch="b"))
        self.assertEqual(self.asked, ["look  0 1000"])
        seen = [of_the_feed("delete"), of_the_feed("create"), *changes(1, 2, epoch="b")]
        self.assertEqual((self.seen(), self.position), (seen, ("b", 2)))

    def test_configured(self) -> None:
        """A new configuration is read; nothing is missed meanwhile."""
        self.start()
        self.tell(of_the_feed("config"), change(6, item="1"))
        self.answer(["ok", "feed", "json", "a", "5", []])
        self.assertEqual((self.asked, self.source.loads is None), (["look a 5 1000"], False))
        self.assertEqual(self.seen(), [of_the_feed("config"), change(6, item=1)])

    def test_history_switched_on(self) -> None:
        """What is told while it is read that a history has begun is delivered."""
        self.start(OFF)
        self.tell(of_the_feed("config"), *changes(1, 2, 3))
        self.answer(found(2))
        self.assertEqual(self.seen(), [of_the_feed("config"), *changes(1, 2, 3)])

    def test_history_switched_off(self) -> None:
        """What is told while it is read that there is no history any more is delivered."""
        self.start()
        self.tell(of_the_feed("config"), change(None))
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config"), change(None)])
        self.assertEqual(self.position, (None, 0))

    def test_created_while_reading(self) -> None:
        """Events of the old feed and the new one that wait are delivered in their order."""
        self.start()
        self.tell(of_the_feed("config"), change(6), of_the_feed("delete"), of_the_feed("create"))
        self.tell(change(1, "b"))
        self.answer(NOFEED)
        self.answer(found(1, 1, epoch="b"))
        seen = [event for event in self.seen() if event.kind != "resync"]
        kinds = [event.kind for event in seen]
        self.assertEqual(kinds, ["config", "publish", "delete", "create", "publish"])
        self.assertEqual((seen[1], seen[4]), (change(6), change(1, "b")))

    def test_created_behind_a_replay(self) -> None:
        """What was replayed may be of either feed: the new one is read afresh, and it is said."""
        self.start()
        self.tell(change(7), of_the_feed("delete"), of_the_feed("create"))
        self.answer(found(7, 6, 7))
        self.tell(change(3, "b"))
        self.answer(found(2, epoch="b"))
        self.assertEqual(self.asked, ["look   0"])
        kinds = [of_the_feed("delete"), of_the_feed("create")]
        seen = [*changes(6, 7), *kinds, resync(ANEW), change(3, "b")]
        self.assertEqual(self.seen(), seen)

    def test_created_behind_a_state(self) -> None:
        """So it is with a state that was read: it is read again."""
        self.start(position=Position("a", 5), snapshot=True)
        self.tell(change(7), of_the_feed("create"))
        self.answer(found(7, 6, 7))
        self.assertEqual(self.seen(), [*changes(6, 7), of_the_feed("create"), resync(ANEW)])
        self.answer(state(2, a="y"))
        self.assertEqual(self.seen(), [snapshot([("a", "y")], "a", 2)])

    def test_old_events_behind_a_new_feed(self) -> None:
        """An event that is older than the look is not looked for again and again."""
        self.start()
        self.tell(of_the_feed("config"), change(6), of_the_feed("delete"), of_the_feed("create"))
        self.answer(found(0, epoch="b", verdict="recreated"))
        self.settle(found(0, epoch="b"))
        kinds = {event.kind for event in self.seen()}
        self.assertGreaterEqual(kinds, {"delete", "create", "resync"})

    def test_old_events_behind_a_foreign_writer(self) -> None:
        """So it is where a foreign writer made the epoch another one."""
        self.start()
        self.tell(of_the_feed("config"), change(6), change(None))
        self.answer(found(8, epoch="b", verdict="foreign"))
        self.settle(found(8, epoch="b"))
        self.seen()
        self.tell(change(9, "b"))
        self.assertEqual(self.seen(), [change(9, "b")])

    def settle(self, answer: list[Any]) -> None:
        """Give the same answer until nothing is asked any more, but not for ever."""
        for _ in range(5):
            if not self.follower.is_live:
                self.answer(answer)
        self.assertTrue(self.follower.is_live)


class SnapshotTests(FollowerTestCase):
    def test_with_history(self) -> None:
        """The state comes first, with its position, and then exactly what follows."""
        self.make(snapshot=True)
        self.follower.ready()
        self.assertEqual(self.reader.sent(), ["snapshot 1000 marks 1"])
        self.tell(*changes(5, 6))
        self.answer(state(5, a="x", b="y"))
        self.assertEqual(self.first, [None])
        items = [("a", "x"), ("b", "y"), ("6", "x")]
        self.assertEqual(self.seen(), [snapshot(items, "a", 6)])
        self.tell(change(7))
        self.assertEqual((self.seen(), self.reader.sent()), ([change(7)], []))

    def test_without_history(self) -> None:
        """Without a history, a mark parts what the state has from what follows."""
        self.make(snapshot=True)
        self.follower.ready()
        self.tell(change(None)._replace(id="a"))
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        self.tell(change(None))
        self.assertEqual(self.seen(), [snapshot([("a", "y")]), change(None)])

    def test_slices(self) -> None:
        """A big state comes in slices, and all but the last say that there is more."""
        self.patch(_assembly, "SLICE", 1)
        first = snapshot([("a", "x")], "a", 6)._replace(more=True)
        for stop, seen in ((False, [first, snapshot([("6", "x")], "a", 6)]), (True, [first])):
            self.then = lambda _, stop=stop: self.follower.stop() if stop else None
            self.make(snapshot=True)
            self.follower.ready()
            self.tell(change(6))
            self.answer(state(5, a="x"))
            self.assertEqual((self.seen(), self.follower.is_live), (seen, not stop))

    def test_no_feed(self) -> None:
        """A feed that is not there is empty."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(NOFEED)
        self.assertEqual((self.first, self.seen()), ([None], [snapshot([])]))

    def test_unordered(self) -> None:
        """A queue or job feed has no state; only of a pattern's feeds is that forgiven."""
        self.make(snapshot=True)
        self.follower.ready()
        self.answer(["neither", "queue", None])
        self.assertIsInstance(self.first[0], Unordered)
        self.make(snapshot=True, strict=False)
        self.follower.ready()
        self.answer(["neither", "queue", None])
        self.answer(found(5))
        self.tell(change(6), change(9))
        self.answer(found(9, verdict="trimmed"))
        seen = [change(6), resync(REASONS["trimmed"], "a", 9)]
        self.assertEqual((self.first, self.seen(), self.reader.sent()), ([None], seen, []))

    def test_afresh(self) -> None:
        """After a resync the state is read again."""
        self.start(position=Position("a", 5), snapshot=True)
        self.tell(change(9))
        self.answer(found(9, verdict="trimmed"))
        self.assertEqual(self.seen(), [resync(REASONS["trimmed"], "a", 9)])
        self.answer(state(9, a="y"))
        self.assertEqual(self.asked, ["snapshot 1000 marks 1"])
        self.tell(change(10))
        self.assertEqual(self.seen(), [snapshot([("a", "y")], "a", 9), change(10)])

    def test_told_before_the_state_is_read(self) -> None:
        """What is told of the feed as a whole before a new state is read is not lost."""
        self.make(snapshot=True, gap=UNRECORDED, position=Position("a", 5))
        self.follower.ready()
        self.tell(of_the_feed("delete"), of_the_feed("create"))
        self.answer(OFF)
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        kinds = sorted(event.kind for event in self.seen())
        self.assertEqual(kinds, ["create", "delete", "resync", "snapshot"])

    def test_told_while_the_state_is_read(self) -> None:
        """What is told of the feed meanwhile is delivered, and a new feed read again."""
        self.make(snapshot=True)
        self.follower.ready()
        self.tell(of_the_feed("create"))
        self.answer(state(5, a="x"))
        self.tell(of_the_feed("config"))
        self.answer(state(6, a="y"))
        seen = [of_the_feed("create"), of_the_feed("config"), snapshot([("a", "y")], "a", 6)]
        self.assertEqual(self.seen(), seen)


class LossTests(FollowerTestCase):
    def test_replayed(self) -> None:
        """After a lost connection the history is read on."""
        self.start()
        self.follower.lost()
        self.assert_stays()
        self.follower.ready()
        self.answer(found(7, 6, 7))
        self.assertEqual((self.asked, self.seen()), (["look a 5 1000"], changes(6, 7)))

    def test_not_replayed(self) -> None:
        """Without a history the gap is told; with one that began meanwhile, its top as well."""
        for answer, event in ((OFF, resync(UNRECORDED)), (found(3), resync(UNRECORDED, "a", 3))):
            self.start(OFF)
            self.follower.lost()
            self.follower.ready()
            self.answer(answer)
            self.assertEqual(self.seen(), [event])

    def test_told_once(self) -> None:
        """A gap is told once, however often the connection was lost."""
        self.start(OFF)
        for _ in range(2):
            self.follower.lost()
            self.follower.ready()
        self.answer(OFF)
        self.answer(OFF)
        self.assertEqual(self.seen(), [resync(UNRECORDED)])
        self.tell(of_the_feed("config"))
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config")])

    def test_before_the_first_look(self) -> None:
        """A connection that is lost before the position is known leaves no gap."""
        self.make()
        self.follower.ready()
        self.follower.lost()
        self.follower.ready()
        self.answer(found(5))
        self.assertEqual(self.first, [])
        self.answer(OFF)
        self.assertEqual((self.first, self.seen()), ([None], []))

    def test_superseded(self) -> None:
        """The answer that a reading of the last connection gets is of no use."""
        self.start()
        self.tell(change(8))
        self.follower.lost()
        self.follower.ready()
        self.answer(found(8, 6, 7, 8))
        self.assertEqual(self.seen(), [])
        self.answer(found(9, 6, 7, 8, 9))
        self.assertEqual((self.seen(), self.position), (changes(6, 7, 8, 9), ("a", 9)))

    def test_superseded_without_a_feed(self) -> None:
        """Nor is the answer that there is no feed."""
        self.start()
        self.follower.lost()
        self.follower.ready()
        self.follower.stop()
        self.answer(NOFEED)
        self.assert_stays()

    def test_publisher_is_away(self) -> None:
        """Where the publisher's connection is lost, the reading waits for the next one."""
        for arguments, answer in (({}, found(5)), ({"snapshot": True}, state(5))):
            self.make(**arguments)  # type: ignore[arg-type]
            self.follower.ready()
            lose(self.reader.redis)
            self.assertEqual(self.first, [])
            self.reader.connect()
            self.reader.returns.pop().callback(None)
            self.answer(answer)
            self.assertEqual(self.first, [None])

    def test_stopped_while_the_publisher_is_away(self) -> None:
        """A follower that is stopped meanwhile does not read on."""
        self.make()
        self.follower.ready()
        lose(self.reader.redis)
        self.follower.stop()
        self.reader.connect()
        self.reader.returns.pop().callback(None)
        self.assert_stays()

    def test_publisher_is_gone(self) -> None:
        """Where there will be no publisher, all is over; who waits for the start is told."""
        for begun in (False, True):
            self.reader.connect()
            self.start() if begun else self.make()
            self.follower.ready()
            lose(self.reader.redis)
            error = ConnectionLost("stopped")
            self.reader.returns.pop().errback(error)
            self.assertEqual((self.first, self.seen()), ([None] if begun else [error], []))

    def test_cannot_be_read(self) -> None:
        """If Redis refuses the reading later on, it is told and logged; live events go on."""
        self.start()
        self.tell(change(8))
        self.answer("NOPERM look")
        self.assertEqual(self.seen(), [resync("the feed cannot be read: NOPERM look")])
        self.assertEqual(len(self.flushLoggedErrors(ResponseError)), 1)
        self.tell(*changes(9, 10))
        self.assertEqual((self.seen(), self.position), (changes(9, 10), ("a", 10)))

    def test_refused(self) -> None:
        """If Redis does not let it listen on a later connection, it is told, and the end."""
        self.start()
        self.follower.refused(ResponseError("NOPERM"))
        self.assertEqual(self.seen(), [resync("the feed cannot be followed: NOPERM")])
        self.assert_stays()


class AloneTests(FollowerTestCase):
    """Without a publisher nothing can be read."""

    def begin(self, **arguments: Any) -> None:
        self.make(reader=False, **arguments)
        self.follower.ready()
        self.assertEqual((self.first, self.follower.is_live), ([None], True))

    def test_live(self) -> None:
        """What is told is delivered; revisions show what is known already."""
        self.begin()
        told = [change(None), of_the_feed("config"), change(5), change(5), change(6)]
        self.tell(*told, of_the_feed("delete"), of_the_feed("create"), change(1, "b"))
        del told[3]
        seen = [*told, of_the_feed("delete"), of_the_feed("create"), change(1, "b")]
        self.assertEqual(self.seen(), seen)

    def test_missing(self) -> None:
        """What is missing before an event, or void because of it, is told."""
        for event in (change(7), change(6, "b"), change(None)):
            self.begin()
            self.tell(change(5), event)
            self.assertEqual(self.seen(), [change(5), resync(UNSEEN), event])
            self.assertEqual(self.position, (event.epoch, event.revision or 0))

    def test_loss(self) -> None:
        """A lost connection is told once, by what was not heard meanwhile."""
        self.begin()
        self.follower.lost()
        self.assert_stays()
        self.follower.ready()
        self.tell(change(None))
        self.assertEqual(self.seen(), [resync(UNRECORDED), change(None)])
        self.make(reader=False)
        self.follower.lost()
        self.follower.ready()
        self.assertEqual(self.seen(), [])

    def test_nothing_to_read_with(self) -> None:
        """What would be read all the same is refused."""
        self.begin()
        self.assertRaises(ThoonkError, lambda: self.follower._present_reader)

    def test_slow(self) -> None:
        """A subscriber who is too slow is told, and gets what comes after that."""
        self.begin(limit=2)
        self.tell(*[change(None)] * 3)
        self.assertEqual(self.subscription.free(), 1)
        self.tell(change(None))
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.tell(change(None))
        self.assertEqual(self.seen(), [change(None)])


class SlowTests(FollowerTestCase):
    def test_with_history(self) -> None:
        """A slow subscriber misses nothing: the history is read as soon as there is room."""
        self.start(limit=4)
        self.tell(*changes(6, 7, 8, 9, 10, 11))
        self.assertEqual((self.reader.sent(), self.position), ([], ("a", 9)))
        self.take_one()
        self.tell(change(12))
        self.assertEqual(self.reader.sent(), [])
        self.take_one()
        self.answer(found(12, 10, 11))
        self.assertEqual(self.asked, ["look a 9 2"])
        self.assertEqual(self.reader.sent(), [])
        self.take_one(2)
        self.answer(found(12, 12))
        self.assertEqual(self.asked, ["look a 11 2"])
        self.assertEqual(self.seen(), changes(6, 7, 8, 9, 10, 11, 12))
        self.assertTrue(self.follower.is_live)

    def test_held_events_connect(self) -> None:
        """What is held is not read from the history as well."""
        self.start(limit=4)
        self.tell(change(8))
        self.answer(found(9, 6, 7))
        self.tell(change(9))
        self.assertEqual((self.seen(), self.reader.sent()), (changes(6, 7, 8, 9), []))

    def test_held_events_of_no_revision(self) -> None:
        """Other events that are held do not keep the history from being read on."""
        self.start(limit=4)
        self.tell(of_the_feed("config"), of_the_feed("config"))
        self.answer(found(8, 6, 7, 8))
        self.assertEqual(len(self.seen()), 5)

    def test_without_history(self) -> None:
        """Without a history, what waits is dropped, and that is told in its place."""
        self.start(OFF, limit=2)
        self.tell(*[change(None)] * 3)
        self.assertEqual(self.subscription.free(), 1)
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.tell(change(None))
        self.answer(OFF)
        self.tell(change(None))
        self.assertEqual(self.seen(), [change(None)] * 2)

    def test_without_history_beside_others(self) -> None:
        """What comes after the resync is delivered, or another one tells that it was not."""
        self.start(OFF, limit=4)
        self.tell(*[change(None)] * 5)
        self.subscription.put(Event("retract", "other", "1"))
        self.take_one()
        self.assertEqual(self.events, [resync(SLOW)])
        self.tell(change(None))
        self.take_one()
        if self.reader.transport.value():
            self.answer(OFF)
        self.assertIn(self.seen()[-1], [change(None), resync(SLOW)])

    def test_without_history_and_with_a_snapshot(self) -> None:
        """Who wants the state gets it afresh."""
        self.start(OFF, limit=2, position=Position(None, 0), snapshot=True)
        self.tell(*[change(None)] * 3)
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        self.assertEqual(self.seen(), [snapshot([("a", "y")])])

    def test_first_revision_finds_no_room(self) -> None:
        """The event that begins a history may find no room as well."""
        self.start(OFF, limit=2)
        self.tell(change(None), change(None), change(1))
        self.assertEqual(self.seen(), [resync(SLOW)])
        self.answer(found(1))
        self.tell(change(2))
        self.assertEqual((self.seen(), self.position), ([change(2)], ("a", 2)))

    def test_feed_is_gone(self) -> None:
        """A feed that ends while the subscriber is busy is told."""
        self.start(limit=2)
        self.tell(*changes(6, 7, 8), of_the_feed("delete"))
        self.assertEqual(self.seen(), changes(6, 7))
        self.answer(NOFEED)
        kinds = [event.kind for event in self.seen()]
        self.assertTrue(kinds and kinds[-1] in ("delete", "resync"), kinds)

    def test_history_is_off(self) -> None:
        """If the history is switched off while the subscriber is busy, he is told."""
        self.start(limit=2)
        self.tell(*changes(6, 7, 8), of_the_feed("config"))
        self.assertEqual(self.seen(), changes(6, 7))
        self.answer(OFF)
        self.assertIn("resync", [event.kind for event in self.seen()])

    def test_lost_while_paused(self) -> None:
        """Room that comes after a lost connection is of no use before the next one."""
        self.start(limit=2)
        self.tell(*changes(6, 7, 8))
        self.follower.lost()
        self.assertEqual((self.seen(), self.reader.sent()), (changes(6, 7), []))
        self.follower.ready()
        self.answer(found(8, 8))
        self.assertEqual(self.seen(), changes(8))

    def test_paused_by_held_events(self) -> None:
        """What was held and finds no room is read afterwards."""
        self.start(limit=2)
        self.tell(of_the_feed("config"), *changes(6, 7, 8))
        self.answer(found(5))
        self.assertEqual(self.seen(), [of_the_feed("config"), change(6)])
        self.answer(found(8, 7, 8))
        self.assertEqual(self.seen(), changes(7, 8))


class OverflowTests(FollowerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(_follower, "HELD", 3)

    def test_with_history(self) -> None:
        """Too many events held are forgotten, and read from the history."""
        self.start()
        self.tell(of_the_feed("config"), *changes(6, 7, 8, 9))
        self.answer(found(5))
        self.assertEqual(self.seen(), [of_the_feed("config")])
        self.answer(found(9, 6, 7, 8, 9))
        self.assertEqual((self.seen(), self.follower.is_live), (changes(6, 7, 8, 9), True))

    def test_without_history(self) -> None:
        """Without a history that is told, in the place of all that was held."""
        self.start(OFF)
        self.tell(of_the_feed("config"), *[change(None)] * 4)
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config"), resync(SLOW)])
        self.tell(change(None))
        self.answer(OFF)
        self.assertEqual(self.seen(), [change(None)])

    def test_with_a_snapshot(self) -> None:
        """Who wants the state gets it afresh in their place."""
        self.start(OFF, position=Position(None, 0), snapshot=True)
        self.tell(of_the_feed("config"), *[change(None)] * 4)
        self.answer(OFF)
        self.assertEqual(self.seen(), [of_the_feed("config"), resync(SLOW)])
        self.answer(state(None, a="y"))
        self.reader.pass_mark()
        self.assertEqual(self.seen(), [snapshot([("a", "y")])])
        self.assertTrue(self.follower.is_live)
