"""Names of hosts are looked up; addresses are connected to without a look-up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tests.support import RedisTestCase
from tests.support.proxy import Proxy
from tests.support.service import reactor
from tests.support.tls import Authority, TLSServer
from txthoonk.client import ThoonkPubFactory
from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import ConnectionLost
from txthoonk.protocol import Redis

OURS = Authority("an authority")


@implementer(IHostnameResolver)
class Resolver:
    """Resolves every name to the loopback address.

    :ivar asked: the names that were looked up.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self, receiver: Any, hostName: str, portNumber: int = 0, *_: Any, **__: Any
    ) -> Any:
        self.asked.append(hostName)
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        receiver.resolutionComplete()
        return receiver


class HostsTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.resolver = Resolver()
        before = reactor.installNameResolver(self.resolver)
        self.addCleanup(reactor.installNameResolver, before)

    async def answers(self, place: str, **arguments: Any) -> Any:
        """Connect to a place, check that it replies, and return the target."""
        target = parse_url(place, **self.target.credentials, **arguments)
        factory = Factory.forProtocol(lambda: Redis(**target.credentials))
        redis: Any = await target.endpoint(reactor).connect(factory)
        self.addCleanup(redis.close)
        self.assertEqual(await redis.send("PING"), "PONG")
        return target


class AddressTests(HostsTestCase):
    """Addresses are connected to without a look-up."""

    async def setUp(self) -> None:
        await super().setUp()
        self.proxy = Proxy(reactor, self.target.endpoint(reactor))
        await self.proxy.start()
        self.addCleanup(self.proxy.stop)

    async def test_url(self) -> None:
        """An address in a URL or in an endpoint string is not looked up."""
        for place in ("redis://127.0.0.1:{}", "tcp:127.0.0.1:{}", "tcp:host=127.0.0.1:port={}"):
            await self.answers(place.format(self.proxy.port))
        self.assertEqual(self.resolver.asked, [])

    async def test_waiting(self) -> None:
        """A bare publisher's waiting connections use the peer's address without a look-up."""
        target = parse_url(f"redis://127.0.0.1:{self.proxy.port}", **self.target.credentials)
        pub: Any = await target.endpoint(reactor).connect(ThoonkPubFactory(**target.credentials))
        self.addCleanup(pub.close)
        queue = await pub.queue("x")
        getting = queue.get()
        await queue.put("item")
        self.assertEqual(await getting, "item")
        self.assertEqual(self.resolver.asked, [])

    async def test_six(self) -> None:
        """An IPv6 address is not looked up."""
        proxy = Proxy(reactor, self.target.endpoint(reactor))
        try:
            await proxy.start(interface="::1")
        except CannotListenError as error:
            raise SkipTest(f"no IPv6 here: {error}") from None
        self.addCleanup(proxy.stop)
        for place in ("redis://[::1]:{}", r"tcp:\:\:1:{}"):
            await self.answers(place.format(proxy.port))
        self.assertEqual(self.resolver.asked, [])

    async def test_name(self) -> None:
        """A name is looked up, even one with an underscore, which IDNA does not allow."""
        for host in ("some-host", "my_redis"):
            for place in ("redis://{}:{}", "tcp:{}:{}"):
                await self.answers(place.format(host, self.proxy.port))
        self.assertEqual(self.resolver.asked, ["some-host"] * 2 + ["my_redis"] * 2)


class EncryptedTests(HostsTestCase):
    """TLS connections follow the same rules, and the certificate must match the address."""

    async def server(self, *hosts: str) -> TLSServer:
        server = TLSServer(self.target, OURS.server(*hosts), reactor)
        await server.start()
        self.addCleanup(server.stop)
        return server

    async def serve(self, *hosts: str) -> int:
        return (await self.server(*hosts)).port

    def trusted(self) -> str:
        """Return a folder with the authority's certificate."""
        folder = self.mktemp()
        os.mkdir(folder)
        (Path(folder) / "ca.pem").write_bytes(OURS.pem)
        return os.path.abspath(folder)

    async def test_address(self) -> None:
        """A certificate for the address is accepted without a look-up."""
        port, folder = await self.serve("127.0.0.1"), self.trusted()
        await self.answers(f"rediss://127.0.0.1:{port}", ca_file=f"{folder}/ca.pem")
        for words in (
            f"127.0.0.1:{port}:trustRoots={folder}",
            f"trustRoots={folder}:port={port}:host=127.0.0.1:timeout=10",
            f"127.0.0.1:{port}:trustRoots={folder}:bindAddress=127.0.0.1",
        ):
            await self.answers(f"tls:{words}")
        self.assertEqual(self.resolver.asked, [])

    async def test_underscore(self) -> None:
        """A certificate for a name with an underscore is accepted for exactly that name."""
        authority = f"{self.trusted()}/ca.pem"
        for names, taken in (
            (("my_redis", "other"), True),
            (("my-redis", "myredis", "127.0.0.1"), False),
            (("my_redis.other",), False),
        ):
            server = await self.server(*names)
            place = f"rediss://my_redis:{server.port}"
            if taken:
                await self.answers(place, ca_file=authority)
                continue
            with self.assertRaises(ConnectionLost) as raised:
                await self.answers(place, ca_file=authority)
            self.assertIn("is for another host than 'my_redis'", str(raised.exception))
            self.assertEqual(server.received, b"")

    async def test_underscore_untrusted(self) -> None:
        """A certificate of an unknown authority is refused for a name with an underscore."""
        server = await self.server("my_redis")
        other = Path(self.trusted()) / "ca.pem"
        other.write_bytes(Authority("another authority").pem)
        with self.assertRaises(ConnectionLost) as raised:
            await self.answers(f"rediss://my_redis:{server.port}", ca_file=str(other))
        self.assertIn("is not trusted", str(raised.exception))
        self.assertEqual(server.received, b"")

    async def test_other_address(self) -> None:
        """A certificate for another address, or for a name, is refused for an address."""
        folder = self.trusted()
        for host in ("127.0.0.2", "localhost"):
            port = await self.serve(host)
            for place, options in (
                (f"rediss://127.0.0.1:{port}", {"ca_file": f"{folder}/ca.pem"}),
                (f"tls:127.0.0.1:{port}:trustRoots={folder}", {}),
            ):
                with self.assertRaises(ConnectionLost):
                    await self.answers(place, **options)
