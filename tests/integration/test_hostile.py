"""A peer publishes garbage on every channel while all kinds of listeners use a real server."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from tests.support import parts_of
from tests.support.fuzzing import ESCAPES, EVENT_MESSAGES, MESSAGES, as_bytes
from tests.support.hostile import FEED, JOB, QUEUE, HostileTestCase, Seen, reactor, samples
from tests.support.waiting import until
from txthoonk.events import CHANNELS, ITEM_KINDS, item_channel
from txthoonk.subscriptions.following._restraint import LOOKS, WINDOW

CHANNEL_NAMES = [
    *CHANNELS.values(),
    *(item_channel(kind, feed) for kind in ITEM_KINDS for feed in (FEED, JOB, QUEUE)),
    *(f"feed.{what}:{feed}" for what in ("event", "delayed") for feed in (FEED, JOB, QUEUE)),
    "feed.publish:nobody's",
    "feed.event:nobody's",
    f"feed.publish:{ESCAPES}",
    "feed.publish:",
]


class GarbageTests(HostileTestCase):
    async def test_garbage(self) -> None:
        """Garbage on every channel stops nothing: each good item is delivered once, in order."""
        await self.everybody()
        await self.good(0)
        messages = samples(MESSAGES, 60) + samples(EVENT_MESSAGES, 60)
        self.logged()
        published = 0
        for round_ in range(1, 4):
            for number, channel in enumerate(CHANNEL_NAMES):
                some = [
                    messages[(number * 7 + round_ * 31 + at) % len(messages)] for at in range(8)
                ]
                sent = [self.raw.publish(channel.encode(), as_bytes(message)) for message in some]
                published += len(await gatherResults(sent))
            await self.at_rest()
            await self.good(round_)
        goods = [f"good {number}" for number in range(4)]
        await until(lambda: self.followed.good == goods and self.handled.good == goods)
        self.assertEqual([item for item in self.worked if item.startswith("good")], goods)
        self.assertEqual(sorted(set(self.matched.good)), goods)
        await until(lambda: self.mirror.current)
        self.assertEqual(dict(self.mirror), await self.feed.get_all())
        lines = self.logged()
        self.assert_sober(lines)
        self.assertTrue(lines)
        # An invalid message may reach a handler, a subscription and a pattern subscription.
        self.assertLessEqual(len(lines), 2 * published)

    async def test_once(self) -> None:
        """An invalid message is logged once, with its channel and without its content."""
        feed = await self.thoonk.feed(FEED)
        await self.thoonk.job(JOB)
        seen, handled = Seen(), Seen()
        await self.thoonk.subscribe(FEED, seen)
        await self.thoonk.subscribe(JOB, seen)
        await self.thoonk.register_handler(f"feed.publish:{FEED}", handled.handle)
        for number, (channel, bad) in enumerate(
            (
                (f"feed.publish:{FEED}", b"no separator"),
                (f"feed.publish:{FEED}", b""),
                (f"feed.publish:{FEED}", b"\xff" * 10_000_000),
                (f"feed.edit:{FEED}", b"1"),
                (f"feed.retract:{FEED}", b"1\0x"),
                (f"feed.position:{FEED}", b"1"),
                (f"feed.event:{FEED}", b"a\0x\0publish\0001\0x"),
                (f"feed.event:{FEED}", b"a\0001\0unheard-of\0001\0x"),
                (f"feed.event:{FEED}", b"\x1b[2J" * 1_000_000),
                (f"job.finish:{JOB}", b"1"),
                (f"feed.finishes:{JOB}", b"1\0x"),
                (f"feed.progress:{JOB}", b"1"),
                (f"feed.claimed:{JOB}", b"\0\0"),
            )
        ):
            self.logged()
            await self.raw.publish(channel, bad)
            await feed.publish(f"good {number}")
            await until(lambda: len(seen.good) == len(handled.good) == number + 1)  # noqa: B023
            lines = self.logged()
            self.assertEqual(len(lines), 1, (channel, lines))
            self.assert_sober(lines)
            self.assertIn(channel, lines[0])
        self.assertIsNone(parts_of(f"feed.publish:{FEED}", "no separator"))

    async def test_big(self) -> None:
        """Messages of 5 and 10 MB are handled like all others, valid or not."""
        await self.everybody()
        self.logged()
        big = b"\x1b[2J" + b"x" * 5_000_000
        for channel in ("feed.publish:" + FEED, "conffeed", "feed.event:" + FEED, "newfeed"):
            for message in (big, big + b"\0" + big, b"1\0" + big):
                await self.raw.publish(channel, message)
                await self.settled()  # Redis drops clients whose output buffer is full
        await self.good(0)
        await until(lambda: self.followed.good == self.handled.good == ["good 0"])
        self.assert_sober(self.logged())

    async def test_waiting(self) -> None:
        """Messages about other jobs do not end a wait for a result."""
        await self.everybody()
        await self.worker.stopService()
        id_ = await self.job.put("x")
        waits = [self.job.wait(id_), self.job.get_result(id_)]
        await self.numsub(f"job.finish:{JOB}", 2)
        for channel in ("job.finish", "feed.finishes", "feed.stalled", "feed.retract"):
            for message in (
                b"",
                b"\0",
                id_[:-1].encode(),
                b"\xff\0x",
                b"\0" * 99,
                id_.encode() * 9,
            ):
                await self.raw.publish(f"{channel}:{JOB}", message)
        await self.settled()
        self.assertEqual([wait.called for wait in waits], [False, False])
        claim = await self.job.get()
        await self.job.finish(claim, "done")
        self.assertEqual(await gatherResults(waits), ["done", ("x", "done")])


class FloodTests(HostileTestCase):
    """A flood of messages costs neither many calls nor much memory."""

    MANY = 400

    async def cost(self, channel: str, make: object, at_once: bool, followers: int = 1) -> int:
        """Publish many messages, and return how many calls they cost.

        :param followers: how many follow the feed: a subscription and a pattern are two.
        """
        before, begin = await self.calls(), reactor.seconds()
        sent = []
        for number in range(self.MANY):
            sent.append(self.raw.publish(channel, make(number)))  # type: ignore[operator]
            if not at_once:
                await sent.pop()
        await gatherResults(sent)
        await self.settled()
        # Each follower may look LOOKS times in a window; each look is two calls.
        windows = int((reactor.seconds() - begin) / WINDOW) + 1
        self.allowed = windows * LOOKS * followers
        return await self.calls() - before - 2 * self.allowed

    async def follow(self) -> Seen:
        self.feed = await self.thoonk.feed(FEED, {"history": 1000})
        seen = Seen()
        self.subscription = await self.thoonk.subscribe(FEED, seen)
        await self.feed.publish("good 0")
        await until(lambda: seen.good == ["good 0"])
        return seen

    async def still_good(self, seen: Seen) -> None:
        await self.at_rest()
        await self.feed.publish("good 1")
        await until(lambda: seen.good == ["good 0", "good 1"])

    async def position(self) -> tuple[str, int]:
        (event,) = await self.feed.get_history(count=1)
        return event.epoch or "", event.revision or 0

    async def test_unknown_revision(self) -> None:
        """One message with a revision that does not exist costs one look, not a series of them."""
        seen = await self.follow()
        epoch, revision = await self.position()
        before = await self.calls()
        message = f"{epoch}\0{revision + 1000}\0publish\0x\0forged"
        await self.raw.publish(f"feed.event:{FEED}", message)
        for _ in range(50):
            await self.thoonk.redis.ping()
        self.assertLess(await self.calls() - before, 5)
        await self.still_good(seen)

    async def test_unknown_epochs(self) -> None:
        """A flood of messages of other epochs costs few looks and few resyncs."""
        for at_once in (True, False):
            seen = await self.follow()
            cost = await self.cost(
                f"feed.event:{FEED}", lambda number: f"{number:016x}\x005\0publish\0x\0y", at_once
            )
            self.assertLess(cost, self.MANY / 4)
            self.assertLess(seen.kinds.count("resync") - self.allowed, self.MANY / 4)
            await self.still_good(seen)
            self.subscription.stop()
            await self.thoonk.delete_feed(FEED)

    async def test_writers_without_history(self) -> None:
        """A flood of messages without revisions, on a feed with a history, costs few looks."""
        for at_once in (True, False):
            seen = await self.follow()
            cost = await self.cost(f"feed.publish:{FEED}", lambda number: f"x\0{number}", at_once)
            self.assertLess(cost, self.MANY / 4)
            await self.still_good(seen)
            self.subscription.stop()
            await self.thoonk.delete_feed(FEED)

    async def test_configured(self) -> None:
        """A flood of messages that a feed was configured costs few looks."""
        seen = await self.follow()
        await self.cost_of_config(True)
        await self.cost_of_config(False)
        await self.still_good(seen)

    async def cost_of_config(self, at_once: bool) -> None:
        cost = await self.cost("conffeed", lambda number: f"{FEED}\0x", at_once)
        self.assertLess(cost, self.MANY / 4)

    async def test_workers(self) -> None:
        """A flood for workers and waiting callers costs few calls, and they continue to work."""
        await self.everybody()
        for channel, message in (
            ("conffeed", f"{JOB}\0x"),
            ("conffeed", f"{QUEUE}\0x"),
            (f"feed.delayed:{JOB}", "x\x000"),
            (f"feed.delayed:{JOB}", "x"),
            (f"feed.finishes:{JOB}", "x"),
        ):
            cost = await self.cost(channel, lambda number: message, False, 2)  # noqa: B023
            self.assertLess(cost, self.MANY, (channel, message))
        await self.good(1)

    async def test_names(self) -> None:
        """Names of feeds that do not exist do not fill the memory of a pattern subscription."""
        seen = Seen()
        await self.thoonk.subscribe_pattern("*", seen)
        (pattern,) = self.thoonk._sources._patterns
        for channel in ("feed.publish:{}", "feed.event:{}", "newfeed"):
            sent = [
                self.raw.publish(channel.format(number), f"{number}\0x")
                for number in range(self.MANY)
            ]
            await gatherResults(sent)
            await self.settled()
            self.assertLess(len(pattern.sources), self.MANY / 4, channel)

    async def test_slow(self) -> None:
        """A subscriber that takes no events holds a bounded number of notices about the feed."""
        await self.thoonk.feed(FEED)
        subscription = await self.thoonk.subscribe(FEED, limit=10)
        (literal,) = self.thoonk._sources._literal.values()
        (follower,) = literal.source.followers
        for _ in range(4):
            told = [self.raw.publish("conffeed", f"{FEED}\0x") for _ in range(5000)]
            await gatherResults(told)
            await self.settled()
        held = len(follower.held)  # type: ignore[attr-defined]
        self.assertLess(subscription.backlog + held, 11_000)
