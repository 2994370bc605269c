"""Deleting a job feed with many kept results: in bounded steps, even while it is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.support import RedisTestCase
from txthoonk.errors import Empty, FeedDoesNotExist
from txthoonk.protocol._client import RedisProtocol
from txthoonk.types import Job
from txthoonk.wire._keys import kept_result_key

MANY = 1200
SLICE = 500
NAMES = ("registry/delete", "registry/clear")


class DeletionTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()
        self.job: Job = await self.pub_.job("x", {"keep_results_for": 3600})
        self.expires = int(await self.now()) + 3_600_000
        self.calls: list[str] = []
        self.most_words = self.most_ids = 0
        self.dying: Deferred[Any] | None = None
        self.before: Callable[[], Any] = lambda: None
        self.call = RedisProtocol.call
        self.patch(RedisProtocol, "call", lambda *call: self.counted(*call))

    def counted(self, redis: Any, script: Any, command: Any, encoding: Any) -> Deferred[Any]:
        """Make a call, and record the size of the call and of its reply."""
        if script.name not in NAMES:
            return self.call(redis, script, command, encoding)
        self.calls.append(script.name)
        self.most_words = max(self.most_words, len(command))
        if self.dying is not None and script.name == "registry/clear":
            self.dying.callback(None)
            self.dying = None
            return Deferred()
        if script.name == "registry/delete":
            self.before()
        return self.call(redis, script, command, encoding).addCallback(self.noted)

    def noted(self, reply: Any) -> Any:
        if reply != 1:
            self.most_ids = max(self.most_ids, len(reply))
        return reply

    async def keep(self, *ids: str) -> None:
        """Keep results, as workers do."""
        for id_ in ids:
            self.raw.send("RPUSH", kept_result_key("x", id_), "result", "item")
            self.raw.send("ZADD", "feed.results:x", self.expires, id_)
        await self.raw.ping()

    async def keep_many(self) -> None:
        await self.keep(*[str(number) for number in range(MANY)])

    async def interrupted(self) -> None:
        """Delete the feed, and stop before its results are cleared."""
        dying = self.dying = Deferred()
        deleting = self.job.delete_feed()
        await dying
        await self.raw.ping()  # the deletion is still in the middle of its call
        deleting.cancel()
        await self.assertFailure(deleting, CancelledError)

    async def test_slices(self) -> None:
        """No step of a deletion takes more than a few hundred results."""
        await self.keep_many()
        self.assertIs(await self.job.delete_feed(), True)
        self.assertEqual(await self.state(), {})
        self.assertLessEqual(self.most_words, 2 * SLICE + 100)
        self.assertLessEqual(self.most_ids, SLICE)

    async def test_busy(self) -> None:
        """Results that are kept during the deletion neither delay it nor remain."""
        await self.keep_many()
        await self.job.put_many(["x"] * 20)
        claims = [await self.job.get() for _ in range(20)]
        self.before = lambda: claims and self.job.finish(claims.pop(), "late")
        self.assertIs(await self.job.delete_feed(), True)
        self.assertEqual(await self.state(), {})
        self.assertEqual((self.calls.count("registry/delete"), len(claims)), (1, 19))

    async def test_first_out_of_the_registry(self) -> None:
        """The first step deletes everything but the results, so the feed no longer exists."""
        await self.keep_many()
        await self.interrupted()
        left = await self.state()
        self.assertEqual({key for key in left if b"jobfinished" not in key}, {b"feed.results:x"})
        await self.assertFailure(self.job.put("x"), FeedDoesNotExist)

    async def test_nobody_goes_on(self) -> None:
        """After an interrupted deletion, the index of results expires with the last result."""
        await self.keep_many()
        await self.interrupted()
        before = await self.now()
        left = await self.raw.send("PTTL", "feed.results:x")
        # Both are in milliseconds, but only the PTTL is a whole number.
        self.assertLessEqual(left, self.expires - before + 1)
        self.assertGreaterEqual(left, self.expires - await self.now() - 1)

    async def test_created_anew(self) -> None:
        """A new feed of the same name has no old results, however it is created."""
        for create in (
            lambda: self.pub_.job("x"),
            lambda: self.pub_.create_feed("x", {"type": "job"}),
        ):
            await self.keep_many()
            await self.interrupted()
            await create()
            self.assertEqual(set(await self.state()), {b"feeds", b"feed.config:x"})
            await self.assertFailure(self.job.get_result("1199"), Empty)
            self.assertLessEqual(self.most_words, 2 * SLICE + 100)

    async def test_created_anew_meanwhile(self) -> None:
        """A deletion that continues after the feed was created again clears nothing of it."""
        await self.keep_many()
        await self.interrupted()
        await self.pub_.job("x")
        await self.keep("new")
        await Deferred.fromCoroutine(self.pub_._clear("x", ["new"]))
        self.assertEqual((await self.job.get_result("new"))[1], "result")

    async def test_deleted_again(self) -> None:
        """Deleting again fails with FeedDoesNotExist and clears the remaining results."""
        await self.keep_many()
        await self.interrupted()
        await self.assertFailure(self.job.delete_feed(), FeedDoesNotExist)
        self.assertEqual(await self.state(), {})

    async def test_deleted_by_others(self) -> None:
        """A new feed has no old results even when another implementation deleted the feed."""
        await self.keep("a")
        await self.raw.send("SREM", "feeds", "x")
        await self.raw.send("DEL", "feed.config:x")
        await self.pub_.job("x")
        await self.assertFailure(self.job.get_result("a"), Empty)
