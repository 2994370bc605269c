"""Which server the connections of a service lead to, and whether it is the right one.

A name may lead to one server today and to another one tomorrow, and the old one may live on:
as a replica of the new one, which refuses to write, or alone.  So each new connection asks its
server who it is (INFO).  All connections of a service belong to one server: where a new one
leads to another, the others follow it.

What must be written leaves a replica.  Who only reads may stay: see :class:`Servers`.

Where INFO is forbidden, or knows nothing of all that, nothing is compared or reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from txthoonk.errors import ClusterNotSupported, ConnectionLost, ResponseError, WrongServer
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol._server_info import Server, server_of
from txthoonk.protocol._transient import needs_another_server
from txthoonk.wire._scripts import Script

__all__ = ["Servers"]

# Seconds for which a replica is no place to connect to, after one has refused to write: the
# name will lead to the new master soon.  Then reading goes on there.
INSIST = 5.0
# Seconds for which what must be written does not leave a replica again.
STAY = 15.0

# Scripts that read, and would note on the way where a history stands.
_READING = "history/"


class Servers:
    """The servers that the connections of a service come to.

    A replica is left when it refuses to write, or says that its master is down, and for
    :data:`INSIST` seconds no other replica is connected to.  Then one is good enough again, for
    :data:`STAY` seconds at least: for reading, while what must be written fails.

    :ivar present: the server of the publisher's connection, as far as that is known.

    :param name: the place, to be shown.
    :param reply_timeout: seconds that an answer may take.
    :param leave: has the publisher's connection given up, because of an error.
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
        self._publisher: RedisProtocol | None = None
        self._reported: Server | None = None
        self._mute = False  # whether the last publisher's connection was not answered
        self._insists_until = 0.0
        self._stays_until = 0.0

    @property
    def present(self) -> Server | None:
        return None if self._publisher is None else self._publisher.server

    # -- new connections ----------------------------------------------------------------

    async def check_publisher(self, redis: RedisProtocol) -> None:
        """Look at the server of a new connection of the publisher.

        :raises ClusterNotSupported: for a node of a cluster.
        :raises WrongServer: for a replica, if something must be written.
        """
        server = redis.server = await self._ask(redis)
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
        """Look at the server of any other new connection.

        If it is not the publisher's, one of the two is given up: the older one, unless only
        that can be written to.

        :raises WrongServer: if it is the new one, or both.
        """
        if self._mute:
            return
        server = redis.server = await self._ask(redis, "server")
        if not self.differs(redis):
            return
        server = redis.server = await self._ask(redis)
        present = self.present
        if server is None or present is None:
            return
        if server.replica_of and not present.replica_of:
            raise WrongServer(f"{self._name} leads to {_replica(server)} at times")
        self._leave(WrongServer(f"{self._name} leads to another server by now"))

    def differs(self, redis: RedisProtocol) -> bool:
        """Tell whether a connection leads to another server than the publisher's."""
        here, there = self.present, redis.server
        known = here is not None and there is not None and here.run_id and there.run_id
        return bool(known) and here.run_id != there.run_id  # type: ignore[union-attr]

    async def _ask(self, redis: RedisProtocol, *section: str) -> Server | None:
        asked = redis.request(("INFO", *section))

        def silent(_: object, seconds: float) -> None:
            raise ConnectionLost(f"no reply for {seconds:g} seconds")

        asked.addTimeout(self._reply_timeout, self._clock, silent)
        try:
            info = await asked
        except ResponseError:
            return None
        if isinstance(info, bytes):
            info = info.decode("utf-8", "replace")
        return server_of(info) if isinstance(info, str) else None

    def _report(self, server: Server) -> None:
        if server == self._reported:
            return
        self._reported = server
        if server.replica_of:
            self._log.warn(
                "{name} leads to {replica}: it can be read, and what writes will fail",
                name=self._name,
                replica=_replica(server),
            )
        if server.evicts:
            self._log.warn(
                "{name} removes keys when its memory is full (maxmemory-policy {policy}), which "
                "feeds do not survive: set it to noeviction",
                name=self._name,
                policy=server.evicts,
            )

    # -- the publisher's connection -----------------------------------------------------

    def came(self, redis: RedisProtocol) -> None:
        """Learn that the publisher's connection is up."""
        self._publisher = redis
        if redis.server is None or not redis.server.replica_of:
            self._insists_until = 0.0
            self._stays_until = 0.0
        else:
            self._stays_until = self._clock.seconds() + STAY
        redis.misplaced = self._refused

    def went(self) -> None:
        """Learn that it is gone."""
        self._publisher = None

    def _refused(self, redis: RedisProtocol, error: Exception, script: Script | None) -> None:
        now = self._clock.seconds()
        if redis is not self._publisher or now < self._stays_until:
            return
        if not needs_another_server(error) or (script and script.name.startswith(_READING)):
            return
        self._insists_until = now + INSIST
        self._leave(WrongServer(f"{self._name} leads to a replica: {error}"))


def _replica(server: Server) -> str:
    return f"a read-only replica of {server.replica_of}"
