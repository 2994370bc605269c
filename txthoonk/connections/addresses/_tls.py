"""TLS: the server must show a certificate before anything is sent to it.

Import this module only where TLS is used: its dependencies come with ``txthoonk[tls]``.
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

# By name, because mypy does not know them without the extra. And if service-identity is missing,
# Twisted 24 checks nothing but the common name: here the import fails.
_WrongHost: Any = importlib.import_module("service_identity").VerificationError
_verify_hostname: Any = importlib.import_module("service_identity.pyopenssl").verify_hostname
_SSL: Any = importlib.import_module("OpenSSL.SSL")

_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def read_authorities(path: str | os.PathLike[str]) -> tuple[bytes, ...]:
    """Read the certificates of a file, each in PEM form.

    :raises InvalidInput: if the file has none, or one that cannot be used.
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
        raise InvalidInput(f"ca_file {name!r} contains no certificate in PEM form")
    for number, pem in enumerate(found, 1):
        try:
            Certificate.loadPEM(pem)
        except Exception as error:  # noqa: BLE001  (pyOpenSSL's error has no base of its own)
            raise InvalidInput(
                f"ca_file {name!r}: certificate {number} of {len(found)} is broken: {error}"
            ) from None
    return found


def options(host: str, authorities: tuple[bytes, ...]) -> IOpenSSLClientConnectionCreator:
    """Make the object that checks a server's certificate.

    :param host: a name or an address, which the certificate must be for.
    :param authorities: accepted authorities, as certificates in PEM form; none: those that the
        system trusts.
    :raises UnicodeError: if *host* cannot be the name of a host.
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
    """Checks the name of a host that has an underscore, which Twisted refuses.

    It does the same as Twisted: it sends the name to the server, and sends nothing else before
    the server has shown a certificate for that name.
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
            except BaseException:  # noqa: BLE001  (OpenSSL would ignore it: end here)
                connection.get_app_data().failVerification(Failure())


@implementer(IStreamClientEndpoint)
class Secured:
    """Adds TLS to an endpoint, and explains in words why it failed.

    The connection is made before the server has shown a certificate. If it shows a wrong one, or
    no TLS, the connection is lost again. Nothing is sent to it before.

    :param endpoint: connects to the server.
    :param host: see :func:`options`.
    :param authorities: see :func:`options`.
    :param place: the server, for messages.
    :param ca_file: the file of the authorities, for messages.
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
        """Connect; what goes wrong in the handshake is the reason of the lost connection."""
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: Any) -> Any:
        # The errors of pyOpenSSL are lists of tuples, without the host. The method is replaced,
        # because a protocol in between would have to provide all interfaces of this one.
        lost = protocol.connectionLost

        def explain(reason: Failure) -> None:
            # Restored before the call, which may reconnect the protocol.
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
                f"or not signed by an authority {self._trusted()}"
            )
        else:
            text = f"no TLS with {self._place}: {error}"
        explained = ConnectionError(text)
        explained.__cause__ = error
        return Failure(explained)

    def _trusted(self) -> str:
        if self._ca_file:
            return f"in ca_file {self._ca_file!r}"
        return "that the system trusts (use ca_file= for others)"
