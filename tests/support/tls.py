"""Helpers for the tests of TLS: certificates, and TLS before a Redis without it."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.python.failure import Failure

from txthoonk.connections.addresses._url import Target

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority that signs the certificates of servers.

    :ivar pem: its own certificate.
    """

    def __init__(self, name: str) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._certificate(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.pem = own.sign(self._key, SHA256()).public_bytes(Encoding.PEM)

    def server(self, *hosts: str, until: datetime.timedelta = DAY) -> PrivateCertificate:
        """Return the certificate, with its key, of a server with these names and addresses.

        :param until: how long it is valid from now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        signed = (
            self._certificate(name, key.public_key(), until)
            .add_extension(names, critical=False)
            .sign(self._key, SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made: PrivateCertificate = PrivateCertificate.loadPEM(
            private + signed.public_bytes(Encoding.PEM)
        )
        return made

    def _certificate(
        self, name: x509.Name, key: Any, until: datetime.timedelta = DAY
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + until)
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class _End(Protocol):
    """One end of a relay; the other end may connect later.

    :ivar other: fires the other end.
    :ivar ended: fires when the connection is closed.
    """

    transport: Any

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self.other: Deferred[_End] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        self._heard(data)
        self.other.addCallback(lambda other: other.write(data))

    def write(self, data: bytes) -> _End:
        self.transport.write(data)
        return self

    def close(self) -> _End:
        self.transport.loseConnection()
        return self

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.other.addCallback(lambda other: other.close())
        self.ended.callback(None)


class TLSServer(Factory):
    """A Redis with TLS: decrypts what it receives, and passes it on.

    Not every redis-server is built with TLS of its own.

    :ivar port: its port on the loopback.
    :ivar received: all data from clients, decrypted.
    """

    noisy = False

    def __init__(self, redis: Target, certificate: PrivateCertificate, reactor: Any) -> None:
        self.received = b""
        self._redis = redis.endpoint(reactor)
        self._endpoint = SSL4ServerEndpoint(
            reactor, 0, certificate.options(), interface="127.0.0.1"
        )
        self._ends: list[_End] = []

    async def start(self) -> None:
        self._listening = await self._endpoint.listen(self)
        self.port = self._listening.getHost().port

    def buildProtocol(self, addr: Any) -> _End:
        client, redis = _End(self._hear), _End(lambda data: None)
        self._ends += [client, redis]
        redis.other.callback(client)
        connectProtocol(self._redis, redis).chainDeferred(client.other)
        return client

    def _hear(self, data: bytes) -> None:
        self.received += data

    async def stop(self) -> None:
        """Close all connections, and wait until they are closed."""
        await self._listening.stopListening()
        for end in self._ends:
            if end.transport is not None and not end.ended.called:
                transport: Any = end.transport
                transport.abortConnection()
        await gatherResults([end.ended for end in self._ends])
