"""The ``thoonk`` command on sorted feeds, queues and jobs."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.support.cli import CommandTestCase


class SortedFeedCommandTests(CommandTestCase):
    async def test_publishAndEdit(self) -> None:
        """``publish`` appends to a sorted feed, or edits the item with the given id."""
        await self.thoonk("create", "todo", "type=sorted_feed")
        self.assertEqual(await self.thoonk("publish", "todo", "one"), (0, "1\n", ""))
        self.assertEqual(await self.thoonk("publish", "todo", "two"), (0, "2\n", ""))
        self.assertEqual(
            await self.thoonk("publish", "todo", "first", "--id", "1"), (0, "1\n", "")
        )
        self.assertEqual(await self.thoonk("items", "todo"), (0, "1\tfirst\n2\ttwo\n", ""))
        self.assertEqual(await self.thoonk("item", "todo", "2"), (0, "two\n", ""))
        self.assertEqual(await self.thoonk("retract", "todo", "1"), (0, "", ""))
        self.assertEqual(await self.thoonk("items", "todo", "--json"), (0, SECOND, ""))

    async def test_editWhatIsNotThere(self) -> None:
        """``publish`` fails if the sorted feed has no item with the given id."""
        await self.thoonk("create", "todo", "type=sorted_feed")
        status, out, err = await self.thoonk("publish", "todo", "one", "--id", "7")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("'7'", err)

    async def test_places(self) -> None:
        """``append``, ``prepend``, ``insert`` and ``move`` place items; ``edit`` replaces one."""
        await self.thoonk("create", "todo", "type=sorted_feed", "serializer=json")
        for words in (
            ("append", "todo", '"1"'),
            ("prepend", "todo", '"2"'),
            ("insert", "todo", '"3"', "--after", "2"),
            ("insert", "todo", '"4"', "--before", "2"),
        ):
            self.assertEqual(await self.thoonk(*words), (0, f"{words[2][1]}\n", ""))
        todo = await self.publisher.sorted_feed("todo")
        self.assertEqual(await todo.get_ids(), list("4231"))
        for place, order in (
            (("--first",), "1423"),
            (("--last",), "4231"),
            (("--before", "2"), "4123"),
            (("--after", "3"), "4231"),
        ):
            self.assertEqual(await self.thoonk("move", "todo", "1", *place), (0, "", ""))
            self.assertEqual(await todo.get_ids(), list(order))
        self.assertEqual(await self.thoonk("edit", "todo", "1", '"new"'), (0, "", ""))
        self.assertEqual(await todo.get_item("1"), "new")

    async def test_noPlace(self) -> None:
        """A missing or second place, and an item that does not exist, are errors."""
        await self.thoonk("create", "todo", "type=sorted_feed")
        await self.publisher.feed("news")
        for words, text in [
            (("insert", "todo", "x"), "give one of --before and --after"),
            (("insert", "todo", "x", "--before", "1", "--after", "2"), "give one of --before"),
            (("insert", "todo", "x", "--before", "7"), "'7'"),
            (("move", "todo", "1"), "give one of --before, --after, --first and --last"),
            (("move", "todo", "1", "--first", "--last"), "give one of --before"),
            (("move", "todo", "7", "--first"), "'7'"),
            (("edit", "todo", "7", "x"), "'7'"),
            (("append", "news", "x"), "not sorted_feed"),
            (("edit", "news", "1", "x"), "'thoonk publish --id'"),
        ]:
            status, out, err = await self.thoonk(*words)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))
            self.assertIn(text, err)


SECOND = '{"id": "2", "item": "two"}\n'


class QueueCommandTests(CommandTestCase):
    async def test_putAndGet(self) -> None:
        """``get`` takes items in the order they were put, with those of high priority first."""
        await self.thoonk("create", "q", "type=queue")
        for words in (("one",), ("two",), ("high", "--high")):
            status, out, err = await self.thoonk("put", "q", *words)
            self.assertEqual((status, len(out), err), (0, 33, ""))
        self.assertEqual(await self.thoonk("get", "q"), (0, "high\n", ""))
        self.assertEqual(await self.thoonk("get", "q", "--json"), (0, '{"item": "one"}\n', ""))
        self.assertEqual(await self.thoonk("get", "q", "--timeout", "5"), (0, "two\n", ""))

    async def test_nothingToGet(self) -> None:
        """``get`` reports an error if nothing arrived in time."""
        await self.thoonk("create", "q", "type=queue")
        status, out, err = await self.thoonk("get", "q", "--timeout", "0.01")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("'q' had nothing to get for 0.01 seconds", err)

    async def test_getWaits(self) -> None:
        """``get`` waits for an item; Ctrl-C ends it without taking one."""
        queue = await self.publisher.queue("q")
        one, two = self.child("get", "q"), self.child("get", "q")
        await self.blocked(2)
        one.transport.signalProcess(signal.SIGINT)
        self.assertEqual(await one.ended, 130)
        await queue.put("it")
        self.assertEqual((await two.ended, two.out), (0, "it\n"))
        self.assertEqual(await self.state(), {**await self.registry(), COUNT: b"1"})

    async def registry(self) -> dict[bytes, Any]:
        keys = (b"feeds", b"feed.config:q")
        return {key: await self.value(key) for key in keys}

    async def test_putLines(self) -> None:
        """``put`` takes the lines of standard input."""
        queue = await self.publisher.queue("q", {"serializer": "json"})
        child = self.child("put", "q")
        child.transport.write(b'{"a": 1}\n[2]\n')
        child.transport.closeStdin()
        self.assertEqual(await child.ended, 0)
        self.assertIn("put 2 items in", child.err)
        self.assertEqual([await queue.get(), await queue.get()], [{"a": 1}, [2]])

    async def test_otherTypes(self) -> None:
        """``put`` and ``get`` refuse a feed of another type, and name the type."""
        await self.publisher.feed("news")
        await self.publisher.pyqueue("pickles")
        for feed, type_ in (("news", "feed"), ("pickles", "pyqueue")):
            for words in (("put", feed, "x"), ("get", feed)):
                status, out, err = await self.thoonk(*words)
                self.assertEqual((status, out), (1, ""))
                self.assertIn(f"{feed!r} is of type {type_!r}, not queue or job", err)
        status, _, err = await self.thoonk("put", "missing", "x")
        self.assertEqual(status, 1)
        self.assertIn("does not exist", err)

    async def test_idOfAQueue(self) -> None:
        """``--id`` is refused for queues and for input lines."""
        await self.publisher.queue("q")
        await self.publisher.job("j")
        for words in (("put", "q", "x", "--id", "1"), ("put", "j", "--id", "1")):
            status, out, err = await self.thoonk(*words)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("--id", err)

    async def test_options(self) -> None:
        """``put`` gives a job options of its own, and refuses them for a queue."""
        job = await self.publisher.job("j")
        await self.publisher.queue("q")
        words = ("--expires", "60", "--max-failures", "2", "--time-limit", "5")
        self.assertEqual((await self.thoonk("put", "j", "x", *words))[0], 0)
        options = (await job.get()).options
        assert options is not None
        self.assertEqual((options.max_failures, options.time_limit), (2, 5))
        status, out, err = await self.thoonk("put", "q", "x", "--expires", "60")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("feed 'q' is a queue: --expires go with jobs", err)
        status, _, err = await self.thoonk("put", "j", "x", "--max-failures", "-1")
        self.assertEqual(status, 1)
        self.assertIn("max_failures must be from 0 to", err)


class JobCommandTests(CommandTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job = await self.publisher.job("j")

    async def test_life(self) -> None:
        """The commands put, claim and finish a job, and print its result."""
        self.assertEqual(await self.thoonk("put", "j", "work", "--id", "a"), (0, "a\n", ""))
        self.assertEqual(await self.thoonk("get", "j"), (0, "a\twork\n", ""))
        self.assertEqual(await self.thoonk("finish", "j", "a", "done", "--keep", "9"), (0, "", ""))
        self.assertEqual(await self.thoonk("result", "j", "a"), (0, "done\n", ""))
        _, out, _ = await self.thoonk("result", "j", "a", "--json")
        self.assertEqual(json.loads(out), {"id": "a", "item": "work", "result": "done"})

    async def test_resultWaits(self) -> None:
        """``result`` waits until the job is finished."""
        await self.job.put("work", id_="a")
        child = self.child("result", "j", "a")
        await self.numsub("feed.finishes:j", 1)
        await self.thoonk("get", "j", "--json")
        await self.thoonk("finish", "j", "a", "done")
        self.assertEqual((await child.ended, child.out, child.err), (0, "done\n", ""))

    async def test_states(self) -> None:
        """``cancel``, ``stall`` and ``retry`` take ids; ``jobs`` shows counts and ids by state."""
        for id_ in "abcd":
            await self.job.put("work", id_=id_)
            await self.job.get()
        self.assertEqual(await self.thoonk("cancel", "j", "a", "b"), (0, "", ""))
        self.assertEqual(await self.thoonk("stall", "j", "c"), (0, "", ""))
        expected = (
            "available 2\nclaimed   1\nstalled   1\ndelayed   0\npublishes 4\nfinishes  0\n"
            "available\tb\navailable\ta\nclaimed\td\nstalled\tc\n"
        )
        self.assertEqual(await self.thoonk("jobs", "j"), (0, expected, ""))
        self.assertEqual(await self.thoonk("retry", "j", "c"), (0, "", ""))
        self.assertEqual(await self.thoonk("retract", "j", "a"), (0, "", ""))
        _, out, _ = await self.thoonk("jobs", "j", "--json")
        ids = {"available": ["c", "b"], "claimed": ["d"], "stalled": [], "delayed": []}
        counts = {"available": 2, "claimed": 1, "stalled": 0, "delayed": 0}
        counts |= {"publishes": 4, "finishes": 0}
        self.assertEqual(json.loads(out), {**counts, "ids": ids})
        self.assertEqual(await self.thoonk("item", "j", "d"), (0, "work\n", ""))

    async def test_wrongState(self) -> None:
        """A command on several ids reports each one that fails, and processes the others."""
        await self.job.put("work", id_="a")
        await self.job.get()
        status, out, err = await self.thoonk("cancel", "j", "x", "a", "y")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("'x' of feed 'j' is not claimed", err)
        self.assertIn("'y' of feed 'j' is not claimed", err)
        self.assertEqual(await self.job.get_ids("available"), ["a"])
        status, _, err = await self.thoonk("retry", "j", "a")
        self.assertEqual((status, "is not stalled" in err), (1, True))
        status, _, err = await self.thoonk("finish", "j", "a", "--keep", "1")
        self.assertEqual((status, "RESULT" in err), (1, True))

    async def test_maintain(self) -> None:
        """``maintain`` repairs the named feeds, or all feeds."""
        await self.publisher.feed("news")
        await self.publisher.queue("q")
        await self.raw.hset("feed.items:q", "lost", "x")
        lines = "j: nothing to do\nq: dated 1\n"
        self.assertEqual(await self.thoonk("maintain"), (0, lines, ""))
        await self.raw.send("ZADD", "feed.delivering:q", 1, "lost")
        _, out, _ = await self.thoonk("maintain", "q", "--json")
        counts = {"dated": 0, "restored": 1, "dropped": 0}
        self.assertEqual(json.loads(out), {"feed": "q", **counts})
        self.assertEqual(await self.value("feed.ids:q"), [b"lost"])
        status, _, err = await self.thoonk("maintain", "news")
        self.assertEqual((status, "needs no maintenance" in err), (1, True))

    async def test_maintain_goes_on(self) -> None:
        """``maintain`` reports the feeds that it cannot repair, and repairs the others."""
        await self.publisher.queue("q")
        await self.raw.send("SADD", "feeds", "a", "b")
        await self.raw.send("SET", "feed.config:a", '{"type": "job"}')
        await self.raw.send("HSET", "feed.config:b", "type", "queue")
        await self.raw.send("SET", "feed.ids:b", "foreign")
        for named in ((), ("a", "b", "j", "q")):
            status, out, err = await self.thoonk("maintain", *named)
            self.assertEqual((status, out), (1, "j: nothing to do\nq: nothing to do\n"))
            first, second, last = err.splitlines()
            self.assertIn("feed.config:a", first)
            # Redis 6.2 puts the script's name before it.
            self.assertRegex(second, "^thoonk: b: .*WRONGTYPE ")
            self.assertEqual(last, "thoonk: 2 of 4 feeds could not be maintained")

    async def test_watch(self) -> None:
        """``watch`` prints every event of a job."""
        child = self.child("watch", "j", "--json")
        await child.seen("watching")
        await self.job.put("work", id_="a")
        await self.job.get()
        await self.job.cancel("a")
        await self.job.get()
        await self.job.stall("a")
        await self.job.retry("a")
        await self.job.get()
        await self.job.finish("a", "done")
        await child.seen('"finished"')
        child.transport.signalProcess(signal.SIGINT)
        self.assertEqual(await child.ended, 0)
        events = [json.loads(line) for line in child.out.splitlines()]
        kinds = [
            "put",
            "claim",
            "cancel",
            "claim",
            "stall",
            "retry",
            "claim",
            "finish",
            "finished",
        ]
        self.assertEqual([event["kind"] for event in events], kinds)
        self.assertEqual({event["id"] for event in events}, {"a"})
        self.assertEqual((events[0]["item"], events[7]["item"]), ("work", "done"))


COUNT = b"feed.publishes:q"
