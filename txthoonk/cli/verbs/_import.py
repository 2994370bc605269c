"""The command that takes over the data of thoonk.js 0.6 to 1.0, which keeps jobs in other keys."""

from __future__ import annotations

import sys

import attr
import click

from txthoonk._support._replies import parsing
from txthoonk.cli._command import Session, command
from txthoonk.cli._common import CommandError, for_each
from txthoonk.cli._output import say, show
from txthoonk.client import ThoonkPub
from txthoonk.client._sources import is_source, source_names
from txthoonk.errors import FeedDoesNotExist, FeedExists
from txthoonk.protocol._encoding import TEXT
from txthoonk.protocol.bounds._slices import scan
from txthoonk.wire._keys import NEWFEED, feed_key, source_key
from txthoonk.wire._scripts import load

__all__ = ["import_"]

_TAKE = load("thoonkjs/take_jobs")
_END = load("thoonkjs/end_import")

MOST = 100  # jobs in one call
MARK = "importing"  # names the source in the configuration while an import is under way


@command(
    "thoonk import --dry-run",
    "thoonk import",
    "thoonk import mail --as letters --move",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--as", "target", metavar="FEED", help="Give the one feed another name.")
@click.option("--move", is_flag=True, help="Remove from the old keys what has been taken over.")
@click.option("--dry-run", is_flag=True, help="Show what there is; change nothing.")
async def import_(
    session: Session, names: tuple[str, ...], target: str | None, move: bool, dry_run: bool
) -> None:
    """Take over job feeds and feeds of thoonk.js 0.6 to 1.0.

    It kept job feeds in keys of its own (job.ids:mail), and gave feeds no type. Jobs keep their
    ids, order, states and times. A feed gets the type that it lacks.

    Stop the programs of thoonk.js first. The feed is paused until all of its jobs are there. If
    the command is interrupted, repeat it. The old keys stay unless you say --move. Without names,
    everything is taken over.
    """
    if target is not None and len(names) != 1:
        raise CommandError("--as gives one feed another name: give exactly one NAME")
    async with session.publisher() as pub:
        found = names or await _all(pub)
        if not found:
            say("there is nothing to import")

        async def take(name: str) -> None:
            if not await is_source(pub.redis, name):
                await _type(pub, name, dry_run)
                return
            importing = _Import(pub, name, target or name, move)
            await (importing.tell() if dry_run else importing.run())

        await for_each(found, take, "imported")


async def _all(pub: ThoonkPub) -> list[str]:
    untyped = []
    for name in sorted(await pub.get_feed_names()):
        # What is no hash of settings is another matter: commands for that feed say so.
        kind = await pub.redis.request(("TYPE", feed_key("config", name)), TEXT)
        if kind in ("none", "hash") and "type" not in await pub.redis.hgetall(
            feed_key("config", name)
        ):
            untyped.append(name)
    return [*await source_names(pub.redis), *untyped]


async def _type(pub: ThoonkPub, name: str, dry_run: bool) -> None:
    """Give a plain feed the type that it lacks, and announce it."""
    try:
        config = await pub.get_config(name)
    except FeedDoesNotExist:
        raise CommandError("neither a feed nor a job feed of thoonk.js has this name") from None
    if "type" in config:
        raise CommandError("it has a type already, and is no job feed of thoonk.js")
    kind = await pub.redis.request(("TYPE", feed_key("ids", name)), TEXT)
    if kind not in ("zset", "none"):
        raise CommandError(
            f"it has no type, and is no plain feed: give it one, such as "
            f"'thoonk config {name} type=queue'"
        )
    if dry_run:
        show(f"{name}: would get the type feed")
        return
    await pub.set_config(name, {"type": "feed"})
    await pub.publish_channel(NEWFEED, name, pub.uuid)
    show(f"{name}: has the type feed now")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


@attr.define
class _Import:
    """Takes over one job feed.

    While that is under way, the feed is paused, and ``importing`` in its configuration names the
    source: so no job is finished before its copy could be made a second time.
    """

    pub: ThoonkPub
    source: str
    name: str
    moves: bool
    taken: int = 0

    async def tell(self) -> None:
        """Show what would be taken over."""
        counts = []
        for count, part in (
            ("HLEN", "items"),
            ("LLEN", "ids"),
            ("ZCARD", "claimed"),
            ("SCARD", "stalled"),
        ):
            key = source_key(part, self.source)
            counts.append(await self.pub.redis.request((count, key), TEXT))
        jobs, line, claimed, stalled = counts
        show(
            f"{self.source}: would import {_jobs(jobs)} into {self.name}: "
            f"{line} available, {claimed} claimed, {stalled} stalled"
        )

    async def run(self) -> None:
        """Take everything over."""
        await self._begin()
        await self._take_line()
        await self._take_rest()
        left = await self._end()
        if sys.stderr.isatty():
            say("")
        if self.moves and left:
            raise CommandError(
                f"imported {_jobs(self.taken)}, but {left} more have been put: "
                "stop the programs of thoonk.js, and repeat the command"
            )
        show(f"{self.source}: imported {_jobs(self.taken)} into {self.name}")

    async def _begin(self) -> None:
        stored = await self.pub.redis.hgetall(source_key("config", self.source))
        config = {"serializer": "json", **stored, "type": "job"}
        config.update({"paused": "1", MARK: self.source})
        try:
            await self.pub.create_feed(self.name, config, force=True)
        except FeedExists:
            present = await self.pub.get_config(self.name)
            if present.get(MARK) != self.source:
                raise CommandError(
                    f"feed {self.name!r} exists already: import it under another name (--as)"
                ) from None

    async def _take_line(self) -> None:
        """Take the jobs in line, from the front, which is the right end."""
        key, skipped = source_key("ids", self.source), 0
        while True:
            some = ("LRANGE", key, -skipped - MOST, -skipped - 1)
            ids: list[str] = await self.pub.redis.request(some, TEXT)
            if not ids:
                return
            await self._take(ids[::-1], line=True)
            skipped += 0 if self.moves else len(ids)

    async def _take_rest(self) -> None:
        """Take the jobs that are claimed, stalled, or in no state: maintenance finds those."""

        async def step(cursor: str, count: int) -> tuple[str, int]:
            key = source_key("items", self.source)
            reply = await self.pub.redis.request(("HSCAN", key, cursor, "COUNT", count), TEXT)
            with parsing:
                following, flat = reply
                ids = flat[::2]
            for first in range(0, len(ids), MOST):
                await self._take(ids[first : first + MOST], line=False)
            return following, sum(map(len, flat))

        await scan(step)

    async def _take(self, ids: list[str], line: bool) -> None:
        how = (int(self.moves), int(line))
        command = (*_TAKE.bind(self.name, source=self.source, mark=MARK), *how, *ids)
        reply = await self.pub.redis.call(_TAKE, command, TEXT)
        self.taken += self._number(reply)
        if sys.stderr.isatty():
            say(f"{self.source}: imported {_jobs(self.taken)}", end="\r")

    async def _end(self) -> int:
        """Open the feed; return how many jobs are in the source."""
        command = _END.bind(self.name, instance=self.pub.uuid, source=self.source, mark=MARK)
        return self._number(await self.pub.redis.call(_END, (*command, int(self.moves)), TEXT))

    def _number(self, reply: list[int]) -> int:
        if not reply:
            raise CommandError(
                f"another process has ended the import into {self.name!r}, or deleted that feed"
            )
        return reply[0]
