"""Time limits of handlers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks

from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import HOUR, Doing, WorkerTestCase
from txthoonk import SoftTimeLimitExceeded, TimeLimitExceeded
from txthoonk.consumers._heartbeat import renewal_of
from txthoonk.errors import InvalidInput, InvalidType, JobNotClaimed
from txthoonk.types import Claim, ThreadClaim
from txthoonk.worker.running import _time_limits

BRIEF = 0.02


class HardLimitTests(WorkerTestCase):
    async def test_hangs(self) -> None:
        """A handler that hangs is cancelled, its job fails with the reason, and others start."""
        doing = Doing()
        worker = self.work(doing, time_limit=BRIEF, back_off=lambda _: HOUR)
        await self.put("a", "b")
        self.assertEqual(await self.outcomes(2), ["failed", "failed"])
        record = await self.failure("b")
        self.assertEqual(record.type, "TimeLimitExceeded")
        self.assertEqual(
            record.message, "the handler ran longer than its time_limit of 0.02 seconds"
        )
        self.assertEqual((doing.cancelled, worker.running_jobs), (["a", "b"], []))
        self.assertEqual(await self.job.get_ids("delayed"), ["a", "b"])

    async def test_ignores_cancellation(self) -> None:
        """A handler that goes on after it was cancelled frees its slot; its result is dropped."""
        going: list[Deferred[str]] = []

        async def handler(claim: Claim) -> str:
            going.append(Deferred())
            while True:
                try:
                    return await going[-1]
                except CancelledError:
                    going.append(Deferred())

        self.patch(_time_limits, "LINGER", 0.0)
        worker = self.work(handler, time_limit=BRIEF, back_off=lambda _: HOUR)
        await self.put("a", "b")
        self.assertEqual(await self.outcomes(2), ["failed", "failed"])
        await until(lambda: len(self.texts()) == 2)
        renewal_of(self.thoonk, reactor).renew()
        for one in going:
            if not one.called:
                one.callback("late")
        await self.rounds()
        self.assertEqual((await self.stats(), worker.running_jobs), ((0, 0, 0, 0), []))
        self.assertEqual(self.ended, [("x", "failed")] * 2)
        self.assertIn("goes on after it was cancelled", self.texts()[0])

    async def test_in_time(self) -> None:
        """A handler that ends in time leaves no timer; one that raises at the end is a failure."""
        doing = Doing()
        self.work(doing, time_limit=HOUR, soft_time_limit=HOUR / 2)
        await self.put("a")
        await doing.begun(1)
        doing.end(result="done")
        await self.comes_to(0, 0, 0, 1)
        self.assertEqual(await self.outcomes(1), ["finished"])

    async def test_max_failures(self) -> None:
        """Going over the limit counts as a failure: at max_failures the job is stalled."""
        self.work(Doing(), time_limit=BRIEF)
        await self.put("a")
        await self.comes_to(0, 0, 1, 0)
        self.assertEqual((await self.failure("a")).count, 3)

    async def test_in_thread(self) -> None:
        """The claim of a function in a thread fails; the thread is lost until it returns."""
        let_go, raised = threading.Event(), []
        self.addCleanup(let_go.set)

        def handler(claim: ThreadClaim) -> str:
            let_go.wait(60)
            try:
                claim.progress(1)
            except JobNotClaimed as error:
                raised.append(error)
            return "late"

        worker = self.work(handler, 2, in_thread=True, time_limit=BRIEF, back_off=lambda _: HOUR)
        await self.put("a", "b")
        await self.put("c", time_limit=HOUR)
        await self.outcomes(2)
        await self.rounds()
        self.assertEqual((worker.lost_threads, await self.stats()), (2, (1, 0, 0, 0)))
        let_go.set()
        await self.comes_to(0, 0, 0, 1)
        await until(lambda: worker.lost_threads == 0)
        self.assertEqual(len(raised), 2)
        self.assertIn("its thread is lost until it returns", self.texts()[0])


class SoftLimitTests(WorkerTestCase):
    async def test_clean_up(self) -> None:
        """A coroutine gets the error where it waits, and can still return a result."""
        seen: list[BaseException] = []

        async def inner() -> None:
            await Deferred()

        async def handler(claim: Claim) -> str:
            try:
                await inner()
            except SoftTimeLimitExceeded as error:
                seen.append(error)
            return "cleaned up"

        await self.put("a")
        result = self.job.wait("a")
        self.work(handler, soft_time_limit=BRIEF)
        self.assertEqual(await result, "cleaned up")
        self.assertEqual(
            str(seen[0]), "the handler ran longer than its soft_time_limit of 0.02 seconds"
        )
        self.assertIsInstance(seen[0], CancelledError)
        self.assertIsInstance(seen[0], TimeLimitExceeded)

    async def test_passes(self) -> None:
        """A handler of any kind that lets the error pass fails, with that error."""

        async def coroutine(claim: Claim) -> None:
            await Deferred()

        @inlineCallbacks
        def callbacks(claim: Claim) -> Any:
            yield Deferred()

        handlers = [coroutine, callbacks, lambda _: Deferred()]
        for number, handler in enumerate(handlers):
            worker = self.work(handler, soft_time_limit=BRIEF, back_off=lambda _: HOUR)
            await self.put(str(number))
            record = await self.failure(str(number))
            self.assertEqual(record.type, "SoftTimeLimitExceeded")
            self.assertIn("soft_time_limit of 0.02 seconds", record.message)
            await worker.stopService()
        self.assertIn("in coroutine", (await self.failure("0")).traceback)

    async def test_ordinary_errors(self) -> None:
        """Results and errors of what a coroutine awaits reach it as without a limit."""
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()

        async def handler(claim: Claim) -> str:
            try:
                await first
            except ValueError as error:
                return f"{error}, {await second}"
            return "no error"

        await self.put("a")
        result = self.job.wait("a")
        self.work(handler, soft_time_limit=HOUR)
        await self.comes_to(0, 1, 0, 0)
        first.errback(ValueError("no"))
        second.callback("yes")
        self.assertEqual(await result, "no, yes")

    async def test_then_hard(self) -> None:
        """If a handler goes on after the soft limit, the hard limit ends it."""
        caught: list[BaseException] = []

        async def handler(claim: Claim) -> None:
            while True:
                try:
                    await Deferred()
                except (CancelledError, asyncio.CancelledError) as error:
                    caught.append(error)
                    if len(caught) == 2:
                        raise

        self.work(handler, soft_time_limit=BRIEF, time_limit=2 * BRIEF, back_off=lambda _: HOUR)
        await self.put("a")
        self.assertEqual(await self.outcomes(1), ["failed"])
        self.assertEqual((await self.failure("a")).type, "TimeLimitExceeded")
        await until(lambda: len(caught) == 2)
        self.assertEqual(
            [type(error).__name__ for error in caught],
            ["SoftTimeLimitExceeded", "CancelledError"],
        )

    async def test_stopped(self) -> None:
        """No limit is left after its worker was stopped, even if the handler goes on."""
        doing = Doing()
        still: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> None:
            try:
                await doing(claim)
            except CancelledError:
                await still

        worker = self.work(handler, 2, time_limit=HOUR, soft_time_limit=HOUR / 2)
        await self.put("a")
        await doing.begun(1)
        await worker.stopService()
        self.assertEqual(await self.stats(), (1, 0, 0, 0))
        soon = reactor.seconds() + HOUR / 4
        self.assertEqual([call for call in reactor.getDelayedCalls() if call.getTime() > soon], [])
        still.callback(None)


class CheckTests(WorkerTestCase):
    async def test_bad(self) -> None:
        """Limits that cannot be used are refused."""
        bad: list[dict[str, Any]] = [
            {"time_limit": 0},
            {"time_limit": -1},
            {"soft_time_limit": float("nan")},
            {"time_limit": 5, "soft_time_limit": 5},
            {"in_thread": True, "soft_time_limit": 5},
        ]
        for options in bad:
            with self.assertRaises(InvalidInput, msg=options):
                self.make(lambda _: None, **options)
        with self.assertRaisesRegex(InvalidType, "time_limit must be a number of seconds"):
            self.make(lambda _: None, time_limit="5")
