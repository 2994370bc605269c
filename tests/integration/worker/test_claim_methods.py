"""Handlers that end their jobs themselves, by the methods of the claim."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import HOUR, Calls, Doing, WorkerTestCase
from txthoonk.consumers._heartbeat import renewal_of
from txthoonk.errors import InvalidInput, InvalidType, JobNotClaimed
from txthoonk.types import Claim, ThreadClaim


class ClaimTests(WorkerTestCase):
    """Outside of a worker."""

    async def test_ends(self) -> None:
        """A claim is finished, failed and released by its methods."""
        await self.put("a", "b", "c")
        result = self.job.wait("a")
        first, second, third = [await self.job.get() for _ in range(3)]
        await first.finish("done")
        self.assertEqual(await result, "done")
        self.assertEqual(await second.fail("no way", delay=HOUR), "delayed")
        record = await self.failure("b")
        self.assertEqual((record.type, record.message), ("Failed", "no way"))
        self.assertTrue(await third.release())
        self.assertEqual(await self.stats(), (1, 0, 0, 1))
        for call in (first.finish, third.finish):
            with self.assertRaises(JobNotClaimed):
                await call()

    async def test_errors(self) -> None:
        """An exception is recorded as such; something else is refused."""
        await self.put("a")
        claim = await self.job.get()
        with self.assertRaisesRegex(InvalidType, "an exception, a Failure or a str: 5"):
            await claim.fail(5)  # type: ignore[arg-type]
        await claim.fail(ValueError("odd"))
        self.assertEqual((await self.failure("a")).type, "ValueError")

    async def test_by_hand(self) -> None:
        """A claim that was made by hand has no feed, and says so; it can be given one."""
        await self.put("a")
        await self.job.get()
        claim = Claim("a", "item", 0)
        self.assertEqual(claim.token, "")
        with self.assertRaisesRegex(InvalidInput, r"Claim\(id='a'.* made by hand.*set its 'job'"):
            claim.progress(1)
        claim.job = self.job
        await claim.finish()
        self.assertEqual(await self.stats(), (0, 0, 0, 1))


class HandlerTests(WorkerTestCase):
    """In a worker."""

    async def test_finish(self) -> None:
        """A handler that finishes its job, and then returns: it is finished once."""
        calls = Calls(self, self.thoonk)

        async def handler(claim: Claim) -> None:
            await claim.finish("mine")

        await self.put("a")
        result = self.job.wait("a")
        self.work(handler)
        self.assertEqual((await result, await self.outcomes(1)), ("mine", ["finished"]))
        await self.rounds()
        self.assertEqual((await self.stats(), self.texts()), ((0, 0, 0, 1), []))
        self.assertGreater(calls.of("job/finish"), 0)

    async def test_goes_on(self) -> None:
        """A handler goes on after it has ended its job: it keeps its slot and is not cancelled."""
        doing = Doing()

        async def handler(claim: Claim) -> str:
            await claim.finish()
            await doing(claim)
            return "too late"

        worker = self.work(handler)
        await self.put("a", "b")
        await doing.begun(1)
        renewal_of(self.thoonk, reactor).renew()
        await self.rounds()
        self.assertEqual((await self.stats(), doing.cancelled), ((1, 0, 0, 1), []))
        self.assertEqual(len(worker.running_jobs), 1)
        doing.end()
        await doing.begun(2)
        doing.end()
        self.assertEqual(await self.outcomes(2), ["finished"] * 2)
        self.assertIn("returned a result after it had ended the job", self.texts()[0])

    async def test_fail_and_release(self) -> None:
        """A handler can fail, stall and release its job."""

        async def handler(claim: Claim) -> None:
            if claim.id == "a":
                await claim.fail("not now", delay=HOUR)
            elif claim.id == "b":
                await claim.job.stall(claim, "never")
            else:
                worker.stopService()
                await claim.release()

        worker = self.work(handler, grace=HOUR)
        await self.put("a", "b", "c")
        self.assertEqual(await self.outcomes(3), ["failed", "stalled", "released"])
        self.assertEqual((await self.failure("a")).count, 1)
        await worker.stopService()
        self.assertEqual(await self.stats(), (1, 0, 1, 0))

    async def test_not_awaited(self) -> None:
        """The worker waits for the answer to a call that the handler does not wait for."""
        gate: Deferred[Any] = Deferred()
        finish = self.job._finishing.finish

        def later(*arguments: Any) -> Deferred[None]:
            return gate.addCallback(lambda _: finish(*arguments))

        self.patch(self.job._finishing, "finish", later)

        def handler(claim: Claim) -> None:
            claim.finish()

        worker = self.work(handler)
        await self.put("a")
        await until(lambda: bool(worker.running_jobs))
        self.assertEqual(self.ended, [])
        gate.callback(None)
        self.assertEqual(await self.outcomes(1), ["finished"])

    async def test_not_possible(self) -> None:
        """If the handler's own call fails, the claim is not ended: how it ends counts."""

        async def handler(claim: Claim) -> str | None:
            if claim.id == "a":
                try:
                    await claim.finish(object())
                except InvalidInput:
                    return "after all"
            await claim.finish(object())
            return None

        await self.put("a", "b")
        result = self.job.wait("a")
        self.work(handler, back_off=lambda _: HOUR)
        self.assertEqual(await result, "after all")
        self.assertEqual((await self.failure("b")).type, "InvalidType")
        self.assertEqual(self.ended, [("x", "finished"), ("x", "failed")])

    async def test_fails_later(self) -> None:
        """An error after the job was finished is logged; the job is not tried again."""

        async def handler(claim: Claim) -> None:
            await claim.finish("done")
            raise ValueError("too late")

        self.work(handler)
        await self.put("a")
        self.assertEqual(await self.outcomes(1), ["finished"])
        await self.rounds()
        self.assertEqual(await self.stats(), (0, 0, 0, 1))
        self.assertIn("failed after it had ended the job", self.texts()[0])
        self.flushLoggedErrors(ValueError)

    async def test_twice(self) -> None:
        """A second end fails and changes nothing: the first one counts."""
        doing = Doing()

        async def handler(claim: Claim) -> Any:
            await claim.finish("mine")
            with self.assertRaises(JobNotClaimed):
                await claim.fail("no")
            self.assertFalse(await claim.release())
            return await doing(claim)

        self.work(handler)
        await self.put("a")
        await doing.begun(1)
        renewal_of(self.thoonk, reactor).renew()
        await self.rounds()
        self.assertEqual(doing.cancelled, [])
        doing.end("a")
        self.assertEqual(await self.outcomes(1), ["finished"])
        self.assertEqual((await self.stats(), self.texts()), ((0, 0, 0, 1), []))

    async def test_twice_at_once(self) -> None:
        """If a handler ends its job in two ways at the same time, the first one counts."""

        async def handler(claim: Claim) -> None:
            claim.fail("no", delay=HOUR)
            claim.finish("mine").addErrback(lambda reason: reason.trap(JobNotClaimed) and None)

        await self.put("a")
        self.work(handler)
        self.assertEqual(await self.outcomes(1), ["failed"])
        self.assertEqual((await self.job.get_ids("delayed"), self.texts()), (["a"], []))

    async def test_in_thread(self) -> None:
        """In a thread the methods block, and the worker finishes the job no second time."""
        threads: list[int] = []

        def handler(claim: ThreadClaim) -> None:
            threads.append(threading.get_ident())
            if claim.id == "a":
                claim.finish("mine")
            else:
                claim.fail("no", delay=HOUR)

        await self.put("a", "b")
        result = self.job.wait("a")
        self.work(handler, in_thread=True)
        self.assertEqual(await result, "mine")
        self.assertEqual(await self.outcomes(2), ["finished", "failed"])
        await self.rounds()
        self.assertEqual((await self.stats(), self.texts()), ((0, 0, 0, 1), []))
        self.assertNotIn(threading.get_ident(), threads)
