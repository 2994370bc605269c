"""What a connection needs from those who use it."""

from __future__ import annotations

from typing import Protocol

from txthoonk.wire._scripts import Script

__all__ = ["MisplacedListener"]


class MisplacedListener(Protocol):
    """Learns of errors that mean that another server must be asked."""

    def misplaced(self, redis: object, error: Exception, script: Script | None) -> None:
        """Learn of such an error, before its caller does.

        :param redis: the connection, to compare with others.
        :param script: the script that failed, if that is known.
        """
