"""Two servers, a master and its replica, and a name that leads to one of them."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.endpoints import connectProtocol

from tests.support.proxy import Proxy
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
        while await self.info(self.replica, "master_link_status") != "up":
            pass
        await self.ask(self.master, "SET", "failover-marker", "1")
        await self.caught_up()

    async def caught_up(self) -> None:
        """Wait until the replica has all that the master has."""
        offset = int(await self.info(self.master, "master_repl_offset"))
        while int(await self.info(self.replica, "master_repl_offset") or 0) < offset:
            pass

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
        while await self.info(self.replica, "master_link_status") != "up":
            pass

    def rename(self) -> None:
        """Have the name lead to the present master."""
        self.name.lead_to(self.master.endpoint())

    async def clients(self, server: RedisServer) -> list[str]:
        """List the commands that the clients sent last, without ours and the other server."""
        me = await self.ask(server, "CLIENT", "ID")
        listed = (await self.ask(server, "CLIENT", "LIST")).splitlines()
        ours = [line for line in listed if f"id={me} " not in line]
        return [
            found[1]
            for line in ours
            if not re.search(r" flags=\w*[MS]", line) and (found := re.search(r" cmd=(\S+)", line))
        ]
