"""The proxy of the fault tests: which bytes pass, when, and what each end notices."""

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
    """One end: it keeps the received pieces, and fires when there are enough bytes."""

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
        """Fire all bytes once there are at least *count*."""
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
        """Give the reactor a few turns."""
        for _ in range(count):
            await deferLater(reactor, 0)


class PassingTests(ProxyTestCase):
    """Every byte arrives, in order."""

    async def test_both_ways(self) -> None:
        """Without a fault, bytes pass unchanged in both directions."""
        self.client.transport.write(b"request")
        self.assertEqual(await self.server.enough(7), b"request")
        self.server.transport.write(b"reply")
        self.assertEqual(await self.client.enough(5), b"reply")
        self.assertEqual(bytes(self.link.request.log), b"request")
        self.assertEqual(bytes(self.link.reply.log), b"reply")

    async def test_split(self) -> None:
        """A split of one byte delivers each byte separately."""
        self.link.request.split(1)
        self.client.transport.write(b"request")
        await self.server.enough(7)
        self.assertEqual(self.server.pieces, [b"r", b"e", b"q", b"u", b"e", b"s", b"t"])

    async def test_halves(self) -> None:
        """A halved direction delivers each piece in two parts."""
        self.link.reply.halve()
        for text in (b"abcd", b"efg", b"h"):
            so_far = len(self.client.data)
            self.server.transport.write(text)
            await self.client.enough(so_far + len(text))
        self.assertEqual(self.client.pieces, [b"ab", b"cd", b"e", b"fg", b"h"])

    async def test_split_keeps_the_order(self) -> None:
        """Data that arrives while an earlier piece is being split stays after it."""
        self.link.request.split(2)
        sent = bytes(range(200))
        for first in range(0, 200, 20):
            self.client.transport.write(sent[first : first + 20])
            await self.turns(2)
        self.assertEqual(await self.server.enough(200), sent)

    async def test_delay(self) -> None:
        """A delayed byte arrives when its delay is over, and later bytes arrive after it."""
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
    """Stalled bytes are not lost."""

    async def test_stall(self) -> None:
        """The given number of bytes passes, and the rest follows on release."""
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
        """While one direction is stalled, the other passes bytes."""
        self.link.request.stall_after(0)
        self.client.transport.write(b"request")
        self.server.transport.write(b"reply")
        self.assertEqual(await self.client.enough(5), b"reply")
        self.assertEqual(self.server.data, b"")


class CutTests(ProxyTestCase):
    """A cut takes effect at the given byte."""

    async def test_request(self) -> None:
        """The server receives that many bytes and the end; the client receives nothing more."""
        self.link.request.cut_after(4)
        self.client.transport.write(b"request")
        await self.link.ended
        self.assertEqual(self.server.data, b"requ")
        await self.client.lost
        self.assertEqual(self.client.data, b"")

    async def test_what_the_server_says_at_its_end(self) -> None:
        """A reply that the server sends after a cut is logged, but does not reach the client."""
        self.link.request.cut_after(4)
        alsoProvides(self.server, IHalfCloseableProtocol)  # so that it can reply
        self.client.transport.write(b"request")
        await self.link.ended
        self.assertEqual(bytes(self.link.reply.log), b"reply")
        self.assertEqual(self.client.data, b"")

    async def test_reply(self) -> None:
        """The client receives that many bytes and the end; the server received the request."""
        self.link.reply.cut_after(2)
        self.client.transport.write(b"request")
        await self.server.enough(7)
        self.server.transport.write(b"reply")
        await self.link.ended
        self.assertEqual(self.client.data, b"re")

    async def test_no_byte(self) -> None:
        """A cut after 0 bytes waits for the first byte, and does not pass it."""
        self.link.reply.cut_after(0)
        await self.turns()
        self.assertNoResult(self.link.ended)
        self.server.transport.write(b"r")
        await self.link.ended
        self.assertEqual(self.client.data, b"")

    async def test_turns(self) -> None:
        """A cut may wait some turns, so that the other direction passes its bytes."""
        self.link.reply.cut_after(1, 3)
        self.client.transport.write(b"request")
        self.server.transport.write(b"reply")
        await self.link.ended
        self.assertEqual(self.client.data, b"r")
        self.assertEqual(self.server.data, b"request")

    async def test_the_last_byte(self) -> None:
        """A cut after the last byte does not take effect until another byte comes."""
        self.link.reply.cut_after(5)
        self.server.transport.write(b"reply")
        self.assertEqual(await self.client.enough(5), b"reply")
        await self.turns()
        self.assertNoResult(self.link.ended)

    async def test_in_pieces(self) -> None:
        """A cut counts bytes, whatever their pieces are."""
        self.link.request.split(1)
        self.link.request.cut_after(5)
        self.client.transport.write(b"request")
        await self.link.ended
        self.assertEqual(self.server.data, b"reque")


class EndTests(ProxyTestCase):
    """When one side ends, the other side ends too."""

    async def test_client(self) -> None:
        """The last bytes of a client that closes reach the server."""
        self.client.transport.write(b"last")
        self.client.transport.loseConnection()
        await self.server.lost
        self.assertEqual(self.server.data, b"last")
        await self.link.ended
        self.assertEqual(self.proxy.links, [])

    async def test_server(self) -> None:
        """The last bytes of a server that closes reach the client."""
        self.server.transport.write(b"last")
        self.server.transport.loseConnection()
        await self.client.lost
        self.assertEqual(self.client.data, b"last")

    async def test_refusing(self) -> None:
        """A refusing proxy disconnects each new client."""
        self.proxy.refusing = True
        client = End()
        await self.proxy.endpoint.connect(factory_of(client))
        await client.lost
        self.assertEqual(len(self.proxy.links), 1)
