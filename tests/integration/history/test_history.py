"""History: every verb records its events without gaps, and publishes them on feed.event."""

from __future__ import annotations

import re
from typing import Any

from tests.support import RedisTestCase, pairs
from txthoonk.errors import (
    Conflict,
    FeedDoesNotExist,
    InvalidInput,
    ItemDoesNotExist,
    NoHistory,
)
from txthoonk.events import Event


def told(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(e.revision, e.kind, e.id, e.item or e.position) for e in events]


class HistoryTestCase(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.pub_ = await self.pub()

    async def foreign_publish(self, id_: str, item: str) -> None:
        """Publish as thoonk.py does."""
        await self.raw.send("INCR", "feed.publishes:x")
        await self.raw.send("HSET", "feed.items:x", id_, item)
        await self.raw.send("ZADD", "feed.ids:x", "1e15", id_)
        await self.raw.publish("feed.publish:x", f"{id_}\0{item}")

    async def epoch(self) -> Any:
        return await self.raw.hget_value("feed.revision:x", "\0epoch")


class RecordTests(HistoryTestCase):
    async def assertHistory(self, feed: Any, *expected: tuple[Any, ...]) -> None:
        """Check the stream, the revision, and the messages on feed.event."""
        events = await feed.get_history()
        self.assertEqual(told(events), list(expected))
        self.assertEqual(await feed.revision(), len(expected))
        epoch = await self.epoch()
        self.assertEqual({event.epoch for event in events}, {epoch.decode()})
        stored = [
            (entry.decode(), dict(pairs([word.decode() for word in words])))
            for entry, words in await self.raw.send("XRANGE", "feed.history:x", "-", "+")
        ]
        more = ["more" in fields for _, fields in stored]  # is another event of the same change
        heard = [
            message
            for channel, message in await self.spied.messages(own=True)
            if channel == b"feed.event:x"
        ]
        entries, messages = [], []
        for (number, kind, id_, rest), goes_on in zip(expected, more, strict=True):
            fields = {"kind": kind, "id": id_}
            if rest is not None:
                fields["position" if kind == "position" else "item"] = rest
            entries.append((f"{number}-0", {**fields, **({"more": "1"} if goes_on else {})}))
            plus = "+" if goes_on else ""
            parts = [f"{number}{plus}", kind, id_, *([rest] if rest is not None else [])]
            messages.append(b"\0".join([epoch, *(part.encode() for part in parts)]))
        self.assertEqual(stored, entries)
        self.assertEqual(heard, messages)
        self.assertFalse(more[-1])

    async def setUp(self) -> None:
        await super().setUp()
        self.spied = await self.spy()

    async def test_feed(self) -> None:
        """A feed records each publish, edit and retract, and the retracts of dropped items."""
        feed = await self.pub_.feed("x", {"history": 100, "max_length": 2})
        await feed.publish("1", "a")
        await feed.publish("2", "a")
        await feed.publish("3\0", "b")
        await feed.publish("4", "c")
        await feed.retract("b")
        await feed.retract("b")
        await self.assertHistory(
            feed,
            (1, "publish", "a", "1"),
            (2, "edit", "a", "2"),
            (3, "publish", "b", "3\0"),
            (4, "retract", "a", None),
            (5, "publish", "c", "4"),
            (6, "retract", "b", None),
        )

    async def test_sorted_feed(self) -> None:
        """A sorted feed records an append as two revisions, and an edit as an edit."""
        feed = await self.pub_.sorted_feed("x", {"history": 100})
        await feed.append("one")
        await feed.publish_before("1", "two")
        await feed.edit("1", "uno")
        await feed.move_first("1")
        await feed.retract("2")
        await self.assertHistory(
            feed,
            (1, "publish", "1", "one"),
            (2, "position", "1", ":end"),
            (3, "publish", "2", "two"),
            (4, "position", "2", ":1"),
            (5, "edit", "1", "uno"),
            (6, "position", "1", "begin:"),
            (7, "retract", "2", None),
        )

    async def test_queue(self) -> None:
        """A queue records each put, and nothing else."""
        queue = await self.pub_.queue("x", {"history": 100})
        id_ = await queue.put("one")
        self.assertEqual(await queue.get(), "one")
        other = await queue.put("two")
        await self.assertHistory(queue, (1, "put", id_, "one"), (2, "put", other, "two"))

    async def test_job(self) -> None:
        """A job feed records everything that happens to a job."""
        job = await self.pub_.job("x", {"history": 100, "timeout": 1, "max_failures": 2})
        await job.put("item", id_="a")
        await job.get()
        await job.cancel("a")
        await job.get()
        await job.stall("a")
        await job.retry("a")
        await job.get()
        await job.finish("a", "result")
        await job.put("item", id_="b")
        await job.retract("b")
        for id_ in ("c", "d"):
            await job.put("item", id_=id_)
            await job.get()
        await job.finish("c")
        await self.raw.send("ZADD", "feed.claimed:x", 1, "d")
        await self.looked()
        await job.maintenance()
        await job.get()
        await self.raw.send("ZADD", "feed.claimed:x", 1, "d")
        await self.looked()
        await job.maintenance()
        kinds = [
            ("put", "a", "item"), ("claim", "a"), ("cancel", "a"), ("claim", "a"), ("stall", "a"),
            ("retry", "a"), ("claim", "a"), ("finish", "a", "result"), ("finished", "a"),
            ("put", "b", "item"), ("retract", "b"), ("put", "c", "item"), ("claim", "c"),
            ("put", "d", "item"), ("claim", "d"), ("finished", "c"), ("cancel", "d"),
            ("claim", "d"), ("stall", "d"),
        ]  # fmt: skip
        await self.assertHistory(
            job,
            *((n, *kind, *([None] if len(kind) == 2 else [])) for n, kind in enumerate(kinds, 1)),
        )

    async def test_order_of_messages(self) -> None:
        """Each event is published on feed.event first, then on the contract's channel."""
        feed = await self.pub_.sorted_feed("x", {"history": 100})
        await self.spied.messages()
        await feed.append("one")
        await feed.edit("1", "uno")
        heard = await self.spied.messages(own=True)
        contract = [b"feed.publish:x", b"feed.position:x", b"feed.publish:x"]
        self.assertEqual([channel for channel, _ in heard][::2], [b"feed.event:x"] * 3)
        self.assertEqual([channel for channel, _ in heard][1::2], contract)

    async def test_bytes(self) -> None:
        """The stored and published bytes are those that docs/subscriptions.rst specifies."""
        feed = await self.pub_.feed("x", {"history": 100, "max_length": 1})
        await feed.publish("1", "a")
        await feed.publish(b"2\0\xff", "b")
        epoch = await self.epoch()
        (server,) = re.findall(rb"master_replid:(\w+)", await self.raw.send("INFO", "replication"))
        self.assertEqual(
            await self.raw.hgetall("feed.revision:x"),
            {
                b"\0revision": b"3",
                b"\0epoch": epoch,
                b"\0eras": epoch + b":0 ",
                b"\0server": server,
                b"\0publishes": b"2",
                b"\0length": b"1",
                b"\0base": b"0",
                b"\0cause": b"recreated",
                b"b": b"3",
            },
        )
        self.assertEqual(
            await self.raw.send("XRANGE", "feed.history:x", "-", "+"),
            [
                [b"1-0", [b"kind", b"publish", b"id", b"a", b"item", b"1"]],
                [b"2-0", [b"kind", b"retract", b"id", b"a", b"more", b"1"]],
                [b"3-0", [b"kind", b"publish", b"id", b"b", b"item", b"2\0\xff"]],
            ],
        )
        heard = [pair for pair in await self.spied.messages(own=True) if pair[0] != b"newfeed"]
        self.assertEqual(
            heard,
            [
                (b"feed.event:x", epoch + b"\0" + b"1\0publish\0a\0" + b"1"),
                (b"feed.publish:x", b"a\0" + b"1"),
                (b"feed.event:x", epoch + b"\0" + b"2+\0retract\0a"),
                (b"feed.retract:x", b"a"),
                (b"feed.event:x", epoch + b"\0" + b"3\0publish\0b\0" + b"2\0\xff"),
                (b"feed.publish:x", b"b\0" + b"2\0\xff"),
            ],
        )

    async def test_trimmed(self) -> None:
        """The history keeps at least the configured number of events, and drops older ones."""
        feed = await self.pub_.feed("x", {"history": 50})
        for number in range(1000):
            feed.publish(str(number), "a")
        events = await feed.get_history()
        self.assertGreaterEqual(len(events), 50)
        self.assertLess(len(events), 500)
        self.assertEqual(events[-1].revision, 1000)
        revisions = [event.revision for event in events]
        self.assertEqual(revisions, list(range(revisions[0] or 0, 1001)))
        error = await self.assertFailure(feed.get_history(10), NoHistory)
        self.assertIn("not go back that far", str(error))

    async def test_none(self) -> None:
        """Reading the history of a feed that keeps none fails with NoHistory."""
        feed = await self.pub_.feed("x")
        await feed.publish("1", "a")
        await self.raw.send("SADD", "feeds", "x")
        self.assertEqual(await self.raw.exists("feed.revision:x"), 0)
        for call in (feed.revision(), feed.get_history(), feed.get_item("a", True)):
            await self.assertFailure(call, NoHistory)
        gone = type(feed)(self.pub_, "gone")
        for call in (gone.revision(), gone.get_history(), gone.get_item("a", True)):
            await self.assertFailure(call, FeedDoesNotExist)


class ReadTests(HistoryTestCase):
    async def test_since(self) -> None:
        """get_history starts after a revision or cursor, and returns at most ``count`` events."""
        feed = await self.pub_.feed("x", {"history": 5000})
        for number in range(2500):
            feed.publish(str(number), "a")
        events = await feed.get_history()
        self.assertEqual(len(events), 2500)
        self.assertEqual(await feed.get_history(since=2498), events[2498:])
        self.assertEqual(await feed.get_history(since=events[2497].cursor), events[2498:])
        self.assertEqual(await feed.get_history(since=2500), [])
        self.assertEqual(await feed.get_history(0, 3), events[:3])
        self.assertEqual(await feed.get_history(count=2000), events[:2000])
        self.assertEqual(await feed.get_history(0, 0), [])
        await self.assertFailure(feed.get_history(since=2501), NoHistory)
        await self.assertFailure(feed.get_history(since="abc:1"), NoHistory)
        bad: Any
        for bad in (-1, "x", "a:b", 1.5, True, "1:", b"1"):
            await self.assertFailure(feed.get_history(since=bad), InvalidInput)
        for bad in (-1, "1", 1.5, True):
            await self.assertFailure(feed.get_history(count=bad), InvalidInput)

    async def test_serializers(self) -> None:
        """Events and conflicts carry items decoded by the feed's serializer."""
        for serializer, item in (("json", {"a": [1]}), ("bytes", b"\xff\0"), ("text", "ä\udcff")):
            feed = await self.pub_.feed(serializer, {"history": 10, "serializer": serializer})
            await feed.publish(item, "a")
            self.assertEqual([e.item for e in await feed.get_history()], [item])
            self.assertEqual(await feed.get_item("a", with_revision=True), (item, 1))
            error = await self.assertFailure(feed.publish(item, "a", expect=0), Conflict)
            self.assertEqual((error.item, error.revision), (item, 1))


class ExpectTests(HistoryTestCase):
    async def test_publish(self) -> None:
        """A publish that expects another revision fails with the item, and changes nothing."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a", expect=0)
        self.assertEqual(await feed.get_item("a", with_revision=True), ("1", 1))
        await feed.publish("2", "a", expect=1)
        before = await self.state()
        for expect in (0, 1):
            error = await self.assertFailure(feed.publish("3", "a", expect=expect), Conflict)
            self.assertEqual((error.item, error.revision), ("2", 2))
            self.assertIn("'a'", str(error))
            error = await self.assertFailure(feed.retract("a", expect=expect), Conflict)
            self.assertEqual((error.item, error.revision), ("2", 2))
        error = await self.assertFailure(feed.publish("3", "b", expect=1), Conflict)
        self.assertEqual((error.item, error.revision), (None, 0))
        await self.assertFailure(feed.retract("b", expect=1), Conflict)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await feed.get_item("b", with_revision=True), (None, 0))
        self.assertTrue(await feed.retract("a", expect=2))
        self.assertFalse(await feed.retract("a", expect=0))
        await feed.publish("4", "a", expect=0)

    async def test_edit(self) -> None:
        """An edit that expects another revision fails; a move keeps the item's revision."""
        feed = await self.pub_.sorted_feed("x", {"history": 10})
        await feed.append("1")
        _, revision = await feed.get_item("1", with_revision=True)
        await feed.move_first("1")
        await feed.edit("1", "2", expect=revision)
        error = await self.assertFailure(feed.edit("1", "3", expect=revision), Conflict)
        self.assertEqual((error.item, error.revision), ("2", 4))
        await self.assertFailure(feed.retract("1", expect=3), Conflict)
        self.assertTrue(await feed.retract("1", expect=4))

    async def test_each_verb(self) -> None:
        """All verbs agree: another revision, or none, is a conflict, and the right one is not."""
        feed = await self.pub_.feed("x", {"history": 10})
        ordered = await self.pub_.sorted_feed("y", {"history": 10})
        verbs: list[tuple[Any, str, Any, Any]] = [
            (feed, "a", lambda id_, expect: feed.publish("new", id_, expect=expect), "a"),
            (feed, "b", lambda id_, expect: feed.retract(id_, expect=expect), True),
            (ordered, "1", lambda id_, expect: ordered.edit(id_, "new", expect=expect), None),
            (ordered, "2", lambda id_, expect: ordered.retract(id_, expect=expect), True),
        ]
        for id_ in ("a", "b"):
            await feed.publish("old", id_)
            await ordered.append("old")
        for owner, id_, verb, fires in verbs:
            _, revision = await owner.get_item(id_, with_revision=True)
            before = await self.state()
            error = await self.assertFailure(verb(id_, revision - 1), Conflict)
            self.assertEqual((error.item, error.revision), ("old", revision))
            error = await self.assertFailure(verb("77", revision), Conflict)
            self.assertEqual((error.item, error.revision), (None, 0))
            self.assertEqual(await self.state(), before)
            self.assertEqual(await verb(id_, revision), fires)
        self.assertEqual(await verbs[0][2]("new", 0), "new")
        self.assertIs(await verbs[1][2]("77", 0), False)
        await self.assertFailure(verbs[2][2]("77", 0), ItemDoesNotExist)
        await self.assertFailure(ordered.edit("77", "new"), ItemDoesNotExist)
        self.assertIs(await verbs[3][2]("77", 0), False)

    async def test_without_history(self) -> None:
        """A call with ``expect`` fails on a feed without history, and changes nothing."""
        feed, sorted_ = await self.pub_.feed("x"), await self.pub_.sorted_feed("y")
        await feed.publish("1", "a")
        await sorted_.append("1")
        before = await self.state()
        for call in (
            lambda: feed.publish("2", "a", expect=1),
            lambda: feed.retract("a", expect=1),
            lambda: sorted_.edit("1", "2", expect=1),
            lambda: sorted_.retract("1", expect=1),
        ):
            await self.assertFailure(call(), NoHistory)
        self.assertEqual(await self.state(), before)

    async def test_bad(self) -> None:
        """``expect`` must be a revision."""
        feed = await self.pub_.feed("x", {"history": 10})
        bad: Any
        for bad in (-1, "1", 1.5, True):
            await self.assertFailure(feed.publish("1", "a", expect=bad), InvalidInput)

    async def test_items_from_before(self) -> None:
        """An item older than the history has the revision with which the history begins."""
        feed = await self.pub_.feed("x")
        await feed.publish("1", "a")
        await feed.set_config({"history": 10})
        self.assertEqual(await feed.get_item("a", with_revision=True), ("1", 1))
        await self.assertFailure(feed.publish("2", "a", expect=0), Conflict)
        await feed.publish("2", "a", expect=1)
        self.assertEqual(await feed.revision(), 2)

    async def test_foreign_writer(self) -> None:
        """A change by a program that keeps no history conflicts with an earlier revision."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        await self.foreign_publish("a", "2")
        error = await self.assertFailure(feed.publish("3", "a", expect=1), Conflict)
        self.assertEqual(error.item, "2")
        self.assertEqual(await feed.get_item("a", True), ("2", error.revision))
        await feed.publish("3", "a", expect=error.revision)


class EpochTests(HistoryTestCase):
    async def test_foreign_writer(self) -> None:
        """A change by a program that keeps no history voids all positions; revisions go on."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        (event,) = await feed.get_history()
        for change in (
            lambda: self.foreign_publish("b", "2"),
            lambda: self.raw.send("HDEL", "feed.items:x", "b"),
        ):
            epoch = await self.epoch()
            await change()
            error = await self.assertFailure(feed.get_history(event.cursor), NoHistory)
            self.assertIn("keeps no history changed the feed", str(error))
            self.assertNotEqual(await self.epoch(), epoch)
            await feed.publish("3", "c")
            *_, event = await feed.get_history()
        self.assertEqual(await feed.revision(), 5)

    async def test_recreated(self) -> None:
        """Recreating a feed voids all positions, and its revisions start again."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        (event,) = await feed.get_history()
        await feed.delete_feed()
        self.assertFalse(await self.raw.keys("*"))
        await self.pub_.feed("x", {"history": 10})
        self.assertEqual(await feed.revision(), 0)
        await feed.publish("1", "a")
        error = await self.assertFailure(feed.get_history(event.cursor), NoHistory)
        self.assertIn("created again", str(error))
        self.assertEqual(await feed.revision(), 1)

    async def test_deleted_by_others(self) -> None:
        """A new feed does not reuse a history that another implementation did not delete."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        await self.raw.delete("feed.config:x", "feed.ids:x", "feed.items:x", "feed.publishes:x")
        await self.raw.srem("feeds", "x")
        await self.pub_.feed("x", {"history": 10})
        self.assertEqual(await feed.revision(), 0)

    async def test_switched_off_and_on(self) -> None:
        """Switching the history off deletes it, and a new one voids old positions."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        (event,) = await feed.get_history()
        await feed.set_config({"history": 0})
        self.assertEqual(await self.raw.exists("feed.revision:x"), 0)
        self.assertEqual(await self.raw.exists("feed.history:x"), 0)
        await feed.set_config({"history": 10})
        await self.assertFailure(feed.get_history(event.cursor), NoHistory)

    async def test_other_server(self) -> None:
        """A position survives a restart that lost no data, but not one that lost some."""
        feed = await self.pub_.feed("x", {"history": 10})
        for number in range(3):
            await feed.publish(str(number), "a")
        events = await feed.get_history()
        await self.raw.hset("feed.revision:x", "\0server", "another")
        self.assertEqual(await feed.get_history(events[1].cursor), [
            events[2]._replace(epoch=(await self.epoch()).decode())
        ])  # fmt: skip
        await feed.publish("4", "a")
        await self.raw.hset("feed.revision:x", "\0server", "a third")
        later = await feed.get_history(events[2].cursor)
        self.assertEqual(told(later), [(4, "edit", "a", "4")])
        lost = str(events[2].cursor).replace(":3", ":4")  # from before the first change of server
        error = await self.assertFailure(feed.get_history(lost), NoHistory)
        self.assertIn("lost changes", str(error))
        await self.assertFailure(
            feed.get_history(str(later[0].cursor).replace(":4", ":5")), NoHistory
        )

    async def test_refused_at_once(self) -> None:
        """A user who may not publish events changes nothing, and positions stay valid."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        (event,) = await feed.get_history()
        user = ("ACL", "SETUSER", "mute", "on", ">secret", "allkeys", "allcommands")
        await self.raw.send(*user, "resetchannels")
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        mute = await self.pub(username="mute", password="secret")
        before = await self.state()
        await self.assertFailure(type(feed)(mute, "x").publish("2", "a"), Exception)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await feed.get_history(event.cursor), [])

    async def test_refused_message(self) -> None:
        """A revision that was published but not stored voids all positions."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        (event,) = await feed.get_history()
        await self.raw.send(
            "ACL", "SETUSER", "mute", "on", ">secret", "allkeys", "allcommands",
            "resetchannels", "&feed.event:x",
        )  # fmt: skip
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "mute")
        mute = await self.pub(username="mute", password="secret")
        items = await feed.get_all()
        await self.assertFailure(type(feed)(mute, "x").publish("2", "a"), Exception)
        self.assertEqual(await feed.get_all(), items)
        await self.assertFailure(feed.get_history(event.cursor), NoHistory)
