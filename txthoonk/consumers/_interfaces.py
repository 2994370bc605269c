"""What the consumers need of their publisher and of its waiting room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.consumers._outages import Outages
from txthoonk.consumers._subscriber import SharedSubscriber
from txthoonk.errors import ConnectionLost
from txthoonk.protocol._commands import Commands

__all__ = [
    "BlockedGets",
    "HeldClaim",
    "Named",
    "ResultCalls",
    "Room",
    "Sender",
    "WaitingResults",
]


class Sender(Protocol):
    """A publisher, as far as consumers use it: it sends commands."""

    @property
    def redis(self) -> Commands:
        """Sends the commands of Redis."""


class Room(Protocol):
    """The waiting room of a publisher: see :class:`txthoonk.consumers._room.WaitingRoom`.

    :ivar patient: whether calls keep waiting when a connection is lost.
    :ivar up: whether calls can be sent.
    :ivar closed: why no call can wait any more; None if calls can wait.
    :ivar outages: the objects to inform when the connection is lost or back.
    :ivar subscriber: the shared subscriber.
    """

    patient: bool
    up: bool
    closed: ConnectionLost | None
    outages: Outages
    subscriber: SharedSubscriber

    @property
    def pub(self) -> Sender:
        """The publisher."""

    @property
    def reactor(self) -> Any:
        """The reactor of the publisher."""


class BlockedGets(Protocol):
    """Gets that wait in BLMOVE."""

    def __hash__(self) -> int: ...

    def check(self) -> None:
        """Have BLMOVE answered, to see whether its connection is alive."""


class WaitingResults(Protocol):
    """Calls that wait for messages on the subscriber."""

    def __hash__(self) -> int: ...

    def alive(self) -> None:
        """Record that the subscriber has answered."""


class HeldClaim(Protocol):
    """A claim that this process holds."""

    @property
    def id(self) -> str:
        """The id of the job."""

    @property
    def token(self) -> str:
        """Proves that the claim is still valid."""


class Named(Protocol):
    """A feed, as far as a heartbeat uses it: its name."""

    name: str


class ResultCalls(Protocol):
    """The scripts for waiting for results: see their headers.  Times are in seconds."""

    def look(self, id_: str, noted: bytes, wanted: float) -> Deferred[list[bytes]]:
        """Call ``job/result``."""

    def listen(
        self, ids: Iterable[str], lease: float, most: int, wanted: float
    ) -> Deferred[tuple[int, list[str]]]:
        """Call ``job/listen``; fires the parts of its reply."""

    def ended(self, ids: Iterable[str]) -> Deferred[tuple[list[str], list[str]]]:
        """Call ``job/ended``; fires the parts of its reply."""

    def leave(self) -> Deferred[Any]:
        """Record that this publisher no longer listens to the results of all jobs."""

    def pass_on(self, results: Mapping[str, bytes | None]) -> Deferred[list[str]]:
        """Call ``job/pass_on``."""
