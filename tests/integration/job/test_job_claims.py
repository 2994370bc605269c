"""Claim tokens: a lost claim cannot change the job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support import RedisTestCase
from tests.support.patience_cases import CutTestCase
from txthoonk.errors import JobNotClaimed
from txthoonk.types import Claim, Job

reactor: Any = installed_reactor
ERROR = ValueError("no")

VERBS: dict[str, Callable[[Job, Any], Deferred[Any]]] = {
    "finish": lambda job, claim: job.finish(claim),
    "finish with a result": lambda job, claim: job.finish(claim, "late", 60),
    "cancel": lambda job, claim: job.cancel(claim),
    "stall": lambda job, claim: job.stall(claim, "why"),
    "fail": lambda job, claim: job.fail(claim, ERROR),
    "fail later": lambda job, claim: job.fail(claim, ERROR, 60),
    "renew": lambda job, claim: job.renew(claim),
}


class ClaimTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job: Job = await (await self.pub()).job("x", {"timeout": 60, "history": 100})
        self.other = Job(await self.pub(), "x")
        self.spied = await self.spy()

    async def claimed(self) -> Claim:
        await self.job.put("item", id_="a")
        return await self.job.get()

    async def time_out(self) -> None:
        """Make the claim expire."""
        await self.raw.send("ZADD", "feed.claimed:x", 1, "a")
        await self.looked()
        self.assertEqual((await self.job.maintenance())["cancelled"], 1)

    async def nothing_changes(self, what: str, *calls: Callable[[], Deferred[Any]]) -> None:
        """Check that each call fails with JobNotClaimed, changes nothing and publishes nothing."""
        before = await self.state()
        await self.spied.messages(own=True)
        for call in calls:
            error = await self.assertFailure(call(), JobNotClaimed)
            self.assertIn("'a'", str(error))
            self.assertEqual(await self.state(), before, what)
            self.assertEqual(await self.spied.messages(own=True), [], what)


class TokenTests(ClaimTestCase):
    async def test_token(self) -> None:
        """A claim has its own token: the publisher's UUID and the time of the claim."""
        claim = await self.claimed()
        time = (await self.value("feed.claimed:x"))[0][1]
        owner, _, since = claim.token.rpartition(":")
        self.assertEqual((owner, float(since)), (self.job.pub.uuid, time))
        entry = f"{claim.token} {since}".encode()
        self.assertEqual(await self.value("feed.claims:x"), {b"a": entry})
        self.assertEqual(tuple(claim), ("a", "item", 0))
        self.assertEqual((claim.id, claim.item, claim.cancelled), ("a", "item", 0))

    async def test_nothing_is_left(self) -> None:
        """Ending a claim in any way removes every trace of it."""
        for name, verb in VERBS.items():
            if name == "renew":
                continue
            claim = await self.claimed()
            await claim.progress(1)
            await verb(self.job, claim)
            for key in ("claims", "claimed", "progress"):
                self.assertEqual(await self.value(f"feed.{key}:x"), None, (name, key))
            await self.job.retract("a")

    async def test_retracted(self) -> None:
        """Retracting a claimed job removes its claim, and every verb fails for that claim."""
        claim = await self.claimed()
        await self.other.retract("a")
        self.assertEqual(await self.value("feed.claims:x"), None)
        for verb in VERBS.values():
            await self.nothing_changes("retracted", partial(verb, self.job, claim))

    async def test_renewed(self) -> None:
        """Renewing a claim keeps its token, even when another publisher renews it."""
        claim = await self.claimed()
        for renewed in (self.job.renew(claim), self.job.renew("a"), self.other.renew("a")):
            await renewed
            ((_, time),) = await self.value("feed.claimed:x")
            entry = (await self.value("feed.claims:x"))[b"a"].decode().split()
            self.assertEqual((entry[0], float(entry[1])), (claim.token, time))
        await self.job.finish(claim)


class LateTests(ClaimTestCase):
    async def test_claimed_by_another(self) -> None:
        """A claim that expired and was replaced by another publisher's can do nothing."""
        for name, verb in VERBS.items():
            late = await self.claimed()
            await self.time_out()
            theirs = await self.other.get()
            await theirs.progress(1, note="theirs")
            await self.nothing_changes(
                name,
                partial(verb, self.job, late),
                partial(late.progress, 2),
            )
            self.assertFalse(await self.job.release(late))
            await self.other.finish(theirs, "theirs")
            await self.nothing_changes(name, partial(verb, self.job, late))

    async def test_by_id(self) -> None:
        """A job's id stands for the last claim that this publisher got."""
        for name, verb in VERBS.items():
            await self.claimed()
            await self.time_out()
            theirs = await self.other.get()
            await self.nothing_changes(name, partial(verb, self.job, "a"))
            await self.other.finish(theirs)

    async def test_claimed_again_by_the_same(self) -> None:
        """An expired claim can do nothing after its publisher claims the job again."""
        for name, verb in VERBS.items():
            late = await self.claimed()
            await self.time_out()
            again = await self.job.get()
            self.assertNotEqual(again.token, late.token)
            await self.nothing_changes(name, partial(verb, self.job, late))
            await self.job.finish("a")
            self.assertEqual(await self.job.get_ids(), [])

    async def test_available_again(self) -> None:
        """An expired claim can do nothing while its job is available."""
        late = await self.claimed()
        await self.time_out()
        for name, verb in VERBS.items():
            await self.nothing_changes(name, partial(verb, self.job, late))
        self.assertEqual((await self.other.get()).cancelled, 1)

    async def test_put_again(self) -> None:
        """A claim of a finished job is not valid for a later job with the same id."""
        late = await self.claimed()
        await self.other.finish("a")
        await self.job.put("item", id_="a")
        await self.other.get()
        for name, verb in VERBS.items():
            await self.nothing_changes(name, partial(verb, self.job, late))

    async def test_same_call(self) -> None:
        """When a claim is finished twice at once, one call succeeds and the other fails."""
        claim = await self.claimed()
        outcomes = await gatherResults(
            [
                self.job.finish(claim, "done").addErrback(lambda reason: reason.value)  # type: ignore[call-overload]
                for _ in range(2)
            ]
        )
        self.assertIsNone(outcomes[0])
        self.assertIsInstance(outcomes[1], JobNotClaimed)
        self.assertEqual((await self.job.stats())["finishes"], 1)


class ForeignTests(ClaimTestCase):
    async def claim_as_others(self, job_id: str = "a") -> None:
        """Claim a job as thoonk.py does."""
        taken = await self.raw.send("RPOP", "feed.ids:x")
        self.assertEqual(taken, job_id.encode())
        seconds, microseconds = await self.raw.send("TIME")
        now = int(seconds) * 1000 + int(microseconds) // 1000 + 1
        await self.raw.send("ZADD", "feed.claimed:x", now, job_id)

    async def test_by_id(self) -> None:
        """A claim of another implementation can be ended by the job's id."""
        for name, verb in VERBS.items():
            await self.job.put("item", id_="a")
            await self.claim_as_others()
            await verb(self.job, "a")
            if name == "renew":
                self.assertEqual(await self.value("feed.claims:x"), None)
            await self.job.retract("a")

    async def test_taken_from_us(self) -> None:
        """Our claim is lost once another implementation, which knows no tokens, claims the job."""
        for name, verb in VERBS.items():
            late = await self.claimed()
            # The other implementation cancels the old claim and claims the job again.
            await self.raw.send("ZREM", "feed.claimed:x", "a")
            await self.raw.send("LPUSH", "feed.ids:x", "a")
            await self.claim_as_others()
            await self.nothing_changes(name, partial(verb, self.job, late))
            await self.job.retract("a")

    async def test_finished_by_others(self) -> None:
        """The entry of our claim that others leave does not affect a later claim."""
        await self.claimed()
        for command in ("ZREM feed.claimed:x a", "HDEL feed.items:x a", "DEL feed.published:x"):
            await self.raw.send(*command.split())
        claim = await self.claimed()
        await self.job.finish(claim)
        self.assertEqual(await self.value("feed.claims:x"), None)

    async def test_other_publisher_by_id(self) -> None:
        """A publisher that has claimed nothing can end any claim by the job's id."""
        for name, verb in VERBS.items():
            await self.claimed()
            await verb(self.other, "a")
            await self.job.retract("a")
            self.assertEqual(await self.job.get_ids(), [], name)


class ReleaseTests(ClaimTestCase):
    async def test_release(self) -> None:
        """release() puts the job at the front of the line, unchanged, and publishes retried."""
        await self.job.put("item", id_="behind")
        await self.job.put("item", Job.HIGH, "a")
        await self.job.set_config({"history": 0})
        before = await self.state()
        claim = await self.job.get()
        await claim.progress(1)
        await self.spied.messages(own=True)
        self.assertTrue(await self.job.release(claim))
        self.assertEqual(await self.spied.messages(own=True), [(b"feed.retried:x", b"a")])
        self.assertEqual(await self.state(), before)
        self.assertFalse(await self.job.release(claim))
        self.assertEqual(await self.job.get(), ("a", "item", 0))

    async def test_failures_stay(self) -> None:
        """release() keeps the failure count and the failure record."""
        await self.claimed()
        await self.job.fail("a", ERROR)
        await self.job.get()
        self.assertTrue(await self.job.release("a"))
        self.assertEqual(await self.job.get(), ("a", "item", 1))
        self.assertEqual((await self.job.get_failure("a")).count, 1)  # type: ignore[union-attr]


class LostAnswerTests(CutTestCase):
    async def get(self, held: int) -> Deferred[Any]:
        """Start a get, and cut the connection once the server has claimed a job for it.

        :param held: how many other claims there are.
        """
        await self.claimed(held)  # the claims lost before are released
        redis = self.service.offline_queue._redis
        assert redis is not None
        transport: Any = redis.transport
        transport.pauseProducing()  # the call goes out, but its reply is not read
        get: Deferred[Any] = self.job.get()
        await self.claimed(held + 1)
        self.assertNoResult(get)
        redis.abort()
        return get

    async def claimed(self, count: int) -> None:
        await self.until_reply("ZCARD", "feed.claimed:j", holds=lambda reply: reply == count)

    async def test_given_back(self) -> None:
        """A claim whose reply is lost with the connection is released without a failure."""
        ids = [str(number) for number in range(20)]
        await self.job.put_many(ids, ids=ids)
        claims = [await self.job.get()]
        spied = await self.spy()
        for _ in range(5):
            claims += await gatherResults([await self.get(len(claims)), self.job.get()])
        await self.service.pub.redis.ping()
        claimed = [claim.id for claim in claims]
        self.assertEqual(len(set(claimed)), 11)
        await self.until_answer(
            lambda: self.job.get_ids("claimed"), lambda ids: set(ids) == set(claimed)
        )
        told = [channel for channel, _ in await spied.messages()]
        self.assertEqual(told.count(b"feed.retried:j"), 5)
        self.assertEqual(told.count(b"feed.claimed:j"), 15)
        for claim in claims:
            await self.job.finish(claim)
        rest = [await self.worker.get(1) for _ in range(9)]
        self.assertEqual({claim.id for claim in rest} | set(claimed), set(ids))
        self.assertEqual({claim.cancelled for claim in rest}, {0})

    async def test_what_somebody_has_stays(self) -> None:
        """Recovering a lost claim leaves delivered claims and other publishers' claims alone."""
        ids = [str(number) for number in range(10)]
        await self.job.put_many(ids, ids=ids)
        mine = [await self.job.get() for _ in range(3)]
        theirs = [await self.worker.get() for _ in range(3)]
        get = await self.get(6)
        mine.append(await get)
        await self.service.pub.redis.ping()
        await self.claimed(7)
        for claim in mine:
            await self.job.finish(claim)
        for claim in theirs:
            await self.worker.finish(claim)
        self.assertEqual(len(await self.job.get_ids("available")), 3)

    async def test_nobody_left(self) -> None:
        """A lost claim is released even when its get was cancelled."""
        await self.job.put("item", id_="a")
        get = await self.get(0)
        get.cancel()
        await self.assertFailure(get, CancelledError)
        self.assertEqual(await self.worker.get(5), ("a", "item", 0))
