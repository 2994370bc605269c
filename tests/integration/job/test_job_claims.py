"""Claims and their tokens: who has lost a claim changes nothing any more."""

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
        """Let the claim get too old."""
        await self.raw.send("ZADD", "feed.claimed:x", 1, "a")
        await self.looked()
        self.assertEqual((await self.job.maintenance())["cancelled"], 1)

    async def nothing_changes(self, what: str, *calls: Callable[[], Deferred[Any]]) -> None:
        """Check that each call is told that the job is not claimed, and that is all."""
        before = await self.state()
        await self.spied.messages(own=True)
        for call in calls:
            error = await self.assertFailure(call(), JobNotClaimed)
            self.assertIn("'a'", str(error))
            self.assertEqual(await self.state(), before, what)
            self.assertEqual(await self.spied.messages(own=True), [], what)


class TokenTests(ClaimTestCase):
    async def test_token(self) -> None:
        """A claim has a token of its own: whose it is, and since when."""
        claim = await self.claimed()
        time = (await self.value("feed.claimed:x"))[0][1]
        owner, _, since = claim.token.rpartition(":")
        self.assertEqual((owner, float(since)), (self.job.pub._uuid, time))
        entry = f"{claim.token} {since}".encode()
        self.assertEqual(await self.value("feed.claims:x"), {b"a": entry})
        self.assertEqual(tuple(claim), ("a", "item", 0))
        self.assertEqual((claim.id, claim.item, claim.cancelled), ("a", "item", 0))

    async def test_nothing_is_left(self) -> None:
        """However a claim ends, nothing is left of it."""
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
        """Nor if the job is retracted meanwhile."""
        claim = await self.claimed()
        await self.other.retract("a")
        self.assertEqual(await self.value("feed.claims:x"), None)
        for verb in VERBS.values():
            await self.nothing_changes("retracted", partial(verb, self.job, claim))

    async def test_renewed(self) -> None:
        """A claim that was renewed is the same, by whoever it was renewed."""
        claim = await self.claimed()
        for renewed in (self.job.renew(claim), self.job.renew("a"), self.other.renew("a")):
            await renewed
            ((_, time),) = await self.value("feed.claimed:x")
            entry = (await self.value("feed.claims:x"))[b"a"].decode().split()
            self.assertEqual((entry[0], float(entry[1])), (claim.token, time))
        await self.job.finish(claim)


class LateTests(ClaimTestCase):
    async def test_claimed_by_another(self) -> None:
        """A claim that timed out and was taken by another: no verb does anything, nor progress."""
        for name, verb in VERBS.items():
            late = await self.claimed()
            await self.time_out()
            theirs = await self.other.get()
            await theirs.progress(1, note="theirs")
            await self.nothing_changes(
                name,
                lambda v=verb, c=late: v(self.job, c),  # type: ignore[misc]
                lambda c=late: c.progress(2),  # type: ignore[misc]
            )
            self.assertFalse(await self.job.release(late))
            await self.other.finish(theirs, "theirs")
            await self.nothing_changes(name, lambda v=verb, c=late: v(self.job, c))  # type: ignore[misc]

    async def test_by_id(self) -> None:
        """By the id it is the claim that this publisher got last that is meant."""
        for name, verb in VERBS.items():
            await self.claimed()
            await self.time_out()
            theirs = await self.other.get()
            await self.nothing_changes(name, partial(verb, self.job, "a"))
            await self.other.finish(theirs)

    async def test_claimed_again_by_the_same(self) -> None:
        """So it is if the same publisher has claimed the job again."""
        for name, verb in VERBS.items():
            late = await self.claimed()
            await self.time_out()
            again = await self.job.get()
            self.assertNotEqual(again.token, late.token)
            await self.nothing_changes(name, lambda v=verb, c=late: v(self.job, c))  # type: ignore[misc]
            await self.job.finish("a")
            self.assertEqual(await self.job.get_ids(), [])

    async def test_available_again(self) -> None:
        """Also while nobody has claimed it again."""
        late = await self.claimed()
        await self.time_out()
        for name, verb in VERBS.items():
            await self.nothing_changes(name, partial(verb, self.job, late))
        self.assertEqual((await self.other.get()).cancelled, 1)

    async def test_put_again(self) -> None:
        """A claim of a job that is over is not one of a later job of that id."""
        late = await self.claimed()
        await self.other.finish("a")
        await self.job.put("item", id_="a")
        await self.other.get()
        for name, verb in VERBS.items():
            await self.nothing_changes(name, partial(verb, self.job, late))

    async def test_same_call(self) -> None:
        """Of two that finish the same claim at once, one does."""
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
        """A claim of another implementation can be ended by the id, as ever."""
        for name, verb in VERBS.items():
            await self.job.put("item", id_="a")
            await self.claim_as_others()
            await verb(self.job, "a")
            if name == "renew":
                self.assertEqual(await self.value("feed.claims:x"), None)
            await self.job.retract("a")

    async def test_taken_from_us(self) -> None:
        """Ours is lost once another implementation has the job, which knows no tokens."""
        for name, verb in VERBS.items():
            late = await self.claimed()
            # They cancel it, as they do when it is too old, and claim it again.
            await self.raw.send("ZREM", "feed.claimed:x", "a")
            await self.raw.send("LPUSH", "feed.ids:x", "a")
            await self.claim_as_others()
            await self.nothing_changes(name, lambda v=verb, c=late: v(self.job, c))  # type: ignore[misc]
            await self.job.retract("a")

    async def test_finished_by_others(self) -> None:
        """What they leave of our claim does no harm."""
        await self.claimed()
        for command in ("ZREM feed.claimed:x a", "HDEL feed.items:x a", "DEL feed.published:x"):
            await self.raw.send(*command.split())
        claim = await self.claimed()
        await self.job.finish(claim)
        self.assertEqual(await self.value("feed.claims:x"), None)

    async def test_other_publisher_by_id(self) -> None:
        """A publisher that has claimed nothing ends whichever claim there is by the id."""
        for name, verb in VERBS.items():
            await self.claimed()
            await verb(self.other, "a")
            await self.job.retract("a")
            self.assertEqual(await self.job.get_ids(), [], name)


class ReleaseTests(ClaimTestCase):
    async def test_release(self) -> None:
        """A job that is released is next, as it was, and told as one that is retried."""
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
        """What was counted before stays counted."""
        await self.claimed()
        await self.job.fail("a", ERROR)
        await self.job.get()
        self.assertTrue(await self.job.release("a"))
        self.assertEqual(await self.job.get(), ("a", "item", 1))
        self.assertEqual((await self.job.get_failure("a")).count, 1)  # type: ignore[union-attr]


class LostAnswerTests(CutTestCase):
    async def get(self, held: int) -> Deferred[Any]:
        """Begin a get, and cut the connection when the server has claimed a job for it.

        :param held: how many claims there are beside it.
        """
        await self.claimed(held)  # those that were lost before are given back
        redis = self.service.offline_queue._redis
        assert redis is not None
        transport: Any = redis.transport
        transport.pauseProducing()  # the call goes out, but its answer is not read
        get: Deferred[Any] = self.job.get()
        await self.claimed(held + 1)
        self.assertNoResult(get)
        redis.abort()
        return get

    async def claimed(self, count: int) -> None:
        await self.until_reply("ZCARD", "feed.claimed:j", holds=lambda reply: reply == count)

    async def test_given_back(self) -> None:
        """A claim whose answer was lost with the connection is given back, uncounted."""
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
        """Claims that somebody has are not given back, nor those of other publishers."""
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
        """It is given back though nobody waits any more."""
        await self.job.put("item", id_="a")
        get = await self.get(0)
        get.cancel()
        await self.assertFailure(get, CancelledError)
        self.assertEqual(await self.worker.get(5), ("a", "item", 0))
