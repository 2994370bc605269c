"""Two servers, a master and its replica, and a name that leads to one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.endpoints import connectProtocol

from tests.support.proxy import Proxy
from tests.support.waiting import until_answer
from txthoonk.protocol import Redis
from txthoonk.testing import RedisServer

__all__ = ["Pair"]

OPTIONS = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--save", "")


class Pair:
    """A master, and a replica of it that can take its place while the old one lives on.

    :ivar name: a proxy, which connects those who come to the server that it leads to.
    :ivar master: the server that can be written to.
    :ivar replica: the other one.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.master, self.replica = (RedisServer(port=0, arguments=OPTIONS) for _ in "ab")
        self._admins: dict[RedisServer, Redis] = {}

    async def start(self) -> None:
        for server in (self.master, self.replica):
            await server.start()
            self._admins[server] = await connectProtocol(server.endpoint(), Redis())
        self.name = Proxy(self._reactor, self.master.endpoint())
        await self.name.start()
        await self.follow()

    async def stop(self) -> None:
        await self.name.stop()
        for server, admin in self._admins.items():
            await admin.close()
            await server.stop()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.name.port}/0"

    async def ask(self, server: RedisServer, *words: Any) -> Any:
        """Send one command to one of the servers."""
        return await self._admins[server].send(*words)

    async def info(self, server: RedisServer, field: str, section: str = "replication") -> str:
        found = re.search(rf"(?m)^{field}:(.*)\r$", await self.ask(server, "INFO", section))
        return "" if found is None else found[1]

    async def follow(self) -> None:
        """Make the replica one of the master, and wait until it has all that this has."""
        await self.ask(
            self.replica,
            "REPLICAOF",
            "127.0.0.1",
            await self.info(self.master, "tcp_port", "server"),
        )
        await self.linked()
        await self.ask(self.master, "SET", "failover-marker", "1")
        await self.caught_up()

    async def until_info(
        self,
        server: RedisServer,
        field: str,
        section: str = "replication",
        *,
        holds: Callable[[str], object],
    ) -> None:
        """Wait until a field of INFO has a certain value."""
        question = partial(self.info, server, field, section)
        await until_answer(server.endpoint(), question, holds, silent=True)

    async def linked(self) -> None:
        """Wait until the replica is connected with the master."""
        await self.until_info(
            self.replica, "master_link_status", holds=lambda found: found == "up"
        )

    async def blocked(self, server: RedisServer, count: int = 1) -> None:
        """Wait until so many clients of a server are blocked: gets wait on them."""
        await self.until_info(
            server, "blocked_clients", "clients", holds=lambda found: found == str(count)
        )

    async def has_clients(self, server: RedisServer, count: int) -> None:
        """Wait until a server has so many clients, see :meth:`clients`."""
        question = partial(self.clients, server)
        await until_answer(
            server.endpoint(), question, lambda found: len(found) == count, silent=True
        )

    async def caught_up(self) -> None:
        """Wait until the replica has all that the master has."""
        offset = int(await self.info(self.master, "master_repl_offset"))
        await self.until_info(
            self.replica, "master_repl_offset", holds=lambda found: int(found or 0) >= offset
        )

    async def promote(self, *, name: bool = True) -> None:
        """Have master and replica change places.

        As a Sentinel does it: nothing is written to the old master from when the new one is
        promoted; clients that stay on it meet a replica.

        :param name: whether the name leads to the new master from now on; else see
            :meth:`rename`.
        """
        await self.ask(self.master, "CLIENT", "PAUSE", 10_000, "WRITE")
        await self.caught_up()
        await self.ask(self.replica, "REPLICAOF", "NO", "ONE")
        self.master, self.replica = self.replica, self.master
        if name:
            self.rename()
        await self.ask(
            self.replica,
            "REPLICAOF",
            "127.0.0.1",
            await self.info(self.master, "tcp_port", "server"),
        )
        await self.ask(self.replica, "CLIENT", "UNPAUSE")
        await self.linked()

    def rename(self) -> None:
        """Have the name lead to the present master."""
        self.name.lead_to(self.master.endpoint())

    async def clients(self, server: RedisServer) -> list[str]:
        """List the last commands of the clients: not ours, monitors, or the other server."""
        me = await self.ask(server, "CLIENT", "ID")
        listed = (await self.ask(server, "CLIENT", "LIST")).splitlines()
        ours = [line for line in listed if f"id={me} " not in line]
        return [
            found[1]
            for line in ours
            if not re.search(r" flags=\w*[MOS]", line)
            and (found := re.search(r" cmd=(\S+)", line))
        ]
