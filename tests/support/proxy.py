"""A TCP proxy for tests: it cuts, delays, holds up and splits what passes, and nothing else.

A :class:`Proxy` stands between a client and a server. Each connection through it is a
:class:`Link` of two directions, :attr:`Link.request` (to the server) and :attr:`Link.reply`.
A direction passes the bytes that it gets, in their order. By default it does so at once; it can
only change the time::

    proxy = Proxy(reactor, server_endpoint)
    await proxy.start()
    client = await proxy.endpoint.connect(factory)
    link = await proxy.link_of(client.transport)
    link.request.cut_after(10)   # passes ten bytes more; the next one ends the connection
    link.reply.stall_after(3)    # passes three bytes more, then holds the rest
    link.reply.release()         # passes what is held, and all that comes
    link.reply.split(1)          # one byte at a time, each in turns of the reactor of its own
    link.reply.halve()           # each piece in two
    link.reply.delay(0.1)        # seconds, by the reactor or clock that the proxy was given

A cut ends the connection to the server, and waits until the server has closed its side: the server
has done what it received before when :attr:`Link.ended` fires. The client's side is then closed
without another byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Direction", "Link", "Proxy"]

TURNS = 3  # turns of the reactor, until written data is sent and read


class Direction:
    """One direction of a link.

    :ivar log: the received bytes.
    :ivar passed: the number of bytes that it has passed.
    """

    def __init__(self, link: Link, clock: Any) -> None:
        self.log = bytearray()
        self.passed = 0
        self._link = link
        self._clock = clock
        self._write: Callable[[bytes], object] | None = None
        self._held = b""
        self._left: int | None = None  # bytes that may pass; None: all
        self._then: Callable[[], object] | None = None
        self._cuts = False  # whether *_then* needs a byte that may not pass
        self._piece: int | None = None  # bytes at a time; 0: half of the present ones
        self._second_half = self._resting = False
        self._seconds = 0.0
        self._coming: deque[bytes] = deque()
        self._due = 0.0  # when the last of these is due
        self._timers: set[Any] = set()

    # -- for the test -----------------------------------------------------------

    def cut_after(self, count: int, turns: int = 0) -> None:
        """Pass *count* more bytes, and end the connection at the next one.

        :param turns: turns of the reactor in which the other direction may still pass bytes.
        """
        self._cuts = True
        self._limit(count, lambda: self._cut(turns))

    def _cut(self, turns: int) -> None:
        if turns:
            self._later(0, lambda: self._cut(turns - 1))
        else:
            self._link.cut()

    def stall_after(self, count: int) -> Deferred[None]:
        """Pass *count* more bytes, and hold all others until :meth:`release`.

        :return: fires None once they have passed.
        """
        reached: Deferred[None] = Deferred()
        self._cuts = False
        self._limit(count, lambda: reached.callback(None))
        return reached

    def release(self) -> None:
        """Pass the held bytes, and from now on everything at once."""
        self._left = self._then = self._piece = None
        self._seconds = 0.0
        self._pass()

    def split(self, piece: int) -> None:
        """Pass at most *piece* bytes, and more only when the reactor has read them."""
        self._piece = piece

    def halve(self) -> None:
        """Pass half of the present bytes, and the rest in a later turn of the reactor."""
        self._piece = 0

    def delay(self, seconds: float) -> None:
        """Pass bytes that arrive from now on *seconds* later."""
        self._seconds = seconds

    # -- for the link ----------------------------------------------------------

    def connect(self, write: Callable[[bytes], object]) -> None:
        """Start to pass bytes to this function."""
        self._write = write
        self._pass()

    def stop(self) -> None:
        """Pass nothing more."""
        self._write = None
        self._held = b""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def take(self, data: bytes) -> None:
        """Handle received bytes."""
        self.log += data
        now = self._clock.seconds()
        # Later bytes must not overtake earlier ones.
        self._due = max(self._due, now + self._seconds)
        self._coming.append(data)
        if self._due > now:
            self._later(self._due - now, self._in_time)
        else:
            self._in_time()

    def _in_time(self) -> None:
        self._held += self._coming.popleft()
        self._pass()

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        def now() -> None:
            self._timers.discard(timer)
            call()

        timer = self._clock.callLater(seconds, now)
        self._timers.add(timer)

    def _limit(self, count: int, then: Callable[[], object]) -> None:
        self._left, self._then = count, then
        self._pass()

    def _pass(self) -> None:
        """Pass the bytes that may pass, and then call what waits for them."""
        if self._write is None or self._resting:
            return
        may = len(self._held) if self._left is None else min(len(self._held), self._left)
        now = min(may, self._portion())
        if now:
            data, self._held = self._held[:now], self._held[now:]
            self.passed += now
            if self._left is not None:
                self._left -= now
            self._write(data)
        if now < may:
            self._resting = True
            self._go_on(TURNS)
        elif self._left == 0 and self._then is not None and (self._held or not self._cuts):
            then, self._then = self._then, None
            then()

    def _portion(self) -> int:
        """Return how many of the present bytes may pass in this turn."""
        if self._piece is None or self._second_half:
            self._second_half = False
            return len(self._held)
        if self._piece:
            return self._piece
        self._second_half = len(self._held) > 1
        return max(1, len(self._held) // 2)

    def _go_on(self, turns: int) -> None:
        if turns:
            self._later(0, lambda: self._go_on(turns - 1))
        else:
            self._resting = False
            self._pass()


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """One of the two connections of a link."""

    transport: Any

    def __init__(self, link: Link, direction: Direction) -> None:
        self._link = link
        self._direction = direction
        self.open = False

    def connectionMade(self) -> None:
        if not isinstance(self.transport.getPeer(), UNIXAddress):  # Twisted 24.7 would fail
            self.transport.setTcpNoDelay(True)
        self.open = True
        self._link.connected(self)

    def dataReceived(self, data: bytes) -> None:
        self._direction.take(data)

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        self._link.lost(self)


class Link:
    """One connection through the proxy.

    :ivar port: the client's port.
    :ivar request: the direction to the server.
    :ivar reply: the direction to the client.
    :ivar ended: fires None once both sides are closed.
    :ivar on_cut: is called when a cut begins.
    """

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.port = port
        self._proxy = proxy
        self.request = Direction(self, proxy.clock)
        self.reply = Direction(self, proxy.clock)
        self.client = _Side(self, self.request)
        self.server = _Side(self, self.reply)
        self.ended: Deferred[None] = Deferred()
        self.on_cut: Callable[[], object] = lambda: None

    def cut(self) -> None:
        """Close both ends; the server's end first, after everything that has passed."""
        self.on_cut()
        self.request.stop()
        self.reply.stop()
        if self.server.open:
            self.server.transport.loseWriteConnection()
        else:
            self._close(self.client)

    def connected(self, side: _Side) -> None:
        """Handle a connected side."""
        if side is self.server:
            self.reply.connect(self.client.transport.write)
            self.request.connect(self.server.transport.write)
            if not self.client.open:
                self._close(side)

    def lost(self, side: _Side) -> None:
        """Handle a closed side, and close the other one."""
        self.request.stop()
        self.reply.stop()
        self._close(self.client)
        self._close(self.server)
        if not self.client.open and not self.server.open and not self.ended.called:
            self._proxy.links.remove(self)
            self.ended.callback(None)

    def failed(self) -> None:
        """Handle a server that cannot be reached."""
        self._close(self.client)

    def _close(self, side: _Side) -> None:
        if side.open:
            side.transport.loseConnection()

    def abort(self) -> None:
        """Abort both connections."""
        for side in (self.client, self.server):
            if side.open:
                side.transport.abortConnection()


class Proxy:
    """Listens on the loopback, and connects its clients to a server.

    :ivar links: the open connections.
    :ivar endpoint: the endpoint for clients; it exists once the proxy is started.
    :ivar opened: is called with each new :class:`Link`, before a byte has passed.
    :ivar refusing: whether the proxy closes new connections at once.

    :param server: the endpoint of the server.
    :param clock: the clock of :meth:`Direction.delay`; None: the reactor.
    """

    def __init__(self, reactor: Any, server: Any, clock: Any = None) -> None:
        self.reactor = reactor
        self.clock = clock or reactor
        self.links: list[Link] = []
        self.opened: Callable[[Link], object] = lambda link: None
        self.refusing = False
        self.port = 0
        self._server = server
        self._awaited: dict[int, Deferred[Link]] = {}
        self._listening: Any = None

    async def start(self, interface: str = "127.0.0.1") -> None:
        """Start to listen."""
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        factory.buildProtocol = self._build  # type: ignore[method-assign]
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface=interface)
        self._listening = await endpoint.listen(factory)
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        """Close everything."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        ended = [link.ended for link in self.links]
        for link in list(self.links):
            link.abort()
        for one in ended:
            await one

    def lead_to(self, server: Any) -> None:
        """Connect new clients to another server; present links stay."""
        self._server = server

    @property
    def endpoint(self) -> Any:
        return TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port)

    def link_of(self, transport: Any) -> Deferred[Link]:
        """Fire the link of a client's transport, once the proxy has accepted it."""
        port = transport.getHost().port
        for link in self.links:
            if link.port == port:
                return succeed(link)
        awaited = self._awaited[port] = Deferred()
        return awaited

    def _build(self, addr: Any) -> Protocol | None:
        if self.refusing:
            return None
        link = Link(self, addr.port)
        self.links.append(link)
        self.opened(link)
        if addr.port in self._awaited:
            self._awaited.pop(addr.port).callback(link)
        connecting = self._server.connect(_One(link.server))
        connecting.addErrback(lambda _: link.failed())
        return link.client


class _One(Factory):
    """A factory for one existing protocol."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._protocol
