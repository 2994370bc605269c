"""A call that is too big for the server fails alone, and the connection stays."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import LogLevel

from tests.support import RedisTestCase, server_url
from tests.support.waiting import until
from tests.support.worker import Calls, WorkerTestCase
from txthoonk import Thoonk
from txthoonk.errors import ConnectionLost, InvalidInput, ResponseError, ThoonkError
from txthoonk.types import Claim

LIMIT = 2**20  # bytes: the lowest limit that a server accepts
BIG = 2_000_000


class SizeTestCase(WorkerTestCase):
    """A server with low limits, which its configuration may hide."""

    SETTING = "proto-max-bulk-len"

    async def setUp(self) -> None:
        await super().setUp()
        limit = (await self.raw.send("CONFIG", "GET", self.SETTING))[1]
        self.addCleanup(self.raw.send, "CONFIG", "SET", self.SETTING, limit)
        await self.raw.send("CONFIG", "SET", self.SETTING, LIMIT)
        self.lost: list[str] = []

    def watch(self, thoonk: Thoonk) -> None:
        """Record the connections that are lost from now on."""
        thoonk._state_observers.append(
            lambda state, _: self.lost.append(state) if state == "disconnected" else None
        )

    async def silent(self) -> Thoonk:
        """Create a service whose user may not read the configuration."""
        user = ("reset", "on", ">secret", "allkeys", "allchannels", "+@all", "-config")
        await self.raw.send("ACL", "SETUSER", "silent", *user)
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "silent")
        thoonk = self.service(username="silent", password="secret")
        return await thoonk.connect()

    async def poison(self, thoonk: Thoonk) -> str:
        """Work on jobs, one of which has too big a result; return why that one failed."""
        self.watch(thoonk)
        job = await thoonk.job("x")
        await job.put(str(BIG), id_="big")
        await job.put_many(["10"] * 40)
        worker = self.work(
            lambda claim: "x" * int(claim.item), 5, back_off=lambda _: 3600, feeds=job
        )
        await self.comes_to(0, 0, 0, 40)
        record = await self.failure("big")
        await worker.stopService()
        return f"{record.type}: {record.message}"


class ReadableTests(SizeTestCase):
    """The service can read the server's limits."""

    async def test_each_verb(self) -> None:
        """Every verb with too big an item fails and names both sizes; other calls succeed."""
        self.watch(self.thoonk)
        feed, sorted_ = await self.thoonk.feed("f"), await self.thoonk.sorted_feed("s")
        queue, job = await self.thoonk.queue("q"), self.job
        one = await sorted_.append("x")
        await job.put("x", id_="1")
        await job.put("x", id_="2", delay=1000)
        await job.put("x", id_="held")
        await job.get()
        claim: Claim = await job.get()
        big = "x" * BIG
        before = await self.state()
        calls: list[Any] = [
            lambda: feed.publish(big),
            lambda: feed.publish("x", big),
            lambda: feed.retract(big),
            lambda: feed.has_id(big),
            lambda: feed.get_item(big),
            lambda: sorted_.append(big),
            lambda: sorted_.prepend(big),
            lambda: sorted_.publish_before(one, big),
            lambda: sorted_.edit(one, big),
            lambda: queue.put(big),
            lambda: queue.put_many(["x", big]),
            lambda: job.put(big),
            lambda: job.put(big, delay=1000),
            lambda: job.put_many([big]),
            lambda: job.edit("1", big),
            lambda: job.edit("2", big),
            lambda: job.finish(claim, big),
            lambda: claim.progress(1, 2, big),
            lambda: job.retract(big),
            lambda: self.thoonk.set_config("f", {"title": big}),
            lambda: self.thoonk.create_feed(big),
            lambda: self.thoonk.publish_channel("c", big),
            lambda: self.thoonk.redis.send("SET", "key", big),
            lambda: self.thoonk.redis.send("SET", big, "value"),
            lambda: self.thoonk.redis.set("key", "é" * (BIG // 2)),
        ]
        for number, call in enumerate(calls):
            called = [self.thoonk.redis.send("PING"), call(), self.thoonk.redis.send("PING")]
            error = await self.assertFailure(called[1], InvalidInput)
            self.assertRegex(str(error), r"2,000,\d\d\d bytes.*1,048,576.*proto-max", number)
            self.assertEqual([await called[0], await called[2]], ["PONG", "PONG"])
        self.assertEqual((await self.state(), self.lost), (before, []))
        await job.finish(claim, "x" * (LIMIT - 10))

    async def test_order(self) -> None:
        """Calls that are made while the limits are read are executed in order."""
        big, redis = "x" * BIG, self.thoonk.redis
        calls = [redis.send("RPUSH", "list", "1"), redis.send("RPUSH", "list", big)]
        calls += [redis.send("RPUSH", "list", word) for word in ("2", "y" * LIMIT, big, "3")]
        answers = await gatherResults([call.addErrback(lambda why: why.type) for call in calls])
        self.assertEqual(answers, [1, InvalidInput, 2, 3, InvalidInput, 4])
        kept = await redis.send("LRANGE", "list", 0, -1)
        self.assertEqual([word[0] for word in kept], ["1", "2", "y", "3"])

    async def test_transaction(self) -> None:
        """In a transaction the limits are not read; those read before apply."""
        redis = self.thoonk.redis
        await self.assertFailure(redis.send("SET", "key", "x" * BIG), InvalidInput)
        multi, put, done = redis.multi(), redis.set("key", "x" * BIG), redis.execute()
        await self.assertFailure(put, InvalidInput)
        self.assertEqual((await multi, await done), ("OK", []))

    async def test_bare(self) -> None:
        """A publisher without a service reads the limits, too, even before it has logged in."""
        pub = await self.pub()
        feed = await pub.feed("f")
        await self.assertFailure(feed.publish("x" * BIG), InvalidInput)
        self.assertEqual(await feed.length(), 0)

    async def test_worker(self) -> None:
        """A result that is too big fails its job, without a lost connection; others finish."""
        why = await self.poison(self.thoonk)
        self.assertRegex(why, r"InvalidInput: an? .* of 2,000,000 bytes .*1,048,576")
        self.assertEqual(self.lost, [])

    async def test_repeated(self) -> None:
        """A call that would be repeated is given up if it is too big."""
        queue, big = await self.thoonk.queue("q"), "x" * BIG
        await self.raw.send("CONFIG", "SET", self.SETTING, 2 * BIG)
        await self.raw.send("HSET", "feed.items:q", big, "item")
        await self.raw.send("LPUSH", "feed.ids:q", big)
        await self.raw.send("CONFIG", "SET", self.SETTING, LIMIT)
        calls = Calls(self, self.thoonk)
        self.assertEqual(await queue.get(), "item")
        await until(lambda: bool(self.texts(LogLevel.critical)))
        await self.rounds()
        self.assertEqual((calls.of("queue/delivered"), self.lost), (1, []))
        self.assertFalse(self.thoonk.waiting_room.outages.resting)
        self.assertEqual(len(self.flushLoggedErrors(InvalidInput)), 1)

    async def test_many_arguments(self) -> None:
        """More than a million arguments are sent if the server accepts them."""
        self.watch(self.thoonk)
        sent = self.thoonk.redis.send("DEL", *["key"] * (2**20 + 1))
        if b"redis_version:6." in await self.raw.send("INFO", "server"):
            error = await self.assertFailure(sent, InvalidInput)
            self.assertIn("1,048,578 arguments", str(error))
        else:
            self.assertEqual(await sent, 0)
        self.assertEqual(self.lost, [])


class SilentTests(SizeTestCase):
    """The service cannot read the limits, and the server closes the connection."""

    async def test_call(self) -> None:
        """The call that was too big fails, and later calls of that size are not sent."""
        thoonk = await self.silent()
        self.watch(thoonk)
        feed = await thoonk.feed("f")
        before = feed.publish("x", "1")
        error = await self.assertFailure(feed.publish("x" * BIG), ResponseError)
        self.assertRegex(str(error), "Protocol error.*2,000,000")
        self.assertEqual(await before, "1")
        await until(lambda: bool(self.lost))
        await thoonk.whenConnected()
        for _ in range(3):
            await self.assertFailure(feed.publish("x" * BIG), InvalidInput)
        self.assertEqual(await feed.get_ids(), ["1"])
        self.assertEqual(len(self.lost), 1)

    async def test_neighbours(self) -> None:
        """A call after one that was too big is executed, or fails with ConnectionLost."""
        thoonk = await self.silent()
        feed = await thoonk.feed("f")

        async def outcome(call: Awaitable[Any]) -> str:
            try:
                await call
            except ThoonkError as error:
                return type(error).__name__
            return "done"

        calls: list[Deferred[Any]] = [feed.publish("x" * BIG), feed.publish("y", "1")]
        self.assertEqual(await outcome(calls[0]), "ResponseError")
        self.assertIn(await outcome(calls[1]), ("done", ConnectionLost.__name__))

    async def test_worker(self) -> None:
        """A result that is too big loses one connection, and fails its job."""
        why = await self.poison(await self.silent())
        self.assertRegex(why, "2,000,000 bytes")
        self.assertLessEqual(len(self.lost), 2)


class QueryBufferTests(SizeTestCase):
    """The server closes the connection without an error reply."""

    SETTING = "client-query-buffer-limit"

    async def test_readable(self) -> None:
        """The limit of the query buffer applies if it is lower."""
        error = await self.assertFailure(self.job.put("x" * LIMIT), InvalidInput)
        self.assertIn("1,048,574 (client-query-buffer-limit)", str(error))
        await self.job.put("x" * (LIMIT - 2))

    async def test_worker(self) -> None:
        """A job whose result closes each connection fails; the other jobs finish."""
        why = await self.poison(await self.silent())
        self.assertRegex(why, "ConnectionLost")


class DefaultTests(RedisTestCase):
    async def test_default(self) -> None:
        """Calls of up to a megabyte do not read the limits."""
        thoonk = Thoonk(await server_url())
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        await thoonk.redis.send("SET", "key", "x" * (LIMIT - 2))
        self.assertFalse(thoonk._connections.publisher._link.redis._sizes.asked)  # type: ignore[union-attr]
        await thoonk.redis.send("SET", "key", "x" * LIMIT)
        self.assertEqual(thoonk.redis.limits.word, 2**29)
