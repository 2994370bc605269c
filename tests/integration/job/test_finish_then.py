"""Finishing a job and putting others in one step."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.waiting import until
from tests.support.worker import HOUR, WorkerTestCase
from txthoonk.errors import (
    FeedDoesNotExist,
    FeedTypeMismatch,
    InvalidInput,
    InvalidType,
    JobExists,
    JobNotClaimed,
)
from txthoonk.testing import check_feed
from txthoonk.types import Claim, Job, ThreadClaim


class ThenTests(WorkerTestCase):
    CONFIG = {"timeout": 60, "max_failures": 3, "history": 100}

    async def setUp(self) -> None:
        await super().setUp()
        self.other: Job = await self.thoonk.job("y", {"serializer": "json", "history": 100})
        await self.put("a")

    async def checked(self) -> None:
        """Check both feeds."""
        for name in ("x", "y"):
            self.assertEqual(await check_feed(self.thoonk, name), [])

    async def test_both(self) -> None:
        """The job is finished, and jobs are put into its feed and another, with all options."""
        claim = await self.job.get()
        result = self.job.wait("a")
        await claim.finish(
            "done",
            then=[
                self.job.new("next", id_="b"),
                self.job.new("first", self.job.HIGH, id_="c", max_failures=1),
                self.other.new({"n": 1}, id_="d", expires=60),
                self.other.new({"n": 2}, id_="e", delay=HOUR),
            ],
        )
        self.assertEqual(await result, "done")
        await self.checked()
        self.assertEqual(await self.job.get_ids("available"), ["b", "c"])
        self.assertEqual(await self.other.get_ids("available"), ["d"])
        self.assertEqual(await self.other.get_ids("delayed"), ["e"])
        self.assertEqual(await self.stats(), (2, 0, 0, 1))
        first = await self.job.get()
        assert first.options is not None
        self.assertEqual((first.item, first.options.max_failures), ("first", 1))
        self.assertEqual((await self.other.get()).item, {"n": 1})

    async def test_events(self) -> None:
        """Subscribers see the finish and the new jobs; nothing is missing in the histories."""
        seen: list[tuple[str, str, Any]] = []
        for name in "xy":
            since = await self.thoonk.subscribe(
                name, lambda event: seen.append((event.feed, event.kind, event.id))
            )
            self.addCleanup(since.stop)
        claim = await self.job.get()
        await claim.finish(then=[self.job.new("n", id_="b"), self.other.new(1, id_="c")])
        await until(lambda: len(seen) >= 4)
        self.assertEqual(
            sorted(seen),
            [("x", "claim", "a"), ("x", "finished", "a"), ("x", "put", "b"), ("y", "put", "c")],
        )
        await self.checked()

    async def test_itself(self) -> None:
        """A job can put itself again, for later."""
        claim = await self.job.get()
        again = claim.job.new("again", id_="a", delay=HOUR)
        await claim.finish(then=[again])
        await self.checked()
        self.assertEqual(await self.job.get_ids(), ["a"])
        self.assertEqual((await self.stats(), again.id), ((0, 0, 0, 1), "a"))

    async def test_itself_twice(self) -> None:
        """Two jobs with the id of the finished one are one too many."""
        claim = await self.job.get()
        with self.assertRaisesRegex(JobExists, "already has a job 'a'"):
            await claim.finish(then=[self.job.new(item, id_="a") for item in ("one", "two")])
        self.assertEqual(await self.stats(), (0, 1, 0, 0))
        await self.checked()

    async def test_all_or_nothing(self) -> None:
        """If one of the jobs cannot be put, nothing changes, and the claim stays valid."""
        await self.put("b")
        claim = await self.job.get()
        feed = await self.thoonk.feed("plain")
        gone = Job(self.other.pub, "gone")
        plain = Job(self.other.pub, feed.name)
        before = await self.stats()
        for error, new in (
            (JobExists, self.job.new("n", id_="b")),
            (FeedDoesNotExist, gone.new("n")),
            (FeedTypeMismatch, plain.new("n")),
        ):
            with self.assertRaises(error):
                await claim.finish(then=[self.other.new(1), new])
        self.assertEqual((await self.stats(), await self.other.get_ids()), (before, []))
        await self.checked()
        await claim.finish(then=[self.other.new(1)])
        with self.assertRaises(JobNotClaimed):
            await claim.finish(then=[self.other.new(1)])
        self.assertEqual(await self.other.length(), 1)

    async def test_refused(self) -> None:
        """If Redis refuses a write or a message, nothing changes."""
        claim = await self.job.get()
        new = [self.job.new("n", id_="b"), self.other.new(1, id_="c", max_failures=1)]
        before = await self.state()
        await self.raw.send("CONFIG", "SET", "maxmemory", "1")
        try:
            with self.assertRaisesRegex(Exception, "OOM"):
                await claim.finish("r", then=new)
        finally:
            await self.raw.send("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(await self.state(), before)

    async def state(self) -> dict[Any, Any]:
        """Read all keys."""
        found: dict[Any, Any] = {}
        for key in sorted(await self.raw.send("KEYS", "*")):
            found[key] = await self.raw.send("DUMP", key)
        return found

    async def test_bad(self) -> None:
        """Jobs that cannot be put are refused before anything is written."""
        claim = await self.job.get()
        stranger = await self.service().connect()
        foreign = (await stranger.job("y")).new(1)
        bad: list[tuple[type[Exception], Any]] = [
            (InvalidType, ["next"]),
            (InvalidType, "next"),
            (InvalidType, 5),
            (InvalidType, self.job.new("next")),
            (InvalidInput, [foreign]),
            (InvalidInput, [self.job.new("next")] * 501),
        ]
        for error, then in bad:
            with self.assertRaises(error):
                await claim.finish(then=then)
        with self.assertRaises(InvalidInput):
            self.job.new("next", delay=-1)
        with self.assertRaises(TypeError):
            self.job.new("next", expire=5)  # type: ignore[call-arg]
        self.assertEqual(await self.stats(), (0, 1, 0, 0))

    async def test_handlers(self) -> None:
        """Handlers of workers do both, also in threads."""

        async def handler(claim: Claim) -> None:
            await claim.finish(then=[self.other.new(1)])

        def function(claim: ThreadClaim) -> None:
            claim.finish(then=[self.other.new(2)])

        for number, in_thread in enumerate((False, True)):
            if number:
                await self.put("b")
            worker = self.work(function if in_thread else handler, in_thread=in_thread)
            await self.outcomes(number + 1)
            await worker.stopService()
        self.assertEqual((await self.stats(), await self.other.length()), ((0, 0, 0, 2), 2))
        self.assertEqual(self.texts(), [])
        await self.checked()

    async def test_result_waiter(self) -> None:
        """Another publisher that waits for the result gets it."""
        reader = await self.service().connect()
        waiting: Deferred[Any] = (await reader.job("x")).get_result("a")
        claim = await self.job.get()
        await self.until_answer(lambda: self.raw.send("ZCARD", "feed.results:x"))
        await claim.finish("mine", then=[self.other.new(1)])
        self.assertEqual(await waiting, ("item a", "mine"))
