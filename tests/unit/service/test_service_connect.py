"""The outcomes of connect(), on a fake clock and on connections in memory."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from tests.support.connections import SECRET
from tests.support.service_cases import ServiceTestCase
from tests.support.wire import outcome, resp
from txthoonk.errors import (
    AuthenticationError,
    ClusterNotSupported,
    ConnectionLost,
    InvalidInput,
    ResponseError,
)
from txthoonk.types import Queue


class ConnectTests(ServiceTestCase):
    def test_connects(self) -> None:
        """connect() fires the service once publisher and subscriber have answered PING."""
        connected = self.connecting()
        self.assertEqual(len(self.endpoint.pending), 2)
        self.accept()
        self.assertEqual((connected, self.states), ([], ["connecting"]))
        self.accept()
        self.assertEqual(connected, [self.thoonk])
        self.assertEqual(self.states, ["connecting", "connected"])
        self.assertEqual(outcome(self.thoonk.connect()), [self.thoonk])
        self.assertEqual(outcome(self.thoonk.whenConnected()), [self.thoonk])
        self.stop()

    def test_started_twice(self) -> None:
        """startService() on a running service does nothing."""
        thoonk = self.come_up()
        thoonk.startService()
        self.clock.advance(0)
        self.assertEqual((len(self.endpoint.attempts), len(self.states)), (2, 2))
        self.stop()

    def test_several_wait(self) -> None:
        """All waits fire; cancelling one ends that one only."""
        thoonk = self.start()
        waits = [outcome(thoonk.whenConnected()) for _ in range(2)]
        cancelled = thoonk.whenConnected()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        waits.append(outcome(thoonk.connect()))
        self.accept_both()
        self.assertEqual(waits, [[thoonk]] * 3)
        self.stop()

    def test_not_reachable(self) -> None:
        """If no server is reachable, connect() fails after *wait* with the reason, and stops."""
        failed = outcome(self.make(wait=20).connect())
        for _ in range(19):
            self.clock.advance(0)
            self.endpoint.refuse()
            self.clock.advance(1)
        self.assertEqual(failed, [])
        self.clock.advance(1)
        (error,) = failed
        self.assertIsInstance(error, ConnectionLost)
        for part in ("redis://there/0", "20 seconds", "refused"):
            self.assertIn(part, str(error))
        self.nothing_left()
        self.assertEqual(self.states, ["connecting", "stopping", "stopped"])

    def test_timeout(self) -> None:
        """connect() fails after its timeout; an invalid timeout starts nothing."""
        failed = outcome(self.make(wait=20).connect(timeout=3))
        self.clock.advance(2.9)
        self.assertEqual(failed, [])
        self.clock.advance(0.1)
        self.assertIn("within 3 seconds", str(failed[0]))
        self.nothing_left()
        self.failureResultOf(self.make().connect(timeout=-1), InvalidInput)
        self.nothing_left()

    def test_one_is_lost_meanwhile(self) -> None:
        """The service is connected when both connections are up at the same time."""
        connected = self.connecting()
        pub = self.accept()
        self.endpoint.lose(pub)
        self.accept()
        self.assertEqual(connected, [])
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept()
        self.assertEqual(connected, [self.thoonk])
        self.assertEqual(self.states, ["connecting", "connected"])
        self.stop()

    def test_ten_seconds_at_least(self) -> None:
        """With wait=0, connect() waits for ten seconds."""
        failed = outcome(self.make(wait=0).connect())
        self.clock.advance(9.9)
        self.assertEqual(failed, [])
        self.clock.advance(0.1)
        self.assertIn("within 10 seconds: it does not answer", str(failed[0]))
        self.nothing_left()

    def test_silent(self) -> None:
        """connect() fails when the peer accepts the connection but does not answer."""
        failed = self.connecting()
        self.endpoint.accept()
        self.endpoint.accept()
        self.clock.advance(10)
        self.settle()
        self.assertIsInstance(failed[0], ConnectionLost)
        self.nothing_left()

    def test_refused(self) -> None:
        """Refused credentials fail connect() at once, and stop the service."""
        for line, error in (
            (b"-WRONGPASS invalid username-password pair", AuthenticationError),
            (b"-ERR Client sent AUTH, but no password is set", ResponseError),
        ):
            failed = self.connecting(f"redis://me:{SECRET}@there/0")
            self.endpoint.accept().answer(line + b"\r\n")
            self.settle()
            self.assertIsInstance(failed[0], error)
            self.assertNotIn(SECRET, str(failed[0]))
            self.nothing_left()

    def test_refused_database(self) -> None:
        """A database that does not exist fails connect() at once."""
        failed = self.connecting("redis://there/99")
        self.endpoint.accept().answer(b"-ERR DB index is out of range\r\n")
        self.settle()
        self.assertIn("out of range", str(failed[0]))
        self.nothing_left()

    def test_no_credentials(self) -> None:
        """A server that requires credentials fails connect() at once."""
        failed = self.connecting()
        self.accept()
        self.endpoint.accept().answer(b"-NOAUTH Authentication required.\r\n")
        self.settle()
        self.assertIsInstance(failed[0], AuthenticationError)
        self.nothing_left()

    def test_cluster(self) -> None:
        """A node of a cluster fails connect() at once."""
        failed = self.connecting()
        peer = self.endpoint.accept()
        peer.answer()
        peer.answer(resp("# Server\r\nrun_id:a\r\n# Cluster\r\ncluster_enabled:1\r\n"))
        self.settle()
        self.assertIsInstance(failed[0], ClusterNotSupported)
        self.assertIn("redis://there/0 leads to a node of a Redis Cluster", str(failed[0]))
        self.nothing_left()

    def test_passing_refusals(self) -> None:
        """connect() waits for a server that is loading or full."""
        for line in (
            b"-LOADING Redis is loading the dataset in memory",
            b"-MASTERDOWN Link with MASTER is down",
            b"-BUSY Redis is busy running a script",
            b"-ERR max number of clients reached",
        ):
            connected = self.connecting()
            self.endpoint.accept().answer(line + b"\r\n")
            self.endpoint.accept().answer(line + b"\r\n")
            self.settle()
            self.assertEqual(connected, [])
            self.clock.advance(1)
            self.clock.advance(0)
            self.accept_both()
            self.assertEqual(connected, [self.thoonk])
            self.stop()

    def test_refused_while_it_runs(self) -> None:
        """A running service tries again after a refusal: the password may be corrected."""
        thoonk = self.start()
        waiting = thoonk.whenConnected()
        self.endpoint.accept().answer(b"-NOAUTH Authentication required.\r\n")
        self.settle()
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept_both()
        self.assertIs(self.successResultOf(waiting), thoonk)
        self.stop()

    def test_cancelled(self) -> None:
        """Cancelling connect() stops the service in every state."""
        for begin in (
            lambda: None,
            lambda: self.clock.advance(0),
            lambda: (self.clock.advance(0), self.endpoint.refuse()),
            lambda: (self.clock.advance(0), self.endpoint.accept()),
            lambda: (self.clock.advance(0), self.accept()),
        ):
            connecting = self.make().connect()
            begin()
            connecting.cancel()
            self.settle()
            self.failureResultOf(connecting, CancelledError)
            self.nothing_left()

    def test_cancelled_after_a_refusal(self) -> None:
        """An earlier refusal is not reported as the reason of a later failure."""
        failed = self.connecting()
        self.endpoint.accept().answer(b"-NOAUTH Authentication required.\r\n")
        self.settle()
        self.assertIsInstance(failed[0], AuthenticationError)
        again = self.thoonk.connect()
        again.cancel()
        self.failureResultOf(again, CancelledError)
        late = outcome(self.thoonk.connect())
        self.clock.advance(10)
        self.assertIn("it does not answer", str(late[0]))
        self.nothing_left()

    def test_not_running(self) -> None:
        """Before the start and after the stop all calls fail at once, and say what to do."""
        thoonk = self.make()
        for _ in range(2):
            for call in (
                thoonk.whenConnected,
                thoonk.redis.ping,
                Queue(thoonk, "q").get,
                lambda: thoonk.feed("x"),
                lambda: thoonk.subscribe("x"),
                lambda: thoonk.subscribe_pattern("x*"),
                lambda: thoonk.mirror("x"),
                lambda: thoonk.register_handler("create", print),
            ):
                error = self.failureResultOf(call(), ConnectionLost).value
                self.assertIn("redis://there/0 does not run: start it", str(error))
            self.nothing_left()
            thoonk.startService()
            self.stop()
