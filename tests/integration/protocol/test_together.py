"""Each of many calls in one reactor turn acts and replies as if it were alone."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from tests.support import RedisTestCase
from tests.support.together import each
from txthoonk import Thoonk
from txthoonk.errors import (
    Conflict,
    ConnectionLost,
    FeedDoesNotExist,
    InvalidData,
    ItemDoesNotExist,
    JobExists,
    ResponseError,
)
from txthoonk.events import Event
from txthoonk.types import Feed

MANY = 300


class TogetherTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()

    async def evalshas(self) -> int:
        return await self.commands("evalsha")

    async def commands(self, name: str) -> int:
        """Return how many of these commands the server has executed."""
        info = str((await self.raw.send("INFO", "commandstats")).decode())
        lines = [line for line in info.splitlines() if line.startswith(f"cmdstat_{name}:")]
        return int(lines[0].split("calls=")[1].split(",")[0]) if lines else 0

    async def test_publish(self) -> None:
        """A batch publishes items in the order of the calls, and edits those that exist."""
        feed = await self.pub_.feed("news", {"max_length": MANY})
        spy = await self.spy()
        before = await self.evalshas()
        ids = [str(number) for number in range(MANY)]
        fired = await gatherResults([feed.publish(f"item {id_}", id_) for id_ in ids])
        self.assertEqual(fired, ids)
        self.assertLess(await self.evalshas() - before, MANY / 10)
        published = [(b"feed.publish:news", f"{i}\0item {i}".encode()) for i in ids]
        self.assertEqual(await spy.messages(), published)
        # The batch includes one edit and one new item that drops the oldest.
        fired = await gatherResults(
            [feed.publish("x", "1"), feed.publish("e", "1"), feed.publish("n", "new")]
        )
        self.assertEqual(fired, ["1", "1", "new"])
        self.assertEqual(await feed.get_ids(), ["2", *ids[3:], "1", "new"])
        self.assertEqual(await feed.get_item("1"), "e")
        self.assertEqual(
            await spy.messages(),
            [
                (b"feed.edit:news", b"1\0x"),
                (b"feed.edit:news", b"1\0e"),
                (b"feed.retract:news", b"0"),
                (b"feed.publish:news", b"new\0n"),
            ],
        )
        self.assertEqual(await self.raw.get("feed.publishes:news"), b"%d" % (MANY + 3))
        scores = [score for _, score in await self.value("feed.ids:news")]
        self.assertEqual(scores, sorted(set(scores)))

    async def test_sorted_feed(self) -> None:
        """A batch adds items to either end in order, around items placed between others."""
        feed = await self.pub_.sorted_feed("news", {"history": 100})
        spy = await self.spy()
        before = await self.evalshas()
        fired = await each(
            [
                feed.append("1"),
                feed.append("2"),
                feed.prepend("3"),
                feed.append("4"),
                feed.publish_before("4", "5"),
                feed.publish_after("9", "nowhere"),
                feed.append("6"),
                feed.prepend("7"),
            ]
        )
        self.assertIsInstance(fired.pop(5), ItemDoesNotExist)
        self.assertEqual(fired, list("1234567"))
        self.assertEqual(await self.evalshas() - before, 5)
        self.assertEqual(await feed.get_ids(), list("7312546"))
        self.assertEqual(await feed.get_all(), {id_: id_ for id_ in "7312546"})
        places = [b":end", b":end", b"begin:", b":end", b":4", b":end", b"begin:"]
        told = []
        for number, place in enumerate(places, 1):
            told.append((b"feed.publish:news", b"%d\0%d" % (number, number)))
            told.append((b"feed.position:news", b"%d\0%s" % (number, place)))
        messages = [one for one in await spy.messages() if one[0] != b"feed.event:news"]
        self.assertEqual(messages, told)
        events: list[Event] = await feed.get_history()
        self.assertEqual([event.revision for event in events], list(range(1, 15)))
        self.assertEqual(await self.raw.get("feed.publishes:news"), b"7")

    async def test_reads(self) -> None:
        """Reads of one turn share a few commands, and each call gets its own reply."""
        feed = await self.pub_.feed("news", {"serializer": "bytes"})
        other = await self.pub_.queue("other")
        waiting = await other.put("elsewhere")
        await feed.publish(b"\xff\0", "raw")
        for number in range(MANY):
            await feed.publish(b"%d" % number, str(number))
        before = await self.commands("hmget")
        wanted = [str(number) for number in range(MANY)]
        fired = await each(
            [
                *(feed.get_item(id_) for id_ in wanted),
                feed.get_item("none"),
                other.get_item(waiting),
                feed.get_item("raw"),
                feed.get_item("\ud800"),
                feed.get_item("0"),
                feed.publish(b"new", "0"),
                feed.get_item("0"),
            ]
        )
        self.assertEqual(fired[:MANY], [id_.encode() for id_ in wanted])
        self.assertEqual(fired[MANY : MANY + 3], [None, "elsewhere", b"\xff\0"])
        self.assertIsInstance(fired[MANY + 3], InvalidData)
        self.assertEqual(fired[MANY + 4 :], [b"0", "0", b"new"])
        self.assertLess(await self.commands("hmget") - before, MANY / 10)

    async def test_history(self) -> None:
        """Each call of a batch gets the next revision, and can expect that of the call before."""
        feed: Feed = await self.pub_.feed("news", {"history": 100})
        fired = await each(
            [
                feed.publish("first", "a", expect=0),
                feed.publish("second", "a", expect=1),
                feed.publish("late", "a", expect=1),
                feed.publish("third", "a", expect=2),
                feed.publish("new", "b", expect=0),
            ]
        )
        self.assertEqual(fired[:2] + fired[3:], ["a", "a", "a", "b"])
        self.assertIsInstance(fired[2], Conflict)
        self.assertEqual((fired[2].revision, fired[2].item), (2, "second"))
        events: list[Event] = await feed.get_history()
        self.assertEqual(
            [(event.revision, event.kind, event.id, event.item) for event in events],
            [
                (1, "publish", "a", "first"),
                (2, "edit", "a", "second"),
                (3, "edit", "a", "third"),
                (4, "publish", "b", "new"),
            ],
        )

    async def test_jobs(self) -> None:
        """A job that already exists fails alone, even if the same batch put it."""
        job = await self.pub_.job("work")
        await job.put("0", id_="there")
        fired = await each(
            [
                job.put("1", id_="a"),
                job.put("2", id_="there"),
                job.put("3", id_="b"),
                job.put("4", id_="a"),
                job.put("5", id_="c"),
            ]
        )
        self.assertEqual([fired[0], fired[2], fired[4]], ["a", "b", "c"])
        for error, id_ in ((fired[1], "'there'"), (fired[3], "'a'")):
            self.assertIsInstance(error, JobExists)
            self.assertIn(id_, str(error))
        claims = await gatherResults([job.get() for _ in range(4)])
        self.assertEqual(
            [(claim.id, claim.item) for claim in claims],
            [("there", "0"), ("a", "1"), ("b", "3"), ("c", "5")],
        )
        self.assertEqual((await job.stats())["publishes"], 4)

    async def test_priorities(self) -> None:
        """A batch of puts with high priority gives the same order as single calls."""
        for feed in (await self.pub_.queue("q"), await self.pub_.job("j")):
            calls = [feed.put(text, int(text.isupper())) for text in "abAcBC"]
            await gatherResults(calls)
            taken = await gatherResults([feed.get() for _ in calls])
            items = [getattr(one, "item", one) for one in taken]
            self.assertEqual("".join(items), "CBAabc")

    async def test_missing_feed(self) -> None:
        """Calls on a deleted feed fail, and other calls of the turn succeed."""
        feed, other = await self.pub_.feed("news"), await self.pub_.feed("other")
        await feed.delete_feed()
        fired = await each(
            [
                other.publish("0", "a"),
                feed.publish("1"),
                feed.publish("2"),
                other.publish("3", "b"),
            ]
        )
        self.assertEqual([fired[0], fired[3]], ["a", "b"])
        for error in fired[1:3]:
            self.assertIsInstance(error, FeedDoesNotExist)

    async def test_channel_refused(self) -> None:
        """Only edits fail if the user may not publish edit events, and they change nothing."""
        feed = await self.pub_.feed("news")
        await feed.publish("old", "known")
        rules = ("on", ">secret", "allkeys", "allcommands", "resetchannels", "&feed.publish:*")
        await self.raw.send("ACL", "SETUSER", "teller", *rules)
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "teller")
        mute = Feed(await self.pub(username="teller", password="secret"), "news")
        fired = await each([mute.publish(id_, id_) for id_ in ("a", "b", "known", "c")])
        self.assertEqual([*fired[:2], fired[3]], ["a", "b", "c"])
        self.assertIsInstance(fired[2], ResponseError)
        self.assertEqual(await feed.get_all(), {"known": "old", "a": "a", "b": "b", "c": "c"})
        self.assertEqual(await self.raw.get("feed.publishes:news"), b"4")

    async def test_outage(self) -> None:
        """Calls that wait for a connection are sent when there is one."""
        thoonk = Thoonk(self.target.text, reactor, wait=5)
        self.addCleanup(thoonk.close)
        feed = Feed(thoonk, "news")
        await self.pub_.feed("news")
        thoonk.startService()
        calls = [feed.publish(str(number), str(number)) for number in range(MANY)]
        self.assertEqual(await gatherResults(calls), [str(number) for number in range(MANY)])
        self.assertEqual(await feed.get_ids(), [str(number) for number in range(MANY)])

    async def test_never_connected(self) -> None:
        """Calls that were never sent fail with an error that says so."""
        thoonk = Thoonk(self.target.text, reactor, wait=5)
        thoonk.startService()
        fired = each([Feed(thoonk, "news").publish("x") for _ in range(3)])
        await thoonk.close()
        for error in await fired:
            self.assertIsInstance(error, ConnectionLost)
            self.assertIn("does not run", str(error))
