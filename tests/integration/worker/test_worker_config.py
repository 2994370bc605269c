"""Which feeds a worker creates: at the start, and when Redis has lost them."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel

from tests.support.waiting import until
from tests.support.worker import WorkerTestCase
from txthoonk.errors import FeedDoesNotExist, FeedTypeMismatch, InvalidInput, InvalidType
from txthoonk.worker import Worker

QUICK: dict[str, Any] = {"timeout": 0.3, "serializer": "json"}  # claims are renewed every 0.1 s


class ConfigTestCase(WorkerTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.items: list[Any] = []

    def named(self, feeds: Any, **options: Any) -> Worker:
        def handler(claim: Any) -> None:
            self.items.append(claim.item)

        return self.work(handler, feeds=feeds, thoonk=self.thoonk, **options)

    async def exists(self, name: str) -> None:
        await self.until_answer(lambda: self.thoonk.feed_exists(name))


class CreateTests(ConfigTestCase):
    async def test_waits(self) -> None:
        """Without a configuration it waits for the feed, says so once, and follows the feed."""
        self.named(["new", "x"])
        await until(lambda: len(self.texts(LogLevel.warn)) > 0)
        await self.put("a")
        await until(lambda: self.items == ["item a"])
        self.assertIs(await self.thoonk.feed_exists("new"), False)
        new = await (await self.pub()).job("new", {"serializer": "json"})
        await new.put({"n": 1})
        await until(lambda: self.items[1:] == [{"n": 1}])
        self.assertEqual(
            self.texts(LogLevel.warn)[:1],
            [
                "feed 'new' does not exist: the worker waits until a program creates it; with "
                "config= or --config, the worker creates it"
            ],
        )

    async def test_stops_while_it_waits(self) -> None:
        """A worker that waits for a feed stops at once."""
        worker = self.named("new")
        await until(lambda: len(self.texts(LogLevel.warn)) > 0)
        await worker.stopService()

    async def test_creates(self) -> None:
        """It creates a missing feed with the configuration, and leaves an existing one alone."""
        self.named(["new", "x"], config={"timeout": 5, "title": "mine"})
        await self.exists("new")
        self.assertEqual(
            await self.thoonk.get_config("new"),
            {"type": "job", "timeout": "5", "max_failures": "10", "title": "mine"},
        )
        self.assertEqual(
            await self.thoonk.get_config("x"),
            {"type": "job", "timeout": "60", "max_failures": "3"},
        )

    async def test_each_its_own(self) -> None:
        """Several feeds can have a configuration each; one without any is waited for."""
        self.named(["a", "b", "c"], config={"a": {"history": 5}, "b": {}})
        await self.exists("a")
        await self.exists("b")
        configs = [await self.thoonk.get_config(name) for name in "ab"]
        self.assertEqual([config.get("history") for config in configs], ["5", None])
        await self.assertFailure(self.thoonk.get_config("c"), FeedDoesNotExist)

    async def test_bad_configurations(self) -> None:
        """A bad configuration is refused when the worker is made."""
        for config, words in (
            ({"timout": 5}, "did you mean 'timeout'"),
            ({"timeout": "soon"}, "must be a number of seconds"),
            ({"type": "queue"}, "feed 'y' is of type 'queue'"),
            ({"max_length": 5}, "is for feeds of type feed"),
            ({"z": {"timeout": 5}}, "feed 'z', which is not a feed of this worker: 'y'"),
            ({"y": {"timeout": 5}, "timeout": 5}, "must be"),
            ("timeout=5", "must be a dict"),
        ):
            bad: Any = config
            error = self.assertRaises(
                (InvalidInput, InvalidType, FeedTypeMismatch),
                Worker,
                "y",
                print,
                thoonk=self.thoonk,
                config=bad,
            )
            self.assertIn(words, str(error))


class VanishedTests(ConfigTestCase):
    async def test_creates_again(self) -> None:
        """A worker that waits for jobs creates its feed again when Redis has lost everything."""
        self.named("new", config=QUICK)
        await self.exists("new")
        await self.raw.send("FLUSHDB")
        await self.exists("new")
        self.assertEqual((await self.thoonk.get_config("new"))["serializer"], "json")
        job = await (await self.pub()).job("new")
        await job.put({"n": 1})
        await until(lambda: self.items == [{"n": 1}])

    async def test_job_object(self) -> None:
        """So does a worker that was given a feed object."""
        job = await self.thoonk.job("new", QUICK)
        self.named(job, config=QUICK)
        await job.put("a")
        await until(lambda: self.items == ["a"])
        await self.raw.send("FLUSHDB")
        await self.exists("new")
        await job.put("b")
        await until(lambda: self.items == ["a", "b"])

    async def test_waits_again(self) -> None:
        """A worker without a configuration waits until another program creates the feed again."""
        job = await self.thoonk.job("new", QUICK)
        self.named("new")
        await job.put("a")
        await until(lambda: self.items == ["a"])
        await self.raw.send("FLUSHDB")
        await until(lambda: any("'new' does not exist" in text for text in self.texts()))
        await self.thoonk.create_feed("new", {"type": "job", **QUICK})
        await job.put("b")
        await until(lambda: self.items == ["a", "b"])


class OtherTypeTests(ConfigTestCase):
    async def test_stops(self) -> None:
        """A feed of another type ends the worker, whatever its other feeds are."""
        await self.thoonk.queue("q")
        for feeds, config in ((["q", "x"], None), ("q", {"timeout": 5})):
            self.logged.clear()
            worker = self.named(feeds, config=config)
            error = await worker.when_failed()
            self.assertIsInstance(error, FeedTypeMismatch)
            self.assertIn("feed 'q' is of type 'queue', not 'job'", str(error))
            self.assertEqual(worker.running, 0)
            (text,) = self.texts(LogLevel.critical)
            self.assertIn("stops: feed 'q' is of type 'queue', not 'job'", text)

    async def test_type_changes(self) -> None:
        """So does one that is deleted and created again as another type."""
        worker = self.named("x")
        await self.put("a")
        await until(lambda: self.items == ["item a"])
        failed = worker.when_failed()
        await self.thoonk.delete_feed("x")
        queue = await self.thoonk.queue("x")
        await queue.put("b")
        self.assertIsInstance(await failed, FeedTypeMismatch)
        self.assertEqual(await queue.get(), "b")
