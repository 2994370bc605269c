"""What a connection needs from those who use it."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.wire._scripts import Script

__all__ = ["MisplacedListener", "Repeater"]


class MisplacedListener(Protocol):
    """Learns of errors that mean that another server must be asked."""

    def misplaced(self, redis: object, error: Exception, script: Script | None) -> None:
        """Learn of such an error, before its caller does.

        :param redis: the connection, to compare with others.
        :param script: the script that failed, if that is known.
        """


class Repeater(Protocol):
    """Makes calls whose arguments depend on the feed's serializer."""

    def repeat(
        self, script: Script, prefix: tuple[Any, ...], group: tuple[Any, ...]
    ) -> Deferred[Any]:
        """Repeat a call that was refused, because the feed's serializer has changed.

        :param prefix: what the refused call began with.
        :param group: its other arguments.
        :return: fires the reply to the group.
        """
