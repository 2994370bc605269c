"""Objects follow the serializer of their feed when another program changes it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.support import RedisTestCase
from txthoonk import register_serializer, serializers
from txthoonk.errors import InvalidInput, InvalidItem
from txthoonk.types import Feed, Job, PythonQueue, Queue, SortedFeed


class NewSerializerTests(RedisTestCase):
    """Each test opens a feed, changes its serializer on another connection, and uses the feed."""

    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.other = await self.pub()

    async def changed(self, type_: str, to: str = "json", **config: Any) -> Any:
        feed = await getattr(self.pub_, type_)("x", config)
        await self.other.set_config("x", {"serializer": to})
        return feed

    async def items(self) -> list[bytes]:
        return list((await self.value("feed.items:x") or {}).values())

    async def test_publish(self) -> None:
        """A publish stores the item in the new serializer, and later ones do so at once."""
        feed = await self.changed("feed")
        await feed.publish("a", "1")
        self.assertEqual((feed.serializer, await self.items()), ("json", [b'"a"']))
        await feed.publish({"b": 2}, "2")
        self.assertEqual(await feed.get_all(), {"1": "a", "2": {"b": 2}})

    async def test_edits(self) -> None:
        """So do all other verbs that store items."""
        feed = await self.changed("sorted_feed", serializer="text")
        self.assertEqual(await feed.append("a"), "1")
        await self.other.set_config("x", {"serializer": "text"})
        await feed.edit("1", "b")
        self.assertEqual(await self.items(), [b"b"])
        await self.other.set_config("x", {"serializer": "json"})
        await feed.publish_before("1", "c")
        await self.other.set_config("x", {"serializer": "text"})
        await feed.prepend("d")
        self.assertEqual(sorted(await self.items()), [b'"c"', b"b", b"d"])

    async def test_puts(self) -> None:
        """Queues and jobs store what is put in the new serializer."""
        queue = await self.changed("queue", history=5)
        await queue.put("a")
        await self.other.set_config("x", {"serializer": "text"})
        await queue.put_many(["b", "c"])
        self.assertEqual(sorted(await self.items()), [b'"a"', b"b", b"c"])
        await self.other.delete_feed("x")
        job = await self.changed("job")
        await job.put("a", id_="1")
        await self.other.set_config("x", {"serializer": "text"})
        await job.put("b", id_="2", delay=100)
        self.assertEqual((await self.value("feed.later:x"))[b"2"][1:], b"b")
        await self.other.set_config("x", {"serializer": "json"})
        await job.edit("1", "c")
        await self.other.set_config("x", {"serializer": "text"})
        await job.put_many(["d"], ids=["3"])
        self.assertEqual(await self.value("feed.items:x"), {b"1": b'"c"', b"3": b"d"})

    async def test_order(self) -> None:
        """The calls of one object keep their order, those in flight and those after them."""
        feed = await self.changed("feed")
        ids = [str(number) for number in range(200)]
        calls = [feed.publish(id_, id_) for id_ in ids[:100]]
        calls[0].addCallback(lambda _: calls.extend(feed.publish(id_, id_) for id_ in ids[150:]))
        calls += [feed.publish(id_, id_) for id_ in ids[100:150]]
        await gatherResults(calls)
        await gatherResults(calls)
        self.assertEqual(await feed.get_ids(), ids)
        self.assertEqual(await feed.get_all(), {id_: id_ for id_ in ids})

    async def test_order_of_refused_calls(self) -> None:
        """A call made while the server refuses earlier ones comes after all of them."""
        for type_, verb in (
            ("feed", "publish"),
            ("sorted_feed", "append"),
            ("queue", "put"),
            ("job", "put"),
        ):
            feed = await self.changed(type_, serializer="text")
            store = getattr(feed, verb)
            first = store("a")
            third: Any = self.pub_.redis.ping()
            third.addCallback(lambda _, store=store: store("c"))
            await gatherResults([first, third, store("b")])
            ids = await feed.get_ids()
            stored = await self.value("feed.items:x")
            order = [stored[id_.encode()] for id_ in ids]
            self.assertEqual(sorted(order, reverse=type_ == "queue"), order, type_)
            await self.other.delete_feed("x")

    async def test_order_after_own_change(self) -> None:
        """They also keep it when the object itself changes the serializer."""
        feed = await self.pub_.feed("x")
        changing = feed.set_config({"serializer": "json"})
        calls = [feed.publish("a", "1"), feed.publish("b", "2")]
        changing.addCallback(lambda _: calls.append(feed.publish(["c"], "3")))
        await changing
        await gatherResults(calls)
        stored = await feed.get_all()
        self.assertEqual(list(stored.items()), [("1", "a"), ("2", "b"), ("3", ["c"])])

    async def test_cannot_serialize(self) -> None:
        """An item that the new serializer cannot take fails its call, and no other one."""
        feed = await self.changed("feed", "text", serializer="json")
        good, bad = feed.publish("good", "1"), feed.publish({"bad": 1}, "2")
        error = await self.assertFailure(bad, InvalidInput)
        self.assertIn("must be str or bytes, not {'bad': 1}", str(error))
        await good
        self.assertEqual(await feed.get_all(), {"1": "good"})

    async def test_item_for_the_new_one(self) -> None:
        """An item that only the new serializer takes is stored, in the order of the calls."""
        feed = await self.changed("feed")
        await gatherResults([feed.publish([1], "1"), feed.publish("2", "2")])
        self.assertEqual(list((await feed.get_all()).values()), [[1], "2"])
        await self.other.delete_feed("x")
        sorted_feed = await self.changed("sorted_feed")
        await sorted_feed.append([1])
        await self.assertFailure(sorted_feed.append({2}), InvalidInput)
        await self.other.set_config("x", {"serializer": "bytes"})
        await sorted_feed.edit("1", b"2")
        self.assertEqual(await self.items(), [b"2"])
        await self.other.delete_feed("x")
        job = await self.changed("job")
        await job.put(item=[1])
        self.assertEqual((await job.get()).item, [1])

    async def test_unknown_serializer(self) -> None:
        """A serializer that this program does not have fails the calls with its name."""
        queue = await self.pub_.queue("x")
        await self.raw.send("HSET", "feed.config:x", "serializer", "odd")
        error = await self.assertFailure(queue.put("a"), InvalidInput)
        self.assertIn("feed 'x': unknown serializer 'odd'", str(error))
        self.assertIsNone(await self.value("feed.items:x"))
        await self.raw.send("HSET", "feed.items:x", "1", "data")
        await self.raw.send("LPUSH", "feed.ids:x", "1")
        unread = await self.assertFailure(queue.get(), InvalidItem)
        self.assertEqual((unread.id, unread.data), ("1", b"data"))
        await self.other.set_config("x", {"serializer": "json"})
        await queue.put(["a"])
        self.assertEqual(await queue.get(), ["a"])

    async def test_get(self) -> None:
        """A get reads the item with the serializer of the feed, also if it waited before."""
        for type_ in ("queue", "job"):
            feed = await getattr(self.pub_, type_)("x")
            waiting = feed.get()
            await feed.length()
            putter = await getattr(self.other, type_)("x", {"serializer": "json"})
            await putter.put({"a": 1})
            await putter.put({"b": 2})
            got = [await waiting, await feed.get()]
            items = [claim.item for claim in got] if type_ == "job" else got
            self.assertEqual(items, [{"a": 1}, {"b": 2}])
            await self.other.set_config("x", {"serializer": "text"})
            await putter.put("c")
            last = await feed.get()
            self.assertEqual(last.item if type_ == "job" else last, "c")
            await self.other.delete_feed("x")

    async def test_reads(self) -> None:
        """All verbs that read items read them with the serializer of the feed."""
        reads: Any = (
            lambda feed: feed.get_item("1"),
            lambda feed: feed.get_all(),
            lambda feed: feed.get_range(0, -1),
            lambda feed: feed.get_history(),
            lambda feed: gatherResults([feed.get_item("1") for _ in range(3)]),
        )
        expected = [[1], {"1": [1]}, [("1", [1])], [[1]], [[1]] * 3]
        for type_ in ("feed", "sorted_feed"):
            for read, items in zip(reads, expected, strict=True):
                feed = await self.changed(type_, serializer="text", history=9)
                writer = await getattr(self.other, type_)("x")
                await (writer.publish([1], "1") if type_ == "feed" else writer.publish([1]))
                found = await read(feed)
                if items == [[1]]:
                    found = [event.item for event in found if event.item is not None]
                self.assertEqual(found, items)
                self.assertEqual((feed.serializer, await feed.get_item("1")), ("json", [1]))
                await self.other.set_config("x", {"serializer": "text"})
                self.assertEqual(await feed.get_item("1"), "[1]")
                await self.other.delete_feed("x")
        job = await self.changed("job")
        await (await self.other.job("x")).put([1], id_="1")
        self.assertEqual(await job.get_item("1"), [1])

    async def test_read_of_a_deleted_feed(self) -> None:
        """A feed that does not exist has no items, whatever the serializer was."""
        feed = await self.pub_.feed("x", {"serializer": "json"})
        await self.other.delete_feed("x")
        self.assertEqual((await feed.get_item("1"), await feed.get_all()), (None, {}))

    async def test_finish(self) -> None:
        """A result is kept in the new serializer, and read with it."""
        job = await self.pub_.job("x")
        await job.put("a", id_="1")
        claim = await job.get()
        waiting = job.wait("1")
        await self.other.set_config("x", {"serializer": "json"})
        await job.finish(claim, "done", timeout=100)
        self.assertEqual(await self.value("feed.jobfinished:x\0" + "1"), [b'"done"', b"a"])
        self.assertEqual(await waiting, "done")

    async def test_result_of_another_serializer(self) -> None:
        """A caller that waits for a result learns the serializer that it was made with."""
        job = await self.pub_.job("x", {"serializer": "json"})
        await job.put("a", id_="1")
        waiting = job.wait("1")
        await self.other.set_config("x", {"serializer": "text"})
        other = await self.other.job("x")
        await other.finish(await other.get(), "done")
        self.assertEqual((await waiting, job.serializer), ("done", "text"))

    async def test_finish_and_put(self) -> None:
        """So are jobs that are put with a finish, into this feed and others."""
        job, other = await self.pub_.job("x"), await self.pub_.job("y")
        await job.put("a", id_="1")
        claim = await job.get()
        new = [job.new("b", id_="2"), other.new("c", id_="3"), other.new("d", id_="4", delay=100)]
        await self.other.set_config("x", {"serializer": "json"})
        await self.other.set_config("y", {"serializer": "json"})
        await job.finish(claim, "done", timeout=100, then=new)
        self.assertEqual(await self.value("feed.jobfinished:x\0" + "1"), [b'"done"', b"a"])
        self.assertEqual(await self.items(), [b'"b"'])
        self.assertEqual(await self.value("feed.items:y"), {b"3": b'"c"'})
        self.assertEqual((await self.value("feed.later:y"))[b"4"][1:], b'"d"')

    async def test_finish_that_cannot_be_serialized(self) -> None:
        """A result that the new serializer cannot take fails the call; the job stays claimed."""
        job = await self.pub_.job("x", {"serializer": "json"})
        await job.put("a", id_="1")
        claim = await job.get()
        await self.other.set_config("x", {"serializer": "text"})
        await self.assertFailure(job.finish(claim, ["done"]), InvalidInput)
        await job.finish(claim, "done")
        self.assertEqual(await job.get_ids(), [])

    async def test_objects_that_do_not_follow(self) -> None:
        """follow=False, and a queue of pickles, keep their serializer."""
        await self.pub_.feed("x", {"serializer": "json"})
        raw = Feed(self.pub_, "x", "bytes", follow=False)
        await raw.publish(b"[", "1")
        self.assertEqual((await self.items(), await raw.get_item("1")), ([b"["], b"["))
        pickles = await self.pub_.pyqueue("p")
        await self.raw.send("HSET", "feed.config:p", "serializer", "json")
        await pickles.put((1, 2))
        self.assertEqual(await pickles.get(), (1, 2))
        self.assertIsInstance(pickles, PythonQueue)

    async def test_custom_serializer(self) -> None:
        """A registered serializer is followed like those of txthoonk."""

        class Hex:
            binary = False

            def dumps(self, item: bytes) -> str:
                return item.hex()

            def loads(self, data: str) -> bytes:
                return bytes.fromhex(data)

        register_serializer("hex", Hex())
        self.addCleanup(serializers._registry.pop, "hex")
        queue = await self.changed("queue", "hex", serializer="bytes")
        await queue.put(b"\xff")
        self.assertEqual((await self.items(), await queue.get()), ([b"ff"], b"\xff"))

    async def test_by_hand(self) -> None:
        """Objects that are made by hand learn the serializer as well."""
        types: dict[str, Any] = {
            "feed": Feed,
            "sorted_feed": SortedFeed,
            "queue": Queue,
            "job": Job,
        }
        for type_, cls in types.items():
            await getattr(self.other, type_)("x", {"serializer": "json"})
            await cls(self.pub_, "x").publish("a")
            self.assertEqual(await self.items(), [b'"a"'])
            await self.other.delete_feed("x")
