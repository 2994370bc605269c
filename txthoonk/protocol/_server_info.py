"""Facts about a server, from its INFO."""

from __future__ import annotations

import attr

__all__ = ["Server", "server_of"]


@attr.frozen
class Server:
    """Facts about a server, from its INFO.

    :ivar run_id: identifies the server process; empty if INFO does not have it.
    :ivar replica_of: host and port of the master, if the server is a read-only replica; otherwise
        empty.
    :ivar cluster: whether the server is a node of a Redis Cluster.
    :ivar evicts: the ``maxmemory-policy``, if the server may evict keys; otherwise empty.
    """

    run_id: str
    replica_of: str = ""
    cluster: bool = False
    evicts: str = ""


def server_of(info: str) -> Server:
    """Parse a reply of INFO."""
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
