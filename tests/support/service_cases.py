"""Helpers for the unit tests of services."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.connections import PING, Endpoint, Peer
from tests.support.wire import NUMBER, OK, SCRIPTS, outcome, resp
from txthoonk.service import Thoonk
from txthoonk.types import Queue

URL = "redis://there/0"
NO_INFO = b"-NOPERM this user has no permissions to run the 'info' command\r\n"
NO_FEED = b"-NOFEED feed 'x' does not exist\r\n"
BLMOVE = [b"BLMOVE", b"feed.ids:q", b"feed.transit:q", b"RIGHT", b"LEFT", b"0"]


class Connections(Endpoint):
    """An endpoint that serves all connections of a service."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[Peer] = []

    @property
    def pending(self) -> list[tuple[Any, Deferred[Any]]]:
        return [attempt for attempt in self.attempts if not attempt[1].called]

    def accept(self) -> Peer:
        """Let the oldest pending attempt succeed."""
        factory, attempt = self.pending[0]
        peer = Peer(factory)
        self.peers.append(peer)
        attempt.callback(peer.link)
        return peer

    def refuse(self, error: Exception | None = None) -> None:
        """Let all pending attempts fail."""
        for _, attempt in self.pending:
            attempt.errback(error or ConnectionRefusedError())

    def hang_up(self) -> bool:
        """End the connections that are closing; return whether there were any."""
        closing = [peer for peer in self.peers if peer.transport.disconnecting]
        for peer in closing:
            self.lose(peer)
        return bool(closing)

    def hang_up_all(self) -> None:
        """End the connections that are closing, until there are none."""
        closing = True
        while closing:
            closing = self.hang_up()

    def lose(self, peer: Peer) -> None:
        self.peers.remove(peer)
        peer.lose()


class ServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Connections()
        self.states: list[str] = []
        self.reasons: list[BaseException | None] = []

    def make(self, url: str = URL, **arguments: Any) -> Thoonk:
        endpoint = self.endpoint

        class InMemory(Thoonk):
            def _make_endpoint(self) -> IStreamClientEndpoint:
                return endpoint

        options = {"retry_policy": float, "state_changed": self.changed, **arguments}
        self.thoonk = InMemory(url, self.clock, **options)
        return self.thoonk

    def changed(self, state: str, reason: BaseException | None) -> None:
        self.states.append(state)
        self.reasons.append(reason)

    def connecting(self, url: str = URL, **arguments: Any) -> list[Any]:
        """Begin connect(), until two attempts are pending; return a list that gets its outcome."""
        found = outcome(self.make(url, **arguments).connect())
        self.clock.advance(0)
        return found

    def start(self, url: str = URL, **arguments: Any) -> Thoonk:
        """Start a service whose two attempts to connect are pending."""
        thoonk = self.make(url, **arguments)
        thoonk.startService()
        self.clock.advance(0)
        return thoonk

    def accept(self) -> Peer:
        """Let the oldest pending attempt come up, with all scripts loaded."""
        peer = self.endpoint.accept()
        if hasattr(peer.link, "redis"):
            peer.redis._loaded.update(sha.decode() for sha in SCRIPTS)
            greeting = peer.sent()
            if greeting != [PING]:
                peer.answer(OK * len(greeting))
                peer.sent()
            peer.answer()
            if b"INFO" in peer.transport.value():
                peer.sent()
                peer.answer(NO_INFO)
        return peer

    def accept_both(self) -> None:
        self.pub, self.sub = self.accept(), self.accept()

    def come_up(self, url: str = URL, **arguments: Any) -> Thoonk:
        """Start a service, and connect it."""
        thoonk = self.start(url, **arguments)
        self.accept_both()
        return thoonk

    def lose_both(self) -> None:
        self.endpoint.lose(self.pub)
        self.endpoint.lose(self.sub)

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds * 8)):
            self.clock.advance(0.125)

    def settle(self) -> None:
        """Let the server do what was requested, until nothing more is."""
        self.clock.advance(0)
        self.answer_drain()
        while self.endpoint.hang_up():
            self.clock.advance(0)
            self.answer_drain()

    def answer_drain(self) -> None:
        """Reply to the PING after the last calls of a service that stops."""
        if self.thoonk.state == "stopping":
            for peer in self.endpoint.peers:
                redis = getattr(peer.link, "redis", None)
                if redis is getattr(self.thoonk.redis, "_redis", None) and self.names(peer)[
                    -1:
                ] == [b"PING"]:
                    peer.answer()

    def names(self, peer: Peer) -> list[bytes]:
        """Return the commands that were sent, with scripts by name."""
        return [SCRIPTS[words[1]] if words[0] == b"EVALSHA" else words[0] for words in peer.sent()]

    def confirm(self) -> None:
        """Confirm everything that the subscriber has requested."""
        for word, *names in self.sub.sent():
            for name in names:
                self.sub.answer(resp([word.lower(), name, 1]))

    def blocked(self, thoonk: Thoonk) -> tuple[Deferred[Any], Peer]:
        """Start a get that waits in BLMOVE; return it and its connection."""
        get = Queue(thoonk, "q").get()
        self.assertEqual(self.names(self.pub), [b"queue/get"])
        self.pub.answer(resp([b"5.5", 0]))
        waiting = self.accept()
        waiting.answer(resp(77) + resp(0))
        self.assertEqual(waiting.sent(), [*NUMBER, BLMOVE])
        return get, waiting

    def nothing_left(self) -> None:
        """Check that the service is stopped, has left nothing, and starts nothing."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.endpoint.pending, self.endpoint.peers), ([], []))
        attempts = len(self.endpoint.attempts)
        self.clock.advance(1000)
        self.assertEqual(len(self.endpoint.attempts), attempts)
        self.assertEqual((self.thoonk.state, self.thoonk.running), ("stopped", 0))
        self.assertEqual(self.thoonk.waiting_room.pool._open, [])
        self.assertEqual(self.thoonk._subscribing.made, {})

    def stop(self) -> None:
        stopped = self.thoonk.stopService()
        self.settle()
        self.assertIsNone(self.successResultOf(stopped))
        self.nothing_left()
