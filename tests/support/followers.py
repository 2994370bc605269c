"""Helpers for the tests of followers: a reader and events in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import SCRIPTS, commands, outcome, redis, resp
from txthoonk.events import Event
from txthoonk.subscriptions import Subscription
from txthoonk.subscriptions._decoder import Source
from txthoonk.subscriptions.following._follower import Follower
from txthoonk.subscriptions.following._unpaired import Unpaired

ANEW = "the feed was created again"
NOFEED = "NOFEED feed 'news' does not exist"


def change(revision: int | None, epoch: str | None = "a", item: Any = "x") -> Event:
    """Return the event of a publish, with its revision as its id."""
    epoch = None if revision is None else epoch
    return Event("publish", "news", str(revision), item, revision=revision, epoch=epoch)


def changes(*revisions: int, epoch: str = "a") -> list[Event]:
    return [change(revision, epoch) for revision in revisions]


def of_the_feed(kind: str) -> Event:
    return Event(kind, "news")


def resync(reason: str, epoch: str | None = None, revision: int | None = None) -> Event:
    return Event("resync", "news", revision=revision, epoch=epoch, reason=reason)


def snapshot(items: list[Any], epoch: str | None = None, revision: int | None = None) -> Event:
    return Event("snapshot", "news", item=items, revision=revision, epoch=epoch, type="feed")


def found(top: int, *revisions: int, epoch: str = "a", verdict: str = "ok") -> list[Any]:
    """Return the reply to a look."""
    entries = [[str(one), ["kind", "publish", "id", str(one), "item", "x"]] for one in revisions]
    return [verdict, "feed", None, epoch, str(top), entries]


OFF = ["off", "feed", None]


def state(top: int | None, **items: str) -> list[Any]:
    """Return the reply to a request for the state."""
    epoch, revision = (None, None) if top is None else ("a", str(top))
    return ["ok", "feed", None, epoch, revision, list(items), list(items.values())]


def free(subscription: Subscription) -> int:
    """Return the number of events that there is room for."""
    count = subscription.reserve(10_000)
    subscription.release(count)
    return count


class Reader:
    """A publisher's connection, with the marks and pauses of its reader."""

    mark_channel = "marks"
    is_heard = True

    def __init__(self) -> None:
        self.connect()
        self.marks: list[tuple[Callable[[], object], Deferred[None]]] = []
        self.returns: list[Deferred[Any]] = []
        self.pauses: list[Deferred[Any]] = []
        self.pings: list[Deferred[Any]] = []

    def connect(self) -> None:
        self.redis, self.transport = redis()
        self.redis._loaded.update(sha.decode() for sha in SCRIPTS)

    def available(self) -> Deferred[Any]:
        self.returns.append(Deferred())
        return self.returns[-1]

    def hears(self) -> bool:
        return self.is_heard

    def seconds(self) -> float:
        return 0.0

    def later(self, seconds: float) -> Deferred[Any]:
        self.pauses.append(Deferred())
        return self.pauses[-1]

    def pong(self) -> Deferred[Any]:
        self.pings.append(Deferred())
        return self.pings[-1]

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
        """Return the scripts that were called, with their arguments except the feed."""
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
        """Make a follower; with a limit, its subscription has no handler."""
        handler = None if limit else self.take
        self.subscription = Subscription("news", handler, limit or 1000)
        self.first_fires = first = Deferred[None]()
        self.follower = Follower(
            self.subscription,
            self.source,
            self.reader if reader else None,  # type: ignore[arg-type]
            Unpaired(lambda: self.reader.later(0), self.reader.pong),
            first=first,
            **arguments,
        )
        self.source.followers = (self.follower,)
        self.first = outcome(first)
        return self.follower

    def take(self, event: Event) -> Any:
        self.events.append(event)
        return self.then(event)

    def start(self, answer: list[Any] | None = None, **arguments: Any) -> Follower:
        """Make a follower that is live, by default at revision 5 of epoch a."""
        self.make(**arguments)
        self.follower.ready()
        self.answer(answer or found(5))
        self.assertEqual((self.seen(), self.first), ([], [None]))
        self.assertTrue(self.follower.is_live)
        return self.follower

    def answer(self, reply: Any) -> None:
        """Reply to the last request."""
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
        """Check that nothing more is requested or delivered."""
        self.tell(change(None), change(6), of_the_feed("config"))
        self.assertEqual((self.reader.sent(), self.seen()), ([], []))
