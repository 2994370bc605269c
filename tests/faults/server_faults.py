"""A real redis-server, and the faults that it can have.

One server serves the tests of a run. Each fault is a context manager that causes it, and ends it
on exit. The server keeps an append-only file, so it has a disk that can be full and data that it
can load. It ignores SIGXFSZ: a write to a file that may not grow is then cut short, as on a full
disk, and the server says "No space left on device".
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import connectProtocol

from tests.support.waiting import until_polled
from txthoonk.embedded._server import find_executable
from txthoonk.errors import ResponseError
from txthoonk.protocol import Redis
from txthoonk.testing import RedisServer

__all__ = ["FaultyServer", "shared", "version"]

LAUNCHER = "#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n"
UNLIMITED = resource.RLIM_INFINITY
FILLER = 6000  # commands to load, so many that calls come in between
STRINGS = (b"feed.publishes:", b"feed.idincr:", b"feed.finishes:", b"feed.maintained:")
PAUSE_ENDS = "500"  # times per second that the server checks whether a pause is over


def version() -> int:
    """Return the major version of the server under test."""
    said = subprocess.run([find_executable(), "--version"], check=True, stdout=subprocess.PIPE)
    return int(said.stdout.partition(b"v=")[2].partition(b".")[0])


def launcher() -> str:
    """Write a program that runs redis-server without SIGXFSZ, and return its path."""
    path = Path("redis-server-without-sigxfsz").absolute()  # in trial's own folder
    path.write_text(LAUNCHER.format(find_executable()))
    path.chmod(0o700)
    return str(path)


class FaultyServer:
    """A private server, and its faults.

    :ivar server: the :class:`~txthoonk.testing.RedisServer`.
    :ivar admin: this object's own connection to the server, without a charset.
    :ivar other: a second connection, for the time that the first waits for the end of the loading.

    :param appendfsync: when the server syncs its file; with ``always``, before it replies.
    """

    admin: Redis
    other: Redis

    def __init__(self, appendfsync: str = "everysec") -> None:
        self._fsync = appendfsync
        self.server: RedisServer | None = None

    def _make(self) -> RedisServer:
        debug = ("--enable-debug-command", "yes") if version() >= 7 else ()
        options = ("--appendonly", "yes", "--appendfsync", self._fsync, "--hz", PAUSE_ENDS)
        return RedisServer(executable=launcher(), arguments=(*options, *debug))

    async def start(self) -> None:
        """Start the server unless it runs, and connect to it."""
        if self.server is None:
            self.server = self._make()
        await self.server.start()
        self.admin = await self.connect()

    async def connect(self) -> Redis:
        """Connect a plain client without a charset."""
        assert self.server is not None
        return await connectProtocol(self.server.endpoint(), Redis(charset=None))

    async def leave(self) -> None:
        """Close this object's own connection; the server continues."""
        await self.admin.close()

    async def stop(self) -> None:
        """Stop the server for good."""
        assert self.server is not None
        await self.server.kill()
        await self.server.stop()

    @property
    def is_up(self) -> bool:
        return self.server is not None and self.server.owned

    @property
    def pid(self) -> int:
        assert self.server is not None
        return self.server.pid

    async def ask(self, *words: Any) -> Any:
        """Send one command."""
        return await self.admin.send(*words)

    async def set(self, name: str, value: Any) -> None:
        await self.ask("CONFIG", "SET", name, value)

    async def info(self, name: str) -> int:
        """Return one number of INFO."""
        text = (await self.ask("INFO", "all")).decode()
        found = re.search(rf"(?m)^{name}:(\d+)", text)
        assert found is not None, name
        return int(found[1])

    async def gone(self, client: int) -> None:
        """Wait until the server has closed the connection of that client id."""
        await until_polled(
            lambda: self.ask("CLIENT", "LIST"),
            lambda listed: not re.search(rb"(?m)^id=%d " % client, listed),
        )

    # -- refused calls -----------------------------------------------------------------

    @asynccontextmanager
    async def full_memory(self) -> AsyncIterator[None]:
        """Leave no memory for new data: ``-OOM``."""
        await self.set("maxmemory", "1")
        try:
            yield
        finally:
            await self.set("maxmemory", "0")

    @asynccontextmanager
    async def replica(self) -> AsyncIterator[None]:
        """Make the server the replica of a master that does not exist: ``-READONLY``."""
        await self.ask("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            await self.ask("REPLICAOF", "NO", "ONE")

    @asynccontextmanager
    async def no_scripts(self) -> AsyncIterator[None]:
        """Remove all scripts: ``-NOSCRIPT``."""
        await self.ask("SCRIPT", "FLUSH")
        yield

    @asynccontextmanager
    async def loading(self, pace: int) -> AsyncIterator[None]:
        """Load the data again: ``-LOADING``.

        Connections stay up meanwhile, as those to a replica that receives a new copy of its
        master. The duration varies and cannot be cut short: call :meth:`is_loading` when the fault
        must still hold. :meth:`fill` provides the data.

        :param pace: the number of commands between two shortest possible sleeps of the server.
        """
        await self.set("key-load-delay", -pace)
        self.other = await self.connect()
        loaded = self.admin.send("DEBUG", "LOADAOF")
        try:
            # The server may read data on another connection before this command.
            await until_polled(self.is_loading, lambda loading: loading or loaded.called)
            yield
        finally:
            await loaded
            await self.other.close()
            await self.set("key-load-delay", 0)

    async def is_loading(self) -> bool:
        """Return whether the server was still loading when it handled all data sent so far."""
        return b"\nloading:1" in await self.other.send("INFO", "persistence")

    async def fill(self) -> None:
        """Put enough data for :meth:`loading` into the append-only file."""
        script = "for n = 1, ARGV[1] do redis.call('SET', 'filler', n) end"
        await self.ask("EVAL", script, 0, FILLER)
        await self.ask("DEL", "filler")

    @asynccontextmanager
    async def full_disk(self) -> AsyncIterator[None]:
        """Leave no room on the disk for the append-only file: ``-MISCONF``."""
        self.leave_room(0)
        try:
            await until_polled(self._refuses)
            yield
        finally:
            self.make_room()
            await until_polled(self._refuses, lambda refuses: not refuses)
            await self.ask("DEL", "filler")

    def leave_room(self, size: int) -> None:
        """Limit the server's files to *size* bytes more than the largest has."""
        largest = max(path.stat().st_size for path in self.files())
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (largest + size, UNLIMITED))

    def make_room(self) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))

    def files(self) -> list[Path]:
        """Return the append-only files."""
        assert self.server is not None
        folder = Path(self.server.folder)
        return [path for path in folder.rglob("appendonly.*") if path.is_file()]

    async def _refuses(self) -> bool:
        try:
            await self.ask("SET", "filler", "")
        except ResponseError as error:
            assert error.code == "MISCONF", error
            return True
        return False

    # -- refused clients ---------------------------------------------------------------

    @asynccontextmanager
    async def user(self, *rules: str, name: str = "somebody") -> AsyncIterator[dict[str, str]]:
        """Create a user with these rules, and yield the credentials."""
        await self.ask("ACL", "SETUSER", name, "on", ">secret", *rules)
        try:
            yield {"username": name, "password": "secret"}
        finally:
            await self.ask("ACL", "DELUSER", name)

    @asynccontextmanager
    async def password(self, secret: str) -> AsyncIterator[None]:
        """Require a password from new connections: ``-NOAUTH``."""
        await self.set("requirepass", secret)
        try:
            yield
        finally:
            await self.set("requirepass", "")

    @asynccontextmanager
    async def crowded(self, room: int = 0) -> AsyncIterator[None]:
        """Accept only *room* connections more than there are."""
        await self.set("maxclients", await self.info("connected_clients") + room)
        try:
            yield
        finally:
            await self.set("maxclients", "10000")

    # -- delayed replies -----------------------------------------------------------------

    @asynccontextmanager
    async def paused(self, milliseconds: int, kind: str) -> AsyncIterator[None]:
        """Delay the replies to all clients (ALL) or to writers (WRITE) for at most that time."""
        await self.ask("CLIENT", "PAUSE", milliseconds, kind)
        yield
        # If the pause is for all, this too gets its reply only when the pause is over.
        await self.ask("CLIENT", "UNPAUSE")

    def freeze(self) -> None:
        """Stop the process with SIGSTOP; its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    # -- foreign keys --------------------------------------------------------------------

    async def foreign(self, key: bytes) -> None:
        """Put a key of another type in place of one of txthoonk's."""
        await self.ask("DEL", key)
        await self.ask("LPUSH" if key.startswith(STRINGS) else "APPEND", key, "foreign")


#: The server of most tests; the first one starts it, and it ends with the run.
shared = FaultyServer()
