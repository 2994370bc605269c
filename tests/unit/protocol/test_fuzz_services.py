"""Services whose scripts return nonsense recover as soon as the replies make sense."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import succeed

from tests.support.followers import OFF, FollowerTestCase, change, found, state
from tests.support.fuzzing import FEW, NUMBERS, VALUES, PublisherFuzzTestCase
from tests.support.wire import resp
from txthoonk.client import ThoonkPub
from txthoonk.errors import ThoonkError
from txthoonk.maintenance import Maintenance
from txthoonk.types import Claim, Job
from txthoonk.worker import Worker

WRONG = RuntimeError("ERR user_script:1: from a newer version")
ANYTHING = VALUES | NUMBERS | st.just(WRONG)
NONSENSE = st.lists(
    ANYTHING
    | st.lists(ANYTHING.filter(lambda one: one is not WRONG), min_size=2, max_size=12)
    | st.sampled_from(
        [
            *(["5.5", 0, [], [], []], ["5.5", 0, [1], ["i"], []], ["5.5", 0, [1, 1, 1], [], []]),
            *(["5.5", 0, [1], [["i"], 5, None], []], ["5.5", 0, [], ["i", b"\xff", "x"], ["x"]]),
            *(["5.5", 0, "i"], ["5.5", 0, "i", "x", None], ["x", [0]], ["1e400", []]),
            *([b"nan", [0, 7]], [None, ["x"]], ["60", [-1]], [0, "x", "y", "z"], [0, "9" * 400]),
            *([100, None, "0", None], [0, None, "1e400", "0"], [0, "0", "1", "1"]),
            *(["5.5", 0, ["x"], [], []], ["", 0, [1], [], [[1]]]),
        ]
    ),
    min_size=1,
    max_size=8,
)

#: Valid replies of scripts and of commands.
SOUND: dict[bytes, Any] = {
    b"worker/renew": ["60", []],
    b"job/due": [0, None, "0", None],
    b"job/get": ["5.5", 0, "i", "x", 0],
    b"job/owned": [],
    b"job/release": 0,
    b"job/fail": ["available", 1],
    b"job/stall": 1,
    b"job/forget": [],
    b"job/expire": 0,
    b"job/expire_claims": [0, 0, 0, 0, None],
    b"job/trim_stalled": [0, 0],
    b"job/tidy": "0",
    b"registry/get_config": ["type", "job"],
    b"queue/put_back": 0,
    b"queue/date_transit": 0,
    b"queue/date_lost": [0, 0],
    b"queue/restore": [0, 0, 0],
    b"queue/scan": ["0", []],
    b"CLIENT": 7,
    b"SET": "OK",
    b"GET": None,
    b"LLEN": 0,
    b"LRANGE": [],
}


def sound(command: list[bytes]) -> list[Any]:
    """Return the valid replies to a command."""
    if command[0] in (b"SUBSCRIBE", b"UNSUBSCRIBE"):
        return [[command[0].lower(), channel, 1] for channel in command[1:]]
    if command[0] == b"BLMOVE":
        return []
    if command[0] == b"job/finish":
        finished, claims = len(command[10:]) // 6, int(command[8])
        return [["5.5", 0, [1] * finished, ["i", "x", 0] if claims else [], []]]
    return [SOUND[command[0]]]


class ServiceTestCase(PublisherFuzzTestCase):
    def connect(self) -> ThoonkPub:
        self.asked: list[list[bytes]] = []
        return super().connect()

    def answer(self, reply: Callable[[list[bytes]], list[Any]]) -> None:
        """Reply to everything that was sent, and let some time pass."""
        for connection in [self.main, *self.endpoint.connections]:
            for command in connection.sent():
                self.asked.append(command)
                connection.answer(*reply(command))
        self.clock.advance(1)

    def confuse(self, replies: list[Any], which: Callable[[list[bytes]], bool]) -> None:
        """Reply with nonsense for a while."""
        rest = list(replies)

        def reply(command: list[bytes]) -> list[Any]:
            if b"/" in command[0] and which(command) and rest:
                return [rest.pop(0)]
            return sound(command)

        for _ in range(100):
            self.answer(reply)
            if not rest:
                return

    def scripts(self, rounds: int) -> list[bytes]:
        """Reply correctly for a while, and return the scripts that were called."""
        self.asked.clear()
        for _ in range(rounds):
            self.answer(sound)
        return [command[0] for command in self.asked]


class WorkerTests(ServiceTestCase):
    @FEW
    @given(
        NONSENSE, st.sampled_from([b"job/finish", b"worker/renew", b"job/due", b"job/get", b""])
    )
    @example([["5.5", 0, [1, 1], [], []]], b"job/finish")
    @example([["5.5"]], b"job/finish")
    @example([["5.5", 0, [1], ["i"], []]], b"job/finish")
    @example([["x"]], b"job/get")
    @example([["60"]], b"worker/renew")
    def test_worker(self, replies: list[Any], script: bytes) -> None:
        """A worker continues to claim, finish and renew after any nonsense."""
        begun: list[Claim] = []
        worker = Worker(Job(self.connect(), "j"), begun.append, reactor=self.clock)
        worker.startService()
        self.confuse(replies, lambda command: command[0].startswith(script))
        count = len(begun)
        called = self.scripts(100)
        self.assertGreater(len(begun), count + 5, "no more jobs are begun")
        self.assertIn(b"worker/renew", called)
        self.assertIn(b"job/due", called)
        stopped = worker.stopService()
        self.scripts(40)
        self.assertIsNone(self.successResultOf(stopped))


class MaintenanceTests(ServiceTestCase):
    @FEW
    @given(NONSENSE)
    @example([["type"]])
    @example([["type", "job"], ["type", "job"], ["x"]])
    def test_other_feeds(self, replies: list[Any]) -> None:
        """A feed with nonsensical replies does not delay the other feeds."""
        service = Maintenance(self.connect(), ["a", "b"], interval=30, reactor=self.clock)
        service.startService()
        endless = replies * 100
        self.confuse(endless[:100], lambda command: b"a" in command)
        for wanted in (b"registry/get_config", b"job/expire_claims", b"queue/scan"):
            of_b = [one for one in self.asked if one[0] == wanted]
            self.assertTrue(of_b, wanted)
        called = self.scripts(100)
        self.assertIn(b"queue/scan", called)
        self.assertIn(b"job/due", called)
        service.stopService()
        self.scripts(3)


class FollowerTests(FollowerTestCase):
    """Followers with looks and snapshots of any shape."""

    def tearDown(self) -> None:
        gc.collect()
        self.flushLoggedErrors()

    @FEW
    @given(
        st.lists(
            (VALUES | NUMBERS).filter(lambda one: not isinstance(one, str))
            | st.tuples(
                st.sampled_from(["ok", "off", "trimmed", "neither", "x", None, 5]) | VALUES,
                st.sampled_from(["feed", "sorted_feed", "job", None]) | VALUES,
                st.sampled_from(["json", "nope", None]) | VALUES,
                st.sampled_from(["a", "b", None]) | VALUES,
                NUMBERS | VALUES,
                VALUES
                | st.lists(
                    st.tuples(NUMBERS, st.lists(NUMBERS, max_size=4)).map(list), max_size=3
                ),
                VALUES,
            ).map(list)
            | st.just(found(9, 6, 8)).map(list),
            min_size=1,
            max_size=6,
        ),
        st.booleans(),
        st.booleans(),
    )
    @example([["ok", "feed", None, "a", "x", []]], False, True)
    @example([["ok", "feed", None, "a", "7", [["6", ["kind"]]]]], False, True)
    @example([["ok", "feed", None, "a", "7", [["6", None], 5, None]]], False, True)
    @example([["ok", "feed", None, "a", "7", [["x", ["kind", "publish"]]]]], False, True)
    def test_follower(self, replies: list[Any], snapshot: bool, began: bool) -> None:
        """A follower reports a failure, a resync or the next event, whatever the replies are."""
        self.setUp()
        self.patch(self.reader, "ping", lambda: succeed(None))
        if began and not snapshot:
            self.start()
            self.tell(change(8))  # the gap causes a look
        else:
            self.make(snapshot=snapshot, strict=True)
            self.follower.ready()
        for reply in replies:
            self.answer_all(reply)
        for _ in range(20):
            self.answer_all()
        told = self.seen()
        if self.first and isinstance(self.first[0], Exception):
            self.assertIsInstance(self.first[0], ThoonkError)
            return
        self.assertEqual(self.first, [None])
        epoch = self.follower.epoch
        self.tell(change(None if epoch is None else self.follower.revision + 1, epoch))
        for _ in range(20):
            self.answer_all()
        self.assertTrue([*told, *self.seen()], "nothing is told, nor is there a resync")

    def answer_all(self, *replies: Any) -> None:
        """Answer each request, correctly if no reply is given, and let pauses end."""
        for asked in self.reader.sent():
            right = state(None, x="y") if asked.startswith("snapshot") else OFF
            self.reader.redis.dataReceived(resp(replies[0] if replies else right))
        pauses, self.reader.pauses = self.reader.pauses, []
        for pause in pauses:
            if not pause.called:
                pause.callback(None)
        if self.reader.marks and not self.reader.marks[-1][1].called:
            self.reader.pass_mark()
