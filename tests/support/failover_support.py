"""Two servers, a master and its replica, and a proxy that leads to one of them."""

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
    """A master, and a replica that can take its place while the old master stays up.

    :ivar name: a proxy, which connects its clients to the server that it leads to.
    :ivar master: the server that accepts writes.
    :ivar replica: the other server.
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
        """Make the replica follow the master, and wait until it has all data."""
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
        """Wait until *count* clients of a server are blocked: gets wait on them."""
        await self.until_info(
            server, "blocked_clients", "clients", holds=lambda found: found == str(count)
        )

    async def has_clients(self, server: RedisServer, count: int) -> None:
        """Wait until a server has *count* clients, as :meth:`clients` lists them."""
        question = partial(self.clients, server)
        await until_answer(
            server.endpoint(), question, lambda found: len(found) == count, silent=True
        )

    async def caught_up(self) -> None:
        """Wait until the replica has all data of the master."""
        offset = int(await self.info(self.master, "master_repl_offset"))
        await self.until_info(
            self.replica, "master_repl_offset", holds=lambda found: int(found or 0) >= offset
        )

    async def promote(self, *, name: bool = True) -> None:
        """Let master and replica change places.

        It works as a Sentinel does: nothing is written to the old master once the new one is
        promoted, and clients that stay on the old master meet a replica.

        :param name: whether the name leads to the new master from now on; else call
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
        """Let the name lead to the present master."""
        self.name.lead_to(self.master.endpoint())

    async def clients(self, server: RedisServer) -> list[str]:
        """Return the last commands of clients, without ours, monitors and the other server."""
        me = await self.ask(server, "CLIENT", "ID")
        listed = (await self.ask(server, "CLIENT", "LIST")).splitlines()
        ours = [line for line in listed if f"id={me} " not in line]
        return [
            found[1]
            for line in ours
            if not re.search(r" flags=\w*[MOS]", line)
            and (found := re.search(r" cmd=(\S+)", line))
        ]
