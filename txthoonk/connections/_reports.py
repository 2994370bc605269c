"""What the log says about the connections to a server, once for all that share an outage."""

from __future__ import annotations

from twisted.logger import Logger, LogLevel

from txthoonk.connections._back_off import level_of

__all__ = ["Reports"]


class Reports:
    """Logs that connections are up, lost, and not made.

    Connections that share it have the same fate most of the time. What one has reported is a
    debug message of the others, until all are up again.

    :param name: the server, without a password.
    :param connections: how many share it.
    """

    _log = Logger()

    def __init__(self, name: str, connections: int = 1) -> None:
        self._name = name
        self._connections = connections
        self._up: set[object] = set()
        self._lost: set[str] = set()
        self._failed: dict[str, int] = {}  # error -> the number of the last attempt reported

    def connected(self, connection: object) -> None:
        """Report a connection that is up, once all are."""
        self._up.add(connection)
        if len(self._up) == self._connections:
            self._lost.clear()
            self._failed.clear()
            self._log.info("connected to {name}", name=self._name)

    def stopped(self, connection: object) -> None:
        """Learn that a connection is no longer up."""
        self._up.discard(connection)

    def lost(self, error: str) -> None:
        """Report that a connection was lost."""
        level = LogLevel.debug if error in self._lost else LogLevel.warn
        self._log.emit(level, "{error}", error=error)
        self._lost.add(error)

    def failed(self, number: int, error: str, delay: float, new: bool) -> None:
        """Report that an attempt to connect failed.

        :param number: of the attempt, from 1.
        :param delay: seconds until the next one.
        :param new: whether the attempt before failed for another reason.
        """
        level = LogLevel.warn if new else level_of(number)
        if number <= self._failed.get(error, 0):
            level = LogLevel.debug
        self._failed[error] = max(number, self._failed.get(error, 0))
        self._log.emit(
            level,
            "attempt {number} to connect to {name} failed: {error} (the next in {delay:.1f} s)",
            number=number,
            name=self._name,
            error=error,
            delay=delay,
        )
