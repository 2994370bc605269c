"""What a connection needs from those who use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from txthoonk.wire._scripts import Script

if TYPE_CHECKING:
    from txthoonk.protocol._client import RedisProtocol

__all__ = ["MisplacedListener"]


class MisplacedListener(Protocol):
    """Learns of errors that mean that another server must be asked."""

    def misplaced(self, redis: RedisProtocol, error: Exception, script: Script | None) -> None:
        """Learn of such an error, before its caller does.

        :param redis: the connection.
        :param script: the script that failed, if that is known.
        """
