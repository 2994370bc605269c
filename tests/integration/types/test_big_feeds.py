"""Feeds with many or big items: replies are limited to a slice, and results are complete."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.support import RedisTestCase, server_url
from tests.support.mirror import Watch
from txthoonk import Thoonk
from txthoonk.protocol._client import RedisProtocol
from txthoonk.protocol.bounds._slices import IDS
from txthoonk.subscriptions._feed_state import FeedState, SortedState
from txthoonk.wire._keys import feed_key
from txthoonk.worker import Worker

MANY = 12_000
BIG = 300_000  # bytes
MEGABYTE = 1_000_000


def size(reply: Any) -> tuple[int, int]:
    """Return the number of values in a reply, and their size in bytes."""
    if not isinstance(reply, list):
        return 1, len(reply) if isinstance(reply, (str, bytes)) else 8
    sizes = [size(one) for one in reply]
    return sum(count for count, _ in sizes), sum(length for _, length in sizes)


class BigTestCase(RedisTestCase):
    async def setUp(self) -> None:
        self.most = self.most_bytes = self.replies = 0
        replied = RedisProtocol._replyReceived
        self.patch(RedisProtocol, "_replyReceived", lambda *both: self.sized(replied, *both))
        await super().setUp()
        self.pub_ = await self.pub()

    def sized(self, replied: Any, redis: Any, reply: Any) -> None:
        count, length = size(reply)
        if redis is not self.raw:
            self.replies += 1
            self.most, self.most_bytes = max(self.most, count), max(self.most_bytes, length)
        replied(redis, reply)

    async def fill(self, command: str, key: str, words: Any) -> None:
        """Store many fields or members."""
        for first in range(0, len(words), 2000):
            await self.raw.send(command, key, *words[first : first + 2000])

    def bounded(self, most: int = IDS + 1010) -> None:
        """Check the sizes of the replies since the last check."""
        self.assertLessEqual(self.most, most)
        self.assertLessEqual(self.most_bytes, 2 * MEGABYTE)
        self.assertGreater(self.replies, 2)
        self.most = self.most_bytes = self.replies = 0


class ManyTests(BigTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.ids = [f"{number:05}" for number in range(MANY)]
        self.scores = [word for pair in enumerate(self.ids) for word in pair]
        self.items = [word for id_ in self.ids for word in (id_, f"item {id_}")]

    async def test_feed(self) -> None:
        """The ids and items of a feed are read in slices."""
        feed = await self.pub_.feed("x")
        await self.fill("ZADD", feed.feed_ids, self.scores)
        await self.fill("HSET", feed.feed_items, self.items)
        self.assertEqual(await feed.get_ids(), self.ids)
        self.bounded()
        found = await feed.get_all()
        self.assertEqual(list(found.items()), [(id_, f"item {id_}") for id_ in self.ids])
        self.bounded()

    async def test_feed_in_use(self) -> None:
        """get_all returns every item that stays, whatever is changed during the read."""
        feed = await self.pub_.feed("x", {"max_length": MANY})
        await self.fill("ZADD", feed.feed_ids, self.scores)
        await self.fill("HSET", feed.feed_items, self.items)
        reading = feed.get_all()
        number = 0
        while not reading.called:
            number += 1
            await gatherResults(
                [  # type: ignore[arg-type]
                    feed.publish("new"),
                    feed.publish("y", self.ids[-number]),
                    feed.retract(self.ids[6000 + number]),
                ]
            )
        found = await reading
        stayed = self.ids[number:6000] + self.ids[6001 + number : -number]
        all_along = set(stayed)
        self.assertEqual([id_ for id_ in found if id_ in all_along], stayed)

    def added(self) -> dict[str, int]:
        """Count the items that each kind of state gets in one turn of the reactor, at most."""
        most: dict[str, int] = {}
        for state in (FeedState, SortedState):
            self.patch(state, "extend", self.counted(state.extend, state.__name__, most))
        return most

    def counted(self, extend: Any, kind: str, most: dict[str, int]) -> Any:
        now: dict[str, int] = {}

        def counting(state: Any, items: dict[str, Any]) -> None:
            if not now:
                reactor.callLater(0, now.clear)
            now[kind] = now.get(kind, 0) + len(items)
            most[kind] = max(most.get(kind, 0), now[kind])
            extend(state, items)

        return counting

    async def check_mirror(self, config: dict[str, Any]) -> None:
        feed = await self.pub_.feed("x", config)
        await self.fill("ZADD", feed.feed_ids, self.scores)
        await self.fill("HSET", feed.feed_items, self.items)
        added = self.added()
        thoonk = await Thoonk(await server_url()).connect()
        self.addCleanup(thoonk.close)
        following = thoonk.mirror("x")
        number = 0
        while not following.called:
            number += 1
            await gatherResults(
                [  # type: ignore[arg-type]
                    feed.publish("new", f"new {number}"),
                    feed.publish("y", self.ids[7 * number]),
                    feed.retract(self.ids[6000 + number]),
                ]
            )
        mirror = await following
        caught_up: Deferred[None] = Deferred()
        mirror.on_change(lambda event: event.id == "last" and caught_up.callback(None))
        await feed.publish("z", "last")
        await caught_up
        self.assertEqual(list(mirror.items()), list((await feed.get_all()).items()))
        self.bounded()
        self.assertEqual(list(added), ["FeedState"])
        self.assertLessEqual(added["FeedState"], IDS + 1000)

    async def test_mirror(self) -> None:
        """A mirror equals its feed, whatever changes while the mirror starts."""
        await self.check_mirror({"history": 10_000})

    async def test_mirror_without_history(self) -> None:
        """A mirror of a feed without history equals the feed, whatever changes meanwhile."""
        await self.check_mirror({})

    async def check_sorted_mirror(self, history: int) -> None:
        feed = await self.pub_.sorted_feed("x", {"history": history})
        await self.fill("RPUSH", feed.feed_ids, self.ids)
        await self.fill("HSET", feed.feed_items, self.items)
        added = self.added()
        thoonk = await Thoonk(await server_url()).connect()
        self.addCleanup(thoonk.close)
        following = thoonk.mirror("x")
        random, left = Random(history), list(self.ids)
        while not following.called:
            near, far = random.sample(left, 2)
            gone = left.pop(random.randrange(len(left)))
            await gatherResults(
                [  # type: ignore[arg-type]
                    feed.append("last"),
                    feed.prepend("first"),
                    feed.edit(near, "edited"),
                    feed.move_before(far, near),
                    feed.move(*random.choice([("begin:", far), (":end", far), (f"{near}:", far)])),
                    feed.retract(gone),
                ]
            )
        mirror = await following
        watch = Watch(mirror)
        await feed.append("the end")
        await watch.until(list((await feed.get_all()).items()))
        self.assertEqual(list(added), ["SortedState"])
        self.assertLessEqual(added["SortedState"], IDS + 1000)

    async def test_sorted_mirror(self) -> None:
        """A mirror of a big sorted feed equals it, whatever moves while the mirror starts."""
        await self.check_sorted_mirror(10_000)

    async def test_sorted_mirror_without_history(self) -> None:
        """So does a mirror of a big sorted feed without a history."""
        await self.check_sorted_mirror(0)

    async def test_sorted_mirror_at_rest(self) -> None:
        """The order of a big sorted feed is read in slices for a mirror."""
        feed = await self.pub_.sorted_feed("x")
        await self.fill("RPUSH", feed.feed_ids, self.ids)
        await self.fill("HSET", feed.feed_items, self.items)
        thoonk = await Thoonk(await server_url()).connect()
        self.addCleanup(thoonk.close)
        mirror = await thoonk.mirror("x")
        self.assertEqual(list(mirror), self.ids)
        self.bounded()

    async def test_sorted_feed(self) -> None:
        """The items of a sorted feed are read in slices, its order in one reply."""
        feed = await self.pub_.sorted_feed("x")
        await self.fill("RPUSH", feed.feed_ids, self.ids)
        await self.fill("HSET", feed.feed_items, self.items)
        self.assertEqual(list(await feed.get_all()), self.ids)
        self.bounded(MANY)

    async def test_names(self) -> None:
        """The names of feeds are read in slices; a feed that stays is in the result."""
        await self.fill("SADD", "feeds", self.ids)
        reading = self.pub_.get_feed_names()
        number = 0
        while not reading.called:
            number += 1
            await self.raw.send("SREM", "feeds", self.ids[-number])
            await self.raw.send("SADD", "feeds", f"new {number}")
        names = await reading
        self.assertEqual(set(self.ids[:-number]) - names, set())
        self.bounded(1500)

    async def test_claims(self) -> None:
        """The claims of a publisher whose answers were lost are found in slices."""
        job = await self.pub_.job("x")
        await self.fill("ZADD", job.feed_claimed, self.scores)
        claims = [word for i in self.ids for word in (i, f"{self.pub_.uuid}:1 {10**13}")]
        await self.fill("HSET", feed_key("claims", "x"), claims)
        await self.fill("HSET", job.feed_items, self.items)
        job._claims.recover()
        await self.pub_.redis.ping()
        while await self.raw.send("ZCARD", job.feed_claimed):
            await self.pub_.redis.ping()
        self.assertEqual(await job.length(), MANY)
        self.bounded(1500)

    async def test_queue(self) -> None:
        """The ids of a queue are read in slices."""
        queue = await self.pub_.queue("x")
        await self.fill("RPUSH", queue.feed_ids, self.ids)
        self.assertEqual(await queue.get_ids(), self.ids)
        self.bounded()

    async def test_job(self) -> None:
        """The ids of jobs, in each state and in any, and their failures are read in slices."""
        job = await self.pub_.job("x")
        await self.fill("HSET", job.feed_items, self.items)
        await self.fill("HSET", job.feed_failures, [w for i in self.ids for w in (i, "1 2 {}")])
        await self.fill("RPUSH", job.feed_ids, self.ids)
        await self.fill("SADD", job.feed_stalled, self.ids)
        for key in (job.feed_claimed, job.feed_delayed):
            await self.fill("ZADD", key, self.scores)
        for state in ("available", "claimed", "delayed"):
            self.assertEqual(await job.get_ids(state), self.ids)
            self.bounded()
        for chosen in ("stalled", None):
            self.assertEqual(sorted(await job.get_ids(chosen)), self.ids)
            self.bounded(2000)
        self.assertEqual(sorted(one.id for one in await job.get_failures()), self.ids)
        self.bounded(2000)


class BytesTests(BigTestCase):
    """The number of big items in a reply is limited by their size."""

    async def test_get_all(self) -> None:
        """get_all reads big items in several steps."""
        feed = await self.pub_.feed("x")
        for number in range(60):
            await feed.publish("x" * BIG, str(number))
        self.assertEqual(list(await feed.get_all()), [str(number) for number in range(60)])
        # The script reads 20 items, and more only if these are not too big.
        self.assertLessEqual(self.most_bytes, 20 * BIG + 1000)

    async def check_gets(self, feed: Any) -> None:
        await gatherResults([feed.put("x" * BIG) for _ in range(30)])
        self.most_bytes = 0
        self.assertEqual(len(await gatherResults([feed.get() for _ in range(30)])), 30)
        # The script reads one item, then 16 at once.
        self.assertLessEqual(self.most_bytes, MEGABYTE + 16 * BIG)

    async def test_queue(self) -> None:
        """Gets of a queue that wait together receive big items in several calls."""
        await self.check_gets(await self.pub_.queue("x"))

    async def test_worker(self) -> None:
        """A worker claims big jobs in several calls, without a wait, until its slots are used."""
        job = await self.pub_.job("x")
        await gatherResults([job.put("x" * BIG) for _ in range(30)])
        self.most_bytes = 0
        begun: Deferred[None] = Deferred()
        running: list[Deferred[None]] = []
        scripts: list[str] = []
        call = RedisProtocol._call

        def called(redis: Any, script: Any, *rest: Any) -> Any:
            scripts.append(script.name)
            return call(redis, script, *rest)

        def handle(_: Any) -> Deferred[None]:
            running.append(Deferred())
            if len(running) == 30:
                begun.callback(None)
            return running[-1]

        self.patch(RedisProtocol, "_call", called)
        worker = Worker(job, handle, concurrency=30)
        worker.startService()
        await begun
        self.assertLessEqual(self.most_bytes, MEGABYTE + 16 * BIG)
        self.assertEqual((scripts.count("job/get"), scripts.count("job/finish")), (0, 2))
        for one in running:
            one.callback(None)
        await worker.stopService()

    async def test_job(self) -> None:
        """Gets of a job feed that wait together receive big jobs in several calls."""
        await self.check_gets(await self.pub_.job("x"))
