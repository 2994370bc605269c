"""Waits for events: of this process, of a redis-server, of files and of other processes.

======================= ===========================================================================
:func:`until`           a condition of this process. It is checked after each turn of the reactor,
                        because nothing changes between two turns.
:func:`until_answer`    an answer of a redis-server. The question is asked again after each command
                        that changes something, which the server reports by MONITOR.
:func:`seen`            a command that a redis-server calls, which can be over when you ask.
:func:`until_polled`    the same, where there is no event to wait for: the question is repeated.
:func:`until_file`      a condition of a file or folder, which inotify reports.
:func:`until_ended`     the end of a process that is not a child of this one.
======================= ===========================================================================

None of them has a time limit of its own: the timeout of the test ends them.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet import reactor as installed_reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

__all__ = ["seen", "until", "until_answer", "until_ended", "until_file", "until_polled"]

T = TypeVar("T")

reactor: Any = installed_reactor

#: Seconds before a question is repeated whose answer can change without a command.
PAUSE = 0.002
#: Commands that change nothing. Of a script, MONITOR also shows the commands that it calls.
READS = frozenset(
    b"auth client dbsize echo eval eval_ro evalsha evalsha_ro exists get hello hexists hget"
    b" hgetall hkeys hlen hmget hvals info keys lindex llen lpos lrange mget multi ping pttl"
    b" publish pubsub scan scard script select sismember smembers strlen time ttl type watch xlen"
    b" xrange xrevrange zcard zcount zrange zrangebyscore zscore".split()
)
#: A line of MONITOR, and the words in it.
LINE = re.compile(rb"\+[\d.]+ \[[^]]*\] ")
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class _Turns:
    """Checks conditions after each turn of the reactor, as long as there are any."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []
        self._timed_calls: Callable[[], None] | None = None

    def wait(self, condition: Callable[[], object]) -> Deferred[None]:
        """Fire once the condition holds. An error of the condition fails the Deferred."""
        held: Deferred[None] = Deferred(self._drop)
        self._waiting.append((condition, held))
        if self._timed_calls is None:
            self._timed_calls = reactor.runUntilCurrent
            reactor.runUntilCurrent = self._turn
            if isinstance(reactor, AsyncioSelectorReactor):
                self._tick()
        return held

    def _tick(self) -> None:
        """Make turns of the asyncio reactor, which has none of its own after input."""
        if self._waiting:
            reactor.runUntilCurrent()
            asyncio.get_event_loop().call_later(PAUSE, self._tick)  # it may not run yet

    def _turn(self) -> None:
        assert self._timed_calls is not None
        self._timed_calls()
        fired = True
        while fired:  # what this runs can make another condition hold
            fired = self._fire_one()
        if not self._waiting:
            self._timed_calls = None
            del reactor.runUntilCurrent

    def _fire_one(self) -> bool:
        for condition, held in self._waiting:
            try:
                if not condition():
                    continue
            except Exception as error:  # noqa: BLE001 - the test gets it
                self._drop(held)
                held.errback(error)
            else:
                self._drop(held)
                held.callback(None)
            return True
        return False

    def _drop(self, held: Deferred[None]) -> None:
        self._waiting = [one for one in self._waiting if one[1] is not held]


_turns = _Turns()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition of this process holds.

    :param condition: depends only on what the reactor's thread changes.
    """
    if not condition():
        await _turns.wait(condition)


def _changes(words: list[bytes]) -> bool:
    return words[0].lower() not in READS


class _Monitor(LineOnlyReceiver):
    """Reports certain commands of a server.

    :param wanted: whether a command, given by its words, is one of them.
    """

    MAX_LENGTH = 1 << 30
    transport: Any

    def __init__(
        self,
        credentials: Mapping[str, Any],
        wanted: Callable[[list[bytes]], bool] = _changes,
    ) -> None:
        self._wanted = wanted
        words = [credentials.get("username"), credentials.get("password")]
        login = " ".join(["AUTH", *filter(None, words)])
        self._commands = ([login] if words[1] else []) + ["MONITOR"]
        self._due = len(self._commands)
        self._changed: Deferred[None] = Deferred()
        self.ready: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        for command in self._commands:
            self.sendLine(command.encode())

    def lineReceived(self, line: bytes) -> None:
        if not LINE.match(line):
            self._answered(line)
        elif self._wanted(WORD.findall(line)):
            self._change()

    def _answered(self, line: bytes) -> None:
        self._due -= 1
        if line != b"+OK":
            self.ready.errback(AssertionError(f"MONITOR: {line!r}"))
        elif not self._due:
            self.ready.callback(None)

    def _change(self) -> None:
        if not self._changed.called:
            self._changed.callback(None)

    async def next(self, seconds: float | None) -> None:
        """Wait for such a command since the last call, or for at most *seconds*."""
        timer = None if seconds is None else reactor.callLater(seconds, self._change)
        try:
            await self._changed
        finally:
            if timer is not None and timer.active():
                timer.cancel()
        self._changed = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)
        for waiting in (self.ready, self._changed):
            if not waiting.called:
                waiting.errback(reason)

    async def close(self) -> None:
        self.transport.abortConnection()
        await self.closed
        self._changed.addErrback(lambda _: None)


async def until_answer(
    endpoint: IStreamClientEndpoint,
    question: Callable[[], Awaitable[T]],
    holds: Callable[[T], object] = bool,
    *,
    credentials: Mapping[str, Any] | None = None,
    silent: bool = False,
) -> T:
    """Wait until a redis-server gives a certain answer, and return it.

    :param endpoint: the server's endpoint.
    :param question: asks the server. It may only read.
    :param holds: whether an answer is the one to wait for.
    :param credentials: ``username`` and ``password``, if the server requires them.
    :param silent: whether the answer can change without a command: a client's connection closes,
        a key expires, a replica connects. Redis reports none of these, so the question is also
        repeated by time.
    """
    if holds(answer := await question()):
        return answer
    changes: _Monitor = await connectProtocol(endpoint, _Monitor(credentials or {}))
    try:
        await changes.ready
        while not holds(answer := await question()):
            await changes.next(PAUSE if silent else None)
    finally:
        await changes.close()
    return answer


async def seen(
    endpoint: IStreamClientEndpoint,
    words: Sequence[bytes],
    *,
    credentials: Mapping[str, Any] | None = None,
) -> Deferred[None]:
    """Start to watch for a command of a redis-server, also in scripts.

    :param words: the first words of the command, as the client or the script writes them.
    :return: a Deferred that fires None once the server has called such a command.
    """

    def wanted(found: list[bytes]) -> bool:
        return found[: len(words)] == list(words)

    monitor: _Monitor = await connectProtocol(endpoint, _Monitor(credentials or {}, wanted))
    await monitor.ready
    return Deferred.fromCoroutine(_once(monitor))


async def _once(monitor: _Monitor) -> None:
    try:
        await monitor.next(None)
    finally:
        await monitor.close()


async def until_polled(
    question: Callable[[], Awaitable[T]], holds: Callable[[T], object] = bool
) -> T:
    """Repeat a question until its answer holds, and return the answer.

    This is for changes that a server does not announce: connections that close, a disk that is
    full, and the end of loading, during which it accepts no MONITOR.
    """
    while not holds(answer := await question()):
        await deferLater(reactor, PAUSE)
    return answer


async def until_file(path: str | os.PathLike[str], condition: Callable[[], object]) -> None:
    """Wait until a condition of a file or a folder holds.

    :param path: the file or folder. The folder that it is in must exist.
    :param condition: depends only on whether the path exists, and on what a file contains.
    """
    from twisted.internet.inotify import INotify  # Linux only

    notifier = INotify(reactor)
    notifier.startReading()
    try:
        changed: list[object] = []
        folder = FilePath(os.path.dirname(os.path.abspath(path)).encode())
        notifier.watch(folder, callbacks=[lambda *event: changed.append(event)])
        await until(lambda: changed or condition())
        while not condition():
            changed.clear()
            await until(lambda: changed)
    finally:
        notifier.stopReading()
        notifier.loseConnection()


class _Process(FileDescriptor):
    """A process, whose end makes its file descriptor readable."""

    def __init__(self, pid: int) -> None:
        super().__init__(reactor)
        self.ended: Deferred[None] = Deferred()
        self._descriptor = os.pidfd_open(pid)
        self.startReading()

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self.stopReading()
        os.close(self._descriptor)
        self.ended.callback(None)


async def until_ended(pid: int) -> None:
    """Wait until a process has ended; it need not be a child of this one."""
    try:
        process = _Process(pid)
    except ProcessLookupError:
        return
    await process.ended
