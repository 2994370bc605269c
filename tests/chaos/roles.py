"""Roles lose rights while they work: no event is false, and none is missed.

Users with the rules of docs/security.rst share three feeds with a history: a plain feed, a sorted
feed and a job feed. While they work, a command is taken from the publisher, and one from the
worker, and given back later, again and again. Each follower has a subscription or a mirror.
Whenever all users have their rights, and all earlier events have arrived, each follower must have
what Redis has, unless it received a resync.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import TimeoutError

from tests.support.acl import RARE, rules
from tests.support.waiting import until
from txthoonk import Thoonk
from txthoonk.errors import ThoonkError
from txthoonk.events import Event
from txthoonk.testing import RedisServer, check_feed

ROUNDS = 60
STEPS = 25  # calls of a round
NEVER = {
    *RARE,
    "evalsha",
    "script|load",
    "subscribe",
    "unsubscribe",
    "client|id",
    "client|unblock",
}

Call = Callable[[], Awaitable[Any]]


class Jobs:
    """The jobs that exist, by their events."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.resyncs = 0
        self.marks: set[str] = set()

    def __call__(self, event: Event) -> None:
        if event.kind == "resync":
            self.resyncs += 1
        elif event.kind == "put":
            self.ids.add(str(event.id))
            self.marks.add(str(event.id))
        elif event.kind in ("finished", "retract"):
            self.ids.discard(str(event.id))


class Roles:
    """The clients of each role, and their calls."""

    def __init__(self, reactor: Any, server: RedisServer, chance: random.Random) -> None:
        self._reactor = reactor
        self._server = server
        self._chance = chance
        self._services: list[Thoonk] = []
        self.calls = self.refused = 0
        self.jobs = Jobs()

    async def connect(self, role: str | None = None) -> Thoonk:
        user = {"username": f"news-{role}", "password": "secret"} if role else {}
        thoonk = Thoonk(self._server.url, self._reactor, **user)  # type: ignore[arg-type]
        self._services.append(thoonk)
        return await thoonk.connect()

    async def start(self) -> None:
        self.admin = await self.connect()
        for role, words in rules().items():
            words = [word if word[0] != ">" else ">secret" for word in words]
            await self.admin.redis.send("ACL", "SETUSER", f"news-{role}", *words)
        self.rights = {
            role: [word for word in rules()[role] if word[0] == "+" and word[1:] not in NEVER]
            for role in ("publisher", "worker")
        }
        publisher, worker = await self.connect("publisher"), await self.connect("worker")
        subscriber = await self.connect("subscriber")
        keep = {"history": 100_000}
        self.feed = await publisher.feed("news:f", {"max_length": 10, **keep})
        self.sorted = await publisher.sorted_feed("news:s", keep)
        self.job = await publisher.job("news:j", {"timeout": 600, "max_failures": 2, **keep})
        self.worked = await worker.job("news:j")
        self.mirrors = [await subscriber.mirror(name) for name in ("news:f", "news:s")]
        await subscriber.subscribe("news:j", self.jobs, limit=100_000)

    def call(self) -> Call:
        """Choose a call."""
        some = str(self._chance.randrange(20))
        feed, ordered, job, worked = self.feed, self.sorted, self.job, self.worked
        calls: list[Call] = [
            lambda: feed.publish("x"),
            lambda: feed.publish("x", some),
            lambda: feed.retract(some),
            lambda: ordered.append("x"),
            lambda: ordered.prepend("x"),
            lambda: self.on_place(ordered.move_last),
            lambda: self.on_place(ordered.retract),
            lambda: self.on_place(lambda id_: ordered.edit(id_, "y")),
            lambda: job.put("x"),
            lambda: job.put_many(["x", "y"]),
            lambda: job.drain(),
            lambda: self.on_job(job.retract),
            lambda: self.on_job(job.retry),
            lambda: self.on_claim(worked.finish),
            lambda: self.on_claim(lambda claim: worked.finish(claim, "done", 60)),
            lambda: self.on_claim(worked.cancel),
            lambda: self.on_claim(worked.release),
            lambda: self.on_claim(worked.stall),
            lambda: self.on_claim(lambda claim: worked.fail(claim, ValueError("no"))),
        ]
        return self._chance.choice(calls)

    async def on_place(self, call: Callable[[str], Awaitable[Any]]) -> None:
        ids = await self.admin.redis.send("LRANGE", "feed.ids:news:s", 0, -1)
        if ids:
            await call(self._chance.choice(ids))

    async def on_job(self, call: Callable[[str], Awaitable[Any]]) -> None:
        ids = await self.admin.redis.send("HKEYS", "feed.items:news:j")
        if ids:
            await call(self._chance.choice(sorted(ids)))

    async def on_claim(self, call: Callable[[Any], Awaitable[Any]]) -> None:
        if await self.admin.redis.send("LLEN", "feed.ids:news:j"):
            # A refused get waits, because the rights may come back.
            getting = self.worked.get().addTimeout(0.2, self._reactor)
            await call(await getting)

    async def round(self) -> None:
        """Work while rights are missing, then check what the followers have."""
        taken = [(role, self._chance.choice(rights)) for role, rights in self.rights.items()]
        for role, right in taken:
            await self.admin.redis.send("ACL", "SETUSER", f"news-{role}", f"-{right[1:]}")
        for _ in range(STEPS):
            self.calls += 1
            try:
                await self.call()()
            except (ThoonkError, TimeoutError):
                self.refused += 1
        for role, right in taken:
            await self.admin.redis.send("ACL", "SETUSER", f"news-{role}", right)
        await self.compare(taken)

    async def compare(self, taken: Any) -> None:
        """Compare what the followers have with what Redis has."""
        resyncs = self.jobs.resyncs
        marks = [
            await (await self.admin.feed("news:f")).publish("mark"),
            await (await self.admin.sorted_feed("news:s")).append("mark"),
        ]
        for mirror, mark in zip(self.mirrors, marks, strict=True):
            await until(lambda: mark in mirror)  # noqa: B023
        job = await self.admin.job("news:j")
        mark = await job.put("mark")
        await until(lambda: mark in self.jobs.marks or self.jobs.resyncs != resyncs)
        for mirror, opened in zip(
            self.mirrors,
            (await self.admin.feed("news:f"), await self.admin.sorted_feed("news:s")),
            strict=True,
        ):
            there = await opened.get_all()
            told = list(mirror.items())
            assert told == list(there.items()), (
                f"{opened.name} without {taken}: {told} not {there}"
            )
        ids = set(await job.get_ids())
        if self.jobs.resyncs == self.told_anew:
            assert self.jobs.ids == ids, f"jobs without {taken}: {self.jobs.ids ^ ids}"
        self.told_anew, self.jobs.ids = self.jobs.resyncs, ids
        for name in ("news:f", "news:s", "news:j"):
            wrong = await check_feed(self.admin, name, settled=False)
            assert not wrong, f"{name} without {taken}: {wrong}"

    told_anew = 0

    async def stop(self) -> None:
        for service in self._services:
            await service.close()


async def run(reactor: Any) -> str:
    """Run the scenario."""
    seed = random.randrange(1_000_000)
    async with RedisServer(port=0, reactor=reactor) as server:
        roles = Roles(reactor, server, random.Random(seed))
        await roles.start()
        try:
            for _ in range(ROUNDS):
                await roles.round()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            await roles.stop()
    return (
        f"seed {seed}: {roles.calls} calls, {roles.refused} failed, {ROUNDS} comparisons, "
        f"{roles.jobs.resyncs} resyncs of jobs"
    )
