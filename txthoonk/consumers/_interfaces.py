"""What the consumers, and the feed types above them, need of a publisher."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from txthoonk.protocol._commands import Commands
from txthoonk.wire._feed_config import Config

if TYPE_CHECKING:
    from txthoonk.consumers._room import WaitingRoom

__all__ = ["HeldClaim", "Named", "Publisher", "ResultCalls"]


class Publisher(Protocol):
    """The publisher that opened a feed: a ``ThoonkPub`` or a ``Thoonk``.

    :ivar waiting_room: the connections on which gets and results are waited for.
    :ivar uuid: identifies the publisher among all clients of the server.
    """

    waiting_room: WaitingRoom
    uuid: str

    @property
    def redis(self) -> Commands:
        """Sends the commands of Redis."""

    def attach(self, service: Service) -> None:
        """Have a service stopped before the publisher closes its connections."""

    def detach(self, service: Service) -> None:
        """Forget a service."""

    def get_config(self, name: str) -> Deferred[dict[str, str]]:
        """Read a feed's configuration."""

    def set_config(self, name: str, config: Config, *, force: bool = False) -> Deferred[None]:
        """Change a feed's configuration."""

    def delete_feed(self, name: str) -> Deferred[bool]:
        """Delete a feed."""

    def get_feed_names(self) -> Deferred[set[str]]:
        """Read the names of all feeds."""

    def publish_channel(self, channel: str, *parts: str | bytes) -> Deferred[Any]:
        """Publish a message."""


class HeldClaim(Protocol):
    """A claim that this process holds."""

    @property
    def id(self) -> str:
        """The id of the job."""

    @property
    def token(self) -> str:
        """Proves that the claim is still valid."""


class Named(Protocol):
    """A feed, of which a heartbeat needs the name."""

    name: str


class ResultCalls(Protocol):
    """The scripts that waiting for results needs, see their headers; times are in seconds."""

    def look(self, id_: str, noted: bytes, wanted: float) -> Deferred[list[bytes]]:
        """Call ``job/result``."""

    def listen(
        self, ids: Iterable[str], lease: float, most: int, wanted: float
    ) -> Deferred[tuple[int, list[str]]]:
        """Call ``job/listen``; fires the parts of its reply."""

    def leave(self) -> Deferred[Any]:
        """Record that this publisher no longer listens to the results of all jobs."""

    def pass_on(self, results: Mapping[str, bytes | None]) -> Deferred[list[str]]:
        """Call ``job/pass_on``."""
