"""Subscribers that the server disconnects, because they read too slowly.

Redis closes a subscriber's connection when the data waiting for it exceeds
``client-output-buffer-limit pubsub``, and drops that data. Here the subscriber stops reading for a
while, like a busy process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.faults.server_case import ServerFaultTestCase
from tests.support import Recorder
from tests.support.subscriptions import Heard, replayed
from tests.support.waiting import until
from txthoonk.events import Event

LIMIT = "pubsub 32768 0 0"  # bytes
USUAL = "pubsub 33554432 8388608 60"
ITEM = "x" * 20_000
COUNT = 60  # such items exceed the limit and what the kernel buffers


class OverflowTests(ServerFaultTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        await self.faulty.set("client-output-buffer-limit", LIMIT)
        self.addCleanup(self.faulty.set, "client-output-buffer-limit", USUAL)
        self.thoonk_ = await self.thoonk()
        self.writer = await self.pub()

    def deafen(self, sub: Any) -> Callable[[], None]:
        """Stop reading from a subscriber's connection; return a function that starts again."""
        transport: Any = sub.redis.transport
        transport.pauseProducing()
        return lambda: transport.resumeProducing()

    async def deaf(self) -> int:
        """Return the client id of the only subscriber."""
        return await self.client_id("TYPE", "pubsub")

    async def overflow(self, feed: Any) -> list[tuple[str, str]]:
        """Publish until Redis has disconnected the deaf subscriber; return all items."""
        hear, number = self.deafen(self.thoonk_._sub), await self.deaf()
        items = [(f"{n:03}", f"{n} {ITEM}") for n in range(COUNT)]
        for id_, item in items:
            await feed.publish(item, id_)
        await self.faulty.gone(number)
        hear()
        return items

    async def test_history(self) -> None:
        """With a history that is long enough, each event is delivered once and in order."""
        feed = await self.writer.feed("x", {"history": 10 * COUNT})
        heard = Heard()
        await self.thoonk_.subscribe("x", heard)
        items = await self.overflow(feed)
        events = await heard.take(COUNT)
        self.assertEqual(
            [(event.kind, event.id, event.item) for event in events],
            [("publish", *pair) for pair in items],
        )
        await feed.publish("last", "last")
        self.assertEqual((await heard.take(COUNT + 1))[-1].id, "last")

    async def test_short_history(self) -> None:
        """With a history that is too short, a resync comes, and the snapshot has all items."""
        feed = await self.writer.feed("x", {"history": 1})
        await feed.publish("before", "before")
        heard = Heard()
        await self.thoonk_.subscribe("x", heard, snapshot=True)
        await heard.take(1)
        items = await self.overflow(feed)
        events = await self.until_whole(heard, [("before", "before"), *items])
        self.assertIn("resync", [event.kind for event in events])

    async def test_no_history(self) -> None:
        """Without a history, a resync comes, and the snapshot has all items."""
        feed = await self.writer.feed("x")
        heard = Heard()
        await self.thoonk_.subscribe("x", heard, snapshot=True)
        items = await self.overflow(feed)
        events = await self.until_whole(heard, items)
        self.assertIn("resync", [event.kind for event in events])

    async def until_whole(self, heard: Heard, items: list[Any]) -> list[Event]:
        """Wait until the received events add up to the feed."""
        count = 1
        while replayed(heard.events, False).items != items:
            count = len(await heard.take(count)) + 1
        return heard.events

    async def test_no_snapshot(self) -> None:
        """Without history and snapshot, a resync marks the gap."""
        feed = await self.writer.feed("x")
        heard = Heard()
        await self.thoonk_.subscribe("x", heard)
        await self.overflow(feed)
        while "resync" not in [event.kind for event in heard.events]:
            await heard.take(len(heard.events) + 1)
        await feed.publish("last", "last")
        count = len(heard.events)
        while heard.events[-1].id != "last":
            count = len(await heard.take(count + 1))
        kinds = [event.kind for event in heard.events]
        gap = kinds.index("resync")
        ids = [event.id for event in heard.events]
        self.assertEqual(ids[:gap], [f"{n:03}" for n in range(gap)])
        self.assertEqual(ids[gap + 1 :], ["last"])

    async def test_mirror(self) -> None:
        """A mirror reports that it missed events, and then equals the feed again."""
        feed = await self.writer.feed("x")
        mirror = await self.thoonk_.mirror("x")
        items = await self.overflow(feed)
        whole: Deferred[None] = Deferred()

        def look(_: Event) -> None:
            if list(mirror.items()) == items and not whole.called:
                whole.callback(None)

        kinds: list[str] = []
        mirror.on_change(lambda event: kinds.append(event.kind))
        mirror.on_change(look)
        await whole
        self.assertIn("resync", kinds)
        self.assertTrue(mirror.current)

    async def test_handler(self) -> None:
        """A plain handler misses the dropped messages, and receives later ones."""
        feed = await self.writer.feed("x")
        heard = Recorder()
        await self.thoonk_.register_handler("feed.publish:x", heard)
        await self.overflow(feed)
        await self.thoonk_.whenConnected()
        await self.numsub("feed.publish:x", 1)
        await feed.publish("last", "last")
        count = len(heard.calls)
        while not heard.calls or heard.calls[-1][0] != "last":
            count = len(await heard.wait(count + 1))
        ids = [id_ for id_, _ in heard.calls[:-1]]
        self.assertEqual(ids, [f"{n:03}" for n in range(len(ids))])

    async def test_results(self) -> None:
        """A wait for a result gets it, although its message was dropped."""
        job = await self.thoonk_.job("j")
        ids = [await job.put("work") for _ in range(COUNT)]
        worker = await self.writer.job("j")
        for _ in ids:
            await worker.get()
        waits = [job.get_result(id_) for id_ in ids]
        await self.numsub("job.finish:j", 1)
        results = job._results
        await until(lambda: all(wait.sub for waits_ in results._waits.values() for wait in waits_))
        sub = results._sub
        assert sub is not None
        hear, number = self.deafen(sub), await self.deaf()
        for id_ in ids:
            await worker.finish(id_, id_ + ITEM, 60)
        await self.faulty.gone(number)
        hear()
        self.assertEqual([(await wait)[1] for wait in waits], [id_ + ITEM for id_ in ids])
