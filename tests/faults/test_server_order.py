"""Calls keep their order and happen once when the server flushes its scripts or pauses."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.faults.server_case import ServerFaultTestCase
from tests.support.server import turns
from txthoonk.errors import ConnectionLost, NotSent

PAUSE = 60  # milliseconds
LONG = 60_000


class ScriptFlushTests(ServerFaultTestCase):
    """After ``SCRIPT FLUSH``, EVALSHA fails with NOSCRIPT, and the call is sent as EVAL."""

    async def test_before_a_burst(self) -> None:
        """Each call after a flush is executed once, and only the first script call is delayed.

        The whole burst is sent before the first NOSCRIPT arrives. The EVALs follow in the order of
        the calls, so the script calls keep their order. Calls without a script overtake them.
        """
        pub, spy = await self.pub(), await self.spy()
        feed = await pub.feed("x")
        await feed.publish("warm", "warm")
        await spy.messages()
        await self.raw.send("SCRIPT", "FLUSH")
        burst: list[Deferred[Any]] = [feed.publish(f"item {n}", str(n)) for n in range(50)]
        count = pub.redis.send("HLEN", "feed.items:x")
        self.assertEqual([await each for each in burst], [str(n) for n in range(50)])
        self.assertEqual(await count, 1)  # It overtook them, as documented.
        self.assertEqual(await feed.get_ids(), ["warm", *map(str, range(50))])
        told = [message.split(b"\0")[0] for _, message in await spy.messages()]
        self.assertEqual(told, [b"%d" % n for n in range(50)])

    async def test_within_a_burst(self) -> None:
        """With a flush in mid-burst, each call is executed once, but later calls may come first.

        A later call that does not meet the flush may be executed before an earlier one that does.
        The flush costs only the order: no call is lost, repeated or half done.
        """
        pub, spy = await self.pub(), await self.spy()
        feed, ordered = await pub.feed("x"), await pub.sorted_feed("y")
        await feed.publish("warm", "warm")
        await ordered.append("warm")
        await spy.messages()
        burst: list[Deferred[Any]] = [feed.publish(f"item {n}", str(n)) for n in range(20)]
        # Sent on the same connection, so that the flush comes exactly here.
        flushed = pub.redis.send("SCRIPT", "FLUSH")
        burst += [feed.publish(f"item {n}", str(n)) for n in range(20, 40)]
        burst += [ordered.append(f"item {n}") for n in range(20)]
        for call in burst:
            await call
        await flushed
        numbers = [str(n) for n in range(40)]
        self.assertEqual(await feed.get_ids(), ["warm", *numbers])
        items = [item for _, item in await ordered.get_range(1, -1)]
        self.assertEqual(items, [f"item {n}" for n in range(20)])
        told = [(channel, message.split(b"\0")[0]) for channel, message in await spy.messages()]
        published = [id_.decode() for channel, id_ in told if channel == b"feed.publish:x"]
        self.assertEqual(published, numbers)
        self.assertEqual(len(told), 40 + 2 * 20)

    async def test_flush_again_and_again(self) -> None:
        """Each call is executed once and none fails, however often the scripts are flushed."""
        pub = await self.pub()
        queue = await pub.queue("q")
        puts: list[Deferred[Any]] = []
        for n in range(200):
            if n % 10 == 0:
                pub.redis.send("SCRIPT", "FLUSH")
            puts.append(queue.put(str(n)))
        ids = [await put for put in puts]
        self.assertEqual(len(set(ids)), 200)
        self.assertEqual(sorted(await queue.get_ids()), sorted(ids))
        items = [await queue.get() for _ in range(200)]
        self.assertEqual(sorted(items, key=int), [str(n) for n in range(200)])


class PauseTests(ServerFaultTestCase):
    """``CLIENT PAUSE``: the server delays its replies for a while."""

    async def test_order(self) -> None:
        """Calls made during a pause are executed after it, once and in order, with events."""
        thoonk, spy = await self.thoonk(), await self.spy()
        for kind in ("WRITE", "ALL"):
            await self.raw.send("FLUSHALL")
            feed = await thoonk.feed("x")
            await spy.messages()
            async with self.faulty.paused(PAUSE, kind):
                burst = [feed.publish(f"item {n}", str(n)) for n in range(100)]
                last = feed.get_ids()
            self.assertEqual([await each for each in burst], [str(n) for n in range(100)])
            self.assertEqual(await last, [str(n) for n in range(100)])
            told = [message.split(b"\0")[0] for _, message in await spy.messages()]
            self.assertEqual(told, [b"%d" % n for n in range(100)])

    async def test_reads_of_a_write_pause(self) -> None:
        """While writes are paused, the server answers the reads of another connection."""
        thoonk, reader = await self.thoonk(), await self.pub()
        feed = await thoonk.feed("x")
        await feed.publish("one", "1")
        async with self.faulty.paused(LONG, "WRITE"):
            writing = feed.publish("two", "2")
            other = await reader.redis.send("HGET", "feed.items:x", "1")
            self.assertEqual(other, "one")
            self.assertFalse(writing.called)
        self.assertEqual(await writing, "2")

    async def test_reply_timeout(self) -> None:
        """With a ``reply_timeout``, the call fails with an error that says it may have run.

        The server drops the call with its connection, so it is not executed after the pause. The
        service then works again, and calls that waited meanwhile are executed once.
        """
        self.halfway = True
        thoonk = await self.thoonk(reply_timeout=30, health=0)
        spy = await self.spy()
        feed = await thoonk.feed("x")
        await feed.publish("one", "1")
        await spy.messages()
        async with self.faulty.paused(LONG, "WRITE"):
            publishing = feed.publish("two", "2")
            await turns()
            await self.pass_time(50)
            error = await self.fails(publishing, ConnectionLost, "may or may not")
            self.assertNotIsInstance(error, NotSent)
            self.assertEqual(await self.raw.send("HKEYS", "feed.items:x"), [b"1"])
        self.assertEqual(await feed.publish("three", "3"), "3")
        self.assertEqual(await feed.get_ids(), ["1", "3"])
        told = [message for _, message in await spy.messages()]
        self.assertEqual(told, [b"3\x00three"])

    async def test_waiting_get(self) -> None:
        """An item that is put during a pause is delivered to a waiting get once, after it."""
        thoonk, writer = await self.thoonk(), await self.pub()
        queue, putting = await thoonk.queue("q"), await writer.queue("q")
        for kind in ("WRITE", "ALL"):
            get = queue.get()
            await self.blocked(1)
            async with self.faulty.paused(PAUSE, kind):
                put = putting.put(kind)
            await put
            self.assertEqual(await get, kind)
        self.assertEqual(await queue.get_ids(), [])
        await self.until_reply(
            "EXISTS", "feed.items:q", "feed.delivering:q", holds=lambda reply: not reply
        )
