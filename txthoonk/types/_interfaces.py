"""What feed types need of their publisher, and what maintenance needs of a feed."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from txthoonk.consumers._interfaces import Sender
from txthoonk.consumers._room import WaitingRoom
from txthoonk.wire._feed_config import Config

__all__ = ["Publisher", "Recoverable"]


class Publisher(Sender, Protocol):
    """The publisher that opened a feed: a ``ThoonkPub`` or a ``Thoonk``.

    :ivar waiting_room: the connections on which gets and results wait.
    :ivar uuid: identifies the publisher among all clients of the server.
    """

    waiting_room: WaitingRoom
    uuid: str

    def attach(self, service: Service) -> None:
        """Have a service stopped before the publisher closes its connections."""

    def detach(self, service: Service) -> None:
        """Forget a service."""

    def get_config(self, name: str) -> Deferred[dict[str, str]]:
        """Read a feed's configuration."""

    def set_config(self, name: str, config: Config, *, force: bool = False) -> Deferred[None]:
        """Change a feed's configuration."""

    def create_feed(
        self, name: str, config: Config | None = None, *, force: bool = False
    ) -> Deferred[None]:
        """Create a feed."""

    def delete_feed(self, name: str) -> Deferred[bool]:
        """Delete a feed."""

    def get_feed_names(self) -> Deferred[set[str]]:
        """Read the names of all feeds."""

    def publish_channel(self, channel: str, *parts: str | bytes) -> Deferred[Any]:
        """Publish a message."""


class Recoverable(Protocol):
    """A feed of a kind that maintenance can repair.

    :ivar name: the name of the feed.
    :ivar feed_ids: key of the ids in their order.
    """

    name: str
    feed_ids: str

    @property
    def pub(self) -> Sender:
        """The publisher that opened the feed."""

    def get_config(self) -> Deferred[dict[str, str]]:
        """Read the configuration; fails if the feed does not exist."""

    def length(self) -> Deferred[int]:
        """Count the items in the line."""
