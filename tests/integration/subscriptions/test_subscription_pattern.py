"""A pattern subscription delivers the events of all feeds whose names match, now or later."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.subscriptions import (
    Heard,
    SubscriptionTestCase,
    brief,
    briefs,
    change,
    replayed,
    take,
)
from txthoonk.events import Event


def by_feed(events: list[Event]) -> dict[str, list[tuple[Any, ...]]]:
    """Group events by feed; events of different feeds have no order."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for event in events:
        found.setdefault(event.feed, []).append(brief(event))
    return found


class PatternTests(SubscriptionTestCase):
    async def test_matching(self) -> None:
        """A pattern selects feeds as Redis patterns do."""
        names = ["team:1:tasks", "team:1:x:tasks", "team:2:tasks", "team:*:tasks", "xteam:1:tasks"]
        feeds = [await self.writer.feed(name) for name in names]
        expected = {
            "team:1:*tasks": {"team:1:tasks", "team:1:x:tasks"},
            "team:?:tasks": {"team:1:tasks", "team:2:tasks", "team:*:tasks"},
            "team:\\*:tasks": {"team:*:tasks"},
            "team:[2-9]:tasks": {"team:2:tasks"},
            "team:1:tasks": {"team:1:tasks"},
            "*": set(names),
        }
        heard = {}
        for pattern in expected:
            heard[pattern] = Heard()
            await self.thoonk.subscribe_pattern(pattern, heard[pattern])
        for feed in feeds:
            await feed.publish(feed.name, "a")
        await self.told(await self.thoonk.subscribe("x"))
        for pattern, matching in expected.items():
            events = [event for event in heard[pattern].events if event.kind != "config"]
            self.assertEqual(
                by_feed(events), {name: [("publish", "a", name)] for name in matching}, pattern
            )

    async def test_life_of_a_feed(self) -> None:
        """A pattern follows feeds that are created later, deleted and created again."""
        for history in (0, 100):
            subscription = await self.thoonk.subscribe_pattern("team:*")
            feed = await self.writer.feed("team:1", {"history": history})
            await self.writer.feed("other")
            await feed.publish("1", "a")
            await feed.publish("2", "b")
            await feed.set_config({"max_length": 5})
            await feed.delete_feed()
            again = await self.writer.sorted_feed("team:1", {"history": history})
            await again.append("3")
            events = await take(subscription, 8)
            self.assertEqual(
                briefs(events),
                [
                    ("create",), ("publish", "a", "1"), ("publish", "b", "2"), ("config",),
                    ("delete",), ("create",), ("publish", "1", "3"), ("position", "1", ":end"),
                ],
            )  # fmt: skip
            revisions = [None, 1, 2, None, None, None, 1, 2] if history else [None] * 8
            self.assertEqual([event.revision for event in events], revisions)
            await subscription.stop()
            await again.delete_feed()
            await self.writer.delete_feed("other")

    async def test_all_types(self) -> None:
        """A pattern delivers the events of every feed type, with decoded items."""
        feed = await self.writer.feed("f", {"serializer": "json"})
        job = await self.writer.job("j", {"serializer": "bytes", "history": 10})
        subscription = await self.thoonk.subscribe_pattern("?")
        sorted_ = await self.writer.sorted_feed("s", {"serializer": "json"})
        await feed.publish({"a": 1}, "a")
        await job.put(b"\xff", id_="b")
        await job.get()
        await job.finish("b", b"\0")
        await sorted_.append([2])
        self.assertEqual(
            by_feed(await take(subscription, 8)),
            {
                "s": [("create",), ("publish", "1", [2]), ("position", "1", ":end")],
                "f": [("publish", "a", {"a": 1})],
                "j": [("put", "b", b"\xff"), ("claim", "b"), ("finish", "b", b"\0"),
                      ("finished", "b")],
            },
        )  # fmt: skip

    async def test_not_announced(self) -> None:
        """A pattern follows a feed that was never announced, from its first message on."""
        subscription = await self.thoonk.subscribe_pattern("?")
        await self.foreign_publish("q", "1", "i")
        await self.foreign_publish("q", "2", "j")
        await self.raw.sadd("feeds", "x")
        feed = await self.thoonk.feed("x")
        await feed.publish("1", "a")
        self.assertEqual(
            by_feed(await take(subscription, 3)),
            {"q": [("publish", "1", "i"), ("publish", "2", "j")], "x": [("publish", "a", "1")]},
        )

    async def test_overlapping(self) -> None:
        """Overlapping patterns and a plain subscription each deliver every event once."""
        for history in (0, 100):
            name = f"a:b{history}"
            feed = await self.writer.feed(name, {"history": history})
            both = await self.thoonk.subscribe_pattern("a:*")
            other = await self.thoonk.subscribe_pattern("*:b*")
            same = await self.thoonk.subscribe_pattern("a:*")
            plain = await self.thoonk.subscribe(name)
            for number in range(20):
                await feed.publish(str(number), "a")
                await feed.retract("a")
            events = await take(plain, 40)
            self.assertEqual(len({event.item for event in events}), 21)
            for subscription in (both, other, same):
                self.assertEqual(await take(subscription, 40), events)
                self.assertEqual(await self.told(subscription, name), [])
            for subscription in (both, other, same, plain):
                await subscription.stop()

    async def test_beginning(self) -> None:
        """A pattern subscription delivers every event after it fired, and none before."""
        feeds = [await self.writer.feed(f"x{n}", {"history": 10 * (n % 2)}) for n in range(50)]
        await gatherResults([feed.publish("old", "a") for feed in feeds])
        heard = Heard()
        await self.thoonk.subscribe_pattern("x*", heard)
        await gatherResults([feed.publish("new", "b") for feed in feeds])
        expected = {feed.name: [("publish", "b", "new")] for feed in feeds}
        self.assertEqual(by_feed(await heard.take(50)), expected)

    async def test_snapshot(self) -> None:
        """With ``snapshot=True``, each feed begins with its state, except queues and job feeds."""
        feed = await self.writer.feed("f", {"history": 10})
        await feed.publish("1", "a")
        sorted_ = await self.writer.sorted_feed("s")
        await gatherResults([sorted_.append(str(n)) for n in range(1500)])
        await self.writer.queue("q")
        job = await self.writer.job("j")
        subscription = await self.thoonk.subscribe_pattern("?", snapshot=True)
        events = await take(subscription, 3)
        states = {event.feed: event for event in events if event.feed == "f"}
        self.assertEqual({event.kind for event in events}, {"snapshot"})
        self.assertEqual(states["f"].item, [("a", "1")])
        self.assertEqual(states["f"].revision, 1)
        slices = [event for event in events if event.feed == "s"]
        sizes = [(len(one.item), one.more) for one in slices]
        self.assertEqual(sizes, [(1000, True), (500, False)])
        await job.put("i", id_="k")
        self.assertEqual(brief(await subscription.next()), ("put", "k", "i"))
        new = await self.writer.feed("n")
        await new.publish("2", "b")
        events = [await subscription.next()]
        while events[-1].kind in ("create", "snapshot") and ("b", "2") not in (
            events[-1].item or []
        ):
            events.append(await subscription.next())
        self.assertEqual(replayed(events, False).items, [("b", "2")])

    async def test_snapshot_while_written(self) -> None:
        """Snapshots and changes make up each feed, even one that is created meanwhile."""
        random = Random(7)
        feeds: dict[str, Any] = {}
        ids: dict[str, list[str]] = {}
        for number in range(6):
            await self.make(f"x{number}", feeds, ids)
        heard = Heard()
        subscribing = self.thoonk.subscribe_pattern("x*", heard, snapshot=True)
        for round_ in range(300):
            name = random.choice(list(feeds))
            await change(feeds[name], random, ids[name])
            if round_ % 50 == 25:
                await self.make(f"x1{round_}", feeds, ids)
        await subscribing
        await self.check(heard, feeds)

    async def make(self, name: str, feeds: dict[str, Any], ids: dict[str, list[str]]) -> None:
        history = {"history": 1000 * (len(feeds) % 2)}
        if len(feeds) % 4 < 2:
            feeds[name] = await self.writer.feed(name, history)
        else:
            feeds[name] = await self.writer.sorted_feed(name, history)
        ids[name] = []

    async def check(self, heard: Heard, feeds: dict[str, Any]) -> None:
        """Check that the received events make up all feeds."""
        for name, feed in feeds.items():
            contents = await self.contents(feed)
            while True:
                count = len(heard.calls)
                events = [event for event in heard.events if event.feed == name]
                if replayed(events, hasattr(feed, "append")).items == contents:
                    break
                await heard.wait(count + 1)

    async def test_reconnect(self) -> None:
        """A lost connection causes no gap in feeds with a history, and one resync in others."""
        feeds = [await self.writer.feed(f"x{n}", {"history": 100 * (n % 2)}) for n in range(10)]
        subscription = await self.thoonk.subscribe_pattern("x*")
        await gatherResults([feed.publish("0", "a") for feed in feeds])
        await take(subscription, 10)
        for round_ in range(1, 4):
            await self.kill("subscriber")
            await gatherResults([feed.publish(str(round_), "a") for feed in feeds])
            events: list[Event] = []
            while not self.has(events, 5, "resync") or not self.has(events, 5, "edit", odd=True):
                events.append(await subscription.next())
            found = by_feed(events)
            for feed in feeds[1::2]:
                self.assertEqual(found[feed.name], [("edit", "a", str(round_))])
            for feed in feeds[::2]:
                kinds = [kind for kind, *_ in found[feed.name]]
                self.assertEqual(kinds.count("resync"), 1)
            # An edit that was published after the resync may still be waiting.
            await self.told(subscription, "x0")

    def has(self, events: list[Event], count: int, kind: str, odd: bool = False) -> bool:
        found = [event for event in events if event.kind == kind]
        if odd:
            found = [event for event in found if int(event.feed[1:]) % 2]
        return len(found) == count

    async def test_made_while_away(self) -> None:
        """A pattern follows feeds that were created, deleted or recreated during an outage."""
        thoonk, gate = await self.gated()
        old = await self.writer.feed("x:old", {"history": 100})
        gone = await self.writer.feed("x:gone")
        await old.publish("1", "a")
        heard = Heard()
        await thoonk.subscribe_pattern("x:*", heard, snapshot=True)
        gate.shut()
        await gone.delete_feed()
        await old.delete_feed()
        feeds: dict[str, Any] = {
            "x:old": await self.writer.sorted_feed("x:old", {"history": 100}),
            "x:new": await self.writer.feed("x:new"),
            "x:newer": await self.writer.feed("x:newer", {"history": 10}),
        }
        for feed in feeds.values():
            for _ in range(3):
                await feed.publish("new")
        gate.open()
        await self.check(heard, feeds)
        kinds = [event.kind for event in heard.events if event.feed == "x:gone"]
        self.assertIn(kinds[-1], ("resync", "delete", "snapshot"))
        self.assertGreater(len(kinds), 1)
        await feeds["x:newer"].publish("live", "z")
        await self.check(heard, feeds)

    async def test_killed_while_written(self) -> None:
        """The state of every feed is correct at the end, whichever connections were killed."""
        random = Random(11)
        feeds: dict[str, Any] = {}
        ids: dict[str, list[str]] = {}
        for number in range(6):
            await self.make(f"x{number}", feeds, ids)
        heard = Heard()
        await self.thoonk.subscribe_pattern("x*", heard, snapshot=True)
        for round_ in range(12):
            whom = (["subscriber"], ["publisher"], ["subscriber", "publisher"])[round_ % 3]
            killing = Deferred.fromCoroutine(self.kill(*whom))
            for _ in range(30):
                name = random.choice(list(feeds))
                await change(feeds[name], random, ids[name])
            await killing
            if round_ % 4 == 0:
                await self.make(f"x1{round_}", feeds, ids)
        for name, feed in feeds.items():
            await self.thoonk.subscribe(name)
            await feed.publish("last")
        await self.check(heard, feeds)

    async def test_stops_from_within(self) -> None:
        """A handler that stops its pattern subscription gets no more events."""
        feeds = [await self.writer.feed(name) for name in "xyz"]
        before = await self.subscribed()
        heard = Heard()

        def handler(event: Event) -> None:
            heard(event)
            subscription.stop()

        subscription = await self.thoonk.subscribe_pattern("?", handler)
        for feed in feeds:
            await feed.publish("i", "a")
        await self.unsubscribed_to(before)
        self.assertEqual(briefs(heard.events), [("publish", "a", "i")])
