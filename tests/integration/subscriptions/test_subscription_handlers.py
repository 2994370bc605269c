"""A subscription calls its handler one event at a time, in order."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater

from tests.support.subscriptions import Heard, SubscriptionTestCase, briefs, reactor, take
from txthoonk.events import Event


class HandlerTests(SubscriptionTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.writer.feed("x")
        self.heard = Heard()

    async def publish(self, first: int, last: int) -> None:
        for number in range(first, last):
            await self.feed.publish(str(number), "a")

    def items(self) -> list[Any]:
        return [event.item for event in self.heard.events]

    async def test_one_at_a_time(self) -> None:
        """A handler's Deferred delays the next event of its own subscription only."""
        gates: list[Deferred[None]] = []

        def slow(event: Event) -> Deferred[None]:
            self.heard(event)
            gates.append(Deferred())
            return gates[-1]

        await self.thoonk.subscribe("x", slow)
        other = Heard()
        await self.thoonk.subscribe("x", other)
        await self.publish(0, 5)
        await other.take(5)
        for number in range(5):
            self.assertEqual(self.items(), [str(one) for one in range(number + 1)])
            gates[number].callback(None)
        self.assertEqual(self.items(), ["0", "1", "2", "3", "4"])

    async def test_coroutine(self) -> None:
        """A handler may be a coroutine function; its calls do not overlap."""
        running = 0

        async def handler(event: Event) -> None:
            nonlocal running
            running += 1
            self.assertEqual(running, 1)
            await deferLater(reactor, 0)
            running -= 1
            self.heard(event)

        await self.thoonk.subscribe("x", handler)
        await self.publish(0, 50)
        await self.heard.take(50)
        self.assertEqual(self.items(), [str(number) for number in range(50)])

    async def test_failures(self) -> None:
        """A handler that fails is logged; it and all others still get the next event."""

        class Bug(Exception):
            pass

        async def coroutine() -> None:
            raise Bug

        def handler(event: Event) -> Any:
            self.heard(event)
            if event.item == "0":
                raise Bug
            if event.item == "1":
                return fail(Bug())
            return coroutine() if event.item == "2" else None

        await self.thoonk.subscribe("x", handler)
        other = Heard()
        await self.thoonk.subscribe("x", other)
        await self.publish(0, 5)
        await self.heard.take(5)
        await other.take(5)
        self.assertEqual(self.items(), ["0", "1", "2", "3", "4"])
        self.assertEqual(len(self.flushLoggedErrors(Bug)), 3)

    async def test_late_failure(self) -> None:
        """A handler whose Deferred fails later is logged, and gets the next event."""
        late: Deferred[None] = Deferred()

        def handler(event: Event) -> Any:
            self.heard(event)
            return late if event.item == "0" else None

        await self.thoonk.subscribe("x", handler)
        await self.publish(0, 2)
        await self.told(await self.thoonk.subscribe("x"))
        self.assertEqual(self.items(), ["0"])
        late.errback(ValueError())
        self.assertEqual(self.items()[:2], ["0", "1"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_stops_itself(self) -> None:
        """A handler that stops its own subscription gets no more events."""
        before = await self.subscribed()

        def handler(event: Event) -> None:
            self.heard(event)
            subscription.stop()

        subscription = await self.thoonk.subscribe("x", handler)
        other = await self.thoonk.subscribe("x")
        await self.publish(0, 3)
        await take(other, 3)
        self.assertEqual(self.items(), ["0"])
        await other.stop()
        await self.unsubscribed_to(before)

    async def test_stops_itself_in_a_replay(self) -> None:
        """A handler that stops its subscription gets no more of a replay or a snapshot."""
        for options in ({"since": 0}, {"snapshot": True}):
            feed = await self.writer.feed("h", {"history": 5000})
            for number in range(1500):
                feed.publish(str(number), str(number))
            await feed.length()
            heard = Heard()
            got: list[Any] = []

            def handler(event: Event, heard: Any = heard, got: list[Any] = got) -> None:
                heard(event)
                if got:
                    got[0].stop()

            subscribing = self.thoonk.subscribe("h", handler, **options)
            subscribing.addCallback(lambda one, got=got: got.append(one) or one)  # type: ignore[call-overload]
            subscription = await subscribing
            await heard.take(1)
            subscription.stop()
            count = len(heard.calls)
            await feed.publish("x", "y")
            await self.told(await self.thoonk.subscribe("h"), "h")
            self.assertEqual(len(heard.calls), count)
            await feed.delete_feed()

    async def test_stops_another(self) -> None:
        """A handler may stop earlier and later subscriptions, which then get no more events."""
        others: list[Any] = []

        def handler(event: Event) -> None:
            self.heard(event)
            for other in others:
                other.stop()

        first, last = Heard(), Heard()
        others.append(await self.thoonk.subscribe("x", first))
        await self.thoonk.subscribe("x", handler)
        others.append(await self.thoonk.subscribe("x", last))
        await self.publish(0, 3)
        await self.heard.take(3)
        self.assertEqual(len(first.calls), 1)
        self.assertEqual(len(last.calls), 0)

    async def test_subscribes_from_within(self) -> None:
        """A subscription that a handler makes gets the events after the present one."""
        for history in (0, 10):
            feed = await self.writer.feed(f"h{history}", {"history": history})
            heard, inner = Heard(), Heard()
            subscribed: Deferred[None] = Deferred()

            async def handler(
                event: Event, heard: Any = heard, inner: Any = inner, subscribed: Any = subscribed
            ) -> None:
                heard(event)
                if event.item == "0":
                    await self.thoonk.subscribe(event.feed, inner)
                    subscribed.callback(None)

            await self.thoonk.subscribe(f"h{history}", handler)
            await feed.publish("0", "a")
            await subscribed
            await feed.publish("1", "a")
            await feed.publish("2", "a")
            await heard.take(3)
            self.assertEqual([event.item for event in await inner.take(2)], ["1", "2"])

    async def test_since_its_own_event(self) -> None:
        """A handler may subscribe since its event's cursor, and gets the next event first."""
        feed = await self.writer.feed("h", {"history": 100})
        inner = Heard()
        subscribed: list[Any] = []

        def handler(event: Event) -> None:
            self.heard(event)
            if event.item == "2":
                subscribed.append(self.thoonk.subscribe("h", inner, since=event.cursor))

        await self.thoonk.subscribe("h", handler)
        for number in range(10):
            feed.publish(str(number), "a")
        await inner.take(7)
        self.assertEqual([event.revision for event in inner.events], list(range(4, 11)))
        await self.heard.take(10)
        self.assertEqual(self.items(), [str(number) for number in range(10)])

    async def test_reads_from_within(self) -> None:
        """A handler may read and write the feed, and wait for the result."""
        feed = await self.thoonk.feed("x")

        async def handler(event: Event) -> None:
            self.heard(event)
            if event.item == "0":
                await feed.publish("1", "b")
            self.assertTrue(await feed.has_id("b"))

        await self.thoonk.subscribe("x", handler)
        await self.publish(0, 1)
        self.assertEqual(
            briefs(await self.heard.take(2)), [("publish", "a", "0"), ("publish", "b", "1")]
        )
