"""Changes between two connections, two reads or two subscriptions are delivered once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from tests.support.subscriptions import Heard, SubscriptionTestCase, brief, briefs, take
from tests.support.waiting import until
from txthoonk import Thoonk
from txthoonk.events import Event
from txthoonk.subscriptions.following import _reading
from txthoonk.types import Feed


class PatternTests(SubscriptionTestCase):
    thoonk_: Thoonk

    async def follow(self, **options: Any) -> Heard:
        """Subscribe to a pattern through a gate."""
        self.thoonk_, self.gate = await self.gated()
        heard = Heard()
        await self.thoonk_.subscribe_pattern("x*", heard, **options)
        return heard

    def cut_at_the_next_word(self) -> Deferred[None]:
        """Abort the subscriber's connection when it next receives data."""
        redis: Any = self.thoonk_._sub.redis
        real, cut = redis.dataReceived, Deferred[None]()

        def received(data: bytes) -> None:
            real(data)
            if not cut.called:
                redis.transport.abortConnection()
                self.gate.shut()
                cut.callback(None)

        redis.dataReceived = redis.transport.protocol.dataReceived = received
        return cut

    async def test_lost_before_the_first_look(self) -> None:
        """A new feed that a lost connection left unread arrives in full, or as one resync."""
        for history in (0, 100):
            for created in (True, False):
                heard = await self.follow()
                cut = self.cut_at_the_next_word()
                name = f"x{history}{created}"
                if created:
                    making: list[Any] = [self.writer.create_feed(name, {"history": history})]
                else:
                    conf = ("type", "feed", "history", history)
                    making = [
                        self.raw.send("SADD", "feeds", name),
                        self.raw.send("HSET", f"feed.config:{name}", *conf),
                    ]
                feed = Feed(self.writer, name)
                await gatherResults([*making, feed.publish("1", "1"), cut])
                for number in range(2, 6):
                    await feed.publish(str(number), str(number))
                self.gate.open()
                await self.thoonk_.whenConnected()
                while "6" not in [event.id for event in heard.events]:
                    await feed.publish("6", "6")
                    await self.told(await self.thoonk_.subscribe("y"), "y")
                events = [event for event in heard.events if event.feed == name]
                at = [event.id for event in events].index("6")
                whole = [event.id for event in events[:at] if event.kind == "publish"]
                resyncs = [event.kind for event in events[:at]].count("resync")
                self.assertTrue(whole == list("12345") or resyncs == 1, (history, created, events))
                if history and created:
                    self.assertEqual((whole, resyncs), (list("12345"), 0))
                await self.thoonk_.close()

    async def test_made_again_during_an_outage(self) -> None:
        """A feed that was created again during an outage delivers each of its events once."""
        heard = await self.follow()
        await self.writer.feed("x1", {"history": 100})
        await self.writer.delete_feed("x1")
        while [event.kind for event in heard.events] != ["create", "delete"]:
            await heard.wait(len(heard.calls) + 1)
        self.gate.shut()
        feed = await self.writer.feed("x1", {"history": 100})
        await feed.publish("1", "a")
        self.gate.open()
        await self.thoonk_.whenConnected()
        await feed.publish("2", "b")
        while "b" not in [event.id for event in heard.events]:
            await heard.wait(len(heard.calls) + 1)
        other = await self.writer.feed("x2", {"history": 100})
        await other.publish("1", "c")
        while "c" not in [event.id for event in heard.events]:
            await heard.wait(len(heard.calls) + 1)
        self.gate.shut()
        self.gate.open()
        await self.thoonk_.whenConnected()
        while "d" not in [event.id for event in heard.events]:
            await feed.publish("3", "d")
            await self.told(await self.thoonk_.subscribe("y"), "y")
        ids = [event.id for event in heard.events if event.kind == "publish"]
        self.assertEqual(ids[: ids.index("d")], ["a", "b", "c"])

    async def test_more_feeds_than_room(self) -> None:
        """A pattern subscription succeeds if more events arrive than its limit before it fires."""
        feeds = [await self.writer.feed(f"x{number}", {"history": 9}) for number in range(20)]
        subscribing = self.thoonk.subscribe_pattern("x*", limit=3)
        for _ in range(30):
            await gatherResults([feed.publish("item") for feed in feeds])
        subscription = await subscribing
        await feeds[0].publish("last", "last")
        event = await subscription.next()
        while event.id != "last":
            event = await subscription.next()

    async def test_made_anew_as_a_queue(self) -> None:
        """A pattern with snapshots delivers every item of a queue that replaces a feed."""
        feed = await self.writer.feed("x1", {"history": 100})
        heard = await self.follow(snapshot=True)
        await feed.publish("item", "a")
        await heard.wait(2)
        real, asked = _reading.look, list[int]()  # type: ignore[attr-defined]

        def look(*words: Any) -> Any:
            if asked:
                return real(*words)
            asked.append(1)
            return ensureDeferred(late(*words))

        async def late(*words: Any) -> Any:
            queue = await self.writer.queue("x1", {"history": 100})
            await queue.put_many(["1", "2"])
            # The messages about the new queue have arrived by now.
            await self.told(await self.thoonk_.subscribe("y"), "y")
            return await real(*words)

        self.patch(_reading, "look", look)
        self.gate.shut()
        await self.writer.delete_feed("x1")
        self.gate.open()
        await self.thoonk_.whenConnected()
        await until(lambda: asked)
        queue = await self.writer.queue("x1")
        await queue.put("3")
        while "3" not in [event.item for event in heard.events]:
            await heard.wait(len(heard.calls) + 1)
        events = heard.events
        created = max(at for at, event in enumerate(events) if event.kind == "create")
        told = [event.item for event in events[created:] if event.kind == "put"]
        self.assertEqual(told, ["1", "2", "3"])


class FeedTests(SubscriptionTestCase):
    async def rest(self) -> None:
        """Wait until the feed's first follower has read everything."""
        ((source,),) = self.thoonk._sources._by_feed.values()
        await until(lambda: source.followers[0].is_live)  # type: ignore[attr-defined]

    async def test_subscribed_between_two_messages_of_one_change(self) -> None:
        """A subscription that a handler makes during a change begins after the whole change."""
        feed = await self.writer.feed("x", {"history": 100})
        second: list[Any] = []
        heard = Heard()

        def first(event: Event) -> None:
            if not second:
                second.append(self.thoonk.subscribe(feed, heard))

        await self.thoonk.subscribe("x", first)
        await feed.publish("1", "a")
        await until(lambda: second)
        await second[0]
        await feed.publish("2", "b")
        await heard.wait(1)
        self.assertEqual(briefs(heard.events), [("publish", "b", "2")])

    async def test_too_slow_without_a_publisher(self) -> None:
        """A slow subscriber without a publisher gets a resync even if the feed falls silent."""
        feed = await self.writer.feed("x", {"history": 100})
        sub = await self.sub()
        subscription = await sub.subscribe("x", limit=2)
        for number in range(6):
            await feed.publish(str(number), str(number))
        await sub.redis.send("PING")
        events = await take(subscription, 3)
        self.assertEqual([event.kind for event in events], ["publish", "publish", "resync"])
        await feed.publish("6", "6")
        self.assertEqual(brief(await subscription.next()), ("publish", "6", "6"))

    async def test_check_of_each(self) -> None:
        """The check compares the position of every subscription with the server's."""
        feed = await self.writer.feed("x", {"history": 100})
        slow = await self.thoonk.subscribe("x", limit=1)
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        await feed.publish("1", "1")
        await feed.publish("2", "2")
        await heard.wait(2)
        # The server delivers nothing from here on, but still replies.
        redis = self.thoonk._sub.redis
        redis._ask("UNSUBSCRIBE", tuple(redis._channels))
        await redis.send("PING")
        await feed.publish("3", "3")
        await take(slow, 3)
        await self.rest()
        await self.thoonk._sources.check()
        await heard.wait(3)
        self.assertEqual([event.id for event in heard.events], ["1", "2", "3"])

    async def test_flood_of_revisions(self) -> None:
        """Messages with revisions that do not exist cost few reads, however many arrive."""
        feed = await self.writer.feed("x", {"history": 100})
        heard = Heard()
        await self.thoonk.subscribe("x", heard)
        await feed.publish("1", "a")
        await heard.wait(1)
        looks, real = list[int](), _reading.look  # type: ignore[attr-defined]
        self.patch(_reading, "look", lambda *words: (looks.append(1), real(*words))[1])
        epoch = heard.events[0].epoch
        messages = [f"{epoch}\0{number}\0publish\0b\0forged" for number in range(1000, 4000)]
        await gatherResults([self.raw.publish("feed.event:x", text) for text in messages])
        await feed.publish("2", "c")
        await heard.wait(2)
        await self.rest()
        self.assertEqual([event.id for event in heard.events], ["a", "c"])
        self.assertLess(len(looks), 300)
