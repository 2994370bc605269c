"""Queues and jobs: a verb that Redis refuses changes nothing, whatever the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.support import RedisTestCase, pairs
from txthoonk.errors import FeedDoesNotExist, ResponseError, ThoonkError
from txthoonk.types import Job, Queue
from txthoonk.wire._keys import feed_keys, kept_result_key

QUEUE: dict[str, Callable[[Queue], Deferred[Any]]] = {
    "put": lambda queue: queue.put("item"),
    "put high": lambda queue: queue.put("item", queue.HIGH),
    "get": lambda queue: queue.get(),
    "maintenance": lambda queue: queue.maintenance(),
}
JOB: dict[str, Callable[[Job], Deferred[Any]]] = {
    "put": lambda job: job.put("item"),
    "get": lambda job: job.get(),
    "finish": lambda job: job.finish("claimed"),
    "finish with a result": lambda job: job.finish("claimed", "result", 60),
    "cancel": lambda job: job.cancel("claimed"),
    "stall": lambda job: job.stall("claimed"),
    "retry": lambda job: job.retry("stalled"),
    "retract": lambda job: job.retract("available"),
    "retract a claimed one": lambda job: job.retract("claimed"),
    "renew": lambda job: job.renew("claimed"),
    "maintenance": lambda job: job.maintenance(),
}
ADDING = ("put", "put high")


class RefusalTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()

    async def seed(self) -> None:
        """Make a queue and a job feed on which every verb has something to do."""
        await self.raw.flushdb()
        await self.pub_.queue("q")
        await self.pub_.job("j", {"timeout": 60, "max_failures": 3})
        commands = (
            "LPUSH feed.ids:q one",
            "HSET feed.items:q one 1 moved 2 delivering 3 lost 4",
            "SET feed.publishes:q 4",
            "LPUSH feed.transit:q moved",
            "ZADD feed.delivering:q 1 delivering",
            "LPUSH feed.ids:j available",
            "HSET feed.items:j available 1 claimed 2 stalled 3 moved 4 delivering 5 lost 6",
            "SET feed.publishes:j 6",
            "SET feed.finishes:j 9",
            "ZADD feed.published:j 1 available 2 claimed",
            "ZADD feed.claimed:j 2 claimed",
            "HSET feed.cancelled:j claimed 1",
            "SADD feed.stalled:j stalled",
            "LPUSH feed.transit:j moved",
            "ZADD feed.delivering:j 1 delivering",
            "ZADD feed.results:j 1 claimed",
        )
        for command in commands:
            await self.raw.send(*command.split())
        await self.raw.send("RPUSH", kept_result_key("j", "claimed"), "old", "2")
        await self.looked("j")

    async def each(self) -> Any:
        """Yield the name and a call of every verb, each on a fresh state."""
        for name, verb in QUEUE.items():
            await self.seed()
            yield f"queue {name}", lambda verb=verb: verb(Queue(self.pub_, "q"))
        for name, job_verb in JOB.items():
            await self.seed()
            yield f"job {name}", lambda verb=job_verb: verb(Job(self.pub_, "j"))

    async def refused(self, name: str, call: Any, error: type[Exception] = ThoonkError) -> None:
        """Check that a call fails and changes nothing."""
        before = await self.state()
        await self.assertFailure(call(), error)
        self.assertEqual(await self.state(), before, name)


class WrongTypeTests(RefusalTestCase):
    async def test_foreign_keys(self) -> None:
        """A verb fails as a whole if a key that it writes has a foreign type."""
        failed = set()
        for number in range(len(feed_keys("x"))):
            async for name, call in self.each():
                key = feed_keys(name[0])[number]
                if await self.raw.send("TYPE", key) == b"string" or "config" in key:
                    continue
                await self.raw.send("SET", key, "foreign")
                before = await self.state()
                try:
                    await call()
                except ResponseError as error:
                    self.assertIn("WRONGTYPE", f"{error.code} {error}", name)
                    failed.add((name, key.partition(":")[0]))
                    if "maintenance" not in name:  # maintenance takes several steps
                        self.assertEqual(await self.state(), before, (name, key))
                self.assertEqual(await self.value(key), b"foreign", (name, key))
        self.assertGreater(len(failed), 60)
        self.assertIn(("job cancel", "feed.ids"), failed)

    async def test_counters(self) -> None:
        """A counter that is not a number fails the verb that increments it, as a whole."""
        for part in ("publishes", "finishes"):
            async for name, call in self.each():
                verb = name.split()[1]
                if verb == {"publishes": "put", "finishes": "finish"}[part]:
                    await self.raw.send("SET", f"feed.{part}:{name[0]}", "many")
                    await self.refused(name, call, ResponseError)

    async def test_failures_that_are_no_number(self) -> None:
        """A count of failures that is not a number fails cancel as a whole."""
        await self.seed()
        await self.raw.send("HSET", "feed.cancelled:j", "claimed", "many")
        await self.refused("cancel", lambda: Job(self.pub_, "j").cancel("claimed"), ResponseError)


class MissingFeedTests(RefusalTestCase):
    async def test_missing_feed(self) -> None:
        """Every verb on a missing feed fails with FeedDoesNotExist and writes nothing."""
        async for name, call in self.each():
            await self.raw.send("DEL", "feeds", "feed.config:q", "feed.config:j")
            await self.refused(name, call, FeedDoesNotExist)


class ServerTests(RefusalTestCase):
    async def test_channels_refused(self) -> None:
        """A user who may not publish on a job feed's channels cannot change it."""
        user = ("ACL", "SETUSER", "mute", "on", ">secret", "allkeys", "allcommands")
        await self.raw.send(*user, "resetchannels")
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        self.pub_, allowed = await self.pub(username="mute", password="secret"), self.pub_
        for name, verb in JOB.items():
            if name.startswith(("retract", "renew", "maintenance")):
                continue
            self.pub_, mute = allowed, self.pub_
            await self.seed()
            self.pub_ = mute
            await self.refused(name, lambda verb=verb: verb(Job(self.pub_, "j")), ResponseError)

    async def test_no_memory(self) -> None:
        """A server without memory refuses puts; taking, ending and maintenance still work."""
        (_, limit), *_ = pairs(await self.raw.send("CONFIG", "GET", "maxmemory"))
        self.addCleanup(self.raw.send, "CONFIG", "SET", "maxmemory", limit)
        async for name, call in self.each():
            await self.raw.send("CONFIG", "SET", "maxmemory", "1")
            if name.split(" ", 1)[1] in ADDING:
                await self.refused(name, call, ResponseError)
            else:
                before = await self.state()
                await call()
                self.assertNotEqual(await self.state(), before, name)
            await self.raw.send("CONFIG", "SET", "maxmemory", limit)

    async def test_replica(self) -> None:
        """A replica refuses every verb as a whole."""
        async for name, call in self.each():
            await self.raw.send("REPLICAOF", "127.0.0.1", "1")
            try:
                await self.refused(name, call, ResponseError)
            finally:
                await self.raw.send("REPLICAOF", "NO", "ONE")
