"""How to subscribe by feed or by name, receive events, and end a subscription."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.support.subscriptions import Heard, SubscriptionTestCase, brief, briefs, take
from txthoonk.errors import ConnectionLost, InvalidInput, SubscriptionEnded
from txthoonk.events import Event

EVENTS = [("publish", "a", "1"), ("edit", "a", "2"), ("retract", "a")]


class WaysTests(SubscriptionTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.writer.feed("x")

    async def write(self) -> None:
        await self.feed.publish("1", "a")
        await self.feed.publish("2", "a")
        await self.feed.retract("a")

    async def test_handler(self) -> None:
        """A handler gets each event after ``subscribe`` has fired."""
        heard = Heard()
        subscription = await self.thoonk.subscribe("x", heard)
        await self.write()
        events = await heard.take(3)
        self.assertEqual(briefs(events), EVENTS)
        self.assertEqual({event.feed for event in events}, {"x"})
        self.assertEqual({(event.revision, event.cursor) for event in events}, {(None, None)})
        self.assertEqual(subscription.name, "x")

    async def test_next(self) -> None:
        """``next`` fires each event, whether it is called before the event or after it."""
        subscription = await self.thoonk.subscribe("x")
        waiting = [subscription.next(), subscription.next()]
        await self.write()
        got = [await waiting[0], await waiting[1], await subscription.next()]
        self.assertEqual(briefs(got), EVENTS)

    async def test_cancelled_next(self) -> None:
        """A cancelled ``next`` loses no event."""
        subscription = await self.thoonk.subscribe("x")
        waiting = [subscription.next() for _ in range(3)]
        waiting[1].cancel()
        await self.assertFailure(waiting[1], CancelledError)
        await self.write()
        got = [await waiting[0], await waiting[2], await subscription.next()]
        self.assertEqual(briefs(got), EVENTS)

    async def test_async_for(self) -> None:
        """An iteration yields every event, and ends with ``stop``."""
        subscription = await self.thoonk.subscribe("x")
        got: list[Event] = []

        async def iterate() -> None:
            async for event in subscription:
                got.append(event)
                if len(got) == 3:
                    done.callback(None)

        done: Deferred[None] = Deferred()
        iteration = Deferred.fromCoroutine(iterate())
        await self.write()
        await done
        self.assertFalse(iteration.called)
        await subscription.stop()
        await iteration
        self.assertEqual(briefs(got), EVENTS)

    async def test_feed_object(self) -> None:
        """``subscribe`` accepts a feed object of any type and publisher, or a name."""
        own = await self.thoonk.feed("x")
        subscriptions = [await self.thoonk.subscribe(feed) for feed in (own, self.feed, "x")]
        await self.write()
        for subscription in subscriptions:
            self.assertEqual(briefs(await take(subscription, 3)), EVENTS)
        sorted_ = await self.writer.sorted_feed("y")
        subscription = await self.thoonk.subscribe(sorted_)
        await sorted_.append("1")
        self.assertEqual(
            briefs(await take(subscription, 2)), [("publish", "1", "1"), ("position", "1", ":end")]
        )

    async def test_literal_names(self) -> None:
        """``subscribe`` takes a name with pattern characters literally."""
        names = ["a*", "a?b", "[x]", "a\\*", "\\", "*", "a**", "[^x]"]
        others = ["ab", "axb", "x", "a*b", "y"]
        heard = {name: Heard() for name in names}
        feeds = {}
        for name in names + others:
            feeds[name] = await self.writer.feed(name, {"history": 10} if "[" in name else None)
        for name in names:
            await self.thoonk.subscribe(name, heard[name])
        for name, feed in feeds.items():
            await feed.publish(name, "id")
        for name in names:
            await self.raw.publish("conffeed", f"{name}\0marker")
        for name in names:
            events = await heard[name].take(2)
            self.assertEqual(briefs(events), [("publish", "id", name), ("config",)])
            self.assertEqual(events[0].feed, name)
        self.assertEqual(await self.raw.send("PUBSUB", "NUMPAT"), 0)

    async def test_before_the_feed(self) -> None:
        """A subscription to a feed that does not exist yet delivers the feed's events."""
        subscription = await self.thoonk.subscribe("new")
        feed = await self.writer.feed("new", {"history": 10})
        await feed.publish("1", "a")
        events = await take(subscription, 2)
        self.assertEqual(briefs(events), [("create",), ("publish", "a", "1")])
        self.assertEqual(events[1].revision, 1)

    async def test_bad(self) -> None:
        """A bad argument is refused before any channel is subscribed."""
        before = await self.subscribed()
        heard = Heard()
        feed: Any
        pattern: Any
        handler: Any
        limit: Any
        for feed in ("", "a\0b", None, 5, b"x", object()):
            await self.assertFailure(self.thoonk.subscribe(feed), InvalidInput)
        for pattern in ("", None, 5, b"x"):
            await self.assertFailure(self.thoonk.subscribe_pattern(pattern), InvalidInput)
        for handler in (5, "text"):
            await self.assertFailure(self.thoonk.subscribe("x", handler), InvalidInput)
            await self.assertFailure(self.thoonk.subscribe_pattern("x", handler), InvalidInput)
        for limit in (0, -1, 1.5, "1", None, True):
            for subscribe in (self.thoonk.subscribe, self.thoonk.subscribe_pattern):
                await self.assertFailure(subscribe("x", heard, limit=limit), InvalidInput)
        self.assertEqual(await self.subscribed(), before)

    async def test_not_running(self) -> None:
        """A subscription fails if the service does not run."""
        await self.thoonk.close()
        await self.assertFailure(self.thoonk.subscribe("x"), ConnectionLost)
        await self.assertFailure(self.thoonk.subscribe_pattern("x"), ConnectionLost)


class EndTests(SubscriptionTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.writer.feed("x", {"history": 10})
        self.before = await self.subscribed()

    async def test_stop(self) -> None:
        """A stopped subscription delivers nothing, and unsubscribes from all channels."""
        subscription = await self.thoonk.subscribe("x")
        self.assertNotEqual(await self.subscribed(), self.before)
        waiting = subscription.next()
        self.assertFalse(subscription.stopped)
        await subscription.stop()
        await subscription.stop()
        self.assertTrue(subscription.stopped)
        await self.assertFailure(waiting, SubscriptionEnded)
        await self.assertFailure(subscription.next(), SubscriptionEnded)
        await self.unsubscribed_to(self.before)

    async def test_waiting_events_are_dropped(self) -> None:
        """Waiting events are not delivered after ``stop``, even to a busy handler."""
        subscription = await self.thoonk.subscribe("x")
        heard, busy = Heard(), Deferred[None]()

        def handler(event: Event) -> Deferred[None]:
            heard(event)
            return busy

        slow = await self.thoonk.subscribe("x", handler)
        for number in range(3):
            await self.feed.publish(str(number), "a")
        other = await self.thoonk.subscribe("x", since=0)
        await take(other, 3)
        await subscription.stop()
        await slow.stop()
        busy.callback(None)
        await self.assertFailure(subscription.next(), SubscriptionEnded)
        self.assertEqual(briefs(heard.events), [("publish", "a", "0")])

    async def test_one_of_two(self) -> None:
        """Stopping one of two subscriptions does not affect the other, by name or by object."""
        for mine, others in (("x", "x"), (self.feed, self.feed), ("x", self.feed)):
            for first in (True, False):
                one = await self.thoonk.subscribe(mine)
                two = await self.thoonk.subscribe(others)
                ended, kept = (one, two) if first else (two, one)
                await ended.stop()
                await self.feed.publish("1", "a")
                await self.feed.retract("a")
                self.assertEqual(
                    briefs(await take(kept, 2)), [("publish", "a", "1"), ("retract", "a")]
                )
                await kept.stop()
                await self.unsubscribed_to(self.before)

    async def test_beside_handlers(self) -> None:
        """``register_handler`` and a subscription on the same channel do not affect each other."""
        heard = Heard()
        id_ = await self.thoonk.register_handler("feed.publish:x", lambda *call: heard(call))
        own = await self.subscribed()
        subscription = await self.thoonk.subscribe("x")
        await subscription.stop()
        await self.unsubscribed_to(own)
        await self.feed.publish("1", "a")
        self.assertEqual((await heard.wait(1)), [(("a", "1"),)])
        subscription = await self.thoonk.subscribe("x")
        self.thoonk.remove_handler(id_)
        await self.feed.publish("2", "b")
        await self.feed.retract("b")
        self.assertEqual(
            briefs(await take(subscription, 2)), [("publish", "b", "2"), ("retract", "b")]
        )
        self.assertEqual(len(heard.calls), 1)
        await subscription.stop()
        await self.unsubscribed_to(self.before)

    async def test_cancelled(self) -> None:
        """A cancelled subscription leaves no channel subscribed."""
        for subscribe in (
            lambda: self.thoonk.subscribe("x"),
            lambda: self.thoonk.subscribe("x", since=0),
            lambda: self.thoonk.subscribe("x", snapshot=True),
            lambda: self.thoonk.subscribe_pattern("*"),
            lambda: self.thoonk.subscribe_pattern("*", snapshot=True),
        ):
            subscribing = subscribe()
            subscribing.cancel()
            await self.assertFailure(subscribing, CancelledError)
            await self.unsubscribed_to(self.before)

    async def test_cancelled_beside_another(self) -> None:
        """A cancelled subscription does not affect another one of the same feed."""
        kept = await self.thoonk.subscribe("x")
        own = await self.subscribed()
        subscribing = self.thoonk.subscribe("x")
        subscribing.cancel()
        await self.assertFailure(subscribing, CancelledError)
        await self.feed.publish("1", "a")
        self.assertEqual(briefs(await take(kept, 1)), [("publish", "a", "1")])
        await self.unsubscribed_to(own)

    async def test_stop_and_subscribe(self) -> None:
        """Subscribing again before Redis has answered the unsubscribe misses no event."""
        for _ in range(20):
            old = await self.thoonk.subscribe("x")
            old.stop()
            new = await self.thoonk.subscribe("x")
            await self.feed.publish("1", "a")
            self.assertEqual(brief(await new.next())[1:], ("a", "1"))
            await new.stop()
        await self.unsubscribed_to(self.before)

    async def test_patterns(self) -> None:
        """A pattern stays subscribed until its last subscription stops."""
        one = await self.thoonk.subscribe_pattern("x*")
        own = await self.subscribed()
        self.assertGreater(own[1], 0)
        two = await self.thoonk.subscribe_pattern("x*")
        three = await self.thoonk.subscribe_pattern("*")
        await three.stop()
        await one.stop()
        await self.unsubscribed_to(own)
        await self.feed.publish("1", "a")
        self.assertEqual(brief(await two.next()), ("publish", "a", "1"))
        await two.stop()
        await self.unsubscribed_to(self.before)

    async def test_close(self) -> None:
        """Closing the service ends its subscriptions."""
        subscription = await self.thoonk.subscribe("x")
        pattern = await self.thoonk.subscribe_pattern("x")
        waiting: list[Any] = [subscription.next(), pattern.next()]
        await self.thoonk.close()
        for one in waiting:
            await self.assertFailure(one, SubscriptionEnded)
        self.assertTrue(subscription.stopped and pattern.stopped)

    async def test_stop_while_away(self) -> None:
        """A subscription that is stopped during an outage is not restored."""
        thoonk, gate = await self.gated()
        own = await self.subscribed()
        one, two = await thoonk.subscribe("x"), await thoonk.subscribe_pattern("x*")
        kept = await thoonk.subscribe("y")
        both = await self.subscribed()
        gate.shut()
        await self.unsubscribed_to(self.before)
        await one.stop()
        await two.stop()
        gate.open()
        other = await self.writer.feed("y")
        await self.numsub("feed.publish:y", 1)
        self.assertFalse([name for name in (await self.subscribed())[0] if name.endswith(b":x")])
        self.assertEqual((await self.subscribed())[1], 0)
        self.assertNotEqual(both, own)
        await other.publish("1", "a")
        await kept.stop()
        await self.unsubscribed_to(self.before)
