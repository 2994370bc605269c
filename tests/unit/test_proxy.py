"""The proxy of the tests of faults: what passes, when, and what each end is told."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import alsoProvides

from tests.support import TIMEOUT
from tests.support.proxy import Link, Proxy

reactor: Any = installed_reactor


class End(Protocol):
    """One end: it keeps the pieces that come, and tells when there are enough bytes."""

    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._waiting: tuple[int, Deferred[bytes]] | None = None

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.made.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.pieces += [data] if data else []
        if self._waiting is not None and len(self.data) >= self._waiting[0]:
            waiting, self._waiting = self._waiting[1], None
            waiting.callback(self.data)

    def enough(self, count: int) -> Deferred[bytes]:
        """Wait for *count* bytes in all."""
        waiting: Deferred[bytes] = Deferred()
        self._waiting = (count, waiting)
        self.dataReceived(b"")
        return waiting

    def readConnectionLost(self) -> None:
        self.transport.write(b"reply")
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


def factory_of(end: End) -> Any:
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    factory.buildProtocol = lambda addr: end  # type: ignore[method-assign]
    return factory


class ProxyTestCase(TestCase):
    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.server = End()
        listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            factory_of(self.server)
        )
        self.addCleanup(listening.stopListening)
        server = TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getHost().port)
        self.proxy = Proxy(reactor, server)
        await self.proxy.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))
        self.client = End()
        await self.proxy.endpoint.connect(factory_of(self.client))
        self.link: Link = await self.proxy.link_of(self.client.transport)
        await self.server.made

    async def turns(self, count: int = 5) -> None:
        """Let the reactor do what is due."""
        for _ in range(count):
            await deferLater(reactor, 0)


class PassingTests(ProxyTestCase):
    """Every byte arrives, in its order."""

    async def test_both_ways(self) -> None:
        """What is not held up passes as it is."""
        self.client.transport.write(b"request")
        self.assertEqual(await self.server.enough(7), b"request")
        self.server.transport.write(b"reply")
        self.assertEqual(await self.client.enough(5), b"reply")
        self.assertEqual(bytes(self.link.request.log), b"request")
        self.assertEqual(bytes(self.link.reply.log), b"reply")

    async def test_split(self) -> None:
        """One byte at a time: each comes by itself."""
        self.link.request.split(1)
        self.client.transport.write(b"request")
        await self.server.enough(7)
        self.assertEqual(self.server.pieces, [b"r", b"e", b"q", b"u", b"e", b"s", b"t"])

    async def test_halves(self) -> None:
        """Each piece comes in two."""
        self.link.reply.halve()
        for text in (b"abcd", b"efg", b"h"):
            so_far = len(self.client.data)
            self.server.transport.write(text)
            await self.client.enough(so_far + len(text))
        self.assertEqual(self.client.pieces, [b"ab", b"cd", b"e", b"fg", b"h"])

    async def test_split_keeps_the_order(self) -> None:
        """What comes while the rest of an earlier piece is under way stays behind it."""
        self.link.request.split(2)
        sent = bytes(range(200))
        for first in range(0, 200, 20):
            self.client.transport.write(sent[first : first + 20])
            await self.turns(2)
        self.assertEqual(await self.server.enough(200), sent)

    async def test_delay(self) -> None:
        """A delayed byte comes when its time has come, not before, and others behind it."""
        clock = self.link.request._clock = Clock()
        self.link.request.delay(2)
        self.client.transport.write(b"ab")
        await self.turns()
        clock.advance(1)
        self.link.request.delay(0)
        self.client.transport.write(b"cd")
        await self.turns()
        clock.advance(0.9)
        await self.turns()
        self.assertEqual(self.server.data, b"")
        clock.advance(0.1)
        self.assertEqual(await self.server.enough(4), b"abcd")


class StallTests(ProxyTestCase):
    """What is held up is not lost."""

    async def test_stall(self) -> None:
        """So many bytes pass, and the others when they are released."""
        reached = self.link.request.stall_after(3)
        self.assertNoResult(reached)
        self.client.transport.write(b"request")
        await reached
        self.assertEqual(await self.server.enough(3), b"req")
        await self.turns()
        self.assertEqual(self.server.data, b"req")
        self.link.request.release()
        self.assertEqual(await self.server.enough(7), b"request")

    async def test_the_other_way(self) -> None:
        """What goes the other way passes meanwhile."""
        self.link.request.stall_after(0)
        self.client.transport.write(b"request")
        self.server.transport.write(b"reply")
        self.assertEqual(await self.client.enough(5), b"reply")
        self.assertEqual(self.server.data, b"")


class CutTests(ProxyTestCase):
    """A cut takes effect at the byte that was named."""

    async def test_request(self) -> None:
        """The server gets so many bytes and the end; the client gets nothing more."""
        self.link.request.cut_after(4)
        self.client.transport.write(b"request")
        await self.link.ended
        self.assertEqual(self.server.data, b"requ")
        await self.client.lost
        self.assertEqual(self.client.data, b"")

    async def test_what_the_server_says_at_its_end(self) -> None:
        """The server's answer to what it has got is not passed behind a cut."""
        self.link.request.cut_after(4)
        alsoProvides(self.server, IHalfCloseableProtocol)  # so it can answer
        self.client.transport.write(b"request")
        await self.link.ended
        self.assertEqual(bytes(self.link.reply.log), b"reply")
        self.assertEqual(self.client.data, b"")

    async def test_reply(self) -> None:
        """The client gets so many bytes and the end; the server all that was sent."""
        self.link.reply.cut_after(2)
        self.client.transport.write(b"request")
        await self.server.enough(7)
        self.server.transport.write(b"reply")
        await self.link.ended
        self.assertEqual(self.client.data, b"re")

    async def test_no_byte(self) -> None:
        """A cut after 0 bytes waits for the first one, and does not pass it."""
        self.link.reply.cut_after(0)
        await self.turns()
        self.assertNoResult(self.link.ended)
        self.server.transport.write(b"r")
        await self.link.ended
        self.assertEqual(self.client.data, b"")

    async def test_turns(self) -> None:
        """The other direction may be given time to pass what is under way."""
        self.link.reply.cut_after(1, 3)
        self.client.transport.write(b"request")
        self.server.transport.write(b"reply")
        await self.link.ended
        self.assertEqual(self.client.data, b"r")
        self.assertEqual(self.server.data, b"request")

    async def test_the_last_byte(self) -> None:
        """A cut after as many bytes as there are does not take effect."""
        self.link.reply.cut_after(5)
        self.server.transport.write(b"reply")
        self.assertEqual(await self.client.enough(5), b"reply")
        await self.turns()
        self.assertNoResult(self.link.ended)

    async def test_in_pieces(self) -> None:
        """A cut counts bytes, however they come."""
        self.link.request.split(1)
        self.link.request.cut_after(5)
        self.client.transport.write(b"request")
        await self.link.ended
        self.assertEqual(self.server.data, b"reque")


class EndTests(ProxyTestCase):
    """The end of one side is the end of the other."""

    async def test_client(self) -> None:
        """A client that closes gets its last bytes through."""
        self.client.transport.write(b"last")
        self.client.transport.loseConnection()
        await self.server.lost
        self.assertEqual(self.server.data, b"last")
        await self.link.ended
        self.assertEqual(self.proxy.links, [])

    async def test_server(self) -> None:
        """A server that closes gets its last bytes through."""
        self.server.transport.write(b"last")
        self.server.transport.loseConnection()
        await self.client.lost
        self.assertEqual(self.client.data, b"last")

    async def test_refusing(self) -> None:
        """A proxy that refuses sends whoever comes away."""
        self.proxy.refusing = True
        client = End()
        await self.proxy.endpoint.connect(factory_of(client))
        await client.lost
        self.assertEqual(len(self.proxy.links), 1)
