"""Which server the connections of a service lead to, and whether it is the right one.

A name may lead to one server today and to another one tomorrow, while the old one lives on: as
a replica of the new one, which refuses to write, or alone. So each new connection asks its
server for INFO. All connections of a service belong to one server: if a new connection leads to
another server, the other connections follow.

Calls that write leave a replica. Calls that only read may stay: see :class:`Servers`.

If INFO is forbidden, or does not have these fields, nothing is compared or reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import attr
from twisted.logger import Logger

from txthoonk.connections._interfaces import Listener
from txthoonk.connections._keepalive import silence
from txthoonk.errors import ClusterNotSupported, ConnectionLost, ResponseError, WrongServer
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._transient import needs_another_server
from txthoonk.wire._scripts import Script

__all__ = ["Server", "Servers", "server_of"]

# Seconds for which new connections to a replica are refused, after one has refused to write:
# the name will lead to the new master soon. After that, reading goes on at the replica.
INSIST = 5.0
# Seconds for which calls that write do not leave a replica again.
STAY = 15.0

# Scripts that read, and would store the position of a history on the way.
_READING = "history/"


@attr.frozen
class Server:
    """What a server says about itself.

    :ivar run_id: identifies its process; empty if the server does not say.
    :ivar replica_of: host and port of the master of a read-only replica, else empty.
    :ivar cluster: whether it is a node of a Redis Cluster.
    :ivar evicts: its ``maxmemory-policy``, if that lets it remove keys, else empty.
    """

    run_id: str
    replica_of: str = ""
    cluster: bool = False
    evicts: str = ""


def server_of(info: str) -> Server:
    """Read a reply of INFO."""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    replica = fields.get("role") == "slave" and fields.get("slave_read_only") != "0"
    policy = fields.get("maxmemory_policy", "noeviction")
    bounded = fields.get("maxmemory", "0") != "0"
    return Server(
        run_id=fields.get("run_id", ""),
        replica_of="{master_host}:{master_port}".format_map(
            {"master_host": "?", "master_port": "?", **fields}
        )
        if replica
        else "",
        cluster=fields.get("cluster_enabled") == "1",
        evicts=policy if bounded and policy != "noeviction" else "",
    )


class Servers(Listener[RedisProtocol]):
    """The servers that the connections of a service lead to.

    It listens to the publisher's connection.

    That connection leaves a replica that refuses to write, or says that its master is down.
    For :data:`INSIST` seconds, connections to another replica are refused. Then a replica is
    good enough again, for :data:`STAY` seconds at least: calls that read work, and calls that
    write fail.

    :ivar present: the server of the publisher's connection; None if it is not known.

    :param name: the server, for messages.
    :param reply_timeout: seconds that a reply may take.
    :param leave: gives up the publisher's connection, because of an error.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        name: str,
        reply_timeout: float,
        leave: Callable[[WrongServer], object],
    ) -> None:
        self._clock = clock
        self._name = name
        self._reply_timeout = reply_timeout
        self._leave = leave
        self._known: WeakKeyDictionary[RedisProtocol, Server] = WeakKeyDictionary()
        self._publisher: RedisProtocol | None = None
        self._reported: Server | None = None
        self._mute = False  # whether the publisher's last connection got no reply to INFO
        self._insists_until = 0.0
        self._stays_until = 0.0

    @property
    def present(self) -> Server | None:
        return None if self._publisher is None else self._known.get(self._publisher)

    # -- new connections ----------------------------------------------------------------

    async def check_publisher(self, redis: RedisProtocol) -> None:
        """Check the server of a new connection of the publisher.

        :raises ClusterNotSupported: for a node of a cluster.
        :raises WrongServer: for a replica, if a call that writes has left one just now.
        """
        server = await self._ask(redis)
        self._mute = server is None
        if server is None:
            return
        if server.cluster:
            raise ClusterNotSupported(
                f"{self._name} leads to a node of a Redis Cluster, which is not supported"
            )
        if server.replica_of and self._clock.seconds() < self._insists_until:
            raise WrongServer(f"{self._name} leads to {_replica(server)}")
        self._report(server)

    async def check(self, redis: RedisProtocol) -> None:
        """Check the server of any other new connection.

        If it is not the publisher's server, one of the two connections is given up: the older
        one, unless only the older one leads to a master.

        :raises WrongServer: if it is the new one, or both.
        """
        if self._mute:
            return
        await self._ask(redis, "server")
        if not self.differs(redis):
            return
        server = await self._ask(redis)
        present = self.present
        if server is None or present is None:
            return
        if server.replica_of and not present.replica_of:
            raise WrongServer(f"{self._name} leads to {_replica(server)} at times")
        self._leave(WrongServer(f"{self._name} leads to another server now"))

    def differs(self, redis: RedisProtocol) -> bool:
        """Return whether a connection leads to another server than the publisher's."""
        here, there = self.present, self._known.get(redis)
        if here is None or there is None or not (here.run_id and there.run_id):
            return False
        return here.run_id != there.run_id

    async def _ask(self, redis: RedisProtocol, *section: str) -> Server | None:
        """Ask a server for INFO, and remember what it says."""
        asked = redis.request(("INFO", *section))

        def silent(_: object, seconds: float) -> None:
            raise silence(seconds)

        asked.addTimeout(self._reply_timeout, self._clock, silent)
        try:
            info = await asked
        except ResponseError:
            info = None
        if isinstance(info, bytes):
            info = info.decode("utf-8", "replace")
        if not isinstance(info, str):
            self._known.pop(redis, None)
            return None
        server = self._known[redis] = server_of(info)
        return server

    def _report(self, server: Server) -> None:
        if server == self._reported:
            return
        self._reported = server
        if server.replica_of:
            self._log.warn(
                "{name} leads to {replica}: calls that read work, and calls that write will fail",
                name=self._name,
                replica=_replica(server),
            )
        if server.evicts:
            self._log.warn(
                "{name} removes keys when its memory is full (maxmemory-policy {policy}), which "
                "damages feeds: set it to noeviction",
                name=self._name,
                policy=server.evicts,
            )

    # -- the publisher's connection -----------------------------------------------------

    def connected(self, redis: RedisProtocol) -> None:
        """Follow a new connection of the publisher."""
        self._publisher = redis
        server = self.present
        if server is None or not server.replica_of:
            self._insists_until = 0.0
            self._stays_until = 0.0
        else:
            self._stays_until = self._clock.seconds() + STAY
        redis.report_misplaced(self)

    def disconnected(self, error: ConnectionLost) -> None:
        """Forget the publisher's connection."""
        self._publisher = None

    def misplaced(self, redis: object, error: Exception, script: Script | None) -> None:
        """Leave a replica that refused to write."""
        now = self._clock.seconds()
        if redis is not self._publisher or now < self._stays_until:
            return
        if not needs_another_server(error) or (script and script.name.startswith(_READING)):
            return
        self._insists_until = now + INSIST
        self._leave(WrongServer(f"{self._name} leads to a replica: {error}"))


def _replica(server: Server) -> str:
    return f"a read-only replica of {server.replica_of}"
