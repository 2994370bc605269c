"""The servers that the connections of a service lead to."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import outcome
from txthoonk.connections._servers import INSIST, STAY, Server, Servers, server_of
from txthoonk.errors import ClusterNotSupported, ConnectionLost, ResponseError, WrongServer
from txthoonk.wire._scripts import load

REPLICA = "role:slave\r\nmaster_host:10.0.0.2\r\nmaster_port:6380\r\nslave_read_only:1\r\n"
READONLY = ResponseError("READONLY You can't write against a read only replica.")
READONLY.code = "READONLY"


def info(run_id: str, rest: str = "role:master\r\n") -> str:
    return f"# Server\r\nredis_version:7.0.15\r\nrun_id:{run_id}\r\n\r\n# Others\r\n{rest}"


class InfoTests(SynchronousTestCase):
    def test_master(self) -> None:
        """A master without eviction is recognized as one."""
        text = info("a", "role:master\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n")
        self.assertEqual(server_of(text), Server("a"))
        text = info("a", "maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n")
        self.assertEqual(server_of(text), Server("a"))

    def test_replica(self) -> None:
        """A replica is recognized with its master's address, unless it accepts writes."""
        self.assertEqual(server_of(info("a", REPLICA)), Server("a", "10.0.0.2:6380"))
        self.assertEqual(server_of(info("a", "role:slave\r\n")), Server("a", "?:?"))
        writable = REPLICA.replace("read_only:1", "read_only:0")
        self.assertEqual(server_of(info("a", writable)), Server("a"))

    def test_others(self) -> None:
        """Eviction and cluster mode are recognized, and INFO may be empty or malformed."""
        text = info(
            "a", "maxmemory:1000\r\nmaxmemory_policy:volatile-ttl\r\ncluster_enabled:1\r\n"
        )
        self.assertEqual(server_of(text), Server("a", cluster=True, evicts="volatile-ttl"))
        self.assertEqual(server_of(""), Server(""))
        self.assertEqual(server_of("nonsense\r\n"), Server(""))


class Peer:
    """A connection whose requests the test answers."""

    def __init__(self) -> None:
        self.listener: Any = None
        self.asked: list[tuple[Any, ...]] = []
        self._answers: list[Deferred[Any]] = []

    def request(self, command: tuple[Any, ...]) -> Deferred[Any]:
        self.asked.append(command)
        self._answers.append(Deferred())
        return self._answers[-1]

    def report_misplaced(self, listener: Any) -> None:
        self.listener = listener

    def answer(self, reply: Any) -> None:
        self._answers.pop(0).callback(reply)


class ServersTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.left: list[WrongServer] = []
        self.servers = Servers(self.clock, "redis://there", 10.0, self.left.append)

    def publisher(self, *replies: Any) -> list[Any]:
        """Connect the publisher, and return the outcome of its check."""
        self.peer: Any = Peer()
        checked = outcome(Deferred.fromCoroutine(self.servers.check_publisher(self.peer)))  # type: ignore[arg-type]
        for reply in replies:
            self.peer.answer(reply)
        if checked == [None]:
            self.servers.connected(self.peer)  # type: ignore[arg-type]
        return checked

    def other(self, *replies: Any) -> list[Any]:
        """Connect another connection, and return the outcome of its check."""
        peer: Any = Peer()
        checked = outcome(Deferred.fromCoroutine(self.servers.check(peer)))
        for reply in replies:
            peer.answer(reply)
        self.asked = peer.asked
        return checked

    def refuse(self, script: str = "queue/put") -> None:
        """Make the publisher's server refuse to write."""
        self.peer.listener.misplaced(self.peer, READONLY, load(script))

    def go_down(self) -> None:
        self.servers.disconnected(ConnectionLost("gone"))
        self.left.clear()


class OneServerTests(ServersTestCase):
    def test_same(self) -> None:
        """A connection to the publisher's server stays, after one request for the run id."""
        self.assertEqual(self.publisher(info("a")), [None])
        self.assertEqual(self.peer.asked, [("INFO",)])
        self.assertEqual(self.other(info("a").encode()), [None])
        self.assertEqual(self.asked, [("INFO", "server")])
        self.assertEqual(self.left, [])

    def test_another(self) -> None:
        """A connection to another master stays, and the publisher's older one is dropped."""
        self.publisher(info("a"))
        self.assertEqual(self.other(info("b"), info("b")), [None])
        (error,) = self.left
        self.assertIn("another server", str(error))

    def test_replica_of_it(self) -> None:
        """A connection to a replica is refused while the publisher is connected to a master."""
        self.publisher(info("a"))
        (error,) = self.other(info("b"), info("b", REPLICA))
        self.assertIsInstance(error, WrongServer)
        self.assertIn("10.0.0.2:6380", str(error))
        self.assertEqual(self.left, [])

    def test_two_replicas(self) -> None:
        """If both servers are replicas, the newer connection is followed."""
        self.publisher(info("a", REPLICA))
        self.assertEqual(self.other(info("b"), info("b", REPLICA)), [None])
        self.assertEqual(len(self.left), 1)

    def test_unknown(self) -> None:
        """If INFO is forbidden or has no valid reply, nothing is compared."""
        self.publisher(info("a"))
        self.assertEqual(self.other(ResponseError("NOPERM")), [None])
        self.assertEqual(self.other(info("")), [None])
        self.assertEqual(self.other(None), [None])
        self.go_down()
        self.assertEqual(self.other(info("b")), [None])
        self.assertEqual(self.publisher(ResponseError("NOPERM")), [None])
        self.assertEqual(self.other(), [None])
        self.assertEqual((self.asked, self.left), ([], []))

    def test_no_answer(self) -> None:
        """A server that does not reply to INFO fails the attempt."""
        checked = self.publisher()
        self.clock.advance(10)
        self.assertIsInstance(checked[0], ConnectionLost)

    def test_cluster(self) -> None:
        """A node of a cluster is refused, and the error says that it is one."""
        (error,) = self.publisher(info("a", "cluster_enabled:1\r\n"))
        self.assertIsInstance(error, ClusterNotSupported)
        self.assertIn("redis://there", str(error))


class ReplicaTests(ServersTestCase):
    def test_left(self) -> None:
        """A server that refuses to write is left, and for a while every replica is refused."""
        self.publisher(info("a"))
        self.refuse()
        self.assertEqual(len(self.left), 1)
        self.go_down()
        (error,) = self.publisher(info("a", REPLICA))
        self.assertIsInstance(error, WrongServer)
        self.assertIn("10.0.0.2:6380", str(error))
        self.assertEqual(self.publisher(info("b")), [None])
        self.refuse()
        self.assertEqual(len(self.left), 1)

    def test_reading(self) -> None:
        """A replica is not left because of scripts that read and would also store a position."""
        self.publisher(info("a", REPLICA))
        self.clock.advance(STAY)
        for script in ("history/look", "history/snapshot", "history/item"):
            self.refuse(script)
        self.assertEqual(self.left, [])

    def test_only_a_replica(self) -> None:
        """Without another server, the connection stays at a replica, for calls that read."""
        self.publisher(info("a", REPLICA))
        self.refuse()
        self.assertEqual(self.left, [])
        self.clock.advance(STAY)
        self.refuse()
        self.assertEqual(len(self.left), 1)
        self.go_down()
        self.assertIsInstance(self.publisher(info("a", REPLICA))[0], WrongServer)
        self.clock.advance(INSIST)
        self.assertEqual(self.publisher(info("a", REPLICA)), [None])

    def test_unknown(self) -> None:
        """If INFO is forbidden, each refused write causes a reconnection."""
        for _ in range(3):
            self.assertEqual(self.publisher(ResponseError("NOPERM")), [None])
            self.refuse()
            self.assertEqual(len(self.left), 1)
            self.go_down()

    def test_late(self) -> None:
        """An error on an old connection does not drop the present one."""
        self.publisher(info("a"))
        old = self.peer
        self.go_down()
        self.publisher(info("b"))
        old.listener.misplaced(old, READONLY, None)
        self.assertEqual(self.left, [])
