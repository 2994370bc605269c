"""With ``rediss://``, a server receives nothing before it has shown a valid certificate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater

from tests.support import TIMEOUT, RedisTestCase
from tests.support.tls import DAY, Authority, TLSServer
from txthoonk import Thoonk
from txthoonk.client import ThoonkPub, ThoonkPubFactory
from txthoonk.connections.addresses._url import Target, parse_url
from txthoonk.errors import ConnectionLost

reactor: Any = installed_reactor
SECRET = "s3cr3t"

# All tests can share these, because nothing changes them.
OURS = Authority("our authority")
THEIRS = Authority("their authority")
GOOD = OURS.server("localhost", "127.0.0.1")


class TLSTestCase(RedisTestCase):
    async def serve(self, certificate: PrivateCertificate) -> TLSServer:
        """Start a TLS server in front of this run's Redis."""
        server = TLSServer(self.target, certificate, reactor)
        await server.start()
        self.addCleanup(server.stop)
        return server

    def file(self, *authorities: Authority, name: str = "ca.pem") -> str:
        """Write certificates into a file in a folder of its own; return its path."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / name
        path.write_bytes(b"# whom we trust\n".join(one.pem for one in authorities))
        return str(path)

    def place(self, server: TLSServer, host: str = "localhost", **keywords: Any) -> Target:
        """Return the target of a TLS server, with the credentials of this run's Redis."""
        return parse_url(f"rediss://{host}:{server.port}", **self.target.credentials, **keywords)

    async def open(self, target: Target, **arguments: Any) -> ThoonkPub:
        factory = ThoonkPubFactory(**target.credentials, **arguments)
        pub: Any = await target.endpoint(reactor).connect(factory)
        self.addCleanup(pub.close)
        return pub

    async def answers(self, server: TLSServer, target: Target) -> None:
        """Check that the server replies."""
        pub: Any = await self.open(target)
        self.assertEqual(await pub.redis.send("PING"), "PONG")
        self.assertIn(b"PING", server.received)

    async def refusal(self, server: TLSServer, target: Target) -> str:
        """Check that the server receives nothing, and return the text of the error."""
        pub: Any = await self.open(target)
        error = await self.assertFailure(pub.redis.send("PING"), ConnectionLost)
        self.assertEqual(server.received, b"")
        return str(error)


class HangingUp(Protocol):
    """A server that replies once, then closes the connection with a close_notify."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(b"+OK\r\n")
        transport.loseConnection()


class EndTests(TLSTestCase):
    """A peer that closes the connection fails the waiting calls."""

    async def test_call_between_notice_and_end(self) -> None:
        """A call fails if TLS has seen the end of the connection, which is still open."""
        endpoint = SSL4ServerEndpoint(reactor, 0, GOOD.options(), interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(HangingUp))
        self.addCleanup(port.stopListening)
        place = f"rediss://localhost:{port.getHost().port}"
        pub: Any = await self.open(parse_url(place, ca_file=self.file(OURS)))
        self.assertEqual(await pub.redis.send("PING"), "OK")
        await deferLater(reactor, 0, lambda: None)
        called = pub.redis.send("PING")
        await self.assertFailure(called.addTimeout(TIMEOUT / 2, reactor), ConnectionLost)


class AcceptedTests(TLSTestCase):
    """A server is accepted with a certificate for its name from a trusted authority."""

    async def test_name(self) -> None:
        """A certificate for the name in the URL is accepted."""
        server = await self.serve(GOOD)
        await self.answers(server, self.place(server, ca_file=self.file(OURS)))

    async def test_address(self) -> None:
        """A certificate for the address in the URL is accepted."""
        server = await self.serve(GOOD)
        await self.answers(server, self.place(server, "127.0.0.1", ca_file=self.file(OURS)))

    async def test_several_authorities(self) -> None:
        """Every certificate in the file is trusted, not only the first."""
        for certificate in (GOOD, THEIRS.server("localhost")):
            server = await self.serve(certificate)
            await self.answers(server, self.place(server, ca_file=self.file(THEIRS, OURS)))

    async def test_authority_of_the_system(self) -> None:
        """Without a file, the authorities that OpenSSL trusts on this system are trusted."""
        before = os.environ.get("SSL_CERT_FILE")
        self.addCleanup(
            lambda: (
                os.environ.pop("SSL_CERT_FILE")
                if before is None
                else os.environ.update(SSL_CERT_FILE=before)
            )
        )
        os.environ["SSL_CERT_FILE"] = self.file(OURS)
        server = await self.serve(GOOD)
        await self.answers(server, self.place(server))

    async def test_endpoint_string(self) -> None:
        """A ``tls:`` endpoint string works with a folder of authorities."""
        server = await self.serve(GOOD)
        folder = os.path.dirname(self.file(OURS))
        for host in ("localhost", "127.0.0.1"):
            await self.answers(
                server,
                parse_url(
                    f"tls:{host}:{server.port}:trustRoots={folder}", **self.target.credentials
                ),
            )

    async def test_user(self) -> None:
        """The connection uses the URL's user, password and database."""
        await self.raw.send("ACL", "SETUSER", "tls-user", "on", f">{SECRET}", "~*", "+@all")
        self.addCleanup(lambda: self.raw.send("ACL", "DELUSER", "tls-user"))
        server = await self.serve(GOOD)
        url = f"rediss://tls-user:{SECRET}@localhost:{server.port}/{self.target.db}"
        pub: Any = await self.open(parse_url(url, ca_file=self.file(OURS)))
        self.assertEqual(await pub.redis.send("ACL", "WHOAMI"), "tls-user")
        await pub.redis.set("x", "there")
        self.assertEqual(await self.raw.get("x"), b"there")

    async def test_waiting(self) -> None:
        """A publisher with an endpoint also encrypts its waiting connections."""
        server = await self.serve(GOOD)
        target = self.place(server, ca_file=self.file(OURS))
        pub: Any = await self.open(target, endpoint=target.endpoint(reactor))
        queue = await pub.queue("x")
        got = queue.get()
        await self.blocked()
        await (await (await self.pub()).queue("x")).put("an item")
        self.assertEqual(await got, "an item")
        self.assertIn(b"BLMOVE", server.received)

    async def test_connected_again(self) -> None:
        """A publisher can reconnect over TLS repeatedly."""
        server = await self.serve(GOOD)
        target = self.place(server, ca_file=self.file(OURS))
        factory = ThoonkPubFactory(**target.credentials)
        endpoint = target.endpoint(reactor)
        first: Any = await endpoint.connect(factory)
        self.addCleanup(first.close)
        for _ in range(3):
            self.assertEqual(await first.redis.send("PING"), "PONG")
            unanswered = first.redis.send("BLPOP", "nothing", 0)
            first.redis.abort()
            await self.assertFailure(unanswered, ConnectionLost)
            self.assertIs(await endpoint.connect(factory), first)
        self.assertEqual(await first.redis.send("PING"), "PONG")


class RefusedTests(TLSTestCase):
    """A server with the wrong certificate receives nothing, and the error says why."""

    async def test_authority(self) -> None:
        """An authority that is not in the file is refused, and the error names the file."""
        server = await self.serve(THEIRS.server("localhost", "127.0.0.1"))
        path = self.file(OURS)
        for host in ("localhost", "127.0.0.1"):
            text = await self.refusal(server, self.place(server, host, ca_file=path))
            for part in (f"{host}:{server.port}", "not trusted", path):
                self.assertIn(part, text)

    async def test_authority_of_the_same_name(self) -> None:
        """An authority with the same name but another key is refused."""
        server = await self.serve(Authority("our authority").server("localhost"))
        text = await self.refusal(server, self.place(server, ca_file=self.file(OURS)))
        self.assertIn("not trusted", text)

    async def test_authority_that_the_system_does_not_know(self) -> None:
        """An authority unknown to the system is refused, and the error names ``ca_file``."""
        server = await self.serve(GOOD)
        text = await self.refusal(server, self.place(server))
        for part in (f"localhost:{server.port}", "not trusted", "system", "ca_file="):
            self.assertIn(part, text)

    async def test_name(self) -> None:
        """A valid certificate for another host is refused."""
        server = await self.serve(OURS.server("elsewhere.example"))
        text = await self.refusal(server, self.place(server, ca_file=self.file(OURS)))
        self.assertIn(f"localhost:{server.port} is for another host than 'localhost'", text)

    async def test_address(self) -> None:
        """A certificate without the address is refused, even if its names lead there."""
        for hosts in (["localhost"], ["localhost", "127.0.0.2"]):
            server = await self.serve(OURS.server(*hosts))
            target = self.place(server, "127.0.0.1", ca_file=self.file(OURS))
            self.assertIn("another host than '127.0.0.1'", await self.refusal(server, target))

    async def test_expired(self) -> None:
        """A certificate that has expired is refused."""
        server = await self.serve(OURS.server("localhost", until=-DAY))
        text = await self.refusal(server, self.place(server, ca_file=self.file(OURS)))
        self.assertIn("not valid today", text)

    async def test_password(self) -> None:
        """A refused server does not receive the password, and the error does not show it."""
        for certificate in (THEIRS.server("localhost"), OURS.server("elsewhere.example")):
            server = await self.serve(certificate)
            url = f"rediss://me:{SECRET}@localhost:{server.port}"
            target = parse_url(url, ca_file=self.file(OURS))
            self.assertNotIn(SECRET, await self.refusal(server, target))

    async def test_server_without_tls(self) -> None:
        """A server without TLS is refused, and the error names it."""

        class Plain(Protocol):
            def dataReceived(self, data: bytes) -> None:
                transport: Any = self.transport
                transport.write(b"-ERR Protocol error\r\n")

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        listening = await endpoint.listen(Factory.forProtocol(Plain))
        self.addCleanup(listening.stopListening)
        port = listening.getHost().port
        pub: Any = await self.open(parse_url(f"rediss://:{SECRET}@127.0.0.1:{port}"))
        error = await self.assertFailure(pub.redis.send("PING"), ConnectionLost)
        self.assertIn(f"no TLS with 127.0.0.1:{port}", str(error))
        self.assertNotIn(SECRET, str(error))


class ServiceTests(TLSTestCase):
    """A service uses TLS on all its connections."""

    def thoonk(self, server: TLSServer, *trusted: Authority) -> Thoonk:
        thoonk = Thoonk(
            f"rediss://localhost:{server.port}",
            reactor,
            ca_file=self.file(*trusted),
            **self.target.credentials,
        )
        self.addCleanup(thoonk.close)
        return thoonk

    async def test_everything(self) -> None:
        """The publisher, the subscriber and the waiting connections use TLS."""
        server = await self.serve(GOOD)
        thoonk: Any = await self.thoonk(server, OURS).connect()
        queue = await thoonk.queue("q")
        taken = queue.get()
        subscription = await thoonk.subscribe("x")
        feed = await thoonk.feed("x", {"history": 10})
        await feed.publish("item", "1")
        kinds = [(await subscription.next()).kind for _ in range(2)]
        self.assertEqual(kinds, ["create", "publish"])
        await queue.put("late")
        self.assertEqual(await taken, "late")

    async def test_not_trusted(self) -> None:
        """The error of ``connect`` says that the certificate is not trusted."""
        server = await self.serve(GOOD)
        thoonk = self.thoonk(server, THEIRS)
        error: Any = await self.assertFailure(thoonk.connect(timeout=3), ConnectionLost)
        self.assertIn("is not trusted", str(error))
        self.assertEqual((thoonk.state, server.received), ("stopped", b""))
