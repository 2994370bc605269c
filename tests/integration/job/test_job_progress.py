"""Progress of jobs: published to subscribers, and stored for callers that ask."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.subscriptions import Heard, SubscriptionTestCase, brief, next_of, take
from tests.support.waiting import until
from txthoonk.errors import FeedDoesNotExist, InvalidItem, JobNotClaimed
from txthoonk.events import Event
from txthoonk.types import Claim, Job, Progress

FAR = Progress(3, 10, "reading")
HOUR = 3600


class ProgressTestCase(SubscriptionTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job: Job = await self.writer.job("x", {"max_failures": 9})

    async def claimed(self, id_: str = "a") -> Claim:
        await self.job.put(f"item {id_}", id_=id_)
        return await self.job.get()


class ProgressTests(ProgressTestCase):
    async def test_read(self) -> None:
        """get_progress fires the last progress; keys of the contract do not change."""
        claim = await self.claimed()
        self.assertIsNone(await self.job.get_progress("a"))
        before, spied = await self.state(), await self.spy()
        for far in (Progress(0), Progress(0.5, 1), Progress(1, None, "ä\0\n"), FAR):
            self.assertIsNone(await claim.progress(*far))
            self.assertEqual(await self.job.get_progress("a"), far)
        stored = json.dumps({"done": 3, "total": 10, "note": "reading"}).encode()
        self.assertEqual(await self.state(), {**before, b"feed.progress:x": {b"a": stored}})
        told = await spied.messages(own=True)
        self.assertEqual((len(told), told[-1]), (4, (b"feed.progress:x", b"a\0" + stored)))

    async def test_over(self) -> None:
        """Progress is removed when its claim ends, in any way."""
        ends: tuple[Any, ...] = (
            lambda claim: self.job.cancel(claim),
            lambda claim: self.job.fail(claim, ValueError("no")),
            lambda claim: self.job.release(claim),
            lambda claim: self.job.fail(claim, ValueError("no"), 0.001),
            lambda claim: self.job.finish(claim),
        )
        claim = await self.claimed()
        for end in ends:
            await claim.progress(1)
            await end(claim)
            self.assertIsNone(await self.job.get_progress("a"))
            self.assertEqual(await self.value("feed.progress:x"), None)
            await self.assertFailure(claim.progress(2), JobNotClaimed)
            if end is not ends[-1]:
                claim = await self.job.get()
        for end in (self.job.stall, self.job.retract):
            claim = await self.claimed("b")
            await claim.progress(1)
            await end("b")
            self.assertEqual(await self.value("feed.progress:x"), None)
            await self.job.retract("b")

    async def test_old_claim(self) -> None:
        """Maintenance removes the progress of a claim that it expires."""
        await self.job.set_config({"timeout": 60})
        claim = await self.claimed()
        await claim.progress(1)
        await self.raw.send("ZADD", "feed.claimed:x", 1, "a")
        await self.looked()
        await self.job.maintenance()
        self.assertEqual(await self.value("feed.progress:x"), None)

    async def test_deleted_feed(self) -> None:
        """Deleting a feed removes the progress of its jobs."""
        claim = await self.claimed()
        await claim.progress(1)
        await self.job.delete_feed()
        await self.assertFailure(claim.progress(2), FeedDoesNotExist)
        self.assertEqual(await self.state(), {})

    async def test_unreadable(self) -> None:
        """get_progress fails for unreadable progress; optional fields may be missing."""
        for text in ("", "x", "[]", "5", "{}", '{"total": 1}'):
            await self.raw.send("HSET", "feed.progress:x", "a", text)
            error = await self.assertFailure(self.job.get_progress("a"), InvalidItem)
            self.assertEqual(error.id, "a")
        await self.raw.send("HSET", "feed.progress:x", "a", '{"done": 5}')
        self.assertEqual(await self.job.get_progress("a"), Progress(5))


class EventTests(ProgressTestCase):
    async def told_progress(self, history: int) -> None:
        job = await self.writer.job("x", {"history": history, "serializer": "json"})
        subscription = await self.thoonk.subscribe("x")
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        await job.put({"n": 1}, id_="a")
        claim = await job.get()
        await claim.progress(*FAR)
        await job.finish(claim, [1])
        events = await take(subscription, 5)
        self.assertEqual(await heard.take(5), events)
        expected = [("put", "a", {"n": 1}), ("claim", "a"), ("progress", "a", FAR),
                    ("finish", "a", [1]), ("finished", "a")]  # fmt: skip
        self.assertEqual([brief(event) for event in events], expected)
        self.assertIsInstance(events[2].item, Progress)
        revisions = [1, 2, 3, 4, 5] if history else [None] * 5
        self.assertEqual([event.revision for event in events], revisions)

    async def test_without_history(self) -> None:
        """A subscriber gets progress as an event whose item is a Progress."""
        await self.told_progress(0)

    async def test_with_history(self) -> None:
        """With a history, a progress event has a revision."""
        await self.told_progress(100)

    async def test_handler(self) -> None:
        """A handler of the progress channel gets the id and JSON."""
        sub = await self.sub()
        heard = await self.record(sub, "feed.progress:x")
        claim = await self.claimed()
        await claim.progress(*FAR)
        ((channel, id_, text),) = await heard.wait(1)
        self.assertEqual((channel, id_), ("feed.progress:x", "a"))
        self.assertEqual(Progress(**json.loads(text)), FAR)

    async def test_bare_subscriber(self) -> None:
        """A subscription of a bare ThoonkSub gets progress events."""
        sub = await self.sub()
        subscription = await sub.subscribe("x")
        claim = await self.claimed()
        await claim.progress(*FAR)
        events = await take(subscription, 3)
        self.assertEqual(brief(events[2]), ("progress", "a", FAR))
        await subscription.stop()

    async def test_pattern(self) -> None:
        """A subscription to a pattern gets progress events."""
        subscription = await self.thoonk.subscribe_pattern("x*")
        claim = await self.claimed()
        await claim.progress(*FAR)
        event = await next_of(subscription, "progress")
        self.assertEqual((event.feed, event.id, event.item), ("x", "a", FAR))

    async def test_unreadable(self) -> None:
        """Unreadable progress that another program publishes is an event with the error."""
        subscription = await self.thoonk.subscribe("x")
        await self.raw.publish("feed.progress:x", "a\0nonsense")
        event = await subscription.next()
        self.assertIsInstance(event.item, InvalidItem)


class HistoryTests(ProgressTestCase):
    async def everything(self) -> None:
        """Do everything that can happen to jobs."""
        job = self.job
        await job.put_many(["1", "2", "3"], ids=["a", "b", "c"])
        first = await job.get()
        await first.progress(1, 2, "half")
        await job.edit("a", "one")
        await job.fail(first, ValueError("no"))
        await job.put("later", id_="d", delay=HOUR)
        await job.edit("d", "later on")
        await job.fail(await job.get(), ValueError("no"), HOUR)
        await self.raw.send("ZADD", "feed.delayed:x", 1, "b", 2, "d")
        await job.maintenance()
        await job.release(await job.get())
        await job.stall(await job.get(), "why")
        await job.retry("c")
        await job.put("late", id_="e", delay=HOUR)
        await job.retract("e")
        await job.finish(await job.get(), "done")
        await job.drain()

    EVENTS = (
        *(("put", "a", "1"), ("put", "b", "2"), ("put", "c", "3"), ("claim", "a")),
        *(("progress", "a", Progress(1, 2, "half")), ("edit", "a", "one"), ("cancel", "a")),
        *(("claim", "b"), ("cancel", "b"), ("retry", "b"), ("put", "d", "later on")),
        *(("claim", "c"), ("retry", "c"), ("claim", "c"), ("stall", "c"), ("retry", "c")),
        *(("retract", "e"), ("claim", "a"), ("finish", "a", "done"), ("finished", "a")),
        *(("retract", "b"), ("retract", "d"), ("retract", "c")),
    )

    async def test_history(self) -> None:
        """Every change has the next revision, in the same order in the history and live."""
        await self.job.set_config({"history": 1000})
        subscription = await self.thoonk.subscribe("x")
        await self.everything()
        events = await take(subscription, len(self.EVENTS))
        told = [brief(event) for event in events]
        self.assertEqual(told[:-3], list(self.EVENTS[:-3]))
        self.assertEqual(set(told[-3:]), set(self.EVENTS[-3:]))  # drain retracts in any order
        self.assertEqual([e.revision for e in events], list(range(1, len(events) + 1)))
        self.assertEqual(await self.job.get_history(), events)
        replayed = await self.thoonk.subscribe("x", since=0)
        self.assertEqual(await take(replayed, len(events)), events)

    async def test_without_history(self) -> None:
        """Without a history, a subscriber gets the contract's events in the same order."""
        subscription = await self.thoonk.subscribe("x")
        await self.everything()
        expected = [event for event in self.EVENTS if event[0] != "retract"]
        events = await take(subscription, len(expected))
        self.assertEqual([brief(event) for event in events], expected)

    async def test_nothing_missed(self) -> None:
        """A subscription that is cut off repeatedly gets every event exactly once."""
        await self.job.set_config({"history": 100_000})
        heard: list[Event] = []
        await self.thoonk.subscribe("x", heard.append, limit=100_000)
        other = Job(await self.pub(), "x")

        async def work(job: Job, name: str) -> None:
            for number in range(30):
                id_ = f"{name} {number}"
                await job.put_many(["item"], ids=[id_])
                claim = await job.get()
                await gatherResults([claim.progress(part, 5) for part in range(5)])
                await job.edit(claim.id, "new")
                await job.finish(claim, "done")

        for round_ in range(3):
            working = gatherResults(
                [
                    Deferred.fromCoroutine(work(job, f"{round_} {name}"))
                    for name, job in (("one", self.job), ("other", other))
                ]
            )
            await self.kill("subscriber")
            await working
        top = await self.job.revision()
        await until(lambda: heard and heard[-1].revision == top)
        self.assertEqual([event.revision for event in heard], list(range(1, top + 1)))
        self.assertEqual(top, 180 * 10)
        self.assertEqual(heard, await self.job.get_history())
