"""How a connection begins and ends: the transport, the greeting, and waiting for the end."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport, ITransport

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.errors import ConnectionLost, InvalidType, ResponseError

__all__ = [
    "NEVER_CONNECTED",
    "Closing",
    "check_credentials",
    "greeting",
    "present",
    "refusal",
    "unbuffer",
]

NEVER_CONNECTED = "not connected to Redis yet"


def check_credentials(**credentials: object) -> None:
    """Check that a password and a user are text.

    :raises InvalidType: if not.
    """
    for name, value in credentials.items():
        if value is not None and not isinstance(value, (str, bytes)):
            # The error must not show the value: it may contain the secret.
            raise InvalidType(f"the {name} must be a str, not {type(value).__name__}")


def greeting(username: str | None, password: str | None, db: int) -> list[tuple[Any, ...]]:
    """Return the commands that a connection begins with: AUTH and SELECT."""
    commands: list[tuple[Any, ...]] = []
    if username:
        commands.append(("AUTH", username, password or ""))
    elif password:
        commands.append(("AUTH", password))
    if db:
        commands.append(("SELECT", db))
    return commands


def refusal(error: BaseException, db: int) -> BaseException:
    """Return the error of a refused greeting; it names a database that the server lacks."""
    if isinstance(error, ResponseError) and "out of range" in str(error):
        return ResponseError(f"the server has no database {db} ({error})")
    return error


def present(transport: ITransport | None) -> ITCPTransport:
    """Return the transport.

    :raises ConnectionLost: if there is none yet.
    """
    if transport is None:
        raise ConnectionLost(NEVER_CONNECTED)
    return cast(ITCPTransport, transport)


def unbuffer(transport: ITransport | None) -> None:
    """Have the system send data as soon as it is written."""
    # A Unix socket claims to be TCP as well, and fails with Twisted 24.7.
    if ITCPTransport.providedBy(transport) and not isinstance(transport.getPeer(), UNIXAddress):
        transport.setTcpNoDelay(True)


class Closing:
    """The Deferreds that wait for the end of a connection."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    def close(self, transport: ITCPTransport) -> Deferred[None]:
        """Close the transport.

        :return: fires None once it is closed. Cancelling it drops the connection without
            waiting for the peer.
        """

        def drop(closed: Deferred[None]) -> None:
            # The transport may end at once, and fire it, or later.
            transport.abortConnection()
            if closed in self._waiting:
                self._waiting.remove(closed)

        closed: Deferred[None] = AwaitableDeferred(drop)
        self._waiting.append(closed)
        transport.loseConnection()
        return closed

    def closed(self) -> None:
        """Fire the Deferreds that :meth:`close` has returned."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
