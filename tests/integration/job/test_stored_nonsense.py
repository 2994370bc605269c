"""Invalid numbers that other programs stored: every verb completes or changes nothing."""

from __future__ import annotations

from tests.support.hostile import FEED, JOB, HostileTestCase, Seen
from tests.support.waiting import until
from txthoonk.types import Job

TOO_LONG = ("1e300", "inf", "1e16", "999999999999", "0x7fffffffffffffff")
NO_REVISION = ("1000000000000000", "1e300", "nan", "inf", "-5", "0x7fffffffffffff", "9" * 400)


class JobTests(HostileTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.job: Job = await self.thoonk.job("x", {"timeout": 60})

    async def set(self, field: str, value: str) -> None:
        await self.raw.send("HSET", "feed.config:x", field, value)

    async def finished(self, id_: str) -> None:
        await self.job.put("item", id_=id_)
        await self.job.get()
        await self.job.finish(id_, "done")
        await self.thoonk.redis.ping()

    async def test_keep_results_for(self) -> None:
        """A keep_results_for that is too long for Redis keeps a result as long as possible."""
        for value in TOO_LONG:
            await self.set("keep_results_for", value)
            await self.finished("a")
            self.assertEqual(await self.job.get_result("a"), ("item", "done"), value)
            self.assertGreater(await self.raw.send("PTTL", b"feed.jobfinished:x\0a"), 10**11)

    async def test_keep_results_for_nothing(self) -> None:
        """A keep_results_for that is not a valid time keeps no results."""
        for value in ("nan", "-inf", "-1", "soon", ""):
            await self.set("keep_results_for", value)
            await self.finished("a")
            self.assertIsNone(await self.value("feed.results:x"), value)

    async def test_keep_results(self) -> None:
        """A fractional keep_results is rounded down, and an invalid one keeps nothing."""
        for value, most in (("2.5", 2), ("0.5", 0), ("nan", 0), ("1e1", 10), ("inf", 12)):
            await self.thoonk.delete_feed("x")
            self.job = await self.thoonk.job("x", {"timeout": 60})
            await self.set("keep_results", value)
            for number in range(12):
                await self.finished(str(number))
            await until(lambda: not self.job._finishing.forgetting._busy)
            self.assertEqual(await self.raw.send("ZCARD", "feed.results:x"), most, value)

    async def test_keep_stalled(self) -> None:
        """A fractional keep_stalled is rounded down; 0 or an invalid one removes nothing."""
        for value, most in (("2.5", 2), ("0.5", 2), ("nan", 2), ("1.9", 1)):
            for id_ in "abc":
                if not await self.job.has_id(id_):
                    await self.job.put("item", id_=id_)
                    await self.job.stall(await self.job.get())
            await self.set("keep_stalled", value)
            left = 3 if most == 2 and value != "2.5" else most
            await self.job.maintenance()
            self.assertEqual(await self.raw.send("SCARD", "feed.stalled:x"), left, value)

    async def test_count_of_failures(self) -> None:
        """An invalid failure count is read as a valid one; the job can still fail and finish."""
        for value in ("nan", "inf", "-3", "1e300", "many"):
            await self.job.put("item", id_="a")
            await self.raw.send("HSET", "feed.cancelled:x", "a", value)
            claim = await self.job.get()
            self.assertTrue(0 <= claim.cancelled <= 10**15, claim.cancelled)
            self.assertEqual(await self.job.fail(claim, ValueError("no")), "available")
            await self.job.finish(await self.job.get())

    async def test_claims(self) -> None:
        """An invalid entry of one claim does not stop the renewal of others."""
        await self.job.put_many(["1", "2"], ids=["a", "b"])
        claims = [await self.job.get() for _ in range(2)]
        await self.raw.send("HSET", "feed.claims:x", "a", f"{claims[0].token} soon")
        await self.job.renew(claims[1])
        await self.job.maintenance()
        await self.job.finish(claims[1])
        self.assertEqual(await self.job.get_ids("claimed"), ["a"])

    async def test_infinite_scores(self) -> None:
        """A delayed job or a claim with an infinite score does not delay other jobs."""
        for score in ("inf", "-inf", "1e300"):
            await self.raw.send("ZADD", "feed.claimed:x", score, "nothing")
            await self.raw.send("ZADD", "feed.delayed:x", score, "none")
            get = self.job.get()
            await self.job.put("item", id_="a", delay=0.01)
            self.assertEqual((await get).id, "a")
            await self.job.finish("a")
            await self.raw.send("DEL", "feed.claimed:x", "feed.delayed:x")
        self.assertEqual(self.logged(), [])

    async def test_workers(self) -> None:
        """Worker entries without a current time are removed."""
        await self.everybody()
        values = ("1e300 {}", "nan {}", "-inf {}", "{}", "")
        for number, value in enumerate(values):
            await self.raw.send("HSET", f"feed.workers:{JOB}", number, value)
        assert self.thoonk.waiting_room.renewal is not None
        self.thoonk.waiting_room.renewal.renew()
        await self.until_reply("HLEN", f"feed.workers:{JOB}", holds=lambda reply: reply == 1)


class RevisionTests(HostileTestCase):
    async def test_revision(self) -> None:
        """After an invalid revision, subscribers get a resync and then every later change."""
        feed = await self.thoonk.feed(FEED, {"history": 10})
        seen = Seen()
        await self.thoonk.subscribe(FEED, seen)
        for number, value in enumerate(NO_REVISION):
            await self.raw.send("HSET", f"feed.revision:{FEED}", "\0revision", value)
            await feed.publish(f"good {2 * number}")
            await until(lambda: seen.kinds.count("resync") > number)  # noqa: B023
            await self.at_rest()
            await feed.publish(f"good {2 * number + 1}")
            await until(lambda: seen.good[-1:] == [f"good {2 * number + 1}"])  # noqa: B023
            self.assertLess(await feed.revision(), 100)
            self.assertEqual((await feed.get_history())[-1].item, f"good {2 * number + 1}")

    async def test_own_revision(self) -> None:
        """An item's revision above the feed's is ignored, and the item can be edited."""
        feed = await self.thoonk.feed(FEED, {"history": 10})
        await feed.publish("old", "a")
        for value in NO_REVISION:
            await self.raw.send("HSET", f"feed.revision:{FEED}", "a", value)
            _, revision = await feed.get_item("a", with_revision=True)
            self.assertLess(revision, 100, value)
            await feed.publish("new", "a", expect=revision)

    async def test_entries_of_others(self) -> None:
        """Entries that another program added after the last revision are ignored."""
        feed = await self.thoonk.feed(FEED, {"history": 10})
        await feed.publish("good 0")
        await self.raw.send("XADD", f"feed.history:{FEED}", f"{10**16}-0", "kind", "publish")
        self.assertEqual([event.item for event in await feed.get_history()], ["good 0"])
        seen = Seen()
        await self.thoonk.subscribe(FEED, seen, since=0)
        await until(lambda: seen.good == ["good 0"])
        await feed.publish("good 1")
        await until(lambda: seen.good[-1:] == ["good 1"])


class MessageTests(HostileTestCase):
    async def test_delayed(self) -> None:
        """No message on the channel of delayed jobs causes an error."""
        await self.everybody()
        self.logged()
        for message in (
            *(
                b"",
                b"a",
                b"a\0",
                b"a\0soon",
                b"a\0b\0c",
                b"a\0" + b"9" * 5000,
                b"a\0" + b"9" * 400,
            ),
            *("a\0\u0663".encode(), "a\0\u00b2".encode(), b"a\0-1", b"a\0inf", b"\xff\0\xff"),
        ):
            await self.raw.publish(f"feed.delayed:{JOB}".encode(), message)
        await self.good(0)
        self.assertEqual(self.logged(), [])

    async def test_flood(self) -> None:
        """Of thousands of invalid messages, some are logged and the rest only counted."""
        await self.everybody()
        self.logged()
        for kind in ("publish", "edit", "retract", "event"):
            for number in range(500):
                self.raw.publish(
                    f"feed.{kind}:{FEED}".encode(), b"x" if kind != "retract" else b"a\0"
                )
                if not number % 100:
                    await self.raw.send("PING")
        await self.good(0)
        lines = self.logged()
        self.assertTrue(0 < len(lines) < 200, len(lines))
        self.assertTrue(any("only counted" in line for line in lines))
