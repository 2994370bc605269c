"""Feed: items are strictly in publish order, whatever their scores are."""

from __future__ import annotations

import math
import sys
from typing import Any

from twisted.internet.defer import gatherResults

from tests.support.feed import PUBLISH, FeedTestCase
from txthoonk.errors import ThoonkError

DAY = 86_400_000.0  # milliseconds


class OrderTests(FeedTestCase):
    async def seed(self, **scores: float) -> None:
        """Store items with these scores, as other programs do."""
        for id_, score in scores.items():
            await self.raw.send("ZADD", "feed.ids:x", repr(score), id_)
            await self.raw.send("HSET", "feed.items:x", id_, f"old {id_}")

    async def scored(self) -> dict[str, float]:
        return {id_.decode(): score for id_, score in await self.value("feed.ids:x")}

    async def assertFollows(self, last: float, count: int = 5) -> list[float]:
        """Publish items whose ids sort in reverse; check that all follow *last*, in order."""
        before = await self.feed.get_ids()
        ids = [f"z{99 - number}" for number in range(count)]
        await gatherResults([self.feed.publish("new", id_) for id_ in ids])
        self.assertEqual(await self.feed.get_ids(), before + ids)
        scores = (await self.scores())[-count:]
        self.assertEqual(scores, sorted(set(scores)), "scores are not strictly rising")
        self.assertGreater(scores[0], last)
        return scores

    async def test_clock(self) -> None:
        """A score is the server's time in milliseconds, with microseconds as its fraction."""
        before = await self.now()
        await self.feed.publish("i", "1")
        (score,) = await self.scores()
        self.assertLessEqual(before, score)
        self.assertLessEqual(score, await self.now())
        for number in range(20):
            await self.feed.publish("i", str(number))
        fractions = {round(score % 1 * 1000) for score in await self.scores()}
        self.assertGreater(len(fractions), 1, "no score has a fraction")

    async def test_one_millisecond(self) -> None:
        """Items of one millisecond stay in publish order, whatever the order of their ids."""
        ids = [f"{number:05}" for number in range(5000, 0, -1)]
        await gatherResults([self.feed.publish("i", id_) for id_ in ids])
        self.assertEqual(await self.feed.get_ids(), ids)
        self.assertEqual([id_ for id_, _ in await self.feed.get_range(0, -1)], ids)
        self.assertEqual(list(await self.feed.get_all()), ids)
        scores = await self.scores()
        self.assertEqual(len(set(scores)), len(ids))
        self.assertLess(len(set(map(int, scores))), len(ids), "no two in one millisecond")

    async def test_edits_in_one_millisecond(self) -> None:
        """Edits within one millisecond move items to the end in the order of the edits."""
        ids = await self.fill(500)
        await gatherResults([self.feed.publish("e", id_) for id_ in reversed(ids)])
        self.assertEqual(await self.feed.get_ids(), ids[::-1])

    async def test_future(self) -> None:
        """After the clock was set back, new items still come last, with the next higher scores."""
        last = await self.now() + DAY
        await self.seed(a=last - 5, b=last)
        scores = await self.assertFollows(last)
        for before, score in zip([last, *scores], scores, strict=False):
            # Each score is a microsecond higher, as exactly as a double can hold it.
            self.assertLess(abs(score - before - 0.001), 0.0005)

    async def test_future_and_the_edit_of_the_last(self) -> None:
        """An edit's score is above the feed's last, even if the edited item is the last."""
        last = await self.now() + DAY
        await self.seed(a=last - 5, b=last)
        await self.feed.publish("new", "b")
        scored = await self.scored()
        self.assertGreater(scored["b"], last)
        await self.feed.publish("new", "a")
        self.assertEqual(await self.feed.get_ids(), ["b", "a"])
        self.assertGreater((await self.scored())["a"], scored["b"])

    async def test_seconds(self) -> None:
        """Items that thoonk.py scored in seconds stay before all new ones."""
        seconds = await self.now() / 1000
        await self.seed(a=seconds - 100, b=seconds)
        await self.assertFollows(seconds)
        await self.feed.publish("moved", "a")
        self.assertEqual((await self.feed.get_ids())[0], "b")
        self.assertEqual((await self.feed.get_ids())[-1], "a")

    async def test_seconds_in_a_full_feed(self) -> None:
        """max_length drops items scored in seconds first."""
        seconds = await self.now() / 1000
        await self.seed(a=seconds - 100, b=seconds)
        await self.feed.set_config({"max_length": 2})
        await self.spied.messages()
        await self.feed.publish("new", "0")
        self.assertEqual(await self.stored(), ["b", "0"])
        expected = [(b"feed.retract:x", b"a"), (PUBLISH, b"0\0new")]
        self.assertEqual(await self.spied.messages(), expected)

    async def test_microseconds_vanish(self) -> None:
        """If a double cannot hold another microsecond, the score is the next double."""
        for last in (2.0**53 * 8, 2.0**53, 1e300, 2.0**44, 2.0**1000, 1e16):
            await self.raw.send("DEL", "feed.ids:x", "feed.items:x")
            await self.seed(a=last)
            scores = await self.assertFollows(last)
            if last + 0.001 == last:
                expected = last
                for score in scores:
                    expected = math.nextafter(expected, math.inf)
                    self.assertEqual(score, expected)

    async def test_negative_scores(self) -> None:
        """Items with negative scores come before all new ones."""
        await self.seed(a=-1e300, b=-5.0, c=0.0)
        before = await self.now()
        (score, *_) = await self.assertFollows(0.0)
        self.assertGreaterEqual(score, before)

    async def test_end_of_all_doubles(self) -> None:
        """If no finite score is left, a publish either keeps the order or changes nothing."""
        for last in (sys.float_info.max, math.inf):
            await self.raw.send("DEL", "feed.ids:x", "feed.items:x")
            await self.raw.send("ZADD", "feed.ids:x", repr(last), "z")
            await self.raw.send("HSET", "feed.items:x", "z", "old")
            await self.spied.messages()
            for id_ in ("b", "a"):
                before = await self.state()
                published: Any = await self.feed.publish("new", id_).addErrback(
                    lambda reason: reason.value
                )
                if published == id_:
                    self.assertEqual((await self.feed.get_ids())[-1], id_)
                    self.assertGreater((await self.scores())[-1], (await self.scores())[-2])
                else:
                    self.assertIsInstance(published, ThoonkError)
                    self.assertEqual(await self.state(), before)

    async def test_two_publishers(self) -> None:
        """Items of concurrent publishers are in the order of their events."""
        other = await (await self.pub()).feed("x")
        calls = []
        for number in range(300):
            calls.append(self.feed.publish("i", f"a{300 - number:03}"))
            calls.append(other.publish("i", f"b{300 - number:03}"))
        await gatherResults(calls)
        told = [message.split(b"\0")[0].decode() for _, message in await self.spied.messages()]
        self.assertEqual(len(told), 600)
        self.assertEqual(await self.feed.get_ids(), told)
