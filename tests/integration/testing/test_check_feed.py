"""check_feed on real feeds: sound, damaged, and in use."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support import RedisTestCase, server_url
from txthoonk import Job, Thoonk
from txthoonk.errors import ConnectionLost, InvalidCommand, InvalidInput
from txthoonk.testing import check_feed

TYPES = ("feed", "sorted_feed", "queue", "pyqueue", "job")

#: Type of a feed -> commands that damage it, with findings that are always reported.
DAMAGE: dict[str, list[tuple[tuple[Any, ...], str]]] = {
    "feed": [
        (("HDEL", "feed.items:x", "b"), "in feed.ids:x without an item: 'b'"),
        (("ZREM", "feed.ids:x", "b"), "in feed.items:x, but not in feed.ids:x: 'b'"),
        (("SET", "feed.publishes:x", "1"), "feed.publishes:x is 1, but there are 2 items"),
        (("ZADD", "feed.ids:x", "+inf", "b"), "infinite score in feed.ids:x: 'b'"),
        (("XDEL", "feed.history:x", "2-0"), "feed.history:x has revision 3 after 1"),
        (("HSET", "feed.items:x", "b", "other"), "than in feed.history:x: 'b'"),
        (("HSET", "feed.revision:x", "b", "1"), "than their last publish or edit: 'b'"),
        (("SADD", "feed.stalled:x", "b"), "of type 'feed' does not use: 'feed.stalled:x'"),
    ],
    "sorted_feed": [
        (("RPUSH", "feed.ids:x", "1"), "more than once in feed.ids:x: '1'"),
        (("LREM", "feed.ids:x", "0", "1"), "but not in feed.ids:x: '1'"),
        (("SET", "feed.idincr:x", "many"), "feed.idincr:x is not a whole number from 0: 'many'"),
    ],
    "queue": [(("RPUSH", "feed.ids:x", "a", "a"), "more than once in feed.ids:x: 'a'")],
    "job": [
        (("SADD", "feed.stalled:x", "line"), "both in feed.ids:x and in feed.stalled:x: 'line'"),
        (("SREM", "feed.stalled:x", "bad"), "jobs that are not in feed.published:x: 'bad'"),
        (("HDEL", "feed.items:x", "bad"), "in feed.stalled:x without an item: 'bad'"),
        (("ZREM", "feed.published:x", "line"), "not in feed.published:x: 'line'"),
        (("HSET", "feed.cancelled:x", "who", "1"), "in feed.cancelled:x, but no job: 'who'"),
        (("HDEL", "feed.later:x", "soon"), "in feed.delayed:x, but not in feed.later:x: 'soon'"),
        (("SET", "feed.finishes:x", "9"), "and 9 were finished"),
        (
            ("HSET", "feed.claims:x", "mine", "?"),
            "in feed.claims:x with a value that cannot be read",
        ),
        (("PERSIST", "feed.jobfinished:x\0done"), "kept forever: 'feed.jobfinished:x"),
        (("SET", "feed.claimed:x", "1"), "feed.claimed:x is a string, not a zset"),
    ],
}

#: The same for findings that are reported only of settled feeds.
UNSETTLED: dict[str, list[tuple[tuple[Any, ...], str]]] = {
    "feed": [
        (("HSET", "feed.config:x", "max_length", "1"), "2 items, but max_length is 1"),
        (("INCR", "feed.publishes:x"), "another program wrote without a history"),
        (("HSET", "feed.config:x", "history", "often"), "configuration 'history' must be"),
    ],
    "sorted_feed": [
        (("SET", "feed.idincr:x", "1"), "feed.idincr:x is 1, but these ids are higher")
    ],
    "queue": [
        (("RPUSH", "feed.ids:x", "gone"), "in feed.ids:x without an item: 'gone'"),
        (("RPOP", "feed.ids:x"), "items that are in no state"),
        (("LMOVE", "feed.ids:x", "feed.transit:x", "RIGHT", "LEFT"), "on its way"),
    ],
    "job": [
        (("RPOP", "feed.ids:x"), "items that are in no state: 'line'"),
        (("HDEL", "feed.claims:x", "mine"), "claimed, but not in feed.claims:x: 'mine'"),
        (("ZREM", "feed.results:x", "done"), "kept, but not in feed.results:x"),
        (("ZREM", "feed.failed:x", "bad"), "stalled, but not in feed.failed:x: 'bad'"),
        (("DEL", "feed.jobfinished:x\0done"), "in feed.results:x, but not kept: 'done'"),
    ],
}


class CheckTests(RedisTestCase):
    """What check_feed reports about a feed."""

    async def setUp(self) -> None:
        await super().setUp()
        self.publisher = await self.pub()

    async def fill(self, type_: str, name: str = "x", **config: Any) -> Any:
        """Make a feed with a little of everything."""
        feed = await getattr(self.publisher, type_)(name, {"history": 10, **config})
        await getattr(self, f"fill_{type_}")(feed)
        return feed

    async def fill_feed(self, feed: Any) -> None:
        await feed.publish("A", "a")
        await feed.publish("B", "b")
        await feed.publish("A2", "a")
        await feed.publish("gone", "gone")
        await feed.retract("gone")

    async def fill_sorted_feed(self, feed: Any) -> None:
        first = await feed.append("A")
        await feed.publish_before(first, "B\0\udcff")
        await feed.move_last(first)
        await feed.edit(first, "C")

    async def fill_queue(self, feed: Any) -> None:
        for item in (b"A", b"B", b"C"):
            await feed.put(item)
        await feed.get()
        await self.publisher.redis.send("PING")  # the delivery is acknowledged by now

    fill_pyqueue = fill_queue

    async def fill_job(self, feed: Job) -> None:
        for id_ in ("again", "bad", "done", "mine"):
            await feed.put(id_.upper(), id_=id_)
            await feed.get()
        await feed.put("S", id_="soon", delay=60)
        await feed.fail("again", ValueError("no"), 60)
        await feed.stall("bad", "no use")
        await feed.finish("done", "result", 60)
        await feed.put("L", id_="line")

    async def says(self, *words: str, settled: bool = False) -> None:
        """Check that check_feed reports one finding for each text, and no more."""
        found = await check_feed(self.publisher, "x", settled)
        self.assertEqual(len(found), len(words), found)
        for finding, word in zip(found, words, strict=True):
            self.assertIn(word, finding)

    # -- sound feeds -------------------------------------------------------------------

    async def test_sound(self) -> None:
        """A settled feed that only txthoonk has used has no findings."""
        for type_ in TYPES:
            await self.fill(type_)
            await self.says(settled=True)
            await self.raw.flushdb()

    async def test_without_history(self) -> None:
        """A feed without history has no findings."""
        for type_ in TYPES:
            await self.fill(type_, history=0)
            await self.says(settled=True)
            await self.raw.flushdb()

    async def test_history_switched(self) -> None:
        """A history that starts late or is switched off causes no findings."""
        for type_ in TYPES:
            feed = await self.fill(type_, history=0)
            await feed.set_config({"history": 2})
            await self.says(settled=True)
            if type_ == "feed":
                await feed.publish("B3", "b")
                await self.says(settled=True)
            await feed.set_config({"history": 0})
            await self.says(settled=True)
            await self.raw.flushdb()

    async def test_nothing(self) -> None:
        """A feed that does not exist has no findings."""
        await self.says(settled=True)

    async def test_nothing_is_changed(self) -> None:
        """check_feed writes nothing and publishes nothing."""
        for type_ in TYPES:
            await self.fill(type_, type_)
        before, spy = await self.state(), await self.spy()
        for type_ in TYPES:
            await check_feed(self.publisher, type_, settled=True)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await spy.messages(own=True), [])

    async def test_thoonk(self) -> None:
        """check_feed accepts a Thoonk service, and waits for its connection."""
        await self.fill("job")
        thoonk = Thoonk(await server_url())
        self.addCleanup(thoonk.close)
        thoonk.startService()
        self.assertEqual(await check_feed(thoonk, "x", settled=True), [])
        await self.raw.send("SADD", "feed.stalled:x", "line")
        self.assertEqual(len(await check_feed(thoonk, "x")), 2)

    # -- damaged feeds -----------------------------------------------------------------

    async def test_damage(self) -> None:
        """check_feed names each kind of damage, even without ``settled``."""
        for type_, damages in DAMAGE.items():
            for command, word in damages:
                await self.fill(type_)
                await self.raw.send(*command)
                found = await check_feed(self.publisher, "x")
                self.assertTrue([one for one in found if word in one], (command, found))
                await self.raw.flushdb()

    async def test_what_may_be_for_a_moment(self) -> None:
        """check_feed reports a state that may be temporary only with ``settled``."""
        for type_, damages in UNSETTLED.items():
            for command, word in damages:
                await self.fill(type_)
                await self.raw.send(*command)
                await self.says()
                found = await check_feed(self.publisher, "x", settled=True)
                self.assertTrue([one for one in found if word in one], (command, found))
                await self.raw.flushdb()

    async def test_custom_type(self) -> None:
        """check_feed checks a custom type only for what all feeds have in common."""
        await self.publisher.create_feed("x", {"type": "tree"}, force=True)
        await self.raw.send("RPUSH", "feed.ids:x", "a", "a")
        await self.says(settled=True)
        await self.raw.send("SET", "feed.publishes:x", "-")
        await self.says("feed.publishes:x is not a whole number")

    # -- what is left of deleted feeds ---------------------------------------------------

    async def test_deleted(self) -> None:
        """check_feed finds nothing left of a deleted feed."""
        for type_ in TYPES:
            feed = await self.fill(type_)
            await feed.delete_feed()
            await self.says(settled=True)

    async def test_left(self) -> None:
        """check_feed names the keys of a feed that is not registered, including kept results."""
        await self.fill("job")
        await self.raw.send("SREM", "feeds", "x")
        (found,) = await check_feed(self.publisher, "x")
        self.assertIn("'x' is not in feeds, but has: ", found)
        self.assertIn("'feed.claimed:x'", found)
        await self.publisher.job("x")
        await self.publisher.delete_feed("x")
        await self.raw.send("RPUSH", "feed.jobfinished:x\0id", "result")
        await self.says("'feed.jobfinished:x\\x00id'")

    async def test_left_notes(self) -> None:
        """check_feed accepts notes of processes without a feed only if they expire."""
        await self.raw.send("SET", "feed.maintained:x", "somebody", "PX", 60_000)
        await self.raw.send("ZADD", "feed.listeners:x", 1, "somebody")
        await self.raw.send("PEXPIRE", "feed.listeners:x", 60_000)
        await self.says()
        for key in ("feed.maintained:x", "feed.listeners:x"):
            await self.raw.send("PERSIST", key)
            await self.says(f"'x' is not in feeds, but has: '{key}'")
            await self.raw.send("DEL", key)

    async def test_names(self) -> None:
        """A longer name, or a name that is a pattern, is not confused with the feed's own."""
        for name in ("x", "x:y", "x*", "[x]", "x?", "^x", "x\\", "-"):
            await self.fill("job", name)
        for name in await self.publisher.get_feed_names():
            self.assertEqual(await check_feed(self.publisher, name, settled=True), [], name)
        await self.raw.send("PERSIST", "feed.jobfinished:[x]\0done")
        self.assertEqual(len(await check_feed(self.publisher, "[x]")), 1)
        await self.says()

    # -- live feeds --------------------------------------------------------------------

    async def test_live(self) -> None:
        """check_feed reports nothing false while others change the feed."""
        others = [await self.pub(), await self.pub()]
        for type_ in TYPES:
            config: Any = {"max_length": 3} if type_ == "feed" else {}
            feed = await self.fill(type_, **config)
            feeds = [await getattr(other, type_)("x") for other in others]
            working = gatherResults(
                [Deferred.fromCoroutine(self.work(type_, one)) for one in feeds]
            )
            while not working.called:
                await self.says()
            await working
            await feed.delete_feed()

    async def work(self, type_: str, feed: Any) -> None:
        for number in range(30):
            if type_ in ("feed", "sorted_feed"):
                id_ = await feed.publish(str(number))
                await feed.publish("and one more")
                await feed.retract(id_)
            elif type_ == "job":
                await feed.put(str(number), delay=0 if number % 3 == 0 else None)
                claim = await feed.get()
                ends = (feed.finish, feed.cancel, feed.release, feed.stall)
                await ends[number % len(ends)](claim)
                await feed.put_many(["a", "b"], feed.HIGH)
            else:
                await feed.put_many([b"a", b"b"])
                await gatherResults([feed.get(), feed.get()])

    async def test_results_that_come_meanwhile(self) -> None:
        """Results stored while check_feed reads the feed are not reported as damage."""
        feed = await self.fill("job")
        checked = [check_feed(self.publisher, "x", settled=True)]
        for number in range(5):
            await feed.put("item", id_=f"late{number}")
            checked.append(check_feed(self.publisher, "x"))
            await feed.finish(await feed.get(), "result", 60)
        while await feed.length():
            await feed.finish(await feed.get(), "result", 60)
        self.assertEqual(await gatherResults(checked), [[]] * len(checked))
        await self.says(settled=True)

    # -- errors ------------------------------------------------------------------------

    async def test_bad_name(self) -> None:
        """check_feed refuses an invalid feed name."""
        name: Any
        for name in ("", "a\0b", None):
            await self.assertFailure(check_feed(self.publisher, name), InvalidInput)

    async def test_transaction(self) -> None:
        """check_feed fails within another caller's MULTI, and does not disturb it."""
        redis = self.publisher.redis
        redis.multi()
        await self.assertFailure(check_feed(self.publisher, "x"), InvalidCommand)
        redis.set("key", "value")
        await redis.execute()
        self.assertEqual(await self.raw.send("GET", "key"), b"value")

    async def test_connection_lost(self) -> None:
        """Without a connection, check_feed fails with ConnectionLost."""
        await self.publisher.close()
        await self.assertFailure(check_feed(self.publisher, "x"), ConnectionLost)

    async def test_server_refuses(self) -> None:
        """check_feed fails with the server's error if a command is refused."""
        await self.raw.send("ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@all", "-xrange")
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "blind")
        other = await self.pub(username="blind", password="secret")
        failing = check_feed(other, "x")
        error: Any = await self.assertFailure(failing, Exception)
        self.assertIn("EXECABORT", str(error))
