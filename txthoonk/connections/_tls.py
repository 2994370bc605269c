"""TLS: what a server must show before it is told anything.

To be imported only where TLS is wanted: what it needs comes with ``txthoonk[tls]``.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk.errors import ConnectionError, InvalidInput, InvalidType

__all__ = ["Secured", "options", "read_authorities"]

# By name: without the extra mypy knows nothing of them.  And Twisted 24 goes on where
# service-identity is missing, and then looks at nothing but the common name.
_WrongHost: Any = importlib.import_module("service_identity").VerificationError
_verify_hostname: Any = importlib.import_module("service_identity.pyopenssl").verify_hostname
_SSL: Any = importlib.import_module("OpenSSL.SSL")

_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def read_authorities(path: str | os.PathLike[str]) -> tuple[bytes, ...]:
    """Read the certificates of a file, each in PEM form.

    :raises InvalidInput: if there is none, or one that cannot be used.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidType(f"ca_file must be a path, not {type(path).__name__}")
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            found = tuple(_CERTIFICATE.findall(file.read()))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"ca_file {name!r} cannot be read: {reason}") from None
    if not found:
        raise InvalidInput(f"ca_file {name!r} has no certificate in PEM form in it")
    for number, pem in enumerate(found, 1):
        try:
            Certificate.loadPEM(pem)
        except Exception as error:  # noqa: BLE001  (pyOpenSSL's error has no base of its own)
            raise InvalidInput(
                f"ca_file {name!r}: certificate {number} of {len(found)} is broken: {error}"
            ) from None
    return found


def options(host: str, authorities: tuple[bytes, ...]) -> IOpenSSLClientConnectionCreator:
    """Say whose certificate is accepted, and for which host.

    :param host: a name or an address, which the certificate must have.
    :param authorities: certificates in PEM form; none: those that the system trusts.
    :raises UnicodeError: for what cannot be the name of a host.
    """
    trusted = [Certificate.loadPEM(pem) for pem in authorities]
    roots = trustRootFromCertificates(trusted) if trusted else platformTrust()
    made: IOpenSSLClientConnectionCreator
    if "_" in host and host.isascii():
        made = _Underscored(host, roots)
    else:
        made = optionsForClientTLS(host, trustRoot=roots)
    return made


@implementer(IOpenSSLClientConnectionCreator)
class _Underscored:
    """Checks the name of a host that has an underscore, which Twisted's own refuses.

    It does the same: the server is told the name, and what is written before it has shown a
    certificate for that name is not sent.
    """

    def __init__(self, host: str, roots: Any) -> None:
        self._host = host
        self._context = CertificateOptions(trustRoot=roots).getContext()
        self._context.set_info_callback(self._progress)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        connection = _SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_tlsext_host_name(self._host.encode("ascii"))
        return connection

    def _progress(self, connection: Any, where: int, _: int) -> None:
        if where & _SSL.SSL_CB_HANDSHAKE_DONE:
            try:
                _verify_hostname(connection, self._host)
            except BaseException:  # noqa: BLE001  (OpenSSL would go on: whatever it is, it ends)
                connection.get_app_data().failVerification(Failure())


@implementer(IStreamClientEndpoint)
class Secured:
    """Puts TLS on what an endpoint connects, and says in words why that failed.

    A connection is made before the server has shown anything; where it shows the wrong
    thing, or no TLS, the connection is lost again.  Nothing is sent to it before.

    :param endpoint: connects to the server.
    :param host: see :func:`options`.
    :param authorities: see :func:`options`.
    :param place: the server, to be shown.
    :param ca_file: where the authorities are from, to be shown.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        host: str,
        authorities: tuple[bytes, ...],
        *,
        place: str,
        ca_file: str,
    ) -> None:
        self._endpoint = wrapClientTLS(options(host, authorities), endpoint)
        self._host = host
        self._place = place
        self._ca_file = ca_file

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect; the protocol is told of what happens in the handshake."""
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: Any) -> Any:
        # pyOpenSSL's own words are lists of tuples, and without the host.
        lost = protocol.connectionLost

        def explain(reason: Failure) -> None:
            # Before it is called: a publisher may be connected again from within.
            protocol.connectionLost = lost
            lost(self._explained(reason))

        protocol.connectionLost = explain
        return protocol

    def _explained(self, reason: Failure) -> Failure:
        error = reason.value
        if isinstance(error, _WrongHost):
            text = f"the certificate of {self._place} is for another host than {self._host!r}"
        elif not isinstance(error, _SSL.Error):
            return reason
        elif "certificate verify failed" in str(error):
            text = (
                f"the certificate of {self._place} is not trusted: it is not valid today, "
                f"or not signed by those {self._trusted()}"
            )
        else:
            text = f"no TLS with {self._place}: {error}"
        explained = ConnectionError(text)
        explained.__cause__ = error
        return Failure(explained)

    def _trusted(self) -> str:
        if self._ca_file:
            return f"in ca_file {self._ca_file!r}"
        return "that the system trusts (ca_file= names others)"
