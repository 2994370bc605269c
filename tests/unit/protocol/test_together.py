"""Calls of one turn are sent as one call of a script, and each gets its own reply."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.wire import Transport, commands, lose, outcome, plug, resp
from txthoonk.errors import ConnectionLost, InvalidCommand, InvalidData, InvalidResponse
from txthoonk.protocol import Redis
from txthoonk.protocol._batching import MOST_BYTES, MOST_CALLS
from txthoonk.protocol._client import MOST_UNSENT
from txthoonk.wire._scripts import Script

SCRIPT = Script("x/y", "return ARGV", "sha")
PREFIX = ("EVALSHA", "sha", 1, "key")
OTHER = ("EVALSHA", "sha", 1, "other")
CALL = [b"EVALSHA", b"sha", b"1", b"key"]


class Reacting(Transport):
    """A transport with a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.reactor = Clock()


@implementer(IWriteDescriptor)
class Pushing(Reacting):  # type: ignore[misc]
    """A transport that writes on demand and counts how often."""

    pushes = 0

    def doWrite(self) -> None:
        self.pushes += 1


class TogetherTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.connect(Reacting)

    def connect(self, transport_type: type[Transport]) -> None:
        self.transport: Any
        self.redis, self.transport = plug(Redis(), transport_type)
        self.redis._loaded.add("sha")

    def call(self, *group: Any, prefix: tuple[Any, ...] = PREFIX) -> Deferred[Any]:
        return self.redis.call_together(SCRIPT, prefix, group)

    def busy(self) -> list[Any]:
        """Start a call, so that one is under way."""
        fired = outcome(self.redis.send("PING"))
        self.transport.clear()
        return fired

    def sent(self) -> list[list[bytes]]:
        found = commands(self.transport.value())
        self.transport.clear()
        return found

    def turn(self) -> None:
        """End the reactor's turn."""
        self.transport.reactor.advance(0)

    def answer(self, *replies: bytes) -> None:
        self.redis.dataReceived(b"".join(replies))


class TurnTests(TogetherTestCase):
    """Which calls are sent together, and when."""

    def test_alone(self) -> None:
        """With no call under way, a call is sent at once."""
        fired = outcome(self.call("a", b"A"))
        self.assertEqual(self.sent(), [[*CALL, b"a", b"A"]])
        self.answer(resp(["done"]))
        self.assertEqual(fired, ["done"])
        self.assertEqual(self.transport.reactor.getDelayedCalls(), [])

    def test_turn(self) -> None:
        """Calls of one turn are sent at its end as one call, and each gets its own reply."""
        self.busy()
        fired = [outcome(self.call(name, name.upper())) for name in "abc"]
        self.assertEqual(self.sent(), [])
        self.turn()
        self.assertEqual(self.sent(), [[*CALL, b"a", b"A", b"b", b"B", b"c", b"C"]])
        self.answer(b"+PONG\r\n", resp(["1", ["2", None], 3]))
        self.assertEqual(fired, [["1"], [["2", None]], [3]])
        self.assertEqual(self.transport.reactor.getDelayedCalls(), [])

    def test_next_turn(self) -> None:
        """Calls of the next turn are sent as another call."""
        self.busy()
        for name in "ab":
            self.call(name)
            self.turn()
            self.assertEqual(self.sent(), [[*CALL, name.encode()]])

    def test_replies(self) -> None:
        """Calls made while replies are handled are sent after the last of these replies."""
        for _ in range(3):
            self.redis.send("PING").addCallback(lambda _: self.call("a") and None)  # type: ignore[call-overload]
        self.busy()
        self.answer(b"+PONG\r\n" * 3)
        self.assertEqual(self.sent(), [[*CALL, b"a", b"a", b"a"]])
        self.assertEqual(self.transport.reactor.getDelayedCalls(), [])

    def test_last_reply(self) -> None:
        """A call made in the callback of the last pending call is sent at once."""
        seen: list[bytes] = []

        def call(_: object) -> None:
            self.call("a")
            seen.append(self.transport.value())

        self.redis.send("PING").addCallback(call)
        self.transport.clear()
        self.answer(b"+PONG\r\n")
        self.assertEqual(commands(seen[0]), [[*CALL, b"a"]])

    def test_no_reactor(self) -> None:
        """On a transport without a reactor, each call is sent at once."""
        self.connect(Transport)
        self.busy()
        self.call("a")
        self.call("b")
        self.assertEqual(self.sent(), [[*CALL, b"a"], [*CALL, b"b"]])

    def test_order(self) -> None:
        """A command sent in between keeps its place in the order."""
        self.busy()
        self.call("a")
        self.redis.send("GET", "x")
        self.call("b")
        self.call("c", prefix=OTHER)
        self.call("d")
        self.turn()
        other = [*CALL[:3], b"other", b"c"]
        self.assertEqual(
            self.sent(), [[*CALL, b"a"], [b"GET", b"x"], [*CALL, b"b"], other, [*CALL, b"d"]]
        )

    def test_many(self) -> None:
        """A batch is split when it has more calls than Redis should execute at a time."""
        self.busy()
        for number in range(2 * MOST_CALLS + 1):
            self.call(str(number))
        self.turn()
        sizes = [len(command) - len(CALL) for command in self.sent()]
        self.assertEqual(sizes, [MOST_CALLS, MOST_CALLS, 1])

    def test_big(self) -> None:
        """A batch is split when it has more bytes than Redis should receive at a time."""
        self.busy()
        for _ in range(3):
            self.call("x" * (MOST_BYTES // 2))
        self.turn()
        self.assertEqual([len(command) - len(CALL) for command in self.sent()], [2, 1])

    def test_transaction(self) -> None:
        """Calls before MULTI are sent before it, and calls after it are refused."""
        self.busy()
        self.call("a")
        self.redis.multi()
        self.assertEqual(self.sent(), [[*CALL, b"a"], [b"MULTI"]])
        self.assertIsInstance(outcome(self.call("b"))[0], InvalidCommand)
        self.turn()
        self.assertEqual(self.sent(), [])

    def test_close(self) -> None:
        """Calls before close() are sent before the connection closes."""
        self.busy()
        self.call("a")
        self.redis.close()
        self.assertEqual(self.sent(), [[*CALL, b"a"]])
        self.assertTrue(self.transport.disconnecting)


class PushTests(TogetherTestCase):
    """Long turns are written in parts, so that Redis starts while the turn goes on."""

    def setUp(self) -> None:
        self.connect(Pushing)

    def test_calls(self) -> None:
        """Data is written at once if no call is under way, and then every MOST_UNSENT calls."""
        for _ in range(MOST_UNSENT):
            self.redis.send("PING")
        self.assertEqual(self.transport.pushes, 1)
        self.redis.send("PING")
        self.assertEqual(self.transport.pushes, 2)
        self.answer(b"+PONG\r\n" * (MOST_UNSENT + 1))
        self.redis.send("PING")
        self.assertEqual(self.transport.pushes, 3)

    def test_together(self) -> None:
        """A batch counts as the number of its calls."""
        self.busy()
        before = self.transport.pushes
        for _ in range(MOST_CALLS + 1):
            self.call("a")
        self.assertEqual(self.transport.pushes, before + 1)

    def test_closing(self) -> None:
        """A closing transport is not flushed, because doWrite() would make it forget to close."""
        self.transport.disconnecting = True
        for _ in range(MOST_UNSENT):
            self.redis.send("PING")
        self.assertEqual(self.transport.pushes, 0)


class TroubleTests(TogetherTestCase):
    """A failure of one call affects no other; a failure of the batch fails each call."""

    def setUp(self) -> None:
        super().setUp()
        self.busy()

    def test_one_error(self) -> None:
        """An error among the replies fails its own call only."""
        fired = [outcome(self.call(name)) for name in "abc"]
        self.turn()
        self.answer(b"+PONG\r\n*3\r\n:1\r\n-ERR no\r\n:3\r\n")
        self.assertEqual([fired[0], fired[2]], [[1], [3]])
        self.assertEqual(str(fired[1][0]), "no")
        alone = outcome(self.call("d"))
        self.answer(b"*1\r\n-ERR no\r\n")
        self.assertEqual(str(alone[0]), "no")

    def test_all_refused(self) -> None:
        """An error instead of the replies fails every call."""
        fired = [outcome(self.call(name)) for name in "ab"]
        self.turn()
        self.answer(b"+PONG\r\n-OOM no\r\n")
        self.assertEqual([str(one[0]) for one in fired], ["OOM no"] * 2)

    def test_not_the_answers(self) -> None:
        """A wrong number or type of replies fails every call, with a message that says so."""
        for reply in (resp(["1"]), resp(["1", "2", "3"]), resp("ok"), resp(None)):
            self.redis.send("PING")
            fired = [outcome(self.call(name)) for name in "ab"]
            self.turn()
            self.answer(b"+PONG\r\n", reply) if self.redis.oldest else None
            while self.redis.oldest is not None:
                self.answer(reply)
            for one in fired:
                self.assertIsInstance(one[0], InvalidResponse)
                self.assertIn("expected a list of 2 replies, not", str(one[0]))

    def test_not_one_answer(self) -> None:
        """A wrong reply to a single call fails it too."""
        self.answer(b"+PONG\r\n")
        for reply in (resp([]), resp(["1", "2"]), resp("ok")):
            fired = outcome(self.call("a"))
            self.answer(reply)
            self.assertIsInstance(fired[0], InvalidResponse)

    def test_lost(self) -> None:
        """A connection that is lost before the end of the turn fails each call once."""
        fired = [outcome(self.call(name)) for name in "ab"]
        lose(self.redis)
        self.turn()
        for one in fired:
            self.assertEqual([type(error) for error in one], [ConnectionLost])
        self.assertIsInstance(outcome(self.call("c"))[0], ConnectionLost)
        self.assertEqual(self.sent(), [])

    def test_lost_later(self) -> None:
        """A connection that is lost before the replies fails each call once."""
        fired = [outcome(self.call(name)) for name in "ab"]
        self.turn()
        lose(self.redis)
        for one in fired:
            self.assertEqual([type(error) for error in one], [ConnectionLost])

    def test_cannot_be_sent(self) -> None:
        """A group that cannot be sent fails alone, and the others are sent in order."""
        fired = [outcome(self.call(text)) for text in ("a", "\ud800", "c")]
        self.turn()
        self.assertEqual(self.sent(), [[*CALL, b"a"], [*CALL, b"c"]])
        self.assertIsInstance(fired[1][0], InvalidData)
        self.answer(b"+PONG\r\n", resp(["1"]), resp(["3"]))
        self.assertEqual([fired[0], fired[2]], [["1"], ["3"]])

    def test_cancelled(self) -> None:
        """A cancelled call leaves the replies of the others in step."""
        calls = [self.call(name) for name in "abc"]
        fired = [outcome(call) for call in calls]
        calls[1].cancel()
        self.turn()
        self.answer(b"+PONG\r\n", resp(["1", "2", "3"]))
        self.assertEqual([fired[0], fired[2]], [["1"], ["3"]])
        self.assertEqual([type(error) for error in fired[1]], [CancelledError])

    def test_script_forgotten(self) -> None:
        """If Redis has lost the script, the whole batch is sent again."""
        fired = [outcome(self.call(name)) for name in "ab"]
        self.turn()
        self.sent()
        self.answer(b"+PONG\r\n", b"-NOSCRIPT no\r\n")
        self.assertEqual(self.sent(), [[b"EVAL", b"return ARGV", b"1", b"key", b"a", b"b"]])
        self.answer(resp(["1", "2"]))
        self.assertEqual(fired, [["1"], ["2"]])
