"""Queues and jobs: items of every serializer, and invalid input."""

from __future__ import annotations

import os
import pickle
from decimal import Decimal
from typing import Any

from tests.support import RedisTestCase
from txthoonk.errors import (
    Empty,
    FeedTypeMismatch,
    InvalidInput,
    InvalidItem,
    InvalidType,
    JobExists,
)
from txthoonk.types import Job, PythonQueue, Queue


class Trap:
    """An object that leaves a trace when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return spring, ()


def spring() -> str:
    Trap.sprung = True
    return "sprung"


class SerializerTests(RedisTestCase):
    async def test_round_trip(self) -> None:
        """Items and results are returned unchanged, with every serializer."""
        pub = await self.pub()
        for serializer, items in (
            ("text", ["", "ä\0b", b"\xff\0".decode("utf-8", "surrogateescape")]),
            ("bytes", [b"", b"\xff\0\r\n"]),
            ("json", [None, False, {"a": [1, "ä\0"]}, ""]),
        ):
            queue = await pub.queue(f"q {serializer}", {"serializer": serializer})
            job = await pub.job(f"j {serializer}", {"serializer": serializer})
            for item in items:
                await queue.put(item)
                self.assertEqual(await queue.get(), item)
                id_ = await job.put(item)
                result = job.get_result(id_)
                self.assertEqual(await job.get(), (id_, item, 0))
                await job.finish(id_, item, 60)
                self.assertEqual(await result, (item, item))
                self.assertEqual(await job.get_result(id_), (item, item))

    async def test_unreadable(self) -> None:
        """An item that the serializer cannot read fails its get, and the error has the item."""
        pub = await self.pub()
        queue = await pub.queue("q", {"serializer": "json"})
        job = await pub.job("j", {"serializer": "json"})
        for name in ("q", "j"):
            await self.raw.send("HSET", f"feed.items:{name}", "bad", "{", "good", "1")
            await self.raw.send("LPUSH", f"feed.ids:{name}", "bad", "good")
        for feed in (queue, job):
            error = await self.assertFailure(feed.get(), InvalidItem)
            self.assertEqual((error.id, error.data), ("bad", b"{"))
            self.assertIn("'bad'", str(error))
        self.assertEqual(await queue.get(), 1)
        await job.stall("bad")
        self.assertEqual(await job.get(), ("good", 1, 0))
        await pub.redis.ping()
        self.assertEqual(await self.value("feed.items:q"), None)


class PythonQueueTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.queue = await self.pub_.pyqueue("q")

    async def test_objects(self) -> None:
        """A PythonQueue returns every object that can be pickled unchanged."""
        for item in (None, Decimal("1.5"), {1: {2}}, b"\xff", [object]):
            await self.queue.put(item, PythonQueue.HIGH)
            self.assertEqual(await self.queue.get(), item)

    async def test_other_pythons(self) -> None:
        """A PythonQueue reads pickles of Python 2, and writes pickles that Python 2 can read."""
        for id_, pickled, item in (
            ("1", b"(dp0\nS'a'\np1\nI1\ns.", {"a": 1}),
            ("2", b"S'\\xc3\\xa4'\np0\n.", "ä"),
            ("3", b"V\\u00e4\np0\n.", "ä"),
        ):
            await self.raw.send("HSET", "feed.items:q", id_, pickled)
            await self.raw.send("LPUSH", "feed.ids:q", id_)
            self.assertEqual(await self.queue.get(), item)
        id_ = await self.queue.put(["ä"])
        stored = (await self.value("feed.items:q"))[id_.encode()]
        self.assertEqual((stored[:2], pickle.loads(stored)), (b"\x80\x02", ["ä"]))  # noqa: S301

    async def test_not_a_pickle(self) -> None:
        """An item that is not a pickle, or that names a missing object, fails its get."""
        broken = (b"", b"x", b"\x80\x02", b"cnothing.here\nat_all\n.", b"cos\nnothing\n.")
        for id_, data in zip("12345", broken, strict=True):
            await self.raw.send("HSET", "feed.items:q", id_, data)
            await self.raw.send("LPUSH", "feed.ids:q", id_)
            error = await self.assertFailure(self.queue.get(), InvalidItem)
            self.assertEqual((error.id, error.data), (id_, data))

    async def test_cannot_be_pickled(self) -> None:
        """An object that cannot be pickled is refused as invalid input."""
        for item in (lambda: None, open(os.devnull)):  # noqa: SIM115
            error = await self.assertFailure(self.queue.put(item), InvalidInput)
            self.assertIn("cannot be pickled", str(error))
        self.assertEqual(await self.queue.length(), 0)

    async def test_nobody_else_unpickles(self) -> None:
        """Only a PythonQueue unpickles items, whatever the configuration says."""
        await self.assertFailure(self.pub_.queue("q"), FeedTypeMismatch)
        for name in ("pickle", "pyqueue"):
            await self.assertFailure(self.pub_.queue("other", {"serializer": name}), InvalidInput)
        await self.raw.send("HSET", "feed.config:q", "serializer", "json")
        await self.queue.put(Trap())
        queue = Queue(self.pub_, "q", "bytes", follow=False)
        self.assertEqual(pickle.dumps(Trap(), 2), await queue.get())
        self.assertFalse(Trap.sprung)
        await self.queue.put(Trap())
        self.assertEqual(await (await self.pub_.pyqueue("q")).get(), "sprung")


class BadInputTests(RedisTestCase):
    async def test_calls(self) -> None:
        """Invalid input fails the call with an error that names the value, and writes nothing."""
        pub = await self.pub()
        queue: Any = await pub.queue("q")
        job: Any = await pub.job("j")
        await job.put("item", id_="a")
        await job.get()
        before = await self.state()
        for call, value, kind in (
            (lambda: queue.put("x", 2), "2", InvalidInput),
            (lambda: queue.put("x", "high"), "'high'", InvalidInput),
            (lambda: queue.put(5), "5", InvalidType),
            (lambda: queue.put(None), "None", InvalidType),
            (lambda: queue.get(-1), "-1", InvalidInput),
            (lambda: queue.get(float("nan")), "nan", InvalidInput),
            (lambda: queue.get(float("inf")), "inf", InvalidInput),
            (lambda: queue.get(True), "True", InvalidType),
            (lambda: queue.get("5"), "'5'", InvalidType),
            (lambda: queue.get(None), "None", InvalidType),
            (lambda: job.put("x", id_="a\0b"), r"'a\x00b'", InvalidInput),
            (lambda: job.put("x", id_=b"a"), "b'a'", InvalidType),
            (lambda: job.put("x", priority=None), "None", InvalidInput),
            (lambda: job.put("x", id_="a"), "'a'", JobExists),
            (lambda: job.get(-0.5), "-0.5", InvalidInput),
            (lambda: job.finish("a", 5), "5", InvalidType),
            (lambda: job.finish("a", None), "None", InvalidType),
            (lambda: job.finish("a", "r", -1), "-1", InvalidInput),
            (lambda: job.finish("a", "r", "5"), "'5'", InvalidType),
            (lambda: job.finish("a", "r", 1e300), "1e+300", InvalidInput),
            (lambda: job.finish("a\0", "r"), r"'a\x00'", InvalidInput),
            (lambda: job.get_result("a\0"), r"'a\x00'", InvalidInput),
            (lambda: job.get_result("a", -1), "-1", InvalidInput),
            (lambda: job.cancel(None), "None", InvalidType),
            (lambda: job.stall("\0"), r"'\x00'", InvalidInput),
            (lambda: job.retry("\0"), r"'\x00'", InvalidInput),
            (lambda: job.renew("\0"), r"'\x00'", InvalidInput),
            (lambda: job.retract("\0"), r"'\x00'", InvalidInput),
            (lambda: job.get_ids("running"), "'running'", InvalidInput),
            (lambda: job.get_failure_count("\0"), r"'\x00'", InvalidInput),
            (lambda: job.set_config({"timeout": "soon"}), "'soon'", InvalidInput),
            (lambda: job.set_config({"timeout": -1}), "-1", InvalidInput),
            (lambda: job.set_config({"timeout": "1_0"}), "'1_0'", InvalidInput),
            (lambda: job.set_config({"timeout": float("nan")}), "'nan'", InvalidInput),
            (lambda: job.set_config({"max_failures": 1.5}), "'1.5'", InvalidInput),
        ):
            error = await self.assertFailure(call(), kind)
            self.assertIn(value, str(error))
        self.assertEqual(await self.state(), before)

    async def test_timeouts(self) -> None:
        """A timeout can be a fraction of a second."""
        pub = await self.pub()
        queue, job = await pub.queue("q"), await pub.job("j", {"timeout": "0.5"})
        await self.assertFailure(queue.get(0.001), Empty)
        await self.assertFailure(job.get(0.001), Empty)
        await job.put("item", id_="a")
        error = await self.assertFailure(job.get_result("a", 0.001), Empty)
        self.assertIn("job 'a' of feed 'j'", str(error))

    async def test_kept_for_a_moment(self) -> None:
        """A result can be kept for a fraction of a second, but at least for one millisecond."""
        job: Job = await (await self.pub()).job("j")
        for seconds, milliseconds in ((0.0001, 1), (1.5, 1500)):
            await job.put("item", id_="a")
            await job.get()
            await job.finish("a", "result", seconds)
            left = await self.raw.send("PTTL", "feed.jobfinished:j\0a")
            self.assertLessEqual(left, milliseconds)
        self.assertEqual(await job.get_result("a"), ("item", "result"))
