"""Claims that the publisher may not know of, because the answer was lost."""

from __future__ import annotations

import gc
from typing import Any

from twisted.logger import LogLevel

from tests.support.claims import EVENT, RETRIED, ClaimTestCase
from tests.support.logs import observe_log
from tests.support.patience import PatienceTestCase
from tests.support.wire import SCRIPTS, Connection, commands, lose
from txthoonk.consumers import _claims
from txthoonk.errors import ConnectionLost, FeedDoesNotExist
from txthoonk.protocol import Redis
from txthoonk.types import Job


def found(*claims: tuple[str, str], cursor: str = "0") -> list[Any]:
    """Return the answer to a look for claims."""
    return [cursor, 0, [word for claim in claims for word in claim]]


class DoubtTests(ClaimTestCase):
    """A get that is not answered may still have claimed jobs."""

    def reconnect(self) -> None:
        """Lose the publisher's connection, and make another."""
        lose(self.pub)
        redis = Redis()
        redis._loaded.update(sha.decode() for sha in SCRIPTS)
        self.pub.set_redis(redis)
        self.main = Connection(self.pub)

    def connect(self) -> None:
        """Lose the publisher's connection while it asks for a job, and make another."""
        get = self.job.get()
        self.main.sent()
        self.reconnect()
        self.failureResultOf(get, ConnectionLost)

    def owned(self, *claims: tuple[str, str]) -> None:
        """Check that the only call looks for claims; answer it with the given claims."""
        self.looks()
        self.main.answer(found(*claims))

    def looks(self, cursor: bytes = b"0", count: bytes = b"20") -> None:
        """Check that the only call looks for claims."""
        self.assertEqual(self.main.sent(), [[b"job/owned", self.owner.encode(), cursor, count]])

    def released(self, *claims: tuple[str, str]) -> None:
        """Check that the only call gives back the given claims."""
        words = [word.encode() for claim in claims for word in claim]
        self.assertEqual(self.main.sent(), [[b"job/release", b"j", EVENT, RETRIED, *words]])

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[str] = []
        observe_log(self, self.log)

    def log(self, event: Any) -> None:
        if event["log_namespace"] == "txthoonk.consumers._claims.Claims":
            self.logged.append(event["log_level"])

    def test_given_back(self) -> None:
        """Claims that no get received are given back; claims that a get received are not."""
        kept = self.get("kept", "4.5")
        self.get("again", "4.6")
        self.connect()
        lost = [("a", self.token()), ("b", self.token()), ("again", self.token())]
        self.owned(("kept", kept.token), *lost)
        self.released(*lost)
        self.main.answer(3)
        self.assertEqual(self.main.sent(), [])
        self.assertEqual(self.logged, [LogLevel.info])
        self.assertEqual(self.claims.tokens["kept"], kept.token)
        self.assertEqual(self.pub.waiting_room.outages.unanswered, {})

    def test_nothing_lost(self) -> None:
        """If nothing was claimed, nothing is given back, and nothing is logged."""
        self.connect()
        self.owned()
        self.assertEqual((self.main.sent(), self.logged), ([], []))
        self.reconnect()
        self.assertEqual(self.main.sent(), [])

    def test_forgotten(self) -> None:
        """When tokens were forgotten, nothing is given back: a handler may hold those claims."""
        self.patch(_claims, "MOST", 3)
        for id_ in "abc":
            self.get(id_)
        self.connect()
        self.owned(*[(id_, self.token()) for id_ in "abc"])
        self.assertEqual(self.main.sent(), [])
        self.get("d")
        for _ in range(2):
            self.connect()
            self.assertEqual((self.main.sent(), self.logged), ([], []))
            self.assertEqual(self.pub.waiting_room.outages.unanswered, {})
        self.assertEqual(list(self.claims.tokens), ["b", "c", "d"])

    def test_forgotten_elsewhere(self) -> None:
        """Tokens that one feed has forgotten do not affect another feed."""
        self.patch(_claims, "MOST", 1)
        self.get("a")
        self.get("b")
        other = Job(self.pub, "other").get()
        self.connect()
        self.failureResultOf(other, ConnectionLost)
        (sent,) = commands(self.main.transport.value())
        self.assertEqual(
            sent[3:6], [b"feed.claimed:other", b"feed.claims:other", self.owner.encode()]
        )

    def test_claimed_again_is_not_forgotten(self) -> None:
        """A claim that replaces an earlier claim of the same job forgets no token."""
        self.patch(_claims, "MOST", 2)
        for id_, time in (("a", "5.5"), ("b", "5.5"), ("a", "6.5")):
            self.get(id_, time)
        self.connect()
        self.owned(("a", self.token("6.5")), ("b", self.token()), ("c", self.token()))
        self.released(("c", self.token()))

    def test_no_doubt(self) -> None:
        """If every get was answered, no call looks for claims."""
        self.get()
        self.reconnect()
        self.assertEqual(self.main.sent(), [])

    def test_refused_get(self) -> None:
        """A get that the server refused has claimed nothing."""
        get = self.job.get()
        self.main.answer(Exception("NOFEED feed 'j' does not exist"))
        self.failureResultOf(get, FeedDoesNotExist)
        self.assertEqual(self.pub.waiting_room.outages.unanswered, {})

    def test_many(self) -> None:
        """Many claims are given back in slices."""
        self.patch(_claims, "SLICE", 2)
        self.connect()
        lost = [(id_, self.token()) for id_ in "abc"]
        self.owned(*lost)
        self.released(*lost[:2])
        self.main.answer(2)
        self.released(*lost[2:])
        self.main.answer(1)
        self.assertEqual(self.logged, [LogLevel.info])

    def test_many_found(self) -> None:
        """Claims are looked for in slices, and given back before the next slice is read."""
        kept = self.get("kept", "4.5")
        self.connect()
        self.looks()
        self.main.answer(found(("a", self.token()), ("kept", kept.token), cursor="7"))
        self.released(("a", self.token()))
        self.claims.ended("kept", kept.token)
        self.main.answer(1)
        self.looks(b"7", b"40")
        self.main.answer(found(("b", self.token())))
        self.released(("b", self.token()))
        self.main.answer(1)
        self.assertEqual((self.main.sent(), self.logged), ([], [LogLevel.info]))

    def test_lost_again(self) -> None:
        """If the connection is lost meanwhile, the claims are looked for on the next one."""
        self.connect()
        self.looks()
        self.reconnect()
        self.owned(("a", self.token()))
        self.released(("a", self.token()))
        self.reconnect()
        self.owned(("a", self.token()))
        self.released(("a", self.token()))
        self.main.answer(1)
        self.reconnect()
        self.assertEqual(self.main.sent(), [])
        self.assertEqual(self.logged, [LogLevel.info])

    def test_refused(self) -> None:
        """An error of the server is logged; the next attempt follows the next lost answer."""
        self.connect()
        self.main.answer(Exception("NOPERM this user has no permissions"))
        self.assertEqual(self.logged, [LogLevel.warn])
        self.main.sent()
        self.reconnect()
        self.assertEqual(self.main.sent(), [])
        self.connect()
        self.owned()

    def test_nonsense(self) -> None:
        """A malformed answer is logged as a bug of txthoonk."""
        self.connect()
        self.main.answer(["a"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.logged, [LogLevel.critical])

    def test_behind_what_goes_back(self) -> None:
        """Claims whose release was not answered are looked for like those that no get received."""
        get = self.job.get(3)
        self.main.sent()
        self.pub.waiting_room.reactor.advance(3)
        self.failureResultOf(get)
        self.main.answer([b"5.5", 0, b"a", b"A", 0])
        (sent,) = self.main.sent()
        self.assertEqual((sent[0], sent[-2]), (b"job/release", b"a"))
        self.reconnect()
        self.looks()

    def test_each_feed(self) -> None:
        """Claims of each feed are looked for, even if the feed's object is gone."""
        gets = [Job(self.pub, name).get() for name in "xyz"]
        self.reconnect()
        for get in gets:
            self.failureResultOf(get, ConnectionLost)
        gc.collect()
        sent = commands(self.main.transport.value())
        self.assertEqual(
            sorted(words[3:6] for words in sent),
            [
                [b"feed.claimed:" + name, b"feed.claims:" + name, self.owner.encode()]
                for name in (b"x", b"y", b"z")
            ],
        )


class PatienceTests(PatienceTestCase):
    """Lost answers in the waiting room of a service."""

    def test_outage(self) -> None:
        """Claims are looked for before the waiting gets claim anything else."""
        get = self.job.get()
        self.main.sent()
        self.down()
        self.up()
        owner = self.pub.uuid
        owned, again = self.main.sent()
        self.assertEqual(owned, [b"job/owned", owner.encode(), b"0", b"20"])
        self.assertEqual((again[0], again[-2:]), (b"job/get", [b"1", b""]))
        self.main.answer(found(("a", f"{owner}:5.5")))
        (released,) = self.main.sent()
        self.assertEqual(released[-2:], [b"a", f"{owner}:5.5".encode()])
        # The claim is given back after the get, which has received another one.
        self.main.answer([b"6.5", 0, b"b", b"B", 0], 1)
        claim = self.successResultOf(get)
        self.assertEqual((claim, claim.token), (("b", "B", 0), f"{owner}:6.5"))
        self.assertEqual(self.job._claims.tokens, {"b": claim.token})

    def test_queues(self) -> None:
        """A lost answer of a queue causes no look: queues have no claims."""
        get = self.queue.get()
        self.main.sent()
        self.down()
        self.assertEqual(self.room.outages.unanswered, {})
        self.up()
        self.asked(1)
        self.leave(get)
