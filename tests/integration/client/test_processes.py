"""Four processes that publish into one bounded feed at once keep it consistent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.support import RedisTestCase, server_url
from tests.support.children import Child

reactor: Any = installed_reactor
WORKER = Path(__file__).parents[2] / "support" / "publish_worker.py"
WORKERS, EACH, LENGTH = 4, 5_000, 100

# Reads atomically the ids in order, and the ids that have an item.
LOOK = "return {redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('HKEYS', KEYS[2])}"


class Worker(Child):
    """One process of ``publish_worker.py``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def start(self, url: str, feed: str) -> None:
        self.spawn_python(str(WORKER), url, feed, self.name, str(EACH))

    def go(self) -> None:
        self.transport.write(b"\n")


class ProcessTests(RedisTestCase):
    async def test_four_processes(self) -> None:
        """The feed never exceeds its limit, and each dropped item has one retract event."""
        pub = await self.pub()
        await pub.feed("x", {"max_length": LENGTH})
        spied = await self.spy()
        workers = [Worker(name) for name in "abcd"[:WORKERS]]
        for worker in workers:
            worker.start(await server_url(), "x")
            self.addCleanup(worker.kill)
        await gatherResults([worker.seen("ready\n") for worker in workers])
        for worker in workers:
            worker.go()
        looks = await self.look_until(gatherResults([worker.ended for worker in workers]))
        for worker in workers:
            self.assertEqual((worker.out, worker.err), ("ready\ndone\n", ""))
        self.assertGreater(looks, 10)
        self.check_events(await spied.messages())
        await self.check_end()

    async def look_until(self, ended: Deferred[Any]) -> int:
        """Read the feed until the workers end, and once more; return the number of reads."""
        looks, full = 0, False
        while not full:
            full = ended.called
            ids, items = await self.raw.eval(LOOK, ["feed.ids:x", "feed.items:x"])
            self.assertLessEqual(len(ids), LENGTH)
            self.assertEqual(set(ids), set(items), "ids and items are out of step")
            looks += 1
        return looks

    def check_events(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Check that the events are consistent with each other."""
        ids = {b"%c-%d" % (worker, number) for worker in b"abcd" for number in range(EACH)}
        published, retracted, length = [], [], 0
        for channel, message in messages:
            if channel == b"feed.publish:x":
                id_, item = message.split(b"\0", 1)
                self.assertEqual(item, b"item of " + id_)
                published.append(id_)
                length += 1
            else:
                self.assertEqual(channel, b"feed.retract:x")
                retracted.append(message)
                length -= 1
            # A retract comes before the publish that it makes room for.
            self.assertLessEqual(length, LENGTH)
            self.assertGreaterEqual(length, min(LENGTH, len(published)) - 1)
        self.assertEqual(len(published), WORKERS * EACH)
        self.assertEqual(set(published), ids)
        self.assertEqual(retracted, published[:-LENGTH], "not each once, oldest first")
        for worker in b"abcd":
            mine = [int(id_[2:]) for id_ in published if id_[0] == worker]
            self.assertEqual(mine, list(range(EACH)), "a publisher's order was changed")
        self.published = published

    async def check_end(self) -> None:
        """Check that the stored feed is consistent with the events."""
        stored = await self.value("feed.ids:x")
        self.assertEqual([id_ for id_, _ in stored], self.published[-LENGTH:])
        scores = [score for _, score in stored]
        self.assertEqual(scores, sorted(set(scores)))
        items = await self.value("feed.items:x")
        self.assertEqual(items, {id_: b"item of " + id_ for id_ in self.published[-LENGTH:]})
        self.assertEqual(await self.value("feed.publishes:x"), b"%d" % (WORKERS * EACH))
