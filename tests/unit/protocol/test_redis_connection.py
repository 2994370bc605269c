"""The connection: how it begins, how it ends, and how pending calls end with it."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.wire import OK, Abrupt, Transport, commands, lose, outcome, plug, redis, sent
from txthoonk.errors import (
    AuthenticationError,
    ConnectionError,
    ConnectionLost,
    InvalidResponse,
    InvalidType,
    RedisError,
    ResponseError,
)
from txthoonk.protocol import Redis
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._scripts import Script

SECRET = "s3cr3t-passw0rd"
SCRIPT = Script("x/y", "return 1", "0" * 40)


@implementer(ITCPTransport)
class Unix(Transport):  # type: ignore[misc]
    """A Unix socket as in Twisted 24.7: it claims to be TCP, and is not."""

    peer: Any = UNIXAddress(b"/redis.sock")
    delayed = True

    def getPeer(self) -> Any:
        return self.peer

    def setTcpNoDelay(self, enabled: bool) -> None:
        if isinstance(self.peer, UNIXAddress):
            raise OSError("Operation not supported")
        self.delayed = not enabled


class TCP(Unix):
    """A TCP connection."""

    peer = IPv4Address("TCP", "127.0.0.1", 6379)


class DelayTests(SynchronousTestCase):
    """Data is sent at once."""

    def test_tcp(self) -> None:
        """On TCP, Nagle's algorithm is off (TCP_NODELAY)."""
        _, transport = plug(Redis(), TCP)
        tcp: Any = transport
        self.assertFalse(tcp.delayed)

    def test_unix(self) -> None:
        """TCP_NODELAY is not set on a Unix socket, which has no such option."""
        client, _ = plug(Redis(), Unix)
        self.assertTrue(client.usable)


class LostTests(SynchronousTestCase):
    """When the connection is lost, every pending call fails."""

    def test_every_pending_call_fails(self) -> None:
        """Calls without a reply fail, and calls with a reply keep their result."""
        client, _ = redis()
        fired = [outcome(client.send("A")) for _ in range(4)]
        client.dataReceived(OK + b"$5\r\nhal")
        lose(client)
        self.assertEqual(fired[0], ["OK"])
        for (lost,) in fired[1:]:
            self.assertIs(type(lost), ConnectionLost)

    def test_later_calls_fail(self) -> None:
        """A call after the end of the connection fails at once and writes nothing."""
        client, transport = redis()
        lose(client)
        for deferred in (
            client.ping(),
            client.send("A"),
            client.hget("a", "b"),
            client.call(SCRIPT, ("EVALSHA", SCRIPT.sha, 0), TEXT),
        ):
            self.failureResultOf(deferred, ConnectionLost)
        self.assertEqual(transport.writes, [])

    def test_calls_before_the_beginning_fail(self) -> None:
        """A call on a client that was never connected fails with "not connected"."""
        lost = self.failureResultOf(Redis().ping(), ConnectionLost).value
        self.assertIn("not connected", str(lost))

    def test_what_it_is(self) -> None:
        """ConnectionLost can be caught as an error of txthoonk, of txredis or of Twisted."""
        for cls in (ConnectionError, RedisError, error.ConnectionLost, error.ConnectionClosed):
            self.assertTrue(issubclass(ConnectionLost, cls))

    def test_message(self) -> None:
        """The message gives the reason and the number of unanswered calls."""
        client, _ = redis()
        fired = [outcome(client.send("A")) for _ in range(3)]
        client.dataReceived(OK)
        lose(client, error.ConnectionLost("cable cut"))
        text = str(fired[1][0])
        self.assertIn("cable cut", text)
        self.assertIn("2 unanswered", text)
        self.assertEqual(text, str(fired[2][0]))

    def test_message_without_waiters(self) -> None:
        """Without unanswered calls, the message does not mention any."""
        client, _ = redis()
        lose(client)
        text = str(self.failureResultOf(client.ping()).value)
        self.assertNotIn("unanswered", text)
        self.assertIn("lost", text)

    def test_last_words_of_the_server(self) -> None:
        """An error that arrives before the first call is the reason for the lost connection."""
        client, _ = redis()
        client.dataReceived(b"-ERR max number of clients reached\r\n")
        lose(client)
        lost = self.failureResultOf(client.ping(), ConnectionLost).value
        self.assertIn("max number of clients reached", str(lost))

    def test_reply_that_nobody_waits_for(self) -> None:
        """A reply without a call is dropped, and the next call gets its own reply."""
        client, _ = redis()
        client.dataReceived(b"+odd\r\n:1\r\n*1\r\n+x\r\n$-1\r\n")
        fired = outcome(client.ping())
        client.dataReceived(b"+PONG\r\n")
        self.assertEqual(fired, ["PONG"])

    def test_data_after_the_end(self) -> None:
        """Bytes after the end are ignored."""
        client, _ = redis()
        fired = outcome(client.ping())
        lose(client)
        client.dataReceived(OK)
        self.assertEqual(len(fired), 1)

    def test_cancelled_calls(self) -> None:
        """A cancelled call does not fail a second time."""
        client, _ = redis()
        deferred = client.ping()
        fired = outcome(deferred)
        deferred.cancel()
        lose(client)
        self.assertEqual([type(reason) for reason in fired], [CancelledError])


class GarbageTests(SynchronousTestCase):
    """A peer that does not speak the Redis protocol is disconnected."""

    WIRES = (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02",
        b"\r\n",
        b":abc\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"*-2\r\n",
        b"*1\r\nx",
        b"*2\r\n+a\r\n\0\r\n",
    )

    def test_fails_all_and_closes(self) -> None:
        """Pending calls fail with InvalidResponse, later calls with ConnectionLost."""
        for wire in self.WIRES:
            client, transport = redis()
            fired = [outcome(client.send("A")) for _ in range(3)]
            client.dataReceived(OK + wire)
            self.assertEqual(fired[0], ["OK"], wire)
            self.assertEqual([type(reason) for (reason,) in fired[1:]], [InvalidResponse] * 2)
            self.assertTrue(transport.disconnecting)
            transport.clear()
            self.failureResultOf(client.ping(), ConnectionLost)
            client.dataReceived(OK)
            lose(client)
            self.failureResultOf(client.ping(), ConnectionLost)
            self.assertEqual(transport.value(), b"")

    def test_with_nobody_waiting(self) -> None:
        """Garbage closes an idle connection too, and later calls fail with that reason."""
        client, transport = redis()
        client.dataReceived(b"SSH-2.0-OpenSSH\r\n")
        self.assertTrue(transport.disconnecting)
        lose(client)
        lost = self.failureResultOf(client.ping(), ConnectionLost).value
        self.assertIn("Protocol error", str(lost))

    def test_map_with_a_key_that_cannot_be_one(self) -> None:
        """A reply that Python cannot represent fails the call like garbage; nothing is raised."""
        client, _ = redis()
        fired = outcome(client.send("A"))
        client.dataReceived(b"%1\r\n*1\r\n:1\r\n:2\r\n")
        lose(client)
        self.assertEqual(len(fired), 1)
        self.assertIsInstance(fired[0], RedisError)


class HandshakeTests(SynchronousTestCase):
    """AUTH and SELECT are sent first, and no call is sent unless they succeed."""

    def test_none_needed(self) -> None:
        """Database 0 without a password needs no handshake."""
        for arguments in ({}, {"db": 0}, {"db": None}):
            client, transport = redis(**arguments)
            self.assertEqual(transport.writes, [])
            client.ping()
            self.assertEqual(transport.writes, [sent("PING")])

    def test_words(self) -> None:
        """The handshake sends the given values, in order."""
        for arguments, words in (
            ({"db": 3}, [("SELECT", 3)]),
            ({"password": "pw"}, [("AUTH", "pw")]),
            ({"password": "pw", "username": "me"}, [("AUTH", "me", "pw")]),
            ({"password": "pä", "db": 2}, [("AUTH", "pä"), ("SELECT", 2)]),
        ):
            for charset in ("utf8", None):
                _, transport = redis(charset=charset, **arguments)
                expected = b"".join(sent(*command) for command in words)
                self.assertEqual(transport.value(), expected)

    def test_empty_password_is_none(self) -> None:
        """As in txredis, an empty password without a user sends no AUTH."""
        _, transport = redis(password="")
        self.assertEqual(transport.value(), b"")

    def test_user_without_a_password(self) -> None:
        """A user without a password is still authenticated as that user, not as the default."""
        for password in (None, ""):
            _, transport = redis(username="me", password=password)
            self.assertEqual(transport.value(), sent("AUTH", "me", ""))

    def test_held_until_it_succeeds(self) -> None:
        """Calls made during the handshake are sent after its last OK, in order, in one write."""
        client, transport = redis(db=2, password="pw")
        fired = [outcome(client.send("A", number)) for number in range(3)]
        self.assertEqual(transport.value(), sent("AUTH", "pw") + sent("SELECT", 2))
        transport.writes.clear()
        client.dataReceived(OK)
        self.assertEqual(transport.writes, [])
        client.dataReceived(OK)
        self.assertEqual(transport.writes, [sent("A", 0) + sent("A", 1) + sent("A", 2)])
        late = outcome(client.send("B"))
        self.assertEqual(transport.writes[1:], [sent("B")])
        client.dataReceived(b":0\r\n:1\r\n:2\r\n:3\r\n")
        self.assertEqual((fired, late), ([[0], [1], [2]], [3]))

    def test_nothing_held(self) -> None:
        """When no call was made during the handshake, nothing is written after it."""
        client, transport = redis(db=1)
        client.dataReceived(OK)
        self.assertEqual(transport.writes, [sent("SELECT", 1)])

    def test_refused(self) -> None:
        """A refused AUTH or SELECT fails the held calls with its error, and none is sent."""
        wrongpass, range_ = b"-WRONGPASS no\r\n", b"-ERR DB index is out of range\r\n"
        for arguments, replies, expected in (
            ({"password": "pw"}, [wrongpass], AuthenticationError),
            ({"db": 99}, [range_], ResponseError),
            ({"password": "pw", "db": 99}, [OK, range_], ResponseError),
            ({"password": "pw", "db": 1}, [wrongpass, b"-NOAUTH no\r\n"], AuthenticationError),
            ({"password": "pw", "db": 1}, [wrongpass, OK], AuthenticationError),
            ({"password": "pw", "db": 1}, [wrongpass + OK + OK], AuthenticationError),
        ):
            client, transport = redis(**arguments)
            transport.clear()
            fired = [outcome(client.flushdb()), outcome(client.set("a", 1))]
            for reply in replies:
                client.dataReceived(reply)
            for (reason,) in fired:
                self.assertIs(type(reason), expected)
                if expected is ResponseError:
                    self.assertIn("the server has no database 99", str(reason))
            self.assertTrue(transport.disconnecting)
            late = client.ping()
            text = str(self.failureResultOf(late, ConnectionLost).value)
            self.assertIn(str(fired[0][0]), text)
            lose(client)
            text = str(self.failureResultOf(client.ping(), ConnectionLost).value)
            self.assertIn(str(fired[0][0]), text)
            self.assertEqual(transport.value(), b"")

    def test_lost_in_the_middle(self) -> None:
        """Held calls fail like others when the connection is lost during the handshake."""
        client, transport = redis(db=1, password="pw")
        fired = outcome(client.ping())
        client.dataReceived(OK)
        transport.clear()
        lose(client)
        self.assertIsInstance(fired[0], ConnectionLost)
        self.assertEqual(transport.value(), b"")

    def test_held_script_call(self) -> None:
        """A held script call loads its script after the handshake, before the call."""
        client, transport = redis(db=1)
        client.call(SCRIPT, ("EVALSHA", SCRIPT.sha, 0), TEXT)
        self.assertEqual(transport.value(), sent("SELECT", 1))
        transport.clear()
        client.dataReceived(OK)
        self.assertEqual(
            [words[0] for words in commands(transport.value())], [b"SCRIPT", b"EVALSHA"]
        )

    def test_held_and_cancelled(self) -> None:
        """Cancelling a held call leaves the replies of the others in step."""
        client, _ = redis(db=1)
        first, second = client.send("A"), outcome(client.send("B"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        client.dataReceived(OK + b":1\r\n:2\r\n")
        self.assertEqual(second, [2])

    def test_garbage_instead_of_ok(self) -> None:
        """A peer that is not Redis fails the held calls."""
        client, transport = redis(db=1)
        fired = outcome(client.ping())
        client.dataReceived(b"HTTP/1.1 400\r\n")
        self.assertIsInstance(fired[0], InvalidResponse)
        self.assertTrue(transport.disconnecting)

    def test_password_that_cannot_be_sent(self) -> None:
        """A password that the charset cannot encode ends the connection, with a reason."""
        client, transport = redis(password="\ud800", db=1)
        self.assertTrue(transport.disconnecting)
        self.failureResultOf(client.ping(), ConnectionLost)
        client.dataReceived(OK)
        self.assertNotIn(b"PING", transport.value())

    def test_credentials_are_not_shown(self) -> None:
        """Neither the client's text nor an error contains the password."""
        client, transport = redis(password=SECRET, username="me", db=1)
        texts = [repr(client), str(client)]
        fired = [outcome(client.send("A")), outcome(client.send("A", None))]
        client.dataReceived(b"-WRONGPASS invalid username-password pair\r\n")
        lose(client)
        fired += [outcome(client.ping()), outcome(client.send("A", object()))]
        for (reason,) in fired:
            texts += [str(reason), repr(reason), repr(reason.args)]
        self.assertIn(SECRET.encode(), transport.value())
        for text in texts:
            self.assertNotIn(SECRET, text)

    def test_password_of_a_wrong_type_is_not_shown(self) -> None:
        """A password of a wrong type is refused at once, and the message does not repeat it."""
        for arguments in ({"password": [SECRET]}, {"username": {SECRET: 1}}):
            with self.assertRaises(InvalidType) as raised:
                Redis(**arguments)
            self.assertNotIn(SECRET, str(raised.exception))


class CloseTests(SynchronousTestCase):
    """close() ends the connection, and every close() fires."""

    def test_close(self) -> None:
        """close() fires when the connection is closed, and pending calls fail."""
        client, transport = redis()
        fired = outcome(client.ping())
        closed = client.close()
        self.assertTrue(transport.disconnecting)
        self.assertNoResult(closed)
        lose(client)
        self.assertIsNone(self.successResultOf(closed))
        self.assertIsInstance(fired[0], ConnectionLost)

    def test_not_open(self) -> None:
        """close() fires at once when there is no connection."""
        self.assertIsNone(self.successResultOf(Redis().close()))
        client, _ = redis()
        lose(client)
        self.assertIsNone(self.successResultOf(client.close()))

    def test_twice(self) -> None:
        """Each of two calls of close() fires."""
        client, _ = redis()
        first, second = client.close(), client.close()
        lose(client)
        self.assertIsNone(self.successResultOf(first))
        self.assertIsNone(self.successResultOf(second))

    def test_a_reply_on_the_way(self) -> None:
        """A reply that arrives after close() and before the end still fires its call."""
        client, _ = redis()
        fired = outcome(client.ping())
        client.close()
        client.dataReceived(b"+PONG\r\n")
        self.assertEqual(fired, ["PONG"])

    def test_call_after_close(self) -> None:
        """A call after close() fails, at the latest when the connection ends."""
        client, _ = redis()
        client.close()
        fired = outcome(client.ping())
        lose(client)
        self.assertIsInstance(fired[0], ConnectionLost)

    def test_cancelled(self) -> None:
        """Cancelling close() aborts the connection; another close() still fires."""
        client, transport = redis()
        first, second = client.close(), client.close()
        first.cancel()
        self.assertTrue(transport.disconnected)
        self.assertNoResult(second)
        lose(client)
        self.assertIsNone(self.successResultOf(second))
        self.failureResultOf(first, CancelledError)

    def test_cancelled_where_the_end_comes_at_once(self) -> None:
        """close() fires when the transport ends within abortConnection()."""
        client, transport = redis()
        closed = client.close()
        self.patch(transport, "abortConnection", lambda: lose(client))
        closed.cancel()
        self.assertIsNone(self.successResultOf(closed))

    def test_end_within_close(self) -> None:
        """close() fires when the transport ends within loseConnection()."""
        client, _ = plug(Redis(), Abrupt)
        self.assertIsNone(self.successResultOf(client.close()))

    def test_during_the_handshake(self) -> None:
        """close() works during the handshake."""
        client, transport = redis(db=1)
        fired = outcome(client.ping())
        closed = client.close()
        self.assertTrue(transport.disconnecting)
        lose(client)
        self.assertIsNone(self.successResultOf(closed))
        self.assertIsInstance(fired[0], ConnectionLost)

    def test_closed_from_a_failure(self) -> None:
        """A call whose errback closes the client does not disturb the other calls."""
        client, _ = redis()
        client.ping().addErrback(lambda _: client.close())
        fired = outcome(client.ping())
        lose(client)
        self.assertIsInstance(fired[0], ConnectionLost)
