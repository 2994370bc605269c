"""Handlers that fail, and claims that are lost."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import deferLater

from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import HOUR, Calls, Doing, WorkerTestCase
from txthoonk import Retry, Stall
from txthoonk.consumers import _heartbeat
from txthoonk.consumers._heartbeat import renewal_of
from txthoonk.errors import InvalidData, InvalidInput, InvalidItem, InvalidType
from txthoonk.types import Claim, Job
from txthoonk.worker.running._handlers import back_off


class FailureTests(WorkerTestCase):
    async def test_kinds(self) -> None:
        """A failure of any kind of handler is recorded, and the job is tried again later."""

        def plain(claim: Claim) -> None:
            raise ValueError("no way")

        async def coroutine(claim: Claim) -> None:
            await deferLater(reactor, 0)
            raise ValueError("no way")

        handlers: list[tuple[Any, bool]] = [(plain, False), (plain, True), (coroutine, False)]
        handlers.append((lambda claim: fail(ValueError("no way")), False))
        for number, (handler, in_thread) in enumerate(handlers):
            id_ = str(number)
            worker = self.work(handler, in_thread=in_thread, back_off=lambda _: HOUR)
            await self.put(id_)
            record = await self.failure(id_)
            self.assertEqual((record.type, record.message), ("ValueError", "no way"))
            self.assertEqual(record.count, 1)
            self.assertEqual((await self.job.get_ids("delayed"))[-1], id_)
            await worker.stopService()
        self.assertEqual(self.ended, [("x", "failed")] * 4)
        self.assertIn(" in plain", (await self.failure("0")).traceback)

    async def test_stalled(self) -> None:
        """A job that fails max_failures times is stalled; its claim has the number of failures."""
        seen: list[int] = []
        asked: list[int] = []

        def handler(claim: Claim) -> None:
            seen.append(claim.cancelled)
            raise ValueError(len(seen))

        def wait(failures: int) -> float:
            asked.append(failures)
            return 0.001

        self.work(handler, back_off=wait)
        await self.put("a")
        await self.comes_to(0, 0, 1, 0)
        self.assertEqual((seen, asked), ([0, 1, 2], [1, 2, 3]))
        record = await self.failure("a")
        self.assertEqual((record.message, record.count), ("3", 3))
        self.assertEqual(await self.job.get_failures(), [record])

    async def test_others_go_on(self) -> None:
        """A job that waits for its next attempt does not delay other jobs."""
        seen: list[str] = []

        def handler(claim: Claim) -> None:
            seen.append(claim.id)
            if claim.id == "a":
                raise ValueError("no")

        self.work(handler, back_off=lambda _: HOUR)
        await self.put("a", "b")
        await self.comes_to(0, 0, 0, 1)
        self.assertEqual(seen, ["a", "b"])

    async def test_retry(self) -> None:
        """Retry sets the time of the next attempt, and counts as a failure."""
        waits: list[Any] = [Retry(0.02), Retry(0, "wait"), Retry(HOUR)]

        def handler(claim: Claim) -> None:
            raise waits[claim.cancelled]

        self.job = await self.thoonk.job("x", {"max_failures": 9})
        await self.thoonk.set_config("x", {"max_failures": 9})
        spied = await self.spy()
        self.work(handler, back_off=lambda _: HOUR)
        await self.put("a")
        await self.outcomes(3)
        await self.until_reply("ZCARD", "feed.delayed:x")
        record = await self.failure("a")
        self.assertEqual((record.type, record.count), ("Retry", 3))
        self.assertEqual(record.message, "the handler asked for it")
        due = float(await self.raw.send("ZSCORE", "feed.delayed:x", "a")) / 1000
        self.assertTrue(record.time + HOUR - 1 < due <= record.time + HOUR + 1)
        self.assertNotIn((b"feed.stalled:x", b"a"), await spied.messages())

    async def test_retry_without_delay(self) -> None:
        """Retry without a delay uses the back-off; an invalid delay raises in the handler."""
        asked: list[int] = []

        def handler(claim: Claim) -> None:
            raise Retry("soon") if claim.cancelled else Retry()  # type: ignore[arg-type]

        self.work(handler, back_off=lambda failures: asked.append(failures) or 0.001)
        await self.put("a")
        await self.comes_to(0, 0, 1, 0)
        self.assertEqual(asked, [1, 2, 3])
        self.assertEqual((await self.failure("a")).type, "InvalidType")
        self.assertRaises(InvalidInput, Retry, -1)
        self.assertRaises(InvalidType, Retry, "1")

    async def test_stall(self) -> None:
        """Stall ends all attempts at once, with a reason."""

        def handler(claim: Claim) -> None:
            raise Stall("nobody can do this")

        self.work(handler)
        await self.put("a")
        await self.comes_to(0, 0, 1, 0)
        record = await self.failure("a")
        self.assertEqual((record.type, record.message), ("Stall", "nobody can do this"))
        self.assertEqual(self.ended, [("x", "stalled")])

    async def test_exits(self) -> None:
        """SystemExit is a failure of the job in every kind of handler."""

        def plain(claim: Claim) -> None:
            raise SystemExit(3)

        async def coroutine(claim: Claim) -> None:
            await deferLater(reactor, 0)
            raise SystemExit(3)

        for number, (handler, in_thread) in enumerate(
            [(plain, False), (coroutine, False), (plain, True)]
        ):
            worker = self.work(handler, in_thread=in_thread, back_off=lambda _: HOUR)
            await self.put(str(number))
            self.assertEqual((await self.failure(str(number))).type, "SystemExit")
            await worker.stopService()

    async def test_result(self) -> None:
        """A result that the serializer rejects is a failure of the job."""
        results = {"a": 5, "b": object()}
        self.work(lambda claim: results[claim.id], back_off=lambda _: HOUR)
        await self.put("a", "b")
        for id_ in "ab":
            self.assertEqual((await self.failure(id_)).type, "InvalidType")
        self.assertEqual(self.ended, [("x", "failed")] * 2)
        self.assertEqual(self.texts(), [])

    async def test_unsendable(self) -> None:
        """A result that UTF-8 cannot express fails its job; other jobs are finished."""
        self.work(lambda claim: "\ud800" if claim.id == "b" else None, 3, back_off=lambda _: HOUR)
        await self.job.put_many(["item"] * 3, ids=["a", "b", "c"])
        await self.outcomes(3)
        await self.put("d")
        await self.comes_to(0, 0, 0, 3)
        self.assertEqual((await self.failure("b")).type, InvalidData.__name__)

    async def test_odd_errors(self) -> None:
        """Errors that cannot be shown are recorded nevertheless."""

        class OddError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        errors: dict[str, Exception] = {"a": OddError(), "b": ValueError("\0"), "c": KeyError()}

        def handler(claim: Claim) -> None:
            raise errors[claim.id]

        self.work(handler, back_off=lambda _: HOUR)
        await self.put("a", "b", "c")
        types = [(await self.failure(id_)).type for id_ in "abc"]
        self.assertEqual(types, ["OddError", "ValueError", "KeyError"])

    async def test_own_cancellation(self) -> None:
        """A handler that raises CancelledError itself has failed."""

        async def handler(claim: Claim) -> None:
            raise CancelledError

        self.work(handler, back_off=lambda _: HOUR)
        await self.put("a")
        self.assertEqual((await self.failure("a")).type, "CancelledError")


class BackOffTests(WorkerTestCase):
    async def test_bad(self) -> None:
        """A back_off that raises or returns an invalid value is logged; the default applies."""
        bad: list[Any] = [None, "1", -1, float("nan"), True]
        for given in [*bad, ZeroDivisionError()]:

            def wait(failures: int, given: Any = given) -> Any:
                if isinstance(given, Exception):
                    raise given
                return given

            worker = self.work(lambda claim: 1 / 0, back_off=wait)
            id_ = repr(given)
            await self.put(id_)
            record = await self.failure(id_)
            due = float(await self.raw.send("ZSCORE", "feed.delayed:x", id_)) / 1000
            self.assertTrue(0.4 < due - record.time < 1.1)
            await worker.stopService()
            errors = self.flushLoggedErrors(InvalidType, InvalidInput, ZeroDivisionError)
            self.assertEqual(len(errors), 1)
            await self.job.drain(delayed=True)

    def test_default(self) -> None:
        """The default doubles from a second to ten minutes; half of it is random."""
        for failures, longest in ((1, 1), (2, 2), (5, 16), (10, 512), (11, 600), (10**6, 600)):
            waits = [back_off(failures) for _ in range(50)]
            self.assertTrue(longest / 2 <= min(waits) < max(waits) <= longest)


class UnreadableTests(WorkerTestCase):
    CONFIG = {"timeout": 60, "max_failures": 3, "serializer": "json"}

    async def test_repair(self) -> None:
        """An unreadable item is stalled with the reason; edit and retry repair it."""
        await self.job.put_many([1, 2, 3], ids=["a", "b", "c"])
        for id_ in "ac":
            await self.raw.send("HSET", "feed.items:x", id_, "{no json")
        items: list[Any] = []
        self.work(lambda claim: items.append(claim.item))
        await self.comes_to(0, 0, 2, 1)
        record = await self.failure("a")
        self.assertEqual(record.type, InvalidItem.__name__)
        self.assertIn("item 'a' of feed 'x' is not json", record.message)
        self.assertEqual([text.startswith("stalled: ") for text in self.texts()], [True] * 2)
        await self.job.edit("a", 7)
        await self.job.retry("a")
        await self.comes_to(0, 0, 1, 2)
        self.assertEqual(items, [2, 7])

    async def test_waited_for(self) -> None:
        """An unreadable item that arrives in an empty line is stalled."""
        self.work(lambda claim: None)
        await self.blocked()
        await self.raw.send("HSET", "feed.items:x", "a", "{no json")
        await self.raw.send("LPUSH", "feed.ids:x", "a")
        await self.comes_to(0, 0, 1, 0)
        await self.job.put(1)
        await self.comes_to(0, 0, 1, 1)


class LostTests(WorkerTestCase):
    async def lose(self, id_: str) -> None:
        """Let a claim expire, and let another publisher claim the job."""
        await self.rounds()  # its first renewal is over
        await self.raw.send("ZADD", "feed.claimed:x", 1, id_)
        await self.looked()
        other: Job = await (await self.pub()).job("x")
        await other.maintenance()
        self.other = await other.get()
        self.assertEqual(self.other.id, id_)

    async def test_cancelled(self) -> None:
        """A lost claim cancels its handler, and the outcome is dropped."""
        await self.put("a")
        doing = Doing()
        worker = self.work(doing)
        await doing.begun(1)
        await self.lose("a")
        renewal_of(self.thoonk, reactor).renew()
        await until(lambda: not worker.running_jobs)
        self.assertEqual((doing.cancelled, self.ended), (["a"], [("x", "lost")]))
        self.assertIn("the claim on job 'a' of feed 'x' was lost", self.texts()[0])
        self.assertEqual((await self.stats())[1:], (1, 0, 0))
        await self.put("b")
        await doing.begun(2)

    async def test_late(self) -> None:
        """A handler that ends after its claim was lost changes nothing."""
        await self.put("a", "b", "c")
        doing = Doing()
        self.work(doing, 3)
        await doing.begun(3)
        for id_ in "abc":
            await self.lose(id_)
        before = (await self.stats(), await self.value("feed.claims:x"))
        spied = await self.spy()
        doing.end("a", result="late")
        doing.going["b"].errback(ValueError("late"))
        doing.going["c"].errback(Stall("late"))
        await until(lambda: bool(self.texts()))
        await self.thoonk.redis.ping()
        self.assertEqual((await self.stats(), await self.value("feed.claims:x")), before)
        self.assertEqual(await spied.messages(), [])
        self.assertEqual((await self.failure("b")).type, "Timeout")
        await self.other.job.finish(self.other, "done")
        await self.comes_to(0, 2, 0, 1)

    async def test_canceller_raises(self) -> None:
        """An error in the canceller of one handler does not keep others from being cancelled."""
        await self.put("a", "b")
        cancelled: list[str] = []

        def cancel(id_: str) -> None:
            cancelled.append(id_)
            raise ZeroDivisionError

        worker = self.work(lambda claim: Deferred(lambda _: cancel(claim.id)), 2)
        await until(lambda: len(worker.running_jobs) == 2)
        for id_ in "ab":
            await self.lose(id_)
        renewal_of(self.thoonk, reactor).renew()
        await until(lambda: bool(cancelled))
        await self.raw.send("PING")
        self.assertEqual(cancelled, ["a", "b"])
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    async def test_renewed(self) -> None:
        """Claims are renewed while their handlers run, with one call for all feeds."""
        self.patch(_heartbeat, "LONGEST", HOUR)
        jobs = [self.job, await self.thoonk.job("y"), await self.thoonk.job("z")]
        doing = [Doing() for _ in jobs]
        for job, one in zip(jobs, doing, strict=True):
            await job.put_many(["item"] * 3)
            self.work(one, 3, job)
        for one in doing:
            await one.begun(3)
        await self.thoonk.redis.ping()
        for job in jobs:
            for id_ in await job.get_ids("claimed"):
                await self.raw.send("ZADD", job.feed_claimed, 1, id_)
        calls = Calls(self, self.thoonk)
        _heartbeat.renewal_of(self.thoonk, reactor).renew()
        for job in jobs:
            (oldest, *_) = await self.raw.send("ZRANGE", job.feed_claimed, 0, 0)
            await self.until_reply(
                "ZSCORE", job.feed_claimed, oldest, holds=lambda reply: float(reply) != 1
            )
        self.assertEqual(calls.names, ["worker/renew"])
        self.assertEqual([one.cancelled for one in doing], [[], [], []])

    async def test_timeout_learnt(self) -> None:
        """The renewal follows the configured timeout, even when it changes."""
        await self.put("a")
        doing = Doing()
        self.work(doing, maintenance=True)
        await doing.begun(1)
        await self.thoonk.set_config("x", {"timeout": 2})
        spied = await self.spy()
        ((_, claimed),) = await self.value("feed.claimed:x")
        await self.until_reply(
            "ZSCORE",
            "feed.claimed:x",
            "a",  # milliseconds: a claim that is not renewed is over
            holds=lambda reply: float(reply) >= claimed + 2500,
        )
        self.assertEqual((await spied.messages(), doing.cancelled), ([], []))
        self.assertEqual(await self.job.get_ids("claimed"), ["a"])

    async def test_no_timeout(self) -> None:
        """A feed whose claims last for ever causes one warning."""
        await self.thoonk.set_config("x", {"timeout": 0})
        self.work(print)
        await until(lambda: bool(self.texts()))
        renewal_of(self.thoonk, reactor).renew()
        await self.thoonk.redis.ping()
        self.assertEqual(len(self.texts()), 1)
        self.assertIn("feed 'x' has no timeout", self.texts()[0])
