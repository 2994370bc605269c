"""Calls that are cancelled, calls made within a reply, and calls of scripts."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import (
    OK,
    Abrupt,
    Transport,
    commands,
    lose,
    outcome,
    plug,
    redis,
    resp,
    sent,
)
from txthoonk.errors import ConnectionLost, InvalidData, NoScript, ResponseError
from txthoonk.protocol import Redis
from txthoonk.protocol._encoding import RAW, TEXT
from txthoonk.wire._scripts import Script

NOSCRIPT = b"-NOSCRIPT No matching script.\r\n"
ONE = Script("one/one", "return 1", "1" * 40)
TWO = Script("two/two", "return 2", "2" * 40)


class CancelTests(SynchronousTestCase):
    """The reply of a cancelled call is dropped; other calls get their own replies."""

    def test_any_of_them(self) -> None:
        """Whichever of four calls are cancelled, the others stay in step."""
        for count in range(5):
            for gone in combinations(range(4), count):
                for errors in (False, True):
                    client, _ = redis()
                    calls = [client.send("A", number) for number in range(4)]
                    fired = [outcome(call) for call in calls]
                    for number in gone:
                        calls[number].cancel()
                    for number in range(4):
                        wrong = errors and number in gone
                        client.dataReceived(b"-ERR no\r\n" if wrong else b":%d\r\n" % number)
                    for number in range(4):
                        if number in gone:
                            self.assertIsInstance(fired[number][0], CancelledError)
                            self.assertEqual(len(fired[number]), 1)
                        else:
                            self.assertEqual(fired[number], [number])

    def test_before_and_within_a_partial_reply(self) -> None:
        """A call may be cancelled after any part of its reply has arrived."""
        wire = b"*2\r\n$5\r\nhello\r\n:1\r\n"
        for cut in range(len(wire)):
            client, _ = redis()
            call, after = client.send("A"), outcome(client.send("B"))
            client.dataReceived(wire[:cut])
            call.cancel()
            client.dataReceived(wire[cut:] + OK)
            self.failureResultOf(call, CancelledError)
            self.assertEqual(after, ["OK"])

    def test_reply_that_is_not_text(self) -> None:
        """The reply of a cancelled call is dropped even if it cannot be decoded."""
        client, _ = redis()
        call, after = client.send("A"), outcome(client.send("B"))
        call.cancel()
        client.dataReceived(resp(b"\xff") + OK)
        self.failureResultOf(call, CancelledError)
        self.assertEqual(after, ["OK"])

    def test_converted_command(self) -> None:
        """A method with a converter can be cancelled like send()."""
        client, _ = redis()
        call, after = client.hgetall("h"), outcome(client.ping())
        call.cancel()
        client.dataReceived(resp(["a", "b"]) + b"+PONG\r\n")
        self.failureResultOf(call, CancelledError)
        self.assertEqual(after, ["PONG"])

    def test_cancel_from_the_reply_before(self) -> None:
        """A callback may cancel the next call even if its reply has already arrived."""
        client, _ = redis()
        first = client.send("A")
        second, third = client.send("B"), outcome(client.send("C"))
        first.addCallback(lambda _: second.cancel())
        client.dataReceived(b":1\r\n:2\r\n:3\r\n")
        self.failureResultOf(second, CancelledError)
        self.assertEqual(third, [3])

    def test_nothing_is_sent_for_it(self) -> None:
        """Cancelling writes nothing and closes nothing."""
        client, transport = redis()
        call = client.send("A")
        transport.clear()
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual((transport.value(), transport.disconnecting), (b"", False))


class ReentranceTests(SynchronousTestCase):
    """A callback may use the connection that called it in any way."""

    def test_send_from_a_callback(self) -> None:
        """A call made in a callback is queued after the others."""
        client, transport = redis()
        inner: list[Any] = []

        def again(reply: Any) -> Any:
            inner.append(outcome(client.send("C")))
            return reply

        first = outcome(client.send("A").addCallback(again))
        second = outcome(client.send("B"))
        client.dataReceived(b":1\r\n:2\r\n:3\r\n")
        self.assertEqual((first, second, inner), ([1], [2], [[3]]))
        self.assertEqual(transport.writes, [sent("A"), sent("B"), sent("C")])

    def test_chain(self) -> None:
        """A coroutine that sends one call after the other gets each reply."""
        client, _ = redis()

        async def chain() -> list[Any]:
            return [await client.send("A", number) for number in range(100)]

        chained = outcome(Deferred.fromCoroutine(chain()))
        client.dataReceived(b"".join(b":%d\r\n" % number for number in range(100)))
        self.assertEqual(chained, [list(range(100))])

    def test_send_from_a_failure(self) -> None:
        """A call made when the connection is lost fails too, and does not hang."""
        client, _ = redis()
        later: list[Any] = []
        client.send("A").addErrback(lambda _: later.append(outcome(client.send("B"))))
        lose(client)
        self.assertIsInstance(later[0][0], ConnectionLost)

    def test_callback_that_raises(self) -> None:
        """An error in a callback fails that Deferred only."""
        client, _ = redis()

        def wrong(_: Any) -> None:
            raise ZeroDivisionError

        first = client.send("A").addCallback(wrong)
        second = outcome(client.send("B"))
        client.dataReceived(b":1\r\n:2\r\n")
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(second, [2])

    def test_close_from_a_callback(self) -> None:
        """Replies that have already arrived are still fired after close()."""
        client, transport = redis()
        client.send("A").addCallback(lambda _: client.close() and None)  # type: ignore[call-overload]
        second, third = outcome(client.send("B")), outcome(client.send("C"))
        client.dataReceived(b":1\r\n:2\r\n")
        self.assertEqual(second, [2])
        self.assertTrue(transport.disconnecting)
        lose(client)
        self.assertIsInstance(third[0], ConnectionLost)

    def test_abort_from_a_callback(self) -> None:
        """If the connection ends within a callback, each other call fails once."""
        for end in ("abortConnection", "loseConnection"):
            client, transport = plug(Redis(), Abrupt)
            now = getattr(transport, end)
            client.send("A").addCallback(lambda _, now=now: now())  # type: ignore[call-overload]
            others = [outcome(client.send("B")) for _ in range(3)]
            client.dataReceived(b":1\r\n:2\r\n*1\r\n+thr")
            client.dataReceived(b"ee\r\n")
            for (reason,) in others:
                self.assertIsInstance(reason, ConnectionLost)

    def test_reply_within_the_write(self) -> None:
        """An in-memory transport may reply before the call has returned."""

        class Prompt(Transport):
            def write(self, data: bytes) -> None:
                assert self.protocol is not None
                self.protocol.dataReceived(b":7\r\n")

        client, _ = plug(Redis(), Prompt)
        self.assertEqual(self.successResultOf(client.send("A")), 7)

    def test_garbage_behind_a_callback(self) -> None:
        """Calls made by a callback just before garbage fail with the others."""
        client, transport = redis()
        later: list[Any] = []
        client.send("A").addCallback(lambda _: later.append(outcome(client.send("B"))))
        client.dataReceived(OK + b"garbage\r\n")
        self.assertEqual(len(later[0]), 1)
        self.assertTrue(transport.disconnecting)


class ScriptCallTests(SynchronousTestCase):
    """Scripts are loaded, and then called by their digest."""

    def call(self, client: Redis, *arguments: Any, script: Script = ONE) -> Deferred[Any]:
        return client.call(script, ("EVALSHA", script.sha, 1, "key", *arguments), TEXT)

    def names(self, transport: StringTransport) -> list[bytes]:
        return [words[0] for words in commands(transport.value())]

    def test_loaded_once(self) -> None:
        """The first call of a script on a connection loads it; the next ones do not."""
        client, transport = redis()
        fired = [
            outcome(call)
            for call in (
                self.call(client, "a"),
                self.call(client, "b"),
                self.call(client, script=TWO),
                self.call(client, "c"),
            )
        ]
        self.assertEqual(
            transport.value(),
            sent("SCRIPT", "LOAD", ONE.source)
            + sent("EVALSHA", ONE.sha, 1, "key", "a")
            + sent("EVALSHA", ONE.sha, 1, "key", "b")
            + sent("SCRIPT", "LOAD", TWO.source)
            + sent("EVALSHA", TWO.sha, 1, "key")
            + sent("EVALSHA", ONE.sha, 1, "key", "c"),
        )
        sha = resp(ONE.sha)
        client.dataReceived(sha + b":1\r\n:2\r\n" + sha + b":3\r\n:4\r\n")
        self.assertEqual(fired, [[1], [2], [3], [4]])

    def test_loaded_again_on_another_connection(self) -> None:
        """A script is loaded again on another connection, which may lead to another server."""
        for _ in range(2):
            client, transport = redis()
            self.call(client)
            self.assertEqual(self.names(transport), [b"SCRIPT", b"EVALSHA"])

    def test_one_write_per_call(self) -> None:
        """A call of a loaded script is one write."""
        client, transport = redis()
        self.call(client)
        transport.writes.clear()
        self.call(client)
        self.assertEqual(len(transport.writes), 1)

    def test_noscript(self) -> None:
        """A script that the server lost is sent as source; its reply fires the same Deferred."""
        for reply, expected in ((b":7\r\n", 7), (b"-NOSCRIPT again\r\n", NoScript)):
            client, transport = redis()
            fired, other = outcome(self.call(client, "a")), outcome(client.ping())
            transport.clear()
            client.dataReceived(resp(ONE.sha) + NOSCRIPT + b"+PONG\r\n")
            self.assertEqual((fired, other), ([], ["PONG"]))
            self.assertEqual(transport.writes[-1], sent("EVAL", ONE.source, 1, "key", "a"))
            self.assertEqual(transport.value(), transport.writes[-1])
            client.dataReceived(reply)
            ((result),) = fired
            self.assertEqual(result if isinstance(result, int) else type(result), expected)

    def test_noscript_of_many(self) -> None:
        """Each of several pending calls is sent again, in order."""
        client, transport = redis()
        fired = [outcome(self.call(client, number)) for number in range(5)]
        transport.clear()
        client.dataReceived(b"-ERR not loaded\r\n" + NOSCRIPT * 5)
        self.assertEqual(
            transport.writes[-5:],
            [sent("EVAL", ONE.source, 1, "key", number) for number in range(5)],
        )
        client.dataReceived(b"".join(b":%d\r\n" % number for number in range(5)))
        self.assertEqual(fired, [[number] for number in range(5)])

    def test_noscript_for_a_cancelled_call(self) -> None:
        """A cancelled call is not sent again after NOSCRIPT."""
        client, transport = redis()
        call, after = self.call(client), outcome(client.ping())
        call.cancel()
        transport.clear()
        client.dataReceived(resp(ONE.sha) + NOSCRIPT + b"+PONG\r\n")
        self.failureResultOf(call, CancelledError)
        self.assertEqual((transport.value(), after), (b"", ["PONG"]))

    def test_cancelled_while_it_is_sent_again(self) -> None:
        """The second reply of a cancelled call is dropped too."""
        client, _ = redis()
        call = self.call(client)
        client.dataReceived(resp(ONE.sha) + NOSCRIPT)
        after = outcome(client.ping())
        call.cancel()
        client.dataReceived(b":7\r\n+PONG\r\n")
        self.failureResultOf(call, CancelledError)
        self.assertEqual(after, ["PONG"])

    def test_lost_while_it_is_sent_again(self) -> None:
        """A call that is lost while it is sent again fails with ConnectionLost."""
        client, _ = redis()
        fired = outcome(self.call(client))
        client.dataReceived(resp(ONE.sha) + NOSCRIPT)
        lose(client)
        self.assertEqual([type(reason) for reason in fired], [ConnectionLost])

    def test_load_refused(self) -> None:
        """If the server refuses to load a script, its call fails with that error."""
        client, _ = redis()
        fired = outcome(self.call(client))
        client.dataReceived(b"-NOPERM no scripts\r\n-NOPERM no scripts for you\r\n")
        self.assertIsInstance(fired[0], ResponseError)
        self.assertEqual(fired[0].code, "NOPERM")

    def test_evalsha_of_the_user(self) -> None:
        """NOSCRIPT for a digest of the caller's own fails the call."""
        client, transport = redis()
        fired = outcome(client.evalsha("f" * 40))
        transport.clear()
        client.dataReceived(NOSCRIPT)
        self.assertIsInstance(fired[0], NoScript)
        self.assertEqual(transport.value(), b"")

    def test_encoding_after_noscript(self) -> None:
        """The second reply is decoded as the call requires; the arguments are unchanged."""
        client, transport = redis()
        command = ("EVALSHA", ONE.sha, 1, "ä", b"\xff")
        fired = outcome(client.call(ONE, command, RAW))
        client.dataReceived(resp(ONE.sha) + NOSCRIPT + resp(b"\xff\xfe"))
        self.assertEqual(transport.writes[-1], sent("EVAL", ONE.source, 1, "ä", b"\xff"))
        self.assertEqual(fired, [b"\xff\xfe"])

    def test_argument_that_cannot_be_sent(self) -> None:
        """A call with an argument that cannot be sent writes nothing, not even SCRIPT LOAD."""
        client, transport = redis()
        self.failureResultOf(self.call(client, None), InvalidData)
        self.assertEqual(transport.value(), b"")
        self.call(client, "a")
        self.assertEqual(self.names(transport), [b"SCRIPT", b"EVALSHA"])
